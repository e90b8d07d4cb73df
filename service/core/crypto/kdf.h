/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values derived with BLAKE2b from a label and public or secret parts, and TAI64N time stamps. */

#include "base/ip.h"
#include "base/machine-id.h"
#include "base/time.h"
#include "core/wire/handshake-payload.h"
#include "core/wire/invite.h"
#include "core/wire/messages.h"

#define KDF_HASH_SIZE 32U

/* BLAKE2b-256(@label || @a || @b); @label without its NUL. */
void kdf_hash(const char *label,
              const void *a,
              size_t len_a,
              const void *b,
              size_t len_b,
              uint8_t ret[static KDF_HASH_SIZE]);

/* docs/protocol.md, "Invites" */
void invite_derive(
                const NetworkId *network,
                const uint8_t token[static INVITE_TOKEN_SIZE],
                uint8_t ret_id[static INVITE_ID_SIZE],
                uint8_t ret_psk[static 32]);

/* docs/protocol.md, "Addresses": the /64 of the network, and a machine's address in it. */
IpPrefix ula_prefix(const NetworkId *network);
IpAddr ula_address(const NetworkId *network, const MachineId *machine);

/* TAI64N of a Unix time, big-endian, so that memcmp() orders them. */
void tai64n_encode(usec_t realtime, uint8_t ret[static TAI64N_SIZE]);
