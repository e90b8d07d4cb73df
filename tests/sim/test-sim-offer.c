/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two members without a third: lines that people pass on are all they have. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lan.h"

typedef struct Pair {
        Lan lan;
        Machine *a, *b, *c; /* @c: another member, for b to be seen by */
} Pair;

static void move(Machine *m, const char *endpoint) {
        Endpoint e;

        sim_node_move(m->node, endpoint);
        e = sim_node_endpoint(m->node);
        mesh_set_local_endpoints(network_mesh(m->network), &e, 1);
        network_changed(m->network);
}

/* Members of a network whose gateway is gone, both elsewhere since. */
static Pair pair_new(uint64_t seed) {
        Pair p = { .lan = lan_new(seed) };

        p.a = lan_join(&p.lan);
        p.b = lan_join(&p.lan);
        p.c = lan_join(&p.lan);
        assert_true(machine_reaches(p.a, p.b, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(p.b, p.c, 2 * USEC_PER_SEC));
        sim_partition(p.lan.sim, p.lan.gateway->node, 1);
        sim_partition(p.lan.sim, p.c->node, 2);
        sim_run_for(p.lan.sim, USEC_PER_HOUR);
        move(p.a, "203.0.113.7:18002");
        move(p.b, "203.0.113.8:18002");
        sim_run_for(p.lan.sim, 2 * USEC_PER_MINUTE);
        assert_false(machine_reaches(p.a, p.b, 10 * USEC_PER_SEC));
        return p;
}

static char *offer_of(Machine *m) {
        char *line = NULL;

        assert_int_equal(network_offer(m->network, &line), 0);
        return line;
}

static void test_one_line_is_enough_without_filters(void **state) {
        Pair p = pair_new(41);
        g_autofree char *line = offer_of(p.a);
        MachineId id;

        assert_int_equal(network_take_offer(p.b->network, line, &id), 0);
        assert_true(machine_id_equal(&id, machine_id(p.a)));
        assert_true(machine_reaches(p.b, p.a, USEC_PER_SEC));
        assert_true(machine_reaches(p.a, p.b, USEC_PER_SEC));
        lan_free(&p.lan);
}

/* Each lets in only what it has sent to: both lines are needed, and no third machine. */
static void test_both_behind_translators(void **state) {
        Pair p = pair_new(42);
        g_autofree char *from_a = NULL, *from_b = NULL;
        SimNat *nats[] = {
                sim_nat_new(p.lan.sim, "198.51.100.201", false, USEC_PER_HOUR),
                sim_nat_new(p.lan.sim, "198.51.100.202", false, USEC_PER_HOUR),
        };
        MachineId id;

        sim_node_set_nat(p.a->node, nats[0]);
        sim_node_set_nat(p.b->node, nats[1]);
        /* Seen once, so that they know where they are; by machines that do not tell each other. */
        sim_partition(p.lan.sim, p.a->node, 1);
        sim_partition(p.lan.sim, p.b->node, 2);
        network_changed(p.a->network);
        network_changed(p.b->network);
        assert_true(machine_reaches(p.a, p.lan.gateway, USEC_PER_MINUTE));
        assert_true(machine_reaches(p.b, p.c, USEC_PER_MINUTE));
        sim_run_for(p.lan.sim, 3 * USEC_PER_SEC);
        from_a = offer_of(p.a);
        from_b = offer_of(p.b);
        sim_partition(p.lan.sim, p.a->node, 0);
        sim_partition(p.lan.sim, p.b->node, 0);

        assert_int_equal(network_take_offer(p.b->network, from_a, &id), 0);
        assert_false(machine_reaches(p.b, p.a, 10 * USEC_PER_SEC));
        assert_int_equal(network_take_offer(p.a->network, from_b, &id), 0);
        assert_true(machine_reaches(p.a, p.b, 10 * USEC_PER_SEC));
        assert_true(machine_reaches(p.b, p.a, USEC_PER_SEC));
        lan_free(&p.lan);
}

static void test_refused(void **state) {
        Pair p = pair_new(43);
        Lan other = lan_new(44);
        Machine *c = lan_join(&other);
        g_autofree char *ours = offer_of(p.a), *theirs = offer_of(c);
        Network *b = p.b->network;
        MachineId id;

        assert_int_equal(network_take_offer(p.a->network, ours, &id), -ELOOP);
        assert_int_equal(network_take_offer(b, theirs, &id), -EXDEV);
        assert_int_equal(network_take_offer(b, "omerta://join/aa", &id), -EBADMSG);
        lan_free(&other);

        /* Whom we know no more, or no more as a member. */
        sim_partition(p.lan.sim, p.lan.gateway->node, 0);
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(p.lan.gateway->network),
                                        machine_id(p.a), 0),
                        0);
        sim_run_for(p.lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_take_offer(b, ours, &id), -EKEYREVOKED);
        lan_free(&p.lan);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_line_is_enough_without_filters),
                cmocka_unit_test(test_both_behind_translators),
                cmocka_unit_test(test_refused),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
