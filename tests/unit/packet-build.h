/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* TCP and UDP packets made field by field from a description, with checksums summed the slow way
 * of RFC 1071: the twin that the packet path is compared with. Shares no code with it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "netif/netif.h"

#define BUILD_MAX 66000U

typedef enum BuildCsum {
        BUILD_FULL,
        BUILD_PARTIAL, /* pseudo header only, as a kernel leaves it */
        BUILD_ZERO,
} BuildCsum;

typedef struct Build {
        bool v6, udp;
        uint32_t source, destination; /* IPv4; for IPv6 the last 4 bytes behind fd00:: */
        uint16_t sport, dport;
        uint8_t tos, ttl;
        uint16_t id;
        bool df;
        uint32_t flow_label;
        size_t ip_options; /* bytes: IPv4 options (NOP), or one IPv6 destination options header */
        uint32_t seq, ack;
        uint8_t flags;
        uint16_t window, urgent;
        size_t tcp_options; /* bytes, filled with a pattern */
        const uint8_t *payload;
        size_t payload_len;
        BuildCsum csum;
} Build;

static inline void build16(uint8_t *p, unsigned v) {
        p[0] = (uint8_t) (v >> 8);
        p[1] = (uint8_t) v;
}
static inline void build32(uint8_t *p, uint32_t v) {
        build16(p, v >> 16);
        build16(p + 2, v & 0xffff);
}
/* RFC 1071 word by word, carries folded at once. */
static inline uint16_t slow_sum(const uint8_t *p, size_t n, uint16_t start) {
        uint32_t sum = start;

        for (size_t i = 0; i < n; i++) {
                sum += i % 2 == 0 ? (uint32_t) p[i] << 8 : p[i];
                sum = (sum & 0xffff) + (sum >> 16);
        }
        return (uint16_t) sum;
}

static inline void build_address6(uint8_t *p, uint32_t last) {
        memset(p, 0, 16);
        p[0] = 0xfd;
        build32(p + 12, last);
}

static inline size_t build_header_len(const Build *b) {
        return (b->v6 ? 40U : 20U) + b->ip_options + (b->udp ? 8U : 20U + b->tcp_options);
}

/* Return: length of the packet at @out. */
static inline size_t build_packet(const Build *b, uint8_t *out) {
        size_t ip = (b->v6 ? 40U : 20U) + b->ip_options, header = build_header_len(b);
        size_t total = header + b->payload_len, l4_len = total - ip;
        uint8_t *l4 = out + ip, pseudo[40] = {}, protocol = b->udp ? 17 : 6;
        uint8_t *field = l4 + (b->udp ? 6 : 16);
        uint16_t sum;

        memset(out, 0, header);
        memcpy(out + header, b->payload, b->payload_len);
        if (b->v6) {
                build32(out, 0x60000000U | (uint32_t) b->tos << 20 | b->flow_label);
                build16(out + 4, (unsigned) (total - 40));
                out[6] = b->ip_options > 0 ? 60 : protocol;
                out[7] = b->ttl;
                build_address6(out + 8, b->source);
                build_address6(out + 24, b->destination);
                if (b->ip_options > 0) {
                        out[40] = protocol;
                        out[41] = (uint8_t) (b->ip_options / 8 - 1);
                        out[42] = 1; /* PadN */
                        out[43] = (uint8_t) (b->ip_options - 4);
                }
                memcpy(pseudo, out + 8, 32);
                build32(pseudo + 32, (uint32_t) l4_len);
                pseudo[39] = protocol;
                sum = slow_sum(pseudo, 40, 0);
        } else {
                out[0] = (uint8_t) (0x40 | ip / 4);
                out[1] = b->tos;
                build16(out + 2, (unsigned) total);
                build16(out + 4, b->id);
                build16(out + 6, b->df ? 0x4000 : 0);
                out[8] = b->ttl;
                out[9] = protocol;
                build32(out + 12, b->source);
                build32(out + 16, b->destination);
                memset(out + 20, 1, b->ip_options); /* NOP */
                build16(out + 10, (uint16_t) ~slow_sum(out, ip, 0));
                memcpy(pseudo, out + 12, 8);
                pseudo[9] = protocol;
                build16(pseudo + 10, (unsigned) l4_len);
                sum = slow_sum(pseudo, 12, 0);
        }
        build16(l4, b->sport);
        build16(l4 + 2, b->dport);
        if (b->udp)
                build16(l4 + 4, (unsigned) l4_len);
        else {
                build32(l4 + 4, b->seq);
                build32(l4 + 8, b->ack);
                l4[12] = (uint8_t) ((20 + b->tcp_options) / 4 << 4);
                l4[13] = b->flags;
                build16(l4 + 14, b->window);
                build16(l4 + 18, b->urgent);
                for (size_t i = 0; i < b->tcp_options; i++)
                        l4[20 + i] = (uint8_t) (i + 3);
        }
        if (b->csum == BUILD_PARTIAL)
                build16(field, sum);
        else if (b->csum == BUILD_FULL) {
                sum = (uint16_t) ~slow_sum(l4, l4_len, sum);
                build16(field, sum == 0 ? 0xffff : sum);
        }
        return total;
}

/* What a kernel says about a packet with BUILD_PARTIAL; @gso_size 0: no super-packet. */
static inline OffloadInfo build_offload(const Build *b, size_t gso_size) {
        OffloadInfo o = { .needs_csum = true, .gso_size = (uint16_t) gso_size };

        o.csum_start = (uint16_t) ((b->v6 ? 40 : 20) + b->ip_options);
        o.csum_offset = b->udp ? 6 : 16;
        if (gso_size > 0) {
                o.gso_type = b->udp ? GSO_UDP : b->v6 ? GSO_TCPV6 : GSO_TCPV4;
                o.hdr_len = (uint16_t) build_header_len(b);
        }
        return o;
}

/* The @i-th packet of @gso_size that the super-packet @whole is cut into. */
static inline Build build_segment(const Build *whole, size_t gso_size, size_t i) {
        size_t at = i * gso_size;
        bool last = at + gso_size >= whole->payload_len;
        Build b = *whole;

        b.id = (uint16_t) (whole->id + i);
        b.seq = whole->seq + (uint32_t) at;
        b.payload = whole->payload + at;
        b.payload_len = last ? whole->payload_len - at : gso_size;
        if (!last)
                b.flags &= (uint8_t) ~0x09; /* FIN, PSH */
        if (i > 0)
                b.flags &= (uint8_t) ~0x80; /* CWR */
        return b;
}
