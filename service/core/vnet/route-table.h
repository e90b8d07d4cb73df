/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where packets go, read by packet threads without waiting, written by the control thread.
 * An IPv4 destination in the subnet is one array access; everything else (IPv6, subnet routes,
 * the gateway) a longest-prefix look-up in a trie that is replaced as a whole.
 *
 * The same table answers who may send from an address.
 */

#include "base/drop-reason.h"
#include "base/ip.h"
#include "core/mesh/env.h"
#include "core/mesh/packet-peer.h"

typedef enum RouteVerdict {
        ROUTE_DROP,
        ROUTE_LOCAL,
        ROUTE_PEER,
        ROUTE_GATEWAY, /* outside the network: to the gateway's peer, or ours to carry (peer NULL) */
} RouteVerdict;

typedef struct RouteDecision {
        RouteVerdict verdict;
        DropReason reason; /* ROUTE_DROP */
        PacketPeer *peer;  /* ROUTE_PEER, ROUTE_GATEWAY */
} RouteDecision;

typedef struct RouteTable RouteTable;

/* Subnets from /8 (the array then covers the first 65536 addresses, the trie the rest) to /30. */
int route_table_new(const MeshEnv *env, const IpPrefix *subnet, RouteTable **ret);
RouteTable *route_table_free(RouteTable *t);

/* --- control thread --- */

/* Each replaces what was there. -EINVAL: the prefix does not fit its family. */
int route_table_set(RouteTable *t, const IpPrefix *prefix, PacketPeer *peer);
int route_table_set_local(RouteTable *t, const IpPrefix *prefix);
void route_table_remove(RouteTable *t, const IpPrefix *prefix);
/* Removes every route of @peer; before it is retired. */
void route_table_remove_peer(RouteTable *t, const PacketPeer *peer);
/* What lies outside all prefixes. @is_self: this machine is the gateway. */
void route_table_set_gateway(RouteTable *t, PacketPeer *peer, bool is_self);

/* --- any thread --- */

RouteDecision route_table_lookup_v4(const RouteTable *t, uint32_t destination); /* host order */
RouteDecision route_table_lookup_v6(const RouteTable *t, const uint8_t destination[static 16]);
RouteDecision route_table_lookup(const RouteTable *t, const IpAddr *destination);
/* May @peer send from this address? (The gateway from any outside the subnet.) */
bool route_table_source_ok_v4(const RouteTable *t, uint32_t source, const PacketPeer *peer);
bool route_table_source_ok_v6(const RouteTable *t, const uint8_t source[static 16], const PacketPeer *peer);
/* Is it one of our own addresses? */
bool route_table_is_local_v4(const RouteTable *t, uint32_t address);
bool route_table_is_local_v6(const RouteTable *t, const uint8_t address[static 16]);
