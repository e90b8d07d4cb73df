/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Transport keys of one handshake, and sealing and opening data messages with them. This is
 * where the control thread and the packet thread meet:
 *
 *  - The control thread makes keypairs, publishes them (index-table.h for receiving, PacketPeer
 *    for sending) and retires them; memory goes only when no packet thread can still look at it
 *    (MeshEnv.retire).
 *  - Either thread may seal: counters come from one atomic add, so they never repeat.
 *  - Only one thread may open with a keypair (the replay window is not atomic): the packet
 *    thread in the daemon, the only thread there is in the simulator.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/drop-reason.h"
#include "base/macros.h"
#include "base/time.h"
#include "core/crypto/aead.h"
#include "core/crypto/replay.h"
#include "core/wire/messages.h"

/* docs/protocol.md, "Timers" */
#define REKEY_AFTER_TIME (120 * USEC_PER_SEC)
#define REJECT_AFTER_TIME (180 * USEC_PER_SEC)
#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REKEY_TIMEOUT_MIN (500 * USEC_PER_MSEC)
#define REKEY_TIMEOUT_MAX (5 * USEC_PER_SEC)
#define REKEY_ATTEMPT_TIME (90 * USEC_PER_SEC)

struct PacketPeer; /* core/mesh/link/packet-peer.h */
/* Whose keys they are is for core/mesh alone to look into; for all others a name to compare. */
struct Mesh;
struct Link;

typedef struct Keypair {
        AeadKey send, receive;
        _Atomic uint64_t send_counter; /* the next one */
        ReplayWindow replay;
        uint32_t local_index; /* what they address us by */
        uint32_t remote_index;
        usec_t created; /* monotonic */
        bool is_initiator;
        /* Set by the receiving thread with the first authentic message: the other side has
         * these keys too (key confirmation). */
        _Atomic bool confirmed;
        _Atomic usec_t last_received; /* any authentic message, keepalives too */
        /* Bytes received with these keys that wait for the control thread; counted here where there
         * is no peer. */
        _Atomic uint32_t waiting;
        struct PacketPeer *peer; /* whose keys; NULL on a link that only enrols */
        struct Mesh *mesh;       /* whose keypair; control thread */
        struct Link *link;       /* NULL: retired; control thread */
} Keypair;

/**
 * keypair_new() - keys from a finished handshake
 * @send, @receive: 32 bytes each; the caller wipes them
 * Return: keypair, aligned for the AEAD; freed by keypair_free(), which wipes it. NULL if @cipher
 * is none of aead_ciphers(): the other side chose what we did not offer.
 */
Keypair *
keypair_new(Cipher cipher,
            const uint8_t send[static 32],
            const uint8_t receive[static 32],
            bool is_initiator,
            usec_t now);
void keypair_free(Keypair *kp);

/* Reserves @n counters for messages about to be sealed.
 * Return: true and the first; false when the key is used up (REJECT_AFTER_MESSAGES). */
bool keypair_reserve(Keypair *kp, uint64_t n, uint64_t *ret_first);

/**
 * keypair_seal() - one data message
 * @counter: from keypair_reserve()
 * @in, @n: plaintext; may be anywhere, or already at @out + DATA_HEADER_SIZE
 * @out: DATA_OVERHEAD + @n bytes
 */
static inline void
keypair_seal(Keypair *kp, uint64_t counter, uint8_t flags, const uint8_t *in, size_t n, uint8_t *out) {
        uint8_t nonce[AEAD_NONCE_SIZE] = { MESSAGE_DATA, flags };

        write_le64(nonce + 4, counter);
        out[0] = MESSAGE_DATA;
        out[1] = flags;
        out[2] = out[3] = 0;
        write_le32(out + DATA_RECEIVER_OFFSET, kp->remote_index);
        write_le64(out + DATA_COUNTER_OFFSET, counter);
        aead_seal(&kp->send, nonce, in, n, out + DATA_HEADER_SIZE);
}

/**
 * keypair_open() - one data message, decrypted in place
 * @message, @len: the whole datagram, type 4, whose receiver index found @kp
 * @now: monotonic
 * @ret_plain: where the plaintext starts, inside @message
 *
 * Checks length, flags, age of the key, authenticity, replay, in this order.
 * Return: DROP_NONE, or why not.
 */
DropReason
keypair_open(Keypair *kp, uint8_t *message, size_t len, usec_t now, uint8_t **ret_plain, size_t *ret_len);
