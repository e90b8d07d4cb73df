/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/mesh/lan/beacon.h"

static const NetworkId network = { .bytes = { 1, 2, 3 } };
static const uint8_t secret_a[SECRET_SIZE] = { 7 }, secret_b[SECRET_SIZE] = { 8 };
static const uint8_t nonce[BEACON_NONCE_SIZE] = { 9, 9 };
static const Beacon sample = {
        .machine.bytes = { 0xaa, 0xbb, [31] = 0xcc },
        .life = { 1, 2, 3, 4, 5, 6, 7, 8 },
        .stamp = UINT64_C(0x0123456789abcdef),
        .port = 18002,
        .asks = true,
        .unsure = true,
};

static Secret *key_of(const uint8_t secret[static SECRET_SIZE], const NetworkId *n) {
        Secret *s = secret_new(secret), *key = beacon_derive_key(n, s);

        secret_unref(s);
        return key;
}

static void test_round_trip(void **state) {
        Secret *key = key_of(secret_a, &network);
        uint8_t wire[BEACON_SIZE];
        Beacon b;

        beacon_seal(key, nonce, &sample, wire);
        assert_int_equal(read_be32(wire), (uint32_t) MESSAGE_BEACON << 24);
        assert_memory_equal(wire + BEACON_NONCE_OFFSET, nonce, sizeof nonce);
        assert_int_equal(beacon_open(key, wire, sizeof wire, &b), DROP_NONE);
        assert_memory_equal(&b.machine, &sample.machine, sizeof b.machine);
        assert_memory_equal(b.life, sample.life, sizeof b.life);
        assert_int_equal(b.stamp, sample.stamp);
        assert_int_equal(b.port, 18002);
        assert_true(b.asks && b.unsure && !b.answers);
        secret_unref(key);
}

/* Where docs/protocol.md says the port is. */
static void test_layout(void **state) {
        Secret *key = key_of(secret_a, &network);
        uint8_t wire[BEACON_SIZE], again[BEACON_SIZE];
        Beacon other = sample;

        beacon_seal(key, nonce, &sample, wire);
        other.port = 0x1234;
        beacon_seal(key, nonce, &other, again);
        /* XChaCha20 is a stream cipher: under one nonce a byte of plain text is a byte of cipher
         * text. So the difference shows where the port is, and in which order. */
        for (size_t i = BEACON_SEALED_OFFSET; i < BEACON_SEALED_OFFSET + BEACON_PLAIN_SIZE; i++) {
                uint8_t difference = wire[i] ^ again[i];

                if (i == BEACON_SEALED_OFFSET + 48)
                        assert_int_equal(difference, 0x52 ^ 0x34);
                else if (i == BEACON_SEALED_OFFSET + 49)
                        assert_int_equal(difference, 0x46 ^ 0x12);
                else
                        assert_int_equal(difference, 0);
        }
        secret_unref(key);
}

static void test_stranger(void **state) {
        const NetworkId elsewhere = { .bytes = { 4 } };
        Secret *key = key_of(secret_a, &network), *others[] = {
                key_of(secret_b, &network),
                key_of(secret_a, &elsewhere),
        };
        uint8_t wire[BEACON_SIZE];
        Beacon b = { .port = 1 };

        beacon_seal(key, nonce, &sample, wire);
        for (unsigned i = 0; i < ELEMENTSOF(others); i++) {
                assert_int_equal(beacon_open(others[i], wire, sizeof wire, &b), DROP_BEACON_FOREIGN);
                secret_unref(others[i]);
        }
        assert_int_equal(b.port, 1); /* left alone */
        secret_unref(key);
}

static void test_hostile(void **state) {
        Secret *key = key_of(secret_a, &network);
        uint8_t wire[BEACON_SIZE + 1] = {};
        Beacon b;

        beacon_seal(key, nonce, &sample, wire);
        for (size_t len = 0; len <= BEACON_SIZE + 1; len++)
                assert_int_equal(
                                beacon_open(key, wire, len, &b),
                                len == BEACON_SIZE ? DROP_NONE : DROP_MALFORMED);
        for (size_t i = 0; i < BEACON_SIZE; i++) {
                wire[i] ^= 1;
                assert_int_equal(
                                beacon_open(key, wire, BEACON_SIZE, &b),
                                i < BEACON_NONCE_OFFSET ? DROP_MALFORMED : DROP_BEACON_FOREIGN);
                wire[i] ^= 1;
        }
        secret_unref(key);
}

/* Of a member that means no good. */
static void test_nonsense(void **state) {
        Secret *key = key_of(secret_a, &network);
        uint8_t wire[BEACON_SIZE];
        Beacon b = sample;

        b.port = 0;
        beacon_seal(key, nonce, &b, wire);
        assert_int_equal(beacon_open(key, wire, sizeof wire, &b), DROP_MALFORMED);
        b = sample;
        b.answers = true;
        beacon_seal(key, nonce, &b, wire);
        assert_int_equal(beacon_open(key, wire, sizeof wire, &b), DROP_MALFORMED);
        secret_unref(key);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip), cmocka_unit_test(test_layout),
                cmocka_unit_test(test_stranger),   cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_nonsense),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
