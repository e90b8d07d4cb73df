/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"

/* BLAKE2b-256 of the pieces put together by hand. */
static void
hash_of(const char *label, const void *a, size_t na, const void *b, size_t nb, uint8_t ret[static 32]) {
        g_autoptr(GByteArray) all = g_byte_array_new();

        g_byte_array_append(all, (const uint8_t *) label, (unsigned) strlen(label));
        g_byte_array_append(all, a, (unsigned) na);
        if (nb > 0)
                g_byte_array_append(all, b, (unsigned) nb);
        crypto_generichash(ret, 32, all->data, all->len, NULL, 0);
}

static void test_invite(void **state) {
        uint8_t token[INVITE_TOKEN_SIZE], id[INVITE_ID_SIZE], psk[32], expected[32];
        NetworkId network;

        memset(&network, 0x11, sizeof network);
        memset(token, 0x22, sizeof token);
        invite_derive(&network, token, id, psk);
        hash_of("omerta invite psk", &network, 32, token, sizeof token, expected);
        assert_memory_equal(psk, expected, 32);
        hash_of("omerta invite id", &network, 32, token, sizeof token, expected);
        assert_memory_equal(id, expected, INVITE_ID_SIZE);
}

static void test_ula(void **state) {
        uint8_t expected[32];
        NetworkId network;
        MachineId machine;
        IpPrefix prefix;
        IpAddr address;

        memset(&network, 0x11, sizeof network);
        memset(&machine, 0x33, sizeof machine);
        prefix = ula_prefix(&network);
        address = ula_address(&network, &machine);
        hash_of("omerta ula", &network, 32, NULL, 0, expected);
        assert_int_equal(prefix.len, 64);
        assert_int_equal(prefix.addr.family, AF_INET6);
        assert_int_equal(prefix.addr.bytes[0], 0xfd);
        assert_memory_equal(prefix.addr.bytes + 1, expected, 5);
        assert_true(sodium_is_zero(prefix.addr.bytes + 6, 10));
        hash_of("omerta ula host", &machine, 32, NULL, 0, expected);
        assert_true(ip_prefix_contains(&prefix, &address));
        assert_memory_equal(address.bytes + 8, expected, 8);
}

static void test_tai64n(void **state) {
        static const struct {
                usec_t realtime;
                const char *hex;
        } table[] = {
                { 0, "400000000000000a00000000" },
                { 1, "400000000000000a000003e8" },
                { USEC_PER_SEC - 1, "400000000000000a3b9ac618" },
                { USEC_PER_SEC, "400000000000000b00000000" },
                /* cr.yp.to/libtai/tai64.html: 1992-06-02 08:07:09 TAI is 40...2a2b2c2d; UTC was 26
                 * s behind, of which 16 leap seconds are not counted here. */
                { (UINT64_C(0x2a2b2c2d) - 10) * USEC_PER_SEC, "400000002a2b2c2d00000000" },
        };
        uint8_t stamp[TAI64N_SIZE], last[TAI64N_SIZE] = {};
        char hex[2 * TAI64N_SIZE + 1];

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                tai64n_encode(table[i].realtime, stamp);
                sodium_bin2hex(hex, sizeof hex, stamp, sizeof stamp);
                assert_string_equal(hex, table[i].hex);
                assert_true(memcmp(last, stamp, sizeof stamp) < 0);
                memcpy(last, stamp, sizeof stamp);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_invite),
                cmocka_unit_test(test_ula),
                cmocka_unit_test(test_tai64n),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
