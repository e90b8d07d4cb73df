/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The table of nftables by which this machine is an exit of a network: what is in it, and the
 * commands that make it so. Without I/O.
 *
 * From the interface of the network to another only what a member may who sends it: those in
 * "members4/6" to the internet, each to what is granted to it ("granted4/6") or to all of them
 * ("lan4/6"), the rest is refused with an answer. What leaves is masqueraded. Into the network only
 * answers. To this machine itself, what is sent to its address in the network and nothing else.
 * Interfaces whose forwarding was switched on for this forward for nothing else ("guarded").
 */

#include "gateway/exit-ranges.h"
#include "host/nft-batch.h"

/* Interfaces by which the default routes lead; far more than a machine has. */
#define EXIT_UPLINKS_MAX 16U

/* A prefix that is granted though it is not the internet. Of one member's none lies in another. */
typedef struct ExitGrant {
        IpAddr member; /* where it sends from, of the prefix's family; unset: all that may use the exit */
        IpPrefix prefix;
} ExitGrant;

typedef struct ExitRules {
        char interface[16];       /* IFNAMSIZ, of the network */
        IpPrefix subnet[2];       /* its addresses: IPv4, IPv6; len 0: none */
        char other_interface[16]; /* another one of ours, beside "omerta*"; "": none */
        char guarded[EXIT_UPLINKS_MAX][16];
        unsigned n_guarded;
        bool guards_all6; /* forwarding of IPv6 was switched on for all interfaces */
        GArray *members;  /* of IpAddr: who may use it */
        GArray *grants;   /* of ExitGrant */
        GArray *links;    /* of IpPrefix: what this machine is connected to */
} ExitRules;

void exit_rules_init(ExitRules *r);
void exit_rules_clear(ExitRules *r);

/* Names of sets and counters, for who reads them. */
const NftSet *exit_rules_members(int family); /* counts what they send */
const NftSet *exit_rules_back(int family);    /* the same addresses; what is sent to them */
#define EXIT_COUNTER_REFUSED "refused"
#define EXIT_COUNTER_FLOWS "flows"

/* All of the table but members. @replace: there is one already. */
void exit_rules_put(NftBatch *b, const ExitRules *r, bool replace);
/* Of IpAddr, both families. */
void exit_rules_put_members(NftBatch *b, const GArray *addresses);
void exit_rules_delete_members(NftBatch *b, const GArray *addresses);

/* Whether both make the same table, members apart. */
bool exit_rules_same(const ExitRules *a, const ExitRules *b);
