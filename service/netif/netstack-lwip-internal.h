/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lwIP engine. Theory of operation.
 *
 * lwIP runs in the packet thread, as an interface: write_batch() gives it packets, read_batch()
 * lets it work and takes the packets it made. The control thread never calls lwIP. It puts
 * commands in a queue (LwipCommand) and is given results (LwipResult), each behind an eventfd.
 *
 * A connection is one end of a socket pair: the caller has the other. Bytes go
 *
 *   caller -> pair -> recv() -> tcp_write() -> segment -> output arena -> read_batch()
 *   write_batch() -> pbuf that points into the batch -> sendmsg() -> pair -> caller
 *
 * and stop going where the next stage is full: what is not yet sent is kept near UNSENT_MAX, since
 * lwIP walks its lists and since more of it is only delay; what the caller does not read waits in
 * a backlog, and the TCP window opens by what was handed on (tcp_recved). When the output arena is
 * full lwIP is told so and keeps its segments.
 *
 * A batch's buffers are the packet thread's again after write_batch(). In-order data has left by
 * then, to the pair or into the backlog; segments out of order, which lwIP keeps, are moved to
 * memory of their own before (netstack-lwip-input.c).
 *
 * Time: lwIP's TCP wants a call every 250 ms while anything is in flight. The timer is armed then
 * only; connections that are merely open wait for their keep-alive or for nothing.
 *
 * Everything here belongs to the packet thread unless it says otherwise.
 */

#include <glib.h>

#include <lwip/pbuf.h>
#include <lwip/raw.h>
#include <lwip/tcp.h>
#include <lwip/udp.h>
#include "netif/netstack-internal.h"

/* Bytes accepted from a caller and not yet sent once: two super-packets' worth. */
#define UNSENT_MAX (64U * 1024U)
/* Packets and bytes lwIP may have made before they are read. */
#define OUTPUT_PACKETS_MAX 256U
#define OUTPUT_BYTES_MAX (320U * 1024U)

typedef struct LwipStack LwipStack;

/* --- between the threads --- */

typedef enum LwipCommandKind {
        LWIP_COMMAND_DIAL,
        LWIP_COMMAND_LISTEN,
        LWIP_COMMAND_UDP,
        LWIP_COMMAND_ECHO,
        LWIP_COMMAND_FORGET,   /* the call is cancelled or over */
        LWIP_COMMAND_ACCEPTED, /* the control thread has the connection: one less waits */
        LWIP_COMMAND_CONFIGURE,
} LwipCommandKind;

typedef struct LwipCommand {
        LwipCommandKind kind;
        uint64_t id; /* of the NetstackCall; of the stream (ACCEPTED) */
        IpAddr address, address6;
        uint16_t port, mtu;
        unsigned backlog;
        size_t payload;
} LwipCommand;

typedef struct LwipResult {
        NetstackCallKind kind;
        uint64_t id, stream;
        int fd; /* or negative errno */
        IpAddr peer;
        uint16_t port;
        usec_t rtt;
} LwipResult;

/* Any thread. Copied. */
void lwip_stack_post(LwipStack *s, const LwipResult *result);

/* --- packet thread --- */

/* What epoll points to, first in its owner. */
typedef enum LwipSourceKind {
        LWIP_SOURCE_COMMANDS,
        LWIP_SOURCE_TIMER,
        LWIP_SOURCE_STREAM,
        LWIP_SOURCE_UDP,
} LwipSourceKind;

typedef struct LwipSource {
        LwipSourceKind kind;
} LwipSource;

/* Bytes in order that wait for room; no memory while empty. */
typedef struct LwipBacklog {
        uint8_t *data;
        size_t start, len, size;
} LwipBacklog;

#define ARRIVED_MAX 16U

typedef struct LwipStream {
        LwipSource source;
        LwipStack *stack;
        struct tcp_pcb *pcb; /* NULL: lwIP is through with it */
        uint64_t id;
        uint64_t call; /* the dial; 0 else */
        int fd;        /* our end; -EBADF while dialling */
        GList link;    /* in stack->streams, or stack->dead */
        GList ready;   /* in stack->ready if is_ready */
        /* network to caller */
        struct pbuf *arrived[ARRIVED_MAX]; /* of this batch */
        unsigned n_arrived;
        LwipBacklog backlog;
        /* caller to network */
        IpAddr peer;
        uint16_t port;
        bool is_ready : 1;     /* has something to do in the next pump */
        bool dead : 1;         /* freed after the events at hand */
        bool inbound : 1;      /* a listener's */
        bool waiting : 1;      /* accepted, not yet taken by the control thread */
        bool want_out : 1;     /* EPOLLOUT is watched */
        bool fin_received : 1; /* network to caller: the end was seen, and passed on */
        bool fin_passed : 1;
        bool readable : 1; /* caller to network: recv() may give something */
        bool fin_sent : 1; /* the end was seen and queued */
        bool hangup : 1;   /* the caller closed its end */
} LwipStream;

/* An output packet lies in one of two arenas: one is filled while the other is read. */
typedef struct LwipArena {
        uint8_t *bytes; /* OUTPUT_BYTES_MAX */
        size_t used;
        PacketIn packet[OUTPUT_PACKETS_MAX];
        unsigned n, next; /* next: to be read */
} LwipArena;

struct LwipStack {
        Netstack netstack; /* control thread */
        Netif netif;
        struct netif lwip;

        /* between the threads */
        GMutex lock;
        GQueue commands, results;   /* LwipCommand, LwipResult; owned */
        int wake_fd, result_fd;     /* eventfds */
        int commanded;              /* atomic: there are commands */
        sd_event_source *result_io; /* control thread */
        GHashTable *ports;          /* control thread: of listeners */

        int epoll_fd, timer_fd;
        LwipSource commands_source, timer_source;
        bool woken; /* wake_fd was written by us: there is output */

        /* time */
        usec_t started, timer_due, reassembly_until;
        uint32_t slow_ticks; /* when tcp_slowtmr() ran last */
        bool busy;           /* TCP needs its ticks */
        bool touched;        /* since read_batch() began, by something else than time */

        /* output */
        LwipArena arena[2];
        unsigned filling; /* index */
        bool output_full;

        /* input: pbufs that point into the batch */
        GQueue borrowed; /* LwipBorrowed, by their links */

        GQueue streams, dead, ready; /* LwipStream, by their links */
        GHashTable *dials;           /* call -> LwipStream */
        GHashTable *waiting;         /* stream id -> LwipStream */
        GHashTable *listeners;       /* call -> LwipListener, owned */
        GHashTable *udp;             /* LwipUdp, owned */
        GHashTable *echoes;          /* call -> LwipEcho, owned */
        struct raw_pcb *icmp, *icmp6;
        uint16_t echo_id, echo_sequence;
        uint64_t last_stream;
        uint8_t scratch[UNSENT_MAX];
};

/* netstack-lwip-netif.c */
int lwip_read_batch(Netif *n, PacketIn *packets, unsigned max);
int lwip_write_batch(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused);
int lwip_fd(Netif *n);
static inline LwipStack *lwip_stack_of(Netif *n) {
        return (LwipStack *) ((uint8_t *) n - offsetof(LwipStack, netif));
}
int lwip_netif_open(LwipStack *s, uint16_t mtu);
void lwip_netif_close(LwipStack *s);
usec_t lwip_now(void);
int lwip_watch(LwipStack *s, int op, int fd, uint32_t events, LwipSource *source);
/* read_batch() has something to do, though no fd says so. */
void lwip_wake(LwipStack *s);
IpAddr lwip_ip_from(const ip_addr_t *a);
int lwip_ip_to(const IpAddr *a, ip_addr_t *ret);
int lwip_errno(err_t e);

/* netstack-lwip-output.c: for struct netif. */
err_t lwip_output4(struct netif *n, struct pbuf *p, const ip4_addr_t *to);
err_t lwip_output6(struct netif *n, struct pbuf *p, const ip6_addr_t *to);

/* netstack-lwip-input.c */
void lwip_input_packet(LwipStack *s, const PacketOut *p);
/* Nothing points into the batch any more. */
void lwip_input_end(LwipStack *s);

/* netstack-lwip-stream.c */
void lwip_streams_open(LwipStack *s);
int lwip_stream_dial(LwipStack *s, const LwipCommand *c);
/* Ends a dial that ICMP or the caller says is hopeless; with @error it is reported. */
void lwip_stream_dial_end(LwipStream *stream, int error);
LwipStream *lwip_stream_find_dial(LwipStack *s, const IpAddr *peer, uint16_t port, uint16_t local_port);
int lwip_listener_new(LwipStack *s, const LwipCommand *c);
void lwip_stream_accepted(LwipStack *s, uint64_t id);
void lwip_stream_event(LwipStream *stream, uint32_t events);
/* Offers what arrived to the caller. */
void lwip_stream_flush(LwipStream *stream);
void lwip_stream_ready(LwipStream *stream);
void lwip_streams_pump(LwipStack *s);
void lwip_streams_bury(LwipStack *s);
/* Resets every connection. */
void lwip_streams_close(LwipStack *s);

/* netstack-lwip-datagram.c */
int lwip_datagram_open(LwipStack *s);
void lwip_datagram_close(LwipStack *s);
int lwip_udp_new(LwipStack *s, const LwipCommand *c);
void lwip_udp_event(LwipSource *source);
int lwip_echo_new(LwipStack *s, const LwipCommand *c);
