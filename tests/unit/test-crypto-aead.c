/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "config.h"
#include "core/crypto/aead-internal.h"

#define LONGEST (64U * 1024 + 64)

static const AeadBackend *reference_for(Cipher cipher) {
        return cipher == CIPHER_AES_256_GCM ? &aead_sodium_aes_256_gcm
                                            : &aead_sodium_chacha20_poly1305;
}

static void unhex(const char *hex, uint8_t *bytes, size_t n) {
        assert_int_equal(strlen(hex), 2 * n);
        assert_int_equal(sodium_hex2bin(bytes, n, hex, 2 * n, NULL, NULL, NULL), 0);
}

/* Known answers without additional data. AES-256-GCM: "The Galois/Counter Mode of Operation",
 * McGrew and Viega, appendix B, test cases 13 to 15. ChaCha20-Poly1305 with an all-zero key: from
 * its definition in RFC 8439, section 2.8, computed below with the parts themselves. */
static const struct {
        const char *key, *nonce, *plain, *cipher, *tag;
} gcm_cases[] = {
        { "0000000000000000000000000000000000000000000000000000000000000000",
          "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
        { "0000000000000000000000000000000000000000000000000000000000000000",
          "000000000000000000000000", "00000000000000000000000000000000",
          "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
        { "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
          "cafebabefacedbaddecaf888",
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
          "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
          "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
          "b094dac5d93471bdec1a502270e3cc6c" },
};

static void test_known_answers(void **state) {
        for (const AeadBackend *const *b = aead_backends(); *b; b++) {
                if ((*b)->cipher != CIPHER_AES_256_GCM || !(*b)->is_available())
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(gcm_cases); i++) {
                        uint8_t secret[32], nonce[12], plain[64], expected[64 + 16], out[64 + 16];
                        size_t n = strlen(gcm_cases[i].plain) / 2;
                        AeadKey key;

                        unhex(gcm_cases[i].key, secret, sizeof secret);
                        unhex(gcm_cases[i].nonce, nonce, sizeof nonce);
                        unhex(gcm_cases[i].plain, plain, n);
                        unhex(gcm_cases[i].cipher, expected, n);
                        unhex(gcm_cases[i].tag, expected + n, 16);
                        aead_key_init(&key, *b, secret);
                        aead_seal(&key, nonce, plain, n, out);
                        assert_memory_equal(out, expected, n + 16);
                }
        }
}

/* RFC 8439, section 2.8, from its parts: the one-time key is block 0, the text begins with block
 * 1, and the tag is over text, padding and both lengths. */
static void test_chacha_by_parts(void **state) {
        uint8_t secret[32], nonce[12], plain[100], out[116], parts[112 + 16] = {}, tag[16];
        uint8_t poly_key[32];
        AeadKey key;

        for (unsigned i = 0; i < sizeof plain; i++)
                plain[i] = (uint8_t) i;
        memset(secret, 0x42, sizeof secret);
        memset(nonce, 0x17, sizeof nonce);
        aead_key_init(&key, aead_backend_for(CIPHER_CHACHA20_POLY1305), secret);
        aead_seal(&key, nonce, plain, sizeof plain, out);
        crypto_stream_chacha20_ietf(poly_key, sizeof poly_key, nonce, secret);
        crypto_stream_chacha20_ietf_xor_ic(parts, plain, sizeof plain, nonce, 1, secret);
        assert_memory_equal(out, parts, sizeof plain);
        write_le64(parts + 112 + 8, sizeof plain);
        crypto_onetimeauth(tag, parts, sizeof parts, poly_key);
        assert_memory_equal(out + sizeof plain, tag, sizeof tag);
}

static void check_length(const AeadKey *key, const AeadKey *reference, const uint8_t *plain, size_t n) {
        /* Exactly as long as needed, so that the sanitizer sees a byte too many. */
        g_autofree uint8_t *expected = g_malloc(n + AEAD_TAG_SIZE);
        g_autofree uint8_t *out = g_malloc(n + AEAD_TAG_SIZE);
        g_autofree uint8_t *in = g_memdup2(plain, n);
        g_autofree uint8_t *back = g_malloc(n);
        uint8_t nonce[AEAD_NONCE_SIZE];
        size_t at;

        memset(nonce, (int) n, sizeof nonce);
        write_le64(nonce + 4, n);
        aead_seal(reference, nonce, plain, n, expected);
        /* Out of place: the input stays as it was. */
        aead_seal(key, nonce, in, n, out);
        assert_memory_equal(out, expected, n + AEAD_TAG_SIZE);
        if (n > 0)
                assert_memory_equal(in, plain, n);
        assert_true(aead_open(key, nonce, out, n, back));
        if (n > 0)
                assert_memory_equal(back, plain, n);
        assert_memory_equal(out, expected, n + AEAD_TAG_SIZE);
        /* In place. */
        if (n > 0)
                memcpy(out, plain, n);
        aead_seal(key, nonce, out, n, out);
        assert_memory_equal(out, expected, n + AEAD_TAG_SIZE);
        assert_true(aead_open(key, nonce, out, n, out));
        if (n > 0)
                assert_memory_equal(out, plain, n);
        /* Forged: a bit of the tag, of the text, of the nonce. */
        memcpy(out, expected, n + AEAD_TAG_SIZE);
        out[n + n % AEAD_TAG_SIZE] ^= (uint8_t) (1U << n % 8);
        assert_false(aead_open(key, nonce, out, n, back));
        memcpy(out, expected, n + AEAD_TAG_SIZE);
        at = n > 0 ? (n * 7919) % n : 0;
        out[at] ^= 1;
        assert_false(aead_open(key, nonce, out, n, back));
        out[at] ^= 1;
        nonce[n % AEAD_NONCE_SIZE] ^= 1;
        assert_false(aead_open(key, nonce, out, n, back));
}

static void test_lengths(void **state) {
        g_autofree uint8_t *plain = g_malloc(LONGEST);
        uint8_t secret[AEAD_KEY_SIZE];

        for (size_t i = 0; i < LONGEST; i++)
                plain[i] = (uint8_t) (i * 131 + i / 251);
        memset(secret, 0x5a, sizeof secret);
        for (const AeadBackend *const *b = aead_backends(); *b; b++) {
                AeadKey key, reference;

                if (!(*b)->is_available()) {
                        print_message("%s %s: not available here\n", (*b)->name,
                                      cipher_to_string((*b)->cipher));
                        continue;
                }
                aead_key_init(&key, *b, secret);
                aead_key_init(&reference, reference_for((*b)->cipher), secret);
                for (size_t n = 0; n <= 1500; n++)
                        check_length(&key, &reference, plain, n);
                for (size_t n = 64 * 1024 - 49; n <= 64 * 1024 + 49; n++)
                        check_length(&key, &reference, plain, n);
        }
}

static void test_every_bit_of_tag(void **state) {
        uint8_t secret[AEAD_KEY_SIZE] = { 1 }, nonce[AEAD_NONCE_SIZE] = { 2 },
                text[33 + AEAD_TAG_SIZE];
        uint8_t back[33];

        for (const AeadBackend *const *b = aead_backends(); *b; b++) {
                AeadKey key;

                if (!(*b)->is_available())
                        continue;
                memset(text, 7, sizeof text);
                aead_key_init(&key, *b, secret);
                aead_seal(&key, nonce, text, 33, text);
                for (size_t bit = 0; bit < 8 * sizeof text; bit++) {
                        text[bit / 8] ^= (uint8_t) (1U << bit % 8);
                        assert_false(aead_open(&key, nonce, text, 33, back));
                        text[bit / 8] ^= (uint8_t) (1U << bit % 8);
                }
                assert_true(aead_open(&key, nonce, text, 33, back));
        }
}

/* One key, two threads, each with its own nonces: every message must come out right. */
typedef struct Worker {
        const AeadKey *key;
        uint8_t name;
        unsigned n_bad;
} Worker;

static void *work(void *userdata) {
        Worker *w = userdata;
        uint8_t plain[1420], text[1420 + AEAD_TAG_SIZE], nonce[AEAD_NONCE_SIZE] = {};

        memset(plain, w->name, sizeof plain);
        nonce[0] = w->name;
        for (uint64_t i = 0; i < 3000; i++) {
                size_t n = i % sizeof plain;

                write_le64(nonce + 4, i);
                aead_seal(w->key, nonce, plain, n, text);
                if (!aead_open(w->key, nonce, text, n, text) || memcmp(text, plain, n) != 0)
                        w->n_bad++;
        }
        return NULL;
}

static void test_two_threads(void **state) {
        uint8_t secret[AEAD_KEY_SIZE] = { 9 };

        for (const AeadBackend *const *b = aead_backends(); *b; b++) {
                AeadKey key;
                Worker a = { .key = &key, .name = 'a' }, c = { .key = &key, .name = 'c' };
                GThread *thread;

                if (!(*b)->is_available())
                        continue;
                aead_key_init(&key, *b, secret);
                thread = g_thread_new("a", work, &a);
                work(&c);
                g_thread_join(thread);
                assert_int_equal(a.n_bad, 0);
                assert_int_equal(c.n_bad, 0);
        }
}

static void
not_quite_seal(const AeadKey *key,
               const uint8_t nonce[static AEAD_NONCE_SIZE],
               const uint8_t *in,
               size_t n,
               uint8_t *out) {
        aead_sodium_chacha20_poly1305.seal(key, nonce, in, n, out);
        if (n == 1420)
                out[700] ^= 1;
}

static bool
credulous_open(const AeadKey *key,
               const uint8_t nonce[static AEAD_NONCE_SIZE],
               const uint8_t *in,
               size_t n,
               uint8_t *out) {
        (void) aead_sodium_chacha20_poly1305.open(key, nonce, in, n, out);
        return true;
}

static void test_self_check(void **state) {
        AeadBackend broken = aead_sodium_chacha20_poly1305;

        assert_true(aead_backends_agree(&broken, &aead_sodium_chacha20_poly1305));
        broken.seal = not_quite_seal;
        assert_false(aead_backends_agree(&broken, &aead_sodium_chacha20_poly1305));
        broken = aead_sodium_chacha20_poly1305;
        broken.open = credulous_open;
        assert_false(aead_backends_agree(&broken, &aead_sodium_chacha20_poly1305));
}

static void test_choice(void **state) {
        unsigned ciphers = aead_ciphers();

        assert_true(ciphers & CIPHER_CHACHA20_POLY1305);
        assert_int_equal(aead_choose(CIPHER_CHACHA20_POLY1305), CIPHER_CHACHA20_POLY1305);
        assert_int_equal(aead_choose(CIPHER_CHACHA20_POLY1305 | CIPHER_AES_256_GCM), CIPHER_AES_256_GCM);
        assert_ptr_equal(aead_backend_for(CIPHER_CHACHA20_POLY1305), &aead_sodium_chacha20_poly1305);
        assert_null(aead_backend_for((Cipher) 0));
        assert_null(aead_backend_for((Cipher) 3));
        assert_int_equal(
                        aead_backend_for(CIPHER_AES_256_GCM) != NULL,
                        (ciphers & CIPHER_AES_256_GCM) != 0);
#if HAVE_IPSEC_MB
        /* It needs no more of a CPU than libsodium's does. That it is missing then would mean that
         * its bytes were wrong, and only seem as if there was nothing to test. */
        assert_int_equal(
                        aead_ipsec_mb_aes_256_gcm.is_available(),
                        aead_sodium_aes_256_gcm.is_available());
        if (ciphers & CIPHER_AES_256_GCM)
                assert_ptr_equal(aead_backend_for(CIPHER_AES_256_GCM), &aead_ipsec_mb_aes_256_gcm);
#endif
        assert_string_equal(cipher_to_string(CIPHER_AES_256_GCM), "aes-256-gcm");
        assert_null(cipher_to_string((Cipher) 3));
}

static void test_clear(void **state) {
        uint8_t secret[AEAD_KEY_SIZE] = { 9 };
        AeadKey key;

        aead_key_init(&key, &aead_sodium_chacha20_poly1305, secret);
        aead_key_clear(&key);
        assert_true(sodium_is_zero((const uint8_t *) &key, sizeof key));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_answers), cmocka_unit_test(test_chacha_by_parts),
                cmocka_unit_test(test_lengths),       cmocka_unit_test(test_every_bit_of_tag),
                cmocka_unit_test(test_two_threads),   cmocka_unit_test(test_self_check),
                cmocka_unit_test(test_choice),        cmocka_unit_test(test_clear),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
