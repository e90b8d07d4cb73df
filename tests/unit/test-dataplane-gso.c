/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Cutting and merging, each against packets built by hand, and one against the other. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "base/macros.h"
#include "dataplane/checksum.h"
#include "dataplane/gro-coalesce.h"
#include "dataplane/gso-split.h"
#include "packet-build.h"

static uint8_t payload[BUILD_MAX];

static int setup_group(void **state) {
        const char *given = getenv("OMERTA_TEST_SEED");
        guint32 seed = given ? (guint32) strtoul(given, NULL, 0) : (guint32) time(NULL);

        print_message("OMERTA_TEST_SEED=%u\n", seed);
        srand(seed);
        for (size_t i = 0; i < sizeof payload; i++)
                payload[i] = (uint8_t) rand();
        return 0;
}

static unsigned pick(unsigned low, unsigned high) {
        return low + (unsigned) rand() % (high - low + 1);
}

static Build tcp4(void) {
        return (Build){
                .source = 0x0a000005,
                .destination = 0x0a00000a,
                .sport = 40000,
                .dport = 443,
                .ttl = 64,
                .id = 1000,
                .df = true,
                .seq = 0xfffff000,
                .ack = 77,
                .flags = 0x10,
                .window = 501,
                .tcp_options = 12,
                .payload = payload,
                .payload_len = 4000,
                .csum = BUILD_PARTIAL,
        };
}

/* --- checksums --- */

static void test_csum_against_twin(void **state) {
        uint8_t field[2];

        for (unsigned i = 0; i < 20000; i++) {
                size_t at = pick(0, 63), n = i < 200 ? i : pick(0, 3000);
                uint16_t slow = slow_sum(payload + at, n, 0);

                csum_store_partial(field, csum_bytes(payload + at, n, 0));
                /* 0 and 0xffff are the same number. */
                if (slow % 0xffff != read_be16(field) % 0xffff)
                        fail_msg("%zu bytes: %04x instead of %04x", n, read_be16(field), slow);
        }
        memset(field, 0xff, 2);
        csum_store_l4(field, 0xffff);
        assert_int_equal(read_be16(field), 0xffff);
}

/* The longest input full of ones: no carry may get lost. */
static void test_csum_carries(void **state) {
        g_autofree uint8_t *ones = g_malloc(65535);

        memset(ones, 0xff, 65535);
        assert_int_equal(csum_fold(csum_bytes(ones, 65534, 0)), 0xffff);
        assert_int_equal(csum_fold(csum_bytes(ones, 65534, UINT32_MAX)), 0xffff);
}

static void test_l4_csum_ok(void **state) {
        uint8_t p[BUILD_MAX];

        for (unsigned i = 0; i < 8; i++) {
                Build b = tcp4();
                PacketView v;
                size_t n;

                b.v6 = i & 1;
                b.udp = i & 2;
                b.payload_len = i & 4 ? 1001 : 0;
                b.csum = BUILD_FULL;
                n = build_packet(&b, p);
                assert_true(packet_parse(p, n, &v));
                assert_true(packet_l4_csum_ok(p, &v));
                p[n - 1] ^= 1;
                assert_false(packet_l4_csum_ok(p, &v));
        }
}

/* --- parsing --- */

static void test_parse(void **state) {
        uint8_t p[BUILD_MAX];
        PacketView v;
        Build b = tcp4();
        size_t n = build_packet(&b, p);

        assert_true(packet_parse(p, n, &v));
        assert_true(v.is_plain);
        assert_int_equal(v.length, n);
        assert_int_equal(packet_l4_header_size(p, &v), 32);
        assert_true(packet_parse(p, n + 9, &v)); /* padding */
        assert_int_equal(v.length, n);
        for (size_t cut = 0; cut < n; cut++)
                assert_false(packet_parse(p, cut, &v));
        p[32] = 0xf0; /* data offset beyond what a header can be is not beyond the packet */
        assert_true(packet_parse(p, n, &v));
        assert_int_equal(packet_l4_header_size(p, &v), 60);
        p[32] = 0x40;
        assert_int_equal(packet_l4_header_size(p, &v), 0);
        p[6] = 0x20; /* more fragments */
        assert_true(packet_parse(p, n, &v));
        assert_false(v.is_plain);
        p[0] = 0x44;
        assert_false(packet_parse(p, n, &v));
        p[0] = 0x75;
        assert_false(packet_parse(p, n, &v));

        b.v6 = true;
        b.ip_options = 16;
        n = build_packet(&b, p);
        assert_true(packet_parse(p, n, &v));
        assert_false(v.is_plain);
        assert_int_equal(packet_l4_header_size(p, &v), 0);
        for (size_t cut = 0; cut < n; cut++)
                assert_false(packet_parse(p, cut, &v));
}

/* --- cutting --- */

static Build random_build(void) {
        Build b = tcp4();
        static const uint8_t flags[] = { 0x10, 0x18, 0x11, 0x19, 0x50, 0x58 };

        b.v6 = pick(0, 1);
        b.udp = pick(0, 2) == 0;
        b.tos = (uint8_t) pick(0, 255);
        b.ttl = (uint8_t) pick(1, 255);
        b.id = (uint16_t) rand();
        b.df = pick(0, 1);
        b.flow_label = pick(0, 0xfffff);
        b.seq = (uint32_t) rand() * 3U;
        b.ack = (uint32_t) rand();
        b.window = (uint16_t) rand();
        b.flags = flags[pick(0, ELEMENTSOF(flags) - 1)];
        b.tcp_options = pick(0, 10) * 4;
        b.payload = payload + pick(0, 100);
        return b;
}

/* Cuts @whole, so that it fits into @mtu, and compares every segment with one built by hand; merges
 * them again into @g if that is given. */
static void
cut_and_compare(const Build *whole, size_t gso_size, size_t mtu, uint8_t *kept, GroBatch *g) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX), *expected = g_malloc(BUILD_MAX);
        PacketIn in = { .data = buf, .offload = build_offload(whole, gso_size) };
        size_t n, at = 0;
        PacketView v;
        GsoSplit s;

        in.len = build_packet(whole, buf);
        /* Drivers may say anything here, and do. */
        in.offload.hdr_len = (uint16_t) rand();
        assert_true(packet_parse(buf, in.len, &v));
        assert_int_equal(gso_split_init(&s, &in, &v), DROP_NONE);
        assert_true(gso_split_fit(&s, (uint16_t) mtu));
        assert_true(gso_split_packet_max(&s) <= mtu);
        if (build_header_len(whole) + MIN(gso_size, whole->payload_len) > mtu)
                gso_size = mtu - build_header_len(whole);
        n = (whole->payload_len + gso_size - 1) / gso_size;
        assert_int_equal(gso_split_count(&s), n);
        for (size_t i = 0; i < n; i++) {
                Build b = build_segment(whole, gso_size, i);
                uint8_t *packet;
                size_t len;

                if (whole->ip_options > 0)
                        b.csum = BUILD_FULL;
                len = gso_split_next(&s, &packet);
                assert_int_equal(len, build_packet(&b, expected));
                assert_memory_equal(packet, expected, len);
                assert_true(len <= gso_split_packet_max(&s));
                if (!g)
                        continue;
                memcpy(kept + at, packet, len);
                assert_true(packet_parse(kept + at, len, &v));
                gro_add(g, kept + at, &v, s.partial);
                at += len;
        }
}

static void split_and_compare(const Build *whole, size_t gso_size, uint8_t *kept, GroBatch *g) {
        cut_and_compare(whole, gso_size, 65535, kept, g);
}

static void assert_out(const PacketOut *out, const Build *b, size_t gso_size) {
        g_autofree uint8_t *expected = g_malloc(BUILD_MAX), *got = g_malloc(BUILD_MAX);
        size_t n = build_packet(b, expected), len = 0;

        for (unsigned i = 0; i < out->n_iov; i++) {
                memcpy(got + len, out->iov[i].iov_base, out->iov[i].iov_len);
                len += out->iov[i].iov_len;
        }
        assert_int_equal(len, n);
        assert_memory_equal(got, expected, n);
        if (b->csum == BUILD_PARTIAL) {
                OffloadInfo o = build_offload(b, gso_size);

                assert_int_equal(out->offload.gso_type, o.gso_type);
                assert_int_equal(out->offload.needs_csum, 1);
                assert_int_equal(out->offload.csum_start, o.csum_start);
                assert_int_equal(out->offload.csum_offset, o.csum_offset);
                assert_int_equal(out->offload.gso_size, o.gso_size);
                assert_int_equal(out->offload.hdr_len, o.hdr_len);
        } else {
                assert_int_equal(out->offload.gso_type, GSO_NONE);
                assert_false(out->offload.needs_csum);
        }
}

/* A super-packet cut and merged again is the same super-packet, byte for byte. */
static void test_split_and_coalesce_round_trip(void **state) {
        g_autofree GroBatch *g = g_new0(GroBatch, 1);
        g_autofree uint8_t *kept = g_malloc(2 * BUILD_MAX);

        g->tcp = g->udp = true;
        for (unsigned i = 0; i < 3000; i++) {
                Build b = random_build();
                size_t gso_size = pick(8, 1400), header = build_header_len(&b);

                b.payload_len = pick(2, PACKET_OUT_IOV_MAX) * gso_size -
                                pick(0, (unsigned) gso_size - 1);
                b.payload_len = MIN(b.payload_len, 65535 - header);
                if (b.payload_len <= gso_size)
                        continue;
                gro_reset(g);
                split_and_compare(&b, gso_size, kept, g);
                gro_finish(g);
                assert_int_equal(g->n, 1);
                assert_out(&g->out[0], &b, gso_size);
        }
}

static void test_split_options_and_extension_headers(void **state) {
        for (unsigned i = 0; i < 300; i++) {
                Build b = random_build();

                b.ip_options = b.v6 ? 8 * pick(1, 8) : 4 * pick(1, 10);
                b.payload_len = pick(1, 9000);
                split_and_compare(&b, pick(100, 1400), NULL, NULL);
        }
}

/* What a TCP sender cut for a larger path is cut as if it had known; what is UDP stays. */
static void test_split_to_fit(void **state) {
        static uint8_t buf[BUILD_MAX];

        for (unsigned i = 0; i < 3000; i++) {
                Build b = random_build();
                size_t gso_size = pick(100, 1400), header = build_header_len(&b), mtu;
                PacketIn in = { .data = buf };
                PacketView v;
                GsoSplit s;

                b.payload_len = pick(1, b.udp ? 10000 : 20000);
                mtu = header + (i % 3 == 0 ? pick(8, 1400) : pick(1000, 1400));
                if (!b.udp || header + MIN(gso_size, b.payload_len) <= mtu) {
                        cut_and_compare(&b, gso_size, mtu, NULL, NULL);
                        continue;
                }
                in.offload = build_offload(&b, gso_size);
                in.len = build_packet(&b, buf);
                assert_true(packet_parse(buf, in.len, &v));
                assert_int_equal(gso_split_init(&s, &in, &v), DROP_NONE);
                assert_false(gso_split_fit(&s, (uint16_t) mtu));
        }
}

static void test_split_cwr_first_only(void **state) {
        Build b = tcp4();

        b.flags = 0x98; /* CWR, ACK, PSH */
        split_and_compare(&b, 1000, NULL, NULL);
}

static void test_split_malformed(void **state) {
        static const struct {
                const char *what;
                size_t offset; /* in OffloadInfo */
                size_t size;
                uint16_t value;
        } cases[] = {
#define CASE(field, v)                                                                             \
        { #field " " #v, offsetof(OffloadInfo, field), sizeof(((OffloadInfo *) 0)->field), v }
                CASE(gso_size, 0),        CASE(gso_size, 7),    CASE(csum_start, 0),
                CASE(csum_start, 19),     CASE(csum_start, 21), CASE(csum_start, 24),
                CASE(csum_start, 0xffff), CASE(csum_offset, 0), CASE(csum_offset, 6),
                CASE(csum_offset, 17),    CASE(needs_csum, 0),
#undef CASE
        };
        static uint8_t buf[BUILD_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Build b = tcp4();
                PacketIn in = { .data = buf, .offload = build_offload(&b, 1000) };
                PacketView v;
                GsoSplit s;

                in.len = build_packet(&b, buf);
                memcpy((uint8_t *) &in.offload + cases[i].offset, &cases[i].value, cases[i].size);
                assert_true(packet_parse(buf, in.len, &v));
                if (gso_split_init(&s, &in, &v) != DROP_PACKET_MALFORMED)
                        fail_msg("taken: %s", cases[i].what);
        }
        /* Types that do not fit the packet; a header that is not there; too many datagrams. */
        for (unsigned i = 0; i < 6; i++) {
                Build b = tcp4();
                PacketIn in = { .data = buf };
                PacketView v;
                GsoSplit s;

                b.udp = i == 2 || i == 4;
                b.v6 = i == 1;
                in.offload = build_offload(&b, i == 4 ? 30 : 1000);
                in.len = build_packet(&b, buf);
                if (i == 0)
                        in.offload.gso_type = GSO_TCPV6;
                else if (i == 1)
                        in.offload.gso_type = GSO_TCPV4;
                else if (i == 2)
                        in.offload.gso_type = GSO_TCPV4;
                else if (i == 3)
                        buf[6] |= 0x20; /* a fragment */
                else if (i == 5)
                        buf[32] = 0x10; /* data offset */
                assert_true(packet_parse(buf, in.len, &v));
                assert_int_equal(gso_split_init(&s, &in, &v), DROP_PACKET_MALFORMED);
        }
}

/* --- checksums of single packets --- */

static void test_finish_csum(void **state) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX), *expected = g_malloc(BUILD_MAX);

        for (unsigned i = 0; i < 500; i++) {
                Build b = random_build();
                PacketIn in = { .data = buf };
                bool partial, plain = pick(0, 1);
                PacketView v;

                b.ip_options = plain ? 0 : b.v6 ? 16 : 8;
                b.payload_len = pick(0, 1300);
                in.offload = build_offload(&b, 0);
                in.len = build_packet(&b, buf);
                assert_true(packet_parse(buf, in.len, &v));
                assert_int_equal(gso_finish_csum(&in, &v, &partial), DROP_NONE);
                assert_int_equal(partial, plain);
                if (!plain)
                        b.csum = BUILD_FULL;
                assert_int_equal(build_packet(&b, expected), in.len);
                assert_memory_equal(buf, expected, in.len);
                /* Nothing asked for, nothing done. */
                in.offload.needs_csum = false;
                assert_int_equal(gso_finish_csum(&in, &v, &partial), DROP_NONE);
                assert_false(partial);
                assert_memory_equal(buf, expected, in.len);
                /* Outside the packet. */
                in.offload.needs_csum = true;
                in.offload.csum_start = (uint16_t) (in.len - 1);
                in.offload.csum_offset = 0;
                assert_int_equal(gso_finish_csum(&in, &v, &partial), DROP_PACKET_MALFORMED);
                in.offload.csum_start = 0;
                assert_int_equal(gso_finish_csum(&in, &v, &partial), DROP_PACKET_MALFORMED);
        }
}

/* --- merging --- */

typedef struct Merge {
        GroBatch g;
        uint8_t buf[40][1500];
        unsigned n;
} Merge;

static Merge *merge_new(void) {
        Merge *m = g_new0(Merge, 1);

        m->g.tcp = m->g.udp = true;
        return m;
}

static uint8_t *add(Merge *m, const Build *b) {
        uint8_t *p = m->buf[m->n++];
        PacketView v;

        assert_true(packet_parse(p, build_packet(b, p), &v));
        gro_add(&m->g, p, &v, b->csum == BUILD_PARTIAL);
        return p;
}

/* The next segment of a flow. */
static Build next(const Build *b) {
        Build n = *b;

        n.seq += (uint32_t) b->payload_len;
        n.id++;
        n.payload += b->payload_len;
        return n;
}

/* Two packets of a flow, one or both changed, merge or do not. */
#define RULE(name, expect, base_v6, base_udp, ...)                                                 \
        do {                                                                                       \
                g_autofree Merge *m = merge_new();                                                 \
                Build a = tcp4(), b;                                                               \
                a.v6 = base_v6;                                                                    \
                a.udp = base_udp;                                                                  \
                a.payload_len = 1000;                                                              \
                b = next(&a);                                                                      \
                __VA_ARGS__;                                                                       \
                add(m, &a);                                                                        \
                add(m, &b);                                                                        \
                gro_finish(&m->g);                                                                 \
                if (m->g.n != ((expect) ? 1 : 2))                                                  \
                        fail_msg("%s: %u", name, m->g.n);                                          \
                if (!(expect)) {                                                                   \
                        assert_out(&m->g.out[0], &a, 0);                                           \
                        assert_out(&m->g.out[1], &b, 0);                                           \
                }                                                                                  \
        } while (0)

static void test_coalesce_rules(void **state) {
        for (unsigned six = 0; six < 2; six++) {
                RULE("plain", true, six, false, {});
                RULE("plain udp", true, six, true, {});
                RULE("shorter last", true, six, false, b.payload_len = 1);
                RULE("shorter last udp", true, six, true, b.payload_len = 999);
                RULE("longer", false, six, false, b.payload_len = 1001);
                RULE("longer udp", false, six, true, b.payload_len = 1001);
                RULE("empty", false, six, false, b.payload_len = 0);
                RULE("empty udp", false, six, true, b.payload_len = 0);
                RULE("empty first", false, six, false, a.payload_len = 0; b.seq = a.seq);
                RULE("PSH last", true, six, false, b.flags |= 0x08);
                RULE("FIN last", true, six, false, b.flags |= 0x01);
                RULE("PSH first", false, six, false, a.flags |= 0x08);
                RULE("FIN first", false, six, false, a.flags |= 0x01);
                RULE("ECE both", true, six, false, a.flags |= 0x40; b.flags |= 0x40);
                RULE("ECE one", false, six, false, b.flags |= 0x40);
                RULE("CWR", false, six, false, b.flags |= 0x80);
                RULE("CWR both", false, six, false, a.flags |= 0x80; b.flags |= 0x80);
                RULE("SYN", false, six, false, b.flags |= 0x02);
                RULE("RST", false, six, false, b.flags |= 0x04);
                RULE("URG", false, six, false, b.flags |= 0x20; b.urgent = 1);
                RULE("no ACK", false, six, false, b.flags = 0);
                RULE("gap", false, six, false, b.seq++);
                RULE("repeated", false, six, false, b.seq = a.seq);
                RULE("ack", false, six, false, b.ack++);
                RULE("window", false, six, false, b.window++);
                RULE("urgent", false, six, false, b.urgent++);
                RULE("options longer", false, six, false, b.tcp_options += 4);
                RULE("port", false, six, false, b.sport++);
                RULE("port udp", false, six, true, b.dport++);
                RULE("source", false, six, false, b.source++);
                RULE("destination", false, six, true, b.destination++);
                RULE("ttl", false, six, false, b.ttl--);
                RULE("tos", false, six, false, b.tos = 4);
                RULE("ECN mark", false, six, false, a.tos = 2; b.tos = 3);
                RULE("ECN mark udp", false, six, true, a.tos = 2; b.tos = 3);
                RULE("IP options", false, six, false, b.ip_options = 8; b.csum = BUILD_FULL);
                RULE("full checksum", true, six, false, a.csum = b.csum = BUILD_FULL);
                RULE("full checksum udp", true, six, true, a.csum = b.csum = BUILD_FULL);
                RULE("mixed", true, six, false, b.csum = BUILD_FULL);
                RULE("mixed udp", true, six, true, a.csum = BUILD_FULL);
                RULE("zero checksum udp", false, six, true, b.csum = BUILD_ZERO);
                RULE("zero checksum first udp", false, six, true, a.csum = BUILD_ZERO);
        }
        RULE("flow label", false, true, false, b.flow_label++);
        RULE("df", false, false, false, b.df = false);
        RULE("id with df", true, false, false, b.id = 7);
        RULE("id without df", false, false, false, a.df = b.df = false; b.id = 7);
        RULE("id counting", true, false, false, a.df = b.df = false);
        RULE("id counting udp", true, false, true, a.df = b.df = false);
#undef RULE
}

/* What ended a super-packet ends it for those that follow as well. */
static void test_coalesce_ends(void **state) {
        for (unsigned i = 0; i < 4; i++) {
                g_autofree Merge *m = merge_new();
                Build a = tcp4(), b, c, both;

                a.udp = i == 3;
                a.payload_len = 500;
                b = next(&a);
                if (i == 0)
                        b.flags |= 0x08;
                else if (i == 1)
                        b.flags |= 0x01;
                else
                        b.payload_len = 400;
                c = next(&b);
                c.flags = a.flags;
                c.payload_len = 300;
                add(m, &a);
                add(m, &b);
                add(m, &c);
                gro_finish(&m->g);
                assert_int_equal(m->g.n, 2);
                both = a;
                both.flags = b.flags;
                both.payload_len += b.payload_len;
                assert_out(&m->g.out[0], &both, 500);
                assert_out(&m->g.out[1], &c, 0);
        }
}

/* Option bytes, not only their length. */
static void test_coalesce_options_differ(void **state) {
        g_autofree Merge *m = merge_new();
        Build a = tcp4(), b;
        PacketView v;

        a.payload_len = 1000;
        b = next(&a);
        add(m, &a);
        assert_true(packet_parse(m->buf[1], build_packet(&b, m->buf[1]), &v));
        m->buf[1][20 + 20 + 11]++;
        gro_add(&m->g, m->buf[1], &v, true);
        gro_finish(&m->g);
        assert_int_equal(m->g.n, 2);
}

/* What was damaged before it was encrypted must reach the other kernel as it is. */
static void test_coalesce_damaged_stays_damaged(void **state) {
        for (unsigned bad = 0; bad < 3; bad++) {
                g_autofree Merge *m = merge_new();
                Build b[3];
                uint8_t *p[3];

                b[0] = tcp4();
                b[0].payload_len = 1000;
                b[0].csum = BUILD_FULL;
                b[1] = next(&b[0]);
                b[2] = next(&b[1]);
                for (unsigned i = 0; i < 3; i++) {
                        PacketView v;

                        p[i] = m->buf[i];
                        assert_true(packet_parse(p[i], build_packet(&b[i], p[i]), &v));
                        if (i == bad)
                                p[i][900] ^= 0x10;
                        gro_add(&m->g, p[i], &v, false);
                }
                gro_finish(&m->g);
                assert_int_equal(m->g.n, bad == 1 ? 3 : 2);
                for (unsigned i = 0; i < m->g.n; i++)
                        if (m->g.out[i].iov[0].iov_base == p[bad]) {
                                assert_int_equal(m->g.out[i].n_iov, 1);
                                assert_false(m->g.out[i].offload.needs_csum);
                        }
        }
        /* The same for the IPv4 header. */
        {
                g_autofree Merge *m = merge_new();
                Build a = tcp4(), b = next(&a);
                PacketView v;

                a.payload_len = b.payload_len = 1000;
                b.seq = a.seq + 1000;
                add(m, &a);
                assert_true(packet_parse(m->buf[1], build_packet(&b, m->buf[1]), &v));
                m->buf[1][10] ^= 1;
                gro_add(&m->g, m->buf[1], &v, true);
                gro_finish(&m->g);
                assert_int_equal(m->g.n, 2);
        }
}

/* Interleaved flows each stay whole; a packet that cannot be merged comes after what was. */
static void test_coalesce_flows_interleaved(void **state) {
        enum { FLOWS = GRO_FLOWS_MAX, EACH = 4 };
        g_autofree Merge *m = merge_new();
        Build flow[FLOWS], whole[FLOWS], ack;

        for (unsigned f = 0; f < FLOWS; f++) {
                flow[f] = tcp4();
                flow[f].v6 = f & 1;
                flow[f].udp = f & 2;
                flow[f].sport = (uint16_t) (1000 + f);
                flow[f].payload_len = 900;
                whole[f] = flow[f];
                whole[f].payload_len = 900 * EACH;
        }
        for (unsigned i = 0; i < EACH; i++)
                for (unsigned f = 0; f < FLOWS; f++) {
                        add(m, &flow[f]);
                        flow[f] = next(&flow[f]);
                }
        ack = flow[0];
        ack.payload_len = 0;
        add(m, &ack);
        add(m, &flow[0]);
        gro_finish(&m->g);
        assert_int_equal(m->g.n, FLOWS + 2);
        for (unsigned f = 0; f < FLOWS; f++)
                assert_out(&m->g.out[f], &whole[f], 900);
        assert_out(&m->g.out[FLOWS], &ack, 0);
        assert_out(&m->g.out[FLOWS + 1], &flow[0], 0);
}

static void test_coalesce_more_flows_than_slots(void **state) {
        g_autofree Merge *m = merge_new();

        for (unsigned i = 0; i < 2; i++)
                for (unsigned f = 0; f < GRO_FLOWS_MAX + 1; f++) {
                        Build b = tcp4();

                        b.payload_len = 500;
                        b.sport = (uint16_t) (f + 1);
                        if (i == 1)
                                b = next(&b);
                        add(m, &b);
                }
        gro_finish(&m->g);
        /* The table is used in turn, so nothing merges; and nothing is lost. */
        assert_int_equal(m->g.n, 2 * (GRO_FLOWS_MAX + 1));
}

static void test_coalesce_without_offload(void **state) {
        g_autofree Merge *m = merge_new();
        Build a = tcp4(), b;

        m->g.tcp = false;
        a.payload_len = 1000;
        b = next(&a);
        add(m, &a);
        add(m, &b);
        gro_finish(&m->g);
        assert_int_equal(m->g.n, 2);
}

/* No super-packet longer than IP can say. */
static void test_coalesce_length_limit(void **state) {
        g_autofree GroBatch *g = g_new0(GroBatch, 1);
        g_autofree uint8_t *buf = g_malloc(60 * 1500);
        size_t sum = 0;

        g->tcp = true;
        for (unsigned i = 0; i < 60; i++) {
                Build b = tcp4();
                PacketView v;

                b.payload_len = 1400;
                b.seq += i * 1400;
                b.payload = payload;
                assert_true(packet_parse(buf + i * 1500, build_packet(&b, buf + i * 1500), &v));
                gro_add(g, buf + i * 1500, &v, true);
        }
        gro_finish(g);
        assert_int_equal(g->n, 2);
        for (unsigned i = 0; i < g->n; i++) {
                size_t len = 0;

                for (unsigned k = 0; k < g->out[i].n_iov; k++)
                        len += g->out[i].iov[k].iov_len;
                assert_true(len <= 65535);
                assert_int_equal(read_be16((uint8_t *) g->out[i].iov[0].iov_base + 2), len);
                sum += len - 52;
        }
        assert_int_equal(sum, 60 * 1400);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_csum_against_twin),
                cmocka_unit_test(test_csum_carries),
                cmocka_unit_test(test_l4_csum_ok),
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_split_and_coalesce_round_trip),
                cmocka_unit_test(test_split_options_and_extension_headers),
                cmocka_unit_test(test_split_to_fit),
                cmocka_unit_test(test_split_cwr_first_only),
                cmocka_unit_test(test_split_malformed),
                cmocka_unit_test(test_finish_csum),
                cmocka_unit_test(test_coalesce_rules),
                cmocka_unit_test(test_coalesce_ends),
                cmocka_unit_test(test_coalesce_options_differ),
                cmocka_unit_test(test_coalesce_damaged_stays_damaged),
                cmocka_unit_test(test_coalesce_flows_interleaved),
                cmocka_unit_test(test_coalesce_more_flows_than_slots),
                cmocka_unit_test(test_coalesce_without_offload),
                cmocka_unit_test(test_coalesce_length_limit),
        };

        return cmocka_run_group_tests(tests, setup_group, NULL);
}
