/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Echo requests of the daemon's own (RFC 792, RFC 4443 4.1), made and answered here: a process
 * without CAP_NET_RAW may not send them through the kernel unless net.ipv4.ping_group_range has
 * its group. The payload begins with 16 bytes nobody else knows, by which the answer is told from
 * those to this machine's other programs.
 */

#include "base/ip.h"
#include "dataplane/packet.h"

#define ECHO_TOKEN_SIZE 16U
/* IPv6 header, ICMP header, what ping(8) sends beside. */
#define ECHO_SIZE_MAX (IPV6_HEADER_SIZE + 8U + 56U)

typedef struct EchoToken {
        uint64_t secret; /* of the daemon, for all its echoes */
        uint64_t number; /* of this one */
} EchoToken;

/* @from, @to: of one family. @ret: ECHO_SIZE_MAX bytes. Return: bytes written. */
size_t echo_build(const IpAddr *from, const IpAddr *to, const EchoToken *token, uint8_t *ret);
/* Whether the packet answers one with @secret. @ret_number: which. */
bool echo_is_reply(const uint8_t *packet, const PacketView *v, uint64_t secret, uint64_t *ret_number);
