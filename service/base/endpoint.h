/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where datagrams go to and come from: a UDP endpoint of the underlay, IPv4 or IPv6 address and
 * port, or the same by TCP, which is another place; or a machine behind a relay, which is the
 * relay's endpoint and the number of an allocation there. IPv4-mapped IPv6 addresses are turned
 * into IPv4 on the way in, so that one place has one representation. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

typedef enum EndpointTransport {
        ENDPOINT_UDP,
        ENDPOINT_TCP,          /* somebody listens there: to send there is to connect, if need be */
        ENDPOINT_TCP_ACCEPTED, /* the other end of a connection that was made to us; gone with it */
} EndpointTransport;

typedef struct Endpoint {
        union {
                struct sockaddr sa; /* sa_family AF_UNSPEC: no endpoint */
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        };
        /* The address of this machine that datagrams come to from there and leave from; AF_UNSPEC:
         * the route's. It says how to get there, not who is there: it is not compared but by
         * endpoint_same_way(), and neither stored nor sent to anybody. */
        IpAddr local;
        /* Of the relay that has the address: behind which of its allocations (docs/protocol.md,
         * "Type 5"); 0: no relay. Means nothing to anybody but the relay and us. */
        uint32_t relay;
        EndpointTransport transport; /* no part of the wire form: who carries it says so */
} Endpoint;

#define ENDPOINT_TEXT_MAX 64U /* "tcp:[IPv6%scope]:port" */
#define ENDPOINT_WIRE_MAX 19U /* family, 16 bytes of address, port */

typedef struct EndpointText {
        char text[ENDPOINT_TEXT_MAX];
} EndpointText;

static inline bool endpoint_is_set(const Endpoint *e) {
        return e->sa.sa_family != AF_UNSPEC;
}
static inline bool endpoint_is_relayed(const Endpoint *e) {
        return e->relay != 0;
}
static inline bool endpoint_is_stream(const Endpoint *e) {
        return e->transport != ENDPOINT_UDP;
}
/* UDP, and no relay: what either end sees of the other is where its datagrams come from. */
static inline bool endpoint_is_plain(const Endpoint *e) {
        return !endpoint_is_relayed(e) && !endpoint_is_stream(e);
}
socklen_t endpoint_len(const Endpoint *e);
uint16_t endpoint_port(const Endpoint *e);
void endpoint_set_port(Endpoint *e, uint16_t port);
/* Address, port, transport and relay. */
bool endpoint_equal(const Endpoint *a, const Endpoint *b);
/* Whether what is sent to @known answers what came from @from: the same endpoint, and the same
 * address of ours, unless it is not known at which it came. */
bool endpoint_same_way(const Endpoint *known, const Endpoint *from);
/* Whether it is one of @n. */
bool endpoint_is_among(const Endpoint *e, const Endpoint *list, unsigned n);
/* Its address alone; AF_UNSPEC if there is none. */
IpAddr endpoint_address(const Endpoint *e);
bool endpoint_same_address(const Endpoint *a, const Endpoint *b);
unsigned endpoint_hash(const Endpoint *e);

/* Takes a kernel's sockaddr; unmaps ::ffff:a.b.c.d. Return: 0, or -EAFNOSUPPORT. */
int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, Endpoint *ret);

/* "203.0.113.5:18002", "[2001:db8::1]:18002"; without a port, @port_default. Numeric only.
 * Return: 0, or -EINVAL. */
int endpoint_parse(const char *text, uint16_t port_default, Endpoint *ret);
/* As endpoint_parse() reads it, behind "tcp:" where it is by TCP. */
EndpointText endpoint_format(const Endpoint *e);

/* True for an address a datagram can sensibly be sent to: not multicast, broadcast, unspecified,
 * port not 0. Loopback is allowed: tests and containers use it. */
bool endpoint_is_usable(const Endpoint *e);

/* fe80::/10, which is somewhere only together with an interface of this machine. */
bool endpoint_is_link_local(const Endpoint *e);

/* Wire form (docs/protocol.md, "Endpoint"): 4 or 6, address, port big-endian; relay and transport
 * are left out. Return: bytes written (7 or 19). */
size_t endpoint_encode(const Endpoint *e, uint8_t buf[static ENDPOINT_WIRE_MAX]);
/* @len must be exactly the endpoint's. Return: 0, or -EBADMSG. */
int endpoint_decode(const uint8_t *buf, size_t len, Endpoint *ret);
