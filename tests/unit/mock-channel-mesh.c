/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "mock-channel-internal.h"

/* --- MeshEnv --- */

static usec_t env_op_now(void *userdata) {
        return ((MockMesh *) userdata)->now;
}

static usec_t env_op_realtime(void *userdata) {
        MockMesh *m = userdata;

        return m->now + m->realtime_offset;
}

static void env_op_random(void *userdata, void *buf, size_t n) {
        for (size_t i = 0; i < n; i++)
                ((uint8_t *) buf)[i] =
                                (uint8_t) g_rand_int_range(((MockMesh *) userdata)->rand, 0, 256);
}

static int env_op_send(void *userdata, const Endpoint *to, const uint8_t *data, size_t len) {
        return -ENETUNREACH;
}

static void env_op_retire(void *userdata, void *object, void (*destroy)(void *object)) {
        destroy(object);
}

/* --- the mesh --- */

MockMesh *mock_mesh_new(uint64_t seed) {
        MockMesh *m = NEW(MockMesh);

        *m = (MockMesh){
                .env = {
                        .userdata = m,
                        .timers = timer_queue_new(),
                        .now = env_op_now,
                        .realtime = env_op_realtime,
                        .random = env_op_random,
                        .send = env_op_send,
                        .retire = env_op_retire,
                },
                .now = MOCK_START,
                .realtime_offset = MOCK_START_REALTIME - MOCK_START,
                .latency = MOCK_LATENCY_DEFAULT,
                .rand = g_rand_new_with_seed_array((guint32[]){ (guint32) seed, (guint32) (seed >> 32) }, 2),
                .nodes = g_ptr_array_new(),
                .by_id = g_hash_table_new(machine_id_hash, machine_id_hash_equal),
                .pairs = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, mock_pair_free),
                .requests = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free),
                .flying = g_hash_table_new(NULL, NULL),
                .probes = g_hash_table_new(NULL, NULL),
                .tokens = g_hash_table_new_full(NULL, NULL, g_free, NULL),
        };
        return m;
}

static void node_free(void *data) {
        MockNode *n = data;

        g_hash_table_unref(n->handlers);
        g_array_unref(n->link_handlers);
        g_free(n);
}

MockMesh *mock_mesh_free(MockMesh *m) {
        GHashTableIter i;
        void *key;

        if (!m)
                return NULL;
        g_hash_table_iter_init(&i, m->flying);
        while (g_hash_table_iter_next(&i, &key, NULL))
                mock_message_free(key);
        g_hash_table_unref(m->flying);
        g_hash_table_iter_init(&i, m->probes);
        while (g_hash_table_iter_next(&i, &key, NULL)) {
                timer_clear(&((Probe *) key)->timer);
                g_free(key);
        }
        g_hash_table_unref(m->probes);
        g_hash_table_iter_init(&i, m->requests);
        while (g_hash_table_iter_next(&i, NULL, &key))
                timer_clear(&((Request *) key)->timer);
        g_hash_table_unref(m->requests);
        g_hash_table_unref(m->tokens);
        g_hash_table_unref(m->pairs);
        g_hash_table_unref(m->by_id);
        for (unsigned j = 0; j < m->nodes->len; j++)
                node_free(g_ptr_array_index(m->nodes, j));
        g_ptr_array_unref(m->nodes);
        timer_queue_free(m->env.timers);
        g_rand_free(m->rand);
        g_free(m);
        return NULL;
}

MachineId mock_machine_id(unsigned n) {
        MachineId id = { .bytes = { 0x4d } };

        write_be32(id.bytes + 1, n);
        return id;
}

MockNode *mock_mesh_add(MockMesh *m, const MachineId *id) {
        MockNode *n = NEW(MockNode);

        *n = (MockNode){
                .mesh = m,
                .index = m->nodes->len,
                .id = *id,
                .provider = { .ops = &mock_channel_ops, .self = n },
                .handlers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                .link_handlers = g_array_new(FALSE, FALSE, sizeof(LinkHandler)),
        };
        assert(!g_hash_table_contains(m->by_id, id));
        g_ptr_array_add(m->nodes, n);
        g_hash_table_insert(m->by_id, &n->id, n);
        return n;
}

MockNode *mock_mesh_find(MockMesh *m, const MachineId *id) {
        return g_hash_table_lookup(m->by_id, id);
}

MockMesh *mock_node_mesh(const MockNode *n) {
        return n->mesh;
}

const MachineId *mock_node_id(const MockNode *n) {
        return &n->id;
}

const ChannelProvider *mock_node_provider(MockNode *n) {
        return &n->provider;
}

void **mock_node_data(MockNode *n) {
        return &n->data;
}

const MeshEnv *mock_mesh_env(MockMesh *m) {
        return &m->env;
}

usec_t mock_mesh_now(const MockMesh *m) {
        return m->now;
}

void mock_mesh_set_realtime(MockMesh *m, usec_t realtime) {
        m->realtime_offset = realtime - m->now; /* may wrap; the sum is right again */
}

void mock_mesh_run(MockMesh *m, usec_t duration) {
        usec_t end = m->now + duration, next;

        while ((next = timer_queue_next(m->env.timers)) <= end) {
                m->now = MAX(m->now, next);
                timer_queue_run(m->env.timers, m->now);
        }
        m->now = end;
}

void mock_mesh_settle(MockMesh *m) {
        while (g_hash_table_size(m->flying) > 0) {
                m->now = MAX(m->now, timer_queue_next(m->env.timers));
                timer_queue_run(m->env.timers, m->now);
        }
}

void mock_mesh_set_latency(MockMesh *m, usec_t latency) {
        m->latency = latency;
}

void mock_mesh_set_tap(MockMesh *m, MockTap tap, void *userdata) {
        m->tap = tap;
        m->tap_userdata = userdata;
}

void mock_mesh_set_datagram_loss(MockMesh *m, unsigned permille) {
        m->loss = permille;
}

void mock_node_fail_sends(MockNode *n, int error) {
        n->fail_sends = error;
}

uint64_t mock_node_messages(const MockNode *n) {
        return n->messages;
}

uint64_t mock_node_bytes(const MockNode *n) {
        return n->bytes;
}

unsigned mock_mesh_open_requests(const MockMesh *m) {
        return g_hash_table_size(m->requests);
}

unsigned mock_node_repairs(MockNode *n, const MachineId *machine) {
        Side *s = mock_side_of(n, machine);

        return s ? s->repairs : 0;
}

bool mock_node_packets_open(MockNode *n, const MachineId *machine) {
        Side *s = mock_side_of(n, machine);

        return s && s->packets_open;
}

void mock_node_set_packet_stats(
                MockNode *n,
                const MachineId *machine,
                const uint64_t tx[static 2],
                const uint64_t rx[static 2],
                usec_t last_tx,
                usec_t last_rx) {
        Side *s = mock_side_of(n, machine);

        assert(s);
        memcpy(s->tx, tx, sizeof(s->tx));
        memcpy(s->rx, rx, sizeof(s->rx));
        s->last_tx = last_tx;
        s->last_rx = last_rx;
}

void mock_node_set_last_received(MockNode *n, const MachineId *machine, usec_t when) {
        Side *s = mock_side_of(n, machine);

        assert(s);
        s->last_received = when;
}
