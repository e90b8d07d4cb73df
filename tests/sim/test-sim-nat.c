/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the modelled translators, firewalls and networks behind them do, by the words of RFC 4787
 * that nat.h uses. Nothing of omerta runs here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sim.h"

#define SEC USEC_PER_SEC
#define N_MAX 8U

typedef struct Host {
        SimNode *node;
        unsigned n; /* arrived */
        Endpoint from;
        usec_t at;
        Sim *sim;
} Host;

typedef struct World {
        Sim *sim;
        Host host[N_MAX];
        unsigned n;
} World;

static void on_receive(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Host *h = userdata;

        h->n++;
        h->from = *from;
        h->at = sim_now(h->sim);
}

static World *world_new(void) {
        World *w = NEW(World);

        w->sim = sim_new(1);
        return w;
}

static void world_freep(World **w) {
        sim_free((*w)->sim);
        g_free(*w);
}

static Host *add(World *w, const char *endpoint, SimNat *nat) {
        Host *h = &w->host[w->n++];

        h->sim = w->sim;
        h->node = sim_node_new(w->sim, endpoint, endpoint);
        sim_node_set_nat(h->node, nat);
        sim_node_on_receive(h->node, on_receive, h);
        return h;
}

static Endpoint at(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 0, &e), 0);
        return e;
}

static void post(World *w, Host *from, const Endpoint *to) {
        const MeshEnv *env = sim_node_env(from->node);

        assert_int_equal(env->send(env->userdata, to, (const uint8_t *) "x", 1), 0);
        sim_run_for(w->sim, USEC_PER_SEC / 10);
}

/* Return: whether it arrived at @host. */
static bool arrives(World *w, Host *from, const Endpoint *to, const Host *host) {
        unsigned n = host->n;

        post(w, from, to);
        return host->n > n;
}

/* Sends to a host on the internet. Return: where it was seen to come from. */
static Endpoint seen_by(World *w, Host *from, const Host *to) {
        Endpoint e = sim_node_endpoint(to->node);

        assert_true(arrives(w, from, &e, to));
        return (Endpoint){ .in6 = to->from.in6 };
}

/* One host inside; on the internet one, another port of it, and another one. */
typedef struct Probe {
        World *w;
        SimNat *nat;
        Host *inside, *x, *x_port, *y;
} Probe;

static Probe probe_new(World *w, const SimNatKind *kind) {
        Probe p = { .w = w, .nat = sim_nat_make(w->sim, "203.0.113.1", kind) };

        p.inside = add(w, "192.168.1.2:18002", p.nat);
        p.x = add(w, "198.51.100.1:1000", NULL);
        p.x_port = add(w, "198.51.100.1:2000", NULL);
        p.y = add(w, "198.51.100.2:1000", NULL);
        return p;
}

/* Each of the 3 x 3 x 3 kinds, with and without hairpin. */
static void test_every_kind(void **state) {
        for (unsigned i = 0; i < 54; i++) {
                _cleanup_(world_freep) World *w = world_new();
                const SimNatKind kind = {
                        .mapping = i % 3,
                        .filtering = i / 3 % 3,
                        .ports = i / 9 % 3,
                        .hairpin = i / 27,
                        .lifetime = SIM_NAT_LIFETIME,
                };
                Probe p = probe_new(w, &kind);
                Endpoint public = at("203.0.113.1:1"), x = seen_by(w, p.inside, p.x), e;
                Host *other;

                /* Who was not asked gets in as far as the filter lets it. */
                assert_true(arrives(w, p.x, &x, p.inside));
                assert_int_equal(
                                arrives(w, p.x_port, &x, p.inside),
                                kind.filtering != SIM_BY_ADDRESS_AND_PORT);
                assert_int_equal(arrives(w, p.y, &x, p.inside), kind.filtering == SIM_BY_NOTHING);
                /* Another destination sees another port as far as the mapping depends on it. */
                assert_true(endpoint_same_address(&x, &public));
                assert_int_equal(endpoint_port(&x) == 18002, kind.ports == SIM_PORTS_PRESERVED);
                e = seen_by(w, p.inside, p.x);
                assert_true(endpoint_equal(&e, &x));
                e = seen_by(w, p.inside, p.x_port);
                assert_int_equal(endpoint_equal(&e, &x), kind.mapping != SIM_BY_ADDRESS_AND_PORT);
                e = seen_by(w, p.inside, p.y);
                assert_int_equal(endpoint_equal(&e, &x), kind.mapping == SIM_BY_NOTHING);
                /* The inside by the outside address. */
                other = add(w, "192.168.1.3:18002", p.nat);
                (void) seen_by(w, other, p.x);
                if (kind.filtering == SIM_BY_NOTHING) {
                        assert_int_equal(arrives(w, other, &x, p.inside), kind.hairpin);
                        if (kind.hairpin)
                                assert_true(endpoint_same_address(&p.inside->from, &x));
                } else
                        assert_false(arrives(w, other, &x, p.inside));
        }
}

static void test_ports(void **state) {
        for (SimNatPorts ports = SIM_PORTS_PRESERVED; ports <= SIM_PORTS_RANDOM; ports++) {
                _cleanup_(world_freep) World *w = world_new();
                const SimNatKind kind = {
                        .mapping = SIM_BY_ADDRESS_AND_PORT,
                        .filtering = SIM_BY_ADDRESS_AND_PORT,
                        .ports = ports,
                        .lifetime = SIM_NAT_LIFETIME,
                };
                Probe p = probe_new(w, &kind);
                Endpoint x = seen_by(w, p.inside, p.x), x_port = seen_by(w, p.inside, p.x_port),
                         y = seen_by(w, p.inside, p.y);

                switch (ports) {
                case SIM_PORTS_PRESERVED:
                        /* It is taken after the first. */
                        assert_int_equal(endpoint_port(&x), 18002);
                        assert_int_equal(endpoint_port(&y), endpoint_port(&x_port) + 1);
                        break;
                case SIM_PORTS_IN_SEQUENCE:
                        assert_int_equal(endpoint_port(&x_port), endpoint_port(&x) + 1);
                        assert_int_equal(endpoint_port(&y), endpoint_port(&x) + 2);
                        break;
                case SIM_PORTS_RANDOM:
                        assert_true(abs(endpoint_port(&x) - endpoint_port(&x_port)) > 2);
                        assert_true(abs(endpoint_port(&x_port) - endpoint_port(&y)) > 2);
                        break;
                }
                assert_int_equal(sim_nat_count(p.nat), 3);
        }
}

/* A port is one inside endpoint's, as long as it lives. */
static void test_preserved_port_is_taken(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        Probe p = probe_new(w, &SIM_NAT_EASY);
        Host *other = add(w, "192.168.1.3:18002", p.nat);
        Endpoint first = seen_by(w, p.inside, p.x), second = seen_by(w, other, p.x);

        assert_int_equal(endpoint_port(&first), 18002);
        assert_int_not_equal(endpoint_port(&second), 18002);
        assert_true(arrives(w, p.x, &first, p.inside));
        assert_true(arrives(w, p.x, &second, other));
        sim_run_for(w->sim, SIM_NAT_LIFETIME);
        second = seen_by(w, other, p.x);
        assert_int_equal(endpoint_port(&second), 18002);
}

static void test_lifetime(void **state) {
        for (unsigned inbound = 0; inbound < 2; inbound++) {
                _cleanup_(world_freep) World *w = world_new();
                SimNatKind kind = SIM_NAT_EASY;
                Probe p;
                Endpoint x;

                kind.inbound_refreshes = inbound;
                p = probe_new(w, &kind);
                x = seen_by(w, p.inside, p.x);
                assert_true(sim_nat_is_open(p.nat, p.inside->node));
                sim_run_for(w->sim, 20 * SEC);
                assert_true(arrives(w, p.x, &x, p.inside));
                sim_run_for(w->sim, 20 * SEC);
                assert_int_equal(arrives(w, p.x, &x, p.inside), inbound);
                sim_run_for(w->sim, 20 * SEC);
                /* Outbound always does. */
                (void) seen_by(w, p.inside, p.x);
                sim_run_for(w->sim, 29 * SEC);
                assert_true(sim_nat_is_open(p.nat, p.inside->node));
                sim_run_for(w->sim, 2 * SEC);
                assert_false(sim_nat_is_open(p.nat, p.inside->node));
                assert_int_equal(sim_nat_count(p.nat), 0);
        }
}

/* The mapping is one, but each destination's filter has a life of its own. */
static void test_filters_end_one_by_one(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        Probe p = probe_new(w, &SIM_NAT_EASY);
        Endpoint x = seen_by(w, p.inside, p.x), y;

        sim_run_for(w->sim, 20 * SEC);
        y = seen_by(w, p.inside, p.y);
        sim_run_for(w->sim, 20 * SEC);
        assert_true(endpoint_equal(&x, &y));
        assert_false(arrives(w, p.x, &x, p.inside));
        assert_true(arrives(w, p.y, &y, p.inside));
}

static void test_restart(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        Probe p = probe_new(w, &SIM_NAT_EASY);
        Endpoint old = seen_by(w, p.inside, p.x), new;

        sim_nat_restart(p.nat, NULL);
        assert_false(arrives(w, p.x, &old, p.inside));
        new = seen_by(w, p.inside, p.x);
        assert_true(endpoint_equal(&new, &old)); /* it preserves ports */
        sim_nat_restart(p.nat, "203.0.113.77");
        assert_false(arrives(w, p.x, &old, p.inside));
        new = seen_by(w, p.inside, p.x);
        assert_string_equal(endpoint_format(&new).text, "203.0.113.77:18002");
        assert_true(arrives(w, p.x, &new, p.inside));
        assert_false(arrives(w, p.x, &old, p.inside));
}

static void test_mapped_port(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNatKind kind = SIM_NAT_RANDOM;
        Probe p;
        Endpoint mapped, e;

        p = probe_new(w, &kind);
        assert_int_equal(sim_nat_map(p.nat, p.inside->node, 0, 60 * SEC, &mapped), -EOPNOTSUPP);
        kind.maps_ports = true;
        sim_nat_set_kind(p.nat, &kind);
        assert_int_equal(sim_nat_map(p.nat, p.inside->node, 4242, 60 * SEC, &mapped), 0);
        assert_string_equal(endpoint_format(&mapped).text, "203.0.113.1:4242");
        /* For all comers, nothing sent before; and it is where the inside is seen. */
        assert_true(arrives(w, p.y, &mapped, p.inside));
        e = seen_by(w, p.inside, p.x);
        assert_true(endpoint_equal(&e, &mapped));
        /* Renewed it is the same. */
        sim_run_for(w->sim, 50 * SEC);
        assert_int_equal(sim_nat_map(p.nat, p.inside->node, 0, 60 * SEC, &e), 0);
        assert_true(endpoint_equal(&e, &mapped));
        sim_run_for(w->sim, 50 * SEC);
        assert_true(arrives(w, p.y, &mapped, p.inside));
        sim_run_for(w->sim, 50 * SEC);
        assert_false(arrives(w, p.y, &mapped, p.inside));
        assert_int_equal(sim_nat_map(p.nat, p.inside->node, 4242, USEC_INFINITY, &mapped), 0);
        sim_run_for(w->sim, 1000 * SEC);
        assert_true(arrives(w, p.y, &mapped, p.inside));
        sim_nat_restart(p.nat, NULL);
        assert_false(arrives(w, p.y, &mapped, p.inside));
}

/* --- networks behind them --- */

static void test_lan(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNat *one = sim_nat_make(w->sim, "203.0.113.1", &SIM_NAT_EASY),
               *two = sim_nat_make(w->sim, "203.0.113.2", &SIM_NAT_EASY);
        Host *a = add(w, "192.168.1.2:18002", one), *b = add(w, "192.168.1.3:18002", one),
             *c = add(w, "192.168.1.2:18002", two), *d = add(w, "192.168.1.4:18002", two),
             *x = add(w, "198.51.100.1:1000", NULL);
        Endpoint to_b = at("192.168.1.3:18002"), to_a = at("192.168.1.2:18002"),
                 to_d = at("192.168.1.4:18002");
        usec_t sent = sim_now(w->sim);

        assert_true(arrives(w, a, &to_b, b));
        assert_string_equal(endpoint_format(&b->from).text, "192.168.1.2:18002");
        assert_string_equal(ip_format(&b->from.local).text, "192.168.1.3");
        assert_int_equal(b->at - sent, SIM_LAN_LATENCY);
        /* The router has not seen it. */
        assert_int_equal(sim_nat_count(one), 0);
        /* The other network's are others, and those only it has are nobody. */
        assert_true(arrives(w, b, &to_a, a));
        assert_true(arrives(w, d, &to_a, c));
        assert_false(arrives(w, a, &to_d, d));
        assert_false(arrives(w, x, &to_a, a));
        assert_int_equal(a->n, 1);
        assert_int_equal(c->n, 1);
}

static void test_hairpin_same_lan(void **state) {
        for (unsigned hairpin = 0; hairpin < 2; hairpin++) {
                _cleanup_(world_freep) World *w = world_new();
                SimNatKind kind = SIM_NAT_EASY;
                SimNat *nat;
                Host *a, *b, *x;
                Endpoint seen_a, seen_b;

                kind.hairpin = hairpin;
                nat = sim_nat_make(w->sim, "203.0.113.1", &kind);
                a = add(w, "192.168.1.2:18002", nat);
                b = add(w, "192.168.1.3:18002", nat);
                x = add(w, "198.51.100.1:1000", NULL);
                seen_a = seen_by(w, a, x);
                seen_b = seen_by(w, b, x);
                /* Punching holes into the same wall. */
                post(w, a, &seen_b);
                assert_int_equal(arrives(w, b, &seen_a, a), hairpin);
                assert_int_equal(arrives(w, a, &seen_b, b), hairpin);
                if (hairpin)
                        assert_true(endpoint_equal(&b->from, &seen_a));
        }
}

/* A home behind a carrier's translator, in the carrier's network 10/8. */
static void test_double(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNatKind carrier = SIM_NAT_EASY, home = SIM_NAT_EASY;
        SimNat *cgn, *one, *two;
        Host *a, *b, *x, *y;
        Endpoint seen, e;

        home.maps_ports = true;
        cgn = sim_nat_make(w->sim, "203.0.113.1", &carrier);
        one = sim_nat_make(w->sim, "10.64.0.1", &home);
        two = sim_nat_make(w->sim, "10.64.0.2", &home);
        sim_nat_set_outer(one, cgn);
        sim_nat_set_outer(two, cgn);
        a = add(w, "192.168.1.2:18002", one);
        b = add(w, "192.168.1.2:18002", two);
        x = add(w, "198.51.100.1:1000", NULL);
        y = add(w, "198.51.100.2:1000", NULL);
        seen = seen_by(w, a, x);
        assert_string_equal(endpoint_format(&seen).text, "203.0.113.1:18002");
        assert_true(arrives(w, x, &seen, a));
        assert_false(arrives(w, y, &seen, a));
        /* The second has the port after it. */
        e = seen_by(w, b, x);
        assert_true(endpoint_same_address(&e, &seen));
        assert_false(endpoint_equal(&e, &seen));
        /* What the home's router maps is a port in the carrier's network only ... */
        assert_int_equal(sim_nat_map(one, a->node, 7000, USEC_INFINITY, &e), 0);
        assert_string_equal(endpoint_format(&e).text, "10.64.0.1:7000");
        assert_false(arrives(w, y, &e, a));
        /* ... where the other home is. */
        assert_true(arrives(w, b, &e, a));
        assert_string_equal(endpoint_format(&a->from).text, "10.64.0.2:18002");
        /* By its public address it is a hairpin at the carrier. */
        seen = seen_by(w, a, x);
        assert_false(arrives(w, b, &seen, a));
        /* Either one that forgets cuts it. */
        seen = seen_by(w, a, x);
        sim_nat_restart(cgn, NULL);
        assert_false(arrives(w, x, &seen, a));
}

static void test_ipv6_beside(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNatKind kind = SIM_NAT_RANDOM;
        SimNat *nat = sim_nat_make(w->sim, "203.0.113.1", &kind);
        Host *a = add(w, "192.168.1.2:18002", nat), *b = add(w, "192.168.1.3:18002", nat),
             *x = add(w, "198.51.100.1:1000", NULL), *only4 = add(w, "198.51.100.2:1000", NULL);
        const MeshEnv *env = sim_node_env(only4->node);
        Endpoint a6 = at("[2001:db8:1::2]:18002"), x6 = at("[2001:db8:2::1]:1000"),
                 b6 = at("[2001:db8:1::3]:18002"), all[4];

        sim_node_add_address(a->node, "2001:db8:1::2");
        sim_node_add_address(b->node, "2001:db8:1::3");
        sim_node_add_address(x->node, "2001:db8:2::1");
        assert_int_equal(sim_node_endpoints(a->node, all, 4), 2);
        assert_int_equal(sim_node_endpoints(a->node, all, 1), 1);
        /* Not asked for: kept out; then let in, from there alone. */
        assert_false(arrives(w, x, &a6, a));
        assert_true(arrives(w, a, &x6, x));
        assert_true(endpoint_equal(&x->from, &a6)); /* untranslated */
        assert_true(arrives(w, x, &a6, a));
        assert_false(arrives(w, x, &b6, b));
        assert_true(arrives(w, a, &b6, b));
        assert_int_equal(env->send(env->userdata, &a6, (const uint8_t *) "x", 1), -ENETUNREACH);
        sim_run_for(w->sim, 2 * SIM_NAT_LIFETIME);
        assert_false(arrives(w, x, &a6, a));
        kind.open6 = true;
        sim_nat_set_kind(nat, &kind);
        assert_true(arrives(w, x, &a6, a));
        assert_int_equal(sim_nat_count(nat), 0);
}

/* Through two routers, each with a firewall. */
static void test_ipv6_nested(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNat *outer = sim_nat_make(w->sim, "203.0.113.1", &SIM_NAT_EASY),
               *inner = sim_nat_make(w->sim, "192.168.0.2", &SIM_NAT_EASY);
        Host *a = add(w, "[2001:db8:1::2]:18002", inner), *x = add(w, "[2001:db8:2::1]:1000", NULL);
        Endpoint a6 = sim_node_endpoint(a->node), x6 = sim_node_endpoint(x->node);

        sim_nat_set_outer(inner, outer);
        assert_false(arrives(w, x, &a6, a));
        assert_true(arrives(w, a, &x6, x));
        assert_true(arrives(w, x, &a6, a));
        sim_nat_restart(outer, NULL);
        assert_false(arrives(w, x, &a6, a));
}

static void test_host_firewall(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        Host *a = add(w, "198.51.100.1:1000", NULL), *b = add(w, "198.51.100.2:1000", NULL),
             *c = add(w, "198.51.100.3:1000", NULL);
        Endpoint to_a = sim_node_endpoint(a->node), to_b = sim_node_endpoint(b->node);

        sim_node_set_firewall(a->node, 30 * SEC);
        sim_node_set_firewall(b->node, 30 * SEC);
        assert_false(arrives(w, a, &to_b, b));
        /* The first one made the hole. */
        assert_true(arrives(w, b, &to_a, a));
        assert_true(arrives(w, a, &to_b, b));
        assert_false(arrives(w, c, &to_a, a));
        sim_run_for(w->sim, 31 * SEC);
        assert_false(arrives(w, a, &to_b, b));
        sim_node_set_firewall(b->node, 0);
        assert_true(arrives(w, c, &to_b, b));
}

static void test_udp_blocked(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNatKind kind = SIM_NAT_FULL_CONE;
        SimNat *nat;
        Host *a, *b, *x = add(w, "198.51.100.1:1000", NULL), *y = add(w, "198.51.100.2:1000", NULL);
        Endpoint to_x = sim_node_endpoint(x->node), to_y = sim_node_endpoint(y->node), to_b, seen;

        sim_node_block_udp(y->node, true);
        assert_false(arrives(w, x, &to_y, y));
        assert_false(arrives(w, y, &to_x, x));
        sim_node_block_udp(y->node, false);
        assert_true(arrives(w, x, &to_y, y));
        /* At the router: only the inside goes on. */
        nat = sim_nat_make(w->sim, "203.0.113.1", &kind);
        a = add(w, "192.168.1.2:18002", nat);
        b = add(w, "192.168.1.3:18002", nat);
        to_b = sim_node_endpoint(b->node);
        seen = seen_by(w, a, x);
        kind.blocks_udp = true;
        sim_nat_set_kind(nat, &kind);
        assert_false(arrives(w, a, &to_x, x));
        assert_false(arrives(w, x, &seen, a));
        assert_true(arrives(w, a, &to_b, b));
}

/* The same seed makes the same internet. */
static void test_deterministic(void **state) {
        Endpoint seen[2][6];

        for (unsigned round = 0; round < 2; round++) {
                _cleanup_(world_freep) World *w = world_new();
                Probe p = probe_new(w, &SIM_NAT_RANDOM);

                for (unsigned i = 0; i < 6; i++) {
                        seen[round][i] = seen_by(w, p.inside, i % 2 ? p.x : p.y);
                        if (i % 2)
                                sim_nat_restart(p.nat, NULL);
                }
        }
        for (unsigned i = 0; i < 6; i++)
                assert_true(endpoint_equal(&seen[0][i], &seen[1][i]));
}

/* What the tests before these made, and still means. */
static void test_plain(void **state) {
        _cleanup_(world_freep) World *w = world_new();
        SimNat *nat = sim_nat_new(w->sim, "203.0.113.1", true, 60 * SEC);
        Host *a = add(w, "192.0.2.1:18002", nat), *x = add(w, "198.51.100.1:1000", NULL),
             *y = add(w, "198.51.100.1:2000", NULL);
        Endpoint e = seen_by(w, a, x), f = seen_by(w, a, y), own = at("192.0.2.1:18002");

        assert_int_equal(endpoint_port(&f), endpoint_port(&e) + 1);
        assert_true(arrives(w, y, &e, a));
        assert_false(arrives(w, x, &own, a));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_kind),
                cmocka_unit_test(test_ports),
                cmocka_unit_test(test_preserved_port_is_taken),
                cmocka_unit_test(test_lifetime),
                cmocka_unit_test(test_filters_end_one_by_one),
                cmocka_unit_test(test_restart),
                cmocka_unit_test(test_mapped_port),
                cmocka_unit_test(test_lan),
                cmocka_unit_test(test_hairpin_same_lan),
                cmocka_unit_test(test_double),
                cmocka_unit_test(test_ipv6_beside),
                cmocka_unit_test(test_ipv6_nested),
                cmocka_unit_test(test_host_firewall),
                cmocka_unit_test(test_udp_blocked),
                cmocka_unit_test(test_deterministic),
                cmocka_unit_test(test_plain),
        };

        return cmocka_run_group_tests_name("sim-nat", tests, NULL, NULL);
}
