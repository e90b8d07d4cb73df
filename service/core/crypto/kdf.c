/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/kdf.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"

void kdf_hash(const char *label,
              const void *a,
              size_t len_a,
              const void *b,
              size_t len_b,
              uint8_t ret[static KDF_HASH_SIZE]) {
        crypto_generichash_state hash;

        crypto_generichash_init(&hash, NULL, 0, KDF_HASH_SIZE);
        crypto_generichash_update(&hash, (const uint8_t *) label, strlen(label));
        crypto_generichash_update(&hash, a, len_a);
        if (len_b > 0)
                crypto_generichash_update(&hash, b, len_b);
        crypto_generichash_final(&hash, ret, KDF_HASH_SIZE);
        sodium_memzero(&hash, sizeof hash);
}

void invite_derive(
                const NetworkId *network,
                const uint8_t token[static INVITE_TOKEN_SIZE],
                uint8_t ret_id[static INVITE_ID_SIZE],
                uint8_t ret_psk[static 32]) {
        uint8_t id[KDF_HASH_SIZE];

        kdf_hash("omerta invite id", network, sizeof *network, token, INVITE_TOKEN_SIZE, id);
        memcpy(ret_id, id, INVITE_ID_SIZE);
        kdf_hash("omerta invite psk", network, sizeof *network, token, INVITE_TOKEN_SIZE, ret_psk);
}

IpPrefix ula_prefix(const NetworkId *network) {
        IpPrefix p = { .addr = { .family = AF_INET6, .bytes = { 0xfd } }, .len = 64 };
        uint8_t hash[KDF_HASH_SIZE];

        kdf_hash("omerta ula", network, sizeof *network, NULL, 0, hash);
        memcpy(p.addr.bytes + 1, hash, 5); /* the 40 bits of RFC 4193 section 3.1; then subnet 0 */
        return p;
}

IpAddr ula_address(const NetworkId *network, const MachineId *machine) {
        IpAddr a = ula_prefix(network).addr;
        uint8_t hash[KDF_HASH_SIZE];

        kdf_hash("omerta ula host", machine, sizeof *machine, NULL, 0, hash);
        memcpy(a.bytes + 8, hash, 8);
        return a;
}

void tai64n_encode(usec_t realtime, uint8_t ret[static TAI64N_SIZE]) {
        /* TAI64 counts from 2^62; TAI was 10 s ahead of UTC in 1970. Leap seconds since are left
         * out, as everybody does: only the order matters. */
        write_be64(ret, (UINT64_C(1) << 62) + 10 + realtime / USEC_PER_SEC);
        write_be32(ret + 8, (uint32_t) (realtime % USEC_PER_SEC * NSEC_PER_USEC));
}
