/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The virtual network: turns signed leases and certificates of the directory into routes, and
 * answers who has which address. Nothing but a signed lease (or, for IPv6, a certificate: the
 * address is computed from the id) gives anybody an address.
 */

#include "core/mesh/directory/directory.h"
#include "core/vnet/route-table.h"

typedef struct Vnet Vnet;

typedef struct VnetConfig {
        NetworkId network;
        MachineId self;
        IpPrefix subnet;
        const MeshEnv *env;
        Directory *directory;
        /* PacketPeer of a machine, made on demand (mesh_packet_peer); NULL: the mesh does not know
         * it. */
        PacketPeer *(*packet_peer)(void *userdata, const MachineId *machine);
        void *userdata;
} VnetConfig;

int vnet_new(const VnetConfig *config, Vnet **ret);
Vnet *vnet_free(Vnet *v);

RouteTable *vnet_routes(Vnet *v); /* for the packet path */
/* Our IPv4 address from our own lease; AF_UNSPEC: none yet. */
IpAddr vnet_local_address(const Vnet *v);
IpAddr vnet_local_address6(const Vnet *v);
IpAddr vnet_gateway_address(const Vnet *v);
/* The member with role gateway; if several: ourselves, else the oldest certificate ("not before",
 * then id). Return: false: none. */
bool vnet_gateway(const Vnet *v, MachineId *ret);

typedef struct VnetDecision {
        RouteVerdict verdict;
        DropReason reason;
        MachineId machine; /* ROUTE_PEER, ROUTE_EXIT */
} VnetDecision;
/* Where a packet of ours would go; IPv4 without an address of our own: DROP_NO_ADDRESS. */
VnetDecision vnet_route(Vnet *v, const IpAddr *destination);
/* Return: false if nobody has it. */
bool vnet_lookup_machine(const Vnet *v, const IpAddr *address, MachineId *ret);
bool vnet_lookup_address(const Vnet *v, const MachineId *machine, IpAddr *ret);

/* Of 10.N.0.0/16, or where there is none of 172.16.0.0/16 to 172.31.0.0/16, those that overlap none of
 * @used (default routes do not count), number @choice modulo how many they are: 0 is the first.
 * Return: 0, or -EADDRNOTAVAIL. */
int vnet_choose_subnet(const IpPrefix *used, unsigned n_used, uint32_t choice, IpPrefix *ret);
/* .0.1, and the first (host 100; host 2 in subnets too small for that) and the last address that
 * are leased. */
IpAddr vnet_plan_gateway(const IpPrefix *subnet);
IpAddr vnet_plan_first(const IpPrefix *subnet);
IpAddr vnet_plan_last(const IpPrefix *subnet);
