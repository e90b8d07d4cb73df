/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "core/crypto/keypair.h"

/*
 * keypair_open() with fixed keys. Its input is, one after the other: length (2 bytes, LE), bytes
 * of a datagram. Bit 15 of the length says that what follows is plaintext, which the other end
 * seals first, with the first 10 bytes as flags, a byte unused and counter: so that the fuzzer
 * gets past the AEAD and at the replay window.
 */

#define NOW (1000 * USEC_PER_SEC)
#define SEALED 0x8000U
#define HEAD 10U

static uint8_t *seal(Keypair *from, const uint8_t *data, size_t n, size_t *ret_len) {
        uint8_t *message;

        if (n < HEAD)
                return NULL;
        *ret_len = n - HEAD + DATA_OVERHEAD;
        message = g_malloc(*ret_len);
        keypair_seal(from, read_le64(data + 2), data[0], data + HEAD, n - HEAD, message);
        return message;
}

static void open_one(Keypair *kp, Keypair *from, uint16_t head, const uint8_t *data, size_t n) {
        g_autofree uint8_t *message = NULL;
        uint8_t *plain = NULL;
        size_t len = n, plain_len = 0;
        uint64_t next = kp->replay.next;
        DropReason reason;

        message = head & SEALED ? seal(from, data, n, &len) : g_memdup2(data, n);
        if (head & SEALED && !message)
                return;
        reason = keypair_open(kp, message, len, NOW, &plain, &plain_len);
        if (reason == DROP_NONE) {
                if (!(head & SEALED))
                        abort(); /* nobody forges a tag */
                if (plain != message + DATA_HEADER_SIZE || plain_len != n - HEAD ||
                    (plain_len > 0 && memcmp(plain, data + HEAD, plain_len) != 0))
                        abort();
                /* The same again is a replay. */
                g_free(message);
                message = seal(from, data, n, &len);
                if (keypair_open(kp, message, len, NOW, &plain, &plain_len) != DROP_REPLAYED)
                        abort();
                return;
        }
        if (plain || kp->replay.next != next)
                abort();
        if (reason != DROP_MALFORMED && reason != (head & SEALED ? DROP_REPLAYED : DROP_NOT_AUTHENTIC))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t a_to_b[32] = { 1 }, b_to_a[32] = { 2 };
        Keypair *a, *b;

        if (aead_setup() < 0)
                abort();
        a = keypair_new(CIPHER_CHACHA20_POLY1305, a_to_b, b_to_a, true, NOW);
        b = keypair_new(CIPHER_CHACHA20_POLY1305, b_to_a, a_to_b, false, NOW);
        while (size >= 2) {
                uint16_t head = (uint16_t) (data[0] | data[1] << 8);
                size_t n = MIN((size_t) (head & ~SEALED), size - 2);

                open_one(b, a, head, data + 2, n);
                data += 2 + n;
                size -= 2 + n;
        }
        keypair_free(a);
        keypair_free(b);
        return 0;
}
