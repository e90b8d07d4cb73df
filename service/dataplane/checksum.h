/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Internet checksums (RFC 1071). Sums are kept as they lie in memory, so the same code serves
 * both byte orders: a field is a sum folded and stored with memcpy(), numbers are added with
 * csum_add_be16(), which brings them to memory order.
 */

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds @n bytes at @data to @sum. */
uint64_t csum_bytes(const void *data, size_t n, uint64_t sum);

static inline uint64_t csum_add_be16(uint64_t sum, uint16_t host_order) {
        return sum + htons(host_order);
}
static inline uint16_t csum_fold(uint64_t sum) {
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) sum;
}
static inline uint16_t csum_load(const uint8_t *field) {
        uint16_t v;

        memcpy(&v, field, sizeof v);
        return v;
}
/* What a checksum field holds that is left to hardware: the sum, not its complement. */
static inline void csum_store_partial(uint8_t *field, uint64_t sum) {
        uint16_t v = csum_fold(sum);

        memcpy(field, &v, sizeof v);
}
static inline void csum_store(uint8_t *field, uint64_t sum) {
        uint16_t v = (uint16_t) ~csum_fold(sum);

        memcpy(field, &v, sizeof v);
}
/* Of TCP and UDP: 0 would mean "no checksum" for UDP, and is the same number as 0xffff. */
static inline void csum_store_l4(uint8_t *field, uint64_t sum) {
        uint16_t v = (uint16_t) ~csum_fold(sum);

        if (v == 0)
                v = 0xffff;
        memcpy(field, &v, sizeof v);
}
