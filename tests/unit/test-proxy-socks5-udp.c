/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "proxy/socks5-udp.h"

#define BYTES(...) { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void test_socks5_header(void **state) {
        static const struct {
                const char *what;
                uint8_t data[40];
                size_t len;
                int header; /* its length */
                const char *target;
        } table[] = {
                { "IPv4", BYTES(0, 0, 0, 1, 10, 0, 0, 1, 0, 53, 'q'), 10, "10.0.0.1:53" },
                { "IPv4, empty", BYTES(0, 0, 0, 1, 10, 0, 0, 1, 0, 53), 10, "10.0.0.1:53" },
                { "IPv6",
                  BYTES(0, 0, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 53, 'q'),
                  22, "[fd00::1]:53" },
                { "name", BYTES(0, 0, 0, 3, 3, 'n', 'a', 's', 0, 53, 'q'), 10, "nas:53" },
                { "address as name", BYTES(0, 0, 0, 3, 7, '1', '.', '2', '.', '3', '.', '4', 0, 53),
                  14, "1.2.3.4:53" },
                { "name nobody has", BYTES(0, 0, 0, 3, 3, 'n', 0, 's', 0, 53, 'q'), 10, ":53" },
                { "reserved bytes", BYTES(1, 2, 0, 1, 10, 0, 0, 1, 0, 53), 10, "10.0.0.1:53" },
                { "fragment", BYTES(0, 0, 1, 1, 10, 0, 0, 1, 0, 53, 'q'), -EBADMSG },
                { "last fragment", BYTES(0, 0, 0x81, 1, 10, 0, 0, 1, 0, 53, 'q'), -EBADMSG },
                { "address type", BYTES(0, 0, 0, 2, 10, 0, 0, 1, 0, 53, 'q'), -EBADMSG },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                ProxyTarget t;
                g_autofree char *text = NULL;

                print_message("%s\n", table[i].what);
                assert_int_equal(
                                socks5_udp_header_decode(table[i].data, table[i].len, &t),
                                table[i].header);
                if (table[i].header < 0)
                        continue;
                text = proxy_target_format(&t);
                assert_string_equal(text, table[i].target);
                for (size_t n = 0; n < (size_t) table[i].header; n++) {
                        g_autofree uint8_t *cut = g_memdup2(table[i].data, n);

                        assert_int_equal(socks5_udp_header_decode(cut, n, &t), -EBADMSG);
                }
        }
}

static void test_round(void **state) {
        const IpAddr addresses[] = { ip_from_v4(0x0a000064),
                                     { .family = AF_INET6, .bytes = { 0xfd, [15] = 7 } } };

        for (unsigned i = 0; i < ELEMENTSOF(addresses); i++) {
                uint8_t socks[SOCKS5_UDP_REPLY_HEADER_MAX], ours[PROXY_UDP_HEADER_SIZE];
                size_t n = socks5_udp_header_encode(&addresses[i], 0x1234, socks);
                ProxyTarget t;
                IpAddr a;
                uint16_t port;

                assert_int_equal(n, i == 0 ? 10 : 22);
                assert_int_equal(socks5_udp_header_decode(socks, n, &t), n);
                assert_true(ip_equal(&t.address, &addresses[i]));
                assert_int_equal(t.port, 0x1234);

                proxy_udp_header_encode(&addresses[i], 0x1234, ours);
                assert_int_equal(ours[0], i == 0 ? 4 : 6);
                assert_int_equal(ours[1], 0);
                assert_memory_equal(ours + 2, ((const uint8_t[]){ 0x12, 0x34 }), 2);
                assert_memory_equal(ours + 4, addresses[i].bytes, 16);
                assert_int_equal(proxy_udp_header_decode(ours, sizeof ours, &a, &port), 0);
                assert_true(ip_equal(&a, &addresses[i]));
                assert_int_equal(port, 0x1234);
                assert_int_equal(proxy_udp_header_decode(ours, sizeof ours - 1, &a, &port), -EBADMSG);
                ours[0] = 5;
                assert_int_equal(proxy_udp_header_decode(ours, sizeof ours, &a, &port), -EBADMSG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_socks5_header),
                cmocka_unit_test(test_round),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
