/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/identity.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"

static_assert(sizeof(MachineId) == crypto_sign_PUBLICKEYBYTES, "Ed25519");
static_assert(sizeof(((Identity *) NULL)->sign_secret) == crypto_sign_SECRETKEYBYTES, "Ed25519");
static_assert(IDENTITY_SEED_SIZE == crypto_sign_SEEDBYTES, "Ed25519");

/* docs/protocol.md, "Signed records" */
#define RECORD_CONTEXT "omerta record v1"

int identity_new(const uint8_t seed[static IDENTITY_SEED_SIZE], Identity **ret) {
        _cleanup_(identity_freep) Identity *i = sodium_malloc(sizeof *i);

        if (!i)
                return -ENOMEM;
        crypto_sign_seed_keypair(i->id.bytes, i->sign_secret, seed);
        crypto_sign_ed25519_sk_to_curve25519(i->static_secret, i->sign_secret);
        crypto_scalarmult_base(i->static_public, i->static_secret);
        sodium_mprotect_readonly(i);
        *ret = TAKE_PTR(i);
        return 0;
}

Identity *identity_free(Identity *i) {
        sodium_free(i); /* wipes */
        return NULL;
}

int machine_id_to_static(const MachineId *id, uint8_t ret[static 32]) {
        uint8_t point[32];

        /* libsodium checks: on the curve, in the main subgroup, not of low order. */
        if (crypto_sign_ed25519_pk_to_curve25519(point, id->bytes) != 0)
                return -EINVAL;
        memcpy(ret, point, sizeof point);
        return 0;
}

/* @context || 0 || @data. The 0 keeps contexts apart of which one begins with another. */
static GByteArray *signed_bytes(const char *context, const uint8_t *data, size_t len) {
        size_t n = strlen(context) + 1;
        GByteArray *all = g_byte_array_sized_new((unsigned) (n + len));

        g_byte_array_append(all, (const uint8_t *) context, (unsigned) n);
        g_byte_array_append(all, data, (unsigned) len);
        return all;
}

void identity_sign(
                const Identity *i,
                const char *context,
                const uint8_t *data,
                size_t len,
                uint8_t ret[static 64]) {
        g_autoptr(GByteArray) all = signed_bytes(context, data, len);

        crypto_sign_detached(ret, NULL, all->data, all->len, i->sign_secret);
}

int signature_verify(
                const MachineId *signer,
                const char *context,
                const uint8_t *data,
                size_t len,
                const uint8_t signature[static 64]) {
        g_autoptr(GByteArray) all = signed_bytes(context, data, len);

        if (crypto_sign_verify_detached(signature, all->data, all->len, signer->bytes) != 0)
                return -EBADMSG;
        return 0;
}

/* kind || network id || body */
static GByteArray *record_data(RecordKind kind, const NetworkId *network, GBytes *body) {
        GByteArray *all = g_byte_array_sized_new(RECORD_MAX);
        uint8_t kind_byte = (uint8_t) kind;

        g_byte_array_append(all, &kind_byte, 1);
        g_byte_array_append(all, network->bytes, sizeof network->bytes);
        g_byte_array_append(all, g_bytes_get_data(body, NULL), (unsigned) g_bytes_get_size(body));
        return all;
}

int identity_sign_record(const Identity *i, const NetworkId *network, const RecordBody *body, Record **ret) {
        g_autoptr(GBytes) encoded = record_body_encode(body);
        g_autoptr(GByteArray) data = NULL;
        uint8_t signature[64];

        if (!encoded)
                return -EINVAL;
        data = record_data(body->kind, network, encoded);
        identity_sign(i, RECORD_CONTEXT, data->data, data->len, signature);
        /* What does not decode again, or not fit into RECORD_MAX, was out of bounds. */
        return record_new(body->kind, encoded, &i->id, signature, ret) < 0 ? -EINVAL : 0;
}

int record_verify_signature(const Record *r, const NetworkId *network) {
        g_autoptr(GByteArray) data = record_data(r->body.kind, network, r->encoded_body);

        return signature_verify(&r->signer, RECORD_CONTEXT, data->data, data->len, r->signature);
}
