/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/wire/relayed.h"

/* Unix time at the beginning: the MOCK_NOW of the records tests make. */
#define REALTIME_BASE (UINT64_C(1700000000) * USEC_PER_SEC)

typedef struct Between {
        const SimNode *a, *b;
        SimModel model;
} Between;

typedef struct Retired {
        void *object;
        void (*destroy)(void *object);
} Retired;

typedef struct Datagram {
        Sim *sim;
        Timer timer;
        unsigned side;
        SimWay way;
        size_t len;
        uint8_t data[];
} Datagram;

/* --- chance: splitmix64, which is enough for it --- */

uint64_t sim_random(Sim *s) {
        uint64_t z = s->state += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
}

static bool happens(Sim *s, double probability) {
        return probability > 0 && (double) (sim_random(s) >> 11) / 0x1p53 < probability;
}

/* --- the internet --- */

Sim *sim_new(uint64_t seed) {
        const char *env = getenv("SIM_SEED");
        Sim *s = NEW(Sim);

        if (env)
                seed = strtoull(env, NULL, 0);
        if (seed == 0)
                seed = now_usec(CLOCK_REALTIME);
        s->seed = s->state = seed;
        s->now = USEC_PER_SEC;
        s->flights = timer_queue_new();
        s->nodes = g_ptr_array_new();
        s->nats = g_ptr_array_new();
        s->streams = g_ptr_array_new_with_free_func(g_free);
        s->between = g_array_new(false, false, sizeof(Between));
        s->model = SIM_MODEL_DEFAULT;
        return s;
}

Sim *sim_free(Sim *s) {
        if (!s)
                return NULL;
        while (s->nodes->len > 0)
                sim_node_free(s->nodes->pdata[s->nodes->len - 1]);
        /* What is still on the way arrives nowhere. */
        s->ended = true;
        while (timer_queue_next(s->flights) != USEC_INFINITY)
                timer_queue_run(s->flights, USEC_INFINITY - 1);
        timer_queue_free(s->flights);
        for (unsigned i = 0; i < s->nats->len; i++)
                sim_nat_free(s->nats->pdata[i]);
        g_ptr_array_unref(s->nats);
        g_ptr_array_unref(s->streams);
        g_ptr_array_unref(s->nodes);
        g_array_unref(s->between);
        g_free(s);
        return NULL;
}

uint64_t sim_seed(const Sim *s) {
        return s->seed;
}

usec_t sim_now(const Sim *s) {
        return s->now;
}

void sim_set_model(Sim *s, const SimModel *model) {
        s->model = *model;
}

static bool is_between(const Between *x, const SimNode *a, const SimNode *b) {
        return (x->a == a && x->b == b) || (x->a == b && x->b == a);
}

void sim_set_model_between(Sim *s, const SimNode *a, const SimNode *b, const SimModel *model) {
        for (unsigned i = s->between->len; i > 0; i--)
                if (is_between(&g_array_index(s->between, Between, i - 1), a, b))
                        g_array_remove_index(s->between, i - 1);
        if (model) {
                Between x = { .a = a, .b = b, .model = *model };

                g_array_append_val(s->between, x);
        }
}

void sim_set_tap(Sim *s, SimTap tap, void *userdata) {
        s->tap = tap;
        s->tap_userdata = userdata;
}

static const SimModel *model_between(const Sim *s, const SimNode *a, const SimNode *b) {
        for (unsigned i = 0; i < s->between->len; i++) {
                const Between *x = &g_array_index(s->between, Between, i);

                if (is_between(x, a, b))
                        return &x->model;
        }
        return &s->model;
}

/* --- datagrams --- */

static void arrive(void *userdata) {
        g_autofree Datagram *d = userdata;
        SimNode *n = d->sim->ended ? NULL : sim_route_down(d->sim, &d->way, true);

        if (!n || n->asleep || !n->receive || (d->side != UINT_MAX && d->side != n->side))
                return;
        n->received++;
        d->way.from.local = endpoint_address(&d->way.to);
        n->receive(n->userdata, d->data, d->len, &d->way.from);
}

static void
launch(Sim *s, usec_t delay, unsigned side, const SimWay *way, const uint8_t *data, size_t len) {
        Datagram *d = g_malloc0(sizeof *d + len);

        d->sim = s;
        d->side = side;
        d->way = *way;
        d->len = len;
        memcpy(d->data, data, len);
        timer_set(s->flights, &d->timer, s->now + delay, arrive, d);
}

void sim_inject(Sim *s, const Endpoint *from, const Endpoint *to, const uint8_t *data, size_t len) {
        SimWay way = { .from = *from, .to = *to };

        launch(s, 0, UINT_MAX, &way, data, len);
}

static usec_t delay_of(Sim *s, const SimModel *m) {
        usec_t delay = m->latency + (m->jitter ? sim_random(s) % m->jitter : 0);

        if (happens(s, m->reorder))
                delay += m->latency + (m->jitter ? sim_random(s) % m->jitter : 0) + USEC_PER_MSEC;
        return delay;
}

/* Where what is for @to leaves from: the address it names, if that is the node's, else the first
 * of its family. */
static const Endpoint *source_for(const SimNode *n, const Endpoint *to) {
        for (unsigned i = 0; i < n->addresses->len; i++) {
                const Endpoint *e = &g_array_index(n->addresses, Endpoint, i);
                IpAddr address = endpoint_address(e);

                if (ip_is_set(&to->local) && ip_equal(&address, &to->local))
                        return e;
        }
        return sim_node_of_family(n, to->sa.sa_family);
}

/* It comes back changed by every router on the way down. */
static SimNode *receiver_of(Sim *s, SimWay way) {
        return sim_route_down(s, &way, false);
}

static int send_one(SimNode *n, const Endpoint *to, const uint8_t *data, size_t len) {
        static const SimModel inside = { .latency = SIM_LAN_LATENCY };
        Sim *s = n->sim;
        const Endpoint *from = source_for(n, to);
        const SimModel *m;
        SimWay way;

        if (n->asleep)
                return -ENETDOWN;
        if (!from)
                return -ENETUNREACH;
        n->sent++;
        if ((s->tap && !s->tap(s->tap_userdata, n, to, data, len)) ||
            !sim_route_up(n, from, to, &way))
                return 0;
        m = model_between(s, n, receiver_of(s, way));
        if (way.place && m == &s->model)
                m = &inside;
        if (happens(s, m->loss))
                return 0;
        launch(s, delay_of(s, m), n->side, &way, data, len);
        if (happens(s, m->duplicate))
                launch(s, delay_of(s, m), n->side, &way, data, len);
        return 0;
}

static int env_send(void *userdata, const Endpoint *to, const uint8_t *data, size_t len) {
        g_autofree uint8_t *whole = NULL;
        Endpoint relay = *to;

        if (endpoint_is_stream(to))
                return sim_stream_send(userdata, to, data, len);
        if (!endpoint_is_relayed(to))
                return send_one(userdata, to, data, len);
        whole = g_malloc(RELAY_HEADER_SIZE + len);
        relayed_write(whole, to->relay);
        memcpy(whole + RELAY_HEADER_SIZE, data, len);
        relay.relay = 0;
        return send_one(userdata, &relay, whole, RELAY_HEADER_SIZE + len);
}

static int
env_send_train(void *userdata, const Endpoint *to, const uint8_t *data, size_t len, unsigned n) {
        g_autofree uint8_t *copy = g_memdup2(data, len * n);
        SimNode *node = userdata;
        int r = 0;

        node->trains_sent++;
        for (unsigned i = 0; i < n && r >= 0 && node->trains != SIM_TRAINS_LOST; i++) {
                if (node->trains == SIM_TRAINS_SPOILT)
                        copy[(i + 1) * len - 1] ^= 1;
                r = env_send(node, to, copy + i * len, len);
        }
        return r;
}

void sim_node_set_trains(SimNode *n, SimTrains trains) {
        n->trains = trains;
        n->env.send_train = trains == SIM_TRAINS_NONE ? NULL : env_send_train;
}

unsigned sim_node_trains_sent(const SimNode *n) {
        return n->trains_sent;
}

/* --- broadcast domains --- */

void sim_node_set_lan(SimNode *n, unsigned lan) {
        n->lan = lan;
}

/* As it is on a wire: to everybody, from the address that has no translator, and lost for each of
 * them by itself. The sender hears it too, like who has joined the group it sends to. */
static int env_multicast(void *userdata, unsigned way, const uint8_t *data, size_t len) {
        SimNode *n = userdata;
        Sim *s = n->sim;

        if (way > 0 || n->lan == 0)
                return -ENOENT;
        if (n->asleep)
                return -ENETDOWN;
        n->sent++;
        for (unsigned i = 0; i < s->nodes->len; i++) {
                const SimNode *to = s->nodes->pdata[i];
                const SimModel *m = model_between(s, n, to);
                SimWay here = { .from = sim_node_endpoint(n), .to = sim_node_endpoint(to) };

                if (to->lan != n->lan)
                        continue;
                here.place = n->nat == to->nat ? n->nat : NULL;
                if (s->tap && !s->tap(s->tap_userdata, n, &here.to, data, len))
                        continue;
                if (!happens(s, m->loss))
                        launch(s, delay_of(s, m), n->side, &here, data, len);
        }
        return 0;
}

/* --- nodes --- */

static usec_t env_now_cb(void *userdata) {
        return ((SimNode *) userdata)->sim->now;
}

static usec_t env_realtime_cb(void *userdata) {
        SimNode *n = userdata;

        return REALTIME_BASE + n->sim->now + (usec_t) n->realtime_offset;
}

static void env_random_cb(void *userdata, void *buf, size_t n) {
        Sim *s = ((SimNode *) userdata)->sim;
        uint8_t *p = buf;

        for (size_t i = 0; i < n; i += 8) {
                uint64_t v = sim_random(s);

                memcpy(p + i, &v, MIN(8, n - i));
        }
}

/* Later, as in the daemon, where a packet thread may still look. */
static void env_retire_cb(void *userdata, void *object, void (*destroy)(void *object)) {
        SimNode *n = userdata;
        Retired r = { .object = object, .destroy = destroy };

        g_array_append_val(n->retired, r);
}

static void destroy_retired(SimNode *n) {
        for (unsigned i = 0; i < n->retired->len; i++) {
                Retired r = g_array_index(n->retired, Retired, i);

                r.destroy(r.object);
        }
        g_array_set_size(n->retired, 0);
}

SimNode *sim_node_new(Sim *s, const char *name, const char *endpoint) {
        SimNode *n = NEW(SimNode);

        n->sim = s;
        n->name = g_strdup(name);
        n->env = (MeshEnv){
                .userdata = n,
                .timers = timer_queue_new(),
                .now = env_now_cb,
                .realtime = env_realtime_cb,
                .random = env_random_cb,
                .send = env_send,
                .multicast = env_multicast,
                .probes = &n->probes,
                .retire = env_retire_cb,
        };
        n->retired = g_array_new(false, false, sizeof(Retired));
        n->addresses = g_array_new(false, true, sizeof(Endpoint));
        g_array_set_size(n->addresses, 1);
        n->flows = g_array_new(false, false, sizeof(SimFlow));
        sim_node_move(n, endpoint);
        g_ptr_array_add(s->nodes, n);
        return n;
}

SimNode *sim_node_free(SimNode *n) {
        if (!n)
                return NULL;
        n->receive = NULL;
        sim_node_end_streams(n);
        g_ptr_array_remove(n->sim->nodes, n);
        destroy_retired(n);
        g_array_unref(n->retired);
        g_array_unref(n->addresses);
        g_array_unref(n->flows);
        timer_queue_free(n->env.timers);
        g_free(n->name);
        g_free(n);
        return NULL;
}

const char *sim_node_name(const SimNode *n) {
        return n->name;
}

void sim_node_set_resolver(SimNode *n, const Resolver *resolver) {
        n->env.resolver = resolver;
}

const MeshEnv *sim_node_env(SimNode *n) {
        return &n->env;
}

Endpoint sim_node_endpoint(const SimNode *n) {
        return g_array_index(n->addresses, Endpoint, 0);
}

unsigned sim_node_endpoints(const SimNode *n, Endpoint *ret, unsigned max) {
        unsigned count = MIN(max, n->addresses->len);

        memcpy(ret, n->addresses->data, count * sizeof *ret);
        return count;
}

const Endpoint *sim_node_of_family(const SimNode *n, sa_family_t family) {
        for (unsigned i = 0; i < n->addresses->len; i++) {
                const Endpoint *e = &g_array_index(n->addresses, Endpoint, i);

                if (e->sa.sa_family == family)
                        return e;
        }
        return NULL;
}

bool sim_node_has(const SimNode *n, const Endpoint *endpoint) {
        for (unsigned i = 0; i < n->addresses->len; i++)
                if (endpoint_equal(&g_array_index(n->addresses, Endpoint, i), endpoint))
                        return true;
        return false;
}

void sim_node_on_receive(SimNode *n, SimReceive receive, void *userdata) {
        n->receive = receive;
        n->userdata = userdata;
}

void sim_node_add_address(SimNode *n, const char *address) {
        const Endpoint *first = &g_array_index(n->addresses, Endpoint, 0);
        Endpoint e;

        if (endpoint_parse(address, endpoint_port(first), &e) < 0)
                abort();
        g_array_append_val(n->addresses, e);
}

void sim_node_set_second(SimNode *n, const char *address) {
        g_array_set_size(n->addresses, 1);
        if (address)
                sim_node_add_address(n, address);
}

void sim_node_move(SimNode *n, const char *endpoint) {
        if (endpoint_parse(endpoint, 0, &g_array_index(n->addresses, Endpoint, 0)) < 0)
                abort();
}

void sim_node_set_nat(SimNode *n, SimNat *nat) {
        n->nat = nat;
}

void sim_node_set_firewall(SimNode *n, usec_t lifetime) {
        n->firewall = lifetime;
        g_array_set_size(n->flows, 0);
}

void sim_node_block_udp(SimNode *n, bool blocked) {
        n->udp_blocked = blocked;
}

void sim_node_share_probes(SimNode *n, SimNode *with) {
        n->env.probes = &with->probes;
}

void sim_node_sleep(SimNode *n, bool asleep) {
        n->asleep = asleep;
}

void sim_node_set_realtime_offset(SimNode *n, int64_t offset) {
        n->realtime_offset = offset;
}

uint64_t sim_node_sent(const SimNode *n) {
        return n->sent;
}

uint64_t sim_node_received(const SimNode *n) {
        return n->received;
}

void sim_partition(Sim *s, SimNode *n, unsigned side) {
        n->side = side;
}

/* --- time --- */

static usec_t next_event(const Sim *s) {
        usec_t next = timer_queue_next(s->flights);

        for (unsigned i = 0; i < s->nodes->len; i++) {
                const SimNode *n = s->nodes->pdata[i];

                if (!n->asleep)
                        next = MIN(next, timer_queue_next(n->env.timers));
        }
        return next;
}

static void run_due(Sim *s) {
        timer_queue_run(s->flights, s->now);
        sim_streams_expire(s);
        for (unsigned i = 0; i < s->nodes->len; i++) {
                SimNode *n = s->nodes->pdata[i];

                if (!n->asleep)
                        timer_queue_run(n->env.timers, s->now);
        }
        for (unsigned i = 0; i < s->nodes->len; i++)
                destroy_retired(s->nodes->pdata[i]);
}

bool sim_run_until(Sim *s, bool (*predicate)(void *userdata), void *userdata, usec_t duration) {
        usec_t end = s->now + duration;

        for (;;) {
                usec_t next;

                if (predicate && predicate(userdata))
                        return true;
                next = next_event(s);
                if (next > end) {
                        s->now = end;
                        return false;
                }
                /* What slept through its time is due at once. */
                s->now = MAX(s->now, next);
                run_due(s);
        }
}

void sim_run_for(Sim *s, usec_t duration) {
        (void) sim_run_until(s, NULL, NULL, duration);
}
