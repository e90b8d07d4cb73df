/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/checksum.h"

uint64_t csum_bytes(const void *data, size_t n, uint64_t sum) {
        const uint8_t *p = data;
        uint64_t a = 0, b = 0;
        uint32_t w[4];

        /* 32-bit words into 64-bit sums cannot overflow before 2^32 of them; two sums, because
         * one addition would wait for the other. */
        for (; n >= sizeof w; n -= sizeof w, p += sizeof w) {
                memcpy(w, p, sizeof w);
                a += (uint64_t) w[0] + w[1];
                b += (uint64_t) w[2] + w[3];
        }
        for (; n >= 4; n -= 4, p += 4) {
                memcpy(w, p, 4);
                a += w[0];
        }
        if (n > 0) {
                /* The odd byte is the first of a pair whose second is 0. */
                w[0] = 0;
                memcpy(w, p, n);
                b += w[0];
        }
        /* Folded to 33 bits each, so that callers can go on adding for as long as they like. */
        a = (a & 0xffffffff) + (a >> 32);
        b = (b & 0xffffffff) + (b >> 32);
        return sum + a + b;
}
