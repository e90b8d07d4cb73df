/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Packets out of lwIP, into the arena. Consecutive full segments of one connection become one
 * packet with offload metadata, as a kernel hands them to a device that segments (TSO): what comes
 * after looks up, writes, and wakes once for all of them. lwIP knows nothing of it.
 */

#include <netinet/in.h>
#include <string.h>

#include <lwip/prot/tcp.h>

#include "base/macros.h"
#include "netif/netstack-lwip-internal.h"

#define IP4_HEADER_LEN 20U /* lwIP sends no options */
#define IP6_HEADER_LEN 40U
/* Checksum fields, from the L4 header. */
#define TCP_CHECKSUM_OFFSET 16U
#define UDP_CHECKSUM_OFFSET 6U
#define TCP_FLAGS_OFFSET 13U
#define OUTPUT_ALIGN 16U
#define SUPER_PACKET_MAX 65535U /* an IPv4 packet's length field */

/* RFC 1071, not complemented. */
static uint16_t sum_words(const uint8_t *b, size_t len, uint32_t sum) {
        for (size_t i = 0; i < len; i += 2)
                sum += read_be16(b + i);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) ((sum & 0xffff) + (sum >> 16));
}

static bool is_v4(const uint8_t *ip) {
        return ip[0] >> 4 == 4;
}

static size_t header_len(const uint8_t *ip) {
        return is_v4(ip) ? IP4_HEADER_LEN : IP6_HEADER_LEN;
}

/* TCP or UDP with its header, not a fragment; 0 else. */
static uint8_t protocol_of(const uint8_t *ip, size_t len) {
        uint8_t protocol = is_v4(ip) ? ip[9] : ip[6];

        if (is_v4(ip) && (ip[0] != 0x45 || (read_be16(ip + 6) & 0x3fff) != 0))
                return 0;
        if (protocol == IPPROTO_TCP && len >= header_len(ip) + TCP_HLEN)
                return protocol;
        return protocol == IPPROTO_UDP && len >= header_len(ip) + 8 ? protocol : 0;
}

/* lwIP leaves TCP's and UDP's checksum out; the packet says so, and holds what hardware starts
 * from: the sum of the pseudo header. Fragments have one that was computed before the cut. */
static void leave_checksum(PacketIn *p) {
        uint8_t *ip = p->data, protocol = protocol_of(ip, p->len);
        size_t at = header_len(ip), addresses = is_v4(ip) ? 12 : 8;
        size_t offset = protocol == IPPROTO_TCP ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;

        if (protocol == 0)
                return;
        write_be16(ip + at + offset,
                   sum_words(ip + addresses, at - addresses, protocol + (uint32_t) (p->len - at)));
        p->offload.needs_csum = true;
        p->offload.csum_start = (uint16_t) at;
        p->offload.csum_offset = (uint16_t) offset;
}

/* The bytes of @q's headers that must not differ from @p's: all but lengths, IPv4 id and sums,
 * sequence number, flags. */
static bool same_flow(const uint8_t *p, const uint8_t *q, size_t at, size_t tcp_len) {
        const uint8_t *a = p + at, *b = q + at;

        if (is_v4(p) ? memcmp(p, q, 2) != 0 || memcmp(p + 6, q + 6, 4) != 0 ||
                                            memcmp(p + 12, q + 12, 8) != 0
                     : memcmp(p, q, 4) != 0 || memcmp(p + 6, q + 6, 34) != 0)
                return false;
        return memcmp(a, b, 4) == 0 && memcmp(a + 8, b + 8, 5) == 0 &&
               memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 18, b + 18, tcp_len - 18) == 0;
}

/* Appends @q, which lies behind the last packet of the arena, to it. Return: false if it is not
 * the next full segment of the same connection. */
static bool merge(LwipArena *a, const uint8_t *q, size_t len) {
        PacketIn *p = &a->packet[a->n - 1];
        size_t at = header_len(q), tcp_len, headers, payload, before;
        uint8_t *ip = p->data;

        if (p->len <= at || ip[0] >> 4 != q[0] >> 4 || protocol_of(ip, p->len) != IPPROTO_TCP ||
            protocol_of(q, len) != IPPROTO_TCP)
                return false;
        tcp_len = (size_t) (q[at + 12] >> 4) * 4;
        headers = at + tcp_len;
        if (len <= headers || p->len <= headers || p->len + len - headers > SUPER_PACKET_MAX)
                return false;
        payload = len - headers;
        before = p->len - headers;
        /* The first says how long all are but the last; that may also carry PSH and FIN. */
        if (p->offload.gso_type == GSO_NONE) {
                if (payload > before)
                        return false;
        } else if (before % p->offload.gso_size != 0 || payload > p->offload.gso_size) {
                return false;
        }
        if (ip[at + TCP_FLAGS_OFFSET] != TCP_ACK ||
            (q[at + TCP_FLAGS_OFFSET] & (uint8_t) ~(TCP_PSH | TCP_FIN)) != TCP_ACK ||
            read_be32(q + at + 4) != (uint32_t) (read_be32(ip + at + 4) + before) ||
            !same_flow(ip, q, at, tcp_len))
                return false;

        /* The payload moves over @q's own header. */
        ip[at + TCP_FLAGS_OFFSET] |= q[at + TCP_FLAGS_OFFSET];
        memmove(ip + p->len, q + headers, payload);
        if (p->offload.gso_type == GSO_NONE)
                p->offload.gso_size = (uint16_t) before;
        p->offload.gso_type = is_v4(ip) ? GSO_TCPV4 : GSO_TCPV6;
        p->offload.hdr_len = (uint16_t) headers;
        p->len += payload;
        if (is_v4(ip)) {
                write_be16(ip + 2, (uint16_t) p->len);
                write_be16(ip + 10, 0);
                write_be16(ip + 10, (uint16_t) ~sum_words(ip, IP4_HEADER_LEN, 0));
        } else {
                write_be16(ip + 4, (uint16_t) (p->len - IP6_HEADER_LEN));
        }
        leave_checksum(p);
        return true;
}

static err_t output(struct netif *n, struct pbuf *p) {
        LwipStack *s = n->state;
        LwipArena *a = &s->arena[s->filling];
        uint8_t *at = a->bytes + a->used;

        /* TCP keeps the segment and is asked again when the arena was read. */
        if (a->n == OUTPUT_PACKETS_MAX || OUTPUT_BYTES_MAX - a->used < p->tot_len) {
                s->output_full = true;
                return ERR_MEM;
        }
        pbuf_copy_partial(p, at, p->tot_len, 0);
        if (a->n == 0 || !merge(a, at, p->tot_len)) {
                a->packet[a->n] = (PacketIn){ .data = at, .len = p->tot_len };
                leave_checksum(&a->packet[a->n++]);
        }
        a->used = (size_t) (a->packet[a->n - 1].data - a->bytes) + a->packet[a->n - 1].len;
        a->used = (a->used + OUTPUT_ALIGN - 1) / OUTPUT_ALIGN * OUTPUT_ALIGN;
        lwip_wake(s);
        return ERR_OK;
}

err_t lwip_output4(struct netif *n, struct pbuf *p, const ip4_addr_t *to) {
        return output(n, p);
}

err_t lwip_output6(struct netif *n, struct pbuf *p, const ip6_addr_t *to) {
        return output(n, p);
}
