/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exits to the internet: who offers one, who is believed, which is taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/crypto/aead.h"
#include "lan.h"

static IpAddr outside(void) {
        IpAddr a;

        assert_int_equal(ip_parse("198.18.0.1", &a), 0);
        return a;
}

static unsigned offered(Machine *by, Machine *seen_from) {
        return network_exit_offered_by(seen_from->network, machine_id(by));
}

static void test_offer_is_heard_and_ends(void **state) {
        Lan lan = lan_new(91);
        Machine *a = lan_join(&lan);

        assert_int_equal(offered(lan.gateway, a), 0);
        network_set_exit_offer(lan.gateway->network, true, false);
        assert_int_equal(offered(lan.gateway, lan.gateway), PRESENCE_EXIT_V4);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_int_equal(offered(lan.gateway, a), PRESENCE_EXIT_V4);
        network_set_exit_offer(lan.gateway->network, true, true);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_int_equal(offered(lan.gateway, a), PRESENCE_EXITS);
        network_set_exit_offer(lan.gateway->network, false, false);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_int_equal(offered(lan.gateway, a), 0);
        lan_free(&lan);
}

/* Whoever likes may say so; without the role it draws nobody's traffic to itself. */
static void test_member_without_the_role(void **state) {
        Lan lan = lan_new(92);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        const Record *presence;

        network_set_exit_offer(a->network, true, true);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        presence = directory_get(network_directory(b->network), RECORD_PRESENCE, machine_id(a));
        assert_non_null(presence);
        assert_int_equal(presence->body.presence.flags & PRESENCE_EXITS, PRESENCE_EXITS);
        assert_int_equal(offered(a, b), 0);
        assert_int_equal(offered(a, a), 0);
        lan_free(&lan);
}

/* What a member sends outside reaches the interface of the exit it has chosen while that carries. */
static void test_path_there_and_back(void **state) {
        Lan lan = lan_new(93);
        Machine *a = lan_join(&lan), *g = lan.gateway;
        IpAddr from = machine_address(a), to = outside();
        PacketPeer *peer = mesh_packet_peer(network_mesh(a->network), machine_id(g));

        route_table_set_exit(vnet_routes(network_vnet(a->network)), ROUTE_IPV4, peer);
        machine_send_text(a, &from, &to, "too soon");
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        assert_false(machine_received_text(g, &from, "too soon"));
        assert_int_equal(drop_counter(network_drops(g->network), DROP_NOT_FOR_US), 1);

        network_set_exit_offer(g->network, true, true);
        machine_send_text(a, &from, &to, "out");
        sim_run_for(lan.sim, USEC_PER_SEC);
        assert_true(machine_received_text(g, &from, "out"));
        machine_send_text(g, &to, &from, "back");
        sim_run_for(lan.sim, USEC_PER_SEC);
        assert_true(machine_received_text(a, &to, "back"));
        lan_free(&lan);
}

/* --- which one is used --- */

typedef struct Ways {
        Lan lan;
        Machine *user, *exit[2]; /* the gateway's is the third */
        uint64_t sent, answered; /* packets to the outside */
} Ways;

static void model(Ways *w, Machine *exit, usec_t latency) {
        SimModel m = { .latency = latency };

        sim_set_model_between(w->lan.sim, w->user->node, exit->node, &m);
}

/* Two exits beside the gateway, which is none: 30 ms and 10 ms away. */
static Ways ways_new(uint64_t seed) {
        Ways w = { .lan = lan_new(seed) };
        EnrolService *s = network_enrol_service(w.lan.gateway->network);

        w.user = lan_join(&w.lan);
        for (unsigned i = 0; i < 2; i++) {
                w.exit[i] = lan_join(&w.lan);
                assert_int_equal(enrol_service_set_exit(s, machine_id(w.exit[i]), true), 0);
                model(&w, w.exit[i], i == 0 ? 30 * USEC_PER_MSEC : 10 * USEC_PER_MSEC);
                network_set_exit_offer(w.exit[i]->network, true, i == 1);
        }
        sim_run_for(w.lan.sim, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 2; i++)
                assert_true(machine_reaches(w.user, w.exit[i], 2 * USEC_PER_SEC));
        return w;
}

static void ask_for(Ways *w, unsigned n, Machine **preferred) {
        NetworkExitWish wish = { .on = true, .n = n };

        for (unsigned i = 0; i < n; i++)
                wish.machine[i] = *machine_id(preferred[i]);
        network_use_exit(w->user->network, &wish);
}

static void use(Ways *w, unsigned n, Machine **preferred) {
        ask_for(w, n, preferred);
        sim_run_for(w->lan.sim, USEC_PER_SEC);
}

static void assert_uses(Ways *w, Machine *m, unsigned families) {
        NetworkExitInfo i = network_exit_info(w->user->network);

        assert_string_equal(network_exit_state_to_string(i.state), "up");
        assert_true(machine_id_equal(&i.machine, machine_id(m)));
        assert_int_equal(i.families, families);
        assert_string_equal(i.reason, "");
}

/* One packet to the outside and its answer, by whichever exit it comes to. Return: whether it came
 * back within @wait. */
static bool asks_outside(Ways *w, usec_t wait) {
        IpAddr from = machine_address(w->user), to = outside();
        usec_t end = sim_now(w->lan.sim) + wait;

        w->sent++;
        machine_send_text(w->user, &from, &to, "question");
        while (sim_now(w->lan.sim) < end) {
                sim_run_for(w->lan.sim, 10 * USEC_PER_MSEC);
                for (unsigned i = 0; i < 2; i++)
                        if (machine_received_text(w->exit[i], &from, "question"))
                                machine_send_text(w->exit[i], &to, &from, "answer");
                if (machine_received_text(w->user, &to, "answer")) {
                        w->answered++;
                        return true;
                }
        }
        return false;
}

static void test_nearest_is_taken(void **state) {
        Ways w = ways_new(94);

        use(&w, 0, NULL);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        assert_true(asks_outside(&w, USEC_PER_SEC));
        /* The other one comes nearer, and every connection would break by a change. */
        model(&w, w.exit[0], USEC_PER_MSEC);
        sim_run_for(w.lan.sim, 5 * USEC_PER_MINUTE);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        lan_free(&w.lan);
}

static void test_preferred_is_taken(void **state) {
        Ways w = ways_new(95);
        Machine *order[] = { w.exit[0], w.exit[1] };

        use(&w, 2, order);
        assert_uses(&w, w.exit[0], PRESENCE_EXIT_V4);
        use(&w, 1, &w.exit[1]);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        lan_free(&w.lan);
}

/* Nobody is linked to yet: those who may come into question are asked before one is chosen. */
static void test_choice_before_any_link(void **state) {
        for (unsigned seed = 111; seed < 121; seed++) {
                Ways w = ways_new(seed);
                Machine *order[] = { w.exit[0], w.exit[1] };
                bool preferred = seed % 2;
                NetworkExitInfo info;

                machine_stop(w.user, true, false);
                machine_start(w.user);
                ask_for(&w, preferred ? 2 : 0, order);
                for (unsigned k = 0; k < 40; k++) {
                        sim_run_for(w.lan.sim, 100 * USEC_PER_MSEC);
                        info = network_exit_info(w.user->network);
                        assert_true(!info.is_chosen ||
                                    machine_id_equal(&info.machine, machine_id(w.exit[1 - preferred])));
                }
                assert_uses(&w, w.exit[1 - preferred], preferred ? PRESENCE_EXIT_V4 : PRESENCE_EXITS);
                /* And that one stays. */
                assert_true(asks_outside(&w, USEC_PER_SEC));
                sim_run_for(w.lan.sim, USEC_PER_MINUTE);
                info = network_exit_info(w.user->network);
                assert_true(machine_id_equal(&info.machine, machine_id(w.exit[1 - preferred])));
                lan_free(&w.lan);
        }
}

static usec_t gone_for(Ways *w) {
        usec_t begun = sim_now(w->lan.sim);

        while (!asks_outside(w, 50 * USEC_PER_MSEC))
                if (sim_now(w->lan.sim) > begun + USEC_PER_MINUTE)
                        fail_msg("nobody took over");
        return sim_now(w->lan.sim) - begun;
}

/* While packets go out, be there few or many. */
static void test_other_takes_over(void **state) {
        for (uint64_t seed = 100; seed < 110; seed++) {
                Ways w = ways_new(seed);
                usec_t gone;

                use(&w, 0, NULL);
                for (unsigned i = 0; i < 50; i++)
                        assert_true(asks_outside(&w, USEC_PER_SEC));
                sim_partition(w.lan.sim, w.exit[1]->node, 1);
                gone = gone_for(&w);
                if (gone > 3 * USEC_PER_SEC)
                        fail_msg("seed %u: %u ms without a way out", (unsigned) seed,
                                 (unsigned) (gone / USEC_PER_MSEC));
                assert_uses(&w, w.exit[0], PRESENCE_EXIT_V4);
                /* It does not go back for one that is nearer. */
                sim_partition(w.lan.sim, w.exit[1]->node, 0);
                for (unsigned i = 0; i < 300; i++) {
                        assert_true(asks_outside(&w, 5 * USEC_PER_SEC));
                        sim_run_for(w.lan.sim, USEC_PER_SEC);
                }
                assert_uses(&w, w.exit[0], PRESENCE_EXIT_V4);
                lan_free(&w.lan);
        }
}

/* It is this machine that is cut off for a moment: no exit is to blame. */
static void test_own_line_fails(void **state) {
        for (uint64_t seed = 120; seed < 130; seed++) {
                Ways w = ways_new(seed);
                NetworkExitInfo info;

                use(&w, 0, NULL);
                for (unsigned i = 0; i < 20; i++)
                        assert_true(asks_outside(&w, USEC_PER_SEC));
                sim_partition(w.lan.sim, w.user->node, 1);
                for (unsigned i = 0; i < 50; i++) {
                        assert_false(asks_outside(&w, 50 * USEC_PER_MSEC));
                        info = network_exit_info(w.user->network);
                        assert_true(machine_id_equal(&info.machine, machine_id(w.exit[1])));
                }
                sim_partition(w.lan.sim, w.user->node, 0);
                assert_in_range(gone_for(&w), 0, 3 * USEC_PER_SEC);
                sim_run_for(w.lan.sim, 2 * USEC_PER_SEC);
                assert_uses(&w, w.exit[1], PRESENCE_EXITS);
                lan_free(&w.lan);
        }
}

/* To one that is preferred it does, once that has been there for a while. */
static void test_back_to_the_preferred(void **state) {
        Ways w = ways_new(96);
        Machine *order[] = { w.exit[0], w.exit[1] };

        use(&w, 2, order);
        assert_true(asks_outside(&w, USEC_PER_SEC));
        sim_partition(w.lan.sim, w.exit[0]->node, 1);
        assert_in_range(gone_for(&w), 0, 3 * USEC_PER_SEC);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        sim_partition(w.lan.sim, w.exit[0]->node, 0);
        for (unsigned i = 0; i < 20; i++) {
                assert_true(asks_outside(&w, USEC_PER_SEC));
                sim_run_for(w.lan.sim, USEC_PER_SEC);
        }
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        sim_run_for(w.lan.sim, 5 * USEC_PER_MINUTE);
        assert_uses(&w, w.exit[0], PRESENCE_EXIT_V4);
        lan_free(&w.lan);
}

/* An exit that says so is left at once; where there is no other nothing goes out, and the senders
 * are told. */
static void test_exit_ends_in_order(void **state) {
        Ways w = ways_new(97);
        NetworkExitInfo i;
        uint64_t before;

        use(&w, 0, NULL);
        assert_true(asks_outside(&w, USEC_PER_SEC));
        network_set_exit_offer(w.exit[1]->network, false, false);
        sim_run_for(w.lan.sim, 3 * USEC_PER_SEC);
        assert_uses(&w, w.exit[0], PRESENCE_EXIT_V4);
        assert_true(asks_outside(&w, USEC_PER_SEC));

        /* The right is taken away from the other. */
        assert_int_equal(
                        enrol_service_set_exit(
                                        network_enrol_service(w.lan.gateway->network),
                                        machine_id(w.exit[0]), false),
                        0);
        sim_run_for(w.lan.sim, 3 * USEC_PER_SEC);
        i = network_exit_info(w.user->network);
        assert_string_equal(network_exit_state_to_string(i.state), "unavailable");
        assert_false(i.is_chosen);
        assert_string_equal(i.reason, "no member is an exit");
        before = drop_counter(network_drops(w.user->network), DROP_NO_ROUTE);
        assert_false(asks_outside(&w, USEC_PER_SEC));
        assert_int_equal(drop_counter(network_drops(w.user->network), DROP_NO_ROUTE), before + 1);

        network_use_exit(w.user->network, &(NetworkExitWish){});
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        assert_int_equal(network_exit_info(w.user->network).state, NETWORK_EXIT_OFF);
        lan_free(&w.lan);
}

/* The only one is gone: it is tried again by what is sent, and used again when it is there. */
static void test_only_exit_comes_back(void **state) {
        Ways w = ways_new(98);
        NetworkExitInfo i;

        use(&w, 1, &w.exit[1]);
        assert_true(asks_outside(&w, USEC_PER_SEC));
        sim_partition(w.lan.sim, w.exit[1]->node, 1);
        for (unsigned k = 0; k < 10; k++)
                assert_false(asks_outside(&w, USEC_PER_SEC));
        i = network_exit_info(w.user->network);
        assert_string_equal(network_exit_state_to_string(i.state), "unavailable");
        assert_non_null(strstr(i.reason, "does not answer"));
        sim_partition(w.lan.sim, w.exit[1]->node, 0);
        assert_in_range(gone_for(&w), 0, 10 * USEC_PER_SEC);
        sim_run_for(w.lan.sim, 10 * USEC_PER_SEC);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        lan_free(&w.lan);
}

/* It would send others' traffic round in a circle. */
static void test_exit_uses_none(void **state) {
        Ways w = ways_new(99);

        use(&w, 0, NULL);
        network_set_exit_offer(w.user->network, true, true);
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        assert_string_equal(
                        network_exit_info(w.user->network).reason, "this machine is an exit itself");
        network_set_exit_offer(w.user->network, false, false);
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        assert_uses(&w, w.exit[1], PRESENCE_EXITS);
        lan_free(&w.lan);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_offer_is_heard_and_ends),
                cmocka_unit_test(test_member_without_the_role),
                cmocka_unit_test(test_path_there_and_back),
                cmocka_unit_test(test_nearest_is_taken),
                cmocka_unit_test(test_preferred_is_taken),
                cmocka_unit_test(test_choice_before_any_link),
                cmocka_unit_test(test_other_takes_over),
                cmocka_unit_test(test_own_line_fails),
                cmocka_unit_test(test_back_to_the_preferred),
                cmocka_unit_test(test_exit_ends_in_order),
                cmocka_unit_test(test_only_exit_comes_back),
                cmocka_unit_test(test_exit_uses_none),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
