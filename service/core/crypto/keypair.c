/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/keypair.h"

#include <sodium.h>
#include <string.h>

Keypair *
keypair_new(Cipher cipher,
            const uint8_t send[static 32],
            const uint8_t receive[static 32],
            bool is_initiator,
            usec_t now) {
        const AeadBackend *backend = aead_backend_for(cipher);
        Keypair *kp;

        if (!backend)
                return NULL;
        kp = g_aligned_alloc0(1, sizeof *kp, _Alignof(Keypair));
        aead_key_init(&kp->send, backend, send);
        aead_key_init(&kp->receive, backend, receive);
        kp->is_initiator = is_initiator;
        kp->created = now;
        return kp;
}

void keypair_free(Keypair *kp) {
        if (!kp)
                return;
        sodium_memzero(kp, sizeof *kp);
        g_aligned_free(kp);
}

bool keypair_reserve(Keypair *kp, uint64_t n, uint64_t *ret_first) {
        uint64_t first = atomic_load_explicit(&kp->send_counter, memory_order_relaxed);

        /* Compare and exchange, not add: adds that come too late would at last wrap around to
         * counters already used. Alone on the line it costs the same. Nothing else is ordered by
         * the counter, so relaxed is enough. */
        do {
                if (first >= REJECT_AFTER_MESSAGES || n > REJECT_AFTER_MESSAGES - first)
                        return false;
        } while (!atomic_compare_exchange_weak_explicit(
                        &kp->send_counter, &first, first + n, memory_order_relaxed,
                        memory_order_relaxed));
        *ret_first = first;
        return true;
}

DropReason
keypair_open(Keypair *kp, uint8_t *message, size_t len, usec_t now, uint8_t **ret_plain, size_t *ret_len) {
        uint8_t nonce[AEAD_NONCE_SIZE];
        size_t n;

        /* docs/protocol.md, "Type 4: data" */
        if (len < DATA_OVERHEAD || message[0] != MESSAGE_DATA ||
            (message[DATA_FLAGS_OFFSET] & ~DATA_FLAGS_KNOWN) != 0 || message[2] != 0 ||
            message[3] != 0)
                return DROP_MALFORMED;
        if (usec_sub(now, kp->created) >= REJECT_AFTER_TIME)
                return DROP_KEYPAIR_EXPIRED;
        n = len - DATA_OVERHEAD;
        memcpy(nonce, message, 4);
        memcpy(nonce + 4, message + DATA_COUNTER_OFFSET, 8);
        if (!aead_open(&kp->receive, nonce, message + DATA_HEADER_SIZE, n, message + DATA_HEADER_SIZE))
                return DROP_NOT_AUTHENTIC;
        if (!replay_check_and_update(&kp->replay, read_le64(message + DATA_COUNTER_OFFSET)))
                return DROP_REPLAYED;
        /* Looked at first, so that the line stays shared with the thread that reads it. */
        if (!atomic_load_explicit(&kp->confirmed, memory_order_relaxed))
                atomic_store_explicit(&kp->confirmed, true, memory_order_release);
        atomic_store_explicit(&kp->last_received, now, memory_order_relaxed);
        *ret_plain = message + DATA_HEADER_SIZE;
        *ret_len = n;
        return DROP_NONE;
}
