/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What session.c and pool.c share. */

#include "base/limits.h"
#include "core/tunnel/health.h"
#include "core/tunnel/session.h"

/* The wire channel "tunnel:NAME" must be a channel name itself. */
#define SESSION_CHANNEL_MAX (CHANNEL_NAME_MAX - (sizeof SESSION_WIRE_PREFIX - 1))

struct Session {
        unsigned n_ref;
        MachineId machine;
        char wire_channel[CHANNEL_NAME_MAX + 1]; /* with the prefix */
        SessionState state;
        char *close_reason;

        /* Borrowed from the pool; NULL once closed. */
        SessionPool *pool;
        const ChannelProvider *provider;
        Health *health;

        usec_t created;
        SessionStats stats;
        uint64_t base_tx[2], base_rx[2]; /* packets: the peer's counters when this began */
        SessionReceive receive;
        void *receive_userdata;

        /* The question to the other side to open; a reference is held while it is under way. */
        bool opening;
        uint64_t open_id;
        Timer idle_timer;
};

static inline bool session_is_open(const Session *s) {
        return s->state == SESSION_ACTIVE || s->state == SESSION_DEGRADED;
}
bool session_is_packets(const Session *s);

/* @channel has been checked. Return: a session in state CONNECTING with one reference. */
Session *
session_new(SessionPool *pool,
            const ChannelProvider *provider,
            Health *health,
            const MachineId *machine,
            const char *channel);
/* Changes the state and tells the packet path; the caller tells everybody else. Return: false if
 * it was that state already. */
bool session_set_state(Session *s, SessionState state);
/* Final: freezes the statistics, lets go of what the pool owns. */
void session_set_closed(Session *s, const char *reason);
usec_t session_last_activity(const Session *s);
void session_handle_data(Session *s, const uint8_t *data, size_t len);
