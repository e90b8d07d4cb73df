/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/noise.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"

/*
 * Theory of operation. The names are those of the specification, revision 34:
 *
 *      IKpsk2:
 *        <- s
 *        ...
 *        -> e, es, s, ss
 *        <- e, ee, se, psk
 *
 * Every token changes the running hash h and, where it brings key material, the chaining key ck;
 * a payload is encrypted under the key that stands at that moment with h as additional data, so
 * that each message authenticates all that went before. In a handshake with a psk the ephemeral
 * keys go into ck too (section 9.2), so that the first key is fresh even if the psk is known.
 *
 * Reading works on a copy of the state, which replaces the original only when the message was
 * authentic: a forged answer must not end a handshake that is under way.
 */

static_assert(NOISE_KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "key");
static_assert(NOISE_HASH_SIZE == crypto_hash_sha256_BYTES, "hash");
static_assert(NOISE_HASH_SIZE == crypto_auth_hmacsha256_KEYBYTES, "ck is an HMAC key");
static_assert(crypto_scalarmult_BYTES == 32 && crypto_scalarmult_SCALARBYTES == 32, "X25519");

#define DH_SIZE 32U
#define NOISE_TAG_SIZE crypto_aead_chacha20poly1305_ietf_ABYTES
#define SEALED_STATIC_SIZE (DH_SIZE + NOISE_TAG_SIZE)

static const char protocol_ik[] = "Noise_IK_25519_ChaChaPoly_SHA256";
static const char protocol_ikpsk2[] = "Noise_IKpsk2_25519_ChaChaPoly_SHA256";

void noise_clear(NoiseState *st) {
        sodium_memzero(st, sizeof *st);
}

/* Section 4.3. */
void noise_hkdf(const uint8_t ck[static 32],
                const uint8_t *input,
                size_t len,
                unsigned n_out,
                uint8_t out1[static 32],
                uint8_t *out2,
                uint8_t *out3) {
        uint8_t temp[NOISE_HASH_SIZE], block[NOISE_HASH_SIZE + 1];
        uint8_t *outs[] = { out1, out2, out3 };
        size_t block_len = 0;

        assert(n_out >= 1 && n_out <= ELEMENTSOF(outs));
        crypto_auth_hmacsha256(temp, input, len, ck);
        for (unsigned i = 0; i < n_out; i++) {
                block[block_len] = (uint8_t) (i + 1);
                crypto_auth_hmacsha256(outs[i], block, block_len + 1, temp);
                memcpy(block, outs[i], NOISE_HASH_SIZE);
                block_len = NOISE_HASH_SIZE;
        }
        sodium_memzero(temp, sizeof temp);
        sodium_memzero(block, sizeof block);
}

static void mix_hash(NoiseState *st, const uint8_t *data, size_t len) {
        crypto_hash_sha256_state hash;

        crypto_hash_sha256_init(&hash);
        crypto_hash_sha256_update(&hash, st->h, sizeof st->h);
        crypto_hash_sha256_update(&hash, data, len);
        crypto_hash_sha256_final(&hash, st->h);
}

static void mix_key(NoiseState *st, const uint8_t *input, size_t len) {
        uint8_t ck[NOISE_HASH_SIZE];

        noise_hkdf(st->ck, input, len, 2, ck, st->k, NULL);
        memcpy(st->ck, ck, sizeof ck);
        st->has_key = true;
        st->n = 0;
        sodium_memzero(ck, sizeof ck);
}

static void mix_key_and_hash(NoiseState *st, const uint8_t psk[static 32]) {
        uint8_t ck[NOISE_HASH_SIZE], h[NOISE_HASH_SIZE];

        noise_hkdf(st->ck, psk, 32, 3, ck, h, st->k);
        memcpy(st->ck, ck, sizeof ck);
        mix_hash(st, h, sizeof h);
        st->has_key = true;
        st->n = 0;
        sodium_memzero(ck, sizeof ck);
        sodium_memzero(h, sizeof h);
}

/* Token "e", the same for who writes and who reads it. */
static void mix_ephemeral(NoiseState *st, const uint8_t e[static DH_SIZE]) {
        mix_hash(st, e, DH_SIZE);
        if (st->with_psk)
                mix_key(st, e, DH_SIZE);
}

/* Tokens "ee", "es", "se", "ss". libsodium refuses a result of zeros, which is what points of low
 * order give: the key would be known to everybody. */
static int
mix_dh(NoiseState *st, const uint8_t secret[static DH_SIZE], const uint8_t public[static DH_SIZE]) {
        uint8_t shared[DH_SIZE];
        int r = 0;

        if (crypto_scalarmult(shared, secret, public) != 0)
                r = -EBADMSG;
        else
                mix_key(st, shared, sizeof shared);
        sodium_memzero(shared, sizeof shared);
        return r;
}

/* Section 5.1 and 12.3: 32 bits of zeros, then n, little-endian. */
static void
take_nonce(NoiseState *st, uint8_t ret[static crypto_aead_chacha20poly1305_ietf_NPUBBYTES]) {
        memset(ret, 0, 4);
        write_le64(ret + 4, st->n++);
}

static void encrypt_and_hash(NoiseState *st, const uint8_t *plain, size_t n, uint8_t *out) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

        assert(st->has_key); /* nothing is sent in the clear in this pattern */
        take_nonce(st, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(
                        out, NULL, plain, n, st->h, sizeof st->h, NULL, nonce, st->k);
        mix_hash(st, out, n + NOISE_TAG_SIZE);
}

static int decrypt_and_hash(NoiseState *st, const uint8_t *in, size_t len, uint8_t *plain) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], h[NOISE_HASH_SIZE];

        assert(st->has_key);
        /* The ciphertext is hashed first: @plain may be @in. */
        memcpy(h, st->h, sizeof h);
        mix_hash(st, in, len);
        take_nonce(st, nonce);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(
                            plain, NULL, NULL, in, len, h, sizeof h, nonce, st->k) != 0)
                return -EBADMSG;
        return 0;
}

void noise_init(NoiseState *st,
                bool is_initiator,
                bool with_psk,
                const uint8_t *prologue,
                size_t prologue_len,
                const uint8_t static_secret[static 32],
                const uint8_t static_public[static 32],
                const uint8_t *remote_static,
                const uint8_t ephemeral_secret[static 32]) {
        const char *protocol = with_psk ? protocol_ikpsk2 : protocol_ik;
        size_t n = strlen(protocol);

        assert(is_initiator == (remote_static != NULL));
        *st = (NoiseState){ .is_initiator = is_initiator, .with_psk = with_psk };
        st->s = static_secret;
        memcpy(st->s_public, static_public, sizeof st->s_public);
        memcpy(st->e, ephemeral_secret, sizeof st->e);
        crypto_scalarmult_base(st->e_public, st->e);
        if (is_initiator)
                memcpy(st->rs, remote_static, sizeof st->rs);

        /* Section 5.2: a name of at most 32 bytes stands for itself. */
        if (n <= NOISE_HASH_SIZE)
                memcpy(st->h, protocol, n);
        else
                crypto_hash_sha256(st->h, (const uint8_t *) protocol, n);
        memcpy(st->ck, st->h, sizeof st->ck);
        mix_hash(st, prologue, prologue_len);
        mix_hash(st, is_initiator ? st->rs : st->s_public, DH_SIZE);
}

int noise_write_initiation(NoiseState *st, const uint8_t *payload, size_t n, uint8_t *out) {
        int r;

        assert(st->is_initiator);
        memcpy(out, st->e_public, DH_SIZE);
        mix_ephemeral(st, st->e_public);
        r = mix_dh(st, st->e, st->rs);
        if (r < 0)
                return r;
        encrypt_and_hash(st, st->s_public, DH_SIZE, out + DH_SIZE);
        r = mix_dh(st, st->s, st->rs);
        if (r < 0)
                return r;
        encrypt_and_hash(st, payload, n, out + DH_SIZE + SEALED_STATIC_SIZE);
        return 0;
}

static int read_initiation(NoiseState *st, const uint8_t *in, size_t len, uint8_t *payload) {
        int r;

        memcpy(st->re, in, DH_SIZE);
        mix_ephemeral(st, st->re);
        r = mix_dh(st, st->s, st->re);
        if (r < 0)
                return r;
        r = decrypt_and_hash(st, in + DH_SIZE, SEALED_STATIC_SIZE, st->rs);
        if (r < 0)
                return r;
        r = mix_dh(st, st->s, st->rs);
        if (r < 0)
                return r;
        in += DH_SIZE + SEALED_STATIC_SIZE;
        len -= DH_SIZE + SEALED_STATIC_SIZE;
        return decrypt_and_hash(st, in, len, payload);
}

int noise_read_initiation(NoiseState *st, const uint8_t *in, size_t len, uint8_t *payload) {
        _cleanup_(noise_clear) NoiseState next = *st;
        int r;

        assert(!st->is_initiator);
        if (len < DH_SIZE + SEALED_STATIC_SIZE + NOISE_TAG_SIZE)
                return -EBADMSG;
        r = read_initiation(&next, in, len, payload);
        if (r < 0)
                return r;
        *st = next;
        return 0;
}

int noise_write_response(
                NoiseState *st,
                const uint8_t psk[static 32],
                const uint8_t *payload,
                size_t n,
                uint8_t *out) {
        int r;

        assert(!st->is_initiator);
        memcpy(out, st->e_public, DH_SIZE);
        mix_ephemeral(st, st->e_public);
        r = mix_dh(st, st->e, st->re);
        if (r < 0)
                return r;
        r = mix_dh(st, st->e, st->rs);
        if (r < 0)
                return r;
        if (st->with_psk)
                mix_key_and_hash(st, psk);
        encrypt_and_hash(st, payload, n, out + DH_SIZE);
        return 0;
}

static int
read_response(NoiseState *st,
              const uint8_t psk[static 32],
              const uint8_t *in,
              size_t len,
              uint8_t *payload) {
        int r;

        memcpy(st->re, in, DH_SIZE);
        mix_ephemeral(st, st->re);
        r = mix_dh(st, st->e, st->re);
        if (r < 0)
                return r;
        r = mix_dh(st, st->s, st->re);
        if (r < 0)
                return r;
        if (st->with_psk)
                mix_key_and_hash(st, psk);
        return decrypt_and_hash(st, in + DH_SIZE, len - DH_SIZE, payload);
}

int noise_read_response(
                NoiseState *st,
                const uint8_t psk[static 32],
                const uint8_t *in,
                size_t len,
                uint8_t *payload) {
        _cleanup_(noise_clear) NoiseState next = *st;
        int r;

        assert(st->is_initiator);
        if (len < DH_SIZE + NOISE_TAG_SIZE)
                return -EBADMSG;
        r = read_response(&next, psk, in, len, payload);
        if (r < 0)
                return r;
        *st = next;
        return 0;
}

void noise_split(NoiseState *st, uint8_t ret_send[static 32], uint8_t ret_receive[static 32]) {
        /* The first key is the initiator's sending key (section 5.2). */
        if (st->is_initiator)
                noise_hkdf(st->ck, NULL, 0, 2, ret_send, ret_receive, NULL);
        else
                noise_hkdf(st->ck, NULL, 0, 2, ret_receive, ret_send, NULL);
        noise_clear(st);
}
