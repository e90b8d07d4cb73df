/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packets longer than the path to their machine carries: cut, refused, or told of in time. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/limits.h"
#include "router-world.h"

static void assert_told(Machine *m, bool v6, uint16_t mtu) {
        g_autoptr(GBytes) icmp = mock_netif_app_received(m->netif, NULL);
        const uint8_t *p;

        assert_non_null(icmp);
        p = g_bytes_get_data(icmp, NULL);
        if (v6) {
                assert_int_equal(p[40], 2);
                assert_int_equal(read_be32(p + 44), mtu);
        } else {
                assert_int_equal(p[20], 3);
                assert_int_equal(p[21], 4);
                assert_int_equal(read_be16(p + 26), mtu);
        }
}

static void test_too_big(void **state) {
        g_autofree uint8_t *payload = g_malloc0(65536);

        for (unsigned i = 0; i < 4; i++) {
                WORLD(w);
                Build b = world_build(&w.a, &w.b);

                b.v6 = i & 1;
                b.payload = payload;
                b.payload_len = i & 2 ? 20000 : WORLD_MTU - build_header_len(&b) + 1;
                world_app_send(&w.a, &b, i & 2 ? WORLD_MTU - build_header_len(&b) + 1 : 0);
                world_egress(&w, &w.a);
                assert_true(g_queue_is_empty(&w.a.wire));
                assert_drops(&w.a, DROP_TOO_BIG, 1);
                assert_told(&w.a, b.v6, WORLD_MTU);
        }
}

/* The path carries less than the interface: what is TCP arrives all the same, cut as its sender
 * would have, and who sends single packets is told. */
static void test_tcp_is_cut(void **state) {
        g_autofree uint8_t *payload = g_malloc(65536);

        for (unsigned i = 0; i < 65536; i++)
                payload[i] = (uint8_t) (i * 7 + i / 256);
        for (unsigned i = 0; i < 12; i++) {
                static const BuildCsum sums[] = { BUILD_FULL, BUILD_PARTIAL };
                bool train = i < 2;
                WORLD(w);
                Build b = world_build(&w.a, &w.b);
                size_t gso_size, fits;

                w.a.tx.mtu = 1300;
                b.v6 = i & 1;
                b.udp = false;
                b.flags = 0x18;
                b.payload = payload;
                b.csum = train ? BUILD_PARTIAL : sums[i >> 1 & 1];
                gso_size = WORLD_MTU - build_header_len(&b);
                fits = 1300 - build_header_len(&b);
                b.payload_len = train ? 20000 : gso_size - (i >> 2);
                mock_netif_refuse_gso(w.b.netif, true);
                world_app_send(&w.a, &b, train ? gso_size : 0);
                world_egress(&w, &w.a);
                assert_true(g_queue_get_length(&w.a.wire) > 1);
                for (GList *l = w.a.wire.head; l; l = l->next)
                        assert_true(((Datagram *) l->data)->len <= 1300 + DATA_OVERHEAD);
                world_deliver(&w, &w.a, &w.b);
                for (unsigned k = 0; k * fits < b.payload_len; k++) {
                        Build s = segment_of(&b, fits, k);

                        s.csum = BUILD_PARTIAL;
                        world_expect(&w.b, &s, 0);
                }
                world_expect_nothing(&w.b);
                if (!train)
                        assert_told(&w.a, b.v6, 1300);
                world_expect_nothing(&w.a);
                assert_no_drops(&w.a);
                assert_no_drops(&w.b);
        }
}

/* Not what has a checksum that is wrong, opens a flow, or is cut already. IPv6 of what always has
 * to pass is sent as it is where it cannot be cut, and nobody is told of less. */
static void test_not_cut(void **state) {
        g_autofree uint8_t *payload = g_malloc0(65536);

        for (unsigned i = 0; i < 6; i++) {
                static const unsigned sent[] = { 0, 0, 0, 1, 2, 0 };
                g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
                WORLD(w);
                Build b = world_build(&w.a, &w.b);
                size_t len;

                w.a.tx.mtu = OMERTA_MTU_LEAST;
                b.v6 = i >= 3;
                b.udp = i == 3 || i == 5;
                b.csum = BUILD_FULL;
                b.flags = i == 1 ? 0x02 : 0x10;
                b.payload = payload;
                b.payload_len = OMERTA_MTU_MIN + (i == 5) - build_header_len(&b);
                len = build_packet(&b, buf);
                if (i == 0)
                        buf[len - 1] ^= 1;
                if (i == 2)
                        buf[6] = 0x20;
                mock_netif_app_send(w.a.netif, buf, len, &(OffloadInfo){});
                world_egress(&w, &w.a);
                assert_int_equal(g_queue_get_length(&w.a.wire), sent[i]);
                assert_drops(&w.a, DROP_TOO_BIG, sent[i] == 0);
                if (sent[i] == 0)
                        assert_told(&w.a, b.v6, b.v6 ? OMERTA_MTU_MIN : OMERTA_MTU_LEAST);
                world_expect_nothing(&w.a);
        }
}

static unsigned mss_of(const uint8_t *p, bool v6) {
        const uint8_t *tcp = p + (v6 ? 40 : 20);

        return tcp[20] == 2 ? read_be16(tcp + 22) : 0;
}

/* Whoever opens a flow, both are told what fits the path of either. */
static void test_mss(void **state) {
        for (unsigned i = 0; i < 16; i++) {
                g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
                bool v6 = i & 1, out = i & 2, partial = i & 4, full = i & 8;
                unsigned header = v6 ? 60 : 40;
                g_autoptr(GBytes) got = NULL;
                OffloadInfo o = {};
                PacketView v;
                WORLD(w);
                Build b = world_build(&w.a, &w.b);
                PacketTx *narrow = out ? &w.a.tx : &w.b.tx;
                uint8_t *tcp;
                size_t len;

                if (!full)
                        *narrow = (PacketTx){ .keypair = narrow->keypair,
                                              .endpoint = narrow->endpoint,
                                              .mtu = 1300,
                                              .clamps = true };
                b.v6 = v6;
                b.udp = false;
                b.flags = 0x02;
                b.tcp_options = 4;
                b.csum = partial ? BUILD_PARTIAL : BUILD_FULL;
                len = build_packet(&b, buf);
                tcp = buf + (v6 ? 40 : 20);
                if (!partial) { /* RFC 1624, over the pattern that build_packet() wrote */
                        uint16_t sum = (uint16_t) ~read_be16(tcp + 16);
                        uint8_t words[8] = { 2, 4, (WORLD_MTU - 40) >> 8, (WORLD_MTU - 40) & 0xff };

                        for (unsigned k = 0; k < 4; k++)
                                words[4 + k] = (uint8_t) ~tcp[20 + k];
                        build16(tcp + 16, (uint16_t) ~slow_sum(words, 8, sum));
                }
                tcp[20] = 2;
                tcp[21] = 4;
                build16(tcp + 22, WORLD_MTU - 40);
                if (partial)
                        o = build_offload(&b, 0);
                mock_netif_app_send(w.a.netif, buf, len, &o);
                world_egress(&w, &w.a);
                world_deliver(&w, &w.a, &w.b);
                got = mock_netif_app_received(w.b.netif, &o);
                assert_non_null(got);
                assert_int_equal(
                                mss_of(g_bytes_get_data(got, NULL), v6),
                                full ? WORLD_MTU - 40 : 1300 - header);
                assert_true(packet_parse(g_bytes_get_data(got, NULL), len, &v));
                assert_int_equal(o.needs_csum, partial);
                if (!partial)
                        assert_true(packet_l4_csum_ok(g_bytes_get_data(got, NULL), &v));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_too_big),
                cmocka_unit_test(test_tcp_is_cut),
                cmocka_unit_test(test_not_cut),
                cmocka_unit_test(test_mss),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
