/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * TCP on the simulated internet, as far as omerta sees it: whoever may speak to the internet at all
 * reaches one that listens there, however UDP is treated; datagrams arrive whole and in order, and
 * after the time of a connection's making at first. Who listens has no router before it.
 */

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/wire/relayed.h"
#include "sim-internal.h"

#define PORT_FIRST 50000U

typedef struct SimStream {
        SimNode *end[2];  /* who made it, who listens */
        Endpoint peer[2]; /* each as the other one sees it */
        usec_t last[2];   /* nothing overtakes what is to arrive then, at each */
        usec_t used;
        unsigned id;
} SimStream;

typedef struct Segment {
        Sim *sim;
        Timer timer;
        unsigned stream, to; /* id, index */
        size_t len;
        uint8_t data[];
} Segment;

static SimStream *find_id(const Sim *s, unsigned id) {
        for (unsigned i = 0; i < s->streams->len; i++)
                if (((SimStream *) s->streams->pdata[i])->id == id)
                        return s->streams->pdata[i];
        return NULL;
}

/* @ret: which end of it the other one is. */
static SimStream *find(const Sim *s, const SimNode *n, const Endpoint *to, unsigned *ret) {
        for (unsigned i = 0; i < s->streams->len; i++) {
                SimStream *x = s->streams->pdata[i];

                for (unsigned k = 0; k < 2; k++)
                        if (x->end[!k] == n && endpoint_equal(&x->peer[k], to)) {
                                *ret = k;
                                return x;
                        }
        }
        return NULL;
}

static void arrive(void *userdata) {
        g_autofree Segment *g = userdata;
        SimStream *x = g->sim->ended ? NULL : find_id(g->sim, g->stream);
        SimNode *n = x ? x->end[g->to] : NULL;
        Endpoint from;

        if (!n || n->asleep || !n->receive || n->side != x->end[!g->to]->side)
                return;
        n->received++;
        x->used = g->sim->now;
        from = x->peer[!g->to];
        n->receive(n->userdata, g->data, g->len, &from);
}

/* As the internet sees it. */
static Endpoint outside_of(SimNode *n, const Endpoint *to) {
        const Endpoint *own = sim_node_of_family(n, to->sa.sa_family);
        Endpoint e = own ? *own : (Endpoint){};

        for (const SimNat *nat = n->nat; nat && e.sa.sa_family == AF_INET; nat = nat->outer)
                e = nat->address;
        endpoint_set_port(&e, (uint16_t) (PORT_FIRST + n->sim->n_streams % 10000));
        e.transport = ENDPOINT_TCP_ACCEPTED;
        return e;
}

static SimNode *listener_at(const Sim *s, const Endpoint *to) {
        Endpoint e = *to;

        e.transport = ENDPOINT_UDP;
        for (unsigned i = 0; i < s->nodes->len; i++) {
                SimNode *n = s->nodes->pdata[i];

                if (n->asleep || !n->receive || n->nat || n->stream_port != endpoint_port(to))
                        continue;
                for (unsigned k = 0; k < n->addresses->len; k++)
                        if (endpoint_same_address(&g_array_index(n->addresses, Endpoint, k), &e))
                                return n;
        }
        return NULL;
}

static SimStream *dial(SimNode *n, const Endpoint *to) {
        Sim *s = n->sim;
        SimNode *listener = to->transport == ENDPOINT_TCP ? listener_at(s, to) : NULL;
        SimStream *x;

        if (!listener || listener == n || listener->side != n->side ||
            !sim_node_of_family(n, to->sa.sa_family))
                return NULL;
        x = NEW(SimStream);
        x->id = ++s->n_streams;
        x->end[0] = n;
        x->end[1] = listener;
        x->peer[0] = outside_of(n, to);
        x->peer[1] = *to;
        x->used = s->now;
        /* SYN, and its answer. */
        x->last[1] = s->now + 2 * s->model.latency;
        g_ptr_array_add(s->streams, x);
        return x;
}

int sim_stream_send(SimNode *n, const Endpoint *to, const uint8_t *data, size_t len) {
        Sim *s = n->sim;
        Endpoint peer = *to;
        size_t head = endpoint_is_relayed(to) ? RELAY_HEADER_SIZE : 0;
        SimStream *x;
        unsigned k = 1;
        Segment *g;

        if (n->asleep)
                return -ENETDOWN;
        peer.relay = 0;
        peer.local = (IpAddr){};
        x = find(s, n, &peer, &k);
        if (!x)
                x = dial(n, &peer);
        if (!x)
                return -ENOTCONN;
        n->sent++;
        if (s->streams_stalled)
                return 0;
        g = g_malloc0(sizeof *g + head + len);
        *g = (Segment){ .sim = s, .stream = x->id, .to = k, .len = head + len };
        if (head > 0)
                relayed_write(g->data, to->relay);
        memcpy(g->data + head, data, len);
        x->last[k] = MAX(x->last[k], s->now + s->model.latency);
        timer_set(s->flights, &g->timer, x->last[k], arrive, g);
        return 0;
}

void sim_node_listen(SimNode *n, uint16_t port) {
        n->stream_port = port;
}

void sim_node_on_stream_ended(SimNode *n, SimStreamEnded ended) {
        n->stream_ended = ended;
}

unsigned sim_node_streams(const SimNode *n) {
        const Sim *s = n->sim;
        unsigned count = 0;

        for (unsigned i = 0; i < s->streams->len; i++) {
                const SimStream *x = s->streams->pdata[i];

                count += x->end[0] == n || x->end[1] == n;
        }
        return count;
}

unsigned sim_streams_made(const Sim *s) {
        return s->n_streams;
}

void sim_stall_streams(Sim *s, bool stalled) {
        s->streams_stalled = stalled;
}

/* Both ends are told, who may make and end others. */
static void end_stream(Sim *s, unsigned i) {
        SimStream ended = *(SimStream *) s->streams->pdata[i];

        g_ptr_array_remove_index(s->streams, i);
        for (unsigned k = 0; k < 2; k++) {
                SimNode *end = ended.end[k];

                if (end->stream_ended && end->receive && !end->asleep)
                        end->stream_ended(end->userdata, &ended.peer[!k]);
        }
}

void sim_streams_expire(Sim *s) {
        for (unsigned i = s->streams->len; i > 0; i = MIN(i - 1, s->streams->len)) {
                const SimStream *x = s->streams->pdata[i - 1];

                if (s->now >= x->used + STREAM_IDLE_USEC)
                        end_stream(s, i - 1);
        }
}

void sim_node_end_streams(SimNode *n) {
        Sim *s = n->sim;

        for (unsigned i = s->streams->len; i > 0; i = MIN(i - 1, s->streams->len)) {
                const SimStream *x = s->streams->pdata[i - 1];

                if (x->end[0] == n || x->end[1] == n)
                        end_stream(s, i - 1);
        }
}
