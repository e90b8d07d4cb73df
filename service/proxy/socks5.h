/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The server's side of SOCKS5 (RFC 1928) with user and password (RFC 1929), without I/O: bytes in,
 * what to do out. The caller keeps what came and was not consumed yet, and calls again when there
 * is more, or when a message was consumed: requests may be pipelined, and may come byte by byte.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/proxy.h"

#define SOCKS5_VERSION 5U
/* The longest message of a client: RFC 1929, version, two strings with their lengths. */
#define SOCKS5_MESSAGE_MAX (1U + 1U + 255U + 1U + 255U)
#define SOCKS5_REPLY_MAX (4U + 16U + 2U) /* RFC 1928 section 6 with an IPv6 address */

/* RFC 1928 section 4 */
typedef enum Socks5Command {
        SOCKS5_CONNECT = 1,
        SOCKS5_BIND = 2,
        SOCKS5_UDP_ASSOCIATE = 3,
} Socks5Command;

/* RFC 1928 section 5 */
typedef enum Socks5AddressType {
        SOCKS5_ADDRESS_IPV4 = 1,
        SOCKS5_ADDRESS_NAME = 3,
        SOCKS5_ADDRESS_IPV6 = 4,
} Socks5AddressType;

/* RFC 1928 section 6 */
typedef enum Socks5Reply {
        SOCKS5_OK = 0,
        SOCKS5_GENERAL_FAILURE = 1,
        SOCKS5_NOT_ALLOWED = 2,
        SOCKS5_NETWORK_UNREACHABLE = 3,
        SOCKS5_HOST_UNREACHABLE = 4,
        SOCKS5_REFUSED = 5,
        SOCKS5_TTL_EXPIRED = 6, /* also: nobody answered in time */
        SOCKS5_COMMAND_NOT_SUPPORTED = 7,
        SOCKS5_ADDRESS_NOT_SUPPORTED = 8,
} Socks5Reply;

typedef enum Socks5State {
        SOCKS5_STATE_GREETING, /* version and methods are awaited */
        SOCKS5_STATE_PASSWORD, /* RFC 1929's message is awaited */
        SOCKS5_STATE_VERDICT,  /* the caller checks it: only socks5_password_verdict() now */
        SOCKS5_STATE_REQUEST,  /* the request is awaited */
        SOCKS5_STATE_DONE,     /* requested, or failed: nothing is taken any more */
} Socks5State;

/* Embedded; all zero but want_password: at the beginning. */
typedef struct Socks5 {
        Socks5State state;
        bool want_password; /* nothing without RFC 1929 */
} Socks5;

typedef enum Socks5Action {
        SOCKS5_MORE,     /* nothing consumed, more is needed */
        SOCKS5_CONTINUE, /* a message was consumed: send the reply, call again */
        SOCKS5_CHECK,    /* user and password: socks5_password_verdict() goes on */
        SOCKS5_REQUEST,  /* command and target: the caller acts and replies with socks5_reply() */
        SOCKS5_FAIL,     /* send the reply, if there is one, and close */
} Socks5Action;

typedef struct Socks5Out {
        size_t consumed;
        uint8_t reply[SOCKS5_REPLY_MAX];
        size_t reply_len;
        /* SOCKS5_CHECK: inside the caller's bytes, not terminated. */
        const uint8_t *user, *password;
        uint8_t user_len, password_len;
        /* SOCKS5_REQUEST */
        Socks5Command command; /* CONNECT or UDP_ASSOCIATE */
        ProxyTarget target;
} Socks5Out;

/* The first bytes not consumed yet. */
Socks5Action socks5_handle_bytes(Socks5 *s, const uint8_t *data, size_t len, Socks5Out *ret);
/* After SOCKS5_CHECK. Return: SOCKS5_CONTINUE or SOCKS5_FAIL, with a reply in either case. */
Socks5Action socks5_password_verdict(Socks5 *s, bool good, Socks5Out *ret);

/* @bound: the address the connection comes from, or datagrams are to be sent to; NULL: none.
 * Return: how many bytes. */
size_t
socks5_reply(Socks5Reply code,
             const IpAddr *bound,
             uint16_t port,
             uint8_t ret[static SOCKS5_REPLY_MAX]);
/* @error: what a dial ended with, 0 or negative errno. */
Socks5Reply socks5_reply_from_errno(int error);

/* The address of a request and of a datagram: ATYP, DST.ADDR, DST.PORT (RFC 1928 section 5). A
 * name no machine can have leaves both address and name of @ret unset, so that nobody has it.
 * Return: how many bytes it takes; 0: there are fewer; -EAFNOSUPPORT: a type nobody has defined. */
int socks5_address_decode(const uint8_t *data, size_t len, ProxyTarget *ret);
#define SOCKS5_ADDRESS_MAX (1U + 1U + 255U + 2U)
/* Return: how many bytes, 7 or 19. */
size_t socks5_address_encode(const IpAddr *a, uint16_t port, uint8_t *ret);
