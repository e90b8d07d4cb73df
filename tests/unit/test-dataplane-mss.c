/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The MSS in SYN and SYN-ACK, against packets made anew with the lower one. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "base/macros.h"
#include "dataplane/checksum.h"
#include "dataplane/mss-clamp.h"
#include "packet-build.h"

#define OPTIONS_MAX 40U

static int setup_group(void **state) {
        const char *given = getenv("OMERTA_TEST_SEED");
        guint32 seed = given ? (guint32) strtoul(given, NULL, 0) : (guint32) time(NULL);

        print_message("OMERTA_TEST_SEED=%u\n", seed);
        srand(seed);
        return 0;
}

static unsigned pick(unsigned low, unsigned high) {
        return low + (unsigned) rand() % (high - low + 1);
}

static Build syn(bool v6, size_t options) {
        return (Build){
                .v6 = v6,
                .source = 0x0a000005,
                .destination = 0x0a00000a,
                .sport = (uint16_t) rand(),
                .dport = 443,
                .ttl = 64,
                .id = (uint16_t) rand(),
                .df = true,
                .seq = (uint32_t) rand(),
                .flags = 0x02,
                .window = (uint16_t) rand(),
                .tcp_options = options,
                .payload = (const uint8_t *) "some bytes",
                .payload_len = pick(0, 10),
                .csum = BUILD_FULL,
        };
}

/* @b with these options, summed the slow way, or of the pseudo header alone. */
static size_t build_with(const Build *b, const uint8_t *options, uint8_t *out) {
        size_t len = build_packet(b, out), ip = b->v6 ? 40 : 20, l4_len = len - ip;
        uint8_t pseudo[40] = {};
        uint16_t sum;

        memcpy(out + ip + 20, options, b->tcp_options);
        if (b->csum == BUILD_PARTIAL)
                return len;
        build16(out + ip + 16, 0);
        memcpy(pseudo, out + (b->v6 ? 8 : 12), b->v6 ? 32 : 8);
        if (b->v6) {
                build32(pseudo + 32, (uint32_t) l4_len);
                pseudo[39] = 6;
                sum = slow_sum(pseudo, 40, 0);
        } else {
                pseudo[9] = 6;
                build16(pseudo + 10, (unsigned) l4_len);
                sum = slow_sum(pseudo, 12, 0);
        }
        build16(out + ip + 16, (uint16_t) ~slow_sum(out + ip, l4_len, sum));
        return len;
}

/* NOPs, others, and an MSS somewhere among them. Return: where its value is. */
static size_t random_options(uint8_t *options, size_t n, unsigned mss) {
        size_t at = pick(0, (unsigned) n - 4);

        for (size_t i = 0; i < at;) {
                size_t len = pick(1, 6);

                if (len < 2 || i + len > at)
                        options[i++] = 1;
                else {
                        memset(options + i, (int) pick(0, 255), len);
                        options[i] = 3;
                        options[i + 1] = (uint8_t) len;
                        i += len;
                }
        }
        options[at] = 2;
        options[at + 1] = 4;
        build16(options + at + 2, mss);
        for (size_t i = at + 4; i < n; i++)
                options[i] = i % 2 ? 1 : 0;
        return at + 2;
}

static void test_against_twin(void **state) {
        uint8_t p[200], expected[200], options[OPTIONS_MAX];
        unsigned lowered = 0, odd = 0;

        for (unsigned i = 0; i < 20000; i++) {
                size_t n = pick(1, 10) * 4, at, len;
                Build b = syn(pick(0, 1), n);
                unsigned mss = pick(0, 3) ? pick(500, 1500) : (unsigned) rand() & 0xffff;
                uint16_t mtu = (uint16_t) pick(576, 1500);
                unsigned fits = mtu - (b.v6 ? 60U : 40U);
                PacketView v;
                bool changed;

                b.flags = pick(0, 1) ? 0x02 : 0x12;
                b.csum = pick(0, 1) ? BUILD_FULL : BUILD_PARTIAL;
                at = random_options(options, n, mss);
                len = build_with(&b, options, p);
                assert_true(packet_parse(p, len, &v));
                assert_true(mss_is_syn(p, &v));
                changed = mss_clamp(p, &v, b.csum == BUILD_PARTIAL, mtu);
                assert_int_equal(changed, mss > fits);
                if (mss > fits)
                        build16(options + at, fits);
                assert_int_equal(build_with(&b, options, expected), len);
                if (b.csum == BUILD_FULL)
                        assert_true(packet_l4_csum_ok(p, &v));
                assert_memory_equal(p, expected, len);
                lowered += changed;
                odd += changed && at % 2;
        }
        assert_true(lowered > 1000 && odd > 300);
}

/* A checksum that was wrong is wrong afterwards: what another machine broke is not hidden. */
static void test_wrong_stays_wrong(void **state) {
        uint8_t p[200];
        const uint8_t options[] = { 2, 4, 1460 >> 8, 1460 & 0xff };

        for (unsigned i = 0; i < 1000; i++) {
                Build b = syn(i & 1, sizeof options);
                size_t len = build_with(&b, options, p);
                PacketView v;

                p[(b.v6 ? 40 : 20) + 16] ^= (uint8_t) pick(1, 255);
                assert_true(packet_parse(p, len, &v));
                assert_true(mss_clamp(p, &v, false, 1280));
                assert_false(packet_l4_csum_ok(p, &v));
        }
}

/* Nothing to lower, or nothing that can be read: not a byte is changed. */
static void test_left_alone(void **state) {
        static const struct {
                const char *what;
                uint8_t options[8], flags;
        } cases[] = {
                { "no syn", { 2, 4, 5, 180 }, 0x10 },
                { "none", { 1, 1, 1, 1, 1, 1, 1, 1 }, 0x02 },
                { "behind the end", { 0, 1, 1, 1, 2, 4, 5, 180 }, 0x02 },
                { "too short", { 2, 3, 5, 1, 2, 4, 5, 180 }, 0x02 },
                { "too long", { 2, 5, 5, 180, 1 }, 0x02 },
                { "cut", { 1, 1, 1, 1, 1, 2, 4, 5 }, 0x02 },
                { "cut before its length", { 1, 1, 1, 1, 1, 1, 1, 2 }, 0x02 },
                { "another without length", { 3, 0, 2, 4, 5, 180 }, 0x02 },
                { "another beyond the header", { 3, 40, 2, 4, 5, 180 }, 0x02 },
        };
        uint8_t p[200], before[200];

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                Build b = syn(i & 1, sizeof cases[i].options);
                PacketView v;
                size_t len;

                b.flags = cases[i].flags;
                len = build_with(&b, cases[i].options, p);
                memcpy(before, p, len);
                assert_true(packet_parse(p, len, &v));
                if (mss_is_syn(p, &v) && mss_clamp(p, &v, false, 1280))
                        fail_msg("changed: %s", cases[i].what);
                assert_memory_equal(p, before, len);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_against_twin),
                cmocka_unit_test(test_wrong_stays_wrong),
                cmocka_unit_test(test_left_alone),
        };

        return cmocka_run_group_tests_name("dataplane-mss", tests, setup_group, NULL);
}
