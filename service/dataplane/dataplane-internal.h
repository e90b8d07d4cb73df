/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Shared by dataplane.c (control thread) and loop.c (packet thread).
 *
 * The control thread asks by commands, which the packet thread carries out one after the other
 * between two turns, when it looks at nothing the control thread has published. So a command
 * that was carried out is also the proof that nobody looks at what was unpublished before: that
 * is how objects are retired, and why the packet thread needs neither locks nor read-side
 * critical sections. An idle packet thread is woken by an eventfd.
 */

#include <pthread.h>

#include "base/limits.h"
#include "dataplane/control-queue.h"
#include "dataplane/packet-router.h"
#include "dataplane/stream.h"
#include "dataplane/udp-socket.h"

/* IPv4 and IPv6, and the same again while a port is being changed. */
#define SOCKETS_MAX 4U

typedef enum CommandKind {
        COMMAND_ADD_SOCKET,
        COMMAND_REMOVE_SOCKET,
        COMMAND_ADD_LISTENER,
        COMMAND_REMOVE_LISTENER,
        COMMAND_SEND_STREAM,
        COMMAND_DOUBT_STREAMS,
        COMMAND_ADD_NETWORK,
        COMMAND_REMOVE_NETWORK,
        COMMAND_FLUSH_PENDING,
        COMMAND_ECHO,
        COMMAND_RETIRE,
        COMMAND_STOP,
} CommandKind;

typedef struct Command {
        GList link;
        CommandKind kind;
        UdpSocket socket;                /* ADD_SOCKET; only its fd: REMOVE_SOCKET */
        int fd;                          /* ADD_LISTENER, REMOVE_LISTENER */
        Endpoint endpoint;               /* SEND_STREAM */
        GBytes *bytes;                   /* SEND_STREAM; owned */
        const DataplaneNetwork *network; /* ADD_NETWORK */
        void *object;                    /* Mesh, PacketPeer, or what is retired */
        void (*destroy)(void *object);   /* RETIRE */
        IpAddr from, to;                 /* ECHO */
        uint64_t number;                 /* ECHO */
        uint64_t position;               /* RETIRE: of the queue when it was carried out */
        bool is_waited_for;              /* else freed by who finishes it */
        bool done;
        int result;
} Command;

typedef struct LoopNetwork {
        Netif *netif; /* NULL: free */
        struct Mesh *mesh;
        RouterNetwork *router;
        bool failed;
} LoopNetwork;

/* Written by the packet thread once a turn. */
typedef struct LoopStats {
        _Atomic uint64_t wakeups, tun_reads, tun_writes, udp_receives, udp_sends;
        _Atomic uint64_t packets_out, packets_in;
        _Atomic unsigned streams;
} LoopStats;

struct Dataplane {
        DataplaneConfig config;
        ControlQueue *queue; /* packet thread -> control thread */
        pthread_t thread;
        bool has_thread;
        int wake_fd; /* eventfd: there are commands */
        LoopStats stats;

        /* Commands, and retired objects that wait for their messages to be dispatched. */
        pthread_mutex_t lock;
        pthread_cond_t command_done;
        GQueue commands, retired;
        _Atomic bool has_commands;

        /* Control thread: where dataplane_send() sends. */
        int send_fd[SOCKETS_MAX];
        int send_family[SOCKETS_MAX];
        unsigned n_send;

        /* Packet thread. */
        int epoll_fd;
        PacketRouter *router;
        UdpReceiver *receiver;
        UdpSocket socket[SOCKETS_MAX]; /* fd < 0: free */
        StreamTable *streams;
        LoopNetwork network[NETWORKS_MAX];
        UdpStats udp_stats;
        IpAddr lost; /* told last that it is no address of ours any more */
        usec_t lost_at;
        uint64_t n_wakeups, n_tun_reads;
        bool stopping;
};

/* @arg is the Dataplane, ready but for its thread. */
void *loop_run(void *arg);
int loop_init(Dataplane *d);
void loop_done(Dataplane *d);
