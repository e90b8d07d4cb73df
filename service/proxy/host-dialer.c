/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/macros.h"
#include "proxy/host-dialer.h"
#include "proxy/listener.h"

struct HostDialer {
        sd_event *event;
        ProxyDialer ops;
        GQueue calls; /* HostCall */
};

/* A dial or a listener; what a ProxyCall is here. */
typedef struct HostCall {
        HostDialer *dialer;
        GList link;
        int fd; /* of a dial */
        sd_event_source *source, *timer;
        ProxyDialed dialed;
        Listener *listener;
        ProxyAccepted accepted;
        void *userdata;
} HostCall;

static HostCall *call_new(HostDialer *h, void *userdata) {
        HostCall *c = NEW(HostCall);

        *c = (HostCall){ .dialer = h, .fd = -EBADF, .userdata = userdata };
        c->link.data = c;
        g_queue_push_tail_link(&h->calls, &c->link);
        return c;
}

static HostCall *call_free(HostCall *c) {
        sd_event_source_disable_unref(c->source);
        sd_event_source_disable_unref(c->timer);
        listener_free(c->listener);
        if (c->fd >= 0)
                close(c->fd);
        g_queue_unlink(&c->dialer->calls, &c->link);
        g_free(c);
        return NULL;
}

static void call_end(HostCall *c, int fd_or_error) {
        ProxyDialed dialed = c->dialed;
        void *userdata = c->userdata;

        call_free(c);
        dialed(userdata, fd_or_error);
}

static int dial_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HostCall *c = userdata;
        int error = 0;
        socklen_t len = sizeof error;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
                error = errno;
        call_end(c, error != 0 ? -error : TAKE_FD(c->fd));
        return 0;
}

static int dial_on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        call_end(userdata, -ETIMEDOUT);
        return 0;
}

static Endpoint endpoint_of(const IpAddr *address, uint16_t port) {
        Endpoint e = { .sa.sa_family = address->family };

        if (address->family == AF_INET6)
                memcpy(&e.in6.sin6_addr, address->bytes, sizeof e.in6.sin6_addr);
        else
                memcpy(&e.in.sin_addr, address->bytes, sizeof e.in.sin_addr);
        endpoint_set_port(&e, port);
        return e;
}

static int
host_dial(void *userdata,
          const IpAddr *address,
          uint16_t port,
          usec_t timeout,
          ProxyDialed done,
          void *done_userdata,
          ProxyCall **ret) {
        HostDialer *h = userdata;
        HostCall *c = call_new(h, done_userdata);
        Endpoint to = endpoint_of(address, port);
        int r = 0;

        c->dialed = done;
        c->fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                r = -errno;
        else
                r = c->fd = fd_admit(c->fd);
        if (r >= 0 && connect(c->fd, &to.sa, endpoint_len(&to)) < 0 && errno != EINPROGRESS)
                r = -errno;
        if (r >= 0)
                r = sd_event_add_io(h->event, &c->source, c->fd, EPOLLOUT, dial_on_io, c);
        if (r >= 0 && timeout > 0 && timeout < USEC_INFINITY)
                r = sd_event_add_time_relative(
                                h->event, &c->timer, CLOCK_MONOTONIC, timeout, 0, dial_on_timeout, c);
        if (r < 0) {
                call_free(c);
                return r;
        }
        *ret = (ProxyCall *) c;
        return 0;
}

static void listen_on_accepted(void *userdata, int fd) {
        HostCall *c = userdata;
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e = {};
        IpAddr peer = {};

        if (getpeername(fd, (struct sockaddr *) &ss, &len) >= 0 &&
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) >= 0) {
                peer.family = (uint8_t) e.sa.sa_family;
                if (peer.family == AF_INET6)
                        memcpy(peer.bytes, &e.in6.sin6_addr, sizeof e.in6.sin6_addr);
                else
                        memcpy(peer.bytes, &e.in.sin_addr, sizeof e.in.sin_addr);
        }
        c->accepted(c->userdata, fd, &peer, endpoint_port(&e));
}

static int
host_listen(void *userdata,
            uint16_t port,
            unsigned backlog,
            ProxyAccepted accepted,
            void *accepted_userdata,
            uint16_t *ret_port,
            ProxyCall **ret) {
        HostDialer *h = userdata;
        IpAddr loopback = ip_from_v4(INADDR_LOOPBACK);
        Endpoint local = endpoint_of(&loopback, port);
        HostCall *c;
        int fd = listener_open(&local), r;

        if (fd < 0)
                return fd;
        local = listener_local(fd);
        c = call_new(h, accepted_userdata);
        c->accepted = accepted;
        r = listener_new(h->event, fd, listen_on_accepted, c, &c->listener);
        if (r < 0) {
                call_free(c);
                return r;
        }
        *ret_port = endpoint_port(&local);
        *ret = (ProxyCall *) c;
        return 0;
}

static const void *host_network(void *userdata, const IpAddr *address) {
        return NULL;
}

static int
host_udp(void *userdata, const void *network, ProxyDialed done, void *done_userdata, ProxyCall **ret) {
        return -EOPNOTSUPP;
}

static int host_resolve(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        if (g_ascii_strcasecmp(name, "localhost") != 0)
                return -ENXIO;
        ret[0] = ip_from_v4(INADDR_LOOPBACK);
        ret[1] = (IpAddr){ .family = AF_INET6, .bytes = { [15] = 1 } };
        return 2;
}

static void host_cancel(void *userdata, ProxyCall *call) {
        call_free((HostCall *) call);
}

HostDialer *host_dialer_new(sd_event *event) {
        HostDialer *h = NEW(HostDialer);

        h->event = sd_event_ref(event);
        g_queue_init(&h->calls);
        h->ops = (ProxyDialer){
                .dial = host_dial,
                .listen = host_listen,
                .network = host_network,
                .udp = host_udp,
                .resolve = host_resolve,
                .cancel = host_cancel,
                .userdata = h,
        };
        return h;
}

HostDialer *host_dialer_free(HostDialer *h) {
        if (!h)
                return NULL;
        while (h->calls.head)
                call_free(h->calls.head->data);
        sd_event_unref(h->event);
        g_free(h);
        return NULL;
}

const ProxyDialer *host_dialer(const HostDialer *h) {
        return &h->ops;
}
