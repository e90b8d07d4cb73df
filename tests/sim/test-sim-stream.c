/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UDP is blocked: machines reach the gateway by TCP, and each other through it, and leave that as
 * soon as UDP works. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/mesh/link/link.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC

static Link *link_of(Machine *m, Machine *to) {
        return link_find(network_mesh(m->network), machine_id(to));
}

static bool is_by_stream(Machine *m, Machine *to) {
        const Link *link = link_of(m, to);
        Endpoint active = link ? path_set_endpoint(&link->paths) : (Endpoint){};

        return link && link_is_up(link) && endpoint_is_stream(&active);
}

static bool is_plain(Machine *m, Machine *to) {
        const Link *link = link_of(m, to);
        Endpoint active = link ? path_set_endpoint(&link->paths) : (Endpoint){};

        return link && link_is_up(link) && endpoint_is_set(&active) && endpoint_is_plain(&active);
}

static unsigned n_stream_paths(Machine *m, Machine *to) {
        const Link *link = link_of(m, to);
        unsigned n = 0;

        for (unsigned i = 0; link && i < link->paths.n; i++)
                n += endpoint_is_stream(&link->paths.path[i].endpoint);
        return n;
}

/* Nobody makes a connection who does not need one: not when members are away or behind routers that
 * let nothing through either. */
static void test_never(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(1);
        Machine *a = reach_join(w, END_EASY), *b = reach_join(w, END_RANDOM);
        Machine *c = reach_join(w, END_OPEN);

        (void) reach_talk(a, b, 10);
        machine_stop(c, false, false);
        (void) reach_talk(a, c, 5);
        (void) reach_talk(a, b, 200);
        assert_int_equal(sim_streams_made(w->sim), 0);
        assert_int_equal(n_stream_paths(a, w->gateway), 0);
}

/* UDP has its time: a line on which an answer takes half a second is none on which it is blocked. */
static void test_slow_line(void **state) {
        const SimModel slow = { .latency = SEC / 4 };
        _cleanup_(reach_freep) Reach *w = reach_new(11);
        Machine *a, *b;

        sim_set_model(w->sim, &slow);
        a = reach_join(w, END_EASY);
        b = reach_join(w, END_OPEN);
        (void) reach_talk(a, b, 10);
        assert_int_equal(reach_kind(a, b), DIRECT);
        assert_int_equal(sim_streams_made(w->sim), 0);
}

/* Behind a router that drops UDP, from the start: it joins, and talks to everybody. */
static void test_blocked(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(2);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_BLOCKED);
        Machine *c = reach_join(w, END_EASY);

        assert_true(is_by_stream(a, w->gateway));
        assert_true(is_by_stream(w->gateway, a));
        /* Of the connection's port nobody concludes anything about that of UDP. */
        assert_false(endpoint_is_set(link_seen(link_of(a, w->gateway), AF_INET)));
        (void) reach_talk(a, b, 8);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_int_equal(reach_kind(a, b), RELAYED);
        assert_true(is_by_stream(a, b));
        (void) reach_talk(c, a, 8);
        assert_int_equal(reach_talk(c, a, 5), 5);
        assert_int_equal(reach_kind(c, a), RELAYED);
        /* What is relayed to it goes by its connection, and from the others by UDP. */
        assert_false(is_by_stream(c, a));
        assert_true(is_by_stream(a, c));
        /* One each is enough, and stays. */
        assert_int_equal(reach_talk(a, b, 300), 300);
        assert_int_equal(sim_streams_made(w->sim), 2);
}

static void unblock(Reach *w) {
        for (unsigned i = 0; i < w->n; i++)
                sim_node_block_udp(w->machine[i]->node, false);
}

static void test_left_again(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(3);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_BLOCKED);

        (void) reach_talk(a, b, 10);
        assert_true(is_by_stream(a, b) && is_by_stream(b, a));
        unblock(w);
        /* Nobody tells them: it is tried once a minute. */
        assert_int_equal(reach_talk(a, b, 75), 75);
        assert_true(is_plain(a, w->gateway) && is_plain(w->gateway, a));
        assert_int_equal(reach_kind(a, b), DIRECT);
        assert_true(is_plain(a, b) && is_plain(b, a));
        /* And then nobody uses the connections any more. */
        assert_int_equal(reach_talk(a, b, 200), 200);
        assert_int_equal(sim_node_streams(w->gateway->node), 0);
}

/* The same where nobody talks. */
static void test_left_idle(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(4);
        Machine *a = reach_join(w, END_BLOCKED);

        sim_run_for(w->sim, 400 * SEC);
        assert_true(is_by_stream(a, w->gateway));
        assert_int_equal(sim_node_streams(a->node), 1);
        unblock(w);
        sim_run_for(w->sim, 130 * SEC);
        assert_true(is_plain(a, w->gateway));
        sim_run_for(w->sim, 250 * SEC);
        assert_int_equal(sim_node_streams(a->node), 0);
        assert_int_equal(sim_streams_made(w->sim), 1);
}

/* That it was of no use once, when nobody was there, does not make it what is tried first later. */
static void test_not_first(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(15);
        Machine *a = reach_join(w, END_OPEN);

        (void) reach_talk(a, w->gateway, 10);
        machine_stop(w->gateway, false, false);
        machine_listen(w->gateway, 0);
        (void) reach_talk(a, w->gateway, 20);
        machine_start(w->gateway);
        (void) reach_talk(a, w->gateway, 20);
        assert_true(is_plain(a, w->gateway));
        machine_listen(w->gateway, 443);
        assert_true(n_stream_paths(a, w->gateway) > 0);
        for (unsigned i = 0; i < 5; i++) {
                sim_node_block_udp(a->node, true);
                (void) reach_talk(a, w->gateway, 3);
                sim_node_block_udp(a->node, false);
                (void) reach_talk(a, w->gateway, 10);
        }
        assert_true(is_plain(a, w->gateway));
        assert_int_equal(sim_streams_made(w->sim), 0);
}

/* And where it is the other end of the connection with which it talks. */
static void test_left_talking(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(12);
        Machine *a = reach_join(w, END_BLOCKED);

        (void) reach_talk(a, w->gateway, 10);
        assert_int_equal(reach_talk(a, w->gateway, 5), 5);
        assert_true(is_by_stream(a, w->gateway));
        unblock(w);
        assert_int_equal(reach_talk(a, w->gateway, 75), 75);
        assert_true(is_plain(a, w->gateway) && is_plain(w->gateway, a));
        assert_int_equal(reach_talk(a, w->gateway, 250), 250);
        assert_int_equal(sim_node_streams(a->node), 0);
        assert_int_equal(sim_streams_made(w->sim), 1);
        /* What was once of use is not what is tried first when UDP is not answered for a moment. */
        sim_node_block_udp(a->node, true);
        (void) reach_talk(a, w->gateway, 4);
        unblock(w);
        (void) reach_talk(a, w->gateway, 10);
        assert_true(is_plain(a, w->gateway));
        assert_int_equal(sim_streams_made(w->sim), 1);
}

/* It moves to a network that does not block, and knows it. */
static void test_moved(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(5);
        Machine *a = reach_join(w, END_BLOCKED);

        sim_run_for(w->sim, 20 * SEC);
        reach_move(w, a, END_EASY);
        sim_node_end_streams(a->node);
        sim_run_for(w->sim, 3 * SEC);
        assert_true(is_plain(a, w->gateway));
}

/* UDP is blocked under a session. */
static void test_blocked_later(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(6);
        Machine *a = reach_join(w, END_EASY), *b = reach_join(w, END_EASY);

        (void) reach_talk(a, b, 10);
        assert_int_equal(reach_kind(a, b), DIRECT);
        sim_node_block_udp(a->node, true);
        (void) reach_talk(a, b, 25);
        assert_int_equal(reach_talk(a, b, 10), 10);
        assert_true(is_by_stream(a, w->gateway) && is_by_stream(w->gateway, a));
        assert_true(is_by_stream(a, b));
        sim_node_block_udp(a->node, false);
        (void) reach_talk(a, b, 75);
        assert_int_equal(reach_kind(a, b), DIRECT);
        assert_true(is_plain(a, w->gateway));
}

/* The gateway starts anew: its connections are gone, and are made again. That it can be reached,
 * and so relays, it knows by them alone. */
static void restart_gateway(bool graceful, usec_t away) {
        _cleanup_(reach_freep) Reach *w = reach_new(7);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_BLOCKED);

        (void) reach_talk(a, b, 10);
        machine_stop(w->gateway, graceful, false);
        sim_run_for(w->sim, away);
        machine_start(w->gateway);
        (void) reach_talk(a, b, 30);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_true(is_by_stream(a, b));
}

/* The other side has nothing to say, and so would not find out by itself that UDP is blocked: it
 * follows who speaks. */
static void test_blocked_while_idle(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(14);
        Machine *a = reach_join(w, END_EASY);

        sim_run_for(w->sim, 20 * SEC);
        sim_node_block_udp(a->node, true);
        (void) reach_talk(a, w->gateway, 15);
        assert_int_equal(reach_talk(a, w->gateway, 5), 5);
        assert_true(is_by_stream(w->gateway, a));
}

static void test_gateway_restarts(void **state) {
        restart_gateway(false, 10 * SEC);
        restart_gateway(false, SEC);
        restart_gateway(true, 10 * SEC);
        restart_gateway(true, SEC);
}

/* A middlebox swallows what the connection carries, and lets it stand. */
static void test_stalls(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(8);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_BLOCKED);

        (void) reach_talk(a, b, 10);
        sim_stall_streams(w->sim, true);
        (void) reach_talk(a, b, 20);
        /* TCP gives up, both ends hear it. */
        sim_node_end_streams(a->node);
        sim_node_end_streams(b->node);
        sim_stall_streams(w->sim, false);
        (void) reach_talk(a, b, 15);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_true(is_by_stream(a, b));
        /* One that is gone is no path any more. */
        assert_int_equal(n_stream_paths(w->gateway, a), 1);
}

/* While it stalls UDP comes back. */
static void test_stalls_and_udp(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(9);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_BLOCKED);

        (void) reach_talk(a, b, 10);
        sim_stall_streams(w->sim, true);
        unblock(w);
        (void) reach_talk(a, b, 20);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_true(is_plain(a, b) && is_plain(a, w->gateway));
}

/* A member that listens is reached by TCP without the gateway, where that one is no more. */
static void test_member_listens(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(10);
        Machine *a = reach_join(w, END_BLOCKED), *b = reach_join(w, END_OPEN);

        machine_listen(b, 8443);
        (void) reach_talk(a, b, 10);
        assert_int_equal(reach_kind(a, b), RELAYED);
        machine_stop(w->gateway, true, false);
        (void) reach_talk(a, b, 30);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_int_equal(reach_kind(a, b), DIRECT);
        assert_true(is_by_stream(a, b) && is_by_stream(b, a));
}

/* From TCP to UDP where both must ask at the same time, since filters on both let in only what was
 * asked for. */
static void test_punches(void **state) {
        _cleanup_(reach_freep) Reach *w = reach_new(13);
        Machine *a = reach_join(w, END_FIREWALL), *b = reach_join(w, END_FIREWALL);

        machine_listen(b, 8443);
        sim_run_for(w->sim, 5 * SEC);
        machine_stop(w->gateway, false, false);
        sim_node_block_udp(a->node, true);
        (void) reach_talk(a, b, 30);
        assert_int_equal(reach_talk(a, b, 5), 5);
        assert_true(is_by_stream(a, b) && is_by_stream(b, a));
        sim_node_block_udp(a->node, false);
        assert_int_equal(reach_talk(a, b, 75), 75);
        assert_true(is_plain(a, b) && is_plain(b, a));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_never),
                cmocka_unit_test(test_slow_line),
                cmocka_unit_test(test_blocked),
                cmocka_unit_test(test_left_again),
                cmocka_unit_test(test_left_idle),
                cmocka_unit_test(test_not_first),
                cmocka_unit_test(test_left_talking),
                cmocka_unit_test(test_moved),
                cmocka_unit_test(test_blocked_later),
                cmocka_unit_test(test_blocked_while_idle),
                cmocka_unit_test(test_gateway_restarts),
                cmocka_unit_test(test_stalls),
                cmocka_unit_test(test_stalls_and_udp),
                cmocka_unit_test(test_member_listens),
                cmocka_unit_test(test_punches),
        };

        return cmocka_run_group_tests_name("sim-stream", tests, NULL, NULL);
}
