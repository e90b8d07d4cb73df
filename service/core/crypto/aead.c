/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/aead.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "config.h"
#include "core/crypto/aead-internal.h"

/* Those for one cipher: the fastest first. */
static const AeadBackend *const backends[] = {
#if HAVE_IPSEC_MB
        &aead_ipsec_mb_aes_256_gcm,
#endif
        &aead_sodium_aes_256_gcm,
        &aead_sodium_chacha20_poly1305,
        NULL,
};

int aead_setup(void) {
        if (sodium_init() < 0)
                return -EIO;
        /* What is_available() finds out and remembers it finds out now. */
        (void) aead_ciphers();
        return 0;
}

const AeadBackend *const *aead_backends(void) {
        return backends;
}

unsigned aead_ciphers(void) {
        unsigned ciphers = CIPHER_CHACHA20_POLY1305;

        for (const AeadBackend *const *b = backends; *b; b++)
                if ((*b)->is_available())
                        ciphers |= (*b)->cipher;
        return ciphers;
}

Cipher aead_choose(unsigned ciphers) {
        return ciphers & CIPHER_AES_256_GCM ? CIPHER_AES_256_GCM : CIPHER_CHACHA20_POLY1305;
}

const char *cipher_to_string(Cipher cipher) {
        switch (cipher) {
        case CIPHER_CHACHA20_POLY1305:
                return "chacha20-poly1305";
        case CIPHER_AES_256_GCM:
                return "aes-256-gcm";
        }
        return NULL;
}

const AeadBackend *aead_backend_for(Cipher cipher) {
        for (const AeadBackend *const *b = backends; *b; b++)
                if ((*b)->cipher == cipher && (*b)->is_available())
                        return *b;
        return NULL;
}

void aead_key_init(AeadKey *key, const AeadBackend *backend, const uint8_t secret[static AEAD_KEY_SIZE]) {
        key->backend = backend;
        backend->key_init(key, secret);
}

void aead_key_clear(AeadKey *key) {
        sodium_memzero(key, sizeof *key);
}

bool aead_backends_agree(const AeadBackend *a, const AeadBackend *b) {
        /* Around the block, and around the 48 blocks that the widest code takes at once. */
        static const size_t lengths[] = { 0,   1,   15,  16,  17,  48,   127,  128,
                                          255, 256, 767, 768, 769, 1420, 1536, 1553 };
        enum { LONGEST = 1553 };
        uint8_t secret[AEAD_KEY_SIZE], nonce[AEAD_NONCE_SIZE], plain[LONGEST];
        uint8_t x[LONGEST + AEAD_TAG_SIZE], y[LONGEST + AEAD_TAG_SIZE];
        AeadKey ka, kb;
        bool agree = true;

        for (size_t i = 0; i < sizeof plain; i++)
                plain[i] = (uint8_t) (i * 31 + 7);
        for (size_t i = 0; i < ELEMENTSOF(lengths) && agree; i++) {
                size_t n = lengths[i];

                memset(secret, (int) i + 1, sizeof secret);
                memset(nonce, (int) i + 101, sizeof nonce);
                aead_key_init(&ka, a, secret);
                aead_key_init(&kb, b, secret);
                aead_seal(&ka, nonce, plain, n, x);
                aead_seal(&kb, nonce, plain, n, y);
                agree = memcmp(x, y, n + AEAD_TAG_SIZE) == 0 && aead_open(&ka, nonce, y, n, y) &&
                        memcmp(y, plain, n) == 0 && aead_open(&kb, nonce, x, n, y) &&
                        memcmp(y, plain, n) == 0;
                x[n + i % AEAD_TAG_SIZE] ^= 0x80;
                agree = agree && !aead_open(&ka, nonce, x, n, y) && !aead_open(&kb, nonce, x, n, y);
        }
        return agree;
}
