/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "dataplane/checksum.h"
#include "dataplane/packet-router-internal.h"

/*
 * Answers to local senders: what a router on the way would say (RFC 792, RFC 4443), so that a
 * program is told at once instead of waiting for a time-out. They seem to come from the address
 * that was asked for: an address of our own would be taken for a forgery by the kernel, which
 * does not expect its own address to come in from outside.
 */

#define ICMP_HEADER_SIZE 8U
#define ICMP_TTL 64U
/* RFC 1812 4.3.2.3: as much of the packet as fits into 576 bytes. */
#define ICMP4_SIZE_MAX 576U
static_assert(ICMP_SIZE_MAX == 1280, "RFC 4443 2.4 (c): the least IPv6 MTU");

static bool is_error_or_multicast_v4(const uint8_t *p, size_t len, const PacketView *v) {
        uint32_t destination = read_be32(p + IPV4_DESTINATION_OFFSET);
        uint32_t source = read_be32(p + IPV4_SOURCE_OFFSET);

        /* RFC 1122 3.2.2: not about errors, not to groups, not for later fragments, not to
         * nobody in particular. */
        if (IN_MULTICAST(destination) || destination == INADDR_BROADCAST || source == INADDR_ANY ||
            IN_MULTICAST(source) || (read_be16(p + IPV4_FRAGMENT_OFFSET) & 0x1fff) != 0)
                return true;
        if (v->protocol != IPPROTO_ICMP)
                return false;
        return v->l4 >= len || (p[v->l4] != ICMP_ECHO && p[v->l4] != ICMP_ECHOREPLY &&
                                p[v->l4] != ICMP_TIMESTAMP && p[v->l4] != ICMP_TIMESTAMPREPLY);
}

static bool is_error_or_multicast_v6(const uint8_t *p, size_t len, const PacketView *v) {
        static const uint8_t unspecified[16];

        /* RFC 4443 2.4 (e) */
        if (p[IPV6_DESTINATION_OFFSET] == 0xff || p[IPV6_SOURCE_OFFSET] == 0xff ||
            memcmp(p + IPV6_SOURCE_OFFSET, unspecified, 16) == 0)
                return true;
        return v->protocol == IPPROTO_ICMPV6 && (v->l4 >= len || !(p[v->l4] & ICMP6_INFOMSG_MASK));
}

static size_t build_v4(IcmpReason reason, const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *o) {
        static const uint8_t codes[] = {
                [ICMP_REASON_NO_ROUTE] = ICMP_NET_UNREACH,
                [ICMP_REASON_UNREACHABLE] = ICMP_HOST_UNREACH,
                /* Also where DF is not set: the kernel then makes smaller fragments. */
                [ICMP_REASON_TOO_BIG] = ICMP_FRAG_NEEDED,
        };
        size_t quoted = MIN(len, ICMP4_SIZE_MAX - IPV4_HEADER_MIN - ICMP_HEADER_SIZE);
        size_t total = IPV4_HEADER_MIN + ICMP_HEADER_SIZE + quoted;
        uint8_t *icmp = o + IPV4_HEADER_MIN;

        memset(o, 0, IPV4_HEADER_MIN + ICMP_HEADER_SIZE);
        o[0] = 0x45;
        o[IPV4_TOS_OFFSET] = IPTOS_PREC_INTERNETCONTROL;
        write_be16(o + IPV4_LENGTH_OFFSET, (uint16_t) total);
        write_be16(o + IPV4_FRAGMENT_OFFSET, IPV4_FRAGMENT_DF);
        o[IPV4_TTL_OFFSET] = ICMP_TTL;
        o[IPV4_PROTOCOL_OFFSET] = IPPROTO_ICMP;
        memcpy(o + IPV4_SOURCE_OFFSET, packet + IPV4_DESTINATION_OFFSET, 4);
        memcpy(o + IPV4_DESTINATION_OFFSET, packet + IPV4_SOURCE_OFFSET, 4);
        csum_store(o + IPV4_CSUM_OFFSET, csum_bytes(o, IPV4_HEADER_MIN, 0));
        icmp[0] = ICMP_UNREACH;
        icmp[1] = codes[reason];
        if (reason == ICMP_REASON_TOO_BIG)
                write_be16(icmp + 6, mtu); /* RFC 1191 4 */
        memcpy(icmp + ICMP_HEADER_SIZE, packet, quoted);
        csum_store(icmp + 2, csum_bytes(icmp, total - IPV4_HEADER_MIN, 0));
        return total;
}

static size_t build_v6(IcmpReason reason, const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *o) {
        size_t quoted = MIN(len, ICMP_SIZE_MAX - IPV6_HEADER_SIZE - ICMP_HEADER_SIZE);
        uint16_t length = (uint16_t) (ICMP_HEADER_SIZE + quoted);
        uint8_t *icmp = o + IPV6_HEADER_SIZE;
        uint64_t sum;

        memset(o, 0, IPV6_HEADER_SIZE + ICMP_HEADER_SIZE);
        o[0] = 0x60;
        write_be16(o + IPV6_LENGTH_OFFSET, length);
        o[IPV6_NEXT_HEADER_OFFSET] = IPPROTO_ICMPV6;
        o[IPV6_HOP_LIMIT_OFFSET] = ICMP_TTL;
        memcpy(o + IPV6_SOURCE_OFFSET, packet + IPV6_DESTINATION_OFFSET, 16);
        memcpy(o + IPV6_DESTINATION_OFFSET, packet + IPV6_SOURCE_OFFSET, 16);
        switch (reason) {
        case ICMP_REASON_NO_ROUTE:
                icmp[0] = ICMP6_DST_UNREACH;
                icmp[1] = ICMP6_DST_UNREACH_NOROUTE;
                break;
        case ICMP_REASON_UNREACHABLE:
                icmp[0] = ICMP6_DST_UNREACH;
                icmp[1] = ICMP6_DST_UNREACH_ADDR;
                break;
        case ICMP_REASON_TOO_BIG:
                icmp[0] = ICMP6_PACKET_TOO_BIG;
                write_be32(icmp + 4, MAX(mtu, (uint16_t) OMERTA_MTU_MIN)); /* RFC 8200 5 */
                break;
        }
        memcpy(icmp + ICMP_HEADER_SIZE, packet, quoted);
        sum = csum_add_be16(csum_bytes(o + IPV6_SOURCE_OFFSET, 32, 0), length);
        csum_store(icmp + 2, csum_bytes(icmp, length, csum_add_be16(sum, IPPROTO_ICMPV6)));
        return IPV6_HEADER_SIZE + length;
}

size_t icmp_build(IcmpReason reason, const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *ret) {
        PacketView v;

        if (!packet_parse(packet, len, &v))
                return 0;
        if (v.version == 4)
                return is_error_or_multicast_v4(packet, v.length, &v)
                                       ? 0
                                       : build_v4(reason, packet, v.length, mtu, ret);
        return is_error_or_multicast_v6(packet, v.length, &v)
                               ? 0
                               : build_v6(reason, packet, v.length, mtu, ret);
}

void icmp_reply(PacketRouter *r,
                RouterNetwork *n,
                IcmpReason reason,
                const uint8_t *packet,
                size_t len,
                uint16_t mtu) {
        uint8_t message[ICMP_SIZE_MAX];
        PacketOut out = { .n_iov = 1 };
        size_t size;

        if (!ratelimit_take(&n->icmp, r->now))
                return;
        size = icmp_build(reason, packet, len, mtu, message);
        if (size == 0)
                return;
        out.iov[0] = (struct iovec){ message, size };
        router_write(r, n, &out, 1);
}
