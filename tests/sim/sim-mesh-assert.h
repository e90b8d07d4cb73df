/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the mesh in the simulator share; after cmocka.h and what it needs. */

#include <string.h>

#include "base/macros.h"
#include "sim-mesh.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define MINUTE USEC_PER_MINUTE

_unused_ static void assert_message(const TestMachine *m, unsigned i, const char *text) {
        size_t n;
        const char *data;

        assert_true(m->messages->len > i);
        data = g_bytes_get_data(m->messages->pdata[i], &n);
        assert_int_equal(n, strlen(text));
        assert_memory_equal(data, text, n);
}

_unused_ static void assert_reached_at(TestMachine *m, const TestMachine *to, const Endpoint *at) {
        MeshLinkInfo info;

        assert_true(mesh_link_info(m->mesh, &to->identity->id, &info));
        assert_true(endpoint_equal(&info.endpoint, at));
}

_unused_ static void count_link(void *userdata, const MeshLinkInfo *info) {
        (*(unsigned *) userdata)++;
}

_unused_ static unsigned n_links(TestMachine *m) {
        unsigned n = 0;

        mesh_foreach_link(m->mesh, count_link, &n);
        return n;
}

typedef struct Answer {
        unsigned n;
        char *error;
        GBytes *data;
} Answer;

_unused_ static void answer_clear(Answer *a) {
        g_free(a->error);
        g_clear_pointer(&a->data, g_bytes_unref);
}

_unused_ static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        Answer *a = userdata;

        a->n++;
        a->error = error ? g_strdup(wire_error_name(error)) : NULL;
        if (!error)
                a->data = g_bytes_new(data, len);
}

_unused_ static int
ask(TestMachine *m, const TestMachine *to, const char *text, usec_t timeout, Answer *a) {
        ChannelProvider *p = test_channels(m);

        return p->ops->request(
                        p->self, &to->identity->id, TEST_CHANNEL, text, strlen(text), timeout,
                        on_answer, a, NULL);
}

_unused_ static void assert_answer(const Answer *a, const char *text) {
        assert_int_equal(a->n, 1);
        assert_null(a->error);
        assert_int_equal(g_bytes_get_size(a->data), strlen(text));
        assert_memory_equal(g_bytes_get_data(a->data, NULL), text, strlen(text));
}

_unused_ static void set_packets(TestMachine *m, const TestMachine *to, bool open) {
        ChannelProvider *p = test_channels(m);

        p->ops->set_packets(p->self, &to->identity->id, open);
}

/* Counts what the wire sees between two machines. */
typedef struct Wire {
        const TestMachine *a, *b;
        unsigned n, initiations, responses, cookies, data;
        GByteArray *initiation; /* the last */
        const SimNode *mute;    /* its initiations are lost */
} Wire;

_unused_ static bool
on_wire(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Wire *w = userdata;
        Endpoint a = sim_node_endpoint(w->a->node), b = sim_node_endpoint(w->b->node);

        if (!((from == w->a->node && endpoint_equal(to, &b)) ||
              (from == w->b->node && endpoint_equal(to, &a))))
                return true;
        if (from == w->mute && data[0] == MESSAGE_HANDSHAKE_INITIATION)
                return false;
        w->n++;
        w->initiations += data[0] == MESSAGE_HANDSHAKE_INITIATION;
        w->responses += data[0] == MESSAGE_HANDSHAKE_RESPONSE;
        w->cookies += data[0] == MESSAGE_COOKIE_REPLY;
        w->data += data[0] == MESSAGE_DATA;
        if (data[0] == MESSAGE_HANDSHAKE_INITIATION && w->initiation) {
                g_byte_array_set_size(w->initiation, 0);
                g_byte_array_append(w->initiation, data, (guint) len);
        }
        return true;
}
