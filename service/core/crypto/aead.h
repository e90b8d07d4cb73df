/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The AEAD of data messages behind one small table: libsodium always, libipsec-mb for
 * AES-256-GCM where it was built in and the CPU has the instructions (same algorithm, same
 * bytes, a sixth of the time). No additional data: what must be authenticated besides the
 * plaintext is in the nonce (docs/protocol.md, "Type 4: data").
 *
 * An AeadKey is read-only after aead_key_init() and may be used by several threads at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/wire/handshake-payload.h"

#define AEAD_KEY_SIZE 32U
#define AEAD_NONCE_SIZE 12U
#define AEAD_TAG_SIZE 16U

typedef struct AeadKey AeadKey;

typedef struct AeadBackend {
        const char *name; /* "libsodium", "libipsec-mb" */
        Cipher cipher;
        bool (*is_available)(void);
        void (*key_init)(AeadKey *key, const uint8_t secret[static AEAD_KEY_SIZE]);
        /* Encrypts @n bytes from @in to @out (may be the same, else must not overlap) and
         * writes the tag behind them. */
        void (*seal)(const AeadKey *key,
                     const uint8_t nonce[static AEAD_NONCE_SIZE],
                     const uint8_t *in,
                     size_t n,
                     uint8_t *out);
        /* Decrypts @n bytes of ciphertext, followed by the tag, from @in to @out (may be the
         * same). Return: false if they are not authentic; @out is then not to be looked at. */
        bool (*open)(const AeadKey *key,
                     const uint8_t nonce[static AEAD_NONCE_SIZE],
                     const uint8_t *in,
                     size_t n,
                     uint8_t *out);
} AeadBackend;

/* Largest state of any backend; libipsec-mb's gcm_key_data. */
#define AEAD_STATE_SIZE 2048U

struct AeadKey {
        const AeadBackend *backend;
        uint8_t state[AEAD_STATE_SIZE] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

/* Once, before threads are started. */
int aead_setup(void);
/* Set of Cipher this machine is quick enough at; ChaCha20-Poly1305 is always in. */
unsigned aead_ciphers(void);
/* The one to use when both ends can do @ciphers: AES-256-GCM if in the set. */
Cipher aead_choose(unsigned ciphers);
const char *cipher_to_string(Cipher cipher);
/* Every backend built in, NULL-terminated, for tests and for `omerta status`. */
const AeadBackend *const *aead_backends(void);
/* The fastest available backend for @cipher; NULL if there is none. */
const AeadBackend *aead_backend_for(Cipher cipher);

void aead_key_init(AeadKey *key, const AeadBackend *backend, const uint8_t secret[static AEAD_KEY_SIZE]);
void aead_key_clear(AeadKey *key); /* wipes */

static inline void
aead_seal(const AeadKey *key,
          const uint8_t nonce[static AEAD_NONCE_SIZE],
          const uint8_t *in,
          size_t n,
          uint8_t *out) {
        key->backend->seal(key, nonce, in, n, out);
}
static inline bool
aead_open(const AeadKey *key,
          const uint8_t nonce[static AEAD_NONCE_SIZE],
          const uint8_t *in,
          size_t n,
          uint8_t *out) {
        return key->backend->open(key, nonce, in, n, out);
}
