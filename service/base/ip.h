/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Addresses and prefixes inside the virtual network. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

typedef struct IpAddr {
        uint8_t family;    /* AF_INET, AF_INET6, or AF_UNSPEC: none */
        uint8_t bytes[16]; /* network order; IPv4 in the first 4, the rest 0 */
} IpAddr;

typedef struct IpPrefix {
        IpAddr addr; /* host bits are 0 */
        uint8_t len; /* bits: 0 to 32 or 128 */
} IpPrefix;

/* What lies inside virtual networks, as far as this machine knows them; a value. */
typedef struct PrefixSet {
        IpPrefix prefix[INSIDE_PREFIXES_MAX];
        unsigned n;
} PrefixSet;

typedef struct IpText {
        char text[INET6_ADDRSTRLEN + 4]; /* with "/128" */
} IpText;

/* IPv4 in host order, as address plans count with it. */
static inline IpAddr ip_from_v4(uint32_t host_order) {
        return (IpAddr){
                .family = AF_INET,
                .bytes = { (uint8_t) (host_order >> 24), (uint8_t) (host_order >> 16),
                           (uint8_t) (host_order >> 8), (uint8_t) host_order },
        };
}
static inline uint32_t ip_to_v4(const IpAddr *a) {
        return (uint32_t) a->bytes[0] << 24 | (uint32_t) a->bytes[1] << 16 |
               (uint32_t) a->bytes[2] << 8 | a->bytes[3];
}
static inline size_t ip_size(const IpAddr *a) {
        return a->family == AF_INET6 ? 16 : 4;
}
static inline bool ip_is_set(const IpAddr *a) {
        return a->family != AF_UNSPEC;
}

bool ip_equal(const IpAddr *a, const IpAddr *b);
int ip_parse(const char *text, IpAddr *ret); /* 0 or -EINVAL */
IpText ip_format(const IpAddr *a);

/* "10.0.0.0/16"; host bits must be 0. Return: 0 or -EINVAL. */
int ip_prefix_parse(const char *text, IpPrefix *ret);
IpText ip_prefix_format(const IpPrefix *p);
bool ip_prefix_contains(const IpPrefix *p, const IpAddr *a);
/* Host bits are cleared; what is there already or does not fit any more is left out. */
void prefix_set_add(PrefixSet *set, const IpAddr *addr, uint8_t len);
bool prefix_set_contains(const PrefixSet *set, const IpAddr *a);
/* Within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918), 100.64.0.0/10 (RFC 6598) or fc00::/7
 * (RFC 4193): addresses that are nobody's on the internet. */
bool ip_prefix_is_private(const IpPrefix *p);
bool ip_prefix_overlaps(const IpPrefix *a, const IpPrefix *b);
