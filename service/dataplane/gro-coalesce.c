/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/gro-coalesce.h"

#include <string.h>

#include "dataplane/checksum.h"

#define TCP_FLAG_ECE 0x40U

/* What gro_add() knows of the packet in its hands. */
typedef struct Candidate {
        uint8_t *ip, *l4;
        const PacketView *v;
        uint32_t hash;
        uint16_t header_len;
        uint32_t payload_len;
        bool partial;
        bool mergeable; /* with others of its flow */
        bool ends;      /* its super-packet ends with it */
} Candidate;

static uint32_t flow_hash(const Candidate *c) {
        const uint8_t *a = c->v->version == 4 ? c->ip + IPV4_SOURCE_OFFSET
                                              : c->ip + IPV6_DESTINATION_OFFSET - 4;
        const uint8_t *b = c->v->version == 4 ? c->ip + IPV4_DESTINATION_OFFSET
                                              : c->ip + IPV6_HEADER_SIZE - 4;

        /* A hint that saves comparing; who makes it collide gains nothing but comparisons. */
        return read_be32(c->l4) * 2654435761U ^ read_be32(a) * 40503U ^ read_be32(b);
}

static bool is_mergeable(const GroBatch *g, const Candidate *c) {
        if (c->payload_len == 0)
                return false;
        if (c->v->version == 4 && csum_fold(csum_bytes(c->ip, IPV4_HEADER_MIN, 0)) != 0xffff)
                return false;
        if (c->v->protocol == IPPROTO_UDP)
                return g->udp && read_be16(c->l4 + UDP_LENGTH_OFFSET) == c->v->length - c->v->l4 &&
                       (c->partial || csum_load(c->l4 + UDP_CSUM_OFFSET) != 0);
        return g->tcp && (c->l4[TCP_FLAGS_OFFSET] & ~(TCP_FLAG_FIN | TCP_FLAG_PSH | TCP_FLAG_ECE)) ==
                                         TCP_FLAG_ACK;
}

static bool same_flow(const GroBatch *g, const GroFlow *f, const Candidate *c) {
        const uint8_t *ip = g->out[f->out].iov[0].iov_base;

        if (f->hash != c->hash || f->protocol != c->v->protocol || f->version != c->v->version ||
            memcmp(ip + f->l4, c->l4, 4) != 0)
                return false;
        return f->version == 4 ? memcmp(ip + IPV4_SOURCE_OFFSET, c->ip + IPV4_SOURCE_OFFSET, 8) == 0
                               : memcmp(ip + IPV6_SOURCE_OFFSET, c->ip + IPV6_SOURCE_OFFSET, 32) == 0;
}

static bool ip_headers_agree(const uint8_t *a, const GroFlow *f, const Candidate *c) {
        const uint8_t *b = c->ip;

        if (f->version == 6)
                /* version, traffic class, flow label; next header, hop limit */
                return memcmp(a, b, 4) == 0 &&
                       memcmp(a + IPV6_NEXT_HEADER_OFFSET, b + IPV6_NEXT_HEADER_OFFSET, 2) == 0;
        if (memcmp(a, b, 2) != 0 ||
            memcmp(a + IPV4_FRAGMENT_OFFSET, b + IPV4_FRAGMENT_OFFSET, 2) != 0 ||
            a[IPV4_TTL_OFFSET] != b[IPV4_TTL_OFFSET])
                return false;
        return (read_be16(b + IPV4_FRAGMENT_OFFSET) & IPV4_FRAGMENT_DF) != 0 ||
               read_be16(b + IPV4_ID_OFFSET) == f->next_id;
}

static bool tcp_headers_agree(const uint8_t *a, const GroFlow *f, const Candidate *c) {
        const uint8_t ends = TCP_FLAG_FIN | TCP_FLAG_PSH;
        const uint8_t *b = c->l4;

        return read_be32(b + TCP_SEQ_OFFSET) == f->next_seq &&
               memcmp(a + TCP_ACK_OFFSET, b + TCP_ACK_OFFSET, 4) == 0 &&
               a[TCP_DATA_OFFSET] == b[TCP_DATA_OFFSET] &&
               ((a[TCP_FLAGS_OFFSET] ^ b[TCP_FLAGS_OFFSET]) & ~ends) == 0 &&
               memcmp(a + TCP_WINDOW_OFFSET, b + TCP_WINDOW_OFFSET, 2) == 0 &&
               memcmp(a + TCP_URGENT_OFFSET, b + TCP_URGENT_OFFSET,
                      f->header_len - f->l4 - TCP_URGENT_OFFSET) == 0;
}

/* Return: false if this segment, or the one the super-packet began with, is damaged. */
static bool csums_ok(const GroBatch *g, GroFlow *f, const Candidate *c) {
        if (!f->verified) {
                const uint8_t *ip = g->out[f->out].iov[0].iov_base;
                PacketView v;

                f->verified = packet_parse(ip, g->out[f->out].iov[0].iov_len, &v) &&
                              packet_l4_csum_ok(ip, &v);
        }
        return f->verified && (c->partial || packet_l4_csum_ok(c->ip, c->v));
}

static bool try_merge(GroBatch *g, GroFlow *f, const Candidate *c) {
        PacketOut *out = &g->out[f->out];
        uint8_t *ip = out->iov[0].iov_base;

        if (!c->mergeable || f->header_len != c->header_len || c->payload_len > f->size ||
            f->header_len + f->payload_len + c->payload_len > PACKET_LENGTH_MAX ||
            out->n_iov == PACKET_OUT_IOV_MAX || !ip_headers_agree(ip, f, c) ||
            (f->protocol == IPPROTO_TCP && !tcp_headers_agree(ip + f->l4, f, c)) ||
            !csums_ok(g, f, c))
                return false;
        out->iov[out->n_iov++] = (struct iovec){ c->ip + c->header_len, c->payload_len };
        f->payload_len += c->payload_len;
        f->next_seq += c->payload_len;
        f->next_id++;
        if (f->protocol == IPPROTO_TCP)
                ip[f->l4 + TCP_FLAGS_OFFSET] |= c->l4[TCP_FLAGS_OFFSET];
        return true;
}

/* Makes the header that of the whole; the flow's super-packet is done. */
static void close_flow(GroBatch *g, unsigned i) {
        const GroFlow *f = &g->flow[i];
        PacketOut *out = &g->out[f->out];
        uint8_t *ip = out->iov[0].iov_base;
        uint32_t length = f->header_len + f->payload_len;
        PacketView v = { .version = f->version, .protocol = f->protocol, .l4 = f->l4 };

        if (out->n_iov > 1) {
                if (f->version == 4) {
                        write_be16(ip + IPV4_LENGTH_OFFSET, (uint16_t) length);
                        memset(ip + IPV4_CSUM_OFFSET, 0, 2);
                        csum_store(ip + IPV4_CSUM_OFFSET, csum_bytes(ip, IPV4_HEADER_MIN, 0));
                } else
                        write_be16(ip + IPV6_LENGTH_OFFSET, (uint16_t) (length - IPV6_HEADER_SIZE));
                if (f->protocol == IPPROTO_UDP)
                        write_be16(ip + f->l4 + UDP_LENGTH_OFFSET, (uint16_t) (length - f->l4));
                csum_store_partial(
                                ip + f->l4 + l4_csum_offset(f->protocol),
                                csum_add_be16(packet_pseudo_sum(ip, &v), (uint16_t) (length - f->l4)));
                out->offload = (OffloadInfo){
                        .gso_type = f->protocol == IPPROTO_UDP ? GSO_UDP
                                    : f->version == 4          ? GSO_TCPV4
                                                               : GSO_TCPV6,
                        .needs_csum = true,
                        .csum_start = f->l4,
                        .csum_offset = (uint16_t) l4_csum_offset(f->protocol),
                        .gso_size = f->size,
                        .hdr_len = f->header_len,
                };
        }
        g->n_flows--;
        memmove(&g->flow[i], &g->flow[i + 1], (g->n_flows - i) * sizeof g->flow[0]);
}

static void open_flow(GroBatch *g, unsigned out, const Candidate *c) {
        GroFlow f = {
                .hash = c->hash,
                .protocol = c->v->protocol,
                .version = c->v->version,
                .verified = c->partial,
                .out = (uint16_t) out,
                .l4 = c->v->l4,
                .header_len = c->header_len,
                .size = (uint16_t) c->payload_len,
                .payload_len = c->payload_len,
        };

        if (f.version == 4)
                f.next_id = (uint16_t) (read_be16(c->ip + IPV4_ID_OFFSET) + 1);
        if (f.protocol == IPPROTO_TCP)
                f.next_seq = read_be32(c->l4 + TCP_SEQ_OFFSET) + c->payload_len;
        if (g->n_flows == GRO_FLOWS_MAX)
                close_flow(g, GRO_FLOWS_MAX - 1);
        memmove(&g->flow[1], &g->flow[0], g->n_flows * sizeof g->flow[0]);
        g->flow[0] = f;
        g->n_flows++;
}

static unsigned append(GroBatch *g, uint8_t *packet, const PacketView *v, bool partial) {
        PacketOut *out = &g->out[g->n];

        out->iov[0] = (struct iovec){ packet, v->length };
        out->n_iov = 1;
        out->offload = (OffloadInfo){};
        if (partial) {
                out->offload.needs_csum = true;
                out->offload.csum_start = v->l4;
                out->offload.csum_offset = (uint16_t) l4_csum_offset(v->protocol);
        }
        return g->n++;
}

void gro_add(GroBatch *g, uint8_t *packet, const PacketView *v, bool partial) {
        size_t l4_header = packet_l4_header_size(packet, v);
        Candidate c = { .ip = packet, .l4 = packet + v->l4, .v = v, .partial = partial };
        unsigned i, out;

        if (l4_header == 0) {
                append(g, packet, v, partial);
                return;
        }
        c.header_len = (uint16_t) (v->l4 + l4_header);
        c.payload_len = v->length - c.header_len;
        c.hash = flow_hash(&c);
        c.mergeable = is_mergeable(g, &c);
        c.ends = v->protocol == IPPROTO_TCP &&
                 (c.l4[TCP_FLAGS_OFFSET] & (TCP_FLAG_FIN | TCP_FLAG_PSH));

        for (i = 0; i < g->n_flows; i++)
                if (same_flow(g, &g->flow[i], &c))
                        break;
        if (i < g->n_flows) {
                GroFlow *f = &g->flow[i];

                if (try_merge(g, f, &c)) {
                        if (c.ends || c.payload_len < f->size)
                                close_flow(g, i);
                        else if (i > 0) {
                                GroFlow latest = *f;

                                memmove(&g->flow[1], &g->flow[0], i * sizeof *f);
                                g->flow[0] = latest;
                        }
                        return;
                }
                close_flow(g, i);
        }
        out = append(g, packet, v, partial);
        if (c.mergeable && !c.ends)
                open_flow(g, out, &c);
}

void gro_finish(GroBatch *g) {
        while (g->n_flows > 0)
                close_flow(g, g->n_flows - 1);
}
