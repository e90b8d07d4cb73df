/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway at a name whose address changes: found again, and nobody asked who need not be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "lan.h"
#include "names.h"

#define NAME "gw.example.org"
#define TAKES (50 * USEC_PER_MSEC)

typedef struct World {
        Lan lan;
        Machine *member;
        SimNames *names;
} World;

/* A member that came by an invite with the gateway's name. */
static World world_new(uint64_t seed) {
        World w = { .lan = lan_new(seed) };
        HostPort name;
        InviteOptions options = { .uses = 1, .names = &name, .n_names = 1 };
        g_autofree char *link = NULL;

        assert_int_equal(host_port_parse(NAME, 18002, &name), 0);
        w.member = lan_machine(&w.lan);
        w.names = sim_names_new(w.member->node, TAKES);
        link = machine_invite(w.lan.gateway, &options);
        assert_null(machine_join(w.member, link));
        return w;
}

static void world_free(World *w) {
        lan_free(&w->lan);
        sim_names_free(w->names);
}

static bool is_online(void *userdata) {
        return network_state(((Machine *) userdata)->network) == NETWORK_ONLINE;
}

static bool comes_online(World *w, usec_t wait) {
        return sim_run_until(w->lan.sim, is_online, w->member, wait);
}

static void move_gateway(World *w, const char *endpoint) {
        sim_node_move(w->lan.gateway->node, endpoint);
        machine_moved(w->lan.gateway);
}

/* Both are elsewhere since the member was switched off: neither knows where. */
static void lose_each_other(World *w, const char *gateway) {
        machine_stop(w->member, true, false);
        sim_node_move(w->member->node, "198.51.100.200:18002");
        move_gateway(w, gateway);
}

/* What it knows from before it was switched off is wrong: only the name leads there. */
static void test_month_away(void **state) {
        World w = world_new(700);

        lose_each_other(&w, "203.0.113.77:18002");
        sim_names_set(w.names, NAME, "203.0.113.77");
        sim_run_for(w.lan.sim, 30 * USEC_PER_DAY);
        assert_int_equal(sim_names_asked(w.names), 0);
        machine_start(w.member);
        assert_true(comes_online(&w, 10 * USEC_PER_SEC));
        assert_int_equal(sim_names_asked(w.names), 1);
        world_free(&w);
}

/* While the link is up no name server hears of it, and a start that finds it asks none. */
static void test_not_asked_while_it_works(void **state) {
        World w = world_new(701);

        sim_names_set(w.names, NAME, "203.0.113.9");
        sim_run_for(w.lan.sim, 3 * USEC_PER_DAY);
        assert_int_equal(sim_names_asked(w.names), 0);
        machine_stop(w.member, true, false);
        machine_start(w.member);
        assert_true(comes_online(&w, 10 * USEC_PER_SEC));
        sim_run_for(w.lan.sim, USEC_PER_HOUR);
        assert_int_equal(sim_names_asked(w.names), 0);
        world_free(&w);
}

/* While it runs: both addresses change, and again. */
static void test_moves_meanwhile(void **state) {
        World w = world_new(702);

        for (unsigned i = 1; i <= 3; i++) {
                g_autofree char *at = g_strdup_printf("203.0.113.%u", 70 + i);
                g_autofree char *endpoint = g_strdup_printf("%s:18002", at);
                g_autofree char *theirs = g_strdup_printf("198.51.100.%u:18002", 210 + i);

                /* It is off for a while, as a router that is given another address may be, so that
                 * it cannot say itself where it is. */
                sim_node_sleep(w.lan.gateway->node, true);
                sim_run_for(w.lan.sim, USEC_PER_HOUR);
                assert_false(is_online(w.member));
                machine_stop(w.lan.gateway, false, false);
                sim_node_move(w.lan.gateway->node, endpoint);
                sim_names_set(w.names, NAME, at);
                sim_node_move(w.member->node, theirs);
                machine_moved(w.member);
                machine_start(w.lan.gateway);
                assert_true(comes_online(&w, 10 * USEC_PER_MINUTE));
        }
        world_free(&w);
}

/* No name server at boot (nebula#176): 5 s, 10 s, 20 s, ... and five minutes in the end. */
static void test_back_off(void **state) {
        World w = world_new(703);
        unsigned first, hour;

        lose_each_other(&w, "203.0.113.77:18002");
        sim_names_silence(w.names, true);
        machine_start(w.member);
        sim_run_for(w.lan.sim, USEC_PER_MINUTE);
        first = sim_names_asked(w.names);
        assert_in_range(first, 3, 5);
        sim_run_for(w.lan.sim, USEC_PER_HOUR);
        hour = sim_names_asked(w.names) - first;
        assert_in_range(hour, 6, 15);
        /* It is there now; a network that changed is a reason not to wait. */
        sim_names_silence(w.names, false);
        sim_names_set(w.names, NAME, "203.0.113.77");
        machine_moved(w.member);
        assert_true(comes_online(&w, 10 * USEC_PER_SEC));
        world_free(&w);
}

/* It comes back by itself as well, within the longest back-off. */
static void test_back_without_a_word(void **state) {
        World w = world_new(704);

        lose_each_other(&w, "203.0.113.77:18002");
        machine_start(w.member);
        sim_run_for(w.lan.sim, USEC_PER_DAY);
        sim_names_set(w.names, NAME, "203.0.113.77");
        assert_true(comes_online(&w, 12 * USEC_PER_MINUTE));
        world_free(&w);
}

/* What a name server says is a place to ask at, no more: nothing inside the network, nothing that
 * is no address, eight at most; and the right one among them is found. */
static void test_lies(void **state) {
        World w = world_new(705);

        lose_each_other(&w, "203.0.113.77:18002");
        sim_names_set(w.names, NAME,
                      "0.0.0.0 224.0.0.1 255.255.255.255 10.0.0.1 fe80::1 ff02::1 :: 198.51.100.1 "
                      "198.51.100.2 198.51.100.3 198.51.100.1 198.51.100.4 198.51.100.5 198.51.100.6 "
                      "198.51.100.7 203.0.113.77 198.51.100.8 198.51.100.9");
        machine_start(w.member);
        assert_true(comes_online(&w, 20 * USEC_PER_SEC));
        /* Somebody else's address only: he does not answer, and what was there before goes. */
        machine_stop(w.member, true, false);
        sim_node_move(w.member->node, "198.51.100.201:18002");
        move_gateway(&w, "203.0.113.78:18002");
        sim_names_set(w.names, NAME, "198.51.100.1 198.51.100.2");
        machine_start(w.member);
        assert_false(comes_online(&w, USEC_PER_MINUTE));
        sim_names_set(w.names, NAME, "203.0.113.78");
        assert_true(comes_online(&w, 10 * USEC_PER_MINUTE));
        world_free(&w);
}

static void count_hint(void *userdata, const MeshPathInfo *info) {
        *(unsigned *) userdata += strcmp(info->origin, "hint") == 0;
}

static unsigned count_hints(World *w) {
        unsigned n = 0;

        (void) mesh_foreach_path(
                        network_mesh(w->member->network), machine_id(w->lan.gateway), count_hint, &n);
        return n;
}

/* Where the name does not lead to any more is not tried any more. */
static void test_former_are_dropped(void **state) {
        World w = world_new(706);

        lose_each_other(&w, "203.0.113.77:18002");
        sim_names_set(w.names, NAME, "198.51.100.1 198.51.100.2 198.51.100.3");
        machine_start(w.member);
        sim_run_for(w.lan.sim, 4 * USEC_PER_SEC);
        assert_int_equal(count_hints(&w), 3);
        /* A name server that is gone takes nothing away. */
        sim_names_silence(w.names, true);
        sim_run_for(w.lan.sim, USEC_PER_MINUTE);
        assert_int_equal(count_hints(&w), 3);
        sim_names_silence(w.names, false);
        sim_names_set(w.names, NAME, "198.51.100.2");
        machine_moved(w.member);
        sim_run_for(w.lan.sim, 20 * USEC_PER_SEC);
        assert_int_equal(count_hints(&w), 1);
        world_free(&w);
}

static bool is_waiting(void *userdata) {
        return sim_names_waiting(userdata) > 0;
}

/* The network goes while its question is on the way. */
static void test_end_in_the_middle(void **state) {
        World w = world_new(707);

        lose_each_other(&w, "203.0.113.77:18002");
        machine_start(w.member);
        assert_true(sim_run_until(w.lan.sim, is_waiting, w.names, USEC_PER_MINUTE));
        machine_stop(w.member, true, false);
        assert_int_equal(sim_names_waiting(w.names), 0);
        sim_run_for(w.lan.sim, USEC_PER_MINUTE);
        machine_start(w.member);
        /* So does the name. */
        assert_true(sim_run_until(w.lan.sim, is_waiting, w.names, USEC_PER_MINUTE));
        network_set_names(w.member->network, NULL, 0);
        assert_int_equal(sim_names_waiting(w.names), 0);
        sim_run_for(w.lan.sim, USEC_PER_HOUR);
        world_free(&w);
}

/* The gateway was lost before it had a name, and somebody says which it has. */
static void test_told_afterwards(void **state) {
        World w = world_new(709);
        HostPort name;

        network_set_names(w.member->network, NULL, 0);
        w.member->membership.n_names = 0;
        lose_each_other(&w, "203.0.113.77:18002");
        sim_names_set(w.names, NAME, "203.0.113.77");
        machine_start(w.member);
        sim_run_for(w.lan.sim, USEC_PER_DAY);
        assert_false(is_online(w.member));
        assert_int_equal(sim_names_asked(w.names), 0);
        assert_int_equal(host_port_parse(NAME, 18002, &name), 0);
        network_set_names(w.member->network, &name, 1);
        assert_true(comes_online(&w, 10 * USEC_PER_SEC));
        world_free(&w);
}

/* An invite may have nothing but a name. */
static void test_join_by_name(void **state) {
        Lan lan = lan_new(708);
        Machine *m = lan_machine(&lan);
        SimNames *names = sim_names_new(m->node, TAKES);
        Endpoint gateway = sim_node_endpoint(lan.gateway->node);
        IpAddr address = endpoint_address(&gateway);
        g_autofree char *link = machine_invite(lan.gateway, NULL), *by_name = NULL;
        Invite invite;

        assert_int_equal(invite_parse(link, &invite), 0);
        invite.n_endpoints = 0;
        invite.n_names = 1;
        assert_int_equal(host_port_parse(NAME, 18002, &invite.names[0]), 0);
        by_name = invite_format(&invite);
        sim_names_set(names, NAME, ip_format(&address).text);
        assert_null(machine_join(m, by_name));
        assert_int_equal(sim_names_asked(names), 1);
        lan_free(&lan);
        sim_names_free(names);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_month_away),
                cmocka_unit_test(test_not_asked_while_it_works),
                cmocka_unit_test(test_moves_meanwhile),
                cmocka_unit_test(test_back_off),
                cmocka_unit_test(test_back_without_a_word),
                cmocka_unit_test(test_lies),
                cmocka_unit_test(test_former_are_dropped),
                cmocka_unit_test(test_end_in_the_middle),
                cmocka_unit_test(test_told_afterwards),
                cmocka_unit_test(test_join_by_name),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
