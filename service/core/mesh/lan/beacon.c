/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/lan/beacon.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"

/* docs/protocol.md, "Type 6": what is sealed. */
#define MACHINE_OFFSET 0U
#define LIFE_OFFSET 32U
#define STAMP_OFFSET 40U
#define PORT_OFFSET 48U
#define FLAGS_OFFSET 50U
#define ANSWERED_OFFSET 52U

#define FLAG_ASKS 0x01U
#define FLAG_ANSWERS 0x02U
#define FLAG_UNSURE 0x04U

static_assert(BEACON_SIZE == BEACON_SEALED_OFFSET + BEACON_PLAIN_SIZE + TAG_SIZE);
static_assert(BEACON_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(SECRET_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

Secret *beacon_derive_key(const NetworkId *network, const Secret *secret) {
        uint8_t key[KDF_HASH_SIZE];
        Secret *s;

        kdf_hash("omerta beacon", network, sizeof *network, secret_bytes(secret), SECRET_SIZE, key);
        s = secret_new(key);
        sodium_memzero(key, sizeof key);
        return s;
}

void beacon_seal(
                const Secret *key,
                const uint8_t nonce[static BEACON_NONCE_SIZE],
                const Beacon *beacon,
                uint8_t ret[static BEACON_SIZE]) {
        uint8_t plain[BEACON_PLAIN_SIZE] = {};

        memcpy(plain + MACHINE_OFFSET, &beacon->machine, sizeof beacon->machine);
        memcpy(plain + LIFE_OFFSET, beacon->life, sizeof beacon->life);
        write_le64(plain + STAMP_OFFSET, beacon->stamp);
        plain[PORT_OFFSET] = (uint8_t) beacon->port;
        plain[PORT_OFFSET + 1] = (uint8_t) (beacon->port >> 8);
        plain[FLAGS_OFFSET] =
                        (uint8_t) ((beacon->asks ? FLAG_ASKS : 0) |
                                   (beacon->answers ? FLAG_ANSWERS : 0) |
                                   (beacon->unsure ? FLAG_UNSURE : 0));
        memcpy(plain + ANSWERED_OFFSET, beacon->answered, sizeof beacon->answered);
        memset(ret, 0, BEACON_SIZE);
        ret[0] = MESSAGE_BEACON;
        memcpy(ret + BEACON_NONCE_OFFSET, nonce, BEACON_NONCE_SIZE);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
                        ret + BEACON_SEALED_OFFSET, NULL, plain, sizeof plain, ret,
                        BEACON_NONCE_OFFSET, NULL, nonce, secret_bytes(key));
        sodium_memzero(plain, sizeof plain);
}

DropReason beacon_open(const Secret *key, const uint8_t *data, size_t len, Beacon *ret) {
        uint8_t plain[BEACON_PLAIN_SIZE], flags;
        Beacon b = {};

        if (len != BEACON_SIZE || read_be32(data) != (uint32_t) MESSAGE_BEACON << 24)
                return DROP_MALFORMED;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                            plain, NULL, NULL, data + BEACON_SEALED_OFFSET,
                            BEACON_PLAIN_SIZE + TAG_SIZE, data, BEACON_NONCE_OFFSET,
                            data + BEACON_NONCE_OFFSET, secret_bytes(key)) != 0)
                return DROP_BEACON_FOREIGN;
        memcpy(&b.machine, plain + MACHINE_OFFSET, sizeof b.machine);
        memcpy(b.life, plain + LIFE_OFFSET, sizeof b.life);
        b.stamp = read_le64(plain + STAMP_OFFSET);
        b.port = (uint16_t) (plain[PORT_OFFSET] | plain[PORT_OFFSET + 1] << 8);
        memcpy(b.answered, plain + ANSWERED_OFFSET, sizeof b.answered);
        flags = plain[FLAGS_OFFSET];
        b.asks = flags & FLAG_ASKS;
        b.answers = flags & FLAG_ANSWERS;
        b.unsure = flags & FLAG_UNSURE;
        /* A member that answers what it was told by an answer would never end. */
        if (b.port == 0 || (b.asks && b.answers))
                return DROP_MALFORMED;
        *ret = b;
        return DROP_NONE;
}
