/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tunnel/pool.h"

#include <string.h>

#include "base/macros.h"
#include "core/tunnel/health.h"
#include "core/tunnel/session-internal.h"
#include "core/wire/control.h"

/*
 * Theory of operation
 *
 * Both sides hold a session of the same key (machine, channel name). One opens it with a request
 * on the channel `tunnel`; the other makes its end and answers. Opening what is open is no
 * error, so both may open at the same instant, and a side that is not sure asks again: after the
 * other has restarted, and after a link was lost and came back, because a close sent meanwhile
 * did not arrive.
 *
 * When there are as many as there may be in all, the one that was idle longest makes room. Nobody
 * loses by it what he uses: traffic of the last seconds protects a session, and a packet opens one
 * again that went. So a machine with many members has room for those who talk, however many do not.
 *
 * Closing tells the other side if there is a link; if there is none, its end is found to be
 * missing by the next open, or closes itself when idle. A close that arrives while our open is
 * under way is about the session before it, since the other side's messages arrive in order and
 * it cannot have closed what it has not answered yet: ignored.
 */

#define TUNNEL_CHANNEL "tunnel"
/* As long as a message may wait for its acknowledgement (docs/protocol.md, "Frames"). */
#define OPEN_TIMEOUT_USEC (30 * USEC_PER_SEC)

static const uint8_t empty_map[] = { 0xa0 }; /* CBOR {} */

typedef struct Peer {
        SessionPool *pool;
        MachineId id;
        GPtrArray *sessions; /* borrowed, at least one */
        Health *health;
        bool link_lost; /* a close may have been missed */
} Peer;

/* One handler a wire channel, however many machines have a session of that name. */
typedef struct Channel {
        SessionPool *pool;
        unsigned n_sessions;
        char wire[]; /* "tunnel:NAME" */
} Channel;

struct SessionPool {
        const ChannelProvider *provider;
        SessionPoolConfig config;
        bool is_started;
        GTree *sessions;      /* (machine, channel) -> Session, one reference each */
        GHashTable *peers;    /* MachineId -> Peer */
        GHashTable *channels; /* "tunnel:NAME" -> Channel */
        SessionEstablished established;
        void *established_userdata;
        SessionChanged changed;
        void *changed_userdata;
};

static void close_session(Session *s, const char *reason, bool tell);
static void session_open(Session *s);

static int compare_keys(const void *a, const void *b, void *userdata) {
        const Session *x = a, *y = b;
        int r = machine_id_compare(&x->machine, &y->machine);

        return r != 0 ? r : strcmp(x->wire_channel, y->wire_channel);
}

static Session *find(const SessionPool *p, const MachineId *machine, const char *wire_channel) {
        Session key = { .machine = *machine };

        if (g_strlcpy(key.wire_channel, wire_channel, sizeof key.wire_channel) >=
            sizeof key.wire_channel)
                return NULL;
        return g_tree_lookup(p->sessions, &key);
}

static bool channel_is_valid(const char *channel) {
        return strlen(channel) <= SESSION_CHANNEL_MAX && channel_name_is_valid(channel);
}

/* --- states --- */

static void notify(Session *s) {
        SessionPool *p = s->pool;

        if (p->changed)
                p->changed(p->changed_userdata, s);
}

static void set_state(Session *s, SessionState state) {
        if (session_set_state(s, state))
                notify(s);
}

static void on_idle_timer(void *userdata) {
        Session *s = userdata;
        SessionPool *p = s->pool;
        usec_t due = session_last_activity(s) + p->config.idle_timeout;

        /* Traffic does not touch the timer; it is looked at when the timer ends. */
        if (due <= p->provider->ops->now(p->provider->self))
                close_session(s, "idle", true);
        else
                timer_set(p->provider->ops->timers(p->provider->self), &s->idle_timer, due,
                          on_idle_timer, s);
}

static void session_activate(Session *s) {
        SessionPool *p = s->pool;
        bool is_new = s->stats.established == 0;

        session_ref(s);
        session_set_state(s, health_is_degraded(s->health) ? SESSION_DEGRADED : SESSION_ACTIVE);
        if (!timer_is_set(&s->idle_timer))
                timer_set(p->provider->ops->timers(p->provider->self), &s->idle_timer,
                          session_last_activity(s) + p->config.idle_timeout, on_idle_timer, s);
        health_start(s->health);
        if (is_new && p->established && s->pool)
                p->established(p->established_userdata, s);
        if (s->pool)
                notify(s);
        session_unref(s);
}

/* Handlers may close sessions, even all of them: work on a copy. */
static GPtrArray *peer_sessions(const Peer *peer) {
        GPtrArray *copy = g_ptr_array_new_with_free_func((GDestroyNotify) session_unref);

        for (guint i = 0; i < peer->sessions->len; i++)
                g_ptr_array_add(copy, session_ref(peer->sessions->pdata[i]));
        return copy;
}

/* --- machines --- */

static void on_health_changed(void *userdata, bool degraded) {
        g_autoptr(GPtrArray) sessions = peer_sessions(userdata);

        for (guint i = 0; i < sessions->len; i++) {
                Session *s = sessions->pdata[i];

                if (session_is_open(s))
                        set_state(s, degraded ? SESSION_DEGRADED : SESSION_ACTIVE);
        }
}

static void close_peer(Peer *peer, const char *reason) {
        g_autoptr(GPtrArray) sessions = peer_sessions(peer);

        for (guint i = 0; i < sessions->len; i++)
                close_session(sessions->pdata[i], reason, true);
}

static void on_health_gone(void *userdata) {
        close_peer(userdata, "no longer a member");
}

static usec_t on_health_last_activity(void *userdata) {
        const Peer *peer = userdata;
        usec_t last = 0;

        for (guint i = 0; i < peer->sessions->len; i++)
                last = MAX(last, session_last_activity(peer->sessions->pdata[i]));
        return last;
}

static Peer *peer_new(SessionPool *p, const MachineId *machine) {
        Peer *peer = NEW(Peer);

        peer->pool = p;
        peer->id = *machine;
        peer->sessions = g_ptr_array_new();
        peer->health =
                        health_new(p->provider, machine, &p->config,
                                   &(HealthHandler){
                                                   .userdata = peer,
                                                   .changed = on_health_changed,
                                                   .gone = on_health_gone,
                                                   .last_activity = on_health_last_activity,
                                   });
        g_hash_table_insert(p->peers, &peer->id, peer);
        return peer;
}

static void peer_free(void *data) {
        Peer *peer = data;

        health_free(peer->health);
        g_ptr_array_unref(peer->sessions);
        g_free(peer);
}

static void on_link_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        SessionPool *p = userdata;
        Peer *peer = g_hash_table_lookup(p->peers, machine);
        g_autoptr(GPtrArray) sessions = NULL;

        if (!peer || state == LINK_CONNECTING)
                return;
        if (state == LINK_DOWN) {
                peer->link_lost = true;
                health_link_down(peer->health);
                return;
        }
        if (!restarted && !peer->link_lost)
                return;
        peer->link_lost = false;
        sessions = peer_sessions(peer);
        health_link_up(peer->health);
        for (guint i = 0; i < sessions->len; i++) {
                Session *s = sessions->pdata[i];

                if (session_is_open(s) && restarted)
                        set_state(s, SESSION_CONNECTING);
                if (s->pool)
                        session_open(s);
        }
}

/* --- sessions --- */

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        Channel *c = userdata;
        Session *s = find(c->pool, sender, c->wire);

        /* CONNECTING too: data may overtake the answer to our open. */
        if (!s)
                return;
        session_ref(s);
        session_handle_data(s, data, len);
        session_unref(s);
}

static int channel_ref(SessionPool *p, const char *wire) {
        Channel *c = g_hash_table_lookup(p->channels, wire);
        int r;

        if (!c) {
                c = g_malloc0(sizeof(Channel) + strlen(wire) + 1);
                c->pool = p;
                memcpy(c->wire, wire, strlen(wire) + 1);
                r = p->provider->ops->on_channel(p->provider->self, wire, on_data, NULL, c);
                if (r < 0) {
                        g_free(c);
                        return r;
                }
                g_hash_table_insert(p->channels, c->wire, c);
        }
        c->n_sessions++;
        return 0;
}

static void channel_unref(SessionPool *p, const char *wire) {
        Channel *c = g_hash_table_lookup(p->channels, wire);

        if (--c->n_sessions > 0)
                return;
        (void) p->provider->ops->off_channel(p->provider->self, wire);
        g_hash_table_remove(p->channels, wire);
}

typedef struct Idlest {
        Session *session;
        usec_t last;
} Idlest;

static gboolean find_idlest(void *key, void *value, void *userdata) {
        Idlest *idlest = userdata;
        usec_t last = session_last_activity(value);

        if (!idlest->session || last < idlest->last)
                *idlest = (Idlest){ .session = value, .last = last };
        return FALSE;
}

/* Return: whether there is room for one more. */
static bool make_room(SessionPool *p) {
        Idlest idlest = {};

        if (session_pool_count(p) < p->config.total_max)
                return true;
        g_tree_foreach(p->sessions, find_idlest, &idlest);
        if (!idlest.session ||
            usec_add(idlest.last, SESSION_SPARED_USEC) > p->provider->ops->now(p->provider->self))
                return false;
        close_session(idlest.session, "made room for another", true);
        return session_pool_count(p) < p->config.total_max;
}

/* In state CONNECTING and in the pool, but nobody asked yet. */
static int session_add(SessionPool *p, const MachineId *machine, const char *channel, Session **ret) {
        Peer *peer = g_hash_table_lookup(p->peers, machine);
        Session *s;
        int r;

        if ((peer && peer->sessions->len >= p->config.per_machine_max) || !make_room(p))
                return -EUSERS;
        /* It may have been its last that made room. */
        peer = g_hash_table_lookup(p->peers, machine);
        if (!peer)
                peer = peer_new(p, machine);
        s = session_new(p, p->provider, peer->health, machine, channel);
        /* Packets are no datagrams of a channel. */
        r = session_is_packets(s) ? 0 : channel_ref(p, s->wire_channel);
        if (r < 0) {
                session_unref(s);
                if (peer->sessions->len == 0)
                        g_hash_table_remove(p->peers, machine);
                return r;
        }
        g_ptr_array_add(peer->sessions, s);
        g_tree_insert(p->sessions, s, s);
        *ret = s;
        return 0;
}

static void session_remove(Session *s) {
        SessionPool *p = s->pool;
        Peer *peer = g_hash_table_lookup(p->peers, &s->machine);

        if (!session_is_packets(s))
                channel_unref(p, s->wire_channel);
        g_ptr_array_remove(peer->sessions, s);
        if (peer->sessions->len == 0)
                g_hash_table_remove(p->peers, &s->machine);
        g_tree_remove(p->sessions, s); /* drops the pool's reference */
}

/* --- opening and closing --- */

static int
send_tunnel_request(Session *s, TunnelOp op, ChannelReply reply, void *userdata, uint64_t *ret_id) {
        const ChannelProvider *provider = s->provider;
        TunnelRequest request = { .op = op };
        g_autoptr(GBytes) bytes = NULL;
        const void *data;
        size_t len;

        g_strlcpy(request.channel, session_channel(s), sizeof request.channel);
        bytes = tunnel_request_encode(&request);
        data = g_bytes_get_data(bytes, &len);
        return provider->ops->request(
                        provider->self, &s->machine, TUNNEL_CHANNEL, data, len, OPEN_TIMEOUT_USEC,
                        reply, userdata, ret_id);
}

static void on_opened(void *userdata, WireError error, const uint8_t *data, size_t len) {
        Session *s = userdata;
        g_autofree char *reason = NULL;

        if (!s->opening) { /* called off by us */
                session_unref(s);
                return;
        }
        s->opening = false;
        if (!error) {
                if (s->state == SESSION_CONNECTING)
                        session_activate(s);
        } else if (!wire_error_is_silence(error)) {
                reason = g_strdup_printf("refused by the other side: %s", wire_error_name(error));
                close_session(s, reason, false);
        } else if (s->state == SESSION_CONNECTING)
                /* It may have heard us, although we did not hear it. */
                close_session(s, "the other side does not answer", true);
        /* else the question was whether it still knows the session; health watches the link */
        session_unref(s);
}

static void cancel_open(Session *s) {
        if (!s->opening)
                return;
        s->opening = false;
        s->provider->ops->cancel(s->provider->self, s->open_id);
}

static int session_try_open(Session *s) {
        int r;

        cancel_open(s);
        s->opening = true;
        session_ref(s);
        r = send_tunnel_request(s, TUNNEL_OPEN, on_opened, s, &s->open_id);
        if (r < 0) {
                s->opening = false;
                session_unref(s);
        }
        return r;
}

static void session_open(Session *s) {
        if (session_try_open(s) < 0)
                close_session(s, "the other side cannot be asked", false);
}

static void on_close_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        /* Closed is closed, whatever it says. */
}

static void close_session(Session *s, const char *reason, bool tell) {
        const ChannelProvider *provider = s->provider;
        SessionPool *p = s->pool;

        if (!p)
                return;
        /* Where our question may still arrive, the other side must hear that it is void. */
        if (s->opening)
                tell = true;
        cancel_open(s);
        if (tell && provider->ops->link_state(provider->self, &s->machine) != LINK_DOWN)
                (void) send_tunnel_request(s, TUNNEL_CLOSE, on_close_answer, NULL, NULL);
        session_ref(s);
        session_remove(s);
        session_set_closed(s, reason);
        if (p->changed)
                p->changed(p->changed_userdata, s);
        session_unref(s);
}

static WireError accept_open(SessionPool *p, const MachineId *sender, const char *channel) {
        char wire[sizeof SESSION_WIRE_PREFIX + CHANNEL_NAME_MAX];
        WireError error = WIRE_ERROR_NONE;
        Session *s;

        g_strlcpy(wire, SESSION_WIRE_PREFIX, sizeof wire);
        g_strlcat(wire, channel, sizeof wire);
        s = find(p, sender, wire);
        if (s && session_is_open(s))
                return WIRE_ERROR_NONE;
        /* If it is there both asked at once: their question is as good as an answer to ours. */
        if (!s && session_add(p, sender, channel, &s) < 0)
                return WIRE_ERROR_FULL;
        session_ref(s);
        session_activate(s);
        if (s->state == SESSION_CLOSED) /* the established handler does not want it */
                error = WIRE_ERROR_NOT_PERMITTED;
        session_unref(s);
        return error;
}

static void accept_close(SessionPool *p, const MachineId *sender, const char *channel) {
        Session *s = session_pool_get_existing(p, sender, channel);

        if (s && session_is_open(s))
                close_session(s, "closed by the other side", false);
}

static void
on_tunnel(void *userdata,
          const MachineId *sender,
          ChannelRequest *request,
          const uint8_t *data,
          size_t len) {
        SessionPool *p = userdata;
        const ChannelProvider *provider = p->provider;
        WireError error = WIRE_ERROR_NONE;
        TunnelRequest t;

        if (tunnel_request_decode(data, len, &t) < 0 || !channel_is_valid(t.channel))
                error = WIRE_ERROR_MALFORMED;
        else if (t.op == TUNNEL_OPEN)
                error = accept_open(p, sender, t.channel);
        else
                accept_close(p, sender, t.channel);
        if (error)
                provider->ops->fail(provider->self, request, error);
        else
                provider->ops->reply(provider->self, request, empty_map, sizeof empty_map);
}

/* --- the pool --- */

int session_pool_new(const ChannelProvider *provider, const SessionPoolConfig *config, SessionPool **ret) {
        SessionPool *p = NEW(SessionPool);
        int r;

        *p = (SessionPool){
                .provider = provider,
                .config = config ? *config : SESSION_POOL_CONFIG_DEFAULT,
                .sessions = g_tree_new_full(compare_keys, NULL, NULL, (GDestroyNotify) session_unref),
                .peers = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, peer_free),
                .channels = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
        };
        r = provider->ops->on_link_state(provider->self, on_link_state, p);
        if (r < 0) {
                session_pool_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

SessionPool *session_pool_free(SessionPool *p) {
        if (!p)
                return NULL;
        session_pool_stop(p);
        (void) p->provider->ops->on_link_state(p->provider->self, NULL, p);
        g_tree_unref(p->sessions);
        g_hash_table_unref(p->peers);
        g_hash_table_unref(p->channels);
        g_free(p);
        return NULL;
}

int session_pool_start(SessionPool *p) {
        int r;

        if (p->is_started)
                return 0;
        r = p->provider->ops->on_channel(p->provider->self, TUNNEL_CHANNEL, NULL, on_tunnel, p);
        if (r < 0)
                return r;
        p->is_started = true;
        return 0;
}

static void collect_one(void *userdata, Session *s) {
        g_ptr_array_add(userdata, session_ref(s));
}

static gboolean collect(void *key, void *value, void *userdata) {
        collect_one(userdata, value);
        return FALSE;
}

static GPtrArray *all_sessions(SessionPool *p) {
        GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify) session_unref);

        g_tree_foreach(p->sessions, collect, all);
        return all;
}

void session_pool_stop(SessionPool *p) {
        g_autoptr(GPtrArray) all = all_sessions(p);

        if (p->is_started)
                (void) p->provider->ops->off_channel(p->provider->self, TUNNEL_CHANNEL);
        p->is_started = false;
        for (guint i = 0; i < all->len; i++)
                close_session(all->pdata[i], "stopped", true);
}

Session *session_pool_get_existing(SessionPool *p, const MachineId *machine, const char *channel) {
        char wire[sizeof SESSION_WIRE_PREFIX + CHANNEL_NAME_MAX];

        if (!channel_is_valid(channel))
                return NULL;
        g_strlcpy(wire, SESSION_WIRE_PREFIX, sizeof wire);
        g_strlcat(wire, channel, sizeof wire);
        return find(p, machine, wire);
}

int session_pool_get(SessionPool *p, const MachineId *machine, const char *channel, Session **ret) {
        Session *s;
        int r;

        if (!channel_is_valid(channel))
                return -EINVAL;
        s = session_pool_get_existing(p, machine, channel);
        if (!s) {
                r = session_add(p, machine, channel, &s);
                if (r < 0)
                        return r;
                r = session_try_open(s);
                if (r < 0) {
                        session_remove(s);
                        return r;
                }
        }
        *ret = s;
        return 0;
}

void session_pool_close(SessionPool *p, Session *s) {
        close_session(s, "closed", true);
}

void session_pool_close_machine(SessionPool *p, const MachineId *machine) {
        Peer *peer = g_hash_table_lookup(p->peers, machine);

        if (peer)
                close_peer(peer, "closed");
}

unsigned session_pool_count(const SessionPool *p) {
        return (unsigned) g_tree_nnodes(p->sessions);
}

void session_pool_foreach(SessionPool *p, void (*callback)(void *userdata, Session *s), void *userdata) {
        g_autoptr(GPtrArray) all = all_sessions(p);

        for (guint i = 0; i < all->len; i++)
                if (((Session *) all->pdata[i])->pool)
                        callback(userdata, all->pdata[i]);
}

void session_pool_on_established(SessionPool *p, SessionEstablished handler, void *userdata) {
        p->established = handler;
        p->established_userdata = userdata;
}

void session_pool_on_changed(SessionPool *p, SessionChanged handler, void *userdata) {
        p->changed = handler;
        p->changed_userdata = userdata;
}

void session_pool_network_changed(SessionPool *p) {
        g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(MachineId));
        GHashTableIter i;
        void *id;

        /* By id: a probe may find that a machine is gone, and then so is its peer. */
        g_hash_table_iter_init(&i, p->peers);
        while (g_hash_table_iter_next(&i, &id, NULL))
                g_array_append_vals(ids, id, 1);
        for (guint j = 0; j < ids->len; j++) {
                Peer *peer = g_hash_table_lookup(p->peers, &g_array_index(ids, MachineId, j));

                if (peer)
                        health_probe_now(peer->health);
        }
}
