/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/gso-split.h"

#include <string.h>

#include "dataplane/checksum.h"

/* Extension headers in one packet; RFC 8200 4.1 knows seven kinds. */
#define EXTENSION_HEADERS_MAX 8U

/* Return: the protocol whose header begins at @at, or 0 if none does. */
static uint8_t protocol_at(const uint8_t *p, const PacketView *v, uint32_t at) {
        uint32_t offset = v->l4;
        uint8_t protocol = v->protocol;

        if (v->version == 4)
                return at == v->l4 && (read_be16(p + IPV4_FRAGMENT_OFFSET) & IPV4_FRAGMENT_MASK) == 0
                                       ? protocol
                                       : 0;
        for (unsigned i = 0; i <= EXTENSION_HEADERS_MAX && offset < at; i++) {
                if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING &&
                    protocol != IPPROTO_DSTOPTS)
                        return 0;
                if (offset + 8 > v->length)
                        return 0;
                protocol = p[offset];
                offset += (p[offset + 1] + 1U) * 8U;
        }
        return offset == at ? protocol : 0;
}

/* Length of the TCP or UDP header at @l4, or 0 if it is cut or neither. */
static uint32_t l4_header_size(const uint8_t *p, const PacketView *v, uint32_t l4, uint8_t protocol) {
        uint32_t left = v->length - l4, size;

        if (protocol == IPPROTO_UDP)
                return left >= UDP_HEADER_SIZE ? UDP_HEADER_SIZE : 0;
        if (protocol != IPPROTO_TCP || left < TCP_HEADER_MIN)
                return 0;
        size = (p[l4 + TCP_DATA_OFFSET] >> 4) * 4U;
        return size >= TCP_HEADER_MIN && size <= left ? size : 0;
}

static bool type_fits(GsoType type, uint8_t version, uint8_t protocol) {
        switch (type) {
        case GSO_NONE:
                return false;
        case GSO_TCPV4:
                return version == 4 && protocol == IPPROTO_TCP;
        case GSO_TCPV6:
                return version == 6 && protocol == IPPROTO_TCP;
        case GSO_UDP:
                return protocol == IPPROTO_UDP;
        }
        return false;
}

DropReason gso_split_init(GsoSplit *s, const PacketIn *in, const PacketView *v) {
        const OffloadInfo *o = &in->offload;
        const uint8_t *p = in->data;
        uint32_t l4 = o->csum_start, header;
        uint8_t protocol;

        /* A kernel that leaves segmentation to us leaves the checksums as well. */
        if (!o->needs_csum || l4 < v->l4 || l4 >= v->length)
                return DROP_PACKET_MALFORMED;
        protocol = protocol_at(p, v, l4);
        header = l4_header_size(p, v, l4, protocol);
        if (header == 0 || !type_fits(o->gso_type, v->version, protocol) ||
            o->csum_offset != l4_csum_offset(protocol) || l4 + header > GSO_HEADER_MAX)
                return DROP_PACKET_MALFORMED;
        header += l4;

        s->packet = in->data;
        s->header_len = header;
        s->payload_len = v->length - header;
        s->done = 0;
        s->size = o->gso_size;
        s->l4 = (uint16_t) l4;
        s->version = v->version;
        s->protocol = protocol;
        if (s->size == 0 || (protocol == IPPROTO_TCP && s->size < GSO_TCP_SIZE_MIN) ||
            (protocol == IPPROTO_UDP && gso_split_count(s) > GSO_UDP_SEGMENTS_MAX))
                return DROP_PACKET_MALFORMED;
        s->partial = v->is_plain;
        /* With a routing header the sum is about the last destination, which only the kernel's
         * own sum knows; the length in it is that of the super-packet, and is taken out. */
        s->pseudo_sum = v->is_plain ? packet_pseudo_sum(p, v)
                                    : csum_load(p + l4 + o->csum_offset) +
                                                        (uint64_t) (uint16_t) ~htons(
                                                                        (uint16_t) (v->length - l4));
        if (v->version == 4) {
                s->id = read_be16(p + IPV4_ID_OFFSET);
                s->ip_sum = csum_bytes(p, 2, 0) + csum_bytes(p + IPV4_FRAGMENT_OFFSET, 4, 0) +
                            csum_bytes(p + IPV4_SOURCE_OFFSET, v->l4 - IPV4_SOURCE_OFFSET, 0);
        }
        if (protocol == IPPROTO_TCP) {
                s->seq = read_be32(p + l4 + TCP_SEQ_OFFSET);
                s->tcp_flags = p[l4 + TCP_FLAGS_OFFSET];
        }
        memcpy(s->header, p, header);
        return DROP_NONE;
}

bool gso_split_fit(GsoSplit *s, uint16_t mtu) {
        if (gso_split_packet_max(s) <= mtu)
                return true;
        if (s->protocol != IPPROTO_TCP || mtu < s->header_len + GSO_TCP_SIZE_MIN)
                return false;
        s->size = (uint16_t) (mtu - s->header_len);
        return true;
}

uint32_t gso_split_count(const GsoSplit *s) {
        return s->payload_len == 0 ? 1 : (s->payload_len + s->size - 1) / s->size;
}

size_t gso_split_next(GsoSplit *s, uint8_t **ret_packet) {
        uint32_t payload = MIN((uint32_t) s->size, s->payload_len - s->done);
        uint32_t length = s->header_len + payload, l4_len = length - s->l4;
        bool is_first = s->done == 0, is_last = s->done + payload == s->payload_len;
        uint8_t *p = s->packet + s->done, *l4 = p + s->l4;
        uint8_t *csum = l4 + l4_csum_offset(s->protocol);
        uint64_t sum = csum_add_be16(s->pseudo_sum, (uint16_t) l4_len);

        if (!is_first)
                memcpy(p, s->header, s->header_len);
        if (s->version == 4) {
                write_be16(p + IPV4_LENGTH_OFFSET, (uint16_t) length);
                write_be16(p + IPV4_ID_OFFSET, s->id);
                csum_store(p + IPV4_CSUM_OFFSET,
                           csum_add_be16(csum_add_be16(s->ip_sum, (uint16_t) length), s->id));
                s->id++;
        } else
                write_be16(p + IPV6_LENGTH_OFFSET, (uint16_t) (length - IPV6_HEADER_SIZE));
        if (s->protocol == IPPROTO_TCP) {
                uint8_t flags = s->tcp_flags;

                /* RFC 9293: FIN and PSH are about the end; RFC 3168 6.1.2: CWR is about the
                 * first packet after the reduction. */
                if (!is_last)
                        flags &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
                if (!is_first)
                        flags &= (uint8_t) ~TCP_FLAG_CWR;
                l4[TCP_FLAGS_OFFSET] = flags;
                write_be32(l4 + TCP_SEQ_OFFSET, s->seq + s->done);
        } else
                write_be16(l4 + UDP_LENGTH_OFFSET, (uint16_t) l4_len);
        if (s->partial)
                csum_store_partial(csum, sum);
        else {
                memset(csum, 0, 2);
                csum_store_l4(csum, csum_bytes(l4, l4_len, sum));
        }
        s->done += payload;
        *ret_packet = p;
        return length;
}

DropReason gso_finish_csum(const PacketIn *in, const PacketView *v, bool *ret_partial) {
        const OffloadInfo *o = &in->offload;
        uint32_t field = (uint32_t) o->csum_start + o->csum_offset;

        *ret_partial = false;
        if (!o->needs_csum)
                return DROP_NONE;
        if (o->csum_start < v->l4 || field + 2 > v->length)
                return DROP_PACKET_MALFORMED;
        if (packet_l4_header_size(in->data, v) > 0 && o->csum_start == v->l4 &&
            o->csum_offset == l4_csum_offset(v->protocol)) {
                *ret_partial = true;
                return DROP_NONE;
        }
        /* The field holds the sum of the pseudo header and is summed with the rest. */
        csum_store_l4(in->data + field,
                      csum_bytes(in->data + o->csum_start, v->length - o->csum_start, 0));
        return DROP_NONE;
}
