/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vnet/route-ranges.h"

#include <string.h>

#include "base/macros.h"

/* Ranges of one family: range i goes from start[i] to just before start[i + 1]. start[0] is 0, so
 * that every address is in one. Keys and values stand apart: a search touches keys only. */
typedef struct RangeSet {
        size_t n;
        RangeKey *start;
        void **value;
} RangeSet;

struct RouteRanges {
        RangeSet v4, v6;
};

RangeKey range_key_v6(const uint8_t address[static 16]) {
        return (RangeKey){ .hi = read_be64(address), .lo = read_be64(address + 8) };
}

static inline bool key_less(RangeKey a, RangeKey b) {
        return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static bool key_equal(RangeKey a, RangeKey b) {
        return a.hi == b.hi && a.lo == b.lo;
}

int route_prefix_compare(const IpPrefix *a, const IpPrefix *b) {
        int r;

        if (a->addr.family != b->addr.family)
                return a->addr.family < b->addr.family ? -1 : 1;
        r = memcmp(a->addr.bytes, b->addr.bytes, ip_size(&a->addr));
        return r != 0 ? r : (int) a->len - (int) b->len;
}

static RangeKey prefix_first(const IpPrefix *p) {
        return p->addr.family == AF_INET ? range_key_v4(ip_to_v4(&p->addr))
                                         : range_key_v6(p->addr.bytes);
}

/* First address behind the prefix. Return: false if it reaches to the end of the space. */
static bool prefix_end(const IpPrefix *p, RangeKey *ret) {
        RangeKey k = prefix_first(p), old = k;

        if (p->len == 0)
                return false;
        if (p->len <= 64)
                k.hi += UINT64_C(1) << (64 - p->len);
        else {
                k.lo += UINT64_C(1) << (128 - p->len);
                k.hi += k.lo < old.lo;
        }
        *ret = k;
        return !key_less(k, old); /* wrapped around */
}

static void set_append(RangeSet *s, RangeKey start, void *value) {
        if (s->n > 0 && key_equal(s->start[s->n - 1], start))
                s->n--; /* an inner prefix that starts with its outer one, or ends with it */
        if (s->n > 0 && s->value[s->n - 1] == value)
                return;
        s->start[s->n] = start;
        s->value[s->n++] = value;
}

/* One pass: @stack holds the prefixes that enclose the current point, outermost first. */
static void set_build(RangeSet *s, RoutePrefix *const *prefixes, size_t n) {
        RoutePrefix *const *end = prefixes + n;
        RoutePrefix *stack[129]; /* one a length at most */
        unsigned depth = 0;
        RangeKey k;

        s->start = g_new(RangeKey, 2 * n + 1);
        s->value = g_new(void *, 2 * n + 1);
        set_append(s, (RangeKey){}, NULL);
        for (;;) {
                while (depth > 0 &&
                       (prefixes == end ||
                        !ip_prefix_contains(&stack[depth - 1]->prefix, &(*prefixes)->prefix.addr))) {
                        bool more = prefix_end(&stack[--depth]->prefix, &k);

                        if (more)
                                set_append(s, k, depth > 0 ? stack[depth - 1]->value : NULL);
                }
                if (prefixes == end)
                        break;
                assert(depth < ELEMENTSOF(stack));
                stack[depth++] = *prefixes;
                set_append(s, prefix_first(&(*prefixes)->prefix), (*prefixes)->value);
                prefixes++;
        }
}

RouteRanges *route_ranges_new(const GPtrArray *prefixes) {
        RoutePrefix **p = (RoutePrefix **) prefixes->pdata;
        RouteRanges *r = NEW(RouteRanges);
        size_t n4 = 0;

        while (n4 < prefixes->len && p[n4]->prefix.addr.family == AF_INET)
                n4++;
        set_build(&r->v4, p, n4);
        set_build(&r->v6, p + n4, prefixes->len - n4);
        return r;
}

static void set_done(RangeSet *s) {
        g_free(s->start);
        g_free(s->value);
}

void route_ranges_free(void *ranges) {
        RouteRanges *r = ranges;

        if (!r)
                return;
        set_done(&r->v4);
        set_done(&r->v6);
        g_free(r);
}

static void *set_find(const RangeSet *s, RangeKey key) {
        size_t first = 0, n = s->n;

        while (n > 1) {
                size_t half = n / 2;

                if (!key_less(key, s->start[first + half]))
                        first += half;
                n -= half;
        }
        return s->value[first];
}

void *route_ranges_find_v4(const RouteRanges *r, uint32_t address) {
        return set_find(&r->v4, range_key_v4(address));
}

void *route_ranges_find_v6(const RouteRanges *r, const uint8_t address[static 16]) {
        return set_find(&r->v6, range_key_v6(address));
}
