/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mock-channel-internal.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"

#define ATTEMPT_TIME (90 * USEC_PER_SEC) /* docs/protocol.md, "Timers", REKEY_ATTEMPT_TIME */

/* --- messages --- */

void mock_message_free(Message *msg) {
        timer_clear(&msg->timer);
        g_free(msg->channel);
        g_bytes_unref(msg->data);
        g_free(msg);
}

Pair *mock_pair_get(MockNode *a, MockNode *b, unsigned *ret_side) {
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

void mock_pair_free(void *data) {
        Pair *p = data;
        Message *msg;

        while ((msg = g_queue_pop_head(&p->waiting)))
                mock_message_free(msg);
        timer_clear(&p->connect);
        timer_clear(&p->attempt);
        g_free(p);
}

static MockNode *find(MockNode *self, const MachineId *id) {
        MockNode *n = g_hash_table_lookup(self->mesh->by_id, id);

        return n == self ? NULL : n;
}

static void request_finish(Request *r, WireError error, const void *data, size_t len) {
        ChannelReply reply = r->reply;
        void *userdata = r->userdata;

        timer_clear(&r->timer);
        g_hash_table_remove(r->mesh->requests, &r->id);
        reply(userdata, error, data, len);
}

static void on_request_timeout(void *userdata) {
        request_finish(userdata, WIRE_ERROR_TIMEOUT, NULL, 0);
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
                        request_finish(r, WIRE_ERROR_NONE, data, len);
                else if (r)
                        request_finish(r, wire_error_from_name(data, len), NULL, 0);
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
                mock_message_free(msg); /* the link went away while it was under way */
                return;
        }
        if ((p->cut || p->side[!msg->from].state != LINK_UP) && msg->kind != MOCK_DATAGRAM) {
                g_queue_push_tail(&p->waiting, msg);
                return;
        }
        if (!p->cut && p->side[!msg->from].state == LINK_UP)
                deliver(msg);
        mock_message_free(msg);
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
        msg->pair = mock_pair_get(from, to, &msg->from);
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
static void fail_requests(MockMesh *m, MockNode *a, MockNode *b, WireError error) {
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
                mock_message_free(msg);
        set_state(p, 0, LINK_DOWN);
        set_state(p, 1, LINK_DOWN);
        fail_requests(p->mesh, p->node[0], p->node[1], WIRE_ERROR_UNREACHABLE);
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
        Pair *p = mock_pair_get(n, to, &side);
        MockMesh *m = p->mesh;

        if (p->side[side].state != LINK_DOWN)
                return;
        timer_set(m->env.timers, &p->attempt, m->now + ATTEMPT_TIME, on_attempt_over, p);
        timer_set(m->env.timers, &p->connect, m->now + 2 * m->latency, on_connected, p);
        set_state(p, side, LINK_CONNECTING);
}

void mock_mesh_link_up(MockMesh *m, MockNode *a, MockNode *b) {
        pair_up(mock_pair_get(a, b, NULL));
}

void mock_mesh_link_down(MockMesh *m, MockNode *a, MockNode *b) {
        pair_down(mock_pair_get(a, b, NULL));
}

void mock_mesh_link_repaired(MockMesh *m, MockNode *a, MockNode *b) {
        Pair *p = mock_pair_get(a, b, NULL);

        set_state(p, 0, LINK_CONNECTING);
        set_state(p, 1, LINK_CONNECTING);
        pair_up(p);
}

void mock_mesh_link_all(MockMesh *m) {
        for (unsigned i = 0; i < m->nodes->len; i++)
                for (unsigned j = i + 1; j < m->nodes->len; j++)
                        mock_mesh_link_up(
                                        m, g_ptr_array_index(m->nodes, i),
                                        g_ptr_array_index(m->nodes, j));
}

void mock_mesh_set_reachable(MockMesh *m, MockNode *a, MockNode *b, bool reachable) {
        Pair *p = mock_pair_get(a, b, NULL);

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

        fail_requests(m, n, NULL, WIRE_ERROR_CANCELLED);
        for (unsigned i = 0; i < m->nodes->len; i++) {
                MockNode *other = g_ptr_array_index(m->nodes, i);
                unsigned side;
                Pair *p;

                if (other == n)
                        continue;
                p = mock_pair_get(n, other, &side);
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
        p = mock_pair_get(n, other, &side);
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
                request_finish(r, WIRE_ERROR_CANCELLED, NULL, 0);
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

static void op_fail(void *self, ChannelRequest *request, WireError error) {
        const char *name = wire_error_name(error);

        assert(wire_error_is_foreign(error));
        answer(self, request, MOCK_ERROR, name, strlen(name));
}

static int op_connect(void *self, const MachineId *machine) {
        MockNode *other = find(self, machine);

        if (!other)
                return -ENXIO;
        start_link(self, other);
        return 0;
}

Side *mock_side_of(MockNode *n, const MachineId *machine) {
        MockNode *other = find(n, machine);
        unsigned side;
        Pair *p;

        if (!other)
                return NULL;
        p = mock_pair_get(n, other, &side);
        return &p->side[side];
}

static LinkState op_link_state(void *self, const MachineId *machine) {
        Side *s = mock_side_of(self, machine);

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
        p = mock_pair_get(n, other, &side);
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
        Side *s = mock_side_of(self, machine);

        return s ? s->last_received : 0;
}

static void op_repair(void *self, const MachineId *machine) {
        Side *s = mock_side_of(self, machine);

        if (s)
                s->repairs++;
}

static void op_set_packets(void *self, const MachineId *machine, bool open) {
        Side *s = mock_side_of(self, machine);

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
        const Side *s = mock_side_of(self, machine) ?: &none;

        memcpy(ret_tx, s->tx, sizeof(s->tx));
        memcpy(ret_rx, s->rx, sizeof(s->rx));
        *ret_last_tx = s->last_tx;
        *ret_last_rx = s->last_rx;
}

const ChannelOps mock_channel_ops = {
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
