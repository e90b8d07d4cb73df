/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/udp-socket.h"

#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "core/wire/relayed.h"

/* linux/udp.h, which cannot be included beside netinet/udp.h */
#ifndef UDP_SEGMENT
#        define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#        define UDP_GRO 104
#endif

/* Queues are kept short, so that a full one costs half a millisecond at the speed at which it
 * fills; the kernel doubles the figures for its own bookkeeping. Receiving, measured between two
 * daemons on two busy cores with one TCP stream: 128 KiB 3.6 to 4.4 Gbit/s and 0.3 to 0.4 ms,
 * 256 KiB 4.3 to 5.8 Gbit/s and 0.5 to 0.6 ms. Sending: three trains, what a queue of a device
 * with 2.5 Gbit/s takes a millisecond for. */
#define SEND_BUFFER (128 * 1024)

struct UdpReceiver {
        struct mmsghdr message[UDP_RECEIVE_MAX];
        struct iovec iov[UDP_RECEIVE_MAX];
        struct sockaddr_storage name[UDP_RECEIVE_MAX];
        Endpoint from[UDP_RECEIVE_MAX];
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control[UDP_RECEIVE_MAX];
        uint8_t *buffer;
};

UdpReceiver *udp_receiver_new(void) {
        UdpReceiver *r = NEW(UdpReceiver);

        r->buffer = g_malloc((size_t) UDP_RECEIVE_MAX * UDP_BUFFER_SIZE);
        for (unsigned i = 0; i < UDP_RECEIVE_MAX; i++) {
                struct msghdr *m = &r->message[i].msg_hdr;

                r->iov[i] = (struct iovec){ r->buffer + (size_t) i * UDP_BUFFER_SIZE,
                                            UDP_BUFFER_SIZE };
                m->msg_iov = &r->iov[i];
                m->msg_iovlen = 1;
                m->msg_name = &r->name[i];
                m->msg_control = &r->control[i];
        }
        return r;
}

UdpReceiver *udp_receiver_free(UdpReceiver *r) {
        if (r) {
                g_free(r->buffer);
                g_free(r);
        }
        return NULL;
}

static int set_int(int fd, int level, int option, int value) {
        return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int udp_socket_init(UdpSocket *s, int fd) {
        struct sockaddr_storage local = {};
        socklen_t len = sizeof local, value_len;
        int r, value;

        if (getsockname(fd, (struct sockaddr *) &local, &len) < 0)
                return -errno;
        if (local.ss_family != AF_INET && local.ss_family != AF_INET6)
                return -EAFNOSUPPORT;
        *s = (UdpSocket){ .fd = fd, .family = local.ss_family };
        value = 1;
        if (ioctl(fd, FIONBIO, &value) < 0)
                return -errno;
        /* DF on every datagram, but the kernel's idea of the path's MTU is not asked for: it
         * comes from ICMP messages anybody can forge, and the size that fits is the mesh's to
         * find out by probing (RFC 8899). */
        r = s->family == AF_INET ? set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
                                 : set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        if (r < 0)
                return r;
        /* Short of what we ask for still works. */
        (void) set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_RECEIVE_BUFFER);
        (void) set_int(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
        /* Where each datagram came to. Without it answers leave from where the route says. */
        (void) (s->family == AF_INET ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
                                     : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
        /* Linux 4.18 and 5.0 */
        value_len = sizeof value;
        s->segment = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &value_len) == 0;
        s->receive_trains = set_int(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
        return 0;
}

/* --- receiving --- */

static size_t segment_size(const struct cmsghdr *c, size_t len) {
        int segment;

        memcpy(&segment, CMSG_DATA(c), sizeof segment);
        return segment > 0 ? (size_t) segment : len;
}

/* ip(7): the local address of the packet, one of ours also if it came to all. 0.0.0.0: it came
 * before somebody asked. */
static void set_local4(const struct cmsghdr *c, Endpoint *from) {
        struct in_pktinfo info;

        memcpy(&info, CMSG_DATA(c), sizeof info);
        if (from->sa.sa_family == AF_INET && info.ipi_spec_dst.s_addr != 0)
                from->local = ip_from_v4(ntohl(info.ipi_spec_dst.s_addr));
}

/* ipv6(7): the destination address, which may be a group's. */
static void set_local6(const struct cmsghdr *c, Endpoint *from) {
        struct in6_pktinfo info;

        memcpy(&info, CMSG_DATA(c), sizeof info);
        if (from->sa.sa_family != AF_INET6 || IN6_IS_ADDR_MULTICAST(&info.ipi6_addr) ||
            IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr))
                return;
        from->local.family = AF_INET6;
        memcpy(from->local.bytes, &info.ipi6_addr, sizeof from->local.bytes);
}

/* Return: the length of each datagram in the buffer but the last. */
static size_t read_control(struct msghdr *m, size_t len, Endpoint *from) {
        size_t segment = len;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                        segment = segment_size(c, len);
                else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
                        set_local4(c, from);
                else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
                        set_local6(c, from);
        return segment;
}

int udp_socket_receive(UdpSocket *s, UdpReceiver *r, UdpReceived *ret, UdpStats *stats, DropCounters *drops) {
        int n, k = 0;

        for (unsigned i = 0; i < UDP_RECEIVE_MAX; i++) {
                r->message[i].msg_hdr.msg_namelen = sizeof r->name[i];
                r->message[i].msg_hdr.msg_controllen = sizeof r->control[i];
        }
        stats->receives++;
        n = recvmmsg(s->fd, r->message, UDP_RECEIVE_MAX, MSG_DONTWAIT, NULL);
        if (n < 0)
                return udp_socket_is_broken(errno) ? -errno : 0;
        for (int i = 0; i < n; i++) {
                struct msghdr *m = &r->message[i].msg_hdr;
                size_t len = r->message[i].msg_len;

                if (len == 0 || (m->msg_flags & MSG_TRUNC) ||
                    endpoint_from_sockaddr(m->msg_name, m->msg_namelen, &r->from[k]) < 0) {
                        drop_count(drops, DROP_MALFORMED);
                        continue;
                }
                ret[k] = (UdpReceived){ r->iov[i].iov_base, len, read_control(m, len, &r->from[k]),
                                        &r->from[k] };
                k++;
        }
        return k;
}

uint32_t udp_socket_kernel_drops(int fd) {
        uint32_t info[SK_MEMINFO_VARS] = {};
        socklen_t len = sizeof info;

        /* Linux 4.12; asked for when somebody looks, where SO_RXQ_OVFL costs a control message with
         * each datagram and says nothing of the last. */
        return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

/* --- sending --- */

static void count_failed(UdpSocket *s, const TxTrain *t, unsigned n, int error) {
        if (udp_socket_is_broken(error))
                s->error = -error;
        if (t->drops)
                drop_count_n(t->drops, error == EMSGSIZE ? DROP_TOO_BIG : DROP_SEND_FAILED, n);
}

/* What goes with a datagram or train: how it is cut, and last, so that it can be left out, where it
 * leaves from. */
typedef struct SendControl {
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
        };
} SendControl;

/* @m has room for one more control message; what is behind it is zeroed. */
static void
append(struct msghdr *m, SendControl *control, int level, int type, const void *data, size_t n) {
        struct cmsghdr *c = (struct cmsghdr *) (control->space + m->msg_controllen);

        m->msg_control = control->space;
        m->msg_controllen += CMSG_SPACE(n);
        c->cmsg_level = level;
        c->cmsg_type = type;
        c->cmsg_len = CMSG_LEN(n);
        memcpy(CMSG_DATA(c), data, n);
}

static void append_local(struct msghdr *m, SendControl *control, const Endpoint *to) {
        struct in_pktinfo info = {};
        struct in6_pktinfo info6 = { .ipi6_ifindex = to->in6.sin6_scope_id };

        if (!ip_is_set(&to->local) || to->local.family != to->sa.sa_family)
                return;
        if (to->local.family == AF_INET) {
                info.ipi_spec_dst.s_addr = htonl(ip_to_v4(&to->local));
                append(m, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        } else {
                memcpy(&info6.ipi6_addr, to->local.bytes, sizeof info6.ipi6_addr);
                append(m, control, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof info6);
        }
}

/* What the kernel says of a source that is none: for IPv4 ENETUNREACH, for IPv6 EINVAL or
 * EADDRNOTAVAIL. They have other reasons, so it is tried without before that is believed. */
static bool may_be_local(int error) {
        return error == EINVAL || error == EADDRNOTAVAIL || error == ENETUNREACH;
}

/* Datagram by datagram, where the kernel or the device does not cut. */
static void send_single(UdpSocket *s, const TxTrain *t, UdpStats *stats) {
        struct mmsghdr message[TX_SEGMENTS_MAX] = {};
        struct iovec iov[TX_SEGMENTS_MAX];
        struct msghdr local = {};
        SendControl control = {};
        unsigned n = 0, done = 0;
        TxCursor c = {};

        append_local(&local, &control, &t->to);
        while (n < TX_SEGMENTS_MAX && tx_train_next(t, &c, &iov[n])) {
                message[n].msg_hdr = local;
                message[n].msg_hdr.msg_iov = &iov[n];
                message[n].msg_hdr.msg_iovlen = 1;
                message[n].msg_hdr.msg_name = (void *) &t->to.sa;
                message[n].msg_hdr.msg_namelen = endpoint_len(&t->to);
                n++;
        }
        while (done < n) {
                int r = sendmmsg(s->fd, message + done, n - done, MSG_DONTWAIT);

                stats->sends++;
                if (r > 0) {
                        if (local.msg_controllen > message[done].msg_hdr.msg_controllen)
                                s->lost = t->to.local;
                        done += (unsigned) r;
                } else if (may_be_local(errno) && message[done].msg_hdr.msg_controllen > 0) {
                        for (unsigned i = done; i < n; i++)
                                message[i].msg_hdr.msg_controllen = 0;
                } else if (errno != EINTR) {
                        count_failed(s, t, n - done, errno);
                        return;
                }
        }
}

static size_t cut_size(const TxTrain *t) {
        return t->n > 1 ? CMSG_SPACE(sizeof t->segment) : 0;
}

static void prepare(const TxTrain *t, struct msghdr *m, SendControl *control) {
        *m = (struct msghdr){
                .msg_name = (void *) &t->to.sa,
                .msg_namelen = endpoint_len(&t->to),
                .msg_iov = (struct iovec *) t->iov,
                .msg_iovlen = t->n_iov,
        };
        if (t->n == 1 && !ip_is_set(&t->to.local))
                return;
        memset(control, 0, sizeof *control);
        if (t->n > 1)
                append(m, control, IPPROTO_UDP, UDP_SEGMENT, &t->segment, sizeof t->segment);
        append_local(m, control, &t->to);
}

/* The train at the head could not be sent. Return: true to try again. */
static bool give_way(UdpSocket *s, const TxTrain *t, struct msghdr *m, int error) {
        if (error == EINTR)
                return true;
        if (error == EIO && t->n > 1) {
                /* udp(7): the device cannot sum checksums, so cannot cut either. */
                s->segment = false;
                return true;
        }
        if (may_be_local(error) && m->msg_controllen > cut_size(t)) {
                m->msg_controllen = cut_size(t);
                return true;
        }
        return false;
}

static bool goes_single(const UdpSocket *s, const TxTrain *t) {
        return t->n > 1 && (!s->segment || t->single);
}

/* How many of @n, from the first on, may leave by one call. */
static unsigned together(const UdpSocket *s, const TxTrain *trains, unsigned n) {
        unsigned k = 1;

        while (k < n && !goes_single(s, &trains[k]))
                k++;
        return k;
}

void udp_socket_send(UdpSocket *s, const TxTrain *trains, unsigned n, UdpStats *stats) {
        struct mmsghdr message[TX_TRAINS_MAX];
        SendControl control[TX_TRAINS_MAX];
        size_t whole[TX_TRAINS_MAX]; /* control message */
        unsigned done = 0;

        assert(n <= TX_TRAINS_MAX);
        for (unsigned i = 0; i < n; i++) {
                prepare(&trains[i], &message[i].msg_hdr, &control[i]);
                whole[i] = message[i].msg_hdr.msg_controllen;
        }
        while (done < n) {
                const TxTrain *t = &trains[done];
                struct msghdr *m = &message[done].msg_hdr;
                int r;

                if (goes_single(s, t)) {
                        send_single(s, t, stats);
                        done++;
                        continue;
                }
                r = sendmmsg(s->fd, message + done, together(s, t, n - done), MSG_DONTWAIT);
                stats->sends++;
                if (r > 0) {
                        if (m->msg_controllen < whole[done])
                                s->lost = t->to.local;
                        done += (unsigned) r;
                } else if (!give_way(s, t, m, errno)) {
                        count_failed(s, t, t->n, errno);
                        done++;
                }
        }
}

/* @without_local: bytes of its control messages but the one that says where it leaves from. */
static int send_message(int fd, struct msghdr *m, size_t without_local) {
        if (sendmsg(fd, m, MSG_DONTWAIT) >= 0)
                return 0;
        if (!may_be_local(errno) || m->msg_controllen == without_local)
                return -errno;
        m->msg_controllen = without_local;
        return sendmsg(fd, m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

int udp_socket_send_one(int fd, const Endpoint *to, const uint8_t *data, size_t len) {
        uint8_t header[RELAY_HEADER_SIZE];
        struct iovec iov[] = { { header, sizeof header }, { (void *) data, len } };
        bool relayed = endpoint_is_relayed(to);
        SendControl control = {};
        struct msghdr m = {
                .msg_name = (void *) &to->sa,
                .msg_namelen = endpoint_len(to),
                .msg_iov = relayed ? iov : iov + 1,
                .msg_iovlen = relayed ? 2 : 1,
        };

        if (relayed)
                relayed_write(header, to->relay);
        append_local(&m, &control, to);
        return send_message(fd, &m, 0);
}

int udp_socket_send_train(int fd, const Endpoint *to, const uint8_t *data, uint16_t len, unsigned n) {
        struct iovec iov = { (void *) data, (size_t) len * n };
        SendControl control = {};
        struct msghdr m = {
                .msg_name = (void *) &to->sa,
                .msg_namelen = endpoint_len(to),
                .msg_iov = &iov,
                .msg_iovlen = 1,
        };

        append(&m, &control, IPPROTO_UDP, UDP_SEGMENT, &len, sizeof len);
        append_local(&m, &control, to);
        return send_message(fd, &m, CMSG_SPACE(sizeof len));
}
