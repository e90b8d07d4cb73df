/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why a datagram or a packet was not taken. Bad input from the network is never an errno and
 * never logged above debug: it is counted here, per network and once for what belongs to none, and
 * shown by `omerta mesh status` and the D-Bus methods GetDrops.
 */

#include <stdatomic.h>
#include <stdint.h>

typedef enum DropReason {
        DROP_NONE, /* taken */

        /* Datagrams of the underlay. */
        DROP_MALFORMED,            /* length, type or reserved bytes that no member sends */
        DROP_MAC1,                 /* not made by somebody who knows the network and our id */
        DROP_COOKIE_REQUIRED,      /* too many: answered with a cookie instead */
        DROP_FROM_INSIDE,          /* came through a virtual network: never a path */
        DROP_RATE_LIMITED,         /* too many handshakes from this source */
        DROP_ASLEEP,               /* we are about to sleep */
        DROP_HANDSHAKE_FAILED,     /* Noise: not authentic */
        DROP_HANDSHAKE_REPLAYED,   /* timestamp not later than the last */
        DROP_HANDSHAKE_UNEXPECTED, /* an answer to nothing we asked */
        DROP_NOT_A_MEMBER,         /* certificate missing, foreign, not yet valid */
        DROP_CERTIFICATE_EXPIRED,  /* and an issuer could have renewed it */
        DROP_REVOKED,
        DROP_INVITE_REFUSED,   /* unknown, expired or used-up invite */
        DROP_UNKNOWN_INDEX,    /* no keypair with this receiver index */
        DROP_KEYPAIR_EXPIRED,  /* older than REJECT_AFTER_TIME */
        DROP_NOT_AUTHENTIC,    /* AEAD */
        DROP_REPLAYED,         /* counter seen before, or too old */
        DROP_FRAME_MALFORMED,  /* authentic, but no frame we know how to read */
        DROP_CONTROL_OVERFLOW, /* control queue to the control thread or of a link is full */
        DROP_CONTROL_SHARE,    /* the sender has more than its share of that queue waiting */
        DROP_OVER_BUDGET,      /* the sender has caused more work than a machine may */

        DROP_PROBE_BUDGET,   /* probes not sent: places that members named and nobody answered at */
        DROP_BEACON_FOREIGN, /* of another network in the same LAN, or of nobody's */

        /* Datagrams to be relayed, or that came by a relay. */
        DROP_RELAY_UNKNOWN, /* no such allocation, and not for us either */
        DROP_RELAY_SOURCE,  /* not from the endpoint of the machine it was given to */
        DROP_RELAY_BUDGET,  /* more than one machine may have relayed */
        DROP_RELAY_SHARE,   /* more than its share, while there was too much */

        DROP_NO_CHANNEL,   /* authentic, but nobody here serves this channel */
        DROP_PORT_MAPPING, /* an answer about port mappings that was not asked for, or lies */
        DROP_SOCKET_FULL,  /* by the kernel: the socket's queue was full */

        /* Connections and what goes by them. */
        DROP_STREAM_REFUSED,   /* closed: too many, or it brought nothing authentic in time */
        DROP_STREAM_MALFORMED, /* closed: what came is no frame */
        DROP_STREAM_FULL,      /* the other side takes less than is to be sent */

        /* Packets from a machine. */
        DROP_PACKET_MALFORMED, /* not IP, length wrong, header cut */
        DROP_SOURCE_SPOOFED,   /* from an address that is not leased or routed to the sender */
        DROP_NOT_FOR_US,       /* and we do not forward */
        DROP_TTL_EXCEEDED,
        DROP_NO_SESSION, /* sender has no packet session with us */

        /* Packets to a machine. */
        DROP_NO_ADDRESS,          /* we have no lease ourselves */
        DROP_UNKNOWN_DESTINATION, /* in the subnet, nobody has it */
        DROP_NO_ROUTE,            /* outside the network's prefixes, no exit */
        DROP_MULTICAST,           /* broadcast or multicast: not carried */
        DROP_WRONG_SOURCE,        /* local packet with a source that is not ours */
        DROP_TOO_BIG,             /* larger than the MTU to that machine */
        DROP_PENDING_FULL,        /* queue of packets waiting for a session */
        DROP_PENDING_EXPIRED,     /* no session in time */
        DROP_SEND_FAILED,         /* the kernel would not send it */
        DROP_INTERFACE_FULL,      /* the interface would not take it */

        _DROP_REASON_MAX,
} DropReason;

/* "not-authentic"; for D-Bus and --json these are the keys. Never NULL. */
const char *drop_reason_to_string(DropReason reason);
/* A sentence for people: what happened and, where there is something to do, what. */
const char *drop_reason_describe(DropReason reason);

/* Written by packet threads, read by any. */
typedef struct DropCounters {
        _Atomic uint64_t count[_DROP_REASON_MAX];
} DropCounters;

static inline void drop_count(DropCounters *c, DropReason reason) {
        atomic_fetch_add_explicit(&c->count[reason], 1, memory_order_relaxed);
}
static inline void drop_count_n(DropCounters *c, DropReason reason, uint64_t n) {
        atomic_fetch_add_explicit(&c->count[reason], n, memory_order_relaxed);
}
void drop_counters_add(DropCounters *sum, const DropCounters *c);
static inline uint64_t drop_counter(const DropCounters *c, DropReason reason) {
        return atomic_load_explicit(&c->count[reason], memory_order_relaxed);
}
