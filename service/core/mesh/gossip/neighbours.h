/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The links a member keeps even when nobody uses them, so that revocations, leases and presence
 * reach it: to the gateway and the issuers, and to its two successors on a ring of all members in
 * the order of a keyed hash of their ids. The ring makes the overlay connected without any
 * gateway; successors that do not answer are passed over for a while.
 *
 * A neighbour is probed when it was silent for 25 s if somebody between us translates addresses
 * (most forget a UDP mapping after 30 s, RFC 4787 recommends 120), else for 60 s.
 */

#include "core/mesh/mesh.h"

#define NEIGHBOUR_SUCCESSORS 2U
#define NEIGHBOUR_KEEPALIVE_NAT_USEC (25 * USEC_PER_SEC)
#define NEIGHBOUR_KEEPALIVE_USEC (60 * USEC_PER_SEC)
/* A successor that cannot be reached is not chosen for so long. */
#define NEIGHBOUR_AVOID_USEC (10 * USEC_PER_MINUTE)

typedef struct Neighbours Neighbours;

Neighbours *neighbours_new(Mesh *m);
Neighbours *neighbours_free(Neighbours *n);
/* Members or membership changed: choose again, in a moment. */
void neighbours_changed(Neighbours *n);
/* In the order in which they were chosen. */
void neighbours_foreach(
                const Neighbours *n,
                void (*callback)(void *userdata, const MachineId *machine),
                void *userdata);
bool neighbours_has(const Neighbours *n, const MachineId *machine);
unsigned neighbours_count(const Neighbours *n);
/* It was found somewhere: where it was passed over, or is waited for, that ends. */
void neighbours_found(Neighbours *n, const MachineId *machine);
/* Addresses changed or we woke up: no more waiting for the next try. */
void neighbours_hurry(Neighbours *n);
