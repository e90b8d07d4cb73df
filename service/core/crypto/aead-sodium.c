/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/aead-internal.h"

static_assert(AEAD_KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "key");
static_assert(AEAD_NONCE_SIZE == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(AEAD_TAG_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "tag");
static_assert(AEAD_KEY_SIZE == crypto_aead_aes256gcm_KEYBYTES, "key");
static_assert(AEAD_NONCE_SIZE == crypto_aead_aes256gcm_NPUBBYTES, "nonce");
static_assert(AEAD_TAG_SIZE == crypto_aead_aes256gcm_ABYTES, "tag");
static_assert(sizeof(crypto_aead_aes256gcm_state) <= AEAD_STATE_SIZE, "state");

static bool chacha_is_available(void) {
        return true;
}

static void chacha_key_init(AeadKey *key, const uint8_t secret[static AEAD_KEY_SIZE]) {
        memcpy(key->state, secret, AEAD_KEY_SIZE);
}

static void
chacha_seal(const AeadKey *key,
            const uint8_t nonce[static AEAD_NONCE_SIZE],
            const uint8_t *in,
            size_t n,
            uint8_t *out) {
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, n, NULL, 0, NULL, nonce, key->state);
}

static bool
chacha_open(const AeadKey *key,
            const uint8_t nonce[static AEAD_NONCE_SIZE],
            const uint8_t *in,
            size_t n,
            uint8_t *out) {
        return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
                               out, NULL, in, n, in + n, NULL, 0, nonce, key->state) == 0;
}

const AeadBackend aead_sodium_chacha20_poly1305 = {
        .name = "libsodium",
        .cipher = CIPHER_CHACHA20_POLY1305,
        .is_available = chacha_is_available,
        .key_init = chacha_key_init,
        .seal = chacha_seal,
        .open = chacha_open,
};

static bool aes_is_available(void) {
        return crypto_aead_aes256gcm_is_available();
}

static void aes_key_init(AeadKey *key, const uint8_t secret[static AEAD_KEY_SIZE]) {
        crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *) key->state, secret);
}

static void
aes_seal(const AeadKey *key,
         const uint8_t nonce[static AEAD_NONCE_SIZE],
         const uint8_t *in,
         size_t n,
         uint8_t *out) {
        crypto_aead_aes256gcm_encrypt_afternm(
                        out, NULL, in, n, NULL, 0, NULL, nonce,
                        (const crypto_aead_aes256gcm_state *) key->state);
}

static bool
aes_open(const AeadKey *key,
         const uint8_t nonce[static AEAD_NONCE_SIZE],
         const uint8_t *in,
         size_t n,
         uint8_t *out) {
        return crypto_aead_aes256gcm_decrypt_detached_afternm(
                               out, NULL, in, n, in + n, NULL, 0, nonce,
                               (const crypto_aead_aes256gcm_state *) key->state) == 0;
}

const AeadBackend aead_sodium_aes_256_gcm = {
        .name = "libsodium",
        .cipher = CIPHER_AES_256_GCM,
        .is_available = aes_is_available,
        .key_init = aes_key_init,
        .seal = aes_seal,
        .open = aes_open,
};
