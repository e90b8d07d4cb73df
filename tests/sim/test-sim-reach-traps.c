/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What other meshes fell over, as far as it is a matter of where machines stand and of what
 * happens to routers: each test is one such case, on networks drawn for it.
 */

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
#define MINUTE USEC_PER_MINUTE
#define SETTLE_SECONDS 12U

#define REACHED(kind) ((Expected){ kind, kind })
#define BY_RELAY ((Expected){ RELAYS_NOW, RELAYED })
#define BY_PUNCHING ((Expected){ PUNCHED_NOW, DIRECT })

static void judge(Machine *a, Machine *b, Expected e) {
        bool arrives = reach_talk(a, b, 5) == 5;
        Kind got = MIN(reach_kind(a, b), reach_kind(b, a));

        printf("%s to %s: %s%s, is to be %s\n", a->name, b->name, kind_name(got),
               arrives ? "" : " (silent)", kind_name(e.goal));
        if (e.now == NONE)
                return;
        assert_true(arrives);
        assert_true(got >= e.now);
}

static void talk_and_judge(Machine *a, Machine *b, Expected e) {
        (void) reach_talk(a, b, SETTLE_SECONDS);
        judge(a, b, e);
}

/* --- insides --- */

/* Two machines behind one router that has no hairpin, which each sees the other at. */
static void test_same_lan_without_hairpin(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *home = reach_router(r, END_EASY);
        Machine *a = reach_join_inside(r, home, "192.168.1.2:18002"),
                *b = reach_join_inside(r, home, "192.168.1.3:18002");

        talk_and_judge(a, b, REACHED(LAN));
}

/* With one it works both ways: what is nearer is taken. */
static void test_same_lan_with_hairpin(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *home = reach_router(r, END_CONE);
        Machine *a = reach_join_inside(r, home, "192.168.1.2:18002"),
                *b = reach_join_inside(r, home, "192.168.1.3:18002");

        talk_and_judge(a, b, REACHED(LAN));
}

/* The address of the other is a third one's here, or one's own. */
static void test_two_lans_of_the_same_addresses(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *one = reach_router(r, END_EASY), *two = reach_router(r, END_EASY);
        Machine *a = reach_join_inside(r, one, "192.168.1.2:18002"),
                *b = reach_join_inside(r, one, "192.168.1.3:18002"),
                *c = reach_join_inside(r, two, "192.168.1.2:18002"),
                *e = reach_join_inside(r, two, "192.168.1.3:18002");

        for (unsigned i = 0; i < SETTLE_SECONDS; i++) {
                (void) reach_talk(a, c, 1);
                (void) reach_talk(b, c, 1);
        }
        judge(a, b, REACHED(LAN));
        judge(c, e, (Expected){ PUNCHED_NOW, LAN });
        judge(a, c, BY_PUNCHING);
        judge(b, c, BY_PUNCHING);
        assert_int_not_equal(reach_kind(a, c), LAN);
        assert_int_not_equal(reach_kind(b, c), LAN);
}

/* What a router behind another one maps is no public address. */
static void test_mapped_by_the_inner_router(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_DOUBLE), *b = reach_join(r, END_EASY);
        SimNatKind kind = SIM_NAT_EASY;

        kind.maps_ports = true;
        sim_nat_set_kind(a->site, &kind);
        assert_int_equal(sim_nat_map(a->site, a->node, 0, USEC_INFINITY, &a->mapped), 0);
        machine_moved(a);
        talk_and_judge(b, a, BY_PUNCHING);
}

/* Two homes of one carrier, whose translator has no hairpin. */
static void test_one_carrier(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *carrier = reach_router(r, END_CARRIER);
        SimNat *one = sim_nat_make(r->sim, "10.0.200.11", &SIM_NAT_EASY),
               *two = sim_nat_make(r->sim, "10.0.200.12", &SIM_NAT_EASY);
        Machine *a, *b;

        sim_nat_set_outer(one, carrier);
        sim_nat_set_outer(two, carrier);
        a = reach_join_inside(r, one, "192.168.1.2:18002");
        b = reach_join_inside(r, two, "192.168.2.2:18002");
        talk_and_judge(a, b, BY_RELAY);
}

/* --- routers that forget --- */

/* The address of the translation changes under a live session, in the middle of what is said. */
static void test_router_restarts(void **state) {
        for (unsigned other = 0; other < 2; other++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_OPEN);

                talk_and_judge(a, b, REACHED(DIRECT));
                sim_nat_restart(a->site, other ? "203.0.99.99" : NULL);
                assert_true(reach_talk(a, b, 10) >= 5);
                judge(a, b, REACHED(DIRECT));
                judge(r->gateway, a, REACHED(DIRECT));
                /* The other way first, who cannot get in, with nothing said by who can. */
                sim_nat_restart(a->site, other ? "203.0.99.98" : NULL);
                sim_run_for(r->sim, MINUTE);
                judge(b, a, REACHED(DIRECT));
        }
}

/* The same of two that are relayed. Nobody but the machine inside can tell the relay where it is
 * now: within a second if it has something to say, else when it next asks whether its path works. */
static void test_router_of_a_relayed_restarts(void **state) {
        for (unsigned i = 0; i < 4; i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(i + 1);
                Machine *a = reach_join(r, END_RANDOM), *b = reach_join(r, END_RANDOM);

                talk_and_judge(a, b, BY_RELAY);
                sim_nat_restart((i & 1 ? b : a)->site, i & 2 ? "203.0.99.99" : NULL);
                assert_true(reach_talk(a, b, 10) >= (i & 1 ? 7 : 9));
                judge(a, b, BY_RELAY);
        }
}

/* Both start anew, and their routers know nothing: as soon as each has the gateway there is a
 * relay, and the first packet takes what the handshake takes. */
static void test_both_start_anew(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m[] = { reach_join(r, END_RANDOM), reach_join(r, END_RANDOM) };

        sim_run_for(r->sim, MINUTE);
        for (unsigned i = 0; i < ELEMENTSOF(m); i++) {
                machine_stop(m[i], false, false);
                sim_nat_restart(m[i]->site, NULL);
        }
        for (unsigned i = 0; i < ELEMENTSOF(m); i++)
                machine_start(m[i]);
        sim_run_for(r->sim, 100 * USEC_PER_MSEC);
        assert_true(machine_reaches(m[0], m[1], 200 * USEC_PER_MSEC));
        judge(m[0], m[1], BY_RELAY);
}

static void test_both_routers_restart(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_EASY);

        talk_and_judge(a, b, BY_PUNCHING);
        sim_nat_restart(a->site, "203.0.99.98");
        sim_nat_restart(b->site, "203.0.99.99");
        (void) reach_talk(a, b, 30);
        judge(a, b, BY_PUNCHING);
        sim_run_for(r->sim, 10 * MINUTE);
        judge(b, a, BY_PUNCHING);
}

/* Nothing is said for longer than mappings live; then who cannot get in speaks first. */
static void test_idle_behind_a_router(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_OPEN);
        SimNatKind kind = SIM_NAT_EASY;

        kind.inbound_refreshes = false;
        sim_nat_set_kind(a->site, &kind);
        talk_and_judge(a, b, REACHED(DIRECT));
        sim_run_for(r->sim, 10 * MINUTE);
        judge(b, a, REACHED(DIRECT));
        sim_run_for(r->sim, 60 * MINUTE);
        judge(b, a, REACHED(DIRECT));
}

/* --- moving --- */

static void test_both_move_at_once(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_EASY);

        talk_and_judge(a, b, BY_PUNCHING);
        for (unsigned i = 0; i < 3; i++) {
                reach_move(r, a, i % 2 ? END_EASY : END_DUAL);
                reach_move(r, b, i % 2 ? END_CARRIER : END_EASY);
                (void) reach_talk(a, b, SETTLE_SECONDS);
                judge(a, b, BY_PUNCHING);
        }
}

/* Home, where both are in one network, and away, and home again. */
static void test_leaves_the_lan_and_comes_back(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        SimNat *home = reach_router(r, END_EASY);
        Machine *a = reach_join_inside(r, home, "192.168.1.2:18002"),
                *b = reach_join_inside(r, home, "192.168.1.3:18002");

        talk_and_judge(a, b, REACHED(LAN));
        reach_move(r, a, END_OPEN);
        talk_and_judge(a, b, BY_PUNCHING);
        a->site = home;
        sim_node_set_nat(a->node, home);
        sim_node_move(a->node, "192.168.1.2:18002");
        machine_moved(a);
        talk_and_judge(a, b, ((Expected){ PUNCHED_NOW, LAN }));
}

static void test_slept_for_a_day(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_OPEN);

        talk_and_judge(a, b, REACHED(DIRECT));
        sim_node_sleep(a->node, true);
        sim_run_for(r->sim, 24 * 60 * MINUTE);
        sim_node_sleep(a->node, false);
        machine_moved(a);
        (void) reach_talk(a, b, 5);
        judge(a, b, BY_PUNCHING);
}

/* --- relays, and paths that lie --- */

/* The relay of a pair dies, and another one is there. */
static void test_relay_dies(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_RANDOM), *b = reach_join(r, END_RANDOM);

        (void) reach_join(r, END_OPEN);
        talk_and_judge(a, b, BY_RELAY);
        sim_node_sleep(r->gateway->node, true);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        judge(a, b, BY_RELAY);
        /* And after it is back, the other one dies. */
        sim_node_sleep(r->gateway->node, false);
        sim_run_for(r->sim, MINUTE);
        sim_node_sleep(r->machine[2]->node, true);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        judge(a, b, BY_RELAY);
}

/* One that went and came back is one again when it is needed. */
static void test_relay_comes_back(void **state) {
        for (unsigned says = 0; says < 2; says++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, END_RANDOM), *b = reach_join(r, END_RANDOM),
                        *c = reach_join(r, END_OPEN);

                talk_and_judge(a, b, BY_RELAY);
                machine_stop(c, says, false);
                (void) reach_talk(a, b, SETTLE_SECONDS);
                machine_start(c);
                (void) reach_talk(a, b, 5);
                mesh_set_relay(network_mesh(r->gateway->network), RELAY_OFF);
                (void) reach_talk(a, b, SETTLE_SECONDS);
                judge(a, b, BY_RELAY);
        }
}

/* The relay starts anew and has forgotten every allocation; so does a member. */
static void test_relay_restarts(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_RANDOM), *b = reach_join(r, END_RANDOM);

        talk_and_judge(a, b, BY_RELAY);
        machine_stop(r->gateway, false, false);
        machine_start(r->gateway);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        judge(a, b, BY_RELAY);
        machine_stop(b, false, false);
        machine_start(b);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        judge(a, b, BY_RELAY);
}

/* Datagrams of one to the other are lost from some size on, or all. */
typedef struct OneWay {
        const SimNode *from;
        Endpoint to;
        size_t lost_from; /* bytes */
} OneWay;

static bool lose(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        const OneWay *w = userdata;

        return from != w->from || !endpoint_equal(to, &w->to) || len < w->lost_from;
}

/* It hears the other directly and is not heard itself: that is no path. What goes by the relay
 * does not make it one, neither before nor after. */
static void test_one_way(void **state) {
        for (unsigned later = 0; later < 2; later++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
                OneWay w = { .from = a->node, .to = sim_node_endpoint(b->node) };

                if (!later)
                        sim_set_tap(r->sim, lose, &w);
                (void) reach_talk(a, b, SETTLE_SECONDS);
                sim_set_tap(r->sim, lose, &w);
                talk_and_judge(a, b, BY_RELAY);
                sim_set_tap(r->sim, NULL, NULL);
        }
}

/* Small ones pass. */
static void test_only_small_ones_pass(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
        OneWay w = { .from = a->node, .to = sim_node_endpoint(b->node), .lost_from = 600 };
        g_autofree char *text = g_strnfill(1000, 'x');
        IpAddr from = machine_address(a), to = machine_address(b);
        bool arrived;

        sim_set_tap(r->sim, lose, &w);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        machine_send_text(a, &from, &to, text);
        sim_run_for(r->sim, SEC);
        arrived = machine_received_text(b, &from, text);
        judge(a, b, BY_RELAY);
        assert_true(arrived);
        assert_int_equal(reach_kind(a, b), RELAYED);
        /* And straight again once all pass. */
        sim_set_tap(r->sim, NULL, NULL);
        (void) reach_talk(a, b, 3 * 60);
        judge(a, b, REACHED(DIRECT));
        sim_set_tap(r->sim, NULL, NULL);
}

/* The only way there is appears, goes, and another kind appears. */
static void test_udp_blocked_for_a_while(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_EASY), *b = reach_join(r, END_OPEN);
        SimNatKind kind = SIM_NAT_EASY;

        machine_listen(r->gateway, 0); /* nobody takes TCP either */
        talk_and_judge(a, b, REACHED(DIRECT));
        kind.blocks_udp = true;
        sim_nat_set_kind(a->site, &kind);
        sim_run_for(r->sim, 3 * MINUTE);
        assert_int_equal(reach_talk(a, b, 3), 0);
        sim_nat_set_kind(a->site, &SIM_NAT_EASY);
        /* Who is inside tries again within a minute or so. */
        sim_run_for(r->sim, 2 * MINUTE);
        judge(a, b, REACHED(DIRECT));
        judge(b, a, REACHED(DIRECT));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_same_lan_without_hairpin),
                cmocka_unit_test(test_same_lan_with_hairpin),
                cmocka_unit_test(test_two_lans_of_the_same_addresses),
                cmocka_unit_test(test_mapped_by_the_inner_router),
                cmocka_unit_test(test_one_carrier),
                cmocka_unit_test(test_router_restarts),
                cmocka_unit_test(test_router_of_a_relayed_restarts),
                cmocka_unit_test(test_both_start_anew),
                cmocka_unit_test(test_both_routers_restart),
                cmocka_unit_test(test_idle_behind_a_router),
                cmocka_unit_test(test_both_move_at_once),
                cmocka_unit_test(test_leaves_the_lan_and_comes_back),
                cmocka_unit_test(test_slept_for_a_day),
                cmocka_unit_test(test_relay_dies),
                cmocka_unit_test(test_relay_comes_back),
                cmocka_unit_test(test_relay_restarts),
                cmocka_unit_test(test_one_way),
                cmocka_unit_test(test_only_small_ones_pass),
                cmocka_unit_test(test_udp_blocked_for_a_while),
        };

        return cmocka_run_group_tests_name("sim-reach-traps", tests, NULL, NULL);
}
