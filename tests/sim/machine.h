/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A whole omerta machine on a simulated internet: the core's network, the packet path, a store
 * in memory and an interface made of queues. What the daemon adds (sockets, threads, disk, bus)
 * is left out; everything else is the real thing.
 */

#include "core/mesh/enrol/enrol.h"
#include "core/network.h"
#include "dataplane/packet-router.h"
#include "memory-store.h"
#include "netif/mock.h"
#include "sim.h"

typedef struct Machine {
        Sim *sim;
        SimNode *node;
        char *name;
        Identity *identity;
        MemoryStore *store;
        Membership membership; /* what the daemon would have on disk */
        bool has_membership;
        const SessionPoolConfig *sessions; /* of lives that begin from now on; NULL: the default */
        Identity *root;                    /* of the network it made */
        bool root_is_away;                 /* kept elsewhere */
        SimNat *site;         /* where it stands, for the test to know; NULL: on the internet */
        Endpoint mapped;      /* published first, where its router gave it one */
        uint16_t stream_port; /* TCP; 0: it does not listen */

        /* Of one life. */
        IndexTable *indices;
        RelayTable *relays;
        DropCounters drops;
        Network *network;
        Netif *netif;
        PacketRouter *router;
        RouterNetwork *router_network;
        bool is_routed;
        GQueue events; /* what the packet path hands up, handled after its turn */
        Timer router_timer;

        bool left, told;
        bool join_finished;
        char *join_error, *join_detail;
        unsigned n_sessions_changed;
        unsigned n_leases_ended; /* time went over their end, or a clock back over it */
} Machine;

Machine *machine_new(Sim *sim, const char *name, const char *endpoint);
Machine *machine_free(Machine *m);

/* Makes a network with this machine as its gateway. */
void machine_create_network(Machine *m, const char *subnet);
/* An invite by the gateway, one use. */
char *machine_invite(Machine *m, const InviteOptions *options);
/* Starts joining; machine_join() waits for the end (12 s of virtual time). */
void machine_join_start(Machine *m, const char *link);
/* Return: NULL, or the error's name. */
const char *machine_join(Machine *m, const char *link);

/* Leaves, and forgets as the daemon does; the next join is another machine's. Return: whether some
 * member has taken it down. */
bool machine_leave(Machine *m);

/* The daemon ends (@graceful) or is killed; what was not committed is lost with @power. */
void machine_stop(Machine *m, bool graceful, bool lose_power);
/* Starts again from what is stored. */
void machine_start(Machine *m);

/* It takes connections at this TCP port; 0: at none any more. */
void machine_listen(Machine *m, uint16_t port);

/* Its addresses changed, and it noticed. */
void machine_moved(Machine *m);

IpAddr machine_address(Machine *m);
const MachineId *machine_id(const Machine *m);
/* A local program sends a UDP packet to @to with this text. */
void machine_send_text(Machine *m, const IpAddr *from, const IpAddr *to, const char *text);
/* TCP of it sends @n segments in one super-packet. */
void machine_send_bulk(Machine *m, Machine *to, unsigned n);
/* Takes packets that arrived. Return: how many such segments were in them. */
unsigned machine_received_bulk(Machine *m);
/* Takes packets that arrived. Return: whether one was UDP from @from with this text. */
bool machine_received_text(Machine *m, const IpAddr *from, const char *text);
/* Sends and waits for arrival at @to, at most @wait. */
bool machine_reaches(Machine *m, Machine *to, usec_t wait);
