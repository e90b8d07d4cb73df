/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The headers of datagrams, without I/O: SOCKS5's (RFC 1928 section 7) on the client's side,
 * ProxyDialer's on the network's.
 */

#include "proxy/socks5.h"

#define SOCKS5_UDP_HEADER_MAX (3U + SOCKS5_ADDRESS_MAX)
/* What we put before a datagram: numeric addresses only. */
#define SOCKS5_UDP_REPLY_HEADER_MAX (3U + 1U + 16U + 2U)

/* Fragments are refused, as section 7 allows; nobody sends them. @ret may have neither address nor
 * name, see socks5_address_decode(). Return: the length of the header, or -EBADMSG. */
int socks5_udp_header_decode(const uint8_t *data, size_t len, ProxyTarget *ret);
/* Return: how many bytes, 10 or 22. */
size_t socks5_udp_header_encode(
                const IpAddr *from,
                uint16_t port,
                uint8_t ret[static SOCKS5_UDP_REPLY_HEADER_MAX]);

void proxy_udp_header_encode(const IpAddr *to, uint16_t port, uint8_t ret[static PROXY_UDP_HEADER_SIZE]);
/* Return: 0, or -EBADMSG. */
int proxy_udp_header_decode(const uint8_t *data, size_t len, IpAddr *ret_from, uint16_t *ret_port);
