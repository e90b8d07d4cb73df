/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a machine that nobody answers any more believes itself online. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "lan.h"

static bool is_not_online(void *userdata) {
        Machine *m = userdata;

        return network_state(m->network) != NETWORK_ONLINE;
}

static bool is_online(void *userdata) {
        return !is_not_online(userdata);
}

static LinkState link_state(Machine *m, Machine *to) {
        MeshLinkInfo info = { .state = LINK_DOWN };

        (void) mesh_link_info(network_mesh(m->network), machine_id(to), &info);
        return info.state;
}

static void assert_offline(Machine *a, Machine *gateway) {
        assert_int_equal(network_state(a->network), NETWORK_OFFLINE);
        assert_int_not_equal(link_state(a, gateway), LINK_UP);
}

/* Settled for a while, then cut off; what is said then, and when it is back. */
static void cut_off(uint64_t seed, bool traffic, bool told, usec_t bound) {
        Lan lan = lan_new(seed);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        IpAddr from = machine_address(a), to = machine_address(lan.gateway);
        usec_t cut;

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        sim_run_for(lan.sim, USEC_PER_HOUR + sim_random(lan.sim) % USEC_PER_MINUTE);
        if (traffic)
                assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        assert_int_equal(network_state(a->network), NETWORK_ONLINE);

        sim_partition(lan.sim, a->node, 1);
        cut = sim_now(lan.sim);
        if (told)
                network_changed(a->network);
        while (is_online(a) && sim_now(lan.sim) < cut + bound) {
                if (traffic)
                        machine_send_text(a, &from, &to, "anybody?");
                (void) sim_run_until(lan.sim, is_not_online, a, USEC_PER_SEC);
        }
        print_message("noticed after %u ms\n", (unsigned) ((sim_now(lan.sim) - cut) / USEC_PER_MSEC));
        assert_offline(a, lan.gateway);
        /* It stays so, also when the keys die. */
        for (unsigned i = 0; i < 300; i++) {
                sim_run_for(lan.sim, USEC_PER_SEC);
                assert_offline(a, lan.gateway);
        }

        sim_partition(lan.sim, a->node, 0);
        network_changed(a->network);
        assert_true(sim_run_until(lan.sim, is_online, a, 5 * USEC_PER_SEC));
        /* The longest pause between two tries, and a round trip. */
        sim_run_for(lan.sim, 7 * USEC_PER_SEC);
        assert_int_equal(link_state(a, lan.gateway), LINK_UP);
        assert_true(machine_reaches(a, lan.gateway, 5 * USEC_PER_SEC));
        lan_free(&lan);
}

static void test_with_traffic(void **state) {
        for (uint64_t seed = 900; seed < 905; seed++)
                cut_off(seed, true, false, 12 * USEC_PER_SEC);
}

static void test_addresses_changed(void **state) {
        for (uint64_t seed = 910; seed < 915; seed++)
                cut_off(seed, false, true, 5 * USEC_PER_SEC);
}

static void test_without_traffic(void **state) {
        for (uint64_t seed = 920; seed < 925; seed++)
                cut_off(seed, false, false, 70 * USEC_PER_SEC);
}

/* A hole in the line is over before anybody has to be told. */
static void test_back_by_itself(void **state) {
        Lan lan = lan_new(930);
        Machine *a = lan_join(&lan);

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        sim_run_for(lan.sim, USEC_PER_HOUR);
        sim_partition(lan.sim, a->node, 1);
        assert_true(sim_run_until(lan.sim, is_not_online, a, 70 * USEC_PER_SEC));
        sim_partition(lan.sim, a->node, 0);
        assert_true(sim_run_until(lan.sim, is_online, a, 30 * USEC_PER_SEC));
        assert_int_equal(link_state(a, lan.gateway), LINK_UP);
        lan_free(&lan);
}

/* A change of addresses that changes nothing is no reason to say anything. */
static void test_no_false_alarm(void **state) {
        Lan lan = lan_new(931);
        Machine *a = lan_join(&lan);

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        for (unsigned i = 0; i < 20; i++) {
                sim_run_for(lan.sim, 50 * USEC_PER_SEC);
                network_changed(a->network);
                assert_false(sim_run_until(lan.sim, is_not_online, a, 20 * USEC_PER_SEC));
        }
        lan_free(&lan);
}

/* Who is about to sleep says so, is quiet until it sleeps though it is called, and is back a moment
 * after it woke up; be it at another address, a day later. */
static void test_sleep(void **state) {
        for (unsigned moves = 0; moves < 2; moves++) {
                Lan lan = lan_new(71 + moves);
                Machine *a = lan_join(&lan);
                IpAddr from = machine_address(lan.gateway), to = machine_address(a);

                assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
                sim_run_for(lan.sim, USEC_PER_MINUTE);
                network_sleep(a->network);
                sim_run_for(lan.sim, 100 * USEC_PER_MSEC);
                assert_int_not_equal(link_state(lan.gateway, a), LINK_UP);
                machine_send_text(lan.gateway, &from, &to, "anybody?");
                sim_run_for(lan.sim, 3 * USEC_PER_SEC);
                assert_int_not_equal(link_state(lan.gateway, a), LINK_UP);
                assert_int_not_equal(link_state(a, lan.gateway), LINK_UP);
                sim_node_sleep(a->node, true);
                sim_run_for(lan.sim, USEC_PER_DAY);
                if (moves)
                        sim_node_move(a->node, "198.51.100.7:18002");
                sim_node_sleep(a->node, false);
                network_changed(a->network);
                (void) sim_run_until(lan.sim, is_online, a, USEC_PER_SEC);
                assert_true(machine_reaches(a, lan.gateway, USEC_PER_SEC));
                assert_true(machine_reaches(lan.gateway, a, USEC_PER_SEC));
                lan_free(&lan);
        }
}

/* It was to sleep and did not, and nobody said so. */
static void test_no_sleep(void **state) {
        Lan lan = lan_new(73);
        Machine *a = lan_join(&lan);

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        network_sleep(a->network);
        assert_false(machine_reaches(a, lan.gateway, USEC_PER_SEC));
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_true(machine_reaches(lan.gateway, a, 10 * USEC_PER_SEC));
        lan_free(&lan);
}

static bool says_alone(void *userdata) {
        Machine *m = userdata;

        return strstr(network_state_reason(m->network) ?: "", "no other member") != NULL;
}

static bool says_nothing(void *userdata) {
        Machine *m = userdata;

        return !network_state_reason(m->network);
}

/* A gateway is the network, also with nobody in it; when nobody of it is there it says so. */
static void test_gateway_alone(void **state) {
        Lan lan = lan_new(940);
        Machine *gateway = lan.gateway, *a, *b;

        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_state(gateway->network), NETWORK_ONLINE);
        assert_true(says_nothing(gateway));
        a = lan_join(&lan);
        b = lan_join(&lan);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_true(says_nothing(gateway));
        sim_partition(lan.sim, a->node, 1);
        assert_false(sim_run_until(lan.sim, says_alone, gateway, 5 * USEC_PER_MINUTE));
        sim_partition(lan.sim, b->node, 1);
        assert_true(sim_run_until(lan.sim, says_alone, gateway, 71 * USEC_PER_SEC));
        assert_int_equal(network_state(gateway->network), NETWORK_ONLINE);
        /* Not at once after a start, when nobody can have come yet. */
        machine_stop(gateway, true, false);
        machine_start(gateway);
        assert_false(sim_run_until(lan.sim, says_alone, gateway, 9 * USEC_PER_SEC));
        assert_true(sim_run_until(lan.sim, says_alone, gateway, 2 * USEC_PER_SEC));
        sim_partition(lan.sim, a->node, 0);
        network_changed(a->network);
        assert_true(sim_run_until(lan.sim, says_nothing, gateway, 30 * USEC_PER_SEC));
        sim_partition(lan.sim, a->node, 1);
        assert_true(sim_run_until(lan.sim, says_alone, gateway, 71 * USEC_PER_SEC));
        /* Without members there is nobody to miss. */
        for (unsigned i = 0; i < lan.n; i++)
                assert_int_equal(
                                enrol_service_revoke(
                                                network_enrol_service(gateway->network),
                                                machine_id(lan.member[i]), REVOCATION_REMOVED),
                                0);
        assert_true(says_nothing(gateway));
        lan_free(&lan);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_with_traffic),    cmocka_unit_test(test_addresses_changed),
                cmocka_unit_test(test_without_traffic), cmocka_unit_test(test_back_by_itself),
                cmocka_unit_test(test_no_false_alarm),  cmocka_unit_test(test_sleep),
                cmocka_unit_test(test_no_sleep),        cmocka_unit_test(test_gateway_alone),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
