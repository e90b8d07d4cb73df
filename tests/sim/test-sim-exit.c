/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exits to the internet: who offers one, who is believed, which is taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_offer_is_heard_and_ends),
                cmocka_unit_test(test_member_without_the_role),
                cmocka_unit_test(test_path_there_and_back),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
