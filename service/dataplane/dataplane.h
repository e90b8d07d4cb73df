/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The packet thread: takes batches from the interfaces and from the UDP sockets and carries each
 * to the other side, run to completion (docs/architecture.md, "The packet path"). The control
 * thread adds and removes sockets and networks and is told, through a bounded queue, what packet
 * threads do not decide: handshakes, frames, roaming, machines without a session.
 *
 * Functions are for the control thread unless they say otherwise.
 */

#include "base/drop-reason.h"
#include "base/endpoint.h"
#include "core/crypto/index-table.h"
#include "core/mesh/link/packet-peer.h"
#include "core/mesh/relay/relay-table.h"
#include "core/vnet/route-table.h"
#include "netif/netif.h"

typedef struct Dataplane Dataplane;

/* Called on the control thread, from dataplane_dispatch(). Buffers are valid during the call and
 * may be overwritten. */
typedef struct DataplaneHandler {
        void *userdata;
        /* Types 1 to 3, and data messages nobody here has keys for are counted, not handed up. */
        void (*datagram)(void *userdata, uint8_t *data, size_t len, const Endpoint *from);
        /* Plaintext that is no IP packet. */
        void (*frame)(void *userdata,
                      Keypair *kp,
                      const uint8_t *frame,
                      size_t len,
                      const Endpoint *from);
        /* First message under a keypair, or from another endpoint than PacketTx sends to, or to
         * another address of ours than it sends from. */
        void (*arrival)(void *userdata, Keypair *kp, const Endpoint *from);
        /* A packet waits for a session to this machine. */
        void (*want_session)(void *userdata, PacketPeer *peer);
        /* An interface is gone (somebody deleted it). -EOPNOTSUPP: it is there, but takes no
         * super-packets though it said so; it gets packets. */
        void (*failed)(void *userdata, Netif *netif, int error);
        /* An answer to dataplane_echo(), whose network may be gone; NULL: there are no echoes. */
        void (*echo)(void *userdata, struct Mesh *mesh, uint64_t number);
        /* @local is no address of this machine any more, but PacketTx names it; NULL: whatever. */
        void (*local_lost)(void *userdata, const IpAddr *local);
        /* Nothing is received from this socket any more: somebody shut it down or closed it. It
         * stays in its place, to be removed. NULL: whatever. */
        void (*socket_failed)(void *userdata, int fd, int error);
        /* The first packet after a pause went to this machine (PacketPeer.quiet); NULL: whatever. */
        void (*sent)(void *userdata, PacketPeer *peer);
        /* Somebody sends by an allocation that is not there (.relay); NULL: whoever. */
        void (*relay_unknown)(void *userdata, const Endpoint *from);
        /* The TCP connection that was this endpoint is no more, by which something authentic came;
         * NULL: whatever. */
        void (*stream_ended)(void *userdata, const Endpoint *peer);
} DataplaneHandler;

typedef struct DataplaneConfig {
        IndexTable *indices;
        DropCounters *drops;      /* of the daemon: datagrams that belong to no network */
        const RelayTable *relays; /* borrowed; NULL: nothing is relayed */
        DataplaneHandler handler;
        uint64_t echo_secret; /* random, for what dataplane_echo() sends */
        /* Kernels and drivers that spoil what is left to them can be spared: datagrams are sent one
         * by one (no UDP_SEGMENT), packets are written as they came (no super-packets). */
        bool no_trains, no_merging;
} DataplaneConfig;

/* Starts the thread. */
int dataplane_new(const DataplaneConfig *config, Dataplane **ret);
/* Stops and joins it. Networks and sockets are to be removed before. */
Dataplane *dataplane_free(Dataplane *d);

/* Readable when dataplane_dispatch() has something to do; for the event loop. */
int dataplane_fd(Dataplane *d);
/* At most @max messages. Return: how many. */
int dataplane_dispatch(Dataplane *d, unsigned max);

/**
 * dataplane_add_socket() - a bound UDP socket, IPv4 or IPv6 (IPV6_V6ONLY)
 * Sets non-blocking, DF, UDP_GRO, IP_PKTINFO and buffer sizes for short queues (udp-socket.c).
 * The fd stays the caller's.
 */
int dataplane_add_socket(Dataplane *d, int fd);
int dataplane_remove_socket(Dataplane *d, int fd);
/* A listening TCP socket, IPv4 or IPv6, non-blocking: who connects is asked for datagrams
 * (dataplane/stream.h). The fd stays the caller's. */
int dataplane_add_listener(Dataplane *d, int fd);
/* Connections it accepted go on. */
int dataplane_remove_listener(Dataplane *d, int fd);
/* Addresses of this machine changed: stream_table_doubt(). */
void dataplane_doubt_streams(Dataplane *d);
/* Sends one datagram from the control thread, by the socket of its family; see
 * udp_socket_send_one(). To a TCP endpoint by the packet thread, which counts what fails. */
int dataplane_send(Dataplane *d, const Endpoint *to, const uint8_t *data, size_t len);
/* @n datagrams of @len bytes, one behind the other, as one train, whatever PacketTx says; see
 * udp_socket_send_train(). Return: -EOPNOTSUPP: DataplaneConfig.no_trains, or no UDP endpoint. */
int dataplane_send_train(Dataplane *d, const Endpoint *to, const uint8_t *data, size_t len, unsigned n);

typedef struct DataplaneNetwork {
        struct Mesh *mesh; /* PacketPeer.mesh of its peers */
        Netif *netif;      /* borrowed; only the packet thread reads and writes it from now on */
        const RouteTable *routes; /* borrowed */
        DropCounters *drops;      /* of the network */
} DataplaneNetwork;
int dataplane_add_network(Dataplane *d, const DataplaneNetwork *network);
/* Returns when the packet thread does not use it any more. */
int dataplane_remove_network(Dataplane *d, struct Mesh *mesh);
/* PacketPeer.tx of @peer is set now: packets that wait for it are sent. */
void dataplane_flush_pending(Dataplane *d, PacketPeer *peer);

/* Sends an echo request from our address in a network, by whatever way its packets go; one that
 * gets no answer is not heard of again. @number: random, for DataplaneHandler.echo. */
void dataplane_echo(Dataplane *d, struct Mesh *mesh, const IpAddr *from, const IpAddr *to, uint64_t number);

/* Calls @destroy(@object) when no packet thread can still look at @object; MeshEnv.retire.
 * Objects retired earlier are destroyed earlier. On the control thread, from
 * dataplane_dispatch() or a later call; messages that mention @object were dispatched before. */
void dataplane_retire(Dataplane *d, void *object, void (*destroy)(void *object));

typedef struct DataplaneStats {
        uint64_t wakeups, tun_reads, tun_writes, udp_receives, udp_sends; /* system calls */
        uint64_t packets_out, packets_in;
        unsigned streams; /* TCP connections there are */
} DataplaneStats;
DataplaneStats dataplane_stats(Dataplane *d);
