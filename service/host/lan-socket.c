/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/lan-socket.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "core/wire/messages.h"

#ifndef IPV6_MULTICAST_ALL
#        define IPV6_MULTICAST_ALL 29 /* Linux 4.20 */
#endif

/* RFC 5082: what has this hop limit was sent on the same link. IPv4 has 1 instead, since routers
 * would carry the group on. */
#define HOPS6 255
/* Some hundred beacons at once are all there are. */
#define RECEIVE_BUFFER (64 * 1024)

struct LanSockets {
        int fd4, fd6;
        struct in_addr group4;
        struct in6_addr group6;
        RtnlLan lans[LAN_INTERFACES_MAX];
        unsigned n;
};

static int set_int(int fd, int level, int option, int value) {
        return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* Bound to the group itself: what comes to the port otherwise is not for us. */
static int open4(const LanSockets *s, int *ret) {
        struct sockaddr_in local = { .sin_family = AF_INET,
                                     .sin_port = htons(BEACON_PORT),
                                     .sin_addr = s->group4 };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r;

        if (fd < 0)
                return -errno;
        /* Only where it was joined. */
        if ((r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1)) < 0 ||
            (r = set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0)) < 0 ||
            (r = set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1)) < 0)
                return r;
        (void) set_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
        if (bind(fd, (struct sockaddr *) &local, sizeof local) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

/* A group of the link cannot be bound to without saying which link. */
static int open6(int *ret) {
        struct sockaddr_in6 local = { .sin6_family = AF_INET6, .sin6_port = htons(BEACON_PORT) };
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r;

        if (fd < 0)
                return -errno;
        if ((r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1)) < 0 ||
            (r = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) < 0 ||
            (r = set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOPS6)) < 0 ||
            (r = set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)) < 0 ||
            (r = set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)) < 0)
                return r;
        (void) set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
        (void) set_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
        if (bind(fd, (struct sockaddr *) &local, sizeof local) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

int lan_sockets_new(LanSockets **ret) {
        LanSockets *s = NEW(LanSockets);
        int r4, r6;

        *s = (LanSockets){ .fd4 = -EBADF, .fd6 = -EBADF };
        (void) inet_pton(AF_INET, BEACON_GROUP4, &s->group4);
        (void) inet_pton(AF_INET6, BEACON_GROUP6, &s->group6);
        r4 = open4(s, &s->fd4);
        r6 = open6(&s->fd6);
        if (r4 < 0 && r6 < 0) {
                lan_sockets_free(s);
                return r4;
        }
        *ret = s;
        return 0;
}

LanSockets *lan_sockets_free(LanSockets *s) {
        if (!s)
                return NULL;
        closep(&s->fd4);
        closep(&s->fd6);
        g_free(s);
        return NULL;
}

int lan_sockets_fd(const LanSockets *s, int family) {
        return family == AF_INET6 ? s->fd6 : s->fd4;
}

/* Joining twice, and leaving what is gone, are no errors worth a word. */
static void set_membership(const LanSockets *s, unsigned ifindex, bool join) {
        struct ip_mreqn m4 = { .imr_multiaddr = s->group4, .imr_ifindex = (int) ifindex };
        struct ipv6_mreq m6 = { .ipv6mr_multiaddr = s->group6, .ipv6mr_interface = ifindex };

        if (s->fd4 >= 0)
                (void) setsockopt(
                                s->fd4, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                                &m4, sizeof m4);
        if (s->fd6 >= 0)
                (void) setsockopt(
                                s->fd6, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                                &m6, sizeof m6);
}

static const RtnlLan *find(const RtnlLan *lans, unsigned n, unsigned ifindex) {
        for (unsigned i = 0; i < n; i++)
                if (lans[i].ifindex == ifindex)
                        return &lans[i];
        return NULL;
}

static bool has_all(const RtnlLan *old, const RtnlLan *lan) {
        if (lan->has_ipv6 && !old->has_ipv6)
                return false;
        for (unsigned i = 0; i < lan->n_addresses; i++) {
                bool there = false;

                for (unsigned k = 0; k < old->n_addresses; k++)
                        there = there || ip_equal(&lan->address[i], &old->address[k]);
                if (!there)
                        return false;
        }
        return true;
}

bool lan_sockets_set(LanSockets *s, const RtnlLan *lans, unsigned n) {
        bool is_new = false;

        n = MIN(n, LAN_INTERFACES_MAX);
        /* First, since there may be no more than so many. */
        for (unsigned i = 0; i < s->n; i++)
                if (!find(lans, n, s->lans[i].ifindex))
                        set_membership(s, s->lans[i].ifindex, false);
        for (unsigned i = 0; i < n; i++) {
                const RtnlLan *old = find(s->lans, s->n, lans[i].ifindex);

                is_new = is_new || !old || !has_all(old, &lans[i]);
                /* Again too: its first IPv4 or IPv6 address may be what was missing. */
                set_membership(s, lans[i].ifindex, true);
        }
        memcpy(s->lans, lans, n * sizeof *lans);
        s->n = n;
        return is_new;
}

const RtnlLan *lan_sockets_get(const LanSockets *s, unsigned *ret_n) {
        *ret_n = s->n;
        return s->lans;
}

static int
send4(const LanSockets *s, const RtnlLan *lan, const IpAddr *from, const uint8_t *data, size_t len) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(BEACON_PORT),
                                  .sin_addr = s->group4 };
        struct in_pktinfo info = { .ipi_ifindex = (int) lan->ifindex };
        struct iovec iov = { (void *) data, len };
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof info)];
        } control = {};
        struct msghdr m = {
                .msg_name = &to,
                .msg_namelen = sizeof to,
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof control.space,
        };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);

        if (s->fd4 < 0)
                return -EAFNOSUPPORT;
        memcpy(&info.ipi_spec_dst, from->bytes, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        return sendmsg(s->fd4, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The kernel takes the link-local address for a group of the link (RFC 6724). */
static int send6(const LanSockets *s, const RtnlLan *lan, const uint8_t *data, size_t len) {
        struct sockaddr_in6 to = {
                .sin6_family = AF_INET6,
                .sin6_port = htons(BEACON_PORT),
                .sin6_addr = s->group6,
                .sin6_scope_id = lan->ifindex,
        };

        if (s->fd6 < 0)
                return -EAFNOSUPPORT;
        return sendto(s->fd6, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &to,
                      sizeof to) < 0
                               ? -errno
                               : 0;
}

int lan_sockets_send(const LanSockets *s, unsigned way, const uint8_t *data, size_t len) {
        for (unsigned i = 0; i < s->n; i++) {
                const RtnlLan *lan = &s->lans[i];

                if (way < lan->n_addresses)
                        return send4(s, lan, &lan->address[way], data, len);
                way -= lan->n_addresses;
                if (lan->has_ipv6 && way-- == 0)
                        return send6(s, lan, data, len);
        }
        return -ENOENT;
}

/* Whether it came from this link, to the group. Of IPv4 the bind and the joins say that much. */
static bool is_of_link(const LanSockets *s, struct msghdr *m, const Endpoint *from) {
        bool hops = false, group = false;

        if (from->sa.sa_family == AF_INET)
                return true;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                if (c->cmsg_level != IPPROTO_IPV6)
                        continue;
                if (c->cmsg_type == IPV6_HOPLIMIT) {
                        int value;

                        memcpy(&value, CMSG_DATA(c), sizeof value);
                        hops = value == HOPS6;
                } else if (c->cmsg_type == IPV6_PKTINFO) {
                        struct in6_pktinfo info;

                        memcpy(&info, CMSG_DATA(c), sizeof info);
                        group = memcmp(&info.ipi6_addr, &s->group6, sizeof s->group6) == 0;
                }
        }
        return hops && group && endpoint_is_link_local(from);
}

ssize_t
lan_sockets_receive(const LanSockets *s, int family, uint8_t *buf, size_t size, Endpoint *ret_from) {
        struct sockaddr_storage name = {};
        struct iovec iov = { buf, size };
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control = {};
        struct msghdr m = {
                .msg_name = &name,
                .msg_namelen = sizeof name,
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof control.space,
        };
        ssize_t n = recvmsg(lan_sockets_fd(s, family), &m, MSG_DONTWAIT);

        if (n < 0)
                return -errno;
        if (endpoint_from_sockaddr((struct sockaddr *) &name, m.msg_namelen, ret_from) < 0 ||
            !is_of_link(s, &m, ret_from))
                return 0;
        return n;
}
