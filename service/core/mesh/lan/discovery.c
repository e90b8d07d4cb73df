/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/lan/discovery.h"

#include <sodium.h>
#include <string.h>

#include "base/ratelimit.h"
#include "core/mesh/gossip/neighbours.h"
#include "core/mesh/lan/beacon.h"
#include "core/mesh/link/link.h"

/*
 * Theory of operation
 *
 * Sending. A round is one beacon on each way out (MeshEnv.multicast), each sealed anew: two that
 * look alike on two interfaces would tell a stranger that they are one machine's. There is a round
 * at the start, when an interface or an address comes, on resume (then two more: a wireless network
 * or an IPv6 address needs a moment), when a link is wanted, and else every INTERVAL, so that an
 * idle machine sends about 60 bytes a minute an interface. Only the ones with a reason ask for
 * answers: else n machines would cause n * n datagrams all the time.
 *
 * Believing. Who replays a beacon must gain nothing, and a clock can be wrong. So there are two
 * rules. In one life of the sender stamps only grow, and each is taken once, however late
 * (STAMPS_KEPT copes with interfaces that overtake each other). Of another life the stamp must be
 * near our clock, if somebody keeps both clocks right; where nobody keeps the one or the other (a
 * small computer without a battery, and the line is cut: just when this is needed) it may be
 * anything, but such a change of lives is taken once a minute a machine.
 *
 * So what a stranger has recorded of a machine with a right clock is worth nothing after WINDOW.
 */

#define INTERVAL (5 * USEC_PER_MINUTE)
/* The others do it at the same instant: power came back. RFC 6762 section 8.1 has 250 ms too. */
#define JITTER (250 * USEC_PER_MSEC)
/* A round with a reason: after so long the next one, and after so long another. */
static const usec_t again[] = { USEC_PER_SEC, 3 * USEC_PER_SEC };
/* An interface that comes and goes. */
#define ROUNDS_INTERVAL (10 * USEC_PER_SEC)
#define ROUNDS_BURST 9U
/* Machines that are away are wanted again and again. */
#define WANTS_INTERVAL USEC_PER_MINUTE
#define WANTS_BURST 3U

#define WINDOW (10 * USEC_PER_MINUTE)
#define NEW_LIFE_INTERVAL USEC_PER_MINUTE
#define STAMPS_KEPT 16U
/* So long after a round answers are awaited. */
#define ANSWER_USEC (10 * USEC_PER_SEC)
#define ANSWER_INTERVAL (3 * USEC_PER_SEC)
/* Three rounds missed: it is not here any more. */
#define HERE_USEC (3 * INTERVAL + USEC_PER_MINUTE)
/* How often what comes in one machine's name makes us ask somewhere: both families and a second
 * interface at once. */
#define OFFER_INTERVAL (2 * USEC_PER_SEC)
#define OFFER_BURST 4U

typedef enum HeardFamily { HEARD_4, HEARD_6, _HEARD_MAX } HeardFamily;

typedef struct Heard {
        MachineId machine; /* the key */
        uint8_t life[BEACON_LIFE_SIZE];
        uint64_t stamps[STAMPS_KEPT]; /* taken, in a ring */
        unsigned next_stamp;
        uint64_t floor;  /* none up to this is taken any more */
        usec_t last;     /* monotonic */
        usec_t new_life; /* monotonic: when the life changed without a clock to vouch for it */
        RateLimit offers;
        Endpoint endpoint[_HEARD_MAX];
        usec_t endpoint_heard[_HEARD_MAX];
} Heard;

typedef struct Answered {
        IpAddr address;
        usec_t when;
} Answered;

struct Discovery {
        Mesh *mesh;
        LinkObserver observer;
        bool on;
        Secret *key; /* NULL: no member yet */
        uint8_t life[BEACON_LIFE_SIZE];
        uint64_t last_stamp;
        Timer timer;
        bool asks;        /* the next round does */
        unsigned n_again; /* rounds to come quickly */
        usec_t asked;     /* monotonic: the last round that asked; 0: none */
        RateLimit rounds, wants, opened;
        GHashTable *heard; /* of Heard */
        Answered answered[LAN_ANSWERS_MAX];
        uint64_t n_sent, n_heard, n_answers;
};

static void on_link_event(void *userdata, Link *link, LinkEvent event);

Discovery *discovery_new(Mesh *m) {
        Discovery *d = NEW(Discovery);

        *d = (Discovery){
                .mesh = m,
                .rounds = { .interval = ROUNDS_INTERVAL, .burst = ROUNDS_BURST },
                .wants = { .interval = WANTS_INTERVAL, .burst = WANTS_BURST },
                .opened = { .interval = USEC_PER_SEC / BEACONS_PER_SECOND, .burst = BEACONS_BURST },
                .heard = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free),
        };
        d->observer = (LinkObserver){ .userdata = d, .event = on_link_event };
        mesh_observe_links(m, &d->observer);
        return d;
}

Discovery *discovery_free(Discovery *d) {
        if (!d)
                return NULL;
        mesh_unobserve_links(d->mesh, &d->observer);
        timer_clear(&d->timer);
        secret_unref(d->key);
        g_hash_table_unref(d->heard);
        g_free(d);
        return NULL;
}

static bool is_active(const Discovery *d) {
        const Mesh *m = d->mesh;

        return d->on && d->key && m->env->multicast && m->config.port != 0 && !m->revoked &&
               !m->closing;
}

/* --- sending --- */

static bool clock_is_kept(const Discovery *d) {
        const MeshEnv *env = d->mesh->env;

        return env->is_synchronised && env->is_synchronised(env->userdata);
}

/* @answered: life of the one that asked; NULL: to all. */
static void
make_beacon(Discovery *d, bool asks, const uint8_t *answered, uint8_t ret[static BEACON_SIZE]) {
        Mesh *m = d->mesh;
        uint8_t nonce[BEACON_NONCE_SIZE];
        Beacon b = {
                .machine = m->config.identity->id,
                .port = m->config.port,
                .asks = asks,
                .answers = answered != NULL,
                .unsure = !clock_is_kept(d),
        };

        d->last_stamp = MAX(d->last_stamp + 1, env_realtime(m->env));
        b.stamp = d->last_stamp;
        memcpy(b.life, d->life, sizeof b.life);
        if (answered)
                memcpy(b.answered, answered, sizeof b.answered);
        env_random(m->env, nonce, sizeof nonce);
        beacon_seal(d->key, nonce, &b, ret);
}

static void on_timer(void *userdata);

static void schedule(Discovery *d, usec_t delay) {
        const MeshEnv *env = d->mesh->env;
        usec_t due = usec_add(env_now(env), delay);

        if (!timer_is_set(&d->timer) || d->timer.due > due)
                timer_set(env->timers, &d->timer, due, on_timer, d);
}

static usec_t chance(Discovery *d, usec_t below) {
        uint32_t random;

        env_random(d->mesh->env, &random, sizeof random);
        return random % below;
}

static void send_round(Discovery *d, bool asks) {
        const MeshEnv *env = d->mesh->env;
        uint8_t beacon[BEACON_SIZE];

        for (unsigned way = 0;; way++) {
                int r;

                make_beacon(d, asks, NULL, beacon);
                r = env->multicast(env->userdata, way, beacon, sizeof beacon);
                if (r == -ENOENT)
                        break;
                d->n_sent += r >= 0;
        }
        if (asks)
                d->asked = env_now(env);
}

static void on_timer(void *userdata) {
        Discovery *d = userdata;
        usec_t delay = INTERVAL - INTERVAL / 5 + chance(d, 2 * (INTERVAL / 5));

        if (!is_active(d))
                return;
        if (d->asks && !ratelimit_take(&d->rounds, env_now(d->mesh->env))) {
                d->n_again = 0;
                schedule(d, ROUNDS_INTERVAL);
                return;
        }
        send_round(d, d->asks);
        d->asks = d->n_again > 0;
        if (d->n_again > 0)
                delay = again[ELEMENTSOF(again) - d->n_again--];
        schedule(d, delay);
}

void discovery_hurry(Discovery *d) {
        if (!is_active(d))
                return;
        d->asks = true;
        d->n_again = ELEMENTSOF(again);
        schedule(d, chance(d, JITTER));
}

/* A link is wanted and no path works. */
static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        Discovery *d = userdata;

        if (event != LINK_EVENT_CONNECTING && event != LINK_EVENT_LOST)
                return;
        if (!is_active(d) || d->asks || !ratelimit_take(&d->wants, env_now(d->mesh->env)))
                return;
        d->asks = true;
        schedule(d, chance(d, JITTER));
}

void discovery_set(Discovery *d, bool on) {
        bool was = is_active(d);

        if (on && !d->on)
                env_random(d->mesh->env, d->life, sizeof d->life);
        d->on = on;
        if (is_active(d) && !was)
                discovery_hurry(d);
        if (on)
                return;
        timer_clear(&d->timer);
        d->asks = false;
        g_hash_table_remove_all(d->heard);
}

void discovery_set_secret(Discovery *d, const Secret *secret) {
        Secret *old = d->key;
        bool was = is_active(d);

        d->key = beacon_derive_key(&d->mesh->config.network, secret);
        secret_unref(old);
        if (!was)
                discovery_hurry(d);
}

/* --- who may be answered --- */

/* Takes the turn of an address. */
static bool may_answer(Discovery *d, const Endpoint *to) {
        IpAddr address = endpoint_address(to);
        usec_t now = env_now(d->mesh->env);
        Answered *oldest = &d->answered[0];

        for (unsigned i = 0; i < ELEMENTSOF(d->answered); i++) {
                Answered *a = &d->answered[i];

                if (ip_equal(&a->address, &address)) {
                        oldest = a;
                        break;
                }
                if (a->when < oldest->when)
                        oldest = a;
        }
        if (ip_is_set(&oldest->address) && now < oldest->when + ANSWER_INTERVAL)
                return false;
        *oldest = (Answered){ .address = address, .when = now };
        return true;
}

static void answer(Discovery *d, const Beacon *asking, const Endpoint *to) {
        const MeshEnv *env = d->mesh->env;
        uint8_t beacon[BEACON_SIZE];

        if (!may_answer(d, to))
                return;
        make_beacon(d, false, asking->life, beacon);
        d->n_answers++;
        (void) env->send(env->userdata, to, beacon, sizeof beacon);
}

/* --- who is believed --- */

/* Makes room by those that have not been heard for the longest. */
static void forget_oldest(Discovery *d) {
        const Heard *oldest = NULL;
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, d->heard);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                const Heard *h = value;

                if (!oldest || h->last < oldest->last)
                        oldest = h;
        }
        if (oldest)
                g_hash_table_remove(d->heard, &oldest->machine);
}

static bool is_here(const Discovery *d, const Heard *h) {
        return usec_sub(env_now(d->mesh->env), h->last) < HERE_USEC;
}

static bool is_near_clock(const Discovery *d, uint64_t stamp) {
        usec_t now = env_realtime(d->mesh->env);

        return (stamp > now ? stamp - now : now - stamp) <= WINDOW;
}

static bool is_same_life(const Heard *h, const Beacon *b) {
        return memcmp(h->life, b->life, sizeof h->life) == 0;
}

static bool was_taken(const Heard *h, uint64_t stamp) {
        if (stamp <= h->floor)
                return true;
        for (unsigned i = 0; i < STAMPS_KEPT; i++)
                if (h->stamps[i] == stamp)
                        return true;
        return false;
}

static uint64_t newest_stamp(const Heard *h) {
        uint64_t newest = h->floor;

        for (unsigned i = 0; i < STAMPS_KEPT; i++)
                newest = MAX(newest, h->stamps[i]);
        return newest;
}

/* @h NULL: never heard of. */
static DropReason check_fresh(const Discovery *d, const Heard *h, const Beacon *b) {
        if (h && is_same_life(h, b))
                return was_taken(h, b->stamp) ? DROP_REPLAYED : DROP_NONE;
        if (!b->unsure && clock_is_kept(d)) {
                if (!is_near_clock(d, b->stamp))
                        return DROP_REPLAYED;
                /* By a clock that is kept a later life has later stamps. */
                return h && b->stamp <= newest_stamp(h) && is_near_clock(d, newest_stamp(h))
                                       ? DROP_REPLAYED
                                       : DROP_NONE;
        }
        if (h && h->new_life != 0 && env_now(d->mesh->env) < h->new_life + NEW_LIFE_INTERVAL)
                return DROP_REPLAYED;
        return DROP_NONE;
}

/* An answer to somebody else is nobody's affair, though it may be new here. */
static bool is_awaited(const Discovery *d, const Beacon *answer) {
        return d->asked != 0 && env_now(d->mesh->env) <= d->asked + ANSWER_USEC &&
               memcmp(answer->answered, d->life, sizeof d->life) == 0;
}

/* It was found fresh. Return: its entry. */
static Heard *take(Discovery *d, Heard *h, const Beacon *b) {
        usec_t now = env_now(d->mesh->env);

        bool new_life = !h || !is_same_life(h, b);

        if (!h) {
                if (g_hash_table_size(d->heard) >= LAN_MACHINES_MAX)
                        forget_oldest(d);
                h = NEW(Heard);
                h->machine = b->machine;
                h->offers = (RateLimit){ .interval = OFFER_INTERVAL, .burst = OFFER_BURST };
                memcpy(h->life, b->life, sizeof h->life);
                g_hash_table_insert(d->heard, &h->machine, h);
        } else if (new_life) {
                memcpy(h->life, b->life, sizeof h->life);
                memset(h->stamps, 0, sizeof h->stamps);
                h->floor = 0;
        }
        if (new_life && (b->unsure || !clock_is_kept(d)))
                h->new_life = now;
        h->floor = MAX(h->floor, h->stamps[h->next_stamp]);
        h->stamps[h->next_stamp] = b->stamp;
        h->next_stamp = (h->next_stamp + 1) % STAMPS_KEPT;
        h->last = now;
        return h;
}

/* --- what follows --- */

/* A hint, as those of an invite: it is asked there. */
static void offer(Discovery *d, Heard *h, const Endpoint *endpoint) {
        HeardFamily family = endpoint->sa.sa_family == AF_INET6 ? HEARD_6 : HEARD_4;
        Mesh *m = d->mesh;
        usec_t now = env_now(m->env);
        Link *link = link_find(m, &h->machine);

        h->endpoint[family] = *endpoint;
        h->endpoint_heard[family] = now;
        if (!ratelimit_take(&h->offers, now))
                return;
        if (link)
                link_offer_path(link, PATH_LAN, endpoint);
        /* Its keys are there, but nobody is where it was. */
        if (link && link->lost && link->attempt)
                attempt_hurry(link->attempt);
        neighbours_found(m->neighbours, &h->machine);
}

DropReason
discovery_handle_beacon(Discovery *d, const uint8_t *data, size_t len, const Endpoint *from) {
        Mesh *m = d->mesh;
        Endpoint there = *from;
        DropReason reason;
        Heard *h;
        Beacon b;

        if (!is_active(d))
                return DROP_BEACON_FOREIGN;
        if (!ratelimit_take(&d->opened, env_now(m->env)))
                return DROP_RATE_LIMITED;
        reason = beacon_open(d->key, data, len, &b);
        if (reason != DROP_NONE)
                return reason;
        if (mesh_is_inside(m, from) || !endpoint_is_plain(from))
                return DROP_FROM_INSIDE;
        /* Our own, which the group brings back for other daemons on this machine. */
        if (machine_id_same_key(&b.machine, &m->config.identity->id))
                return DROP_NONE;
        if (directory_is_revoked(m->config.directory, &b.machine))
                return DROP_REVOKED;
        if (b.answers && !is_awaited(d, &b))
                return DROP_HANDSHAKE_UNEXPECTED;
        h = g_hash_table_lookup(d->heard, &b.machine);
        reason = check_fresh(d, h, &b);
        if (reason != DROP_NONE)
                return reason;
        h = take(d, h, &b);
        d->n_heard++;
        endpoint_set_port(&there, b.port);
        there.local = (IpAddr){};
        if (!endpoint_is_usable(&there) || mesh_is_local_endpoint(m, &there))
                return DROP_NONE;
        if (b.asks)
                answer(d, &b, &there);
        /* One whose certificate we do not have yet knows us, and asks by itself. */
        if (mesh_knows_machine(m, &b.machine))
                offer(d, h, &there);
        return DROP_NONE;
}

/* --- looks --- */

static const Heard *find_here(const Discovery *d, const MachineId *machine) {
        const Heard *h = g_hash_table_lookup(d->heard, machine);

        return h && is_here(d, h) ? h : NULL;
}

bool discovery_knows(const Discovery *d, const MachineId *machine) {
        return find_here(d, machine);
}

void discovery_fill(const Discovery *d, const MachineId *machine, PathSet *paths, usec_t now) {
        const Heard *h = find_here(d, machine);

        for (unsigned i = 0; h && i < _HEARD_MAX; i++)
                if (endpoint_is_set(&h->endpoint[i]) &&
                    usec_sub(now, h->endpoint_heard[i]) < HERE_USEC)
                        path_set_add(paths, PATH_LAN, &h->endpoint[i], now);
}

LanInfo discovery_info(const Discovery *d) {
        LanInfo info = {
                .on = is_active(d),
                .sent = d->n_sent,
                .heard = d->n_heard,
                .answered = d->n_answers,
        };
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, d->heard);
        while (g_hash_table_iter_next(&i, NULL, &value))
                info.machines += is_here(d, value);
        return info;
}
