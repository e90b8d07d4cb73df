/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/echo.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "dataplane/checksum.h"

#define ICMP_HEADER_SIZE 8U
#define ECHO_TTL 64U
#define ECHO_PAYLOAD (ECHO_SIZE_MAX - IPV6_HEADER_SIZE - ICMP_HEADER_SIZE)
/* Identifier and sequence number are the low half of the number. */
#define ICMP_IDENTIFIER_OFFSET 4U

static_assert(ECHO_TOKEN_SIZE <= ECHO_PAYLOAD, "the token must fit");

static void fill_icmp(uint8_t *icmp, uint8_t type, const EchoToken *token) {
        memset(icmp, 0, ICMP_HEADER_SIZE + ECHO_PAYLOAD);
        icmp[0] = type;
        write_be32(icmp + ICMP_IDENTIFIER_OFFSET, (uint32_t) token->number);
        write_le64(icmp + ICMP_HEADER_SIZE, token->secret);
        write_le64(icmp + ICMP_HEADER_SIZE + 8, token->number);
}

size_t echo_build(const IpAddr *from, const IpAddr *to, const EchoToken *token, uint8_t *ret) {
        const uint16_t length = ICMP_HEADER_SIZE + ECHO_PAYLOAD;
        bool v6 = to->family == AF_INET6;
        size_t header = v6 ? IPV6_HEADER_SIZE : IPV4_HEADER_MIN;
        uint8_t *icmp = ret + header;
        uint64_t sum = 0;

        memset(ret, 0, header);
        fill_icmp(icmp, v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO, token);
        if (v6) {
                ret[0] = 0x60;
                write_be16(ret + IPV6_LENGTH_OFFSET, length);
                ret[IPV6_NEXT_HEADER_OFFSET] = IPPROTO_ICMPV6;
                ret[IPV6_HOP_LIMIT_OFFSET] = ECHO_TTL;
                memcpy(ret + IPV6_SOURCE_OFFSET, from->bytes, 16);
                memcpy(ret + IPV6_DESTINATION_OFFSET, to->bytes, 16);
                sum = csum_add_be16(csum_bytes(ret + IPV6_SOURCE_OFFSET, 32, 0), length);
                sum = csum_add_be16(sum, IPPROTO_ICMPV6);
        } else {
                ret[0] = 0x45;
                write_be16(ret + IPV4_LENGTH_OFFSET, (uint16_t) (header + length));
                write_be16(ret + IPV4_FRAGMENT_OFFSET, IPV4_FRAGMENT_DF);
                ret[IPV4_TTL_OFFSET] = ECHO_TTL;
                ret[IPV4_PROTOCOL_OFFSET] = IPPROTO_ICMP;
                memcpy(ret + IPV4_SOURCE_OFFSET, from->bytes, 4);
                memcpy(ret + IPV4_DESTINATION_OFFSET, to->bytes, 4);
                csum_store(ret + IPV4_CSUM_OFFSET, csum_bytes(ret, IPV4_HEADER_MIN, 0));
        }
        csum_store(icmp + 2, csum_bytes(icmp, length, sum));
        return header + length;
}

bool echo_is_reply(const uint8_t *packet, const PacketView *v, uint64_t secret, uint64_t *ret_number) {
        const uint8_t *icmp = packet + v->l4;
        uint8_t protocol = v->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
        uint8_t type = v->version == 4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;

        if (v->protocol != protocol || !v->is_plain ||
            v->length < v->l4 + ICMP_HEADER_SIZE + ECHO_TOKEN_SIZE || icmp[0] != type ||
            icmp[1] != 0 || read_le64(icmp + ICMP_HEADER_SIZE) != secret)
                return false;
        *ret_number = read_le64(icmp + ICMP_HEADER_SIZE + 8);
        return true;
}
