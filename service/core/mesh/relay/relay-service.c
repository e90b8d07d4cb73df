/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What this machine carries for others. */

#include "core/mesh/relay/relay.h"

#include "core/mesh/gossip/presence.h"

/* What was reached from outside stays so for a day; addresses and routers change. */
#define REACHED_USEC USEC_PER_DAY
/* Who comes from where we sent something lately may have come through a hole of our own making. */
#define ASKED_USEC (5 * USEC_PER_MINUTE)
#define ASKED_MAX 1024U

/* One who has pairs here. */
typedef struct Member {
        MachineId machine;
        unsigned n_pairs, n_asked;
        RelayShare *share;
} Member;

typedef struct Pair {
        RelayService *service;
        GList in_list;
        MachineId machine[2]; /* the first has asked */
        uint32_t number[2];
        RelayUse *use[2];
        usec_t renewed; /* monotonic */
        Timer timer;
} Pair;

struct RelayService {
        Mesh *mesh;
        RelayTable *table; /* NULL: there is no packet thread that could */
        RelayMode mode;
        GQueue pairs;
        GHashTable *members;
        GHashTable *asked; /* machine -> when we last tried to reach it */
        usec_t reached_until;
        uint64_t datagrams, bytes; /* of pairs that are gone */
};

RelayService *relay_service_new(Mesh *m) {
        RelayService *s = NEW(RelayService);

        s->mesh = m;
        s->table = m->config.relays;
        s->mode = m->config.relay_mode;
        s->members = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free);
        s->asked = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, g_free, g_free);
        g_queue_init(&s->pairs);
        return s;
}

static unsigned side_of(const Pair *p, const MachineId *machine) {
        if (machine_id_equal(&p->machine[0], machine))
                return 0;
        return machine_id_equal(&p->machine[1], machine) ? 1 : 2;
}

/* --- where datagrams go --- */

static void retire(RelayService *s, void *object) {
        if (object)
                s->mesh->env->retire(s->mesh->env->userdata, object, g_free);
}

/* Where @machine sends from: the active path, and others it was heard by. */
static unsigned
find_sources(Mesh *m, const MachineId *machine, Endpoint ret[static RELAY_SOURCES_MAX]) {
        const Link *link = link_find(m, machine);
        unsigned n = 0;

        ret[n++] = path_set_endpoint(&link->paths);
        for (unsigned i = 0; i < link->paths.n && n < RELAY_SOURCES_MAX; i++) {
                const Path *path = &link->paths.path[i];

                if ((int) i != link->paths.active && path->last_received > 0 &&
                    !endpoint_is_relayed(&path->endpoint))
                        ret[n++] = path->endpoint;
        }
        return n;
}

static RelayRoute *make_route(const Pair *p, unsigned side, const Endpoint *to) {
        const Member *member = g_hash_table_lookup(p->service->members, &p->machine[side]);
        RelayRoute *route = NEW(RelayRoute);

        route->number = p->number[side];
        route->n_from = find_sources(p->service->mesh, &p->machine[side], route->from);
        route->to = *to;
        route->to.relay = p->number[!side];
        route->share = member->share;
        route->use = p->use[side];
        return route;
}

/* Publishes both routes, or none: with one end away there is nothing to relay. */
static void publish(Pair *p) {
        RelayService *s = p->service;
        Endpoint at[2];
        bool ok = relay_is_near(s->mesh, &p->machine[0], &at[0]) &&
                  relay_is_near(s->mesh, &p->machine[1], &at[1]);

        for (unsigned i = 0; i < 2; i++)
                retire(s, relay_table_publish(
                                          s->table, p->number[i],
                                          ok ? make_route(p, i, &at[!i]) : NULL));
}

/* --- pairs --- */

static Member *get_member(RelayService *s, const MachineId *machine) {
        Member *m = g_hash_table_lookup(s->members, machine);

        if (!m) {
                m = NEW(Member);
                m->machine = *machine;
                m->share = NEW(RelayShare);
                m->share->rate = RELAY_BYTES_PER_SEC;
                m->share->burst = RELAY_BURST_BYTES;
                g_hash_table_insert(s->members, &m->machine, m);
        }
        return m;
}

static void put_member(RelayService *s, const MachineId *machine, bool asked) {
        Member *m = g_hash_table_lookup(s->members, machine);

        m->n_asked -= asked;
        if (--m->n_pairs > 0)
                return;
        retire(s, m->share);
        g_hash_table_remove(s->members, machine);
}

static void pair_free(Pair *p) {
        RelayService *s = p->service;

        timer_clear(&p->timer);
        for (unsigned i = 0; i < 2; i++) {
                retire(s, relay_table_publish(s->table, p->number[i], NULL));
                relay_table_release(s->table, p->number[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
                s->datagrams += atomic_load_explicit(&p->use[i]->datagrams, memory_order_relaxed);
                s->bytes += atomic_load_explicit(&p->use[i]->bytes, memory_order_relaxed);
                retire(s, p->use[i]);
                put_member(s, &p->machine[i], i == 0);
        }
        g_queue_unlink(&s->pairs, &p->in_list);
        g_free(p);
}

RelayService *relay_service_free(RelayService *s) {
        while (s->pairs.head)
                pair_free(s->pairs.head->data);
        g_hash_table_unref(s->members);
        g_hash_table_unref(s->asked);
        g_free(s);
        return NULL;
}

static void on_pair_timer(void *userdata) {
        Pair *p = userdata;
        const MeshEnv *env = p->service->mesh->env;
        usec_t last[2], end;

        for (unsigned i = 0; i < 2; i++)
                last[i] = atomic_load_explicit(&p->use[i]->last, memory_order_relaxed);
        if (last[0] != 0 && last[1] != 0)
                end = MAX(p->renewed, MAX(last[0], last[1])) + RELAY_IDLE_USEC;
        else
                end = p->renewed + RELAY_UNBOUND_USEC;
        if (env_now(env) >= end)
                pair_free(p);
        else
                timer_set(env->timers, &p->timer, end, on_pair_timer, p);
}

static void renew(Pair *p) {
        p->renewed = env_now(p->service->mesh->env);
        on_pair_timer(p);
}

static Pair *find_pair(const RelayService *s, const MachineId *a, const MachineId *b) {
        for (GList *l = s->pairs.head; l; l = l->next) {
                Pair *p = l->data;
                unsigned side = side_of(p, a);

                if (side < 2 && machine_id_equal(&p->machine[!side], b))
                        return p;
        }
        return NULL;
}

static int reserve(RelayService *s, uint32_t *ret) {
        uint32_t random;

        env_random(s->mesh->env, &random, sizeof random);
        return relay_table_reserve(s->table, random, ret);
}

/* Return: NULL: there is no room. */
static Pair *pair_new(RelayService *s, const MachineId *asker, const MachineId *other) {
        uint32_t number[2];
        Pair *p;

        if (reserve(s, &number[0]) < 0)
                return NULL;
        if (reserve(s, &number[1]) < 0) {
                relay_table_release(s->table, number[0]);
                return NULL;
        }
        p = NEW(Pair);
        *p = (Pair){ .service = s, .in_list.data = p, .machine = { *asker, *other } };
        for (unsigned i = 0; i < 2; i++) {
                p->number[i] = number[i];
                p->use[i] = NEW(RelayUse);
                get_member(s, &p->machine[i])->n_pairs++;
        }
        get_member(s, asker)->n_asked++;
        g_queue_push_tail_link(&s->pairs, &p->in_list);
        return p;
}

/* --- requests --- */

static void announce(const Pair *p, unsigned to) {
        Mesh *m = p->service->mesh;
        RelayMessage message = {
                .op = RELAY_ANNOUNCED,
                .machine = p->machine[!to],
                .allocation = p->number[to],
        };
        g_autoptr(GBytes) bytes = relay_message_encode(&message);

        (void) m->provider.ops->send(
                        m, &p->machine[to], RELAY_CHANNEL, g_bytes_get_data(bytes, NULL),
                        g_bytes_get_size(bytes));
}

static WireError may_allocate(RelayService *s, const MachineId *sender, const MachineId *other) {
        Endpoint at;

        if (!relay_service_is_open(s))
                return WIRE_ERROR_NOT_PERMITTED;
        if (machine_id_equal(sender, other) || !mesh_knows_machine(s->mesh, other) ||
            !relay_is_near(s->mesh, sender, &at) || !relay_is_near(s->mesh, other, &at))
                return WIRE_ERROR_NOT_LINKED;
        return WIRE_ERROR_NONE;
}

static void send_first(const Pair *p, unsigned from, const RelayMessage *message) {
        Mesh *m = p->service->mesh;
        Endpoint at;

        if (message->first_len == 0 || !relay_is_near(m, &p->machine[!from], &at))
                return;
        at.relay = p->number[!from];
        (void) m->env->send(m->env->userdata, &at, message->first, message->first_len);
}

static WireError
allocate(RelayService *s, const MachineId *sender, const RelayMessage *message, uint32_t *ret) {
        WireError error = may_allocate(s, sender, &message->machine);
        const Member *member;
        unsigned side;
        Pair *p;

        if (error)
                return error;
        p = find_pair(s, sender, &message->machine);
        if (!p) {
                member = g_hash_table_lookup(s->members, sender);
                if (member && member->n_asked >= RELAY_PAIRS_PER_MEMBER_MAX)
                        return WIRE_ERROR_FULL;
                p = pair_new(s, sender, &message->machine);
                if (!p)
                        return WIRE_ERROR_FULL;
                publish(p);
                announce(p, 1);
        }
        renew(p);
        side = side_of(p, sender);
        send_first(p, side, message);
        *ret = p->number[side];
        return WIRE_ERROR_NONE;
}

static void release(RelayService *s, const MachineId *sender, uint32_t number) {
        for (GList *l = s->pairs.head; l; l = l->next) {
                Pair *p = l->data;
                unsigned side = side_of(p, sender);

                if (side < 2 && p->number[side] == number) {
                        pair_free(p);
                        return;
                }
        }
}

void relay_service_request(
                RelayService *s,
                const MachineId *sender,
                ChannelRequest *request,
                const RelayMessage *message) {
        ChannelProvider *p = &s->mesh->provider;
        g_autoptr(GBytes) bytes = NULL;
        RelayResponse response = {};
        WireError error;

        mesh_charge(s->mesh, sender, COST_REQUEST);
        if (message->op == RELAY_RELEASE) {
                static const uint8_t empty_map = 0xa0;

                release(s, sender, message->allocation);
                p->ops->reply(p->self, request, &empty_map, sizeof empty_map);
                return;
        }
        error = allocate(s, sender, message, &response.allocation);
        if (error) {
                p->ops->fail(p->self, request, error);
                return;
        }
        bytes = relay_response_encode(&response);
        p->ops->reply(p->self, request, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* --- links --- */

static bool is_outside(const Endpoint *e) {
        static const struct {
                IpAddr address;
                uint8_t len;
        } local[] = {
                { { .family = AF_INET, .bytes = { 10 } }, 8 },
                { { .family = AF_INET, .bytes = { 100, 64 } }, 10 },
                { { .family = AF_INET, .bytes = { 127 } }, 8 },
                { { .family = AF_INET, .bytes = { 169, 254 } }, 16 },
                { { .family = AF_INET, .bytes = { 172, 16 } }, 12 },
                { { .family = AF_INET, .bytes = { 192, 168 } }, 16 },
                { { .family = AF_INET6, .bytes = { 0xfc } }, 7 },
                { { .family = AF_INET6, .bytes = { 0xfe, 0x80 } }, 10 },
                { { .family = AF_INET6, .bytes = { [15] = 1 } }, 128 },
        };
        IpAddr a = endpoint_address(e);
        PrefixSet set = {};

        for (unsigned i = 0; i < ELEMENTSOF(local); i++)
                prefix_set_add(&set, &local[i].address, local[i].len);
        return endpoint_is_set(e) && !endpoint_is_relayed(e) && !prefix_set_contains(&set, &a);
}

/* Others see us where we know ourselves to be, and that is no address of a LAN. */
static bool is_seen_outside(const Mesh *m) {
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;

                for (unsigned i = 0; i < ELEMENTSOF(link->seen); i++)
                        if (link_is_up(link) && mesh_is_local_endpoint(m, &link->seen[i]) &&
                            is_outside(&link->seen[i]))
                                return true;
        }
        return false;
}

bool relay_service_was_reached(const RelayService *s) {
        return env_now(s->mesh->env) < s->reached_until;
}

/* From outside, by a connection that was made to us: nobody needs to have asked for that. */
static bool is_connected(const Link *link) {
        Endpoint from = path_set_endpoint(&link->paths);

        return link_is_up(link) && from.transport == ENDPOINT_TCP_ACCEPTED && is_outside(&from);
}

static bool is_reached_by_stream(const Mesh *m) {
        for (GList *l = m->lru.head; l; l = l->next)
                if (is_connected(l->data))
                        return true;
        return false;
}

bool relay_service_is_open(const RelayService *s) {
        if (!s->table)
                return false;
        switch (s->mode) {
        case RELAY_ON:
                return true;
        case RELAY_OFF:
                return false;
        case RELAY_AUTO:
        case _RELAY_MODE_MAX:
                break;
        }
        return relay_service_was_reached(s) || is_seen_outside(s->mesh) ||
               is_reached_by_stream(s->mesh);
}

void relay_service_set_mode(RelayService *s, RelayMode mode) {
        s->mode = mode;
        while (!relay_service_is_open(s) && s->pairs.head)
                pair_free(s->pairs.head->data);
        presence_changed(s->mesh->presence);
}

static void note_asked(RelayService *s, const MachineId *machine) {
        usec_t now = env_now(s->mesh->env);

        if (g_hash_table_size(s->asked) >= ASKED_MAX)
                g_hash_table_remove_all(s->asked);
        g_hash_table_replace(
                        s->asked, g_memdup2(machine, sizeof *machine), g_memdup2(&now, sizeof now));
}

/* It opened the link. */
static void note_reached(RelayService *s, const Link *link) {
        usec_t now = env_now(s->mesh->env);
        const usec_t *asked = g_hash_table_lookup(s->asked, &link->machine);
        Endpoint from = path_set_endpoint(&link->paths);

        if (!link->current.kp || link->current.kp->is_initiator || !is_outside(&from) ||
            (asked && now < *asked + ASKED_USEC))
                return;
        if (now >= s->reached_until)
                presence_changed(s->mesh->presence);
        s->reached_until = now + REACHED_USEC;
}

static void publish_all_of(RelayService *s, const MachineId *machine, bool anew) {
        for (GList *l = s->pairs.head; l; l = l->next) {
                Pair *p = l->data;
                unsigned side = side_of(p, machine);

                if (side == 2)
                        continue;
                publish(p);
                if (anew)
                        announce(p, side);
        }
}

void relay_service_link_event(RelayService *s, Link *link, LinkEvent event) {
        const MachineId *machine = &link->machine;

        switch (event) {
        case LINK_EVENT_CONNECTING:
                note_asked(s, machine);
                publish_all_of(s, machine, false);
                return;
        case LINK_EVENT_UP:
                note_reached(s, link);
                publish_all_of(s, machine, false);
                if (is_connected(link))
                        presence_changed(s->mesh->presence);
                return;
        case LINK_EVENT_RESTARTED:
                publish_all_of(s, machine, true);
                return;
        case LINK_EVENT_DOWN:
                publish_all_of(s, machine, false);
                return;
        case LINK_EVENT_ENDPOINT:
                publish_all_of(s, machine, false);
                if (is_connected(link))
                        presence_changed(s->mesh->presence);
                return;
        case LINK_EVENT_SEEN:
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_LOST:
        case LINK_EVENT_CHANGED:
        case _LINK_EVENT_MAX:
                return;
        }
}

void relay_service_forget(RelayService *s, const MachineId *machine) {
        for (GList *l = s->pairs.head, *next; l; l = next) {
                next = l->next;
                if (side_of(l->data, machine) < 2)
                        pair_free(l->data);
        }
}

void relay_service_stats(const RelayService *s, MeshRelayStats *ret) {
        *ret = (MeshRelayStats){
                .pairs = s->pairs.length,
                .datagrams = s->datagrams,
                .bytes = s->bytes,
        };
        for (GList *l = s->pairs.head; l; l = l->next) {
                const Pair *p = l->data;

                for (unsigned i = 0; i < 2; i++) {
                        ret->datagrams += atomic_load_explicit(
                                        &p->use[i]->datagrams, memory_order_relaxed);
                        ret->bytes += atomic_load_explicit(&p->use[i]->bytes, memory_order_relaxed);
                }
        }
}
