/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gateway/exit-ranges.h"

#include <string.h>

#include "base/macros.h"

/* The IANA's registry of special-purpose addresses (RFC 6890), what of it is not globally
 * reachable. 169.254.169.254, where clouds tell secrets, is link-local. The ranges for
 * documentation are left out: nobody is there. */
static const char *const denied4[] = {
        "0.0.0.0/8",      /* this network */
        "10.0.0.0/8",     /* RFC 1918 */
        "100.64.0.0/10",  /* shared, RFC 6598 */
        "127.0.0.0/8",    /* loopback */
        "169.254.0.0/16", /* link-local */
        "172.16.0.0/12",  /* RFC 1918 */
        "192.0.0.0/24",   /* IETF protocol assignments */
        "192.168.0.0/16", /* RFC 1918 */
        "198.18.0.0/15",  /* benchmarks */
        "224.0.0.0/3",    /* multicast, reserved, broadcast */
};

/* Of IPv6 only 2000::/3 is given out (RFC 4291 section 2.4): loopback, mapped and compatible IPv4,
 * fc00::/7, fe80::/10, fec0::/10 and ff00::/8 are outside it. */
#define GLOBAL6 "2000::/3"
static const char *const denied6[] = {
        "2001::/32", /* Teredo: an IPv4 address, disguised */
};

/* Prefixes in front of an IPv4 address which somebody may translate: 6to4 (RFC 3056) and NAT64 (RFC
 * 6052), the latter outside 2000::/3. */
#define SIXTOFOUR "2002::"
#define NAT64 "64:ff9b::"
#define NAT64_LEN 96U
#define SIXTOFOUR_LEN 16U

static IpAddr last_of(const IpPrefix *p) {
        IpAddr a = p->addr;

        for (unsigned i = p->len; i < 8 * ip_size(&a); i++)
                a.bytes[i / 8] |= (uint8_t) (0x80U >> i % 8);
        return a;
}

ExitRange exit_range_of(const IpPrefix *p) {
        return (ExitRange){ .first = p->addr, .last = last_of(p) };
}

static void add(GArray *ranges, const IpPrefix *p) {
        ExitRange r = exit_range_of(p);

        g_array_append_val(ranges, r);
}

static void add_text(GArray *ranges, const char *text) {
        IpPrefix p = {};
        int r = ip_prefix_parse(text, &p);

        assert(r >= 0);
        add(ranges, &p);
}

/* Return: whether there is one: @a is not the first. */
static bool before(const IpAddr *a, IpAddr *ret) {
        *ret = *a;
        for (size_t i = ip_size(a); i-- > 0;)
                if (ret->bytes[i]-- != 0)
                        return true;
        return false;
}

static bool after(const IpAddr *a, IpAddr *ret) {
        *ret = *a;
        for (size_t i = ip_size(a); i-- > 0;)
                if (++ret->bytes[i] != 0)
                        return true;
        return false;
}

/* From after @from to before @to; NULL: from the first, to the last. */
static void add_between(GArray *ranges, const IpAddr *from, const IpAddr *to) {
        ExitRange r = { .first.family = AF_INET6, .last.family = AF_INET6 };

        memset(r.last.bytes, 0xff, sizeof r.last.bytes);
        if ((from && !after(from, &r.first)) || (to && !before(to, &r.last)))
                return;
        g_array_append_val(ranges, r);
}

/* An IPv4 prefix behind an IPv6 one. */
static void add_embedded(GArray *ranges, const char *text, unsigned len, const ExitRange *v4) {
        ExitRange r = {};
        unsigned at = len / 8;

        if (ip_parse(text, &r.first) < 0)
                return;
        r.last = r.first;
        memcpy(r.first.bytes + at, v4->first.bytes, 4);
        memcpy(r.last.bytes + at, v4->last.bytes, 4);
        memset(r.last.bytes + at + 4, 0xff, sizeof r.last.bytes - at - 4);
        g_array_append_val(ranges, r);
}

static void add_all4(GArray *ranges, const GArray *links) {
        for (size_t i = 0; i < ELEMENTSOF(denied4); i++)
                add_text(ranges, denied4[i]);
        for (unsigned i = 0; links && i < links->len; i++) {
                const IpPrefix *p = &g_array_index(links, IpPrefix, i);

                if (p->addr.family == AF_INET)
                        add(ranges, p);
        }
}

static void add_all6(GArray *ranges, const GArray *links) {
        g_autoptr(GArray) v4 = g_array_new(FALSE, FALSE, sizeof(ExitRange));
        IpPrefix global = {}, nat64 = { .len = NAT64_LEN };
        IpAddr nat64_last, global_last;
        int r = ip_prefix_parse(GLOBAL6, &global);

        if (r >= 0)
                r = ip_parse(NAT64, &nat64.addr);
        assert(r >= 0);
        nat64_last = last_of(&nat64);
        global_last = last_of(&global);
        add_between(ranges, NULL, &nat64.addr);
        add_between(ranges, &nat64_last, &global.addr);
        add_between(ranges, &global_last, NULL);
        for (size_t i = 0; i < ELEMENTSOF(denied6); i++)
                add_text(ranges, denied6[i]);
        for (unsigned i = 0; links && i < links->len; i++) {
                const IpPrefix *p = &g_array_index(links, IpPrefix, i);

                if (p->addr.family == AF_INET6)
                        add(ranges, p);
        }
        add_all4(v4, links);
        for (unsigned i = 0; i < v4->len; i++) {
                const ExitRange *range = &g_array_index(v4, ExitRange, i);

                add_embedded(ranges, SIXTOFOUR, SIXTOFOUR_LEN, range);
                add_embedded(ranges, NAT64, NAT64_LEN, range);
        }
}

static int compare(const void *a, const void *b) {
        return memcmp(((const ExitRange *) a)->first.bytes, ((const ExitRange *) b)->first.bytes, 16);
}

/* The kernel refuses ranges that overlap. */
GArray *exit_ranges_merge(GArray *ranges) {
        GArray *merged = g_array_new(FALSE, FALSE, sizeof(ExitRange));

        g_array_sort(ranges, compare);
        for (unsigned i = 0; i < ranges->len; i++) {
                const ExitRange *r = &g_array_index(ranges, ExitRange, i);
                ExitRange *top = merged->len > 0 ? &g_array_index(merged, ExitRange, merged->len - 1)
                                                 : NULL;
                IpAddr next;

                if (!top || (after(&top->last, &next) && memcmp(r->first.bytes, next.bytes, 16) > 0))
                        g_array_append_val(merged, *r);
                else if (memcmp(r->last.bytes, top->last.bytes, 16) > 0)
                        top->last = r->last;
        }
        return merged;
}

GArray *exit_ranges(int family, const GArray *links) {
        g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(ExitRange));

        if (family == AF_INET)
                add_all4(ranges, links);
        else
                add_all6(ranges, links);
        return exit_ranges_merge(ranges);
}
