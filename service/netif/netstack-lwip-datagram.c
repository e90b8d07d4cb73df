/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UDP associations and echo of the lwIP engine, and what ICMP says about dials. */

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macros.h"
#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/ip6.h>
#include "netif/netstack-lwip-internal.h"

#define UDP_PAYLOAD_MAX 65507U
#define UDP_HEADER_LEN 8U
/* Datagrams read from one association per event; the rest waits for the next read_batch(). */
#define UDP_BURST 32U
#define ECHO_HEADER_LEN 8U /* RFC 792, RFC 4443 4.1 */

/* Of RFC 792, RFC 1122 3.2.2.1, and RFC 4443, RFC 4861; the system's header has names that lwIP
 * takes. */
enum {
        ICMP4_ECHO_REPLY = 0,
        ICMP4_UNREACHABLE = 3,
        ICMP4_ECHO_REQUEST = 8,

        ICMP4_CODE_NET = 0,
        ICMP4_CODE_PORT = 3,
        ICMP4_CODE_TOO_BIG = 4,
        ICMP4_CODE_NET_UNKNOWN = 6,
        ICMP4_CODE_NET_PROHIBITED = 9,

        ICMPV6_UNREACHABLE = 1,
        ICMPV6_ECHO_REQUEST = 128,
        ICMPV6_ECHO_REPLY = 129,
        ICMPV6_ROUTER_SOLICIT = 133, /* the first of neighbour discovery */
        ICMPV6_REDIRECT = 137,       /* the last */

        ICMPV6_CODE_NO_ROUTE = 0,
        ICMPV6_CODE_PROHIBITED = 1,
        ICMPV6_CODE_PORT = 4,
};

typedef struct LwipUdp {
        LwipSource source;
        LwipStack *stack;
        struct udp_pcb *pcb;
        int fd;
} LwipUdp;

typedef struct LwipEcho {
        uint64_t call;
        IpAddr address;
        uint16_t sequence;
        usec_t sent;
} LwipEcho;

/* --- UDP --- */

static void udp_free(void *data) {
        LwipUdp *u = data;

        udp_remove(u->pcb);
        closep(&u->fd);
        g_free(u);
}

static void
on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port) {
        uint8_t header[NETSTACK_UDP_HEADER_SIZE] = {};
        struct iovec iov[8] = { { header, sizeof header } };
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = 1 };
        struct pbuf *whole = NULL;
        IpAddr address = lwip_ip_from(from);
        LwipUdp *u = arg;

        /* Reassembled of many fragments. */
        if (pbuf_clen(p) >= ELEMENTSOF(iov)) {
                whole = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
                if (!whole) {
                        pbuf_free(p);
                        return;
                }
        }
        header[0] = address.family == AF_INET6 ? 6 : 4;
        write_be16(header + 2, port);
        memcpy(header + 4, address.bytes, ip_size(&address));
        for (struct pbuf *q = whole ? whole : p; q; q = q->next)
                iov[m.msg_iovlen++] = (struct iovec){ q->payload, q->len };
        (void) sendmsg(u->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (whole)
                pbuf_free(whole);
        pbuf_free(p);
}

static void send_datagram(LwipUdp *u, const uint8_t *message, size_t len) {
        struct netif *n = &u->stack->lwip;
        bool fragments = len - NETSTACK_UDP_HEADER_SIZE + UDP_HEADER_LEN + IP6_HLEN > n->mtu;
        IpAddr to = { .family = message[0] == 6 ? AF_INET6 : AF_INET };
        struct pbuf *p;
        ip_addr_t a;

        memcpy(to.bytes, message + 4, ip_size(&to));
        if (lwip_ip_to(&to, &a) < 0)
                return;
        p = pbuf_alloc(PBUF_TRANSPORT, (u16_t) (len - NETSTACK_UDP_HEADER_SIZE), PBUF_RAM);
        if (!p)
                return;
        memcpy(p->payload, message + NETSTACK_UDP_HEADER_SIZE, len - NETSTACK_UDP_HEADER_SIZE);
        /* Nobody fills in the checksum of a packet in pieces. */
        if (fragments)
                n->chksum_flags |= NETIF_CHECKSUM_GEN_UDP;
        (void) udp_sendto(u->pcb, p, &a, read_be16(message + 2));
        n->chksum_flags &= (u16_t) ~NETIF_CHECKSUM_GEN_UDP;
        pbuf_free(p);
}

void lwip_udp_event(LwipSource *source) {
        LwipUdp *u = (LwipUdp *) source;

        for (unsigned i = 0; i < UDP_BURST; i++) {
                uint8_t message[NETSTACK_UDP_HEADER_SIZE + UDP_PAYLOAD_MAX];
                ssize_t n = recv(u->fd, message, sizeof message, MSG_DONTWAIT);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (n <= 0) {
                        g_hash_table_remove(u->stack->udp, u);
                        return;
                }
                if ((size_t) n >= NETSTACK_UDP_HEADER_SIZE && (message[0] == 4 || message[0] == 6))
                        send_datagram(u, message, (size_t) n);
        }
}

int lwip_udp_new(LwipStack *s, const LwipCommand *c) {
        LwipResult result = { .kind = NETSTACK_CALL_UDP, .id = c->id };
        LwipUdp *u;
        int pair[2], r;

        if (g_hash_table_size(s->udp) >= NETSTACK_STREAMS_MAX)
                return -EMFILE;
        r = fd_pair(SOCK_SEQPACKET, pair);
        if (r < 0)
                return r;
        u = NEW(LwipUdp);
        *u = (LwipUdp){
                .source.kind = LWIP_SOURCE_UDP,
                .stack = s,
                .pcb = udp_new_ip_type(IPADDR_TYPE_ANY),
                .fd = pair[1],
        };
        udp_recv(u->pcb, on_datagram, u);
        r = udp_bind(u->pcb, IP_ANY_TYPE, c->port) != ERR_OK ? -EADDRINUSE : 0;
        if (r >= 0)
                r = lwip_watch(s, EPOLL_CTL_ADD, u->fd, EPOLLIN, &u->source);
        if (r < 0) {
                udp_free(u);
                close(pair[0]);
                return r;
        }
        g_hash_table_add(s->udp, u);
        result.fd = pair[0];
        lwip_stack_post(s, &result);
        return 0;
}

/* --- echo --- */

int lwip_echo_new(LwipStack *s, const LwipCommand *c) {
        bool v6 = c->address.family == AF_INET6;
        size_t len = ECHO_HEADER_LEN + c->payload;
        struct pbuf *p;
        LwipEcho *e;
        ip_addr_t to;
        uint8_t *b;
        err_t error;

        if (lwip_ip_to(&c->address, &to) < 0)
                return -EAFNOSUPPORT;
        p = pbuf_alloc(PBUF_IP, (u16_t) len, PBUF_RAM);
        if (!p)
                return -ENOBUFS;
        b = p->payload;
        memset(b, 0, len);
        b[0] = v6 ? ICMPV6_ECHO_REQUEST : ICMP4_ECHO_REQUEST;
        write_be16(b + 4, s->echo_id);
        write_be16(b + 6, ++s->echo_sequence);
        /* Version 6's covers the pseudo header: raw.c fills it in. */
        if (!v6) {
                uint16_t sum = inet_chksum(b, (u16_t) len);

                memcpy(b + 2, &sum, sizeof sum);
        }
        e = NEW(LwipEcho);
        *e = (LwipEcho){
                .call = c->id,
                .address = c->address,
                .sequence = s->echo_sequence,
                .sent = lwip_now(),
        };
        g_hash_table_insert(s->echoes, &e->call, e);
        error = raw_sendto(v6 ? s->icmp6 : s->icmp, p, &to);
        pbuf_free(p);
        if (error != ERR_OK) {
                g_hash_table_remove(s->echoes, &c->id);
                return lwip_errno(error);
        }
        return 0;
}

static LwipEcho *find_echo(LwipStack *s, const IpAddr *address, uint16_t id, uint16_t sequence) {
        GHashTableIter i;
        void *value;

        if (id != s->echo_id)
                return NULL;
        g_hash_table_iter_init(&i, s->echoes);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                LwipEcho *e = value;

                if (e->sequence == sequence && ip_equal(&e->address, address))
                        return e;
        }
        return NULL;
}

static void echo_done(LwipStack *s, LwipEcho *e, int error, usec_t rtt) {
        LwipResult result = {
                .kind = NETSTACK_CALL_ECHO,
                .id = e->call,
                .fd = error,
                .rtt = rtt,
        };

        lwip_stack_post(s, &result);
        g_hash_table_remove(s->echoes, &e->call);
}

/* --- ICMP --- */

/* What Linux makes of it for a connection that is being opened (icmp_err_convert, RFC 1122
 * 4.2.3.9; RFC 4443 3.1). 0: nothing. */
static int error_of(bool v6, uint8_t type, uint8_t code) {
        if (!v6 && type == ICMP4_UNREACHABLE) {
                switch (code) {
                case ICMP4_CODE_NET:
                case ICMP4_CODE_NET_UNKNOWN:
                case ICMP4_CODE_NET_PROHIBITED:
                        return -ENETUNREACH;
                case ICMP4_CODE_PORT:
                        return -ECONNREFUSED;
                case ICMP4_CODE_TOO_BIG:
                        return 0;
                default:
                        return -EHOSTUNREACH;
                }
        }
        if (v6 && type == ICMPV6_UNREACHABLE)
                switch (code) {
                case ICMPV6_CODE_NO_ROUTE:
                        return -ENETUNREACH;
                case ICMPV6_CODE_PROHIBITED:
                        return -EACCES;
                case ICMPV6_CODE_PORT:
                        return -ECONNREFUSED;
                default:
                        return -EHOSTUNREACH;
                }
        return 0;
}

/* @b: the packet an error is about, as far as it was quoted. */
static void on_unreachable(LwipStack *s, bool v6, int error, const uint8_t *b, size_t len) {
        IpAddr to = { .family = v6 ? AF_INET6 : AF_INET };
        size_t header = v6 ? IP6_HLEN : (size_t) (b[0] & 0xf) * 4;
        uint8_t protocol;
        const uint8_t *l4;

        if (len < (v6 ? IP6_HLEN : IP_HLEN) || len < header + 8)
                return;
        protocol = v6 ? b[6] : b[9];
        memcpy(to.bytes, v6 ? b + 24 : b + 16, ip_size(&to));
        l4 = b + header;
        if (protocol == IPPROTO_TCP) {
                LwipStream *dial = lwip_stream_find_dial(s, &to, read_be16(l4 + 2), read_be16(l4));

                if (dial)
                        lwip_stream_dial_end(dial, error);
        } else if (protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
                LwipEcho *e = find_echo(s, &to, read_be16(l4 + 4), read_be16(l4 + 6));

                if (e)
                        echo_done(s, e, error, USEC_INFINITY);
        }
}

/* Sees every ICMP packet before lwIP. Return: 1 if it is not for lwIP. */
static u8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from) {
        LwipStack *s = arg;
        const uint8_t *b = p->payload;
        size_t header, len = p->len;
        IpAddr address = lwip_ip_from(from);
        bool v6 = address.family == AF_INET6;
        uint8_t type;
        int error;

        header = v6 ? IP6_HLEN : (size_t) (b[0] & 0xf) * 4;
        /* With extension headers it is nothing we asked for. */
        if (len < header + ECHO_HEADER_LEN || (v6 && b[6] != IPPROTO_ICMPV6))
                return 0;
        b += header;
        len -= header;
        type = b[0];
        if (type == (v6 ? ICMPV6_ECHO_REPLY : ICMP4_ECHO_REPLY)) {
                LwipEcho *e = find_echo(s, &address, read_be16(b + 4), read_be16(b + 6));

                if (e)
                        echo_done(s, e, 0, usec_sub(lwip_now(), e->sent));
        }
        error = error_of(v6, type, b[1]);
        if (error < 0)
                on_unreachable(s, v6, error, b + ECHO_HEADER_LEN, len - ECHO_HEADER_LEN);
        /* There are no neighbours here to be discovered, no router and no redirect. */
        if (v6 && type >= ICMPV6_ROUTER_SOLICIT && type <= ICMPV6_REDIRECT) {
                pbuf_free(p);
                return 1;
        }
        return 0;
}

/* --- life --- */

int lwip_datagram_open(LwipStack *s) {
        s->udp = g_hash_table_new_full(NULL, NULL, udp_free, NULL);
        s->echoes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
        s->echo_id = (uint16_t) LWIP_RAND();
        s->icmp = raw_new_ip_type(IPADDR_TYPE_V4, IPPROTO_ICMP);
        s->icmp6 = raw_new_ip_type(IPADDR_TYPE_V6, IPPROTO_ICMPV6);
        if (!s->icmp || !s->icmp6)
                return -ENOBUFS;
        raw_recv(s->icmp, on_icmp, s);
        raw_recv(s->icmp6, on_icmp, s);
        s->icmp6->chksum_reqd = 1;
        s->icmp6->chksum_offset = 2;
        return 0;
}

void lwip_datagram_close(LwipStack *s) {
        g_clear_pointer(&s->udp, g_hash_table_unref);
        g_clear_pointer(&s->echoes, g_hash_table_unref);
        g_clear_pointer(&s->icmp, raw_remove);
        g_clear_pointer(&s->icmp6, raw_remove);
}
