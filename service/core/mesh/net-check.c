/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/net-check.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/relay/relay.h"
#include "core/wire/messages.h"

/* As long as an answer to a probe is waited for. */
#define CHECK_USEC PATH_ANSWER_USEC
/* Members that are asked where they see us: two agree, a third outvotes a liar, and one is slow. */
#define ASKED_MAX 4U
/* Somebody whose link is kept is heard each minute (docs/protocol.md, "Timers"). */
#define HEARD_USEC (2 * USEC_PER_MINUTE)

typedef struct Waiter {
        MeshNetChecked done;
        void *userdata;
} Waiter;

struct NetCheck {
        Mesh *mesh;
        usec_t begun;    /* monotonic: the mesh, or it woke up */
        GArray *waiters; /* of Waiter */
        Timer timer;
        uint8_t echo[BEACON_SIZE]; /* what was sent to ourselves; type 0: nothing */
        NetHairpin hairpin;
};

NetCheck *net_check_new(Mesh *m) {
        NetCheck *c = NEW(NetCheck);

        *c = (NetCheck){
                .mesh = m,
                .begun = env_now(m->env),
                .waiters = g_array_new(false, false, sizeof(Waiter)),
        };
        return c;
}

/* Those that come meanwhile wait for the next one. */
static void finish(NetCheck *c, const MeshNetInfo *info) {
        g_autoptr(GArray) waiters = c->waiters;

        timer_clear(&c->timer);
        c->waiters = g_array_new(false, false, sizeof(Waiter));
        for (unsigned i = 0; i < waiters->len; i++) {
                const Waiter *w = &g_array_index(waiters, Waiter, i);

                w->done(w->userdata, info);
        }
}

NetCheck *net_check_free(NetCheck *c) {
        if (!c)
                return NULL;
        finish(c, NULL);
        g_array_unref(c->waiters);
        g_free(c);
        return NULL;
}

void net_check_woke(NetCheck *c) {
        c->begun = env_now(c->mesh->env);
}

/* --- asking --- */

/* Return: whether something was asked that shows us from outside. */
static bool ask_link(Link *link) {
        bool asked = false;

        if (!link_is_up(link) || link_is_limited(link))
                return false;
        paths_add_known(link);
        for (unsigned i = 0; i < link->paths.n; i++) {
                Path *p = &link->paths.path[i];

                if (!endpoint_is_relayed(&p->endpoint) && p->theirs == PATH_TIER_PUBLIC)
                        asked = paths_ask(link, p) || asked;
        }
        return asked;
}

static bool ask_members(Mesh *m) {
        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify) link_unref);
        unsigned n = 0;

        for (GList *l = m->lru.head; l; l = l->next)
                g_ptr_array_add(links, link_ref(l->data));
        for (unsigned i = 0; i < links->len && n < ASKED_MAX; i++) {
                Link *link = links->pdata[i];

                n += link->mesh && ask_link(link);
        }
        return n > 0;
}

/* Where we are from outside, as our router says or two members do; a single one could name anybody.
 * Return: false: there is no such place. */
static bool find_outside(const Mesh *m, Endpoint *ret) {
        NatVerdict v = mesh_nat_verdict(m, AF_INET);

        for (unsigned i = 0; i < m->n_mapped; i++)
                if (m->mapped[i].sa.sa_family == AF_INET) {
                        *ret = m->mapped[i];
                        return true;
                }
        if (v.mapping != NAT_MAPPING_INDEPENDENT)
                return false;
        *ret = v.seen;
        return true;
}

/* As a beacon to whoever looks: random bytes behind a type. */
static bool send_echo(NetCheck *c) {
        const MeshEnv *env = c->mesh->env;
        Endpoint outside;

        c->hairpin = NET_HAIRPIN_UNKNOWN;
        if (!find_outside(c->mesh, &outside))
                return false;
        env_random(env, c->echo, sizeof c->echo);
        memset(c->echo, 0, 4);
        c->echo[0] = MESSAGE_BEACON;
        if (env->send(env->userdata, &outside, c->echo, sizeof c->echo) < 0) {
                c->echo[0] = 0;
                return false;
        }
        c->hairpin = NET_HAIRPIN_NO;
        return true;
}

bool net_check_take(NetCheck *c, const uint8_t *data, size_t len) {
        if (len != sizeof c->echo || c->echo[0] == 0 ||
            sodium_memcmp(data, c->echo, sizeof c->echo) != 0)
                return false;
        c->hairpin = NET_HAIRPIN_YES;
        return true;
}

/* --- what came of it --- */

/* Monotonic: when the machine was last heard, not by a connection; 0: never. */
static usec_t heard_by_udp(const Link *link) {
        const Path *active = path_set_active(&link->paths);
        usec_t heard = 0;

        for (unsigned i = 0; i < link->paths.n; i++)
                if (!endpoint_is_stream(&link->paths.path[i].endpoint))
                        heard = MAX(heard, link->paths.path[i].last_received);
        return active && !endpoint_is_stream(&active->endpoint)
                               ? MAX(heard, paths_active_heard(link))
                               : heard;
}

static NetUdp judge_udp(const NetCheck *c) {
        Mesh *m = c->mesh;
        usec_t now = env_now(m->env), heard = 0;

        for (GList *l = m->lru.head; l; l = l->next)
                heard = MAX(heard, heard_by_udp(l->data));
        if (heard > 0 && now <= usec_add(heard, HEARD_USEC))
                return NET_UDP_WORKS;
        if (directory_count(m->config.directory, RECORD_CERTIFICATE) < 2)
                return NET_UDP_NOBODY;
        return now < usec_add(c->begun, HEARD_USEC) ? NET_UDP_TOO_EARLY : NET_UDP_SILENT;
}

static void add_links(Mesh *m, MeshNetInfo *info) {
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;
                const Path *active = path_set_active(&link->paths);
                Endpoint at;

                if (!link_is_up(link) || link_is_limited(link))
                        continue;
                if (active && !endpoint_is_relayed(&active->endpoint))
                        info->mtu = MAX(info->mtu, active->mtu.size);
                if (info->n_relays < ELEMENTSOF(info->relays) &&
                    mesh_relay_offers(m, &link->machine) && relay_is_near(m, &link->machine, &at))
                        info->relays[info->n_relays++] = link->machine;
        }
}

static void on_timer(void *userdata) {
        NetCheck *c = userdata;
        Mesh *m = c->mesh;
        MeshNetInfo info = {
                .nat = { mesh_nat_info(m, AF_INET), mesh_nat_info(m, AF_INET6) },
                .udp = judge_udp(c),
                .hairpin = c->hairpin,
                .is_reached = relay_service_was_reached(m->relay->service),
        };

        add_links(m, &info);
        c->echo[0] = 0;
        finish(c, &info);
}

int mesh_net_check(Mesh *m, MeshNetChecked done, void *userdata) {
        NetCheck *c = m->net_check;
        Waiter w = { done, userdata };
        bool waits;

        if (c->waiters->len >= NET_CHECKS_MAX)
                return -EBUSY;
        g_array_append_val(c->waiters, w);
        if (timer_is_set(&c->timer))
                return 0;
        waits = ask_members(m);
        waits = send_echo(c) || waits;
        timer_set(m->env->timers, &c->timer, env_now(m->env) + (waits ? CHECK_USEC : 0), on_timer, c);
        return 0;
}

static const char *const udp_names[] = {
        [NET_UDP_WORKS] = "works",
        [NET_UDP_SILENT] = "silent",
        [NET_UDP_NOBODY] = "nobody",
        [NET_UDP_TOO_EARLY] = "unknown",
};
static_assert(ELEMENTSOF(udp_names) == _NET_UDP_MAX, "a state of UDP has no name");

static const char *const hairpin_names[] = {
        [NET_HAIRPIN_UNKNOWN] = "unknown",
        [NET_HAIRPIN_NO] = "no",
        [NET_HAIRPIN_YES] = "yes",
};
static_assert(ELEMENTSOF(hairpin_names) == _NET_HAIRPIN_MAX, "a state of hairpin has no name");

const char *net_udp_to_string(NetUdp udp) {
        return udp_names[udp];
}
const char *net_hairpin_to_string(NetHairpin hairpin) {
        return hairpin_names[hairpin];
}
