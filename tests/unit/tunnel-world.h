/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Machines with session pools on a mock mesh, for test-tunnel-*.c (after cmocka.h). */

#include "base/macros.h"
#include "core/tunnel/pool.h"
#include "mock-channel.h"

#define WORLD_MACHINES_MAX 4

typedef struct TunnelWorld {
        MockMesh *mesh;
        unsigned n;
        MachineId id[WORLD_MACHINES_MAX];
        MockNode *node[WORLD_MACHINES_MAX];
        SessionPool *pool[WORLD_MACHINES_MAX];
        GString *received; /* "CHANNEL:TEXT;"... */
        GString *changes;  /* of pool 0: "CHANNEL=STATE;"... */
        unsigned probes;   /* from machine 0 */
        unsigned requests; /* of everybody */
        bool lose_probes;
} TunnelWorld;

static inline void tunnel_on_changed(void *userdata, Session *s) {
        TunnelWorld *w = userdata;

        g_string_append_printf(
                        w->changes, "%s=%s;", session_channel(s),
                        session_state_to_string(session_state(s)));
}

static inline void tunnel_on_receive(void *userdata, Session *s, const uint8_t *data, size_t len) {
        TunnelWorld *w = userdata;

        g_string_append_printf(
                        w->received, "%s:%.*s;", session_channel(s), (int) len, (const char *) data);
}

static inline bool
tunnel_tap(void *userdata,
           MockNode *from,
           MockNode *to,
           MockKind kind,
           const char *channel,
           const uint8_t *data,
           size_t len) {
        TunnelWorld *w = userdata;

        w->requests += kind == MOCK_REQUEST;
        if (kind != MOCK_PROBE)
                return true;
        w->probes += from == w->node[0];
        return !w->lose_probes;
}

static inline void tunnel_world_init(TunnelWorld *w, unsigned n, const SessionPoolConfig *config) {
        *w = (TunnelWorld){
                .mesh = mock_mesh_new(1),
                .n = n,
                .received = g_string_new(NULL),
                .changes = g_string_new(NULL),
        };
        for (unsigned i = 0; i < n; i++) {
                w->id[i] = mock_machine_id(i + 1);
                w->node[i] = mock_mesh_add(w->mesh, &w->id[i]);
                assert_int_equal(
                                session_pool_new(mock_node_provider(w->node[i]), config, &w->pool[i]),
                                0);
                assert_int_equal(session_pool_start(w->pool[i]), 0);
        }
        session_pool_on_changed(w->pool[0], tunnel_on_changed, w);
        mock_mesh_set_tap(w->mesh, tunnel_tap, w);
        mock_mesh_link_all(w->mesh);
}

static inline void tunnel_world_done(TunnelWorld *w) {
        session_pool_on_changed(w->pool[0], NULL, NULL);
        for (unsigned i = 0; i < w->n; i++)
                session_pool_free(w->pool[i]);
        mock_mesh_run(w->mesh, PROBE_TIMEOUT_USEC); /* probes answer to nobody now */
        mock_mesh_free(w->mesh);
        g_string_free(w->received, TRUE);
        g_string_free(w->changes, TRUE);
}
#define TUNNEL_WORLD_CONFIG(w, n, config)                                                          \
        _cleanup_(tunnel_world_done) TunnelWorld w;                                                \
        tunnel_world_init(&w, n, config)
#define TUNNEL_WORLD(w, n) TUNNEL_WORLD_CONFIG(w, n, NULL)

static inline Session *tunnel_existing(TunnelWorld *w, unsigned at, unsigned to, const char *channel) {
        return session_pool_get_existing(w->pool[at], &w->id[to], channel);
}

/* An active session of both. */
static inline Session *tunnel_open(TunnelWorld *w, unsigned from, unsigned to, const char *channel) {
        Session *s;

        assert_int_equal(session_pool_get(w->pool[from], &w->id[to], channel, &s), 0);
        mock_mesh_settle(w->mesh);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_non_null(tunnel_existing(w, to, from, channel));
        assert_int_equal(session_state(tunnel_existing(w, to, from, channel)), SESSION_ACTIVE);
        return s;
}

static inline void
tunnel_send(TunnelWorld *w, unsigned from, unsigned to, const char *channel, const char *text) {
        assert_int_equal(session_send(tunnel_existing(w, from, to, channel), text, strlen(text)), 0);
        mock_mesh_settle(w->mesh);
}
