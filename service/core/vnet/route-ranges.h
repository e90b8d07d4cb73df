/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Longest-prefix match as a sorted array of ranges. Prefixes are nested or disjoint, never
 * crossing, so a set of n of them cuts the address space into at most 2n + 1 ranges, each with
 * one answer; a look-up is one binary search. Against a trie: built in one pass over the sorted
 * prefixes, one allocation, nothing to chase, and trivially immutable: any thread may read.
 */

#include <glib.h>
#include <stdint.h>

#include "base/ip.h"

/* Address as a number; IPv4 takes the upper 32 bits, so that prefix lengths count alike. */
typedef struct RangeKey {
        uint64_t hi, lo;
} RangeKey;

static inline RangeKey range_key_v4(uint32_t host_order) {
        return (RangeKey){ .hi = (uint64_t) host_order << 32 };
}
RangeKey range_key_v6(const uint8_t address[static 16]);

typedef struct RoutePrefix {
        IpPrefix prefix;
        void *value;
} RoutePrefix;

typedef struct RouteRanges RouteRanges;

/**
 * route_ranges_new() - build from prefixes of both families
 * @prefixes: of RoutePrefix*, in the order of route_prefix_compare(), each prefix once
 */
RouteRanges *route_ranges_new(const GPtrArray *prefixes);
void route_ranges_free(void *ranges);

/* Return: the value of the longest prefix that has the address; NULL: none. */
void *route_ranges_find_v4(const RouteRanges *r, uint32_t address);
void *route_ranges_find_v6(const RouteRanges *r, const uint8_t address[static 16]);

/* Family, address, length: an outer prefix stands right before what lies inside it. */
int route_prefix_compare(const IpPrefix *a, const IpPrefix *b);
