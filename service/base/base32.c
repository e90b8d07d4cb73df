/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base32.h"
#include "base/macros.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void base32_encode(const void *bytes, size_t n, char *text) {
        const uint8_t *b = bytes;
        uint32_t acc = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < n; i++) {
                acc = acc << 8 | b[i];
                bits += 8;
                while (bits >= 5) {
                        bits -= 5;
                        *text++ = alphabet[acc >> bits & 31];
                }
        }
        if (bits > 0)
                *text++ = alphabet[acc << (5 - bits) & 31];
        *text = '\0';
}

static int digit(char c) {
        if (c >= 'a' && c <= 'z')
                return c - 'a';
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= '2' && c <= '7')
                return c - '2' + 26;
        return -EINVAL;
}

int base32_decode(const char *text, size_t len, void *bytes, size_t max) {
        uint8_t *b = bytes;
        uint32_t acc = 0;
        unsigned bits = 0;
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                int d = digit(text[i]);

                if (d < 0)
                        return d;
                acc = acc << 5 | (uint32_t) d;
                bits += 5;
                if (bits >= 8) {
                        if (n >= max)
                                return -ENOBUFS;
                        bits -= 8;
                        b[n++] = (uint8_t) (acc >> bits);
                        acc &= (1U << bits) - 1;
                }
        }
        /* 5 or more bits left over, or set ones: not the text of whole bytes. */
        if (bits >= 5 || acc != 0)
                return -EINVAL;
        return (int) n;
}
