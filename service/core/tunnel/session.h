/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A session: a channel to one machine that carries packets or bytes for a user. Key = (machine,
 * channel). The session on channel "packets" is the one the packet path uses: its bytes do not
 * pass here, its counters are read from the PacketPeer.
 */

#include "core/mesh/channel.h"

#define SESSION_CHANNEL_PACKETS "packets"
#define SESSION_WIRE_PREFIX "tunnel:"

/*
 * CONNECTING  a link is being made or the other side asked; send() is -ENOTCONN
 * ACTIVE      send() works
 * DEGRADED    probes are missed; send() works, the link is being repaired
 * CLOSED      final; the object stays until its last reference goes
 */
typedef enum SessionState {
        SESSION_CONNECTING,
        SESSION_ACTIVE,
        SESSION_DEGRADED,
        SESSION_CLOSED,
        _SESSION_STATE_MAX,
        _SESSION_STATE_INVALID = -22,
} SessionState;
const char *session_state_to_string(SessionState s);

typedef struct SessionStats {
        uint64_t packets_sent, packets_received;
        uint64_t bytes_sent, bytes_received;
        usec_t established, last_activity; /* monotonic; 0: never */
} SessionStats;

typedef struct Session Session;
typedef void (*SessionReceive)(void *userdata, Session *s, const uint8_t *data, size_t len);

Session *session_ref(Session *s);
void session_unref(Session *s);

const MachineId *session_machine(const Session *s);
const char *session_channel(const Session *s);
SessionState session_state(const Session *s);
/* "idle", "closed by the other side", ...; NULL unless closed. */
const char *session_close_reason(const Session *s);
SessionStats session_stats(const Session *s);
/* Smoothed RTT to the machine; 0: not known. */
usec_t session_rtt(const Session *s);

void session_on_receive(Session *s, SessionReceive handler, void *userdata);
/* Return: 0, -ENOTCONN unless active or degraded, -EMSGSIZE, -ENOBUFS; -EOPNOTSUPP for the session
 * on channel "packets". */
int session_send(Session *s, const void *data, size_t len);
