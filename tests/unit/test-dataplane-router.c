/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packets from one interface to the other through two packet routers. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/limits.h"
#include "router-world.h"

/* --- where packets go --- */

static void test_route_to_local(void **state) {
        WORLD(w);
        Build b = world_build(&w.b, &w.a);

        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        world_expect(&w.a, &b, 0);
        assert_true(g_queue_is_empty(&w.a.wire));
        assert_no_drops(&w.a);
}

static void test_route_to_peer(void **state) {
        static const BuildCsum sums[] = { BUILD_FULL, BUILD_PARTIAL };
        WORLD(w);
        unsigned n = 0;

        for (unsigned i = 0; i < 8; i++) {
                Build b = world_build(&w.a, &w.b);
                Datagram *d;

                b.v6 = i & 1;
                b.udp = i & 2;
                b.csum = sums[i >> 2];
                world_app_send(&w.a, &b, 0);
                world_egress(&w, &w.a);
                assert_int_equal(g_queue_get_length(&w.a.wire), 1);
                d = g_queue_peek_head(&w.a.wire);
                assert_int_equal(d->len, build_header_len(&b) + b.payload_len + DATA_OVERHEAD);
                assert_int_equal(
                                d->data[DATA_FLAGS_OFFSET],
                                b.csum == BUILD_PARTIAL ? DATA_FLAG_CSUM_PARTIAL : 0);
                assert_int_equal(read_le32(d->data + DATA_RECEIVER_OFFSET), w.b.keypair->local_index);
                world_deliver(&w, &w.a, &w.b);
                world_expect(&w.b, &b, 0);
                n += (unsigned) (build_header_len(&b) + b.payload_len);
        }
        world_expect_nothing(&w.a);
        assert_no_drops(&w.a);
        assert_no_drops(&w.b);
        assert_int_equal(w.a.peer.tx_packets, 8);
        assert_int_equal(w.a.peer.tx_bytes, n);
        assert_int_equal(w.b.peer.rx_packets, 8);
        assert_int_equal(w.b.peer.rx_bytes, n);
        assert_true(w.a.peer.last_tx == w.now);
        assert_true(w.b.peer.last_rx == w.now);
        assert_int_equal(w.a.peer.rx_packets, 0);
}

/* A super-packet comes out as it went in, over a wire that saw only small ones. */
static void test_super_packets(void **state) {
        g_autofree uint8_t *payload = g_malloc(65536);
        WORLD(w);

        for (unsigned i = 0; i < 65536; i++)
                payload[i] = (uint8_t) (i * 7 + i / 256);
        for (unsigned i = 0; i < 4; i++) {
                Build b = world_build(&w.a, &w.b);
                size_t gso_size;

                b.v6 = i & 1;
                b.udp = i & 2;
                b.payload = payload;
                b.flags |= 0x08;
                gso_size = WORLD_MTU - build_header_len(&b);
                b.payload_len = 40 * gso_size + 77;
                world_app_send(&w.a, &b, gso_size);
                world_egress(&w, &w.a);
                assert_int_equal(g_queue_get_length(&w.a.wire), 41);
                for (GList *l = w.a.wire.head; l; l = l->next)
                        assert_true(((Datagram *) l->data)->len <= WORLD_MTU + DATA_OVERHEAD);
                assert_int_equal(world_deliver(&w, &w.a, &w.b), 41);
                world_expect(&w.b, &b, gso_size);
                world_expect_nothing(&w.b);
        }
        assert_int_equal(w.a.trains, 4);
        assert_int_equal(w.b.peer.rx_packets, 4 * 41);
        assert_no_drops(&w.a);
        assert_no_drops(&w.b);
}

/* The kernel takes no super-packet though it said so: everything arrives, in small pieces and in
 * order, and after a few times none are made any more. */
static void test_refused_super_packets(void **state) {
        g_autofree uint8_t *payload = g_malloc(65536);
        unsigned rounds = 12, cut = 0;
        WORLD(w);

        for (unsigned i = 0; i < 65536; i++)
                payload[i] = (uint8_t) (i * 7 + i / 256);
        mock_netif_refuse_gso(w.b.netif, true);
        for (unsigned round = 0; round < rounds; round++) {
                Build b = world_build(&w.a, &w.b), before = b, after = b;
                size_t gso_size;

                b.v6 = round & 1;
                b.udp = round & 2;
                b.payload = payload;
                b.flags |= 0x08;
                gso_size = WORLD_MTU - build_header_len(&b);
                b.payload_len = 10 * gso_size + 77;
                before.sport++;
                after.sport--;
                world_app_send(&w.a, &before, 0);
                world_app_send(&w.a, &b, gso_size);
                world_app_send(&w.a, &after, 0);
                world_egress(&w, &w.a);
                world_deliver(&w, &w.a, &w.b);
                world_expect(&w.b, &before, 0);
                for (unsigned i = 0; i < 11; i++) {
                        Build s = segment_of(&b, gso_size, i);

                        world_expect(&w.b, &s, 0);
                }
                world_expect(&w.b, &after, 0);
                world_expect_nothing(&w.b);
                cut = (unsigned) packet_router_stats(w.b.router).interface_refused;
        }
        assert_int_equal(w.b.refusals, 1);
        assert_in_range(cut, 1, rounds - 1);
        assert_int_equal(w.b.failures, 0);
        assert_int_equal(packet_router_stats(w.b.router).interface_writes, rounds * 13);
        assert_no_drops(&w.b);
}

/* Longer than the send buffer in one batch: sent in between. */
static void test_more_than_the_send_buffer(void **state) {
        g_autofree uint8_t *payload = g_malloc0(65536);
        WORLD(w);
        Build b = world_build(&w.a, &w.b);

        b.udp = false;
        b.payload = payload;
        b.payload_len = 60000;
        for (unsigned i = 0; i < 8; i++)
                world_app_send(&w.a, &b, 1000);
        world_egress(&w, &w.a);
        assert_int_equal(g_queue_get_length(&w.a.wire), 480);
        assert_no_drops(&w.a);
}

/* What a machine is sent is marked, both ways of it while its path is in doubt; and nothing else. */
static void test_no_trains(void **state) {
        g_autofree uint8_t *payload = g_malloc0(65536);

        for (unsigned k = 0; k < 8; k++) {
                WORLD(w);
                Build b = world_build(&w.a, &w.b);
                bool no_trains = k & 1, two = k & 2;

                b.udp = false;
                b.payload = payload;
                b.payload_len = 20000;
                w.a.tx.no_trains = no_trains;
                if (two)
                        assert_int_equal(endpoint_parse("192.0.2.77:7", 0, &w.a.tx.second), 0);
                if (k & 4)
                        w.a.tx.second.relay = 5;
                world_app_send(&w.a, &b, 1000);
                world_egress(&w, &w.a);
                assert_in_range(w.a.trains, two ? 2 : 1, two ? 4 : 1);
                assert_int_equal(w.a.singles, no_trains ? w.a.trains : 0);
                assert_int_equal(g_queue_get_length(&w.a.wire), two ? 40 : 20);
        }
}

static void test_unroutable(void **state) {
        static const struct {
                uint32_t destination;
                DropReason reason;
                bool icmp;
        } cases[] = {
                { 0x0a000063, DROP_UNKNOWN_DESTINATION, true }, /* in the subnet, nobody's */
                { 0x08080808, DROP_NO_ROUTE, true },            /* outside, no gateway */
                { 0xe00000fb, DROP_MULTICAST, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                WORLD(w);
                Build b = world_build(&w.a, &w.b);
                g_autoptr(GBytes) icmp = NULL;
                const uint8_t *p;

                b.destination = cases[i].destination;
                world_app_send(&w.a, &b, 0);
                world_egress(&w, &w.a);
                assert_true(g_queue_is_empty(&w.a.wire));
                assert_drops(&w.a, cases[i].reason, 1);
                icmp = mock_netif_app_received(w.a.netif, NULL);
                assert_int_equal(icmp != NULL, cases[i].icmp);
                if (!icmp)
                        continue;
                p = g_bytes_get_data(icmp, NULL);
                assert_int_equal(p[9], 1);
                assert_int_equal(p[20], 3);
                assert_int_equal(slow_sum(p, 20, 0), 0xffff);
                assert_int_equal(slow_sum(p + 20, g_bytes_get_size(icmp) - 20, 0), 0xffff);
                assert_int_equal(read_be32(p + 12), cases[i].destination);
                assert_int_equal(read_be32(p + 16), w.a.address);
                assert_int_equal(read_be32(p + 28 + 16), cases[i].destination);
        }
}

static void test_unroutable_v6(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        g_autoptr(GBytes) icmp = NULL;
        uint8_t pseudo[40] = {};
        const uint8_t *p;
        size_t len;

        b.v6 = true;
        b.destination = 0x63;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        icmp = mock_netif_app_received(w.a.netif, NULL);
        assert_non_null(icmp);
        p = g_bytes_get_data(icmp, &len);
        assert_int_equal(p[40], 1);
        memcpy(pseudo, p + 8, 32);
        build16(pseudo + 34, (unsigned) len - 40);
        pseudo[39] = 58;
        assert_int_equal(slow_sum(p + 40, len - 40, slow_sum(pseudo, 40, 0)), 0xffff);
}

/* An error about an error, and errors without end, are not sent. */
static void test_icmp_is_limited(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        uint8_t error[60] = { 0x45 };
        unsigned n = 0;

        b.destination = 0x0a000063;
        for (unsigned i = 0; i < 200; i++)
                world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        for (GBytes *got; (got = mock_netif_app_received(w.a.netif, NULL)); n++)
                g_bytes_unref(got);
        assert_in_range(n, 1, 100);
        assert_drops(&w.a, DROP_UNKNOWN_DESTINATION, 200);

        w.now += 100 * USEC_PER_SEC;
        build16(error + 2, sizeof error);
        error[8] = 64;
        error[9] = 1;
        build32(error + 12, w.a.address);
        build32(error + 16, 0x0a000063);
        error[20] = 11; /* time exceeded */
        mock_netif_app_send(w.a.netif, error, sizeof error, NULL);
        world_egress(&w, &w.a);
        assert_drops(&w.a, DROP_UNKNOWN_DESTINATION, 201);
        world_expect_nothing(&w.a);
        error[20] = 8; /* an echo request may be answered */
        mock_netif_app_send(w.a.netif, error, sizeof error, NULL);
        world_egress(&w, &w.a);
        {
                g_autoptr(GBytes) got = mock_netif_app_received(w.a.netif, NULL);

                assert_non_null(got);
        }
}

static void test_wrong_source(void **state) {
        WORLD(w);

        for (unsigned i = 0; i < 2; i++) {
                Build b = world_build(&w.a, &w.b);

                b.v6 = i;
                b.source = 0x0a000006;
                world_app_send(&w.a, &b, 0);
        }
        world_egress(&w, &w.a);
        assert_drops(&w.a, DROP_WRONG_SOURCE, 2);
        assert_true(g_queue_is_empty(&w.a.wire));
}

/* --- who may send what --- */

/* Nothing goes outside and nothing comes from there, but by the exit a machine has chosen. */
static void test_exit(void **state) {
        WORLD(w);
        Build out = world_build(&w.a, &w.b), back = world_build(&w.b, &w.a);
        uint8_t p[BUILD_MAX];
        size_t n = 0;

        out.destination = back.source = 0x08080808;
        n = build_packet(&back, p);
        inject(&w, &w.b, &w.a, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
        assert_drops(&w.a, DROP_SOURCE_SPOOFED, 1);
        assert_null(mock_netif_app_received(w.a.netif, NULL));
        world_app_send(&w.a, &out, 0);
        world_egress(&w, &w.a);
        assert_drops(&w.a, DROP_NO_ROUTE, 1);
        {
                g_autoptr(GBytes) icmp = mock_netif_app_received(w.a.netif, NULL);

                assert_non_null(icmp);
        }
        route_table_set_exit(w.a.routes, ROUTE_IPV4, &w.a.peer);
        world_app_send(&w.a, &out, 0);
        world_egress(&w, &w.a);
        world_deliver(&w, &w.a, &w.b);
        assert_drops(&w.b, DROP_NOT_FOR_US, 1); /* @b has not said that it carries */
        inject(&w, &w.b, &w.a, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
        world_expect(&w.a, &back, 0);
        /* It is @a's choice alone. */
        world_app_send(&w.b, &back, 0);
        world_egress(&w, &w.b);
        assert_drops(&w.b, DROP_WRONG_SOURCE, 1);
}

/* A machine that is an exit hands out what its members send outside, and nothing else; what comes
 * from there goes to the member it is for. */
static void test_carries(void **state) {
        WORLD(w);
        Build out = world_build(&w.a, &w.b), back = world_build(&w.b, &w.a), bad;
        uint8_t p[BUILD_MAX];
        size_t n;

        for (unsigned six = 0; six < 2; six++) {
                RouteFamily family = six ? ROUTE_IPV6 : ROUTE_IPV4;

                out.v6 = back.v6 = six;
                out.destination = back.source = 0x08080808;
                route_table_set_exit(w.a.routes, family, &w.a.peer);
                route_table_set_carries(w.b.routes, family, true);
                world_app_send(&w.a, &out, 0);
                world_egress(&w, &w.a);
                world_deliver(&w, &w.a, &w.b);
                world_expect(&w.b, &out, 0);
                world_app_send(&w.b, &back, 0);
                world_egress(&w, &w.b);
                world_deliver(&w, &w.b, &w.a);
                world_expect(&w.a, &back, 0);
                /* From an address that is not the member's. */
                bad = out;
                bad.source = 0x0a000006;
                n = build_packet(&bad, p);
                inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
                assert_drops(&w.b, DROP_SOURCE_SPOOFED, six + 1);
                world_expect_nothing(&w.b);
        }
        /* To nobody inside; and @b's own packets have no way out by this. */
        bad = world_build(&w.a, &w.b);
        bad.destination = 0x0a000007;
        n = build_packet(&bad, p);
        inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
        assert_drops(&w.b, DROP_NOT_FOR_US, 1);
        bad = world_build(&w.b, &w.a);
        bad.destination = 0x08080808;
        world_app_send(&w.b, &bad, 0);
        world_egress(&w, &w.b);
        assert_drops(&w.b, DROP_NO_ROUTE, 1);
        /* With an exit of its own it sends what is its own, and no member's. */
        route_table_set_exit(w.b.routes, ROUTE_IPV4, &w.b.peer);
        bad.source = 0x09090909;
        world_app_send(&w.b, &bad, 0);
        world_egress(&w, &w.b);
        assert_drops(&w.b, DROP_WRONG_SOURCE, 1);
}

static void test_ingress_refuses(void **state) {
        WORLD(w);
        uint8_t p[BUILD_MAX];
        Build b = world_build(&w.a, &w.b);
        size_t n;

        for (unsigned six = 0; six < 2; six++) {
                b = world_build(&w.a, &w.b);
                b.v6 = six;
                b.source = 0x0a000006;
                n = build_packet(&b, p);
                inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
                assert_drops(&w.b, DROP_SOURCE_SPOOFED, six + 1);
                b = world_build(&w.a, &w.b);
                b.v6 = six;
                b.destination = 0x0a000007;
                n = build_packet(&b, p);
                inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
                assert_drops(&w.b, DROP_NOT_FOR_US, six + 1);
        }
        b = world_build(&w.a, &w.b);
        n = build_packet(&b, p);
        w.b.peer.accept = false;
        inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n);
        assert_drops(&w.b, DROP_NO_SESSION, 1);
        w.b.peer.accept = true;
        world_expect_nothing(&w.b);
        assert_int_equal(w.b.peer.rx_packets, 0);
        /* Padding is cut off. */
        memset(p + n, 0xee, 30);
        inject(&w, &w.a, &w.b, NULL, DATA_FLAG_CSUM_PARTIAL, p, n + 30);
        world_expect(&w.b, &b, 0);
}

static void test_ingress_malformed(void **state) {
        static const struct {
                const char *what;
                size_t offset, len; /* len 0: all */
                uint8_t value, flags;
        } cases[] = {
                { "version 5", 0, 0, 0x55, 0 },
                { "version 15", 0, 0, 0xf5, 0 },
                { "short header", 0, 0, 0x44, 0 },
                { "header beyond the packet", 0, 30, 0x4f, 0 },
                { "length beyond the packet", 2, 0, 0x10, 0 },
                { "length below the header", 3, 0, 19, 0 },
                { "one byte", 0, 1, 0x45, 0 },
                { "nineteen bytes", 0, 19, 0x45, 0 },
                { "partial with options", 0, 0, 0x46, DATA_FLAG_CSUM_PARTIAL },
                { "partial of a fragment", 6, 0, 0x20, DATA_FLAG_CSUM_PARTIAL },
                { "partial of ICMP", 9, 0, 1, DATA_FLAG_CSUM_PARTIAL },
        };
        WORLD(w);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Build b = world_build(&w.a, &w.b);
                uint8_t p[200];
                size_t n = build_packet(&b, p);

                p[cases[i].offset] = cases[i].value;
                inject(&w, &w.a, &w.b, NULL, cases[i].flags, p, cases[i].len ?: n);
                if (drop_counter(&w.b.drops, DROP_PACKET_MALFORMED) != i + 1)
                        fail_msg("taken: %s", cases[i].what);
        }
        world_expect_nothing(&w.b);
}

static void test_ingress_datagrams(void **state) {
        WORLD(w);
        uint8_t d[2000] = {};

#define EXPECT(m, reason, n) assert_int_equal(drop_counter(&(m)->daemon_drops, reason), n)
        d[0] = MESSAGE_DATA;
        world_datagram(&w, &w.b, &w.a.endpoint, d, DATA_OVERHEAD - 1);
        EXPECT(&w.b, DROP_MALFORMED, 1);
        write_le32(d + 4, 0x12340001);
        world_datagram(&w, &w.b, &w.a.endpoint, d, DATA_OVERHEAD);
        EXPECT(&w.b, DROP_UNKNOWN_INDEX, 1);
        write_le32(d + 4, w.b.keypair->local_index);
        world_datagram(&w, &w.b, &w.a.endpoint, d, DATA_OVERHEAD);
        assert_drops(&w.b, DROP_NOT_AUTHENTIC, 1);
        d[0] = 5;
        world_datagram(&w, &w.b, &w.a.endpoint, d, 100);
        d[0] = 0;
        world_datagram(&w, &w.b, &w.a.endpoint, d, 100);
        EXPECT(&w.b, DROP_MALFORMED, 3);
        for (uint8_t type = 1; type <= 3; type++) {
                d[0] = type;
                world_datagram(&w, &w.b, &w.a.endpoint, d, 1000);
        }
        assert_int_equal(w.b.datagrams, 3);
        world_datagram(&w, &w.b, &w.a.endpoint, d, HANDSHAKE_SIZE_MAX + 1);
        EXPECT(&w.b, DROP_MALFORMED, 4);
        w.b.control_full = true;
        world_datagram(&w, &w.b, &w.a.endpoint, d, 1000);
        EXPECT(&w.b, DROP_CONTROL_OVERFLOW, 1);
#undef EXPECT
}

static void test_replay(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        Datagram *d;

        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        d = g_queue_pop_head(&w.a.wire);
        world_datagram(&w, &w.b, &w.a.endpoint, d->data, d->len);
        world_datagram(&w, &w.b, &w.a.endpoint, d->data, d->len);
        world_expect(&w.b, &b, 0);
        world_expect_nothing(&w.b);
        assert_drops(&w.b, DROP_REPLAYED, 1);
        d->data[d->len - 1] ^= 1;
        world_datagram(&w, &w.b, &w.a.endpoint, d->data, d->len);
        assert_drops(&w.b, DROP_NOT_AUTHENTIC, 1);
        datagram_free(d);
}

/* --- what the control thread hears --- */

static void test_frames(void **state) {
        WORLD(w);
        uint8_t frame[20] = { FRAME_PROBE };

        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_int_equal(w.b.frames, 1);
        assert_int_equal(w.b.last_frame_len, sizeof frame);
        inject(&w, &w.a, &w.b, NULL, 0, frame, 0);
        assert_int_equal(w.b.frames, 2);
        assert_int_equal(w.b.last_frame_len, 0);
        w.b.control_full = true;
        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_drops(&w.b, DROP_CONTROL_OVERFLOW, 1);
        w.b.control_full = false;
        /* Over its budget: the control thread does not even hear of it. */
        w.b.peer.unread_until = w.now + 1;
        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_int_equal(w.b.frames, 2);
        assert_drops(&w.b, DROP_OVER_BUDGET, 1);
        w.b.peer.unread_until = w.now;
        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_int_equal(w.b.frames, 3);
        /* On a link that only enrols frames are all there is. */
        w.b.keypair->peer = NULL;
        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_int_equal(w.b.frames, 4);
        frame[0] = 0x45;
        inject(&w, &w.a, &w.b, NULL, 0, frame, sizeof frame);
        assert_int_equal(drop_counter(&w.b.daemon_drops, DROP_NO_SESSION), 1);
}

static void test_arrivals(void **state) {
        WORLD(w);
        Endpoint elsewhere = w.a.endpoint;
        uint8_t frame[1] = { 0 };

        endpoint_set_port(&elsewhere, 1234);
        /* The first, and if the queue was full the one after it. */
        w.b.control_full = true;
        inject(&w, &w.a, &w.b, NULL, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 0);
        w.b.control_full = false;
        inject(&w, &w.a, &w.b, NULL, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 1);
        inject(&w, &w.a, &w.b, NULL, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 1);
        /* From elsewhere: once, and again when it lasts. */
        for (unsigned i = 0; i < 5; i++)
                inject(&w, &w.a, &w.b, &elsewhere, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 2);
        assert_true(endpoint_equal(&w.b.last_from, &elsewhere));
        w.now += USEC_PER_SEC;
        inject(&w, &w.a, &w.b, &elsewhere, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 3);
        w.b.tx.endpoint = elsewhere;
        inject(&w, &w.a, &w.b, &elsewhere, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 3);
        /* And back. */
        inject(&w, &w.a, &w.b, NULL, 0, frame, 1);
        assert_int_equal(w.b.arrivals, 4);
        /* Nobody without the keys moves anything. */
        {
                uint8_t d[100] = { MESSAGE_DATA };

                write_le32(d + 4, w.b.keypair->local_index);
                endpoint_set_port(&elsewhere, 1);
                world_datagram(&w, &w.b, &elsewhere, d, sizeof d);
                assert_int_equal(w.b.arrivals, 4);
        }
}

/* --- trouble --- */

static int broken_write(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        return -EBADFD;
}
static int full_write(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        return 0;
}

static void test_interface_trouble(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        NetifOps ops = *w.b.netif->ops;
        const NetifOps *good = w.b.netif->ops;

        ops.write_batch = full_write;
        w.b.netif->ops = &ops;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        world_deliver(&w, &w.a, &w.b);
        assert_drops(&w.b, DROP_INTERFACE_FULL, 1);
        assert_int_equal(w.b.failures, 0);
        ops.write_batch = broken_write;
        for (unsigned i = 0; i < 2; i++) {
                world_app_send(&w.a, &b, 0);
                world_egress(&w, &w.a);
                world_deliver(&w, &w.a, &w.b);
        }
        assert_drops(&w.b, DROP_INTERFACE_FULL, 3);
        assert_int_equal(w.b.failures, 1);
        w.b.netif->ops = good;
}

static void test_hostile_interface(void **state) {
        WORLD(w);
        g_autofree uint8_t *buf = g_malloc(65536);

        srand(7);
        for (unsigned i = 0; i < 20000; i++) {
                Build b = world_build(&w.a, &w.b);
                size_t n;
                OffloadInfo o;

                b.v6 = rand() & 1;
                b.udp = rand() & 1;
                n = build_packet(&b, buf);
                o = build_offload(&b, (size_t) (rand() % 40));
                for (unsigned k = (unsigned) rand() % 4; k > 0; k--)
                        buf[rand() % 60] = (uint8_t) rand();
                if (rand() % 3 == 0)
                        o.csum_start = (uint16_t) rand();
                if (rand() % 3 == 0)
                        o.csum_offset = (uint16_t) rand();
                if (rand() % 3 == 0)
                        o.gso_type = (GsoType) (rand() % 4);
                if (rand() % 3 == 0)
                        n = (size_t) rand() % n + 1;
                mock_netif_app_send(w.a.netif, buf, n, &o);
                if (i % 16 == 0) {
                        world_egress(&w, &w.a);
                        world_deliver(&w, &w.a, &w.b);
                        for (GBytes *got; (got = mock_netif_app_received(w.a.netif, NULL));)
                                g_bytes_unref(got);
                        for (GBytes *got; (got = mock_netif_app_received(w.b.netif, NULL));)
                                g_bytes_unref(got);
                }
        }
        world_egress(&w, &w.a);
        assert_true(w.a.peer.tx_packets > 1000);
        assert_drops(&w.b, DROP_NOT_AUTHENTIC, 0);
}

static void test_networks(void **state) {
        WORLD(w);
        DataplaneNetwork n = { mesh_of(&w), w.a.netif, w.a.routes, &w.a.drops };
        RouterNetwork *network;
        int meshes[NETWORKS_MAX];
        Build b = world_build(&w.a, &w.b);

        assert_int_equal(packet_router_add_network(w.a.router, &n, &network), 0);
        assert_int_equal(packet_router_add_network(w.a.router, &n, &network), -EEXIST);
        for (unsigned i = 0; i < NETWORKS_MAX - 2; i++) {
                n.mesh = mesh_of(&meshes[i]);
                assert_int_equal(packet_router_add_network(w.a.router, &n, &network), 0);
        }
        n.mesh = mesh_of(&meshes[NETWORKS_MAX - 1]);
        assert_int_equal(packet_router_add_network(w.a.router, &n, &network), -ENOSPC);
        packet_router_remove_network(w.a.router, mesh_of(&meshes[0]));
        assert_int_equal(packet_router_add_network(w.a.router, &n, &network), 0);
        /* What waits goes with its network; a machine of no network is nobody. */
        w.a.peer.tx = NULL;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        assert_non_null(w.a.peer.pending);
        packet_router_remove_network(w.a.router, mesh_of(&w.a));
        assert_null(w.a.peer.pending);
        assert_drops(&w.a, DROP_PENDING_EXPIRED, 1);
        b = world_build(&w.b, &w.a);
        world_app_send(&w.b, &b, 0);
        world_egress(&w, &w.b);
        world_deliver(&w, &w.b, &w.a);
        assert_int_equal(drop_counter(&w.a.daemon_drops, DROP_NO_SESSION), 1);
}

/* As the simulator uses it: somebody else decrypts. */
static void test_ingress_packet(void **state) {
        WORLD(w);
        Build b = world_build(&w.a, &w.b);
        uint8_t p[2][200];
        size_t n = build_packet(&b, p[0]);

        memcpy(p[1], p[0], n);
        packet_router_begin(w.b.router, w.now);
        packet_router_ingress_packet(w.b.router, &w.b.peer, DATA_FLAG_CSUM_PARTIAL, p[0], n);
        build32(p[1] + 12, 0x0a000077);
        packet_router_ingress_packet(w.b.router, &w.b.peer, DATA_FLAG_CSUM_PARTIAL, p[1], n);
        packet_router_deliver(w.b.router);
        world_expect(&w.b, &b, 0);
        world_expect_nothing(&w.b);
        assert_drops(&w.b, DROP_SOURCE_SPOOFED, 1);
        assert_int_equal(w.b.peer.rx_packets, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_route_to_local),
                cmocka_unit_test(test_route_to_peer),
                cmocka_unit_test(test_super_packets),
                cmocka_unit_test(test_refused_super_packets),
                cmocka_unit_test(test_more_than_the_send_buffer),
                cmocka_unit_test(test_no_trains),
                cmocka_unit_test(test_unroutable),
                cmocka_unit_test(test_unroutable_v6),
                cmocka_unit_test(test_icmp_is_limited),
                cmocka_unit_test(test_wrong_source),
                cmocka_unit_test(test_exit),
                cmocka_unit_test(test_carries),
                cmocka_unit_test(test_ingress_refuses),
                cmocka_unit_test(test_ingress_malformed),
                cmocka_unit_test(test_ingress_datagrams),
                cmocka_unit_test(test_replay),
                cmocka_unit_test(test_frames),
                cmocka_unit_test(test_arrivals),
                cmocka_unit_test(test_interface_trouble),
                cmocka_unit_test(test_hostile_interface),
                cmocka_unit_test(test_networks),
                cmocka_unit_test(test_ingress_packet),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
