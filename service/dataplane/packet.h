/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looking at IP packets. Offsets are bytes from the IP header; nothing is ever cast to a struct,
 * and nothing is believed before it was compared with the length.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define IPV4_HEADER_MIN 20U
#define IPV6_HEADER_SIZE 40U
#define UDP_HEADER_SIZE 8U
#define TCP_HEADER_MIN 20U

/* RFC 791 */
#define IPV4_TOS_OFFSET 1U
#define IPV4_LENGTH_OFFSET 2U
#define IPV4_ID_OFFSET 4U
#define IPV4_FRAGMENT_OFFSET 6U
#define IPV4_FRAGMENT_DF 0x4000U
#define IPV4_FRAGMENT_MASK 0x3fffU /* MF and offset: not a whole packet */
#define IPV4_TTL_OFFSET 8U
#define IPV4_PROTOCOL_OFFSET 9U
#define IPV4_CSUM_OFFSET 10U
#define IPV4_SOURCE_OFFSET 12U
#define IPV4_DESTINATION_OFFSET 16U
/* RFC 8200 */
#define IPV6_LENGTH_OFFSET 4U
#define IPV6_NEXT_HEADER_OFFSET 6U
#define IPV6_HOP_LIMIT_OFFSET 7U
#define IPV6_SOURCE_OFFSET 8U
#define IPV6_DESTINATION_OFFSET 24U
/* RFC 9293, RFC 768; from the L4 header */
#define TCP_SEQ_OFFSET 4U
#define TCP_ACK_OFFSET 8U
#define TCP_DATA_OFFSET 12U
#define TCP_FLAGS_OFFSET 13U
#define TCP_WINDOW_OFFSET 14U
#define TCP_CSUM_OFFSET 16U
#define TCP_URGENT_OFFSET 18U
#define UDP_LENGTH_OFFSET 4U
#define UDP_CSUM_OFFSET 6U

#define TCP_FLAG_FIN 0x01U
#define TCP_FLAG_SYN 0x02U
#define TCP_FLAG_PSH 0x08U
#define TCP_FLAG_ACK 0x10U
#define TCP_FLAG_CWR 0x80U

typedef struct PacketView {
        uint8_t version;  /* 4 or 6 */
        uint8_t protocol; /* of what follows the IP header at @l4 */
        /* No IPv4 options, no IPv6 extension headers, not a fragment: what @protocol says begins
         * at @l4, whole. */
        bool is_plain;
        uint16_t l4;     /* 20 to 60, or 40 */
        uint32_t length; /* by the IP header; at most what there is */
} PacketView;

/* Return: false if it is no IP packet, or its header or what the header promises is not there. */
bool packet_parse(const uint8_t *p, size_t len, PacketView *ret);

/**
 * packet_l4_header_size() - of a plain TCP or UDP packet
 * Return: bytes from @v->l4 to the payload, or 0 if it is not plain, neither of the two, or its
 * header is cut.
 */
size_t packet_l4_header_size(const uint8_t *p, const PacketView *v);

/* Of any IP packet we carry: what the length field of IPv4 can say. */
#define PACKET_LENGTH_MAX 65535U

static inline unsigned l4_csum_offset(uint8_t protocol) {
        return protocol == IPPROTO_UDP ? UDP_CSUM_OFFSET : TCP_CSUM_OFFSET;
}
/* Sum of source, destination and protocol; the length is to be added (RFC 9293 3.1, RFC 8200
 * 8.1). Plain packets only. */
uint64_t packet_pseudo_sum(const uint8_t *p, const PacketView *v);
/* Whether the L4 checksum of a plain TCP or UDP packet is there and right. */
bool packet_l4_csum_ok(const uint8_t *p, const PacketView *v);
