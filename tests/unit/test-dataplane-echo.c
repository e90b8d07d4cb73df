/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "dataplane/checksum.h"
#include "dataplane/echo.h"

static const EchoToken token = { .secret = 0x0123456789abcdef, .number = 77 };

static IpAddr ip(const char *text) {
        IpAddr a;

        assert_return_code(ip_parse(text, &a), 0);
        return a;
}

/* What the other machine's kernel makes of it: addresses exchanged, the type another. */
static size_t answer(const char *from, const char *to, uint8_t *packet) {
        IpAddr a = ip(from), b = ip(to);
        size_t len = echo_build(&b, &a, &token, packet);

        packet[a.family == AF_INET ? IPV4_HEADER_MIN : IPV6_HEADER_SIZE] =
                        a.family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
        return len;
}

static void test_request(void **state) {
        IpAddr from = ip("10.0.0.100"), to = ip("10.0.0.1");
        uint8_t packet[ECHO_SIZE_MAX];
        size_t len = echo_build(&from, &to, &token, packet);
        PacketView v;

        assert_int_equal(len, 84); /* what ping(8) sends */
        assert_true(packet_parse(packet, len, &v));
        assert_true(v.is_plain);
        assert_int_equal(v.protocol, IPPROTO_ICMP);
        assert_int_equal(csum_fold(csum_bytes(packet, IPV4_HEADER_MIN, 0)), 0xffff);
        assert_int_equal(csum_fold(csum_bytes(packet + v.l4, len - v.l4, 0)), 0xffff);
        assert_int_equal(packet[v.l4], ICMP_ECHO);

        from = ip("fd00::2");
        to = ip("fd00::1");
        len = echo_build(&from, &to, &token, packet);
        assert_int_equal(len, ECHO_SIZE_MAX);
        assert_true(packet_parse(packet, len, &v));
        assert_int_equal(v.protocol, IPPROTO_ICMPV6);
        assert_int_equal(
                        csum_fold(
                                        csum_bytes(packet + v.l4, len - v.l4,
                                                   packet_pseudo_sum(packet, &v) + htons(64))),
                        0xffff);
        assert_int_equal(packet[v.l4], ICMP6_ECHO_REQUEST);
}

static void test_reply(void **state) {
        static const char *const pairs[][2] = { { "10.0.0.1", "10.0.0.2" }, { "fd00::1", "fd00::2" } };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                uint8_t packet[ECHO_SIZE_MAX];
                size_t len = answer(pairs[i][0], pairs[i][1], packet);
                uint64_t number = 0;
                PacketView v;

                assert_true(packet_parse(packet, len, &v));
                assert_true(echo_is_reply(packet, &v, token.secret, &number));
                assert_int_equal(number, token.number);
                /* Another program's. */
                assert_false(echo_is_reply(packet, &v, token.secret + 1, &number));
                /* A question, and not an answer to one; nor one of another code. */
                packet[v.l4] ^= 0x08;
                assert_false(echo_is_reply(packet, &v, token.secret, &number));
                packet[v.l4] ^= 0x08;
                packet[v.l4 + 1] = 1;
                assert_false(echo_is_reply(packet, &v, token.secret, &number));
        }
}

/* However short it is said to be, nothing is read behind its end (sanitizers look). */
static void test_cut(void **state) {
        uint8_t whole[ECHO_SIZE_MAX];
        size_t len = answer("10.0.0.1", "10.0.0.2", whole);

        for (size_t n = IPV4_HEADER_MIN; n < len; n++) {
                g_autofree uint8_t *packet = g_memdup2(whole, n);
                uint64_t number;
                PacketView v;

                write_be16(packet + IPV4_LENGTH_OFFSET, (uint16_t) n);
                if (packet_parse(packet, n, &v))
                        assert_int_equal(
                                        echo_is_reply(packet, &v, token.secret, &number),
                                        n >= IPV4_HEADER_MIN + 8 + ECHO_TOKEN_SIZE);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request),
                cmocka_unit_test(test_reply),
                cmocka_unit_test(test_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
