/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ChannelProvider of a mesh: handlers by channel name, requests and their answers. */

#include <string.h>

#include "core/mesh/link/link-budget.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

#define ENROL_CHANNEL "enrol"
#define CERT_CHANNEL "cert"

typedef struct Handler {
        char *name;
        ChannelHandler data;
        ChannelRequestHandler request;
        void *userdata;
} Handler;

/* A request of ours. */
typedef struct Request {
        Channels *channels;
        Link *link; /* borrowed: a link with requests ends them before it goes */
        GList in_link;
        uint32_t id;
        GBytes *message;
        ChannelReply reply;
        void *userdata;
        Timer timer;
} Request;

/* A request of theirs. */
struct ChannelRequest {
        Channels *channels;
        GList in_channels;
        Link *link; /* reference */
        uint32_t id;
        /* The life of the link in which it came: an answer to another means nothing. */
        uint8_t boot_id[BOOT_ID_SIZE], remote_boot_id[BOOT_ID_SIZE];
};

typedef struct StateHandler {
        LinkStateHandler handler;
        void *userdata;
} StateHandler;

struct Channels {
        Mesh *mesh;
        GHashTable *handlers; /* by name */
        GHashTable *requests; /* of Request, by id */
        uint32_t last_id;
        GQueue theirs; /* of ChannelRequest */
        GArray *state_handlers;
        LinkObserver observer;
};

static void handler_free(void *p) {
        Handler *h = p;

        g_free(h->name);
        g_free(h);
}

static void tell_state(Channels *c, Link *link, LinkState state, bool restarted) {
        unsigned events = link->events;
        MachineId machine = link->machine;

        for (unsigned i = 0; i < c->state_handlers->len; i++) {
                StateHandler h = g_array_index(c->state_handlers, StateHandler, i);

                h.handler(h.userdata, &machine, state, restarted);
                if (link->events != events)
                        return;
        }
}

static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        switch (event) {
        case LINK_EVENT_CONNECTING:
                tell_state(userdata, link, LINK_CONNECTING, false);
                return;
        case LINK_EVENT_UP:
        case LINK_EVENT_RESTARTED:
                tell_state(userdata, link, LINK_UP, event == LINK_EVENT_RESTARTED);
                return;
        case LINK_EVENT_DOWN:
                tell_state(userdata, link, LINK_DOWN, false);
                return;
        case LINK_EVENT_ENDPOINT:
        case LINK_EVENT_SEEN:
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_LOST:
        case LINK_EVENT_CHANGED:
        case _LINK_EVENT_MAX:
                return;
        }
}

Channels *channels_new(Mesh *m) {
        Channels *c = NEW(Channels);

        c->mesh = m;
        c->handlers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, handler_free);
        c->requests = g_hash_table_new(NULL, NULL);
        g_queue_init(&c->theirs);
        c->state_handlers = g_array_new(false, false, sizeof(StateHandler));
        c->observer = (LinkObserver){ .userdata = c, .event = on_link_event };
        mesh_observe_links(m, &c->observer);
        return c;
}

static void forget_theirs(ChannelRequest *q) {
        g_queue_unlink(&q->channels->theirs, &q->in_channels);
        link_unref(q->link);
        g_free(q);
}

/* All links are gone, and our requests with them. */
Channels *channels_free(Channels *c) {
        if (!c)
                return NULL;
        mesh_unobserve_links(c->mesh, &c->observer);
        while (c->theirs.head)
                forget_theirs(c->theirs.head->data);
        g_hash_table_unref(c->requests);
        g_hash_table_unref(c->handlers);
        g_array_unref(c->state_handlers);
        g_free(c);
        return NULL;
}

/* --- handlers --- */

static int
on_channel(void *self,
           const char *channel,
           ChannelHandler data,
           ChannelRequestHandler request,
           void *userdata) {
        Channels *c = ((Mesh *) self)->channels;
        Handler *h;

        if (!channel_name_is_valid(channel))
                return -EINVAL;
        if (g_hash_table_contains(c->handlers, channel))
                return -EEXIST;
        h = NEW(Handler);
        *h = (Handler){
                .name = g_strdup(channel),
                .data = data,
                .request = request,
                .userdata = userdata,
        };
        g_hash_table_insert(c->handlers, h->name, h);
        return 0;
}

static int off_channel(void *self, const char *channel) {
        Channels *c = ((Mesh *) self)->channels;

        return g_hash_table_remove(c->handlers, channel) ? 0 : -ENOENT;
}

static int on_link_state(void *self, LinkStateHandler handler, void *userdata) {
        Channels *c = ((Mesh *) self)->channels;
        StateHandler h = { .handler = handler, .userdata = userdata };

        if (handler) {
                g_array_append_val(c->state_handlers, h);
                return 0;
        }
        for (unsigned i = c->state_handlers->len; i > 0; i--)
                if (g_array_index(c->state_handlers, StateHandler, i - 1).userdata == userdata)
                        g_array_remove_index(c->state_handlers, i - 1);
        return 0;
}

/* --- sending --- */

/* The link on which @channel may be used to reach @machine, made if there is none. */
static int get_link(Mesh *m, const MachineId *machine, const char *channel, Link **ret) {
        Link *link = link_find(m, machine);

        if (link && strcmp(channel, ENROL_CHANNEL) == 0 && (link->enrolling || link_is_up(link))) {
                *ret = link;
                return 0;
        }
        if (!m->is_member || !mesh_knows_machine(m, machine))
                return -ENXIO;
        /* A member whose link still only enrols will come with another one in a moment. */
        if (link && link_is_up(link) && link_is_limited(link))
                return -ENOTCONN;
        return link_get(m, machine, ret);
}

static GBytes *
encode(MessageKind kind, uint32_t id, const char *channel, const void *data, size_t len) {
        ControlMessage cm = {
                .kind = kind,
                .request_id = id,
                .payload = data,
                .payload_len = len,
        };

        g_strlcpy(cm.channel, channel, sizeof cm.channel);
        return control_message_encode(&cm);
}

static GBytes *encode_error(uint32_t id, WireError error) {
        const char *name = wire_error_name(error);

        return encode(CONTROL_ERROR, id, "", name, strlen(name));
}

GBytes *channels_encode_data(const char *channel, GBytes *payload) {
        size_t len;
        const void *data = g_bytes_get_data(payload, &len);

        return encode(CONTROL_DATA, 0, channel, data, len);
}

static int
send_on_channel(void *self, const MachineId *to, const char *channel, const void *data, size_t len) {
        g_autoptr(GBytes) message = NULL;
        Link *link;
        int r;

        if (!channel_name_is_valid(channel))
                return -EINVAL;
        r = get_link(self, to, channel, &link);
        if (r < 0)
                return r;
        message = encode(CONTROL_DATA, 0, channel, data, len);
        if (!message)
                return -EMSGSIZE;
        return link_send_message(link, message);
}

static int
send_datagram(void *self, const MachineId *to, const char *channel, const void *data, size_t len) {
        Mesh *m = self;
        Link *link = link_find(m, to);
        size_t k = strlen(channel);
        uint8_t frame[OMERTA_MTU_DEFAULT];

        if (!channel_name_is_valid(channel))
                return -EINVAL;
        if (!link || !link_is_up(link) || link_is_limited(link))
                return -ENOTCONN;
        if (len > MIN(m->config.mtu, sizeof frame) - 2 - k)
                return -EMSGSIZE;
        frame[0] = FRAME_DATAGRAM;
        frame[1] = (uint8_t) k;
        memcpy(frame + 2, channel, k);
        if (len > 0)
                memcpy(frame + 2 + k, data, len);
        link_touch(link);
        if (!link_send_frame(link, frame, 2 + k + len))
                return -ENOTCONN;
        link->watch.last_datagram = env_now(m->env);
        if (!timer_is_set(&link->watch.timer) ||
            link->watch.timer.due > env_now(m->env) + PATH_ASK_USEC)
                paths_used(link);
        return 0;
}

/* --- requests of ours --- */

static void forget(Request *q) {
        timer_clear(&q->timer);
        g_queue_unlink(&q->link->requests, &q->in_link);
        g_hash_table_remove(q->channels->requests, GUINT_TO_POINTER(q->id));
        g_bytes_unref(q->message);
        g_free(q);
}

/* Ends it; the link may be gone when this returns. */
static void finish(Request *q, WireError error, const uint8_t *data, size_t len) {
        g_autoptr(Link) link = link_ref(q->link);
        ChannelReply done = q->reply;
        void *userdata = q->userdata;

        forget(q);
        done(userdata, error, data, len);
        if (link->mesh)
                link_collect(link);
}

static void on_timeout(void *userdata) {
        finish(userdata, WIRE_ERROR_TIMEOUT, NULL, 0);
}

static uint32_t next_request_id(Channels *c) {
        do
                c->last_id++;
        while (c->last_id == 0 || g_hash_table_contains(c->requests, GUINT_TO_POINTER(c->last_id)));
        return c->last_id;
}

static int request_on_channel(
                void *self,
                const MachineId *to,
                const char *channel,
                const void *data,
                size_t len,
                usec_t timeout,
                ChannelReply reply,
                void *userdata,
                uint64_t *ret_id) {
        g_autoptr(GBytes) message = NULL;
        Mesh *m = self;
        Channels *c = m->channels;
        uint32_t id = next_request_id(c);
        Request *q;
        Link *link;
        int r;

        if (!channel_name_is_valid(channel))
                return -EINVAL;
        r = get_link(m, to, channel, &link);
        if (r < 0)
                return r;
        if (link->requests.length >= CHANNEL_PENDING_REQUESTS_MAX)
                return -ENOBUFS;
        message = encode(CONTROL_REQUEST, id, channel, data, len);
        if (!message)
                return -EMSGSIZE;
        q = NEW(Request);
        *q = (Request){
                .channels = c,
                .link = link,
                .in_link.data = q,
                .id = id,
                .message = g_bytes_ref(message),
                .reply = reply,
                .userdata = userdata,
        };
        g_queue_push_tail_link(&link->requests, &q->in_link);
        g_hash_table_insert(c->requests, GUINT_TO_POINTER(id), q);
        if (timeout != USEC_INFINITY)
                timer_set(m->env->timers, &q->timer, usec_add(env_now(m->env), timeout), on_timeout,
                          q);
        r = link_send_message(link, message);
        /* On failure nothing was called: it is still there. */
        if (r < 0) {
                forget(q);
                return r;
        }
        if (ret_id)
                *ret_id = id;
        return 0;
}

static void cancel(void *self, uint64_t id) {
        Channels *c = ((Mesh *) self)->channels;
        Request *q = id <= UINT32_MAX ? g_hash_table_lookup(
                                                        c->requests, GUINT_TO_POINTER((uint32_t) id))
                                      : NULL;

        if (q)
                finish(q, WIRE_ERROR_CANCELLED, NULL, 0);
}

void channels_fail_link(Link *link, WireError error) {
        GList *last = link->requests.tail;

        link->n_unanswered = 0;
        /* Those that handlers add meanwhile are not meant. */
        while (last && link->requests.head) {
                bool was_last = link->requests.head == last;

                finish(link->requests.head->data, error, NULL, 0);
                if (was_last)
                        return;
        }
}

void channels_resend_requests(Link *link) {
        for (GList *l = link->requests.head; l; l = l->next) {
                Request *q = l->data;

                if (!reliable_has(link->reliable, q->message))
                        (void) reliable_push(link->reliable, q->message);
        }
}

/* --- requests of theirs --- */

static void answer(ChannelRequest *q, MessageKind kind, const void *data, size_t len) {
        Link *link = q->link;

        if (link->mesh && memcmp(q->boot_id, link->boot_id, BOOT_ID_SIZE) == 0 &&
            memcmp(q->remote_boot_id, link->remote_boot_id, BOOT_ID_SIZE) == 0) {
                g_autoptr(GBytes) message = encode(kind, q->id, "", data, len);

                if (!message)
                        message = encode_error(q->id, WIRE_ERROR_FAILED);
                if (link->n_unanswered > 0)
                        link->n_unanswered--;
                link_charge(link, len / SEGMENT_DATA_MAX * COST_FRAME);
                if (link_send_message(link, message) < 0)
                        drop_count(link->mesh->config.drops, DROP_CONTROL_OVERFLOW);
        }
        forget_theirs(q);
}

static void reply(void *self, ChannelRequest *q, const void *data, size_t len) {
        answer(q, CONTROL_RESPONSE, data, len);
}

static void fail(void *self, ChannelRequest *q, WireError error) {
        const char *name = wire_error_name(error);

        assert(wire_error_is_foreign(error));
        answer(q, CONTROL_ERROR, name, strlen(name));
}

static void send_error(Link *link, uint32_t id, WireError error) {
        g_autoptr(GBytes) message = encode_error(id, error);

        (void) link_send_message(link, message);
}

static DropReason handle_request(Link *link, const ControlMessage *cm, const Handler *h) {
        Channels *c = link->mesh->channels;
        ChannelRequest *q;

        if (!h || !h->request) {
                send_error(link, cm->request_id, WIRE_ERROR_NO_SUCH_CHANNEL);
                return DROP_NO_CHANNEL;
        }
        if (link->n_unanswered >= CHANNEL_PENDING_REQUESTS_MAX) {
                send_error(link, cm->request_id, WIRE_ERROR_FULL);
                return DROP_CONTROL_OVERFLOW;
        }
        q = NEW(ChannelRequest);
        *q = (ChannelRequest){
                .channels = c,
                .in_channels.data = q,
                .link = link_ref(link),
                .id = cm->request_id,
        };
        memcpy(q->boot_id, link->boot_id, BOOT_ID_SIZE);
        memcpy(q->remote_boot_id, link->remote_boot_id, BOOT_ID_SIZE);
        g_queue_push_tail_link(&c->theirs, &q->in_channels);
        link->n_unanswered++;
        h->request(h->userdata, &link->machine, q, cm->payload, cm->payload_len);
        return DROP_NONE;
}

DropReason channels_handle_message(Link *link, const uint8_t *data, size_t len) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Channels *c;
        ControlMessage cm;
        const Handler *h;
        Request *q;

        if (!link->mesh || control_message_decode(data, len, &cm) < 0)
                return DROP_FRAME_MALFORMED;
        if (link->dismissed)
                return DROP_REVOKED;
        c = link->mesh->channels;
        link_charge(link, cm.kind == CONTROL_REQUEST ? COST_REQUEST : COST_MESSAGE);
        switch (cm.kind) {
        case CONTROL_DATA:
        case CONTROL_REQUEST:
                h = g_hash_table_lookup(c->handlers, cm.channel);
                /* docs/protocol.md, "Messages": one channel alone for who is no member yet, or
                 * whose certificate has ended; not enrol for who has shown its certificate. */
                if (strcmp(cm.channel, ENROL_CHANNEL) == 0 ? !link_is_enrol(link)
                    : link_is_enrol(link)                  ? true
                                          : link->renews && strcmp(cm.channel, CERT_CHANNEL) != 0)
                        h = NULL;
                if (cm.kind == CONTROL_REQUEST)
                        return handle_request(link, &cm, h);
                if (!h || !h->data)
                        return DROP_NO_CHANNEL;
                h->data(h->userdata, &link->machine, cm.payload, cm.payload_len);
                return DROP_NONE;
        case CONTROL_RESPONSE:
        case CONTROL_ERROR:
                q = g_hash_table_lookup(c->requests, GUINT_TO_POINTER(cm.request_id));
                if (!q || q->link != link)
                        return DROP_NONE; /* came too late */
                if (cm.kind == CONTROL_ERROR)
                        finish(q, wire_error_from_name(cm.payload, cm.payload_len), NULL, 0);
                else
                        finish(q, WIRE_ERROR_NONE, cm.payload, cm.payload_len);
                return DROP_NONE;
        }
        return DROP_FRAME_MALFORMED;
}

DropReason channels_handle_datagram(Link *link, const uint8_t *frame, size_t len) {
        Channels *c = link->mesh->channels;
        char name[CHANNEL_NAME_MAX + 1];
        const Handler *h;

        if (len < 2 || frame[1] == 0 || frame[1] > CHANNEL_NAME_MAX || len < 2U + frame[1])
                return DROP_FRAME_MALFORMED;
        memcpy(name, frame + 2, frame[1]);
        name[frame[1]] = '\0';
        if (strlen(name) != frame[1] || !channel_name_is_valid(name))
                return DROP_FRAME_MALFORMED;
        if (link->dismissed)
                return DROP_REVOKED;
        if (link_is_limited(link))
                return DROP_NOT_A_MEMBER;
        h = g_hash_table_lookup(c->handlers, name);
        if (!h || !h->data)
                return DROP_NO_CHANNEL;
        h->data(h->userdata, &link->machine, frame + 2 + frame[1], len - 2 - frame[1]);
        return DROP_NONE;
}

/* --- links --- */

static usec_t provider_now(void *self) {
        return env_now(((Mesh *) self)->env);
}

static TimerQueue *provider_timers(void *self) {
        return ((Mesh *) self)->env->timers;
}

static int provider_connect(void *self, const MachineId *machine) {
        Mesh *m = self;
        Link *link = link_find(m, machine);
        int r;

        if (!link || !link->enrolling) {
                if (!m->is_member || !mesh_knows_machine(m, machine))
                        return -ENXIO;
                r = link_get(m, machine, &link);
                if (r < 0)
                        return r;
        }
        link_connect(link);
        return 0;
}

static LinkState provider_link_state(void *self, const MachineId *machine) {
        Link *link = link_find(self, machine);

        return link && !link->dismissed ? link->state : LINK_DOWN;
}

static int
provider_probe(void *self, const MachineId *machine, usec_t timeout, ProbeReply done, void *userdata) {
        Link *link = link_find(self, machine);

        return link ? probes_send(link, timeout, done, userdata) : -ENOTCONN;
}

static usec_t provider_last_received(void *self, const MachineId *machine) {
        Link *link = link_find(self, machine);

        return link ? link_last_received(link) : 0;
}

static void provider_repair(void *self, const MachineId *machine) {
        Link *link = link_find(self, machine);

        if (link)
                link_lose(link);
}

static void provider_set_packets(void *self, const MachineId *machine, bool open) {
        Mesh *m = self;
        Link *link = link_find(m, machine);

        if (!link) {
                if (!open || !mesh_knows_machine(m, machine) || link_get(m, machine, &link) < 0)
                        return;
        }
        link_set_packets(link, open);
        if (open && !link_is_up(link))
                link_connect(link);
}

static void provider_packet_stats(
                void *self,
                const MachineId *machine,
                uint64_t ret_tx[static 2],
                uint64_t ret_rx[static 2],
                usec_t *ret_last_tx,
                usec_t *ret_last_rx) {
        PacketPeer *p = g_hash_table_lookup(((Mesh *) self)->peers, machine);

        ret_tx[0] = p ? atomic_load_explicit(&p->tx_packets, memory_order_relaxed) : 0;
        ret_tx[1] = p ? atomic_load_explicit(&p->tx_bytes, memory_order_relaxed) : 0;
        ret_rx[0] = p ? atomic_load_explicit(&p->rx_packets, memory_order_relaxed) : 0;
        ret_rx[1] = p ? atomic_load_explicit(&p->rx_bytes, memory_order_relaxed) : 0;
        *ret_last_tx = p ? atomic_load_explicit(&p->last_tx, memory_order_relaxed) : 0;
        *ret_last_rx = p ? atomic_load_explicit(&p->last_rx, memory_order_relaxed) : 0;
}

const ChannelOps mesh_channel_ops = {
        .now = provider_now,
        .timers = provider_timers,
        .on_channel = on_channel,
        .off_channel = off_channel,
        .send = send_on_channel,
        .send_datagram = send_datagram,
        .request = request_on_channel,
        .cancel = cancel,
        .reply = reply,
        .fail = fail,
        .connect = provider_connect,
        .link_state = provider_link_state,
        .on_link_state = on_link_state,
        .probe = provider_probe,
        .last_received = provider_last_received,
        .repair = provider_repair,
        .set_packets = provider_set_packets,
        .packet_stats = provider_packet_stats,
};
