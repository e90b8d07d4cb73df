/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tunnel/session.h"

#include <string.h>

#include "base/macros.h"
#include "core/tunnel/session-internal.h"

static const char *const state_table[] = {
        [SESSION_CONNECTING] = "connecting",
        [SESSION_ACTIVE] = "active",
        [SESSION_DEGRADED] = "degraded",
        [SESSION_CLOSED] = "closed",
};
static_assert(ELEMENTSOF(state_table) == _SESSION_STATE_MAX, "a name for every state");

const char *session_state_to_string(SessionState s) {
        return s >= 0 && s < _SESSION_STATE_MAX ? state_table[s] : NULL;
}

static usec_t now(const Session *s) {
        return s->provider->ops->now(s->provider->self);
}

/* The packet path's counters, which go on from session to session. */
static void read_packet_stats(const Session *s, SessionStats *stats) {
        uint64_t tx[2], rx[2];
        usec_t last_tx, last_rx, last;

        s->provider->ops->packet_stats(s->provider->self, &s->machine, tx, rx, &last_tx, &last_rx);
        /* A peer made anew while the session lives counts from 0 again. */
        stats->packets_sent = tx[0] - MIN(tx[0], s->base_tx[0]);
        stats->bytes_sent = tx[1] - MIN(tx[1], s->base_tx[1]);
        stats->packets_received = rx[0] - MIN(rx[0], s->base_rx[0]);
        stats->bytes_received = rx[1] - MIN(rx[1], s->base_rx[1]);
        last = MAX(last_tx, last_rx);
        stats->last_activity = last >= s->created ? last : 0;
}

Session *
session_new(SessionPool *pool,
            const ChannelProvider *provider,
            Health *health,
            const MachineId *machine,
            const char *channel) {
        Session *s = NEW(Session);
        usec_t last;

        *s = (Session){
                .n_ref = 1,
                .machine = *machine,
                .pool = pool,
                .provider = provider,
                .health = health,
        };
        g_strlcpy(s->wire_channel, SESSION_WIRE_PREFIX, sizeof s->wire_channel);
        g_strlcat(s->wire_channel, channel, sizeof s->wire_channel);
        s->created = now(s);
        if (session_is_packets(s))
                provider->ops->packet_stats(
                                provider->self, machine, s->base_tx, s->base_rx, &last, &last);
        return s;
}

Session *session_ref(Session *s) {
        s->n_ref++;
        return s;
}

void session_unref(Session *s) {
        if (!s || --s->n_ref > 0)
                return;
        timer_clear(&s->idle_timer);
        g_free(s->close_reason);
        g_free(s);
}

const MachineId *session_machine(const Session *s) {
        return &s->machine;
}

const char *session_channel(const Session *s) {
        return s->wire_channel + strlen(SESSION_WIRE_PREFIX);
}

bool session_is_packets(const Session *s) {
        return strcmp(session_channel(s), SESSION_CHANNEL_PACKETS) == 0;
}

SessionState session_state(const Session *s) {
        return s->state;
}

const char *session_close_reason(const Session *s) {
        return s->close_reason;
}

SessionStats session_stats(const Session *s) {
        SessionStats stats = s->stats;

        if (s->state != SESSION_CLOSED && session_is_packets(s))
                read_packet_stats(s, &stats);
        return stats;
}

usec_t session_last_activity(const Session *s) {
        return MAX(session_stats(s).last_activity, MAX(s->created, s->stats.established));
}

usec_t session_rtt(const Session *s) {
        return s->health ? health_rtt(s->health) : 0;
}

bool session_set_state(Session *s, SessionState state) {
        if (s->state == state)
                return false;
        assert(s->state != SESSION_CLOSED);
        s->state = state;
        if (session_is_open(s) && s->stats.established == 0)
                s->stats.established = now(s);
        if (session_is_packets(s))
                s->provider->ops->set_packets(s->provider->self, &s->machine, session_is_open(s));
        return true;
}

void session_set_closed(Session *s, const char *reason) {
        s->stats = session_stats(s);
        session_set_state(s, SESSION_CLOSED);
        s->close_reason = g_strdup(reason);
        timer_clear(&s->idle_timer);
        s->pool = NULL;
        s->provider = NULL;
        s->health = NULL;
}

void session_on_receive(Session *s, SessionReceive handler, void *userdata) {
        s->receive = handler;
        s->receive_userdata = userdata;
}

int session_send(Session *s, const void *data, size_t len) {
        int r;

        if (!session_is_open(s))
                return -ENOTCONN;
        if (session_is_packets(s))
                return -EOPNOTSUPP;
        r = s->provider->ops->send_datagram(
                        s->provider->self, &s->machine, s->wire_channel, data, len);
        if (r < 0)
                return r;
        s->stats.packets_sent++;
        s->stats.bytes_sent += len;
        s->stats.last_activity = now(s);
        return 0;
}

void session_handle_data(Session *s, const uint8_t *data, size_t len) {
        s->stats.packets_received++;
        s->stats.bytes_received += len;
        s->stats.last_activity = now(s);
        if (s->receive)
                s->receive(s->receive_userdata, s, data, len);
}
