/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/noise.h"

#define PROLOGUE ((const uint8_t *) "omerta v1")
#define PAYLOAD_LEN 40U
#define INITIATION_LEN (96U + PAYLOAD_LEN)
#define RESPONSE_LEN (48U + PAYLOAD_LEN)

typedef struct Pair {
        uint8_t i_secret[32], i_public[32], r_secret[32], r_public[32];
        uint8_t psk[32], payload[PAYLOAD_LEN];
        NoiseState i, r;
} Pair;

static void key_pair(uint8_t fill, uint8_t secret[static 32], uint8_t public[static 32]) {
        memset(secret, fill, 32);
        crypto_scalarmult_base(public, secret);
}

static void pair_start(Pair *p) {
        uint8_t e[32];

        memset(p, 0, sizeof *p);
        key_pair(1, p->i_secret, p->i_public);
        key_pair(2, p->r_secret, p->r_public);
        memset(p->psk, 3, sizeof p->psk);
        memset(p->payload, 4, sizeof p->payload);
        memset(e, 5, sizeof e);
        noise_init(&p->i, true, true, PROLOGUE, 9, p->i_secret, p->i_public, p->r_public, e);
        memset(e, 6, sizeof e);
        noise_init(&p->r, false, true, PROLOGUE, 9, p->r_secret, p->r_public, NULL, e);
}

static void test_round_trip(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN];
        uint8_t is[32], ir[32], rs[32], rr[32];
        Pair p;

        pair_start(&p);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);
        assert_memory_equal(back, p.payload, PAYLOAD_LEN);
        assert_memory_equal(p.r.rs, p.i_public, 32);
        assert_int_equal(noise_write_response(&p.r, p.psk, p.payload, PAYLOAD_LEN, m2), 0);
        assert_int_equal(noise_read_response(&p.i, p.psk, m2, sizeof m2, back), 0);
        assert_memory_equal(back, p.payload, PAYLOAD_LEN);
        noise_split(&p.i, is, ir);
        noise_split(&p.r, rs, rr);
        assert_memory_equal(is, rr, 32);
        assert_memory_equal(ir, rs, 32);
        assert_memory_not_equal(is, ir, 32);
        assert_true(sodium_is_zero((const uint8_t *) &p.i, sizeof p.i));
}

static void test_in_place_and_empty(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN];
        Pair p;

        pair_start(&p);
        memcpy(m1 + 80, p.payload, PAYLOAD_LEN);
        assert_int_equal(noise_write_initiation(&p.i, m1 + 80, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, m1 + 80), 0);
        assert_memory_equal(m1 + 80, p.payload, PAYLOAD_LEN);
        assert_int_equal(noise_write_response(&p.r, p.psk, NULL, 0, m2), 0);
        assert_int_equal(noise_read_response(&p.i, p.psk, m2, 48, m2 + 32), 0);
}

/* Every single bit of both messages; and after each refusal the true message is still taken. */
static void test_flipped_bits(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN];
        NoiseState before;
        Pair p;

        pair_start(&p);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        before = p.r;
        for (size_t bit = 0; bit < 8 * sizeof m1; bit++) {
                /* X25519 ignores the highest bit of a public key (RFC 7748 section 5), the hash
                 * does not. */
                m1[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
                assert_memory_equal(&p.r, &before, sizeof before);
                m1[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);

        assert_int_equal(noise_write_response(&p.r, p.psk, p.payload, PAYLOAD_LEN, m2), 0);
        before = p.i;
        for (size_t bit = 0; bit < 8 * sizeof m2; bit++) {
                m2[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_int_equal(noise_read_response(&p.i, p.psk, m2, sizeof m2, back), -EBADMSG);
                assert_memory_equal(&p.i, &before, sizeof before);
                m2[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_int_equal(noise_read_response(&p.i, p.psk, m2, sizeof m2, back), 0);
}

static void test_truncated(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN];
        Pair p;

        pair_start(&p);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        for (size_t len = 0; len < sizeof m1; len++) {
                g_autofree uint8_t *cut = g_memdup2(m1, len); /* exact, for the sanitizer */

                assert_int_equal(noise_read_initiation(&p.r, cut, len, back), -EBADMSG);
        }
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);
        assert_int_equal(noise_write_response(&p.r, p.psk, p.payload, PAYLOAD_LEN, m2), 0);
        for (size_t len = 0; len < sizeof m2; len++) {
                g_autofree uint8_t *cut = g_memdup2(m2, len);

                assert_int_equal(noise_read_response(&p.i, p.psk, cut, len, back), -EBADMSG);
        }
}

static void test_wrong_psk(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN], wrong[32];
        Pair p;

        pair_start(&p);
        memcpy(wrong, p.psk, sizeof wrong);
        wrong[31] ^= 1;
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);
        assert_int_equal(noise_write_response(&p.r, wrong, p.payload, PAYLOAD_LEN, m2), 0);
        assert_int_equal(noise_read_response(&p.i, p.psk, m2, sizeof m2, back), -EBADMSG);
        assert_int_equal(noise_read_response(&p.i, wrong, m2, sizeof m2, back), 0);
}

static void test_wrong_static_or_prologue(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN], e[32], secret[32],
                        public[32];
        Pair p, q;

        /* Meant for another responder. */
        pair_start(&p);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        key_pair(9, secret, public);
        memset(e, 6, sizeof e);
        noise_init(&p.r, false, true, PROLOGUE, 9, secret, public, NULL, e);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
        /* Another network. */
        noise_init(&p.r, false, true, PROLOGUE, 8, p.r_secret, p.r_public, NULL, e);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
        /* An initiator that claims a static key it has no secret of. */
        pair_start(&p);
        memcpy(p.i.s_public, public, 32);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
        /* An answer to another initiation of the same machine. */
        pair_start(&p);
        assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);
        assert_int_equal(noise_write_response(&p.r, p.psk, p.payload, PAYLOAD_LEN, m2), 0);
        pair_start(&q);
        memset(e, 77, sizeof e);
        noise_init(&q.i, true, true, PROLOGUE, 9, q.i_secret, q.i_public, q.r_public, e);
        assert_int_equal(noise_write_initiation(&q.i, q.payload, PAYLOAD_LEN, m1), 0);
        assert_int_equal(noise_read_response(&q.i, q.psk, m2, sizeof m2, back), -EBADMSG);
}

/* Orders 1, 2, 4 and 8, and forms of them above p (RFC 7748 section 6.1: the result is zero). */
static const char *const low_order[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
};

static void test_low_order(void **state) {
        uint8_t m1[INITIATION_LEN], m2[RESPONSE_LEN], back[PAYLOAD_LEN], point[32];
        Pair p;

        for (size_t i = 0; i < ELEMENTSOF(low_order); i++) {
                assert_int_equal(sodium_hex2bin(point, 32, low_order[i], 64, NULL, NULL, NULL), 0);
                /* As the key of the responder. */
                pair_start(&p);
                memcpy(p.i.rs, point, 32);
                assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), -EBADMSG);
                /* As the initiator's ephemeral key: everything after it is known to an attacker,
                 * who could make it fit; it must not come so far. */
                pair_start(&p);
                memset(m1, 0, sizeof m1);
                memcpy(m1, point, 32);
                assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
                /* As the keys of the initiator where the responder answers. */
                pair_start(&p);
                assert_int_equal(noise_write_initiation(&p.i, p.payload, PAYLOAD_LEN, m1), 0);
                assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), 0);
                memcpy(p.r.re, point, 32);
                assert_int_equal(
                                noise_write_response(&p.r, p.psk, p.payload, PAYLOAD_LEN, m2),
                                -EBADMSG);
                /* As the responder's ephemeral key. */
                memset(m2, 0, sizeof m2);
                memcpy(m2, point, 32);
                assert_int_equal(noise_read_response(&p.i, p.psk, m2, sizeof m2, back), -EBADMSG);
        }
}

/* A static key of low order, sealed as an honest initiator would: "ss" must refuse it. With the
 * check of the DH gone, both sides would agree on a key made of zeros. */
static void test_low_order_static(void **state) {
        uint8_t m1[INITIATION_LEN], back[PAYLOAD_LEN], shared[32], nonce[12] = {}, k[32], ck[32];
        static const uint8_t zero[NOISE_KEY_SIZE];
        Pair p;

        pair_start(&p);
        p.i.s = zero;
        memset(p.i.s_public, 0, sizeof p.i.s_public);
        /* Message 1 by hand, after the tokens e and es. */
        assert_int_equal(crypto_scalarmult(shared, p.i.e, p.r_public), 0);
        memcpy(m1, p.i.e_public, 32);
        {
                crypto_hash_sha256_state hash;
                uint8_t temp[32];

                crypto_hash_sha256_init(&hash);
                crypto_hash_sha256_update(&hash, p.i.h, 32);
                crypto_hash_sha256_update(&hash, m1, 32);
                crypto_hash_sha256_final(&hash, p.i.h);
                noise_hkdf(p.i.ck, m1, 32, 2, ck, temp, NULL);
                noise_hkdf(ck, shared, 32, 2, ck, k, NULL);
        }
        crypto_aead_chacha20poly1305_ietf_encrypt(
                        m1 + 32, NULL, p.i.s_public, 32, p.i.h, 32, NULL, nonce, k);
        {
                crypto_hash_sha256_state hash;

                crypto_hash_sha256_init(&hash);
                crypto_hash_sha256_update(&hash, p.i.h, 32);
                crypto_hash_sha256_update(&hash, m1 + 32, 48);
                crypto_hash_sha256_final(&hash, p.i.h);
                noise_hkdf(ck, zero, 32, 2, ck, k, NULL);
        }
        crypto_aead_chacha20poly1305_ietf_encrypt(
                        m1 + 80, NULL, p.payload, PAYLOAD_LEN, p.i.h, 32, NULL, nonce, k);
        assert_int_equal(noise_read_initiation(&p.r, m1, sizeof m1, back), -EBADMSG);
}

/* RFC 5869, test case 1 and 3 are for another use of HKDF (info, salt); what section 4.3 of the
 * Noise specification computes is HKDF with ck as salt and no info. */
static void test_hkdf(void **state) {
        uint8_t ck[32], input[22], prk[32], t1[32], t2[32], t3[32], o1[32], o2[32], o3[32], block[33];

        memset(ck, 0xaa, sizeof ck);
        memset(input, 0x0b, sizeof input);
        crypto_auth_hmacsha256(prk, input, sizeof input, ck);
        crypto_auth_hmacsha256(t1, (const uint8_t *) "\x01", 1, prk);
        memcpy(block, t1, 32);
        block[32] = 2;
        crypto_auth_hmacsha256(t2, block, 33, prk);
        memcpy(block, t2, 32);
        block[32] = 3;
        crypto_auth_hmacsha256(t3, block, 33, prk);
        noise_hkdf(ck, input, sizeof input, 3, o1, o2, o3);
        assert_memory_equal(o1, t1, 32);
        assert_memory_equal(o2, t2, 32);
        assert_memory_equal(o3, t3, 32);
        noise_hkdf(ck, input, sizeof input, 1, ck, NULL, NULL); /* in place */
        assert_memory_equal(ck, t1, 32);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_in_place_and_empty),
                cmocka_unit_test(test_flipped_bits),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_wrong_psk),
                cmocka_unit_test(test_wrong_static_or_prologue),
                cmocka_unit_test(test_low_order),
                cmocka_unit_test(test_low_order_static),
                cmocka_unit_test(test_hkdf),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
