/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is before a machine: what the others tell it, in words, on modelled translators; whose next
 * port is foretold; what is said of those who are relayed.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
#define SETTLE_SECONDS 12U

static MeshNatInfo nat_of(Machine *m) {
        return mesh_nat_info(network_mesh(m->network), AF_INET);
}

/* A machine behind a translator of that kind, which has talked to @n members in the open. */
static Machine *place(Reach *r, const SimNatKind *kind, unsigned n) {
        SimNat *site = reach_router(r, END_EASY);
        Machine *open[4], *m;

        assert_true(n <= ELEMENTSOF(open));
        sim_nat_set_kind(site, kind);
        for (unsigned i = 0; i < n; i++)
                open[i] = reach_join(r, END_OPEN);
        m = reach_join_inside(r, site, "192.168.1.2:18002");
        sim_run_for(r->sim, 5 * SEC);
        for (unsigned i = 0; i < n; i++)
                assert_true(reach_talk(m, open[i], 2) > 0);
        return m;
}

static void test_words(void **state) {
        static const struct {
                SimNatBy mapping;
                SimNatPorts ports;
                const char *mapping_word, *ports_word, *translation;
        } cases[] = {
                { SIM_BY_NOTHING, SIM_PORTS_PRESERVED, "endpoint-independent", "preserved", "easy" },
                { SIM_BY_NOTHING, SIM_PORTS_IN_SEQUENCE, "endpoint-independent", "changed", "easy" },
                { SIM_BY_NOTHING, SIM_PORTS_RANDOM, "endpoint-independent", "changed", "easy" },
                { SIM_BY_ADDRESS, SIM_PORTS_IN_SEQUENCE, "destination-dependent", "predictable",
                  "predictable" },
                { SIM_BY_ADDRESS, SIM_PORTS_RANDOM, "destination-dependent", "random", "random" },
                { SIM_BY_ADDRESS_AND_PORT, SIM_PORTS_IN_SEQUENCE, "destination-dependent",
                  "predictable", "predictable" },
                { SIM_BY_ADDRESS_AND_PORT, SIM_PORTS_RANDOM, "destination-dependent", "random",
                  "random" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1 + i);
                SimNatKind kind = SIM_NAT_EASY;
                MeshNatInfo info;

                kind.mapping = cases[i].mapping;
                kind.ports = cases[i].ports;
                info = nat_of(place(r, &kind, 2));
                print_message("%s, %s: %s\n", info.mapping, info.ports, info.translation);
                assert_string_equal(info.mapping, cases[i].mapping_word);
                assert_string_equal(info.ports, cases[i].ports_word);
                assert_string_equal(info.translation, cases[i].translation);
                assert_string_equal(info.trouble, "");
                assert_int_equal(info.n_members, 3); /* the gateway too */
                assert_int_equal(info.n_dissenters, 0);
        }
}

static void test_without_translator(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m = reach_join(r, END_FIREWALL);
        Endpoint at = sim_node_endpoint(m->node);
        MeshNatInfo info;

        sim_run_for(r->sim, 5 * SEC);
        info = nat_of(m);
        assert_string_equal(info.translation, "none");
        assert_true(endpoint_equal(&info.seen, &at));
}

/* A port that the router maps is no address of the machine's, though it is published as one. */
static void test_mapped(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *open = reach_join(r, END_OPEN), *m = reach_join(r, END_MAPPED);
        MeshNatInfo info;

        mesh_set_mapped_endpoints(network_mesh(m->network), &m->mapped, 1);
        sim_run_for(r->sim, 5 * SEC);
        assert_true(reach_talk(m, open, 2) > 0);
        info = nat_of(m);
        assert_string_equal(info.translation, "easy");
        assert_true(endpoint_equal(&info.seen, &m->mapped));
        assert_int_equal(info.n_members, 2);
}

/* What is missing is said; and after a move all begins anew. */
static void test_what_is_missing(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m = reach_join(r, END_EASY);
        MeshNatInfo info = nat_of(m);

        assert_string_equal(info.translation, "unknown");
        assert_non_null(strstr(info.trouble, "it needs two"));
        (void) reach_join(r, END_OPEN);
        sim_run_for(r->sim, 70 * SEC);
        assert_string_equal(nat_of(m).translation, "easy");
        sim_node_block_udp(m->node, true);
        sim_node_move(m->node, "192.168.7.7:18002");
        machine_moved(m);
        info = nat_of(m);
        assert_string_equal(info.translation, "unknown");
        assert_int_equal(info.n_members, 0);
}

/* --- what a person is told who asks --- */

typedef struct Checked {
        MeshNetInfo info;
        unsigned n, n_ended;
} Checked;

static void on_checked(void *userdata, const MeshNetInfo *info) {
        Checked *c = userdata;

        if (info)
                c->info = *info;
        c->n++;
        c->n_ended += !info;
}

static bool was_checked(void *userdata) {
        return ((const Checked *) userdata)->n > 0;
}

static MeshNetInfo check(Machine *m) {
        Checked c = {};

        assert_int_equal(mesh_net_check(network_mesh(m->network), on_checked, &c), 0);
        assert_int_equal(c.n, 0); /* not from within */
        assert_true(sim_run_until(m->sim, was_checked, &c, 3 * SEC));
        return c.info;
}

static void test_check(void **state) {
        for (unsigned hairpin = 0; hairpin < 2; hairpin++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                SimNatKind kind = SIM_NAT_EASY;
                MeshNetInfo info;
                Machine *m;

                kind.hairpin = hairpin;
                m = place(r, &kind, 1);
                info = check(m);
                assert_string_equal(info.nat[0].translation, "easy");
                assert_string_equal(info.nat[1].translation, "unknown");
                assert_int_equal(info.udp, NET_UDP_WORKS);
                assert_int_equal(info.hairpin, hairpin ? NET_HAIRPIN_YES : NET_HAIRPIN_NO);
                assert_false(info.is_reached);
                assert_int_equal(info.n_relays, 2);
                assert_int_equal(info.mtu, 1420);
        }
}

/* All who wait at once are told the same, and that nothing comes any more where the network ends. */
static void test_many_checks(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m = place(r, &SIM_NAT_EASY, 1);
        Mesh *mesh = network_mesh(m->network);
        Checked all = {}, end = {};

        for (unsigned i = 0; i < NET_CHECKS_MAX; i++)
                assert_int_equal(mesh_net_check(mesh, on_checked, &all), 0);
        assert_int_equal(mesh_net_check(mesh, on_checked, &all), -EBUSY);
        assert_true(sim_run_until(r->sim, was_checked, &all, 3 * SEC));
        assert_int_equal(all.n, NET_CHECKS_MAX);
        assert_int_equal(all.n_ended, 0);
        assert_int_equal(mesh_net_check(mesh, on_checked, &end), 0);
        machine_stop(m, true, false);
        assert_int_equal(end.n, 1);
        assert_int_equal(end.n_ended, 1);
}

/* Without two who can be asked nothing is sent to where one says we are. */
static void test_check_without_udp(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m;

        assert_int_equal(check(r->gateway).udp, NET_UDP_NOBODY);
        m = reach_join(r, END_EASY);
        assert_int_equal(check(m).udp, NET_UDP_WORKS);
        assert_int_equal(check(m).hairpin, NET_HAIRPIN_UNKNOWN);
        sim_node_block_udp(m->node, true);
        sim_run_for(r->sim, 3 * USEC_PER_MINUTE);
        assert_int_equal(check(m).udp, NET_UDP_SILENT);
        sim_node_block_udp(m->node, false);
        sim_run_for(r->sim, 60 * SEC);
        assert_int_equal(check(m).udp, NET_UDP_WORKS);
        machine_stop(m, false, false);
        sim_node_block_udp(m->node, true);
        machine_start(m);
        sim_run_for(r->sim, 10 * SEC);
        assert_int_equal(check(m).udp, NET_UDP_TOO_EARLY);
}

/* --- a liar --- */

typedef struct Lie {
        Sim *sim;
        Machine *liar, *to;
        Endpoint victim;
        unsigned n_to_victim; /* by whom it is told to */
} Lie;

/* What is for the liar arrives there as if from the victim, so that it answers that it sees that;
 * and the answer, which is for the victim, comes as if nothing had been wrong. */
static bool
on_sent(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Lie *l = userdata;
        Endpoint liar = sim_node_endpoint(l->liar->node), at = sim_node_endpoint(l->to->node);

        if (from == l->to->node && endpoint_equal(to, &liar))
                sim_inject(l->sim, &l->victim, &liar, data, len);
        else if (from == l->liar->node && endpoint_equal(to, &l->victim))
                sim_inject(l->sim, &liar, &at, data, len);
        else {
                l->n_to_victim += from == l->to->node && endpoint_same_address(to, &l->victim);
                return true;
        }
        return false;
}

/* One against one nobody is believed; one against two is told of. Nobody is sent anything. */
static void test_liar(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m = reach_join(r, END_OPEN), *liar = reach_join(r, END_OPEN);
        Endpoint at = sim_node_endpoint(m->node);
        Lie lie = { .sim = r->sim, .liar = liar, .to = m };
        MeshNatInfo info;

        assert_int_equal(endpoint_parse("198.51.100.66:53", 1, &lie.victim), 0);
        sim_set_tap(r->sim, on_sent, &lie);
        sim_run_for(r->sim, 70 * SEC);
        (void) reach_talk(m, liar, SETTLE_SECONDS);
        info = check(m).nat[0];
        print_message("one against one: %s, %s\n", info.translation, info.trouble);
        assert_string_equal(info.translation, "unknown");
        assert_non_null(strstr(info.trouble, "disagree"));
        assert_false(endpoint_is_set(&info.seen));
        (void) reach_join(r, END_OPEN);
        sim_run_for(r->sim, 70 * SEC);
        (void) reach_talk(m, liar, SETTLE_SECONDS);
        info = check(m).nat[0];
        print_message("one against two: %s, %u of %u\n", info.translation, info.n_dissenters,
                      info.n_members);
        assert_string_equal(info.translation, "none");
        assert_true(endpoint_equal(&info.seen, &at));
        assert_int_equal(info.n_members, 3);
        assert_int_equal(info.n_dissenters, 1);
        assert_int_equal(lie.n_to_victim, 0);
        sim_set_tap(r->sim, NULL, NULL);
}

/* Somebody else inside, who opens so many connections. */
static void chatter(SimNode *phone, unsigned n) {
        static const uint8_t word[] = "hello";
        static unsigned n_places;
        const MeshEnv *env = sim_node_env(phone);

        for (unsigned i = 0; i < n; i++) {
                Endpoint to;

                assert_int_equal(endpoint_parse("192.0.2.200:1024", 1, &to), 0);
                endpoint_set_port(&to, (uint16_t) (1024 + n_places++ % 60000));
                (void) env->send(env->userdata, &to, word, sizeof word);
        }
}

static SimNode *phone_in(Reach *r, SimNat *site) {
        SimNode *phone = sim_node_new(r->sim, "phone", "192.168.1.99:5353");

        sim_node_set_nat(phone, site);
        return phone;
}

/* What comes next is a few ports further on. */
static void test_busy_routers(void **state) {
        for (unsigned busy = 0; busy < 4; busy++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1 + busy);
                SimNat *one = reach_router(r, END_PREDICTABLE),
                       *two = reach_router(r, END_PREDICTABLE);
                SimNode *phones[] = { phone_in(r, one), phone_in(r, two) };
                Machine *a = reach_join_inside(r, one, "192.168.1.2:18002"), *b;

                chatter(phones[0], busy);
                b = reach_join_inside(r, two, "192.168.1.2:18002");
                for (unsigned i = 0; i < SETTLE_SECONDS; i++) {
                        chatter(phones[0], busy);
                        chatter(phones[1], busy / 2);
                        (void) reach_talk(a, b, 1);
                }
                assert_int_equal(reach_talk(a, b, 5), 5);
                assert_int_equal(MIN(reach_kind(a, b), reach_kind(b, a)), DIRECT);
                for (unsigned i = 0; i < ELEMENTSOF(phones); i++)
                        sim_node_free(phones[i]);
        }
}

static const char *why(Machine *a, Machine *b) {
        return mesh_why_relayed(network_mesh(a->network), machine_id(b));
}

static void test_why_relayed(void **state) {
        static const struct {
                End a, b;
                const char *why; /* part of it; NULL: it is not */
        } cases[] = {
                { END_EASY, END_EASY, NULL },
                { END_RANDOM, END_RANDOM, "both are behind routers that give" },
                { END_RANDOM, END_EASY, "the router of this machine gives" },
                { END_EASY, END_RANDOM, "the router of the other machine gives" },
                { END_FIREWALL, END_RANDOM, "the router of the other machine gives" },
                { END_PREDICTABLE, END_RANDOM, "the router of the other machine gives" },
                { END_EASY, END_ONLY6, "IPv6 alone" },
                { END_ONLY6, END_EASY, "IPv6 alone" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1 + i);
                Machine *open = reach_join(r, END_OPEN), *a = reach_join(r, cases[i].a),
                        *b = reach_join(r, cases[i].b);
                const char *text;

                sim_run_for(r->sim, 5 * SEC);
                (void) reach_talk(a, open, 2);
                (void) reach_talk(b, open, 2);
                (void) reach_talk(a, b, SETTLE_SECONDS);
                text = why(a, b);
                print_message("%s to %s: %s\n", end_name(cases[i].a), end_name(cases[i].b),
                              text ? text : "direct");
                if (!cases[i].why) {
                        assert_null(text);
                        continue;
                }
                assert_non_null(text);
                assert_non_null(strstr(text, cases[i].why));
        }
}

static void test_why_relayed_inside(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *carrier = reach_router(r, END_CARRIER);
        SimNat *one = sim_nat_make(r->sim, "10.0.200.11", &SIM_NAT_EASY),
               *two = sim_nat_make(r->sim, "10.0.200.12", &SIM_NAT_EASY);
        Machine *a, *b;

        sim_nat_set_outer(one, carrier);
        sim_nat_set_outer(two, carrier);
        a = reach_join_inside(r, one, "192.168.1.2:18002");
        b = reach_join_inside(r, two, "192.168.2.2:18002");
        (void) reach_talk(a, b, SETTLE_SECONDS);
        assert_int_equal(reach_kind(a, b), RELAYED);
        assert_non_null(strstr(why(a, b), "behind one router"));
        assert_non_null(strstr(why(b, a), "behind one router"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_without_translator),
                cmocka_unit_test(test_what_is_missing),
                cmocka_unit_test(test_mapped),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_many_checks),
                cmocka_unit_test(test_check_without_udp),
                cmocka_unit_test(test_liar),
                cmocka_unit_test(test_busy_routers),
                cmocka_unit_test(test_why_relayed),
                cmocka_unit_test(test_why_relayed_inside),
        };

        return cmocka_run_group_tests_name("sim-reach-nat", tests, NULL, NULL);
}
