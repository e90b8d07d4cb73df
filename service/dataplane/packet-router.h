/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The packet path as a value: packets of an interface in, datagrams out, and back. No sockets,
 * threads or clock of its own; the packet thread (loop.c) and the simulator drive it, each from
 * one thread only.
 *
 *   read_batch -> packet_router_egress()  -> route, cut, encrypt  -> PacketSink.send
 *   recvmmsg   -> packet_router_ingress() -> decrypt, check, merge -> write_batch
 *
 * A turn is: packet_router_begin(), any number of batches, packet_router_end(). Nothing that the
 * control thread can retire is looked at between turns.
 */

#include "base/ratelimit.h"
#include "core/mesh/relay/relay-table.h"
#include "dataplane/dataplane.h"
#include "dataplane/tx-batch.h"

typedef struct PacketRouter PacketRouter;
typedef struct RouterNetwork RouterNetwork;

/* Where results go. Those with a result are false, or the reason, when there is no room; the
 * message is then dropped and counted, or comes again. */
typedef struct PacketSink {
        void *userdata;
        /* What cannot be sent is counted in the train's drops. */
        void (*send)(void *userdata, const TxTrain *trains, unsigned n);
        bool (*datagram)(void *userdata, const uint8_t *data, size_t len, const Endpoint *from);
        DropReason (*frame)(
                        void *userdata,
                        Keypair *kp,
                        const uint8_t *frame,
                        size_t len,
                        const Endpoint *from);
        bool (*arrival)(void *userdata, Keypair *kp, const Endpoint *from);
        bool (*want_session)(void *userdata, PacketPeer *peer);
        /* The interface is gone; it is not written any more. */
        void (*failed)(void *userdata, Netif *netif, int error);
        /* The interface takes no super-packets though it said it would; it gets none any more. May
         * be NULL. */
        void (*refused)(void *userdata, Netif *netif);
        /* An answer to one of our own echoes, which no interface gets; NULL: there are none. */
        bool (*echo)(void *userdata, struct Mesh *mesh, uint64_t number);
        uint64_t echo_secret; /* EchoToken */
        bool no_merging;      /* interfaces get packets as they came */
        /* A packet was sent to a peer whose quiet was set; NULL: nobody wants to know. */
        bool (*sent)(void *userdata, PacketPeer *peer);
        /* A datagram came by an allocation (.relay) that nobody here has given, for keys nobody
         * here has. NULL: nobody wants to know. */
        bool (*relay_unknown)(void *userdata, const Endpoint *from);
} PacketSink;

/* @indices, @drops: borrowed, see DataplaneConfig; @indices may be NULL where
 * packet_router_ingress() is not used. */
PacketRouter *packet_router_new(const PacketSink *sink, IndexTable *indices, DropCounters *drops);
PacketRouter *packet_router_free(PacketRouter *r);
/* What others have relayed through us; borrowed. Until then it is nothing. */
void packet_router_set_relays(PacketRouter *r, const RelayTable *relays);

/* -EEXIST, -ENOSPC (NETWORKS_MAX). */
int packet_router_add_network(PacketRouter *r, const DataplaneNetwork *network, RouterNetwork **ret);
/* Packets that wait for its machines are dropped. */
void packet_router_remove_network(PacketRouter *r, const struct Mesh *mesh);

/* @now: monotonic, the same clock as MeshEnv.now. */
void packet_router_begin(PacketRouter *r, usec_t now);
/* Sends what was encrypted, writes what was decrypted, expires packets that wait too long.
 * Return: when it must be called again at the latest; USEC_INFINITY: no matter. */
usec_t packet_router_end(PacketRouter *r);
/* Sends what was encrypted so far. */
void packet_router_send(PacketRouter *r);

/* Packets from the interface; buffers are overwritten. */
void packet_router_egress(PacketRouter *r, RouterNetwork *network, PacketIn *packets, unsigned n);

/**
 * packet_router_ingress() - what one receive call gave
 * @segment: length of every datagram in @data but the last (UDP_GRO); @len if it is one
 *
 * Decrypts in place, and relays from there; @data must stay until packet_router_deliver() or packet_router_end().
 */
void packet_router_ingress(PacketRouter *r, uint8_t *data, size_t len, size_t segment, const Endpoint *from);
/* A packet that somebody else decrypted (MeshHandler.packet); stays as above. */
void packet_router_ingress_packet(
                PacketRouter *r,
                PacketPeer *peer,
                uint8_t flags,
                uint8_t *packet,
                size_t len);
/* Writes to the interfaces what came in so far, and sends what is relayed; its buffers may be used
 * again. */
void packet_router_deliver(PacketRouter *r);

/* @peer has keys now: packets that wait for it are sent. */
void packet_router_flush_pending(PacketRouter *r, PacketPeer *peer);
/* @object (any pointer) is about to be freed: what waits for it is dropped. */
void packet_router_forget(PacketRouter *r, const void *object);

typedef struct PacketRouterStats {
        uint64_t packets_out, packets_in; /* inner, of wire size */
        uint64_t interface_writes;        /* packets and super-packets */
        uint64_t interface_refused;       /* super-packets that had to be cut */
        uint64_t authentic; /* datagrams that came, opened here or relayed for a member */
} PacketRouterStats;
PacketRouterStats packet_router_stats(const PacketRouter *r);
