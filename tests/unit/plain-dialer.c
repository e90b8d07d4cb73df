/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/endpoint.h"
#include "base/macros.h"
#include "plain-dialer.h"
#include "proxy/socks5-udp.h"

/* A dial or datagram fd under way. */
typedef struct PlainCall {
        PlainDialer *dialer;
        ProxyCall *inner; /* of the host dialer */
        sd_event_source *defer;
        int fd;
        ProxyDialed done;
        void *userdata;
} PlainCall;

/* The two ends of datagrams: messages with headers on one, UDP on the other. Ends when the callee
 * closes its end. */
typedef struct PlainUdp {
        int message_fd, udp_fd;
        sd_event_source *message_source, *udp_source;
} PlainUdp;

static PlainCall *call_free(PlainCall *c) {
        sd_event_source_disable_unref(c->defer);
        if (c->fd >= 0)
                close(c->fd);
        g_free(c);
        return NULL;
}

static void call_end(PlainCall *c, int fd_or_error) {
        ProxyDialed done = c->done;
        void *userdata = c->userdata;

        call_free(c);
        done(userdata, fd_or_error);
}

static PlainCall *call_new(PlainDialer *d, ProxyDialed done, void *userdata) {
        PlainCall *c = NEW(PlainCall);

        *c = (PlainCall){ .dialer = d, .fd = -EBADF, .done = done, .userdata = userdata };
        return c;
}

static void plain_on_dialed(void *userdata, int fd) {
        call_end(userdata, fd);
}

static int plain_on_error(sd_event_source *source, void *userdata) {
        PlainCall *c = userdata;

        call_end(c, c->dialer->dial_error);
        return 0;
}

static int
plain_dial(void *userdata,
           const IpAddr *address,
           uint16_t port,
           usec_t timeout,
           ProxyDialed done,
           void *done_userdata,
           ProxyCall **ret) {
        PlainDialer *d = userdata;
        const ProxyDialer *host = host_dialer(d->host);
        PlainCall *c;
        int r = 0;

        if (d->is_down)
                return -ENETUNREACH;
        c = call_new(d, done, done_userdata);
        d->dials++;
        if (d->dial_error != 0)
                r = sd_event_add_defer(d->event, &c->defer, plain_on_error, c);
        else if (!d->dial_hangs)
                r = host->dial(host->userdata, address, port, timeout, plain_on_dialed, c, &c->inner);
        if (r < 0) {
                call_free(c);
                return r;
        }
        *ret = (ProxyCall *) c;
        return 0;
}

static int
plain_listen(void *userdata,
             uint16_t port,
             unsigned backlog,
             ProxyAccepted accepted,
             void *accepted_userdata,
             uint16_t *ret_port,
             ProxyCall **ret) {
        PlainDialer *d = userdata;
        const ProxyDialer *host = host_dialer(d->host);
        PlainCall *c;
        int r;

        if (d->is_down)
                return -ENETUNREACH;
        c = call_new(d, NULL, NULL);
        r =
                        host->listen(host->userdata, port, backlog, accepted, accepted_userdata,
                                     ret_port, &c->inner);
        if (r < 0)
                call_free(c);
        else
                *ret = (ProxyCall *) c;
        return r;
}

static void udp_free(PlainUdp *u) {
        sd_event_source_disable_unref(u->message_source);
        sd_event_source_disable_unref(u->udp_source);
        close(u->message_fd);
        close(u->udp_fd);
        g_free(u);
}

static int udp_on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        PlainUdp *u = userdata;
        uint8_t buf[65536];
        struct sockaddr_in to = { .sin_family = AF_INET };
        IpAddr address;
        uint16_t port;
        ssize_t n = recv(fd, buf, sizeof buf, 0);

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
                udp_free(u);
                return 0;
        }
        if (n < 0 || proxy_udp_header_decode(buf, (size_t) n, &address, &port) < 0 ||
            address.family != AF_INET)
                return 0;
        memcpy(&to.sin_addr, address.bytes, 4);
        to.sin_port = htons(port);
        (void) sendto(u->udp_fd, buf + PROXY_UDP_HEADER_SIZE, (size_t) n - PROXY_UDP_HEADER_SIZE, 0,
                      (struct sockaddr *) &to, sizeof to);
        return 0;
}

static int udp_on_datagram(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        PlainUdp *u = userdata;
        uint8_t buf[PROXY_UDP_HEADER_SIZE + 65536];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        IpAddr address = { .family = AF_INET };
        ssize_t n = recvfrom(
                        fd, buf + PROXY_UDP_HEADER_SIZE, 65536, 0, (struct sockaddr *) &from, &len);

        if (n < 0)
                return 0;
        memcpy(address.bytes, &from.sin_addr, 4);
        proxy_udp_header_encode(&address, ntohs(from.sin_port), buf);
        (void) send(u->message_fd, buf, PROXY_UDP_HEADER_SIZE + (size_t) n, MSG_NOSIGNAL);
        return 0;
}

static int plain_on_udp(sd_event_source *source, void *userdata) {
        PlainCall *c = userdata;

        call_end(c, TAKE_FD(c->fd));
        return 0;
}

static int plain_udp(void *userdata, ProxyDialed done, void *done_userdata, ProxyCall **ret) {
        PlainDialer *d = userdata;
        PlainUdp *u;
        PlainCall *c;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        u = NEW(PlainUdp);
        u->message_fd = pair[1];
        u->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        g_assert(u->udp_fd >= 0);
        g_assert(sd_event_add_io(d->event, &u->message_source, u->message_fd, EPOLLIN,
                                 udp_on_message, u) >= 0);
        g_assert(sd_event_add_io(d->event, &u->udp_source, u->udp_fd, EPOLLIN, udp_on_datagram, u) >=
                 0);
        c = call_new(d, done, done_userdata);
        c->fd = pair[0];
        g_assert(sd_event_add_defer(d->event, &c->defer, plain_on_udp, c) >= 0);
        *ret = (ProxyCall *) c;
        return 0;
}

static int plain_resolve(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        if (strcmp(name, "nas") == 0 || strcmp(name, "nas.omerta") == 0) {
                ret[0] = ip_from_v4(INADDR_LOOPBACK);
                return 1;
        }
        if (strcmp(name, "two") == 0) {
                ret[0] = ip_from_v4(INADDR_LOOPBACK + 1);
                ret[1] = ip_from_v4(INADDR_LOOPBACK);
                return 2;
        }
        return -ENXIO;
}

static void plain_cancel(void *userdata, ProxyCall *call) {
        PlainDialer *d = userdata;
        PlainCall *c = (PlainCall *) call;

        d->cancelled++;
        if (c->inner)
                host_dialer(d->host)->cancel(d->host, c->inner);
        call_free(c);
}

PlainDialer *plain_dialer_new(sd_event *event) {
        PlainDialer *d = NEW(PlainDialer);

        d->event = sd_event_ref(event);
        d->host = host_dialer_new(event);
        d->ops = (ProxyDialer){
                .dial = plain_dial,
                .listen = plain_listen,
                .udp = plain_udp,
                .resolve = plain_resolve,
                .cancel = plain_cancel,
                .userdata = d,
        };
        return d;
}

PlainDialer *plain_dialer_free(PlainDialer *d) {
        if (!d)
                return NULL;
        host_dialer_free(d->host);
        sd_event_unref(d->event);
        g_free(d);
        return NULL;
}
