/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by packet-router.c, egress.c, ingress.c, icmp.c, interface-write.c. */

#include "base/limits.h"
#include "dataplane/gro-coalesce.h"
#include "dataplane/packet-router.h"
#include "dataplane/pending.h"

struct RouterNetwork {
        DataplaneNetwork config;
        GroBatch *gro;
        RateLimit icmp;
        bool failed;      /* the interface is gone */
        unsigned refused; /* super-packets that the interface did not take as such */
};

/* Messages that would be repeated with every packet are sent again after this. */
#define NOTICE_INTERVAL_USEC (500 * USEC_PER_MSEC)
#define NOTICES 64U

/* The last time something was said about an object; a collision costs one more message. */
typedef struct Notice {
        const void *object;
        Endpoint endpoint;
        usec_t at;
} Notice;

/* The keypair of the datagram before: those of a batch mostly have the same. Its sums are
 * written to the peer when another comes, or at the end of the batch. */
typedef struct RxCurrent {
        Keypair *keypair;
        PacketPeer *peer;
        RouterNetwork *network;
        bool endpoint_seen; /* in this receive buffer, behind this relay */
        uint32_t relay;
        uint64_t packets, bytes;
} RxCurrent;

/* What is relayed, until the receive buffers are used again. */
typedef struct RelayForward {
        unsigned n;
        TxTrain train[TX_TRAINS_MAX];
        DropCounters drops;  /* of those trains; moved on to the daemon's */
        uint64_t window;     /* the present one */
        uint64_t top, level; /* bytes of the heaviest sender in it; bytes one may send in one */
        bool full;           /* not all could be sent */
} RelayForward;

struct PacketRouter {
        PacketSink sink;
        IndexTable *indices;
        DropCounters *drops;
        usec_t now;
        RouterNetwork *network[NETWORKS_MAX];
        unsigned n_networks;
        RxCurrent rx;
        TxBatch tx;
        PendingQueues *pending;
        uint8_t *cut;             /* a super-packet that was refused; NULL: none ever was */
        const RelayTable *relays; /* NULL: never anything */
        RelayForward relay;
        Notice arrivals[NOTICES], wants[NOTICES], unknown[NOTICES];
        PacketRouterStats stats;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n) {
        /* One thread writes, so no locked instruction is needed. */
        atomic_store_explicit(
                        counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                        memory_order_relaxed);
}

RouterNetwork *router_find_network(PacketRouter *r, const struct Mesh *mesh);
/* Whether to say it (again): true at most every NOTICE_INTERVAL_USEC for the same object and
 * @endpoint (may be NULL). */
bool router_notice(Notice *table, const void *object, const Endpoint *endpoint, usec_t now);
/* Hands @packets to the interface, in pieces where it refuses them whole; what it does not take is
 * counted. */
void router_write(PacketRouter *r, RouterNetwork *n, const PacketOut *packets, unsigned count);
/* Once a packet has waited too long its sender is told, as after a failed neighbour look-up. */
void egress_pending_expired(PacketRouter *r, RouterNetwork *n, const uint8_t *packet, size_t len);
/* A packet that waited for @peer; it waits again if there is still no session. */
void egress_to_peer(PacketRouter *r, RouterNetwork *n, PacketPeer *peer, const PacketIn *in);
/* One datagram of type 1 to 4, decrypted in place. */
void ingress_datagram(PacketRouter *r, uint8_t *data, size_t len, const Endpoint *from);
/* Datagrams of @segment bytes, the first of which is of type 5. Return: bytes of those looked at. */
size_t relay_ingress(PacketRouter *r, uint8_t *data, size_t len, size_t segment, const Endpoint *from);
/* Sends what is to be relayed. */
void relay_send(PacketRouter *r);
/* Writes the sums of the current keypair. */
void ingress_settle(PacketRouter *r);

typedef enum IcmpReason {
        ICMP_REASON_NO_ROUTE,    /* nobody has the network */
        ICMP_REASON_UNREACHABLE, /* the machine cannot be reached */
        ICMP_REASON_TOO_BIG,
} IcmpReason;
/* Tells the local sender of @packet; @mtu for TOO_BIG. Rate-limited. */
void icmp_reply(PacketRouter *r,
                RouterNetwork *n,
                IcmpReason reason,
                const uint8_t *packet,
                size_t len,
                uint16_t mtu);
/**
 * icmp_build() - the message itself
 * @ret: ICMP_SIZE_MAX bytes
 * Return: its length, or 0: no error is ever sent about such a packet.
 */
#define ICMP_SIZE_MAX 1280U
size_t icmp_build(IcmpReason reason, const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *ret);
