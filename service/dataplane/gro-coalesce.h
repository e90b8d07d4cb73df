/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Theory of operation
 *
 * Packets of one receive batch, decrypted in place, become few packets for the interface:
 * consecutive segments of a TCP flow, and datagrams of a UDP flow, are gathered into one GSO
 * super-packet, header of the first and payloads of all, without copying. The kernel then walks
 * its stack once for up to 64 KiB instead of once for each 1.4 KiB.
 *
 * Several flows are gathered at once, so that two interleaved ones do not undo each other. The
 * order of packets within a flow never changes: whatever cannot be appended to its flow's open
 * super-packet closes that one and comes after it.
 *
 * Merged is only what a sender could have sent as one super-packet and what, cut again, gives
 * the same packets (what Linux' own GRO asks, net/ipv4/af_inet.c, net/ipv4/tcp_offload.c):
 *  - same addresses, ports, TOS or traffic class (so ECN marks stay where they are), flow label,
 *    TTL, DF; no IPv4 options, no extension headers, no fragments; IPv4 id counting up by 1
 *    unless DF makes it meaningless (RFC 6864);
 *  - the same payload size for all but the last, which may be shorter;
 *  - TCP: next sequence number; same acknowledgement, window, options, flags; only ACK and ECE
 *    besides FIN and PSH, which end the super-packet; never without payload;
 *  - UDP: same size only, that is what a receiver of datagrams can tell.
 *
 * Checksums: a super-packet is handed over as NEEDS_CSUM, which tells the kernel that the
 * payload is as the sender meant it. For segments that arrived with CSUM_PARTIAL that is so: the
 * sending kernel left the sum open and the AEAD protected them since. A segment with a full
 * checksum may have been damaged before it reached the sending daemon (a member that forwards
 * for another host), so its checksum is verified before it is merged; if it is wrong, the packet
 * goes on alone, as it is, for the kernel to find out.
 */

#include "dataplane/packet.h"
#include "netif/netif.h"

/* Packets gathered before they must be written. */
#define GRO_PACKETS_MAX 32U
/* Flows open at once; more than run at full speed at the same time behind one interface. */
#define GRO_FLOWS_MAX 8U

typedef struct GroFlow {
        uint32_t hash; /* of addresses and ports */
        uint8_t protocol;
        uint8_t version;
        bool verified; /* checksum is right, or was left open */
        uint16_t out;  /* index of its PacketOut */
        uint16_t l4, header_len;
        uint16_t size;        /* payload of the first */
        uint16_t next_id;     /* IPv4 */
        uint32_t next_seq;    /* TCP */
        uint32_t payload_len; /* so far */
} GroFlow;

typedef struct GroBatch {
        bool tcp, udp; /* what the interface takes */
        unsigned n, n_flows;
        GroFlow flow[GRO_FLOWS_MAX]; /* open ones, latest used first */
        PacketOut out[GRO_PACKETS_MAX];
} GroBatch;

static inline bool gro_is_full(const GroBatch *g) {
        return g->n == GRO_PACKETS_MAX;
}
/**
 * gro_add() - appends one packet; the batch is not full
 * @packet: stays the caller's, and must stay until the batch was written; its header is changed
 * @v: of @packet, by packet_parse()
 * @partial: its checksum is open (and it is plain TCP or UDP)
 */
void gro_add(GroBatch *g, uint8_t *packet, const PacketView *v, bool partial);
/* After this g->out[0..g->n) can be written; then gro_reset(). */
void gro_finish(GroBatch *g);
static inline void gro_reset(GroBatch *g) {
        g->n = g->n_flows = 0;
}
