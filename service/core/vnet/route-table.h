/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where packets go, read by packet threads without waiting, written by the control thread.
 * An IPv4 destination in the subnet is one array access; everything else (IPv6, subnet routes,
 * the exit) a longest-prefix look-up in a table of ranges that is replaced as a whole
 * (route-ranges.h).
 *
 * The same table answers who may send from an address.
 *
 * A change of an IPv4 host route inside the array is seen at once. Other changes are gathered and
 * published at the end of the control loop's turn, by route_table_flush(), or by
 * route_table_remove_peer(): after the latter no new look-up finds the peer.
 */

#include <stdatomic.h>

#include "base/drop-reason.h"
#include "base/ip.h"
#include "core/mesh/env.h"
#include "core/mesh/link/packet-peer.h"
#include "core/vnet/route-ranges.h"

typedef enum RouteVerdict {
        ROUTE_DROP,
        ROUTE_LOCAL,
        ROUTE_PEER,
        ROUTE_EXIT, /* outside the network, by the exit this machine has chosen */
} RouteVerdict;

typedef struct RouteDecision {
        RouteVerdict verdict;
        DropReason reason; /* ROUTE_DROP */
        PacketPeer *peer;  /* ROUTE_PEER, ROUTE_EXIT */
} RouteDecision;

/* What a slot says where it is no peer. */
enum {
        ROUTE_SLOT_NONE,       /* nothing known: outside all prefixes */
        ROUTE_SLOT_LOCAL,      /* this machine */
        ROUTE_SLOT_NOBODY,     /* inside the network, but nobody has it */
        ROUTE_SLOT_MULTICAST,  /* broadcast, multicast, the network's own address */
        ROUTE_SLOT_UNROUTABLE, /* loopback, link-local: never leaves a machine */
        _ROUTE_SLOT_MAX,
};

typedef enum RouteFamily {
        ROUTE_IPV4,
        ROUTE_IPV6,
        _ROUTE_FAMILY_MAX,
} RouteFamily;

typedef struct RouteTableWriter RouteTableWriter;

/* For the inline functions below only. */
typedef struct RouteTable {
        uint32_t base, size;         /* of the array: first address, number of addresses */
        _Atomic(PacketPeer *) *host; /* of one address each; NULL: ask @ranges. Memory that was
                                      * never written costs nothing (calloc of fresh pages) */
        _Atomic(RouteRanges *) ranges;
        /* By RouteFamily: the one machine that may bring packets from outside all prefixes, and gets
         * those that go there: by choice of this machine's user, never by a role. NULL: nobody. */
        _Atomic(PacketPeer *) exit[_ROUTE_FAMILY_MAX];
        /* This machine carries what its members send there, and back: it is an exit. */
        _Atomic bool carries[_ROUTE_FAMILY_MAX];
        RouteTableWriter *writer;
} RouteTable;

/* Subnets from /8 (the array then covers the first 65536 addresses, the ranges the rest) to /30.
 * Return: 0, or -EINVAL. */
int route_table_new(const MeshEnv *env, const IpPrefix *subnet, RouteTable **ret);
/* What packet threads can still look at goes through MeshEnv.retire. */
RouteTable *route_table_free(RouteTable *t);

/* --- control thread --- */

/* Each replaces what was there. @peer NULL: the prefix is in the network, but nobody's.
 * -EINVAL: the prefix does not fit its family, or is the subnet's network or broadcast address. */
int route_table_set(RouteTable *t, const IpPrefix *prefix, PacketPeer *peer);
int route_table_set_local(RouteTable *t, const IpPrefix *prefix);
void route_table_remove(RouteTable *t, const IpPrefix *prefix);
/* Removes every route of @peer (compared, never looked into); before it is retired. */
void route_table_remove_peer(RouteTable *t, const PacketPeer *peer);
/* NULL: none. Seen at once, as the next. */
void route_table_set_exit(RouteTable *t, RouteFamily family, PacketPeer *peer);
void route_table_set_carries(RouteTable *t, RouteFamily family, bool carries);
/* Publishes what was changed. */
void route_table_flush(RouteTable *t);

/* --- any thread --- */

PacketPeer *route_table_slot_v4_slow(const RouteTable *t, uint32_t address);
RouteDecision route_table_decide(const RouteTable *t, PacketPeer *slot, RouteFamily family);

static inline bool route_slot_is_peer(const PacketPeer *slot) {
        return (uintptr_t) slot >= _ROUTE_SLOT_MAX;
}

static inline PacketPeer *route_table_slot_v4(const RouteTable *t, uint32_t address) {
        uint32_t i = address - t->base;

        if (G_LIKELY(i < t->size)) {
                PacketPeer *slot = atomic_load_explicit(&t->host[i], memory_order_acquire);

                if (G_LIKELY(slot))
                        return slot;
        }
        return route_table_slot_v4_slow(t, address);
}

static inline RouteDecision route_table_lookup_v4(const RouteTable *t, uint32_t destination) {
        PacketPeer *slot = route_table_slot_v4(t, destination); /* host order */

        if (G_LIKELY(route_slot_is_peer(slot)))
                return (RouteDecision){ .verdict = ROUTE_PEER, .peer = slot };
        return route_table_decide(t, slot, ROUTE_IPV4);
}
RouteDecision route_table_lookup_v6(const RouteTable *t, const uint8_t destination[static 16]);
RouteDecision route_table_lookup(const RouteTable *t, const IpAddr *destination);

/* The part of route_table_source_ok_*() for addresses that are not simply @peer's own. */
bool route_table_source_decide(
                const RouteTable *t,
                const PacketPeer *slot,
                RouteFamily family,
                const PacketPeer *peer);

/* May @peer send from this address? (The exit from any outside the network.) */
static inline bool
route_table_source_ok_v4(const RouteTable *t, uint32_t source, const PacketPeer *peer) {
        const PacketPeer *slot = route_table_slot_v4(t, source);

        return G_LIKELY(slot == peer) || route_table_source_decide(t, slot, ROUTE_IPV4, peer);
}
bool route_table_source_ok_v6(const RouteTable *t, const uint8_t source[static 16], const PacketPeer *peer);

/* Is it one of our own addresses? */
static inline bool route_table_is_local_v4(const RouteTable *t, uint32_t address) {
        return (uintptr_t) route_table_slot_v4(t, address) == ROUTE_SLOT_LOCAL;
}
bool route_table_is_local_v6(const RouteTable *t, const uint8_t address[static 16]);

/* Is it behind this machine: one of our own, or outside all prefixes where this machine carries?
 * Members may send there, and the interface from there. */
static inline bool
route_table_is_behind(const RouteTable *t, const PacketPeer *slot, RouteFamily family) {
        return (uintptr_t) slot == ROUTE_SLOT_LOCAL ||
               ((uintptr_t) slot == ROUTE_SLOT_NONE &&
                atomic_load_explicit(&t->carries[family], memory_order_relaxed));
}
static inline bool route_table_is_behind_v4(const RouteTable *t, uint32_t address) {
        return route_table_is_behind(t, route_table_slot_v4(t, address), ROUTE_IPV4);
}
bool route_table_is_behind_v6(const RouteTable *t, const uint8_t address[static 16]);
