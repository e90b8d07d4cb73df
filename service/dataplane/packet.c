/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/packet.h"

#include "dataplane/checksum.h"

static bool is_extension_header(uint8_t next_header) {
        switch (next_header) {
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_FRAGMENT:
        case IPPROTO_DSTOPTS:
        case IPPROTO_MH:
                return true;
        }
        return false;
}

bool packet_parse(const uint8_t *p, size_t len, PacketView *ret) {
        PacketView v = {};

        if (len < IPV4_HEADER_MIN)
                return false;
        v.version = p[0] >> 4;
        if (v.version == 4) {
                v.l4 = (uint16_t) ((p[0] & 15U) * 4U);
                v.length = read_be16(p + IPV4_LENGTH_OFFSET);
                v.protocol = p[IPV4_PROTOCOL_OFFSET];
                v.is_plain = v.l4 == IPV4_HEADER_MIN &&
                             (read_be16(p + IPV4_FRAGMENT_OFFSET) & IPV4_FRAGMENT_MASK) == 0;
        } else if (v.version == 6) {
                if (len < IPV6_HEADER_SIZE)
                        return false;
                v.l4 = IPV6_HEADER_SIZE;
                v.length = IPV6_HEADER_SIZE + (uint32_t) read_be16(p + IPV6_LENGTH_OFFSET);
                v.protocol = p[IPV6_NEXT_HEADER_OFFSET];
                v.is_plain = !is_extension_header(v.protocol);
        } else
                return false;
        if (v.l4 < IPV4_HEADER_MIN || v.length < v.l4 || v.length > len)
                return false;
        *ret = v;
        return true;
}

size_t packet_l4_header_size(const uint8_t *p, const PacketView *v) {
        size_t left = v->length - v->l4, size;

        if (!v->is_plain)
                return 0;
        if (v->protocol == IPPROTO_UDP)
                return left >= UDP_HEADER_SIZE ? UDP_HEADER_SIZE : 0;
        if (v->protocol != IPPROTO_TCP || left < TCP_HEADER_MIN)
                return 0;
        size = (p[v->l4 + TCP_DATA_OFFSET] >> 4) * 4U;
        return size >= TCP_HEADER_MIN && size <= left ? size : 0;
}

uint64_t packet_pseudo_sum(const uint8_t *p, const PacketView *v) {
        if (v->version == 4)
                return csum_add_be16(csum_bytes(p + IPV4_SOURCE_OFFSET, 8, 0), v->protocol);
        return csum_add_be16(csum_bytes(p + IPV6_SOURCE_OFFSET, 32, 0), v->protocol);
}

bool packet_l4_csum_ok(const uint8_t *p, const PacketView *v) {
        uint32_t l4_len = v->length - v->l4;
        uint64_t sum = csum_add_be16(packet_pseudo_sum(p, v), (uint16_t) l4_len);

        /* "None" is no checksum to be checked. */
        if (v->protocol == IPPROTO_UDP && csum_load(p + v->l4 + UDP_CSUM_OFFSET) == 0)
                return false;
        return csum_fold(csum_bytes(p + v->l4, l4_len, sum)) == 0xffff;
}
