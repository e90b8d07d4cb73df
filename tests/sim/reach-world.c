/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "reach-world.h"

/* Of the filter on a machine: what Linux keeps of UDP that was answered is 120 s, of what was not
 * 30 s; routers are not kinder. */
#define FIREWALL_LIFETIME (30 * USEC_PER_SEC)

static const char *const end_names[] = {
        [END_OPEN] = "open",
        [END_FIREWALL] = "firewall",
        [END_CONE] = "cone",
        [END_EASY] = "easy",
        [END_PREDICTABLE] = "predictable",
        [END_RANDOM] = "random",
        [END_MAPPED] = "mapped",
        [END_DOUBLE] = "double",
        [END_CARRIER] = "carrier",
        [END_DUAL] = "dual",
        [END_ONLY6] = "only6",
        [END_BLOCKED] = "blocked",
};
static_assert(ELEMENTSOF(end_names) == _END_MAX, "an end has no name");

const char *end_name(End end) {
        return end_names[end];
}

const char *kind_name(Kind kind) {
        static const char *const names[] = {
                [NONE] = "none", [RELAYED] = "relayed", [DIRECT] = "direct", [LAN] = "lan"
        };

        return names[kind];
}

Reach *reach_new(uint64_t seed) {
        Reach *r = NEW(Reach);

        assert_true(aead_setup() >= 0);
        r->sim = sim_new(seed);
        r->gateway = machine_new(r->sim, "gateway", "192.0.2.1:18002");
        sim_node_add_address(r->gateway->node, "2001:db8::1");
        machine_listen(r->gateway, 443);
        machine_create_network(r->gateway, "10.0.0.0/16");
        return r;
}

Reach *reach_free(Reach *r) {
        if (!r)
                return NULL;
        for (unsigned i = 0; i < r->n; i++)
                machine_free(r->machine[i]);
        machine_free(r->gateway);
        sim_free(r->sim);
        g_free(r);
        return NULL;
}

/* --- sites --- */

static SimNatKind kind_of(End end) {
        SimNatKind kind = SIM_NAT_EASY;

        if (end == END_CONE)
                kind = SIM_NAT_FULL_CONE;
        else if (end == END_PREDICTABLE)
                kind = SIM_NAT_PREDICTABLE;
        else if (end == END_RANDOM || end == END_MAPPED)
                kind = SIM_NAT_RANDOM;
        kind.maps_ports = end == END_MAPPED;
        return kind;
}

/* One more address of the internet. */
static char *new_public(Reach *r) {
        r->n_sites++;
        return g_strdup_printf("203.0.%u.%u", 113 + r->n_sites / 200, 1 + r->n_sites % 200);
}

SimNat *reach_router(Reach *r, End end) {
        g_autofree char *public = new_public(r);
        SimNatKind kind = kind_of(end);
        SimNat *nat = sim_nat_make(r->sim, public, &kind), *home;

        if (end != END_DOUBLE)
                return nat;
        home = sim_nat_make(r->sim, "172.16.0.2", &kind);
        sim_nat_set_outer(home, nat);
        return home;
}

/* Puts @m, or who is to be a machine there, at a site of its own. */
static void settle(Reach *r, Machine *m, End end) {
        g_autofree char *public = new_public(r), *at = g_strdup_printf("%s:18002", public);
        g_autofree char *six = g_strdup_printf("2001:db8:1:%x::2", r->n_sites);
        g_autofree char *at6 = g_strdup_printf("[%s]:18002", six);
        bool is_public = end == END_OPEN || end == END_FIREWALL || end == END_BLOCKED;
        SimNode *n = m->node;

        m->mapped = (Endpoint){};
        m->site = is_public ? NULL : reach_router(r, end);
        sim_node_set_second(n, NULL);
        sim_node_set_nat(n, m->site);
        sim_node_set_firewall(n, end == END_FIREWALL ? FIREWALL_LIFETIME : 0);
        sim_node_block_udp(n, end == END_BLOCKED);
        if (is_public)
                sim_node_move(n, at);
        else if (end == END_CARRIER)
                sim_node_move(n, "10.0.200.7:18002");
        else
                sim_node_move(n, end == END_ONLY6 ? at6 : "192.168.1.2:18002");
        if (end == END_DUAL)
                sim_node_add_address(n, six);
        if (end == END_MAPPED)
                assert_int_equal(sim_nat_map(m->site, n, 0, USEC_INFINITY, &m->mapped), 0);
}

static Machine *add(Reach *r, End end) {
        g_autofree char *name = g_strdup_printf("%s%u", end_name(end), r->n);
        Machine *m = machine_new(r->sim, name, "0.0.0.0:18002");

        assert_true(r->n < REACH_MACHINES_MAX);
        r->end[r->n] = end;
        r->machine[r->n++] = m;
        return m;
}

static void join(Reach *r, Machine *m) {
        g_autofree char *link = machine_invite(r->gateway, NULL);
        const char *error = machine_join(m, link);

        if (error)
                fail_msg("%s did not join: %s (%s)", m->name, error, m->join_detail);
}

Machine *reach_join(Reach *r, End end) {
        Machine *m = add(r, end);

        settle(r, m, end);
        join(r, m);
        return m;
}

static bool all_joined(void *userdata) {
        const Reach *r = userdata;

        for (unsigned i = 0; i < r->n; i++)
                if (!r->machine[i]->join_finished)
                        return false;
        return true;
}

void reach_join_many(Reach *r, unsigned n, End (*draw)(Reach *r)) {
        for (unsigned i = 0; i < n; i++) {
                g_autofree char *link = machine_invite(r->gateway, NULL);
                Machine *m = add(r, draw(r));

                settle(r, m, r->end[r->n - 1]);
                machine_join_start(m, link);
        }
        assert_true(sim_run_until(r->sim, all_joined, r, 20 * USEC_PER_SEC));
        for (unsigned i = 0; i < r->n; i++)
                if (r->machine[i]->join_error)
                        fail_msg("%s did not join: %s", r->machine[i]->name,
                                 r->machine[i]->join_error);
}

/* What the next machine at that site is: it has IPv4 alone and no port of the router's. */
static End end_inside(const Reach *r, const SimNat *site) {
        for (unsigned i = 0; i < r->n; i++)
                if (r->machine[i]->site == site) {
                        End end = r->end[i];

                        return end == END_MAPPED                       ? END_RANDOM
                               : end == END_DUAL || end == END_CARRIER ? END_EASY
                                                                       : end;
                }
        return END_EASY;
}

Machine *reach_join_inside(Reach *r, SimNat *site, const char *endpoint) {
        Machine *m = add(r, end_inside(r, site));

        m->site = site;
        sim_node_set_nat(m->node, site);
        sim_node_move(m->node, endpoint);
        join(r, m);
        return m;
}

void reach_move(Reach *r, Machine *m, End end) {
        settle(r, m, end);
        for (unsigned i = 0; i < r->n; i++)
                if (r->machine[i] == m)
                        r->end[i] = end;
        machine_moved(m);
}

/* --- looking --- */

Kind reach_kind(Machine *m, Machine *to) {
        Endpoint at = sim_node_endpoint(to->node);
        MeshLinkInfo info;

        if (!mesh_link_info(network_mesh(m->network), machine_id(to), &info) ||
            info.state != LINK_UP || !endpoint_is_set(&info.endpoint))
                return NONE;
        if (info.is_relayed)
                return RELAYED;
        return m->site && m->site == to->site && endpoint_equal(&info.endpoint, &at) ? LAN : DIRECT;
}

unsigned reach_talk(Machine *a, Machine *b, unsigned seconds) {
        unsigned n = 0;

        for (unsigned i = 0; i < seconds; i++) {
                usec_t end = sim_now(a->sim) + USEC_PER_SEC;

                n += machine_reaches(a, b, USEC_PER_SEC / 2) &&
                     machine_reaches(b, a, USEC_PER_SEC / 2);
                sim_run_for(a->sim, usec_sub(end, sim_now(a->sim)));
        }
        return n;
}
