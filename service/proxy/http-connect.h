/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proxy's side of HTTP, without I/O: the header section in, what to answer or to pass on out.
 *
 * CONNECT (RFC 9110 section 9.3.6) is a way through. Any other method comes with a whole URL (RFC
 * 9112 section 3.2.2), "GET http://nas.omerta/ HTTP/1.1", and is passed on to that machine: as
 * http_forward_request() has it, and then as many bytes as it says its body has. One request a
 * connection: what follows the first could be meant for another machine, with a password for us in
 * it, so it is thrown away, and both sides are told "Connection: close", the client by the answer.
 * A body whose end only its bytes tell (chunked) is refused (411). The answer passes unchanged. Not
 * a cache; TRACE is refused, and Max-Forwards of OPTIONS is not looked at.
 *
 * A request that names a path alone is for a server, and refused. That also answers web pages which
 * try to make a browser talk to the port: they can send neither CONNECT nor a whole URL.
 */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/proxy.h"

/* A header section of which more than this came without its end is refused. Browsers send under
 * 1 KiB with CONNECT; web servers commonly allow 8 KiB. */
#define HTTP_HEADER_MAX 8192U
#define HTTP_REPLY_MAX 224U

/* True for a byte a method can begin with; SOCKS5 begins with 5. */
static inline bool http_is_first_byte(uint8_t c) {
        return c >= 'A' && c <= 'Z';
}

typedef enum HttpStatus {
        HTTP_OK = 200,
        HTTP_BAD_REQUEST = 400,
        HTTP_FORBIDDEN = 403,
        HTTP_METHOD_NOT_ALLOWED = 405,
        HTTP_PROXY_AUTHENTICATION_REQUIRED = 407,
        HTTP_LENGTH_REQUIRED = 411,
        HTTP_HEADER_TOO_LARGE = 431, /* RFC 6585 section 5 */
        HTTP_INTERNAL_ERROR = 500,
        HTTP_BAD_GATEWAY = 502,
        HTTP_GATEWAY_TIMEOUT = 504,
        HTTP_VERSION_NOT_SUPPORTED = 505,
} HttpStatus;

typedef struct HttpConnect {
        size_t consumed; /* what follows is for the other end */
        ProxyTarget target;
        bool is_forward;   /* not CONNECT */
        uint64_t body_len; /* of it: bytes after the header section */
        /* Proxy-Authorization: Basic (RFC 7617); lengths 0 where there is none. */
        uint8_t user[256], password[256];
        size_t user_len, password_len;
} HttpConnect;

/* Return: 0: more is needed; HTTP_OK: *ret is set; else how to refuse. */
int http_connect_parse(const char *data, size_t len, HttpConnect *ret);
/* What a request with .is_forward is for its server: the path alone, Host as the URL has it,
 * without what is between the client and us (RFC 9110 section 7.6.1). @data: what was parsed. The
 * caller frees. */
GString *http_forward_request(const char *data, const HttpConnect *c);
/* A whole answer, terminated. Return: its length. */
size_t http_reply(HttpStatus status, char ret[static HTTP_REPLY_MAX]);
HttpStatus http_status_from_errno(int error);
