/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Packets into lwIP. TCP's bytes stay where they are: a pbuf points into the batch. What lwIP
 * still holds at the end of the batch, segments out of order, gets memory of its own then, and
 * what pointed into the packet is moved along: the pbuf's payload, and the pointer to the TCP
 * header lwIP keeps beside it. Everything else is small or rare and copied at once: fragments,
 * UDP, ICMP.
 */

#include <netinet/in.h>
#include <string.h>

#include "base/macros.h"
#include <lwip/ip.h>
#include <lwip/ip6.h>
#include <lwip/priv/tcp_priv.h>
#include "netif/netstack-lwip-internal.h"

/* IPV6_REASS_MAXAGE, the longer of the two families'. */
#define REASSEMBLY_MAX_USEC (62 * USEC_PER_SEC)
#define IPPROTO_FRAGMENT_HEADER 44

typedef struct LwipBorrowed {
        struct pbuf_custom custom; /* first: lwIP frees it by this */
        LwipStack *stack;
        GList link; /* in stack->borrowed while the bytes are the batch's */
        uint8_t *base;
        size_t len;
        uint8_t *owned; /* copy; NULL while borrowed */
} LwipBorrowed;

static void borrowed_free(struct pbuf *p) {
        LwipBorrowed *b = (LwipBorrowed *) p;

        if (b->owned)
                g_free(b->owned);
        else
                g_queue_unlink(&b->stack->borrowed, &b->link);
        g_free(b);
}

static struct pbuf *borrow(LwipStack *s, const struct iovec *iov) {
        LwipBorrowed *b = NEW(LwipBorrowed);

        b->stack = s;
        b->base = iov->iov_base;
        b->len = iov->iov_len;
        b->link.data = b;
        b->custom.custom_free_function = borrowed_free;
        g_queue_push_tail_link(&s->borrowed, &b->link);
        return pbuf_alloced_custom(
                        PBUF_RAW, (u16_t) b->len, PBUF_REF, &b->custom, b->base, (u16_t) b->len);
}

/* Gives a pbuf memory of its own. @header: another pointer into it, or NULL. */
static void take_over(LwipBorrowed *b, struct tcp_hdr **header) {
        struct pbuf *p = &b->custom.pbuf;
        uint8_t *from = b->base;

        b->owned = g_memdup2(b->base, b->len);
        b->base = b->owned;
        g_queue_unlink(&b->stack->borrowed, &b->link);
        p->payload = b->owned + ((uint8_t *) p->payload - from);
        if (header && (uint8_t *) *header >= from && (uint8_t *) *header < from + b->len)
                *header = (struct tcp_hdr *) (b->owned + ((uint8_t *) *header - from));
}

void lwip_input_end(LwipStack *s) {
        /* In order: to the callers, or into their backlogs. */
        for (GList *l = s->ready.head, *next; l && s->borrowed.length > 0; l = next) {
                LwipStream *stream = l->data;

                next = l->next;
                if (stream->n_arrived > 0)
                        lwip_stream_flush(stream);
        }
        if (s->borrowed.length == 0)
                return;
        for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
                for (struct tcp_seg *seg = pcb->ooseq; seg; seg = seg->next)
                        for (struct pbuf *p = seg->p; p; p = p->next) {
                                LwipBorrowed *b = (LwipBorrowed *) p;

                                if ((p->flags & PBUF_FLAG_IS_CUSTOM) && !b->owned)
                                        take_over(b, &seg->tcphdr);
                        }
        while (s->borrowed.head)
                take_over(s->borrowed.head->data, NULL);
}

static bool may_borrow(const PacketOut *p) {
        const uint8_t *ip = p->iov[0].iov_base;

        if (p->iov[0].iov_len < IP6_HLEN)
                return false;
        if (ip[0] >> 4 == 4)
                return ip[9] == IPPROTO_TCP && (read_be16(ip + 6) & 0x3fff) == 0;
        return ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP;
}

static bool pcb_is_for(const struct tcp_pcb *pcb, const uint8_t *ip, const uint8_t *tcp) {
        bool v6 = ip[0] >> 4 == 6;

        if (pcb->remote_port != read_be16(tcp) || pcb->local_port != read_be16(tcp + 2) ||
            IP_IS_V6_VAL(pcb->remote_ip) != v6)
                return false;
        return v6 ? memcmp(ip_2_ip6(&pcb->remote_ip)->addr, ip + 8, 16) == 0
                  : memcmp(&ip_2_ip4(&pcb->remote_ip)->addr, ip + 12, 4) == 0;
}

/* A peer opens a connection from the port of an old one that is in TIME-WAIT here: allowed if its
 * numbers go on above the old ones (RFC 1122, 4.2.2.13). lwIP answers with an acknowledgement of
 * the old connection, which a kernel that forgot it cannot use: the dial would hang. */
static void end_time_wait(const PacketOut *p) {
        const uint8_t *ip = p->iov[0].iov_base, *tcp;
        size_t header = ip[0] >> 4 == 4 ? (size_t) (ip[0] & 0xf) * 4 : IP6_HLEN;

        tcp = ip + header;
        if (p->iov[0].iov_len < header + TCP_HLEN ||
            (tcp[13] & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
                return;
        for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next)
                if (pcb_is_for(pcb, ip, tcp)) {
                        if (TCP_SEQ_GT(read_be32(tcp + 4), pcb->rcv_nxt))
                                tcp_abort(pcb);
                        return;
                }
}

static bool is_fragment(const PacketOut *p) {
        const uint8_t *ip = p->iov[0].iov_base;

        if (p->iov[0].iov_len < IP_HLEN)
                return false;
        if (ip[0] >> 4 == 4)
                return (read_be16(ip + 6) & 0x3fff) != 0;
        return ip[0] >> 4 == 6 && ip[6] == IPPROTO_FRAGMENT_HEADER;
}

static struct pbuf *copy(const PacketOut *p, size_t len) {
        struct pbuf *q = pbuf_alloc(PBUF_RAW, (u16_t) len, PBUF_RAM);
        size_t at = 0;

        if (!q)
                return NULL;
        for (unsigned i = 0; i < p->n_iov; i++) {
                memcpy((uint8_t *) q->payload + at, p->iov[i].iov_base, p->iov[i].iov_len);
                at += p->iov[i].iov_len;
        }
        return q;
}

void lwip_input_packet(LwipStack *s, const PacketOut *p) {
        struct pbuf *q = NULL;
        size_t len = 0;

        for (unsigned i = 0; i < p->n_iov; i++)
                len += p->iov[i].iov_len;
        if (len == 0 || len > UINT16_MAX)
                return;
        if (may_borrow(p)) {
                end_time_wait(p);
                q = borrow(s, &p->iov[0]);
                /* From the back: pbuf_cat() walks. */
                for (unsigned i = p->n_iov - 1; i > 0; i--) {
                        struct pbuf *part = borrow(s, &p->iov[i]);

                        if (q->next) {
                                pbuf_cat(part, q->next);
                                q->next = NULL;
                                q->tot_len = q->len;
                        }
                        pbuf_cat(q, part);
                }
        } else {
                if (is_fragment(p))
                        s->reassembly_until = lwip_now() + REASSEMBLY_MAX_USEC;
                q = copy(p, len);
        }
        if (q && s->lwip.input(q, &s->lwip) != ERR_OK)
                pbuf_free(q);
}
