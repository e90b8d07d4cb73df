/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Noise_IKpsk2_25519_ChaChaPoly_SHA256 (Noise revision 34), exactly two messages. Primitives are
 * libsodium's; HKDF is section 4.3 of the specification on HMAC-SHA256. Nothing of omerta's
 * messages is known here: payloads and framing are handed in.
 *
 * Noise_IK (without psk) is there for the test vectors, which share the machinery.
 *
 * A read that fails leaves the state as it was: a forged message does not end a handshake. A
 * write that fails leaves a state that is only good for noise_clear(). Where a plaintext and
 * its ciphertext share a buffer they must start at the same byte, else not overlap.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_SIZE 32U
#define NOISE_HASH_SIZE 32U

typedef struct NoiseState {
        uint8_t h[NOISE_HASH_SIZE];
        uint8_t ck[NOISE_HASH_SIZE];
        uint8_t k[NOISE_KEY_SIZE];
        uint64_t n;
        bool has_key;
        bool is_initiator;
        bool with_psk;
        const uint8_t *s; /* our static key: borrowed, there is one of it */
        uint8_t s_public[32];
        uint8_t e[32], e_public[32]; /* our ephemeral key */
        uint8_t rs[32];              /* their static public key */
        uint8_t re[32];              /* their ephemeral public key */
} NoiseState;

/* Starts a handshake. @remote_static: the responder's key, for the initiator; NULL else.
 * @static_secret outlives @st. @ephemeral_secret: 32 fresh random bytes (a test vector's in tests). */
void noise_init(NoiseState *st,
                bool is_initiator,
                bool with_psk,
                const uint8_t *prologue,
                size_t prologue_len,
                const uint8_t static_secret[static 32],
                const uint8_t static_public[static 32],
                const uint8_t *remote_static,
                const uint8_t ephemeral_secret[static 32]);

/* Message 1: @out gets e (32) || s (48) || payload (n + 16).
 * Return: 0, or -EBADMSG if the remote key is of low order. */
int noise_write_initiation(NoiseState *st, const uint8_t *payload, size_t n, uint8_t *out);
/* @payload: len - 96 bytes; afterwards st->rs is the initiator's authentic static key.
 * Return: 0 or -EBADMSG. */
int noise_read_initiation(NoiseState *st, const uint8_t *in, size_t len, uint8_t *payload);

/* Message 2: @out gets e (32) || payload (n + 16). @psk: 32 bytes, ignored without psk.
 * Return: 0, or -EBADMSG if a key of the initiator is of low order. */
int noise_write_response(
                NoiseState *st,
                const uint8_t psk[static 32],
                const uint8_t *payload,
                size_t n,
                uint8_t *out);
/* @payload: len - 48 bytes. Return: 0 or -EBADMSG: not authentic, another psk. */
int noise_read_response(
                NoiseState *st,
                const uint8_t psk[static 32],
                const uint8_t *in,
                size_t len,
                uint8_t *payload);

/* Transport keys, in the caller's point of view. Wipes the state. */
void noise_split(NoiseState *st, uint8_t ret_send[static 32], uint8_t ret_receive[static 32]);
void noise_clear(NoiseState *st);

/* HKDF of the Noise specification: @n_out (1 to 3) outputs of 32 bytes. */
void noise_hkdf(const uint8_t ck[static 32],
                const uint8_t *input,
                size_t len,
                unsigned n_out,
                uint8_t out1[static 32],
                uint8_t *out2,
                uint8_t *out3);
