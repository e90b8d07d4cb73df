/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

bool ip_equal(const IpAddr *a, const IpAddr *b) {
        return a->family == b->family && memcmp(a->bytes, b->bytes, ip_size(a)) == 0;
}

int ip_parse(const char *text, IpAddr *ret) {
        IpAddr a = {};

        if (inet_pton(AF_INET, text, a.bytes) == 1)
                a.family = AF_INET;
        else if (inet_pton(AF_INET6, text, a.bytes) == 1)
                a.family = AF_INET6;
        else
                return -EINVAL;
        *ret = a;
        return 0;
}

IpText ip_format(const IpAddr *a) {
        IpText t = {};

        if (ip_is_set(a))
                inet_ntop(a->family, a->bytes, t.text, sizeof t.text);
        return t;
}

int ip_prefix_parse(const char *text, IpPrefix *ret) {
        const char *slash = strchr(text, '/');
        char host[INET6_ADDRSTRLEN];
        IpPrefix p = {};
        unsigned long bits;
        char *end;
        int r;

        if (!slash || (size_t) (slash - text) >= sizeof host)
                return -EINVAL;
        memcpy(host, text, (size_t) (slash - text));
        host[slash - text] = '\0';
        r = ip_parse(host, &p.addr);
        if (r < 0)
                return r;
        if (slash[1] < '0' || slash[1] > '9')
                return -EINVAL;
        bits = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || bits > ip_size(&p.addr) * 8)
                return -EINVAL;
        p.len = (uint8_t) bits;
        for (unsigned i = p.len; i < ip_size(&p.addr) * 8; i++)
                if (p.addr.bytes[i / 8] & (0x80 >> i % 8))
                        return -EINVAL;
        *ret = p;
        return 0;
}

IpText ip_prefix_format(const IpPrefix *p) {
        IpText t = ip_format(&p->addr);
        size_t n = strlen(t.text);

        snprintf(t.text + n, sizeof t.text - n, "/%u", p->len);
        return t;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
        if (memcmp(a, b, bits / 8) != 0)
                return false;
        return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & (0xff00 >> bits % 8) & 0xff) == 0;
}

bool ip_prefix_contains(const IpPrefix *p, const IpAddr *a) {
        return p->addr.family == a->family && same_bits(p->addr.bytes, a->bytes, p->len);
}

bool ip_prefix_overlaps(const IpPrefix *a, const IpPrefix *b) {
        return a->addr.family == b->addr.family &&
               same_bits(a->addr.bytes, b->addr.bytes, MIN(a->len, b->len));
}

void prefix_set_add(PrefixSet *set, const IpAddr *addr, uint8_t len) {
        IpPrefix p = { .addr = *addr, .len = len };

        if (!ip_is_set(addr) || len > ip_size(addr) * 8 || set->n == ELEMENTSOF(set->prefix))
                return;
        for (unsigned i = len; i < ip_size(addr) * 8; i++)
                p.addr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
        for (unsigned i = 0; i < set->n; i++)
                if (set->prefix[i].len <= len && ip_prefix_contains(&set->prefix[i], addr))
                        return;
        set->prefix[set->n++] = p;
}

bool prefix_set_contains(const PrefixSet *set, const IpAddr *a) {
        for (unsigned i = 0; i < set->n; i++)
                if (ip_prefix_contains(&set->prefix[i], a))
                        return true;
        return false;
}

bool ip_prefix_is_private(const IpPrefix *p) {
        static const IpPrefix ranges[] = {
                { { AF_INET, { 10 } }, 8 },        { { AF_INET, { 172, 16 } }, 12 },
                { { AF_INET, { 192, 168 } }, 16 }, { { AF_INET, { 100, 64 } }, 10 },
                { { AF_INET6, { 0xfc } }, 7 },
        };

        for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
                if (p->len >= ranges[i].len && ip_prefix_contains(&ranges[i], &p->addr))
                        return true;
        return false;
}
