/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "proxy/http-connect.h"
#include "proxy/listener.h"
#include "proxy/server-internal.h"
#include "proxy/socks5.h"
#include "proxy/udp-association.h"

/* Room for the longest message of SOCKS5; HTTP gets more when it comes. What a client sends ahead
 * of an answer and does not fit waits in the kernel. */
#define BUFFER_SIZE 520U
static_assert(BUFFER_SIZE >= SOCKS5_MESSAGE_MAX, "");

typedef enum ClientState {
        CLIENT_HANDSHAKE, /* reads; has a deadline */
        CLIENT_DIALING,   /* reads nothing; sees the client hang up */
        CLIENT_RELAY,     /* the socket is the relay's */
        CLIENT_DATAGRAMS, /* the connection says how long the association lasts, nothing else */
        CLIENT_REFUSED,   /* was told; what it still sends is thrown away; has a deadline */
} ClientState;

typedef enum ClientProtocol {
        CLIENT_UNKNOWN,
        CLIENT_SOCKS5,
        CLIENT_HTTP,
} ClientProtocol;

struct ProxyClient {
        ProxyServer *server;
        GList link;    /* in server->clients */
        GList waiting; /* in server->waiting while it has a deadline */
        usec_t deadline;
        ClientState state;
        ClientProtocol protocol;
        bool asking; /* in server->n_asking */
        Socks5 socks5;

        int fd;
        PollerWatch watch;
        uint8_t *buffer; /* read, not consumed */
        size_t size, filled;
        bool is_forward;    /* HTTP, and not CONNECT: the server answers, we do not */
        uint64_t body_left; /* of it: to come after what is in buffer */

        ProxyDial dial;
        UdpAssociation *association;
        Relay *relay;
};

/* --- the deadline --- */

usec_t proxy_client_deadline(const ProxyClient *c) {
        return c->deadline;
}

static void client_forget_deadline(ProxyClient *c) {
        if (c->deadline > 0)
                g_queue_unlink(&c->server->waiting, &c->waiting);
        c->deadline = 0;
}

static void client_set_deadline(ProxyClient *c) {
        ProxyServer *s = c->server;
        usec_t now = 0;

        client_forget_deadline(c);
        (void) sd_event_now(s->event, CLOCK_MONOTONIC, &now);
        c->deadline = usec_add(now, s->handshake_usec);
        g_queue_push_tail_link(&s->waiting, &c->waiting);
        /* With others before it the timer is set already, or goes off early and sees to it. */
        if (s->waiting.length == 1)
                proxy_server_arm(s);
}

/* --- life and death --- */

static void client_asks_no_more(ProxyClient *c) {
        if (c->asking)
                c->server->n_asking--;
        c->asking = false;
}

ProxyClient *proxy_client_free(ProxyClient *c) {
        ProxyServer *s = c->server;

        client_forget_deadline(c);
        client_asks_no_more(c);
        proxy_dial_done(&c->dial);
        udp_association_free(c->association);
        relay_free(c->relay);
        poller_watch_remove(&c->watch);
        if (c->fd >= 0)
                close(c->fd);
        if (c->buffer)
                sodium_memzero(c->buffer, c->filled); /* a password, perhaps */
        g_free(c->buffer);
        g_queue_unlink(&s->clients, &c->link);
        g_free(c);
        return NULL;
}

static bool client_send(ProxyClient *c, const void *data, size_t len) {
        /* The first bytes on a connection fit into any socket buffer. */
        return send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t) len;
}

/* Told everything: no more to say. Closing at once would reset the connection when there is
 * something unread, and could take the answer away from the client. */
static void client_linger(ProxyClient *c) {
        client_asks_no_more(c);
        c->state = CLIENT_REFUSED;
        c->server->stats.refused++;
        client_set_deadline(c);
        if (shutdown(c->fd, SHUT_WR) < 0 || poller_watch_set(&c->watch, EPOLLIN) < 0)
                proxy_client_free(c);
}

static void client_refuse(ProxyClient *c, int error) {
        uint8_t reply[MAX(SOCKS5_REPLY_MAX, HTTP_REPLY_MAX)];
        size_t n = c->protocol == CLIENT_HTTP
                                   ? http_reply(http_status_from_errno(error), (char *) reply)
                                   : socks5_reply(socks5_reply_from_errno(error), NULL, 0, reply);

        if (client_send(c, reply, n))
                client_linger(c);
        else
                proxy_client_free(c);
}

/* --- what was asked for --- */

static void client_on_relay_ended(void *userdata, int error) {
        proxy_client_free(userdata);
}

static IpAddr address_of(const Endpoint *e) {
        IpAddr a = { .family = (uint8_t) e->sa.sa_family };

        if (a.family == AF_INET6)
                memcpy(a.bytes, &e->in6.sin6_addr, 16);
        else if (a.family == AF_INET)
                memcpy(a.bytes, &e->in.sin_addr, 4);
        return a;
}

static bool client_say_connected(ProxyClient *c, const Endpoint *bound) {
        uint8_t reply[MAX(SOCKS5_REPLY_MAX, HTTP_REPLY_MAX)];
        IpAddr a = address_of(bound);
        size_t n = c->protocol == CLIENT_HTTP
                                   ? http_reply(HTTP_OK, (char *) reply)
                                   : socks5_reply(SOCKS5_OK, &a, endpoint_port(bound), reply);

        return client_send(c, reply, n);
}

static void client_on_dialed(void *userdata, int fd) {
        ProxyClient *c = userdata;
        ProxyServer *s = c->server;
        Endpoint bound;
        int r;

        if (fd < 0) {
                client_refuse(c, fd);
                return;
        }
        bound = listener_local(fd);
        if (!c->is_forward && !client_say_connected(c, &bound)) {
                close(fd);
                proxy_client_free(c);
                return;
        }
        s->stats.connected++;
        client_asks_no_more(c);
        c->state = CLIENT_RELAY;
        poller_watch_remove(&c->watch);
        r = relay_new(s->relays, TAKE_FD(c->fd), fd, c->buffer, c->filled, &s->stats.bytes,
                      client_on_relay_ended, c, &c->relay);
        if (r < 0) {
                proxy_client_free(c);
                return;
        }
        if (c->is_forward)
                relay_limit(c->relay, c->body_left);
        g_clear_pointer(&c->buffer, g_free);
        c->filled = 0;
}

/* Where the client's datagrams come from: the address its connection comes from. */
static Endpoint client_peer(const ProxyClient *c) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e = {};

        if (getpeername(c->fd, (struct sockaddr *) &ss, &len) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) < 0)
                e = (Endpoint){ .in = { .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
        return e;
}

/* The port that a client says it will send from; 0: it does not say, or what it says cannot be,
 * which many do: they put any address of theirs, or the server's. RFC 1928 section 6 lets a server
 * use it to limit who may send, and asks for no more. */
static uint16_t said_port(const ProxyTarget *said, const Endpoint *peer) {
        static const uint8_t none[16];
        IpAddr own = endpoint_address(peer);

        if (!ip_is_set(&said->address) ||
            (memcmp(said->address.bytes, none, ip_size(&said->address)) != 0 &&
             !ip_equal(&said->address, &own)))
                return 0;
        return said->port;
}

/* @said: where the client says that its datagrams come from. */
static void client_associate(ProxyClient *c, const ProxyTarget *said) {
        ProxyServer *s = c->server;
        Endpoint local = listener_local(c->fd), peer = client_peer(c);
        int r;

        if (!s->dialer->network(s->dialer->userdata, NULL)) {
                client_refuse(c, -ENETUNREACH);
                return;
        }
        if (!endpoint_is_set(&local)) /* a unix socket */
                local = peer;
        if (!s->datagram)
                s->datagram = g_malloc(UDP_ASSOCIATION_BUFFER_SIZE);
        endpoint_set_port(&peer, said_port(said, &peer));
        r = udp_association_new(
                        s->event, s->dialer, &local, &peer, proxy_is_loopback(&local), s->datagram,
                        &c->association);
        if (r < 0) {
                client_refuse(c, r);
                return;
        }
        client_asks_no_more(c);
        c->state = CLIENT_DATAGRAMS;
        c->filled = 0;
        s->stats.connected++;
        if (!client_say_connected(c, udp_association_local(c->association)) ||
            poller_watch_set(&c->watch, EPOLLIN) < 0)
                proxy_client_free(c);
}

static void client_start(ProxyClient *c, const ProxyTarget *target, bool udp) {
        ProxyServer *s = c->server;
        int r;

        client_forget_deadline(c);
        if (udp) {
                client_associate(c, target);
                return;
        }
        c->state = CLIENT_DIALING;
        /* Whoever has sent a request may have said all they have to say: the end of their half is
         * no reason to give up, a hang-up or a reset, which are always reported, is. */
        r = poller_watch_set(&c->watch, 0);
        if (r >= 0)
                r = proxy_dial_start(&c->dial, s->dialer, target, s->dial_usec, client_on_dialed, c);
        if (r < 0)
                client_refuse(c, r);
}

/* --- the handshake --- */

static void client_consume(ProxyClient *c, size_t n) {
        c->filled -= n;
        memmove(c->buffer, c->buffer + n, c->filled);
}

static void client_handle_socks5(ProxyClient *c) {
        for (;;) {
                Socks5Out out;
                Socks5Action action = socks5_handle_bytes(&c->socks5, c->buffer, c->filled, &out);
                size_t consumed = out.consumed;

                if (action == SOCKS5_CHECK) {
                        bool good = proxy_server_check(
                                        c->server, out.user, out.user_len, out.password,
                                        out.password_len);

                        sodium_memzero(c->buffer, consumed);
                        action = socks5_password_verdict(&c->socks5, good, &out);
                }
                client_consume(c, consumed);
                if (out.reply_len > 0 && !client_send(c, out.reply, out.reply_len)) {
                        proxy_client_free(c);
                        return;
                }
                switch (action) {
                case SOCKS5_MORE:
                        return;
                case SOCKS5_CONTINUE:
                        break;
                case SOCKS5_REQUEST:
                        client_start(c, &out.target, out.command == SOCKS5_UDP_ASSOCIATE);
                        return;
                case SOCKS5_CHECK:
                case SOCKS5_FAIL:
                        client_linger(c);
                        return;
                }
        }
}

/* The buffer: what its server is to read, as far as it came. */
static void client_rewrite(ProxyClient *c, const HttpConnect *request) {
        GString *text = http_forward_request((const char *) c->buffer, request);
        size_t body = MIN(c->filled - request->consumed, request->body_len);

        g_string_append_len(text, (const char *) c->buffer + request->consumed, (gssize) body);
        sodium_memzero(c->buffer, request->consumed);
        g_free(c->buffer);
        c->size = c->filled = text->len;
        c->buffer = (uint8_t *) g_string_free(text, FALSE);
        c->is_forward = true;
        c->body_left = request->body_len - body;
}

static void client_handle_http(ProxyClient *c) {
        char reply[HTTP_REPLY_MAX];
        HttpConnect request;
        int status;

        if (c->size < HTTP_HEADER_MAX) {
                c->buffer = g_realloc(c->buffer, HTTP_HEADER_MAX);
                c->size = HTTP_HEADER_MAX;
        }
        status = http_connect_parse((const char *) c->buffer, c->filled, &request);
        if (status == 0)
                return;
        if (status == HTTP_OK && !proxy_server_check(
                                                 c->server, request.user, request.user_len,
                                                 request.password, request.password_len))
                status = HTTP_PROXY_AUTHENTICATION_REQUIRED;
        if (status == HTTP_OK) {
                if (request.is_forward)
                        client_rewrite(c, &request);
                else {
                        sodium_memzero(c->buffer, request.consumed);
                        client_consume(c, request.consumed);
                }
                sodium_memzero(request.password, sizeof request.password);
                client_start(c, &request.target, false);
        } else if (client_send(c, reply, http_reply(status, reply)))
                client_linger(c);
        else
                proxy_client_free(c);
}

static void client_handle_bytes(ProxyClient *c) {
        if (c->protocol == CLIENT_UNKNOWN) {
                if (c->buffer[0] == SOCKS5_VERSION)
                        c->protocol = CLIENT_SOCKS5;
                else if (http_is_first_byte(c->buffer[0]))
                        c->protocol = CLIENT_HTTP;
                else {
                        /* SOCKS4 or TLS, say: they would not understand an answer. */
                        c->server->stats.refused++;
                        proxy_client_free(c);
                        return;
                }
        }
        if (c->protocol == CLIENT_SOCKS5)
                client_handle_socks5(c);
        else
                client_handle_http(c);
}

/* Return: as recv(2), but 0 also for an error that ends the connection. */
static ssize_t client_receive(ProxyClient *c, uint8_t *buffer, size_t size) {
        ssize_t n = recv(c->fd, buffer, size, 0);

        return n < 0 && errno != EAGAIN && errno != EINTR ? 0 : n;
}

static void client_on_io(void *userdata, uint32_t revents) {
        ProxyClient *c = userdata;
        uint8_t waste[4096];
        ssize_t n = 0;

        switch (c->state) {
        case CLIENT_HANDSHAKE:
                n = client_receive(c, c->buffer + c->filled, c->size - c->filled);
                if (n > 0) {
                        c->filled += (size_t) n;
                        client_handle_bytes(c);
                        return;
                }
                break;
        case CLIENT_DIALING: /* hung up or reset */
                break;
        case CLIENT_DATAGRAMS:
        case CLIENT_REFUSED:
                n = client_receive(c, waste, sizeof waste);
                break;
        case CLIENT_RELAY:
                return;
        }
        if (n == 0)
                proxy_client_free(c);
}

void proxy_client_new(ProxyServer *s, int fd) {
        ProxyClient *c = NEW(ProxyClient);

        *c = (ProxyClient){
                .server = s,
                .fd = fd,
                .asking = true,
                .size = BUFFER_SIZE,
                .buffer = g_malloc(BUFFER_SIZE),
                .socks5.want_password = s->secret != NULL,
        };
        c->link.data = c;
        c->waiting.data = c;
        g_queue_push_tail_link(&s->clients, &c->link);
        s->n_asking++;
        client_set_deadline(c);
        if (poller_add(relay_loop_poller(s->relays), &c->watch, fd, EPOLLIN, client_on_io, c) < 0)
                proxy_client_free(c);
}
