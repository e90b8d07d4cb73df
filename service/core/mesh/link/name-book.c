/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/name-book.h"

#include <string.h>

#include "core/mesh/gossip/neighbours.h"
#include "core/mesh/link/handshake.h"
#include "core/mesh/link/link.h"

/* From one look-up to the next, while the machine does not answer: whoever has moved has told its
 * provider within seconds or minutes, and a name server that is down is not to be flooded. */
#define AGAIN_MIN (5 * USEC_PER_SEC)
#define AGAIN_MAX (5 * USEC_PER_MINUTE)

typedef struct Named {
        NameBook *book;
        MachineId machine;
        HostPort names[GATEWAY_NAMES_MAX];
        unsigned n_names;
        bool is_asking;
        unsigned asking; /* which of .names */
        usec_t delay;    /* from the last look-up to .next */
        usec_t next;     /* monotonic: not before */
        Endpoint found[RESOLVED_MAX];
        unsigned n_found;
} Named;

struct NameBook {
        Mesh *mesh;
        LinkObserver observer;
        unsigned n;
        Named *named[NAMED_MACHINES_MAX];
};

static unsigned place_of(const NameBook *b, const MachineId *machine) {
        unsigned i = 0;

        while (i < b->n && !machine_id_equal(&b->named[i]->machine, machine))
                i++;
        return i;
}

static Named *find(const NameBook *b, const MachineId *machine) {
        unsigned i = place_of(b, machine);

        return i < b->n ? b->named[i] : NULL;
}

static void stop(Named *e) {
        const Resolver *r = e->book->mesh->env->resolver;

        if (e->is_asking)
                r->ops->cancel(r->self, e);
        e->is_asking = false;
        e->delay = e->next = 0;
}

/* --- what was found --- */

/* Where a former look-up led and this one does not, is not tried any more. */
static void drop_gone(Named *e, Link *link, const Endpoint *former, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                Path *p = path_set_find(&link->paths, &former[i]);

                if (p && p->origin == PATH_HINT && p != path_set_active(&link->paths) &&
                    !endpoint_is_among(&former[i], e->found, e->n_found))
                        path_set_remove(&link->paths, p);
        }
}

static void use_found(Named *e) {
        Mesh *m = e->book->mesh;
        Link *link = link_find(m, &e->machine);
        Endpoint former[RESOLVED_MAX];
        unsigned n;
        bool is_new;

        n = endpoint_book_set_resolved(m->book, &e->machine, e->found, e->n_found, former, &is_new);
        if (link)
                drop_gone(e, link, former, n);
        if (!is_new)
                return;
        if (link && link->attempt)
                attempt_hurry(link->attempt);
        neighbours_found(m->neighbours, &e->machine);
}

static void take(Named *e, const IpAddr *address) {
        const Mesh *m = e->book->mesh;
        Endpoint to = {};

        if (e->n_found == RESOLVED_MAX)
                return;
        if (address->family == AF_INET) {
                to.in.sin_family = AF_INET;
                memcpy(&to.in.sin_addr, address->bytes, sizeof to.in.sin_addr);
        } else {
                to.in6.sin6_family = AF_INET6;
                memcpy(&to.in6.sin6_addr, address->bytes, sizeof to.in6.sin6_addr);
        }
        endpoint_set_port(&to, e->names[e->asking].port);
        /* Of a link-local address nobody says by which interface. */
        if (endpoint_is_usable(&to) && !endpoint_is_link_local(&to) && !mesh_is_inside(m, &to) &&
            !mesh_is_local_endpoint(m, &to) && !endpoint_is_among(&to, e->found, e->n_found))
                e->found[e->n_found++] = to;
}

/* --- looking up --- */

static void ask_next(Named *e);

static void on_resolved(void *userdata, int error, const IpAddr *addresses, unsigned n) {
        Named *e = userdata;

        e->is_asking = false;
        for (unsigned i = 0; error >= 0 && i < n; i++)
                take(e, &addresses[i]);
        e->asking++;
        ask_next(e);
}

static void ask_next(Named *e) {
        const MeshEnv *env = e->book->mesh->env;
        const Resolver *r = env->resolver;

        for (; e->asking < e->n_names; e->asking++)
                if (r->ops->start(r->self, e->names[e->asking].host, on_resolved, e) >= 0) {
                        e->is_asking = true;
                        return;
                }
        e->delay = e->delay > 0 ? MIN(2 * e->delay, AGAIN_MAX) : AGAIN_MIN;
        e->next = usec_add(env_now(env), e->delay);
        /* That nobody answers makes no former answer wrong. */
        if (e->n_found > 0)
                use_found(e);
}

void name_book_want(NameBook *b, const MachineId *machine) {
        Named *e = find(b, machine);
        const MeshEnv *env = b->mesh->env;

        if (!e || !env->resolver || e->is_asking || env_now(env) < e->next)
                return;
        e->asking = e->n_found = 0;
        ask_next(e);
}

void name_book_changed(NameBook *b) {
        for (unsigned i = 0; i < b->n; i++)
                b->named[i]->delay = b->named[i]->next = 0;
}

/* It answers, and nobody need be asked where it is. */
static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        Named *e = find(userdata, &link->machine);

        if (e && (event == LINK_EVENT_UP || event == LINK_EVENT_RESTARTED))
                stop(e);
}

/* --- who has a name --- */

void name_book_set(NameBook *b, const MachineId *machine, const HostPort *names, unsigned n) {
        unsigned i = place_of(b, machine);
        Named *e = i < b->n ? b->named[i] : NULL;

        assert(n <= GATEWAY_NAMES_MAX);
        if (e)
                stop(e);
        if (n == 0) {
                if (e)
                        b->named[i] = b->named[--b->n];
                g_free(e);
                return;
        }
        if (!e && b->n == NAMED_MACHINES_MAX)
                return;
        if (!e) {
                e = b->named[b->n++] = NEW(Named);
                e->book = b;
                e->machine = *machine;
        }
        memcpy(e->names, names, n * sizeof names[0]);
        e->n_names = n;
}

bool name_book_has(const NameBook *b, const MachineId *machine) {
        return find(b, machine) != NULL;
}

NameBook *name_book_new(Mesh *m) {
        NameBook *b = NEW(NameBook);

        b->mesh = m;
        b->observer = (LinkObserver){ .userdata = b, .event = on_link_event };
        mesh_observe_links(m, &b->observer);
        return b;
}

NameBook *name_book_free(NameBook *b) {
        if (!b)
                return NULL;
        mesh_unobserve_links(b->mesh, &b->observer);
        for (unsigned i = 0; i < b->n; i++) {
                stop(b->named[i]);
                g_free(b->named[i]);
        }
        g_free(b);
        return NULL;
}
