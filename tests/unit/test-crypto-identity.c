/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/identity.h"

static void unhex(const char *hex, uint8_t *bytes, size_t n) {
        assert_int_equal(strlen(hex), 2 * n);
        assert_int_equal(sodium_hex2bin(bytes, n, hex, 2 * n, NULL, NULL, NULL), 0);
}

/* RFC 8032, section 7.1, tests 1 and 2: seed and public key. */
static const struct {
        const char *seed, *public;
} known[] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" },
};

static void test_new(void **state) {
        for (size_t k = 0; k < ELEMENTSOF(known); k++) {
                _cleanup_(identity_freep) Identity *i = NULL;
                uint8_t seed[IDENTITY_SEED_SIZE], public[32], converted[32];

                unhex(known[k].seed, seed, sizeof seed);
                unhex(known[k].public, public, sizeof public);
                assert_int_equal(identity_new(seed, &i), 0);
                assert_memory_equal(i->id.bytes, public, 32);
                /* Both ways to the static key lead to the same. */
                assert_int_equal(machine_id_to_static(&i->id, converted), 0);
                assert_memory_equal(i->static_public, converted, 32);
                crypto_scalarmult_base(public, i->static_secret);
                assert_memory_equal(i->static_public, public, 32);
        }
        assert_null(identity_free(NULL));
}

/* Points of order 1, 2, 4 and 8 on edwards25519; forms of them not below p; a y that no point has;
 * the base point plus the one of order 2, which is outside the main subgroup. */
static void test_to_static_refuses(void **state) {
        static const char *const bad[] = {
                "0100000000000000000000000000000000000000000000000000000000000000",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "0000000000000000000000000000000000000000000000000000000000000000",
                "0000000000000000000000000000000000000000000000000000000000000080",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
                "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "0200000000000000000000000000000000000000000000000000000000000000",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                /* (-x, -y) of the base point (x, y). */
                "95999999999999999999999999999999999999999999999999999999999999"
                "99",
        };
        uint8_t out[32], untouched[32];
        MachineId id;

        memset(untouched, 0x77, sizeof untouched);
        for (size_t k = 0; k < ELEMENTSOF(bad); k++) {
                unhex(bad[k], id.bytes, sizeof id.bytes);
                memset(out, 0x77, sizeof out);
                assert_int_equal(machine_id_to_static(&id, out), -EINVAL);
                assert_memory_equal(out, untouched, sizeof out);
        }
}

static void test_sign(void **state) {
        _cleanup_(identity_freep) Identity *a = NULL, *b = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE], signature[64], expected[64], data[40];
        uint8_t all[12 + sizeof data];

        unhex(known[0].seed, seed, sizeof seed);
        assert_int_equal(identity_new(seed, &a), 0);
        unhex(known[1].seed, seed, sizeof seed);
        assert_int_equal(identity_new(seed, &b), 0);
        memset(data, 'd', sizeof data);
        identity_sign(a, "omerta test", data, sizeof data, signature);
        memcpy(all, "omerta test", 12); /* with the 0 */
        memcpy(all + 12, data, sizeof data);
        crypto_sign_detached(expected, NULL, all, sizeof all, a->sign_secret);
        assert_memory_equal(signature, expected, 64);
        assert_int_equal(signature_verify(&a->id, "omerta test", data, sizeof data, signature), 0);
        assert_int_equal(
                        signature_verify(&b->id, "omerta test", data, sizeof data, signature),
                        -EBADMSG);
        assert_int_equal(
                        signature_verify(&a->id, "omerta tesu", data, sizeof data, signature),
                        -EBADMSG);
        assert_int_equal(
                        signature_verify(&a->id, "omerta test", data, sizeof data - 1, signature),
                        -EBADMSG);
        for (size_t bit = 0; bit < 512; bit++) {
                signature[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_int_equal(
                                signature_verify(&a->id, "omerta test", data, sizeof data, signature),
                                -EBADMSG);
                signature[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        /* Nothing is fine too. */
        identity_sign(a, "", NULL, 0, signature);
        assert_int_equal(signature_verify(&a->id, "", NULL, 0, signature), 0);
}

static void test_sign_record(void **state) {
        _cleanup_(identity_freep) Identity *a = NULL;
        g_autoptr(Record) r = NULL, back = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE] = { 5 }, prefix[50];
        RecordBody body = { .kind = RECORD_REVOCATION, .version = 7 };
        const NetworkId network = { { 1 } }, other = { { 2 } };
        g_autoptr(GByteArray) all = g_byte_array_new();

        assert_int_equal(identity_new(seed, &a), 0);
        body.machine = a->id;
        assert_int_equal(identity_sign_record(a, &network, &body, &r), 0);
        assert_true(machine_id_equal(&r->signer, &a->id));
        /* docs/protocol.md: "omerta record v1" || 0 || kind || network id || body */
        memcpy(prefix, "omerta record v1\0\x03", 18);
        memcpy(prefix + 18, &network, 32);
        g_byte_array_append(all, prefix, sizeof prefix);
        g_byte_array_append(
                        all, g_bytes_get_data(r->encoded_body, NULL),
                        (unsigned) g_bytes_get_size(r->encoded_body));
        assert_int_equal(crypto_sign_verify_detached(r->signature, all->data, all->len, a->id.bytes), 0);
        assert_int_equal(record_verify_signature(r, &network), 0);
        assert_int_equal(record_verify_signature(r, &other), -EBADMSG);
        /* Over the wire. */
        assert_int_equal(
                        record_decode(g_bytes_get_data(r->bytes, NULL), g_bytes_get_size(r->bytes),
                                      &back),
                        0);
        assert_int_equal(record_verify_signature(back, &network), 0);
        /* Out of bounds. */
        body.kind = RECORD_CERTIFICATE;
        strcpy(body.certificate.name, "not a host name");
        g_clear_pointer(&r, record_unref);
        assert_int_equal(identity_sign_record(a, &network, &body, &r), -EINVAL);
        assert_null(r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new),
                cmocka_unit_test(test_to_static_refuses),
                cmocka_unit_test(test_sign),
                cmocka_unit_test(test_sign_record),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
