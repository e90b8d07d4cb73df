/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/macros.h"
#include "proxy/listener.h"
#include "proxy/server-internal.h"

/* What a client's connection into the network takes at most (limits.h). */
#define ASKING_FDS 2U

static int secret_new(const char *user, const char *password, ProxySecret **ret) {
        size_t user_len = user ? strlen(user) : 0, password_len = password ? strlen(password) : 0;
        ProxySecret *secret;

        if (!user && !password) {
                *ret = NULL;
                return 0;
        }
        /* RFC 1929 section 2: 1 to 255 bytes each. */
        if (user_len == 0 || user_len > 255 || password_len == 0 || password_len > 255)
                return -EINVAL;
        secret = sodium_malloc(sizeof *secret);
        if (!secret)
                return -ENOMEM;
        sodium_memzero(secret, sizeof *secret);
        memcpy(secret->user, user, user_len);
        memcpy(secret->password, password, password_len);
        *ret = secret;
        return 0;
}

bool proxy_server_check(
                const ProxyServer *s,
                const uint8_t *user,
                size_t user_len,
                const uint8_t *password,
                size_t password_len) {
        ProxySecret given = {};
        bool good;

        if (!s->secret)
                return true;
        if (user_len >= PROXY_SECRET_SIZE || password_len >= PROXY_SECRET_SIZE)
                return false;
        memcpy(given.user, user, user_len);
        memcpy(given.password, password, password_len);
        good = sodium_memcmp(&given, s->secret, sizeof given) == 0;
        sodium_memzero(&given, sizeof given);
        /* Padded, "a" and "a\0" are the same; a secret has no such bytes. */
        return good && !memchr(user, '\0', user_len) && !memchr(password, '\0', password_len);
}

static int server_on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        ProxyServer *s = userdata;
        usec_t now;

        if (sd_event_now(s->event, CLOCK_MONOTONIC, &now) < 0)
                now = usec;
        while (s->waiting.head && proxy_client_deadline(s->waiting.head->data) <= now) {
                s->stats.timed_out++;
                proxy_client_free(s->waiting.head->data);
        }
        proxy_server_arm(s);
        return 0;
}

void proxy_server_arm(ProxyServer *s) {
        if (!s->waiting.head)
                return;
        (void) sd_event_source_set_time(s->deadline, proxy_client_deadline(s->waiting.head->data));
        (void) sd_event_source_set_enabled(s->deadline, SD_EVENT_ONESHOT);
}

int proxy_server_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const ProxyServerOptions *options,
                ProxyServer **ret) {
        ProxyServer *s;
        ProxySecret *secret = NULL;
        int r;

        if (sodium_init() < 0)
                return -EIO;
        r = secret_new(options->user, options->password, &secret);
        if (r < 0)
                return r;
        s = NEW(ProxyServer);
        *s = (ProxyServer){
                .event = sd_event_ref(event),
                .dialer = dialer,
                .secret = secret,
                .connections_max = options->connections_max ?: PROXY_CONNECTIONS_MAX,
                .handshake_usec = options->handshake_usec ?: PROXY_HANDSHAKE_USEC,
                .dial_usec = options->dial_usec ?: PROXY_DIAL_USEC,
                .listeners = g_ptr_array_new(),
        };
        g_queue_init(&s->clients);
        g_queue_init(&s->waiting);
        r = relay_loop_new(event, &s->relays);
        if (r >= 0)
                r = sd_event_add_time(
                                event, &s->deadline, CLOCK_MONOTONIC, 0, 0, server_on_deadline, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->deadline, SD_EVENT_OFF);
        if (r < 0) {
                proxy_server_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

ProxyServer *proxy_server_free(ProxyServer *s) {
        if (!s)
                return NULL;
        for (unsigned i = 0; i < s->listeners->len; i++)
                listener_free(s->listeners->pdata[i]);
        g_ptr_array_unref(s->listeners);
        while (s->clients.head)
                proxy_client_free(s->clients.head->data);
        sd_event_source_disable_unref(s->deadline);
        relay_loop_free(s->relays);
        sodium_free(s->secret);
        g_free(s->datagram);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

/* Whom there is no room to serve is not let in, or those who come at once would take each other's.
 * On loopback that may be anybody: they leave something to who comes by a unix socket, where there
 * is one, since those are known. */
static bool has_room(const ProxyServer *s, int fd) {
        unsigned clients = s->connections_max, fds = ASKING_FDS * (s->n_asking + 1);

        if (s->has_unix && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, -1) <= 0) {
                clients -= clients / PROXY_UNIX_SHARE;
                fds += fd_left(fd) / PROXY_UNIX_SHARE + (unsigned) fd / PROXY_UNIX_SHARE;
        }
        return s->clients.length < clients && fd_leaves(fd, fds);
}

static void server_on_accepted(void *userdata, int fd) {
        ProxyServer *s = userdata;

        if (!has_room(s, fd)) {
                s->stats.turned_away++;
                close(fd);
                return;
        }
        s->stats.accepted++;
        proxy_client_new(s, fd);
}

bool proxy_is_loopback(const Endpoint *e) {
        if (e->sa.sa_family == AF_INET6)
                return IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr);
        return ntohl(e->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

int proxy_server_add_fd(ProxyServer *s, int fd) {
        bool is_unix = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, -1) > 0;
        Listener *l;
        int r;

        if (!s->secret && !is_unix) {
                Endpoint local = listener_local(fd);

                if (!endpoint_is_set(&local) || !proxy_is_loopback(&local)) {
                        close(fd);
                        return endpoint_is_set(&local) ? -EPERM : -EINVAL;
                }
        }
        r = listener_new(s->event, fd, server_on_accepted, s, &l);
        if (r < 0)
                return r;
        g_ptr_array_add(s->listeners, l);
        s->has_unix |= is_unix;
        return 0;
}

int proxy_server_listen(ProxyServer *s, uint16_t port, uint16_t *ret_port) {
        Endpoint local = { .in = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
        Endpoint local6 = { .in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
        int fd, r;

        fd = listener_open(&local);
        if (fd < 0)
                return fd;
        local = listener_local(fd);
        r = proxy_server_add_fd(s, fd);
        if (r < 0)
                return r;
        /* Programs that are told "localhost" try this first, and the other one when it fails. */
        endpoint_set_port(&local6, endpoint_port(&local));
        fd = listener_open(&local6);
        if (fd >= 0)
                (void) proxy_server_add_fd(s, fd);
        if (ret_port)
                *ret_port = endpoint_port(&local);
        return 0;
}

ProxyServerStats proxy_server_stats(const ProxyServer *s) {
        ProxyServerStats stats = s->stats;

        stats.active = s->clients.length;
        for (unsigned i = 0; i < s->listeners->len; i++) {
                const ListenerStats *l = listener_stats(s->listeners->pdata[i]);

                stats.turned_away += l->strangers + l->turned_away;
        }
        return stats;
}
