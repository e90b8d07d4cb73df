/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/gossip/neighbours.h"

#include <sodium.h>
#include <string.h>

#include "core/mesh/gossip/presence.h"
#include "core/mesh/lan/discovery.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/relay/relay.h"

#define CHOOSE_DELAY USEC_PER_SEC
#define RETRY_MIN (5 * USEC_PER_SEC)
#define RETRY_MAX (5 * USEC_PER_MINUTE)
#define PROBE_WAIT (3 * USEC_PER_SEC)
#define PROBES_MISSED_MAX 2U
/* Issuers and gateways are few; more than these are served by the ring. */
#define FIXED_MAX 8U
#define CHOSEN_MAX (FIXED_MAX + NEIGHBOUR_SUCCESSORS + RELAYS_MAX)

typedef struct Neighbour {
        Neighbours *neighbours;
        GList in_list;
        MachineId machine;
        bool fixed; /* gateway or issuer: tried for ever */
        bool keep;  /* chosen again */
        unsigned failures, missed;
        uint32_t index; /* of the key at the last look, and what was sent with it */
        uint64_t sent;
        Timer timer; /* up: keepalive; down: next try */
} Neighbour;

typedef struct Avoided {
        MachineId machine;
        usec_t until;
} Avoided;

struct Neighbours {
        Mesh *mesh;
        GQueue list; /* of Neighbour */
        GArray *avoided;
        Timer timer;
        LinkObserver observer;
};

static Neighbour *find(const Neighbours *n, const MachineId *machine) {
        for (GList *l = n->list.head; l; l = l->next)
                if (machine_id_equal(&((Neighbour *) l->data)->machine, machine))
                        return l->data;
        return NULL;
}

bool neighbours_has(const Neighbours *n, const MachineId *machine) {
        return n && find(n, machine);
}

void neighbours_foreach(
                const Neighbours *n,
                void (*callback)(void *userdata, const MachineId *machine),
                void *userdata) {
        for (GList *l = n->list.head; l; l = l->next)
                callback(userdata, &((Neighbour *) l->data)->machine);
}

unsigned neighbours_count(const Neighbours *n) {
        return n->list.length;
}

static void drop(Neighbour *b) {
        timer_clear(&b->timer);
        probes_forget(b->neighbours->mesh->probes, b);
        g_queue_unlink(&b->neighbours->list, &b->in_list);
        g_free(b);
}

/* --- keeping a link --- */

static void on_neighbour_timer(void *userdata);

static void arm(Neighbour *b, usec_t delay) {
        const MeshEnv *env = b->neighbours->mesh->env;

        timer_set(env->timers, &b->timer, usec_add(env_now(env), delay), on_neighbour_timer, b);
}

static usec_t keepalive_interval(Mesh *m, const Link *link) {
        /* Not knowing where we are seen is like being translated. */
        const Endpoint *seen = link_seen_now(link);
        bool direct = endpoint_is_set(seen) && mesh_is_local_endpoint(m, seen);

        return direct ? NEIGHBOUR_KEEPALIVE_USEC : NEIGHBOUR_KEEPALIVE_NAT_USEC;
}

static void on_probe(void *userdata, bool lost, usec_t rtt) {
        Neighbour *b = userdata;
        Mesh *m = b->neighbours->mesh;
        Link *link = link_find(m, &b->machine);

        if (!lost || !link) {
                b->missed = 0;
                return;
        }
        if (++b->missed >= PROBES_MISSED_MAX) {
                b->missed = 0;
                link_lose(link);
        } else if (probes_send(link, PROBE_WAIT, on_probe, b) < 0)
                b->missed = 0;
}

static void keep_alive(Neighbour *b, Link *link) {
        Mesh *m = b->neighbours->mesh;
        usec_t interval = keepalive_interval(m, link);
        usec_t silent = usec_sub(env_now(m->env), link_last_received(link));
        uint64_t sent = atomic_load_explicit(&link->current.kp->send_counter, memory_order_relaxed);
        bool has_sent = link->current.kp->local_index != b->index || sent != b->sent;

        b->index = link->current.kp->local_index;
        b->sent = sent;
        /* Translators remember what is sent, not what is received. */
        if (silent < interval && has_sent) {
                arm(b, interval - silent);
                return;
        }
        if (probes_send(link, PROBE_WAIT, on_probe, b) < 0)
                link_lose(link);
        arm(b, interval);
}

static void on_neighbour_timer(void *userdata) {
        Neighbour *b = userdata;
        Mesh *m = b->neighbours->mesh;
        Link *link = link_find(m, &b->machine);

        if (link && link_is_up(link) && !link_is_limited(link)) {
                keep_alive(b, link);
                return;
        }
        if (m->provider.ops->connect(m, &b->machine) < 0)
                arm(b, RETRY_MAX);
}

static void avoid(Neighbours *n, const MachineId *machine) {
        Avoided a = { .machine = *machine, .until = env_now(n->mesh->env) + NEIGHBOUR_AVOID_USEC };

        /* Those that are over go first; it never holds more than what fails in the interval. */
        for (unsigned i = n->avoided->len; i > 0; i--)
                if (g_array_index(n->avoided, Avoided, i - 1).until <= env_now(n->mesh->env))
                        g_array_remove_index(n->avoided, i - 1);
        g_array_append_val(n->avoided, a);
}

/* Return: whether it was. */
static bool unavoid(Neighbours *n, const MachineId *machine) {
        unsigned before = n->avoided->len;

        for (unsigned i = n->avoided->len; i > 0; i--)
                if (machine_id_equal(&g_array_index(n->avoided, Avoided, i - 1).machine, machine))
                        g_array_remove_index(n->avoided, i - 1);
        return n->avoided->len < before;
}

static void on_down(Neighbour *b) {
        Neighbours *n = b->neighbours;
        usec_t delay;
        uint32_t random;

        b->failures++;
        if (!b->fixed) {
                avoid(n, &b->machine);
                neighbours_changed(n);
        }
        delay = MIN(RETRY_MIN << MIN(b->failures - 1, 10U), RETRY_MAX);
        /* Many may have lost the same gateway at the same instant. */
        env_random(n->mesh->env, &random, sizeof random);
        arm(b, delay + random % (delay / 2));
}

static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        Neighbours *n = userdata;
        Neighbour *b = find(n, &link->machine);

        switch (event) {
        case LINK_EVENT_UP:
        case LINK_EVENT_RESTARTED:
                /* It went, and called us when it was back. */
                if (unavoid(n, &link->machine))
                        neighbours_changed(n);
                if (!b)
                        return;
                b->failures = b->missed = 0;
                arm(b, NEIGHBOUR_KEEPALIVE_NAT_USEC);
                return;
        case LINK_EVENT_DOWN:
                if (b)
                        on_down(b);
                return;
        case LINK_EVENT_CONNECTING:
        case LINK_EVENT_ENDPOINT:
        case LINK_EVENT_SEEN:
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_LOST:
        case LINK_EVENT_CHANGED:
        case _LINK_EVENT_MAX:
                return;
        }
}

Neighbours *neighbours_new(Mesh *m) {
        Neighbours *n = NEW(Neighbours);

        n->mesh = m;
        g_queue_init(&n->list);
        n->avoided = g_array_new(false, false, sizeof(Avoided));
        n->observer = (LinkObserver){ .userdata = n, .event = on_link_event };
        mesh_observe_links(m, &n->observer);
        return n;
}

Neighbours *neighbours_free(Neighbours *n) {
        if (!n)
                return NULL;
        mesh_unobserve_links(n->mesh, &n->observer);
        while (n->list.head)
                drop(n->list.head->data);
        timer_clear(&n->timer);
        g_array_unref(n->avoided);
        g_free(n);
        return NULL;
}

void neighbours_hurry(Neighbours *n) {
        g_array_set_size(n->avoided, 0);
        neighbours_changed(n);
        for (GList *l = n->list.head; l; l = l->next) {
                Neighbour *b = l->data;
                const Link *link = link_find(n->mesh, &b->machine);

                b->failures = 0;
                if (!link || !link_is_up(link))
                        arm(b, 0);
        }
}

void neighbours_found(Neighbours *n, const MachineId *machine) {
        Neighbour *b = find(n, machine);
        const Link *link = link_find(n->mesh, machine);

        (void) unavoid(n, machine);
        if (link && link_is_up(link))
                return;
        neighbours_changed(n);
        if (!b)
                return;
        b->failures = 0;
        arm(b, 0);
}

/* --- choosing --- */

typedef struct Choice {
        Neighbours *neighbours;
        const MachineId *self;
        uint64_t self_hash;
        MachineId fixed[FIXED_MAX];
        unsigned n_fixed;
        /* The nearest on the ring so far, nearest first. */
        MachineId near[NEIGHBOUR_SUCCESSORS];
        uint64_t distance[NEIGHBOUR_SUCCESSORS];
        unsigned n_near;
        /* Relays this machine can be reached through, should it not be directly: those an
         * administrator prefers, then the nearest. */
        unsigned n_relays_fixed; /* that are links anyway */
        MachineId relay[RELAYS_MAX];
        uint64_t relay_distance[RELAYS_MAX];
        unsigned n_relays;
} Choice;

/* Ids can be searched for, so that one machine would be everybody's successor; the network's id
 * is no secret, but makes it a search for each network anew. */
static uint64_t ring_position(Mesh *m, const MachineId *machine) {
        uint8_t out[crypto_shorthash_BYTES];

        crypto_shorthash(out, machine->bytes, sizeof machine->bytes, m->config.network.bytes);
        return read_le64(out);
}

static bool is_avoided(const Neighbours *n, const MachineId *machine) {
        for (unsigned i = 0; i < n->avoided->len; i++) {
                const Avoided *a = &g_array_index(n->avoided, Avoided, i);

                if (a->until > env_now(n->mesh->env) && machine_id_equal(&a->machine, machine))
                        return true;
        }
        return false;
}

/* The upper half of the distances is that of relays nobody prefers. */
static void consider_relay(Choice *c, const Record *certificate, uint64_t distance) {
        unsigned i;

        distance >>= 1;
        if (!(certificate->body.certificate.roles & ROLE_RELAY))
                distance |= UINT64_C(1) << 63;
        for (i = c->n_relays; i > 0 && c->relay_distance[i - 1] > distance; i--)
                if (i < RELAYS_MAX) {
                        c->relay[i] = c->relay[i - 1];
                        c->relay_distance[i] = c->relay_distance[i - 1];
                }
        if (i == RELAYS_MAX)
                return;
        c->relay[i] = certificate->body.machine;
        c->relay_distance[i] = distance;
        c->n_relays = MIN(c->n_relays + 1, RELAYS_MAX);
}

static void consider(void *userdata, Record *certificate) {
        Choice *c = userdata;
        Mesh *m = c->neighbours->mesh;
        const MachineId *machine = &certificate->body.machine;
        uint64_t distance;
        unsigned i;

        if (machine_id_equal(machine, c->self) || !mesh_knows_machine(m, machine))
                return;
        if (certificate->body.certificate.roles & (ROLE_GATEWAY | ROLE_ISSUER)) {
                if (c->n_fixed < FIXED_MAX)
                        c->fixed[c->n_fixed++] = *machine;
                c->n_relays_fixed += mesh_relay_offers(m, machine);
                return;
        }
        /* Never heard of where it is, or lately in vain. */
        if (!directory_get(m->config.directory, RECORD_PRESENCE, machine) &&
            !endpoint_book_knows(m->book, machine) && !name_book_has(m->names, machine) &&
            !discovery_knows(m->discovery, machine))
                return;
        if (is_avoided(c->neighbours, machine))
                return;
        distance = ring_position(m, machine) - c->self_hash;
        if (mesh_relay_offers(m, machine))
                consider_relay(c, certificate, distance);
        for (i = c->n_near; i > 0 && c->distance[i - 1] > distance; i--)
                if (i < NEIGHBOUR_SUCCESSORS) {
                        c->near[i] = c->near[i - 1];
                        c->distance[i] = c->distance[i - 1];
                }
        if (i == NEIGHBOUR_SUCCESSORS)
                return;
        c->near[i] = *machine;
        c->distance[i] = distance;
        c->n_near = MIN(c->n_near + 1, NEIGHBOUR_SUCCESSORS);
}

static void take(Neighbours *n, const MachineId *machine, bool fixed) {
        Neighbour *b = find(n, machine);
        const Link *link;

        if (b) {
                b->keep = true;
                b->fixed = fixed;
                return;
        }
        b = NEW(Neighbour);
        *b = (Neighbour){
                .neighbours = n,
                .in_list.data = b,
                .machine = *machine,
                .fixed = fixed,
                .keep = true,
        };
        g_queue_push_tail_link(&n->list, &b->in_list);
        link = link_find(n->mesh, machine);
        arm(b, link && link_is_up(link) ? NEIGHBOUR_KEEPALIVE_NAT_USEC : 0);
}

static usec_t next_chance(Neighbours *n) {
        usec_t now = env_now(n->mesh->env), next = now + NEIGHBOUR_AVOID_USEC;

        for (unsigned i = 0; i < n->avoided->len; i++)
                next = MIN(next, g_array_index(n->avoided, Avoided, i).until);
        /* Those that are over stay until the next failure. */
        return MAX(next, now + USEC_PER_MINUTE);
}

static void choose(void *userdata) {
        Neighbours *n = userdata;
        Mesh *m = n->mesh;
        Choice c = { .neighbours = n, .self = &m->config.identity->id };

        if (m->is_member && !m->revoked) {
                c.self_hash = ring_position(m, c.self);
                directory_foreach(m->config.directory, RECORD_CERTIFICATE, consider, &c);
        }
        for (GList *l = n->list.head; l; l = l->next)
                ((Neighbour *) l->data)->keep = false;
        for (unsigned i = 0; i < c.n_fixed; i++)
                take(n, &c.fixed[i], true);
        for (unsigned i = 0; i < c.n_near; i++)
                take(n, &c.near[i], false);
        for (unsigned i = 0; i < c.n_relays && c.n_relays_fixed + i < RELAYS_MAX; i++)
                take(n, &c.relay[i], false);
        for (GList *l = n->list.head, *next; l; l = next) {
                next = l->next;
                if (!((Neighbour *) l->data)->keep)
                        drop(l->data);
        }
        /* It names the relays among them. */
        presence_changed(m->presence);
        /* Who was avoided gets another chance. */
        if (n->avoided->len > 0 && !timer_is_set(&n->timer))
                timer_set(m->env->timers, &n->timer, next_chance(n), choose, n);
}

void neighbours_changed(Neighbours *n) {
        const MeshEnv *env = n->mesh->env;
        usec_t due = env_now(env) + CHOOSE_DELAY;

        if (!timer_is_set(&n->timer) || n->timer.due > due)
                timer_set(env->timers, &n->timer, due, choose, n);
}
