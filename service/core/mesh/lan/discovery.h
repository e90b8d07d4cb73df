/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Members in one broadcast domain find each other without any help, also when nothing else works
 * (docs/protocol.md, "Type 6"): when beacons are sent, which are believed, and who is told of it.
 *
 * A beacon is a hint where a machine may be asked, never proof that it is there. What a beacon that
 * was recorded, relayed or made by a member in another's name can cause is one more path that a
 * handshake is tried on, and one answer as long as itself, each a few seconds apart.
 *
 * Control thread only.
 */

#include "core/mesh/link/path.h"
#include "core/mesh/mesh.h"

typedef struct Discovery Discovery;

/* Off until there is a membership and discovery_set(). */
Discovery *discovery_new(Mesh *m);
Discovery *discovery_free(Discovery *d);
void discovery_set(Discovery *d, bool on);
/* The network's secret is known, or changed. */
void discovery_set_secret(Discovery *d, const Secret *secret);

/* Interfaces or addresses came, or we woke up: say where we are. */
void discovery_hurry(Discovery *d);

/* Return: DROP_BEACON_FOREIGN: not of this network; the caller counts. */
DropReason discovery_handle_beacon(Discovery *d, const uint8_t *data, size_t len, const Endpoint *from);

/* Whether @machine was heard in this LAN lately. */
bool discovery_knows(const Discovery *d, const MachineId *machine);
/* Adds where it was heard to @paths. */
void discovery_fill(const Discovery *d, const MachineId *machine, PathSet *paths, usec_t now);
LanInfo discovery_info(const Discovery *d);
