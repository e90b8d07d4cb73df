/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "core/tunnel/pool.h"
#include "core/wire/control.h"
#include "fuzz.h"
#include "mock-channel.h"

/*
 * A session pool and a member that says anything on the channels of sessions, while sessions are
 * opened and closed here and links come and go. The input is a list of steps: what, how many
 * bytes follow, bytes.
 */
enum {
        STEP_REQUEST,  /* the member's request on `tunnel`: these bytes */
        STEP_DATAGRAM, /* on `tunnel:data` */
        STEP_MESSAGE,  /* reliable, on `tunnel` */
        STEP_OPEN,     /* we open a session of this name */
        STEP_CLOSE,    /* we close all */
        STEP_ANSWERED, /* from now on the member answers our opens: byte 0 = how */
        STEP_TIME,     /* as many seconds as there are bytes */
        STEP_DOWN,
        STEP_UP,
        STEP_RESTART,
        STEP_CHANGED,
        _STEP_MAX,
};

typedef struct World {
        MockMesh *mesh;
        MockNode *us, *member;
        MachineId our_id, member_id;
        SessionPool *pool;
        unsigned established, ended;
        uint8_t answer;
} World;

static void on_receive(void *userdata, Session *s, const uint8_t *data, size_t len) {
        (void) session_send(s, data, len);
}

static void on_established(void *userdata, Session *s) {
        World *w = userdata;

        w->established++;
        session_on_receive(s, on_receive, NULL);
        if (strcmp(session_channel(s), "refuse") == 0)
                session_pool_close(w->pool, s);
}

static void on_changed(void *userdata, Session *s) {
        World *w = userdata;
        SessionState state = session_state(s);

        FUZZ_ASSERT(session_state_to_string(state));
        FUZZ_ASSERT((state == SESSION_CLOSED) == (session_close_reason(s) != NULL));
        w->ended += state == SESSION_CLOSED;
        FUZZ_ASSERT(session_pool_count(w->pool) <= SESSIONS_PER_MACHINE_MAX);
}

/* The member's side of `tunnel`: opens of ours are answered as the input says. */
static void
on_request(void *userdata,
           const MachineId *sender,
           ChannelRequest *request,
           const uint8_t *data,
           size_t len) {
        World *w = userdata;
        const ChannelProvider *p = mock_node_provider(w->member);

        if (w->answer & 1)
                p->ops->reply(p->self, request, data, len);
        else
                p->ops->fail(p->self, request, w->answer & 2 ? WIRE_ERROR_FULL : WIRE_ERROR_FAILED);
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        FUZZ_ASSERT(error || len == 1);
}

static void open_session(World *w, const uint8_t *data, size_t len) {
        g_autofree char *name = g_strndup((const char *) data, len);
        Session *s;

        if (session_pool_get(w->pool, &w->member_id, name, &s) == 0)
                FUZZ_ASSERT(session_state(s) != SESSION_CLOSED);
}

static void step(World *w, unsigned what, const uint8_t *data, size_t len) {
        const ChannelProvider *p = mock_node_provider(w->member);

        switch (what) {
        case STEP_REQUEST:
                (void) p->ops->request(
                                p->self, &w->our_id, "tunnel", data, len, USEC_PER_SEC, on_answer,
                                NULL, NULL);
                break;
        case STEP_DATAGRAM:
                (void) p->ops->send_datagram(p->self, &w->our_id, "tunnel:data", data, len);
                break;
        case STEP_MESSAGE:
                (void) p->ops->send(p->self, &w->our_id, "tunnel", data, len);
                break;
        case STEP_OPEN:
                open_session(w, data, len);
                break;
        case STEP_CLOSE:
                session_pool_close_machine(w->pool, &w->member_id);
                break;
        case STEP_ANSWERED:
                w->answer = len > 0 ? data[0] : 0;
                break;
        case STEP_TIME:
                mock_mesh_run(w->mesh, len * USEC_PER_SEC);
                break;
        case STEP_DOWN:
                mock_mesh_link_down(w->mesh, w->us, w->member);
                break;
        case STEP_UP:
                mock_mesh_link_up(w->mesh, w->us, w->member);
                break;
        case STEP_RESTART:
                mock_node_restart(w->member);
                break;
        case STEP_CHANGED:
                session_pool_network_changed(w->pool);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World w = {
                .mesh = mock_mesh_new(1),
                .our_id = mock_machine_id(1),
                .member_id = mock_machine_id(2),
                .answer = 1,
        };
        const ChannelProvider *p;

        w.us = mock_mesh_add(w.mesh, &w.our_id);
        w.member = mock_mesh_add(w.mesh, &w.member_id);
        p = mock_node_provider(w.member);
        FUZZ_ASSERT(session_pool_new(mock_node_provider(w.us), NULL, &w.pool) == 0);
        FUZZ_ASSERT(session_pool_start(w.pool) == 0);
        FUZZ_ASSERT(p->ops->on_channel(p->self, "tunnel", NULL, on_request, &w) == 0);
        session_pool_on_established(w.pool, on_established, &w);
        session_pool_on_changed(w.pool, on_changed, &w);
        mock_mesh_link_up(w.mesh, w.us, w.member);
        for (unsigned n = 0; size >= 2 && n < 200; n++) {
                size_t len = MIN((size_t) data[1], size - 2);

                step(&w, data[0] % _STEP_MAX, data + 2, len);
                mock_mesh_settle(w.mesh);
                data += 2 + len;
                size -= 2 + len;
        }
        /* Left alone everything comes to its end: nothing stays, no timer runs for ever. */
        mock_mesh_run(w.mesh, 2 * SESSION_IDLE_USEC);
        FUZZ_ASSERT(session_pool_count(w.pool) == 0);
        FUZZ_ASSERT(w.ended >= w.established);
        session_pool_free(w.pool);
        mock_mesh_run(w.mesh, PROBE_TIMEOUT_USEC);
        mock_mesh_free(w.mesh);
        return 0;
}
