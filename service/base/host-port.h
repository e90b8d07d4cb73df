/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A host by its name in the DNS and a port there: where a machine is found whose address changes. */

#include <stdbool.h>
#include <stdint.h>

#define DNS_NAME_MAX_LEN 253U /* RFC 1035 3.1, as text without the last dot */
#define DNS_LABEL_MAX_LEN 63U

typedef struct HostPort {
        char host[DNS_NAME_MAX_LEN + 1]; /* dns_name_is_valid(), lower case */
        uint16_t port;                   /* not 0 */
} HostPort;

#define HOST_PORT_TEXT_MAX (DNS_NAME_MAX_LEN + 7U) /* "NAME:65535" */

typedef struct HostPortText {
        char text[HOST_PORT_TEXT_MAX];
} HostPortText;

/* Labels of 1 to 63 letters, digits and inner hyphens (RFC 1123 2.1), with dots between them; 253
 * bytes at most. The last one has a letter: what has none is an address, or a slip of one. Other
 * scripts come in their ASCII form ("xn--"). */
bool dns_name_is_valid(const char *name);

/* "NAME:PORT"; without a port, @port_default (0: it must be there). Return: 0, or -EINVAL. */
int host_port_parse(const char *text, uint16_t port_default, HostPort *ret);
/* As host_port_parse() reads it. */
HostPortText host_port_format(const HostPort *h);
bool host_port_equal(const HostPort *a, const HostPort *b);

/* Several, with commas between them, each once; "" is none. @ret: room for @max.
 * Return: how many, -EINVAL, or -E2BIG: more than @max. */
int host_port_list_parse(const char *text, uint16_t port_default, HostPort *ret, unsigned max);
/* Newly allocated. */
char *host_port_list_format(const HostPort *list, unsigned n);
