/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/macros.h"
#include "proxy/forward.h"
#include "proxy/host-dialer.h"
#include "proxy/listener.h"
#include "proxy/shares.h"

/* What a connection takes, the one who connected and the other way (limits.h). */
#define CONNECTION_FDS 2U

struct Forwards {
        sd_event *event;
        const ProxyDialer *network;
        HostDialer *host;
        RelayLoop *relays;
        GPtrArray *all; /* Forward, by id */
        Shares *shares; /* of members */
        uint32_t last_id;
        unsigned connections, connections_max;
        usec_t dial_usec;
};

struct Forward {
        Forwards *forwards;
        uint32_t id;
        ForwardSpec spec;
        int error;          /* why it does not listen; 0: it does */
        Listener *listener; /* LOCAL */
        ProxyCall *call;    /* REVERSE */
        GQueue connections; /* Connection */
        ForwardStats stats;
};

typedef struct Connection {
        Forward *forward;
        GList link;
        int fd;      /* who connected, until the relay has it */
        IpAddr peer; /* REVERSE: counted in forwards->shares */
        ProxyDial dial;
        Relay *relay;
} Connection;

static const char *const direction_names[] = {
        [FORWARD_LOCAL] = "local",
        [FORWARD_REVERSE] = "reverse",
};
static_assert(ELEMENTSOF(direction_names) == _FORWARD_DIRECTION_MAX, "");

const char *forward_direction_to_string(ForwardDirection d) {
        return (unsigned) d < _FORWARD_DIRECTION_MAX ? direction_names[d] : NULL;
}

ForwardDirection forward_direction_from_string(const char *text) {
        for (unsigned i = 0; i < _FORWARD_DIRECTION_MAX; i++)
                if (strcmp(direction_names[i], text) == 0)
                        return (ForwardDirection) i;
        return _FORWARD_DIRECTION_INVALID;
}

/* --- what to forward --- */

static int parse_listen(const char *text, ForwardSpec *spec) {
        const char *colon = strrchr(text, ':');
        g_autofree char *address = NULL;
        uint16_t port;

        spec->listen.in = (struct sockaddr_in){ .sin_family = AF_INET,
                                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        if (proxy_port_parse(text, strlen(text), &port) >= 0) {
                endpoint_set_port(&spec->listen, port);
                return 0;
        }
        if (spec->direction == FORWARD_REVERSE)
                return -EINVAL;
        if (text[0] == '/') {
                if (strlen(text) >= sizeof spec->path)
                        return -EINVAL;
                strcpy(spec->path, text);
                return 0;
        }
        /* "::1:22" could mean two things. */
        if (!colon || (text[0] == '[' ? colon[-1] != ']' : strchr(text, ':') != colon) ||
            proxy_port_parse(colon + 1, strlen(colon + 1), &port) < 0)
                return -EINVAL;
        address = g_strndup(text, (size_t) (colon - text));
        if (endpoint_parse(address, 1, &spec->listen) < 0)
                return -EINVAL;
        endpoint_set_port(&spec->listen, port);
        return 0;
}

static int parse_target(const char *text, ForwardSpec *spec) {
        int r = 0;

        if (spec->direction == FORWARD_REVERSE &&
            proxy_port_parse(text, strlen(text), &spec->target.port) >= 0)
                spec->target.address = ip_from_v4(INADDR_LOOPBACK);
        else
                r = proxy_target_parse(text, strlen(text), &spec->target);
        if (r < 0)
                return r;
        /* See host-dialer.h. */
        if (spec->direction == FORWARD_REVERSE && !ip_is_set(&spec->target.address) &&
            g_ascii_strcasecmp(spec->target.name, "localhost") != 0)
                return -EINVAL;
        return spec->target.port == 0 ? -EINVAL : 0;
}

int forward_spec_parse(
                ForwardDirection direction,
                const char *listen,
                const char *target,
                ForwardSpec *ret) {
        ForwardSpec spec = { .direction = direction };
        int r;

        r = parse_listen(listen, &spec);
        if (r >= 0)
                r = parse_target(target, &spec);
        if (r < 0)
                return r;
        *ret = spec;
        return 0;
}

char *forward_spec_listen_format(const ForwardSpec *spec) {
        if (spec->path[0] != '\0')
                return g_strdup(spec->path);
        if (spec->direction == FORWARD_REVERSE)
                return g_strdup_printf("%u", endpoint_port(&spec->listen));
        return g_strdup(endpoint_format(&spec->listen).text);
}

/* --- connections --- */

static Connection *connection_free(Connection *c) {
        static const struct linger reset = { .l_onoff = 1 };

        proxy_dial_done(&c->dial);
        relay_free(c->relay);
        if (c->fd >= 0) {
                (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(c->fd);
        }
        g_queue_unlink(&c->forward->connections, &c->link);
        c->forward->forwards->connections--;
        if (ip_is_set(&c->peer))
                shares_give(c->forward->forwards->shares, &c->peer);
        g_free(c);
        return NULL;
}

static void connection_on_relay_ended(void *userdata, int error) {
        connection_free(userdata);
}

static void connection_on_dialed(void *userdata, int fd) {
        Connection *c = userdata;
        Forward *f = c->forward;

        if (fd < 0)
                f->stats.failed++;
        if (fd < 0 || relay_new(f->forwards->relays, TAKE_FD(c->fd), fd, NULL, 0, &f->stats.bytes,
                                connection_on_relay_ended, c, &c->relay) < 0)
                connection_free(c);
}

/* @peer: a member's address; NULL: a program of this machine. Counts it. */
static bool has_room(Forwards *all, int fd, const IpAddr *peer) {
        unsigned left = all->connections_max - all->connections;

        if (left == 0)
                return false;
        return !peer || shares_take(all->shares, peer, MIN(left, fd_left(fd) / CONNECTION_FDS));
}

static void forward_take(Forward *f, int fd, const IpAddr *peer) {
        Forwards *all = f->forwards;
        Connection *c;

        f->stats.accepted++;
        if (!has_room(all, fd, peer)) {
                f->stats.turned_away++;
                close(fd);
                return;
        }
        c = NEW(Connection);
        *c = (Connection){ .forward = f, .fd = fd, .peer = peer ? *peer : (IpAddr){} };
        c->link.data = c;
        g_queue_push_tail_link(&f->connections, &c->link);
        all->connections++;
        if (proxy_dial_start(
                            &c->dial,
                            f->spec.direction == FORWARD_LOCAL ? all->network : host_dialer(all->host),
                            &f->spec.target, all->dial_usec, connection_on_dialed, c) < 0) {
                f->stats.failed++;
                connection_free(c);
        }
}

static void forward_on_accepted(void *userdata, int fd) {
        forward_take(userdata, fd, NULL);
}

static void forward_on_network_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        forward_take(userdata, fd, peer);
}

/* --- forwards --- */

int forwards_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const ForwardsOptions *options,
                Forwards **ret) {
        Forwards *f = NEW(Forwards);
        int r;

        *f = (Forwards){
                .event = sd_event_ref(event),
                .network = dialer,
                .host = host_dialer_new(event),
                .all = g_ptr_array_new(),
                .shares = shares_new(),
                .connections_max = options->connections_max ?: PROXY_CONNECTIONS_MAX,
                .dial_usec = options->dial_usec ?: PROXY_DIAL_USEC,
        };
        r = relay_loop_new(event, &f->relays);
        if (r < 0) {
                forwards_free(f);
                return r;
        }
        *ret = f;
        return 0;
}

Forwards *forwards_free(Forwards *f) {
        if (!f)
                return NULL;
        while (f->all->len > 0)
                forward_free(f->all->pdata[f->all->len - 1]);
        g_ptr_array_unref(f->all);
        shares_free(f->shares);
        host_dialer_free(f->host);
        relay_loop_free(f->relays);
        sd_event_unref(f->event);
        g_free(f);
        return NULL;
}

/* A port that was chosen once is the one asked for from then on. */
static int forward_listen(Forward *f) {
        Forwards *all = f->forwards;
        Endpoint local;
        uint16_t port;
        int fd, r;

        if (f->spec.direction == FORWARD_REVERSE) {
                r = all->network->listen(
                                all->network->userdata, endpoint_port(&f->spec.listen),
                                LISTENER_BACKLOG, forward_on_network_accepted, f, &port, &f->call);
                if (r >= 0)
                        endpoint_set_port(&f->spec.listen, port);
                return r;
        }
        fd = f->spec.path[0] != '\0' ? listener_open_unix(f->spec.path)
                                     : listener_open(&f->spec.listen);
        if (fd < 0)
                return fd;
        local = listener_local(fd);
        endpoint_set_port(&f->spec.listen, endpoint_port(&local));
        return listener_new(all->event, fd, forward_on_accepted, f, &f->listener);
}

static void forward_reset(Forward *f) {
        while (f->connections.head)
                connection_free(f->connections.head->data);
}

static void forward_stop(Forward *f) {
        f->listener = listener_free(f->listener);
        if (f->call)
                f->forwards->network->cancel(f->forwards->network->userdata, f->call);
        f->call = NULL;
        forward_reset(f);
}

static Forward *forward_new(Forwards *all, const ForwardSpec *spec, uint32_t id) {
        Forward *f = NEW(Forward);

        *f = (Forward){ .forwards = all, .id = id, .spec = *spec };
        g_queue_init(&f->connections);
        f->error = forward_listen(f);
        return f;
}

static void forward_register(Forward *f) {
        Forwards *all = f->forwards;

        all->last_id = MAX(all->last_id, f->id);
        g_ptr_array_add(all->all, f);
}

int forwards_add(Forwards *all, const ForwardSpec *spec, Forward **ret) {
        Forward *f;
        int r;

        if (all->all->len >= FORWARDS_MAX)
                return -ENOSPC;
        f = forward_new(all, spec, all->last_id + 1);
        if (f->error < 0 && f->error != -ENETUNREACH) {
                r = f->error;
                forward_free(f);
                return r;
        }
        forward_register(f);
        *ret = f;
        return 0;
}

int forwards_restore(Forwards *all, const ForwardSpec *spec, uint32_t id, Forward **ret) {
        Forward *f;

        if (id == 0 || forwards_get(all, id))
                return -EEXIST;
        if (all->all->len >= FORWARDS_MAX)
                return -ENOSPC;
        f = forward_new(all, spec, id);
        forward_register(f);
        *ret = f;
        return 0;
}

void forwards_resume(Forwards *all) {
        for (unsigned i = 0; i < all->all->len; i++) {
                Forward *f = all->all->pdata[i];

                if (f->error < 0)
                        f->error = forward_listen(f);
        }
}

void forwards_suspend(Forwards *all) {
        for (unsigned i = 0; i < all->all->len; i++) {
                Forward *f = all->all->pdata[i];

                if (f->spec.direction == FORWARD_REVERSE) {
                        forward_stop(f);
                        f->error = -ENETUNREACH;
                } else
                        forward_reset(f);
        }
}

Forward *forward_free(Forward *f) {
        if (!f)
                return NULL;
        if (f->listener && f->spec.path[0] != '\0')
                (void) unlink(f->spec.path);
        forward_stop(f);
        (void) g_ptr_array_remove(f->forwards->all, f);
        g_free(f);
        return NULL;
}

Forward *forwards_get(const Forwards *all, uint32_t id) {
        for (unsigned i = 0; i < all->all->len; i++)
                if (((const Forward *) all->all->pdata[i])->id == id)
                        return all->all->pdata[i];
        return NULL;
}

unsigned forwards_count(const Forwards *f) {
        return f->all->len;
}

Forward *forwards_at(const Forwards *f, unsigned i) {
        return f->all->pdata[i];
}

uint32_t forward_id(const Forward *f) {
        return f->id;
}

const ForwardSpec *forward_spec(const Forward *f) {
        return &f->spec;
}

uint16_t forward_port(const Forward *f) {
        return f->error < 0 || f->spec.path[0] != '\0' ? 0 : endpoint_port(&f->spec.listen);
}

int forward_error(const Forward *f) {
        return f->error;
}

ForwardStats forward_stats(const Forward *f) {
        ForwardStats stats = f->stats;

        stats.active = f->connections.length;
        if (f->listener) {
                const ListenerStats *l = listener_stats(f->listener);

                stats.turned_away += l->strangers + l->turned_away;
        }
        return stats;
}
