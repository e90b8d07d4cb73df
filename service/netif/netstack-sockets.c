/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif/netstack-sockets.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/macros.h"

/* IPv6 sockets that serve IPv4 as well (RFC 3493, 3.7) spare every association a second one. */

#define UDP_PAYLOAD_MAX 65507U
/* Datagrams carried in one direction per wake-up, so that one association does not hold up the
 * rest of the control thread. */
#define RELAY_BURST 32U
#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)
/* Round trips from which on TCP is paced. */
#define PACING_RTT_USEC (5 * USEC_PER_MSEC)
/* Bytes a second: a limit no connection meets. Any limit makes TCP pace; below, it does so by its
 * own estimate (tcp_update_pacing_rate(), Linux 4.13). */
#define PACING_RATE UINT64_C(125000000000)

static int sockaddr_from_ip(const IpAddr *a, uint16_t port, Endpoint *ret) {
        Endpoint e = {};

        if (a->family == AF_INET) {
                e.in.sin_family = AF_INET;
                e.in.sin_port = htons(port);
                memcpy(&e.in.sin_addr, a->bytes, 4);
        } else if (a->family == AF_INET6) {
                e.in6.sin6_family = AF_INET6;
                e.in6.sin6_port = htons(port);
                memcpy(&e.in6.sin6_addr, a->bytes, 16);
        } else {
                return -EAFNOSUPPORT;
        }
        *ret = e;
        return 0;
}

/* For sendto() on a socket that serves both families. */
static void map_v4(Endpoint *e) {
        struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = e->in.sin_port };

        if (e->sa.sa_family != AF_INET)
                return;
        mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
        memcpy(&mapped.sin6_addr.s6_addr[12], &e->in.sin_addr, 4);
        e->in6 = mapped;
}

static int
ip_from_sockaddr(const struct sockaddr_storage *ss, socklen_t len, IpAddr *ret, uint16_t *ret_port) {
        IpAddr a = {};
        Endpoint e;
        int r;

        r = endpoint_from_sockaddr((const struct sockaddr *) ss, len, &e);
        if (r < 0)
                return r;
        a.family = (uint8_t) e.sa.sa_family;
        memcpy(a.bytes, e.sa.sa_family == AF_INET ? (const void *) &e.in.sin_addr : &e.in6.sin6_addr,
               ip_size(&a));
        *ret = a;
        *ret_port = endpoint_port(&e);
        return 0;
}

/* Sockets are programs' connections, whoever makes them. */
static int make(NetstackSockets *s, int family, int type, int protocol) {
        return fd_admit(s->make(s, family, type, protocol));
}

/* A bound socket for both families, for IPv4 alone where the kernel has no IPv6. Bound to the
 * interface, if there is one: what is offered to the network is not offered to the machine's other
 * networks. Needs no privilege since Linux 5.7. */
static int make_bound(NetstackSockets *s, int type, uint16_t port, int *ret_family) {
        _cleanup_close_ int fd = -EBADF;
        Endpoint any = {};
        int off = 0, on = 1, family = AF_INET6;

        fd = make(s, AF_INET6, type, 0);
        if (fd == -EAFNOSUPPORT) {
                family = AF_INET;
                fd = make(s, AF_INET, type, 0);
        }
        if (fd < 0)
                return fd;
        any.sa.sa_family = (sa_family_t) family;
        endpoint_set_port(&any, port);
        if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
                return -errno;
        if (s->interface[0] != '\0' && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s->interface,
                                                  (socklen_t) strlen(s->interface)) < 0)
                return -errno;
        if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        if (bind(fd, &any.sa, endpoint_len(&any)) < 0)
                return -errno;
        *ret_family = family;
        return TAKE_FD(fd);
}

/* Ends connections to peers that vanished; see the contract. */
static void watch_peer(int fd) {
        const struct {
                int level, option, value;
        } options[] = {
                { SOL_SOCKET, SO_KEEPALIVE, 1 },
                { IPPROTO_TCP, TCP_KEEPIDLE, NETSTACK_KEEPALIVE_IDLE_USEC / USEC_PER_SEC },
                { IPPROTO_TCP, TCP_KEEPINTVL, NETSTACK_KEEPALIVE_INTERVAL_USEC / USEC_PER_SEC },
                { IPPROTO_TCP, TCP_KEEPCNT, NETSTACK_KEEPALIVE_COUNT },
                { IPPROTO_TCP, TCP_USER_TIMEOUT, NETSTACK_UNANSWERED_USEC / USEC_PER_MSEC },
                /* As lwIP's: what the caller writes is what should leave. */
                { IPPROTO_TCP, TCP_NODELAY, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                /* Without them it is a connection like any other. */
                (void) setsockopt(
                                fd, options[i].level, options[i].option, &options[i].value,
                                sizeof options[i].value);
}

/* On a long way a flight of segments is more than the queues of ours hold, which are short on
 * purpose (dataplane/udp-socket.c), and a loss costs seconds. So the kernel spreads flights over
 * the round trip there; on a short way that costs more than it gives. */
static void pace(int fd) {
        uint64_t rate = PACING_RATE;
        struct tcp_info info;
        socklen_t len = sizeof info;

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) >= 0 &&
            info.tcpi_rtt >= PACING_RTT_USEC)
                (void) setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate);
}

/* --- dial --- */

static int on_connect_failed(sd_event_source *source, void *userdata) {
        NetstackCall *c = userdata;

        netstack_call_dialed(c, c->error);
        return 0;
}

static int on_connected(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        NetstackCall *c = userdata;
        int error = 0;
        socklen_t len = sizeof error;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
                error = errno;
        if (error == 0)
                pace(fd);
        /* The source must not see the fd any more when it is the callee's. */
        c->io = sd_event_source_disable_unref(c->io);
        netstack_call_dialed(c, error != 0 ? -error : TAKE_FD(c->fd));
        return 0;
}

int netstack_sockets_dial(NetstackCall *c, const IpAddr *address, uint16_t port) {
        NetstackSockets *s = (NetstackSockets *) c->stack;
        Endpoint to;
        int r;

        r = sockaddr_from_ip(address, port, &to);
        if (r < 0)
                return r;
        c->fd = make(s, to.sa.sa_family, SOCK_STREAM, 0);
        if (c->fd < 0)
                return c->fd;
        watch_peer(c->fd);
        if (connect(c->fd, &to.sa, endpoint_len(&to)) < 0 && errno != EINPROGRESS) {
                c->error = -errno;
                return sd_event_add_defer(c->stack->event, &c->later, on_connect_failed, c);
        }
        return sd_event_add_io(c->stack->event, &c->io, c->fd, EPOLLOUT, on_connected, c);
}

/* --- listen --- */

static int on_listen_again(sd_event_source *source, uint64_t usec, void *userdata) {
        NetstackCall *c = userdata;

        return sd_event_source_set_enabled(c->io, SD_EVENT_ON);
}

/* No fds or memory left: the event would come back at once, for ever. */
static int listen_later(NetstackCall *c) {
        c->timer = sd_event_source_disable_unref(c->timer);
        (void) sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        return sd_event_add_time_relative(
                        c->stack->event, &c->timer, CLOCK_MONOTONIC, ACCEPT_PAUSE_USEC, 0,
                        on_listen_again, c);
}

static int on_incoming(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        NetstackCall *c = userdata;
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        IpAddr peer;
        uint16_t port;
        int conn;

        /* One: the callback may cancel the listener. */
        conn = accept4(fd, (struct sockaddr *) &ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (conn < 0)
                return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS
                                       ? listen_later(c)
                                       : 0; /* gone again */
        /* One too many: the peer sees it closed. */
        if (fd_admit(conn) < 0)
                return 0;
        if (ip_from_sockaddr(&ss, len, &peer, &port) < 0) {
                close(conn);
                return 0;
        }
        watch_peer(conn);
        pace(conn);
        netstack_call_accepted(c, conn, &peer, port);
        return 0;
}

int netstack_sockets_listen(NetstackCall *c, uint16_t port, unsigned backlog, uint16_t *ret_port) {
        NetstackSockets *s = (NetstackSockets *) c->stack;
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        IpAddr any;
        int family;

        c->fd = make_bound(s, SOCK_STREAM, port, &family);
        if (c->fd < 0)
                return c->fd;
        if (listen(c->fd, (int) backlog) < 0)
                return -errno;
        if (getsockname(c->fd, (struct sockaddr *) &ss, &len) < 0)
                return -errno;
        (void) ip_from_sockaddr(&ss, len, &any, ret_port);
        return sd_event_add_io(c->stack->event, &c->io, c->fd, EPOLLIN, on_incoming, c);
}

/* --- UDP --- */

/* Carries messages between a socket pair and a UDP socket. */
typedef struct UdpRelay {
        NetstackSockets *stack;
        int pair, udp;
        int family; /* of udp */
        sd_event_source *pair_io, *udp_io;
} UdpRelay;

static void relay_free(void *data) {
        UdpRelay *r = data;

        sd_event_source_disable_unref(r->pair_io);
        sd_event_source_disable_unref(r->udp_io);
        closep(&r->pair);
        closep(&r->udp);
        g_free(r);
}

static int on_relay_out(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t buf[NETSTACK_UDP_HEADER_SIZE + UDP_PAYLOAD_MAX];
        UdpRelay *relay = userdata;

        for (unsigned i = 0; i < RELAY_BURST; i++) {
                ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
                IpAddr to = {};
                Endpoint e;

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n <= 0) {
                        /* The caller closed its end. */
                        g_hash_table_remove(relay->stack->relays, relay);
                        return 0;
                }
                if ((size_t) n < NETSTACK_UDP_HEADER_SIZE || (buf[0] != 4 && buf[0] != 6))
                        continue;
                to.family = buf[0] == 6 ? AF_INET6 : AF_INET;
                memcpy(to.bytes, buf + 4, ip_size(&to));
                (void) sockaddr_from_ip(&to, read_be16(buf + 2), &e);
                if (relay->family == AF_INET6)
                        map_v4(&e);
                /* Lost like any datagram where it does not go: EAGAIN, unreachable, too big. */
                (void) sendto(relay->udp, buf + NETSTACK_UDP_HEADER_SIZE,
                              (size_t) n - NETSTACK_UDP_HEADER_SIZE, MSG_DONTWAIT, &e.sa,
                              endpoint_len(&e));
        }
        return 0;
}

static int on_relay_in(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t buf[NETSTACK_UDP_HEADER_SIZE + UDP_PAYLOAD_MAX];
        UdpRelay *relay = userdata;

        for (unsigned i = 0; i < RELAY_BURST; i++) {
                struct sockaddr_storage ss;
                socklen_t len = sizeof ss;
                uint16_t port;
                IpAddr from;
                ssize_t n;

                n = recvfrom(fd, buf + NETSTACK_UDP_HEADER_SIZE, UDP_PAYLOAD_MAX, MSG_DONTWAIT,
                             (struct sockaddr *) &ss, &len);
                if (n < 0) {
                        if (errno == EAGAIN)
                                return 0;
                        continue; /* an ICMP error of an earlier datagram */
                }
                if (ip_from_sockaddr(&ss, len, &from, &port) < 0)
                        continue;
                memset(buf, 0, NETSTACK_UDP_HEADER_SIZE);
                buf[0] = from.family == AF_INET6 ? 6 : 4;
                write_be16(buf + 2, port);
                memcpy(buf + 4, from.bytes, ip_size(&from));
                (void) send(relay->pair, buf, NETSTACK_UDP_HEADER_SIZE + (size_t) n,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        return 0;
}

static int on_udp_ready(sd_event_source *source, void *userdata) {
        NetstackCall *c = userdata;

        netstack_call_dialed(c, TAKE_FD(c->fd));
        return 0;
}

int netstack_sockets_udp(NetstackCall *c, uint16_t port) {
        NetstackSockets *s = (NetstackSockets *) c->stack;
        UdpRelay *relay;
        int pair[2], udp, family, r;

        udp = make_bound(s, SOCK_DGRAM, port, &family);
        if (udp < 0)
                return udp;
        r = fd_pair(SOCK_SEQPACKET, pair);
        if (r < 0) {
                close(udp);
                return r;
        }
        c->fd = pair[0];
        relay = NEW(UdpRelay);
        *relay = (UdpRelay){ .stack = s, .pair = pair[1], .udp = udp, .family = family };
        g_hash_table_add(s->relays, relay);
        r = sd_event_add_io(
                        c->stack->event, &relay->pair_io, relay->pair, EPOLLIN, on_relay_out, relay);
        if (r >= 0)
                r = sd_event_add_io(c->stack->event, &relay->udp_io, udp, EPOLLIN, on_relay_in, relay);
        if (r >= 0)
                r = sd_event_add_defer(c->stack->event, &c->later, on_udp_ready, c);
        if (r < 0)
                g_hash_table_remove(s->relays, relay);
        return r;
}

/* --- echo --- */

static int on_echo(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        NetstackCall *c = userdata;
        uint8_t buf[sizeof(struct icmp6_hdr) + NETSTACK_ECHO_MAX];
        usec_t now = now_usec(CLOCK_MONOTONIC);
        ssize_t n;

        n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        netstack_call_echoed(c, -errno, USEC_INFINITY);
                return 0;
        }
        /* The kernel set and checked the identifier; the layout is the same for both families
         * (RFC 792, RFC 4443 4.2). */
        if ((size_t) n >= sizeof(struct icmp6_hdr) && read_be16(buf + 6) == c->sequence)
                netstack_call_echoed(c, 0, usec_sub(now, c->sent));
        return 0;
}

int netstack_sockets_echo(NetstackCall *c, const IpAddr *address, size_t payload) {
        NetstackSockets *s = (NetstackSockets *) c->stack;
        uint8_t packet[sizeof(struct icmp6_hdr) + NETSTACK_ECHO_MAX] = {};
        bool v6 = address->family == AF_INET6;
        Endpoint to;
        int r, on = 1;

        r = sockaddr_from_ip(address, 0, &to);
        if (r < 0)
                return r;
        c->fd = make(s, to.sa.sa_family, SOCK_DGRAM, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
        if (c->fd < 0)
                return c->fd;
        /* Connected and with RECVERR the socket reports what ICMP says about the address. */
        if (setsockopt(c->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on,
                       sizeof on) < 0)
                return -errno;
        packet[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
        if (getrandom(&c->sequence, sizeof c->sequence, 0) < 0)
                return -errno;
        write_be16(packet + 6, c->sequence);
        c->sent = now_usec(CLOCK_MONOTONIC);
        if (connect(c->fd, &to.sa, endpoint_len(&to)) < 0 ||
            send(c->fd, packet, sizeof(struct icmp6_hdr) + payload, MSG_DONTWAIT) < 0)
                return -errno;
        return sd_event_add_io(c->stack->event, &c->io, c->fd, EPOLLIN, on_echo, c);
}

/* --- life --- */

void netstack_sockets_forget(NetstackCall *c) {
        /* All that a call has is in it. */
}

void netstack_sockets_init(NetstackSockets *s, const NetstackOps *ops, sd_event *event) {
        netstack_init(&s->netstack, ops, event);
        s->relays = g_hash_table_new_full(NULL, NULL, relay_free, NULL);
}

void netstack_sockets_done(NetstackSockets *s) {
        g_clear_pointer(&s->relays, g_hash_table_unref);
        netstack_done(&s->netstack);
}
