/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mock-channel.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"

#define ATTEMPT_TIME (90 * USEC_PER_SEC) /* docs/protocol.md, "Timers", REKEY_ATTEMPT_TIME */

typedef struct Handler {
        ChannelHandler data;
        ChannelRequestHandler request;
        void *userdata;
} Handler;

typedef struct LinkHandler {
        LinkStateHandler handler;
        void *userdata;
} LinkHandler;

/* What one node knows of another. */
typedef struct Side {
        LinkState state;
        bool peer_restarted;
        usec_t last_received;
        bool packets_open;
        unsigned repairs;
        uint64_t tx[2], rx[2];
        usec_t last_tx, last_rx;
} Side;

typedef struct Pair {
        MockMesh *mesh;
        MockNode *node[2];
        Side side[2];
        bool cut;
        usec_t last_due;
        GQueue waiting; /* of Message: for a link, or for the end of a cut */
        Timer connect;
        Timer attempt;
} Pair;

typedef struct Message {
        Pair *pair;
        Timer timer;
        unsigned from; /* index into pair->node */
        MockKind kind;
        uint64_t id; /* of the request */
        char *channel;
        GBytes *data;
} Message;

typedef struct Request {
        MockMesh *mesh;
        uint64_t id;
        MockNode *from, *to;
        Timer timer;
        ChannelReply reply;
        void *userdata;
} Request;

struct ChannelRequest {
        MockNode *to; /* who asked */
        MockNode *self;
        uint64_t id;
};

struct MockNode {
        MockMesh *mesh;
        unsigned index;
        MachineId id;
        ChannelProvider provider;
        GHashTable *handlers;  /* channel -> Handler */
        GArray *link_handlers; /* of LinkHandler */
        void *data;
        int fail_sends;
        uint64_t messages, bytes;
};

struct MockMesh {
        MeshEnv env;
        usec_t now;
        usec_t realtime_offset;
        usec_t latency;
        GRand *rand;
        GPtrArray *nodes;
        GHashTable *by_id;
        GHashTable *pairs;    /* (lower index << 32 | higher) -> Pair */
        GHashTable *requests; /* id -> Request */
        GHashTable *flying;   /* set of Message */
        GHashTable *probes;   /* set of Probe */
        GHashTable *tokens;   /* set of ChannelRequest */
        uint64_t last_id;
        unsigned loss;
        MockTap tap;
        void *tap_userdata;
};

/* --- messages --- */

static void message_free(Message *msg) {
        timer_clear(&msg->timer);
        g_free(msg->channel);
        g_bytes_unref(msg->data);
        g_free(msg);
}

static Pair *pair_get(MockNode *a, MockNode *b, unsigned *ret_side) {
        MockMesh *m = a->mesh;
        MockNode *low = a->index < b->index ? a : b, *high = low == a ? b : a;
        uint64_t key = (uint64_t) low->index << 32 | high->index;
        Pair *p;

        assert(a != b);
        p = g_hash_table_lookup(m->pairs, &key);
        if (!p) {
                p = NEW(Pair);
                p->mesh = m;
                p->node[0] = low;
                p->node[1] = high;
                g_queue_init(&p->waiting);
                g_hash_table_insert(m->pairs, g_memdup2(&key, sizeof(key)), p);
        }
        if (ret_side)
                *ret_side = low != a;
        return p;
}

static void pair_free(void *data) {
        Pair *p = data;
        Message *msg;

        while ((msg = g_queue_pop_head(&p->waiting)))
                message_free(msg);
        timer_clear(&p->connect);
        timer_clear(&p->attempt);
        g_free(p);
}

static MockNode *find(MockNode *self, const MachineId *id) {
        MockNode *n = g_hash_table_lookup(self->mesh->by_id, id);

        return n == self ? NULL : n;
}

static void request_finish(Request *r, const char *error, const void *data, size_t len) {
        ChannelReply reply = r->reply;
        void *userdata = r->userdata;

        timer_clear(&r->timer);
        g_hash_table_remove(r->mesh->requests, &r->id);
        reply(userdata, error, data, len);
}

static void on_request_timeout(void *userdata) {
        request_finish(userdata, "Timeout", NULL, 0);
}

static void
post(MockNode *from,
     MockNode *to,
     MockKind kind,
     const char *channel,
     uint64_t id,
     const void *data,
     size_t len);

static void deliver(Message *msg) {
        MockNode *from = msg->pair->node[msg->from], *to = msg->pair->node[!msg->from];
        MockMesh *m = from->mesh;
        size_t len;
        const uint8_t *data = g_bytes_get_data(msg->data, &len);
        Handler *h = msg->channel ? g_hash_table_lookup(to->handlers, msg->channel) : NULL;
        Handler copy = h ? *h : (Handler){};
        Request *r;

        if (m->tap && !m->tap(m->tap_userdata, from, to, msg->kind, msg->channel, data, len))
                return;
        if (msg->kind != MOCK_PROBE) {
                from->messages++;
                from->bytes += len;
        }
        msg->pair->side[!msg->from].last_received = m->now;

        switch (msg->kind) {
        case MOCK_DATA:
        case MOCK_DATAGRAM:
                if (copy.data)
                        copy.data(copy.userdata, &from->id, data, len);
                break;
        case MOCK_REQUEST:
                if (copy.request) {
                        ChannelRequest *token = NEW(ChannelRequest);

                        *token = (ChannelRequest){ .to = from, .self = to, .id = msg->id };
                        g_hash_table_add(m->tokens, token);
                        copy.request(copy.userdata, &from->id, token, data, len);
                } else {
                        static const char error[] = "NoSuchChannel";

                        post(to, from, MOCK_ERROR, NULL, msg->id, error, strlen(error));
                }
                break;
        case MOCK_RESPONSE:
        case MOCK_ERROR:
                r = g_hash_table_lookup(m->requests, &msg->id);
                if (r && msg->kind == MOCK_RESPONSE)
                        request_finish(r, NULL, data, len);
                else if (r) {
                        g_autofree char *error = g_strndup((const char *) data, len);

                        request_finish(r, error, NULL, 0);
                }
                break;
        case MOCK_PROBE:
                break;
        }
}

static void on_arrival(void *userdata) {
        Message *msg = userdata;
        Pair *p = msg->pair;
        MockMesh *m = p->mesh;

        g_hash_table_remove(m->flying, msg);
        if (p->side[msg->from].state != LINK_UP) {
                message_free(msg); /* the link went away while it was under way */
                return;
        }
        if ((p->cut || p->side[!msg->from].state != LINK_UP) && msg->kind != MOCK_DATAGRAM) {
                g_queue_push_tail(&p->waiting, msg);
                return;
        }
        if (!p->cut && p->side[!msg->from].state == LINK_UP)
                deliver(msg);
        message_free(msg);
}

static void fly(Message *msg) {
        Pair *p = msg->pair;
        MockMesh *m = p->mesh;

        p->last_due = MAX(p->last_due, m->now + m->latency); /* in order, also if it changes */
        g_hash_table_add(m->flying, msg);
        timer_set(m->env.timers, &msg->timer, p->last_due, on_arrival, msg);
}

static void
post(MockNode *from,
     MockNode *to,
     MockKind kind,
     const char *channel,
     uint64_t id,
     const void *data,
     size_t len) {
        Message *msg = NEW(Message);

        *msg = (Message){
                .kind = kind,
                .id = id,
                .channel = g_strdup(channel),
                .data = g_bytes_new(data, len),
        };
        msg->pair = pair_get(from, to, &msg->from);
        if (msg->pair->side[msg->from].state == LINK_UP)
                fly(msg);
        else
                g_queue_push_tail(&msg->pair->waiting, msg);
}

/* --- links --- */

static void set_state(Pair *p, unsigned side, LinkState state) {
        MockNode *n = p->node[side], *other = p->node[!side];
        bool restarted = state == LINK_UP && p->side[side].peer_restarted;

        if (p->side[side].state == state && !restarted)
                return;
        p->side[side].state = state;
        if (state == LINK_UP) {
                p->side[side].peer_restarted = false;
                p->side[side].last_received = p->mesh->now;
        }
        for (unsigned i = 0; i < n->link_handlers->len; i++) {
                LinkHandler h = g_array_index(n->link_handlers, LinkHandler, i);

                h.handler(h.userdata, &other->id, state, restarted);
        }
}

static void release_waiting(Pair *p) {
        GQueue waiting = p->waiting;
        Message *msg;

        g_queue_init(&p->waiting);
        while ((msg = g_queue_pop_head(&waiting)))
                fly(msg);
}

static void pair_up(Pair *p) {
        timer_clear(&p->connect);
        timer_clear(&p->attempt);
        release_waiting(p);
        set_state(p, 0, LINK_UP);
        set_state(p, 1, LINK_UP);
}

/* Requests between the two that are open; collected first, since replies may do anything. */
static void fail_requests(MockMesh *m, MockNode *a, MockNode *b, const char *error) {
        g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, m->requests);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                Request *r = value;

                if ((r->from == a && (!b || r->to == b)) || (b && r->from == b && r->to == a))
                        g_array_append_val(ids, r->id);
        }
        for (unsigned j = 0; j < ids->len; j++) {
                Request *r = g_hash_table_lookup(m->requests, &g_array_index(ids, uint64_t, j));

                if (r)
                        request_finish(r, error, NULL, 0);
        }
}

static void pair_down(Pair *p) {
        Message *msg;

        timer_clear(&p->connect);
        timer_clear(&p->attempt);
        while ((msg = g_queue_pop_head(&p->waiting)))
                message_free(msg);
        set_state(p, 0, LINK_DOWN);
        set_state(p, 1, LINK_DOWN);
        fail_requests(p->mesh, p->node[0], p->node[1], "Unreachable");
}

static void on_connected(void *userdata) {
        Pair *p = userdata;

        if (!p->cut)
                pair_up(p);
}

static void on_attempt_over(void *userdata) {
        pair_down(userdata);
}

static void start_link(MockNode *n, MockNode *to) {
        unsigned side;
        Pair *p = pair_get(n, to, &side);
        MockMesh *m = p->mesh;

        if (p->side[side].state != LINK_DOWN)
                return;
        timer_set(m->env.timers, &p->attempt, m->now + ATTEMPT_TIME, on_attempt_over, p);
        timer_set(m->env.timers, &p->connect, m->now + 2 * m->latency, on_connected, p);
        set_state(p, side, LINK_CONNECTING);
}

void mock_mesh_link_up(MockMesh *m, MockNode *a, MockNode *b) {
        pair_up(pair_get(a, b, NULL));
}

void mock_mesh_link_down(MockMesh *m, MockNode *a, MockNode *b) {
        pair_down(pair_get(a, b, NULL));
}

void mock_mesh_link_all(MockMesh *m) {
        for (unsigned i = 0; i < m->nodes->len; i++)
                for (unsigned j = i + 1; j < m->nodes->len; j++)
                        mock_mesh_link_up(
                                        m, g_ptr_array_index(m->nodes, i),
                                        g_ptr_array_index(m->nodes, j));
}

void mock_mesh_set_reachable(MockMesh *m, MockNode *a, MockNode *b, bool reachable) {
        Pair *p = pair_get(a, b, NULL);

        p->cut = !reachable;
        if (!reachable)
                return;
        if (p->side[0].state == LINK_UP && p->side[1].state == LINK_UP)
                release_waiting(p);
        else if (timer_is_set(&p->attempt))
                timer_set(m->env.timers, &p->connect, m->now + 2 * m->latency, on_connected, p);
}

void mock_node_restart(MockNode *n) {
        MockMesh *m = n->mesh;

        fail_requests(m, n, NULL, "Cancelled");
        for (unsigned i = 0; i < m->nodes->len; i++) {
                MockNode *other = g_ptr_array_index(m->nodes, i);
                unsigned side;
                Pair *p;

                if (other == n)
                        continue;
                p = pair_get(n, other, &side);
                if (p->side[!side].state == LINK_UP)
                        p->side[!side].peer_restarted = true;
                set_state(p, side, LINK_DOWN);
        }
}

/* --- ChannelOps --- */

static usec_t op_now(void *self) {
        return ((MockNode *) self)->mesh->now;
}

static TimerQueue *op_timers(void *self) {
        return ((MockNode *) self)->mesh->env.timers;
}

static bool name_is_valid(const char *s) {
        size_t n = strlen(s);

        return n >= 1 && n <= 64 &&
               strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:.") == n;
}

static int
op_on_channel(void *self,
              const char *channel,
              ChannelHandler data,
              ChannelRequestHandler request,
              void *userdata) {
        MockNode *n = self;
        Handler *h;

        if (!name_is_valid(channel))
                return -EINVAL;
        if (g_hash_table_contains(n->handlers, channel))
                return -EEXIST;
        h = NEW(Handler);
        *h = (Handler){ .data = data, .request = request, .userdata = userdata };
        g_hash_table_insert(n->handlers, g_strdup(channel), h);
        return 0;
}

static int op_off_channel(void *self, const char *channel) {
        return g_hash_table_remove(((MockNode *) self)->handlers, channel) ? 0 : -ENOENT;
}

static int prepare(MockNode *n, const MachineId *to, const char *channel, size_t len, MockNode **ret) {
        MockNode *other = find(n, to);

        if (!name_is_valid(channel))
                return -EINVAL;
        if (len + 6 + strlen(channel) > CONTROL_MESSAGE_MAX)
                return -EMSGSIZE;
        if (n->fail_sends < 0)
                return n->fail_sends;
        if (!other)
                return -ENXIO;
        *ret = other;
        return 0;
}

static int op_send(void *self, const MachineId *to, const char *channel, const void *data, size_t len) {
        MockNode *n = self, *other;
        int r = prepare(n, to, channel, len, &other);

        if (r < 0)
                return r;
        post(n, other, MOCK_DATA, channel, 0, data, len);
        start_link(n, other);
        return 0;
}

static int
op_send_datagram(void *self, const MachineId *to, const char *channel, const void *data, size_t len) {
        MockNode *n = self, *other;
        unsigned side;
        Pair *p;
        int r = prepare(n, to, channel, len, &other);

        if (r < 0)
                return r;
        if (len > 1200)
                return -EMSGSIZE;
        p = pair_get(n, other, &side);
        if (p->side[side].state != LINK_UP)
                return -ENOTCONN;
        if ((unsigned) g_rand_int_range(n->mesh->rand, 0, 1000) >= n->mesh->loss)
                post(n, other, MOCK_DATAGRAM, channel, 0, data, len);
        return 0;
}

static int
op_request(void *self,
           const MachineId *to,
           const char *channel,
           const void *data,
           size_t len,
           usec_t timeout,
           ChannelReply reply,
           void *userdata,
           uint64_t *ret_id) {
        MockNode *n = self, *other;
        Request *req;
        int r = prepare(n, to, channel, len, &other);

        if (r < 0)
                return r;
        req = NEW(Request);
        *req = (Request){
                .mesh = n->mesh,
                .id = ++n->mesh->last_id,
                .from = n,
                .to = other,
                .reply = reply,
                .userdata = userdata,
        };
        g_hash_table_insert(n->mesh->requests, &req->id, req);
        timer_set(n->mesh->env.timers, &req->timer, usec_add(n->mesh->now, timeout),
                  on_request_timeout, req);
        if (ret_id)
                *ret_id = req->id;
        post(n, other, MOCK_REQUEST, channel, req->id, data, len);
        start_link(n, other);
        return 0;
}

static void op_cancel(void *self, uint64_t id) {
        Request *r = g_hash_table_lookup(((MockNode *) self)->mesh->requests, &id);

        if (r && r->from == self)
                request_finish(r, "Cancelled", NULL, 0);
}

static void answer(MockNode *n, ChannelRequest *request, MockKind kind, const void *data, size_t len) {
        ChannelRequest copy = *request;
        bool known = g_hash_table_remove(n->mesh->tokens, request);

        /* Exactly one answer to each request. */
        assert(known && copy.self == n);
        post(n, copy.to, kind, NULL, copy.id, data, len);
}

static void op_reply(void *self, ChannelRequest *request, const void *data, size_t len) {
        answer(self, request, MOCK_RESPONSE, data, len);
}

static void op_fail(void *self, ChannelRequest *request, const char *error) {
        answer(self, request, MOCK_ERROR, error, strlen(error));
}

static int op_connect(void *self, const MachineId *machine) {
        MockNode *other = find(self, machine);

        if (!other)
                return -ENXIO;
        start_link(self, other);
        return 0;
}

static Side *side_of(MockNode *n, const MachineId *machine) {
        MockNode *other = find(n, machine);
        unsigned side;
        Pair *p;

        if (!other)
                return NULL;
        p = pair_get(n, other, &side);
        return &p->side[side];
}

static LinkState op_link_state(void *self, const MachineId *machine) {
        Side *s = side_of(self, machine);

        return s ? s->state : LINK_DOWN;
}

static int op_on_link_state(void *self, LinkStateHandler handler, void *userdata) {
        GArray *a = ((MockNode *) self)->link_handlers;
        LinkHandler h = { .handler = handler, .userdata = userdata };

        if (handler) {
                g_array_append_val(a, h);
                return 0;
        }
        for (unsigned i = a->len; i > 0; i--)
                if (g_array_index(a, LinkHandler, i - 1).userdata == userdata)
                        g_array_remove_index(a, i - 1);
        return 0;
}

typedef struct Probe {
        Timer timer;
        Pair *pair;
        unsigned side;
        bool lost;
        usec_t rtt;
        ProbeReply reply;
        void *userdata;
} Probe;

static void on_probe(void *userdata) {
        g_autofree Probe *probe = userdata;
        Pair *p = probe->pair;
        MockMesh *m = p->mesh;

        g_hash_table_remove(m->probes, probe);
        if (!probe->lost)
                p->side[probe->side].last_received = p->side[!probe->side].last_received = m->now;
        probe->reply(probe->userdata, probe->lost, probe->lost ? 0 : probe->rtt);
}

static int
op_probe(void *self, const MachineId *machine, usec_t timeout, ProbeReply reply, void *userdata) {
        MockNode *n = self, *other = find(n, machine);
        MockMesh *m = n->mesh;
        unsigned side;
        Pair *p;
        Probe *probe;

        if (!other)
                return -ENXIO;
        p = pair_get(n, other, &side);
        if (p->side[side].state != LINK_UP)
                return -ENOTCONN;
        probe = NEW(Probe);
        *probe = (Probe){
                .pair = p,
                .side = side,
                .rtt = 2 * m->latency,
                .reply = reply,
                .userdata = userdata,
        };
        probe->lost = p->cut || probe->rtt > timeout || p->side[!side].state != LINK_UP ||
                      (m->tap && !m->tap(m->tap_userdata, n, other, MOCK_PROBE, NULL, NULL, 0));
        g_hash_table_add(m->probes, probe);
        timer_set(m->env.timers, &probe->timer,
                  usec_add(m->now, probe->lost ? timeout : probe->rtt), on_probe, probe);
        return 0;
}

static usec_t op_last_received(void *self, const MachineId *machine) {
        Side *s = side_of(self, machine);

        return s ? s->last_received : 0;
}

static void op_repair(void *self, const MachineId *machine) {
        Side *s = side_of(self, machine);

        if (s)
                s->repairs++;
}

static void op_set_packets(void *self, const MachineId *machine, bool open) {
        Side *s = side_of(self, machine);

        if (s)
                s->packets_open = open;
}

static void
op_packet_stats(void *self,
                const MachineId *machine,
                uint64_t ret_tx[static 2],
                uint64_t ret_rx[static 2],
                usec_t *ret_last_tx,
                usec_t *ret_last_rx) {
        static const Side none;
        const Side *s = side_of(self, machine) ?: &none;

        memcpy(ret_tx, s->tx, sizeof(s->tx));
        memcpy(ret_rx, s->rx, sizeof(s->rx));
        *ret_last_tx = s->last_tx;
        *ret_last_rx = s->last_rx;
}

static const ChannelOps mock_ops = {
        .now = op_now,
        .timers = op_timers,
        .on_channel = op_on_channel,
        .off_channel = op_off_channel,
        .send = op_send,
        .send_datagram = op_send_datagram,
        .request = op_request,
        .cancel = op_cancel,
        .reply = op_reply,
        .fail = op_fail,
        .connect = op_connect,
        .link_state = op_link_state,
        .on_link_state = op_on_link_state,
        .probe = op_probe,
        .last_received = op_last_received,
        .repair = op_repair,
        .set_packets = op_set_packets,
        .packet_stats = op_packet_stats,
};

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
                .pairs = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, pair_free),
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
                message_free(key);
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
                .provider = { .ops = &mock_ops, .self = n },
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
        Side *s = side_of(n, machine);

        return s ? s->repairs : 0;
}

bool mock_node_packets_open(MockNode *n, const MachineId *machine) {
        Side *s = side_of(n, machine);

        return s && s->packets_open;
}

void mock_node_set_packet_stats(
                MockNode *n,
                const MachineId *machine,
                const uint64_t tx[static 2],
                const uint64_t rx[static 2],
                usec_t last_tx,
                usec_t last_rx) {
        Side *s = side_of(n, machine);

        assert(s);
        memcpy(s->tx, tx, sizeof(s->tx));
        memcpy(s->rx, rx, sizeof(s->rx));
        s->last_tx = last_tx;
        s->last_rx = last_rx;
}

void mock_node_set_last_received(MockNode *n, const MachineId *machine, usec_t when) {
        Side *s = side_of(n, machine);

        assert(s);
        s->last_received = when;
}
