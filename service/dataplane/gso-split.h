/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a kernel left to "hardware", done: a super-packet is cut into packets of wire size, and a
 * checksum that must not stay open is filled in. Works in the super-packet's own buffer: the
 * header of each segment is written in front of its payload, over the end of the payload before,
 * which by then has been encrypted. So nothing but headers is copied.
 *
 * Checksums of plain TCP and UDP stay partial on the wire: the AEAD protects what they would, and
 * DATA_FLAG_CSUM_PARTIAL tells the other kernel (docs/protocol.md, "Type 4: data").
 *
 * The input comes from the local machine, but local programs may write what they like to a
 * packet socket, so its metadata is checked like anything foreign.
 */

#include "base/drop-reason.h"
#include "dataplane/packet.h"
#include "netif/netif.h"

/* IPv4 and TCP headers with all options are 120; IPv6 with a few extension headers fits. */
#define GSO_HEADER_MAX 256U
/* Linux makes no TCP segments smaller than this (TCP_MIN_GSO_SIZE), nor more datagrams of one
 * send (UDP_MAX_SEGMENTS). They bound the work one packet can cause. */
#define GSO_TCP_SIZE_MIN 8U
#define GSO_UDP_SEGMENTS_MAX 128U

typedef struct GsoSplit {
        uint8_t *packet;
        uint32_t header_len, payload_len, done;
        uint16_t size; /* payload bytes of every segment but the last */
        uint16_t l4;
        uint8_t version, protocol;
        bool partial; /* checksums stay open */
        uint16_t id;
        uint8_t tcp_flags;
        uint32_t seq;
        uint64_t ip_sum;     /* IPv4 header without length, id and checksum */
        uint64_t pseudo_sum; /* without the length */
        uint8_t header[GSO_HEADER_MAX];
} GsoSplit;

/**
 * gso_split_init() - checks a super-packet and makes ready to cut it
 * @in: offload.gso_type is not GSO_NONE; its buffer is overwritten by gso_split_next()
 * @v: of @in, by packet_parse()
 * Return: DROP_NONE or DROP_PACKET_MALFORMED.
 */
DropReason gso_split_init(GsoSplit *s, const PacketIn *in, const PacketView *v);
/**
 * gso_split_fit() - before the first gso_split_next(): no segment longer than @mtu
 * A TCP train is cut smaller, as its sender would have cut it, had it known. A train of UDP is not:
 * its datagrams are what they are.
 * Return: false: they do not fit.
 */
bool gso_split_fit(GsoSplit *s, uint16_t mtu);
/* Segments in all; at least 1. */
uint32_t gso_split_count(const GsoSplit *s);
/* Of the longest segment. */
static inline uint32_t gso_split_packet_max(const GsoSplit *s) {
        return s->header_len + MIN((uint32_t) s->size, s->payload_len);
}
/* The next segment, valid until the next call. Return: its length. */
size_t gso_split_next(GsoSplit *s, uint8_t **ret_packet);

/**
 * gso_finish_csum() - for a packet that is not GSO
 * Leaves a partial checksum open where the wire allows it, fills it in where not.
 * @ret_partial: whether it is open
 * Return: DROP_NONE or DROP_PACKET_MALFORMED.
 */
DropReason gso_finish_csum(const PacketIn *in, const PacketView *v, bool *ret_partial);
