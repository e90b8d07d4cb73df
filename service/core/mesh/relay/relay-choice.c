/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which relay for whom: the nearest, but not always the same one, so that load spreads. */

#include "core/mesh/relay/relay.h"

/* Enough to choose from: those a machine names, ours, gateways and issuers. */
#define CANDIDATES_MAX 16U
/* Of one nobody has measured: a link across a continent. */
#define RTT_UNKNOWN (100 * USEC_PER_MSEC)

typedef struct Candidate {
        MachineId machine;
        bool preferred; /* by an administrator */
        usec_t rtt;     /* to us */
} Candidate;

typedef struct Choice {
        Mesh *mesh;
        const MachineId *target;
        bool (*is_bad)(const void *userdata, const MachineId *relay);
        const void *userdata;
        Candidate candidate[CANDIDATES_MAX];
        unsigned n;
} Choice;

bool relay_is_near(Mesh *m, const MachineId *machine, Endpoint *ret) {
        const Link *link = link_find(m, machine);

        if (!link || !link_is_up(link) || link_is_limited(link) || link->dismissed)
                return false;
        *ret = path_set_endpoint(&link->paths);
        return endpoint_is_set(ret) && !endpoint_is_relayed(ret);
}

bool relay_is_preferred(const Mesh *m, const MachineId *machine) {
        const Record *certificate = directory_certificate(m->config.directory, machine);

        return certificate && certificate->body.certificate.roles & ROLE_RELAY;
}

static void add(Choice *c, const MachineId *machine) {
        Candidate *k = &c->candidate[c->n];
        const Path *path;
        Endpoint at;

        if (c->n == CANDIDATES_MAX || machine_id_equal(machine, c->target) ||
            !directory_certificate(c->mesh->config.directory, machine) ||
            !relay_is_near(c->mesh, machine, &at) || c->is_bad(c->userdata, machine))
                return;
        for (unsigned i = 0; i < c->n; i++)
                if (machine_id_equal(&c->candidate[i].machine, machine))
                        return;
        path = path_set_active(&link_find(c->mesh, machine)->paths);
        *k = (Candidate){
                .machine = *machine,
                .preferred = relay_is_preferred(c->mesh, machine),
                .rtt = path->srtt > 0 ? path->srtt : RTT_UNKNOWN,
        };
        c->n++;
}

/* A link that lasts. A gateway's does, also before neighbours were chosen: who has just started has
 * no other, and would be without a relay for the first second. */
static bool is_kept(const Mesh *m, const MachineId *machine) {
        const Record *certificate = directory_certificate(m->config.directory, machine);

        return mesh_keeps_link(m, machine) ||
               (certificate && certificate->body.certificate.roles & (ROLE_GATEWAY | ROLE_ISSUER));
}

/* Those we have links with, in the order in which they were used last. */
static void add_linked(Choice *c) {
        for (GList *l = c->mesh->lru.head; l; l = l->next) {
                const MachineId *machine = &((Link *) l->data)->machine;

                if (mesh_relay_offers(c->mesh, machine) && is_kept(c->mesh, machine))
                        add(c, machine);
        }
}

/* Those it says it is reached through. */
static void add_named(Choice *c) {
        const Record *presence = directory_get(c->mesh->config.directory, RECORD_PRESENCE, c->target);

        for (unsigned i = 0; presence && i < presence->body.presence.n_relays; i++)
                add(c, &presence->body.presence.relays[i]);
}

/* A link to a relay is made for who has none, or none that an administrator prefers. One who has
 * links enough must not: the relay may be hard to reach as well, and name relays of its own, until
 * everybody is connected with everybody. */
static void connect_named(const Choice *c, const Candidate *best) {
        Directory *d = c->mesh->config.directory;
        const Record *presence = directory_get(d, RECORD_PRESENCE, c->target);
        ChannelProvider *p = &c->mesh->provider;

        for (unsigned i = 0; presence && i < presence->body.presence.n_relays; i++) {
                const MachineId *machine = &presence->body.presence.relays[i];
                bool preferred = relay_is_preferred(c->mesh, machine);

                if (link_find(c->mesh, machine) || (best && (best->preferred || !preferred)))
                        continue;
                (void) p->ops->connect(p->self, machine);
        }
}

static bool is_worse(const Candidate *a, const Candidate *b) {
        if (a->preferred != b->preferred)
                return b->preferred;
        return a->rtt > b->rtt;
}

bool relay_choose(
                Mesh *m,
                const MachineId *target,
                bool (*is_bad)(const void *userdata, const MachineId *relay),
                const void *userdata,
                bool is_spare,
                MachineId *ret) {
        Choice c = { .mesh = m, .target = target, .is_bad = is_bad, .userdata = userdata };
        const Candidate *best = NULL, *as_good[CANDIDATES_MAX];
        unsigned n = 0;
        uint32_t random;

        add_named(&c);
        add_linked(&c);
        for (unsigned i = 0; i < c.n; i++)
                if (!best || is_worse(best, &c.candidate[i]))
                        best = &c.candidate[i];
        if (!is_spare)
                connect_named(&c, best);
        if (!best)
                return false;
        for (unsigned i = 0; i < c.n; i++)
                if (c.candidate[i].preferred == best->preferred &&
                    c.candidate[i].rtt <= best->rtt + best->rtt / 2)
                        as_good[n++] = &c.candidate[i];
        env_random(m->env, &random, sizeof random);
        *ret = as_good[random % n]->machine;
        return true;
}
