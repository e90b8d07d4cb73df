/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Channels: named, bidirectional message pipes between two machines. This is all that the layers
 * above (tunnel, vnet) see of the mesh, and what their tests replace. The sender handed to a
 * handler is always the authenticated machine.
 *
 * A message to a machine without a link makes one; messages wait for it (bounded) and fail when
 * the attempt is given up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/machine-id.h"
#include "base/time.h"
#include "base/timer.h"
#include "core/wire/error.h"

typedef struct ChannelRequest ChannelRequest; /* token of a request to be answered once */

typedef void (*ChannelHandler)(void *userdata, const MachineId *sender, const uint8_t *data, size_t len);
/* Must lead to exactly one reply or fail, now or later. */
typedef void (*ChannelRequestHandler)(
                void *userdata,
                const MachineId *sender,
                ChannelRequest *request,
                const uint8_t *data,
                size_t len);
/* @error: WIRE_ERROR_NONE for an answer, else what the other side said, or a verdict of ours:
 * TIMEOUT, UNREACHABLE, CANCELLED. Called exactly once. */
typedef void (*ChannelReply)(void *userdata, WireError error, const uint8_t *data, size_t len);

/* @lost: no answer within the timeout. Called exactly once for each probe that was sent, as lost if
 * the provider goes before. */
typedef void (*ProbeReply)(void *userdata, bool lost, usec_t rtt);

typedef enum LinkState {
        LINK_DOWN,
        LINK_CONNECTING,
        LINK_UP,
} LinkState;
/* @state: LINK_UP also when the other side has started anew (@restarted): what it knew is gone. */
typedef void (*LinkStateHandler)(void *userdata, const MachineId *machine, LinkState state, bool restarted);

typedef struct ChannelOps {
        usec_t (*now)(void *self);
        TimerQueue *(*timers)(void *self);

        /* One handler a channel; -EEXIST for a second, -EINVAL for a bad name. NULL: none. */
        int (*on_channel)(
                        void *self,
                        const char *channel,
                        ChannelHandler data,
                        ChannelRequestHandler request,
                        void *userdata);
        int (*off_channel)(void *self, const char *channel);

        /* Reliable, in order. -ENOBUFS: queue full, -EMSGSIZE, -ENXIO: unknown machine. */
        int (*send)(void *self, const MachineId *to, const char *channel, const void *data, size_t len);
        /* Unreliable, unordered, one datagram. -ENOTCONN without a link. */
        int (*send_datagram)(
                        void *self,
                        const MachineId *to,
                        const char *channel,
                        const void *data,
                        size_t len);
        /* @ret_id may be NULL. */
        int (*request)(void *self,
                       const MachineId *to,
                       const char *channel,
                       const void *data,
                       size_t len,
                       usec_t timeout,
                       ChannelReply reply,
                       void *userdata,
                       uint64_t *ret_id);
        /* The reply is called with WIRE_ERROR_CANCELLED before this returns. */
        void (*cancel)(void *self, uint64_t id);
        void (*reply)(void *self, ChannelRequest *request, const void *data, size_t len);
        /* @error: one that wire_error_is_foreign() knows. */
        void (*fail)(void *self, ChannelRequest *request, WireError error);

        /* Link to a machine: made, looked at, probed, given up. */
        int (*connect)(void *self, const MachineId *machine);
        LinkState (*link_state)(void *self, const MachineId *machine);
        /* Any number of handlers; @handler NULL removes all of this @userdata. */
        int (*on_link_state)(void *self, LinkStateHandler handler, void *userdata);
        int (*probe)(void *self,
                     const MachineId *machine,
                     usec_t timeout,
                     ProbeReply reply,
                     void *userdata);
        /* Monotonic time of the last authentic message from it; 0: none. */
        usec_t (*last_received)(void *self, const MachineId *machine);
        /* The active path does not answer: try the others, make the handshake anew. */
        void (*repair)(void *self, const MachineId *machine);
        /* Publishes or withdraws PacketPeer.tx and .accept: the packet session is open. */
        void (*set_packets)(void *self, const MachineId *machine, bool open);
        /* Counters of the packet session (PacketPeer); all 0 without one. */
        void (*packet_stats)(
                        void *self,
                        const MachineId *machine,
                        uint64_t ret_tx[static 2],
                        uint64_t ret_rx[static 2],
                        usec_t *ret_last_tx,
                        usec_t *ret_last_rx); /* {packets, bytes} */
} ChannelOps;

typedef struct ChannelProvider {
        const ChannelOps *ops;
        void *self;
} ChannelProvider;
