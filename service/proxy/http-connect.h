/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The server's side of HTTP's CONNECT (RFC 9110 section 9.3.6, RFC 9112), without I/O: the header
 * section in, what to answer out. Any other method is refused: this is a way through, not a web
 * proxy. That also answers web pages which try to make a browser talk to the port: they cannot
 * send CONNECT.
 */

#include <stddef.h>
#include <stdint.h>

#include "proxy/proxy.h"

/* A header section of which more than this came without its end is refused. Browsers send under
 * 1 KiB with CONNECT; web servers commonly allow 8 KiB. */
#define HTTP_HEADER_MAX 8192U
#define HTTP_REPLY_MAX 192U

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
        HTTP_HEADER_TOO_LARGE = 431, /* RFC 6585 section 5 */
        HTTP_INTERNAL_ERROR = 500,
        HTTP_BAD_GATEWAY = 502,
        HTTP_GATEWAY_TIMEOUT = 504,
        HTTP_VERSION_NOT_SUPPORTED = 505,
} HttpStatus;

typedef struct HttpConnect {
        size_t consumed; /* what follows is for the other end */
        ProxyTarget target;
        /* Proxy-Authorization: Basic (RFC 7617); lengths 0 where there is none. */
        uint8_t user[256], password[256];
        size_t user_len, password_len;
} HttpConnect;

/* Return: 0: more is needed; HTTP_OK: *ret is set; else how to refuse. */
int http_connect_parse(const char *data, size_t len, HttpConnect *ret);
/* A whole answer, terminated. Return: its length. */
size_t http_reply(HttpStatus status, char ret[static HTTP_REPLY_MAX]);
HttpStatus http_status_from_errno(int error);
