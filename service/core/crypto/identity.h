/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secret keys: of a machine, of a network's root. They live in locked memory (sodium_malloc),
 * are wiped when freed and have no text form.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/machine-id.h"
#include "core/wire/record.h"

typedef struct Identity {
        MachineId id;              /* Ed25519 public key */
        uint8_t sign_secret[64];   /* Ed25519, libsodium's form */
        uint8_t static_secret[32]; /* X25519 */
        uint8_t static_public[32];
} Identity;

#define IDENTITY_SEED_SIZE 32U

/* @seed: 32 secret random bytes, which the caller wipes; the key file holds them. What comes back
 * is read-only memory. Return: 0, or -ENOMEM: memory of this kind is scarce. */
int identity_new(const uint8_t seed[static IDENTITY_SEED_SIZE], Identity **ret);
Identity *identity_free(Identity *i);
static inline void identity_freep(Identity **i) {
        identity_free(*i);
}

/* X25519 form of somebody's id. Return: 0, or -EINVAL if it is not a point of the right order. */
int machine_id_to_static(const MachineId *id, uint8_t ret[static 32]);

/* Ed25519 over @context || 0 || @data; @context is ASCII. */
void identity_sign(
                const Identity *i,
                const char *context,
                const uint8_t *data,
                size_t len,
                uint8_t ret[static 64]);
/* Return: 0, or -EBADMSG. */
int signature_verify(
                const MachineId *signer,
                const char *context,
                const uint8_t *data,
                size_t len,
                const uint8_t signature[static 64]);

/**
 * identity_sign_record() - encode and sign @body
 * Return: 0 and a record with one reference, or -EINVAL if a field is out of bounds.
 */
int identity_sign_record(const Identity *i, const NetworkId *network, const RecordBody *body, Record **ret);
/* Only that the signature is @r->signer's; whether it may sign is trust_verify_record()'s.
 * Return: 0, or -EBADMSG. */
int record_verify_signature(const Record *r, const NetworkId *network);
