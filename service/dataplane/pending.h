/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Packets that wait for a session to their machine, copied: not on the fast path. Bounded for
 * each machine (PENDING_* in base/limits.h) and in all, so that a scan of the subnet by a local
 * program costs no more than this.
 */

#include "base/limits.h"
#include "core/mesh/link/packet-peer.h"
#include "netif/netif.h"

#define PENDING_QUEUES_MAX 256U
#define PENDING_TOTAL_BYTES_MAX (1024U * 1024U)

typedef struct PendingPacket {
        usec_t since;
        PacketIn packet; /* its data behind it */
        uint8_t data[];
} PendingPacket;

typedef struct PendingQueue PendingQueue;
typedef struct PendingQueues PendingQueues;

PendingQueues *pending_new(void);
PendingQueues *pending_free(PendingQueues *q);

/* Copies @packet behind what waits for @peer. Return: false if it is full. */
bool pending_push(PendingQueues *q, PacketPeer *peer, const PacketIn *packet, usec_t now);
/* The first that waits for @peer; the caller frees it with g_free(). NULL: none. */
PendingPacket *pending_pop(PendingQueues *q, PacketPeer *peer);
/* How many wait for @peer. */
unsigned pending_count(const PacketPeer *peer);
/* The first packet that waited for PENDING_USEC; freed by the caller. NULL: none. */
PendingPacket *pending_pop_expired(PendingQueues *q, usec_t now, PacketPeer **ret_peer);
/* When pending_pop_expired() has the next. */
usec_t pending_next_expiry(const PendingQueues *q);
/* Drops what waits for @peer (which may be any pointer), or for peers of @mesh.
 * Return: how many. */
unsigned pending_drop_peer(PendingQueues *q, const void *peer);
unsigned pending_drop_mesh(PendingQueues *q, const struct Mesh *mesh);
