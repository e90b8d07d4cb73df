/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What packet threads see of a machine. The control thread (mesh, tunnel) makes it, publishes
 * where and under which keys packets go, and retires it through MeshEnv.retire; packet threads
 * only read, and write the counters (one packet thread serves a machine, so plain relaxed stores
 * are enough).
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/budget.h"
#include "base/endpoint.h"
#include "base/machine-id.h"
#include "base/ratelimit.h"
#include "core/crypto/keypair.h"

/* Immutable once published, but for @heard. */
typedef struct PacketTx {
        Keypair *keypair;
        Endpoint endpoint;
        Endpoint second; /* everything goes there too; unset: nowhere else */
        uint16_t mtu;    /* largest inner packet */
        bool clamps;     /* that is less than the interface's MTU: TCP is told so */
        bool no_trains;  /* datagrams there are sent one by one (link/trains.h) */
        /* Monotonic: when something authentic last came from just @endpoint. Packet thread. */
        _Atomic usec_t heard;
} PacketTx;

typedef struct PacketPeer {
        MachineId id;
        struct Mesh *mesh; /* whose peer this is; packet threads compare it, no more */
        /* NULL: no packet session yet; packets wait (bounded) and the control thread is told. */
        _Atomic(PacketTx *) tx;
        /* The packet session is open: packets from the machine are taken. */
        _Atomic bool accept;
        /* A want-session message is on its way to the control thread. */
        _Atomic bool wanted;
        /* Nobody looks at the paths: the control thread is to be told of the next packet sent. */
        _Atomic bool quiet;
        /* Bytes received from it that wait for the control thread (dataplane/control-queue.h). */
        _Atomic uint32_t waiting;
        _Atomic uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes; /* inner sizes */
        _Atomic usec_t last_tx, last_rx; /* monotonic; inner packets only */
        _Atomic usec_t last_large;       /* monotonic: one of OMERTA_MTU_LEAST or more went out */
        Budget budget;                   /* control thread: of its work for this machine */
        RateLimit named;                 /* control thread: of probes to places it has named */
        _Atomic usec_t unread_until;     /* monotonic: its frames are dropped before */
        void *pending;                   /* packet thread's queue of packets that wait for tx */
} PacketPeer;
