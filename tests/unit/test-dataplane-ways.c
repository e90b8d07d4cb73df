/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How packets leave for a machine: two ways at once, not yet, and under which keys. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/limits.h"
#include "router-world.h"

/* --- two ways --- */

/* While a path is in doubt each datagram goes by both, sealed once; who gets both takes one. */
static void test_second_way(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        Endpoint second = w.b.endpoint;

        endpoint_set_port(&second, 1234);
        w.a.tx.second = second;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(w.a.trains, 2);
        assert_true(endpoint_equal(&w.a.last_to, &second));
        assert_int_equal(atomic_load(&w.a.peer.tx_packets), 1);
        assert_int_equal(world_deliver(&w, &w.a, &w.b), 2);
        world_expect(&w.b, &b, 0);
        world_expect_nothing(&w.b);
        assert_drops(&w.b, DROP_REPLAYED, 1);
        /* And one way again. */
        w.a.tx.second = (Endpoint){};
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(w.a.trains, 3);
        assert_int_equal(world_deliver(&w, &w.a, &w.b), 1);
        world_expect(&w.b, &b, 0);
}

/* What is noted of the path: only what comes from just where packets go. */
static void test_path_is_heard(void **state) {
        WORLD(w);
        Endpoint elsewhere = w.a.endpoint;
        uint8_t frame[1] = { 0 };

        endpoint_set_port(&elsewhere, 1234);
        inject(&w, &w.a, &w.b, &elsewhere, 0, frame, 1);
        assert_int_equal(atomic_load(&w.b.tx.heard), 0);
        inject(&w, &w.a, &w.b, NULL, 0, frame, 1);
        assert_int_equal(atomic_load(&w.b.tx.heard), w.now);
        w.now += USEC_PER_SEC;
        inject(&w, &w.a, &w.b, &elsewhere, 0, frame, 1);
        assert_int_equal(atomic_load(&w.b.tx.heard), w.now - USEC_PER_SEC);
}

/* The first packet after a pause is told of, once; again if that did not get through. */
static void test_quiet(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);

        for (unsigned i = 0; i < 4; i++) {
                if (i == 1) {
                        atomic_store(&w.a.peer.quiet, true);
                        w.a.control_full = true;
                }
                world_app_send(&w.a, &b, 0);
                world_egress(&w, &w.a);
                assert_int_equal(w.a.sent, i < 2 ? 0 : 1);
                w.a.control_full = false;
        }
        assert_false(atomic_load(&w.a.peer.quiet));
}

/* --- packets that wait --- */

static void test_pending_until_session(void **state) {
        g_autofree uint8_t *payload = g_malloc0(20000);
        WORLD(w);
        Build b = world_build(&w.a, &w.b), big = b;

        big.udp = false;
        big.payload = payload;
        big.payload_len = 20000;
        w.a.peer.tx = NULL;
        world_app_send(&w.a, &b, 0);
        world_app_send(&w.a, &big, 1000);
        assert_true(world_egress(&w, &w.a) == w.now + PENDING_USEC);
        assert_int_equal(w.a.wants, 1);
        assert_true(w.a.peer.wanted);
        assert_true(g_queue_is_empty(&w.a.wire));
        /* Too early: they go on waiting. */
        packet_router_flush_pending(w.a.router, &w.a.peer);
        assert_true(packet_router_end(w.a.router) == w.now + PENDING_USEC);
        w.a.peer.tx = &w.a.tx;
        packet_router_begin(w.a.router, w.now);
        packet_router_flush_pending(w.a.router, &w.a.peer);
        assert_true(packet_router_end(w.a.router) == USEC_INFINITY);
        assert_int_equal(world_deliver(&w, &w.a, &w.b), 21);
        world_expect(&w.b, &b, 0);
        world_expect(&w.b, &big, 1000);
        assert_no_drops(&w.a);
}

static void test_pending_expires(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        g_autoptr(GBytes) icmp = NULL;

        w.a.peer.tx = NULL;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        w.now += PENDING_USEC - 1;
        world_egress(&w, &w.a);
        assert_drops(&w.a, DROP_PENDING_EXPIRED, 0);
        world_expect_nothing(&w.a);
        w.now++;
        assert_true(world_egress(&w, &w.a) == USEC_INFINITY);
        assert_drops(&w.a, DROP_PENDING_EXPIRED, 1);
        icmp = mock_netif_app_received(w.a.netif, NULL);
        assert_non_null(icmp);
        assert_int_equal(((const uint8_t *) g_bytes_get_data(icmp, NULL))[21], 1); /* host */
}

static void test_pending_bounded(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);

        w.a.peer.tx = NULL;
        for (unsigned i = 0; i < PENDING_PACKETS_MAX + 5; i++)
                world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_drops(&w.a, DROP_PENDING_FULL, 5);
        /* One message while it is on its way, and no flood of them after. */
        assert_int_equal(w.a.wants, 1);
        w.a.peer.wanted = false;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(w.a.wants, 1);
        w.now += USEC_PER_SEC;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(w.a.wants, 2);
        packet_router_forget(w.a.router, &w.a.peer);
        assert_null(w.a.peer.pending);
        assert_int_equal(drop_counter(&w.a.daemon_drops, DROP_PENDING_EXPIRED), PENDING_PACKETS_MAX);
        assert_true(packet_router_end(w.a.router) == USEC_INFINITY);
}

static void test_keypair_ends(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);

        w.now = w.a.keypair->created + REJECT_AFTER_TIME - USEC_PER_SEC;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(g_queue_get_length(&w.a.wire), 1);
        assert_int_equal(w.a.wants, 1);
        w.now += USEC_PER_SEC;
        w.a.peer.wanted = false;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(g_queue_get_length(&w.a.wire), 1);
        assert_int_equal(w.a.wants, 2);
        assert_non_null(w.a.peer.pending);
        /* What arrives too late is not opened. */
        world_deliver(&w, &w.a, &w.b);
        assert_drops(&w.b, DROP_KEYPAIR_EXPIRED, 1);
}

static void test_keypair_used_up(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        g_autofree uint8_t *payload = g_malloc0(20000);

        w.a.keypair->send_counter = REJECT_AFTER_MESSAGES - 1;
        b.udp = false;
        b.payload = payload;
        b.payload_len = 20000;
        b.v6 = true;
        world_app_send(&w.a, &b, 1000); /* needs 20 */
        b.payload_len = 20;
        b.ip_options = 16; /* its checksum is filled in: not twice */
        world_app_send(&w.a, &b, 0);
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_int_equal(g_queue_get_length(&w.a.wire), 1);
        assert_int_equal(w.a.wants, 1);
        w.a.keypair->send_counter = 0;
        packet_router_begin(w.a.router, w.now);
        packet_router_flush_pending(w.a.router, &w.a.peer);
        (void) packet_router_end(w.a.router);
        assert_int_equal(g_queue_get_length(&w.a.wire), 22);
        g_queue_clear_full(&w.a.wire, datagram_free);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_second_way),
                cmocka_unit_test(test_path_is_heard),
                cmocka_unit_test(test_quiet),
                cmocka_unit_test(test_pending_until_session),
                cmocka_unit_test(test_pending_expires),
                cmocka_unit_test(test_pending_bounded),
                cmocka_unit_test(test_keypair_ends),
                cmocka_unit_test(test_keypair_used_up),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
