/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From the interface to the network: route, cut what is too long for the wire, encrypt each
 * packet straight into the send buffer.
 */

#include "core/wire/relayed.h"
#include "dataplane/gso-split.h"
#include "dataplane/mss-clamp.h"
#include "dataplane/packet-router-internal.h"

/* A key this near its end is to be replaced, should the control thread not know it is needed:
 * the time of a few handshakes on a bad path. */
#define KEYPAIR_NEAR_END_USEC (10 * USEC_PER_SEC)

static void want_session(PacketRouter *r, PacketPeer *peer) {
        if (atomic_load_explicit(&peer->wanted, memory_order_relaxed))
                return;
        if (!router_notice(r->wants, peer, NULL, r->now))
                return;
        atomic_store_explicit(&peer->wanted, true, memory_order_relaxed);
        if (!r->sink.want_session(r->sink.userdata, peer))
                atomic_store_explicit(&peer->wanted, false, memory_order_relaxed);
}

static void wait_for_session(PacketRouter *r, RouterNetwork *n, PacketPeer *peer, const PacketIn *in) {
        if (!pending_push(r->pending, peer, in, r->now))
                drop_count(n->config.drops, DROP_PENDING_FULL);
        want_session(r, peer);
}

void egress_pending_expired(PacketRouter *r, RouterNetwork *n, const uint8_t *packet, size_t len) {
        drop_count(n->config.drops, DROP_PENDING_EXPIRED);
        icmp_reply(r, n, ICMP_REASON_UNREACHABLE, packet, len, 0);
}

/* Room for one datagram of @len bytes, behind its header where it goes to a relay. The buffer is
 * sent first if it is full. */
static uint8_t *
place(PacketRouter *r,
      RouterNetwork *n,
      const void *key,
      const Endpoint *to,
      const Endpoint *second,
      bool single,
      size_t len) {
        size_t head = endpoint_is_relayed(to) ? RELAY_HEADER_SIZE : 0;
        uint8_t *out = tx_batch_append(&r->tx, key, to, second, n->config.drops, single, head + len);

        if (!out) {
                packet_router_send(r);
                out = tx_batch_append(&r->tx, key, to, second, n->config.drops, single, head + len);
        }
        if (head > 0)
                relayed_write(out, to->relay);
        return out + head;
}

/* Encrypts one packet into the send buffer. */
static void
seal(PacketRouter *r,
     RouterNetwork *n,
     const PacketTx *tx,
     uint64_t counter,
     uint8_t flags,
     const uint8_t *packet,
     size_t len) {
        /* A header more or less makes another train: it is copied, while the path is in doubt. */
        bool copies = endpoint_is_set(&tx->second) &&
                      (endpoint_is_relayed(&tx->endpoint) || endpoint_is_relayed(&tx->second));
        size_t size = len + DATA_OVERHEAD;
        uint8_t *out = place(
                        r, n, tx, &tx->endpoint, copies ? NULL : &tx->second, tx->no_trains, size);

        keypair_seal(tx->keypair, counter, flags, packet, len, out);
        /* Should the buffer be sent for it, what was in there stays until it is written over. */
        if (copies)
                memmove(place(r, n, &tx->second, &tx->second, NULL, tx->no_trains, size), out, size);
}

/* Counts what was sealed: @packets of @bytes in all, none longer than @longest. */
static void
account(PacketRouter *r, PacketPeer *peer, uint64_t packets, uint64_t bytes, uint32_t longest) {
        counter_add(&peer->tx_packets, packets);
        counter_add(&peer->tx_bytes, bytes);
        atomic_store_explicit(&peer->last_tx, r->now, memory_order_relaxed);
        if (longest >= OMERTA_MTU_LEAST)
                atomic_store_explicit(&peer->last_large, r->now, memory_order_relaxed);
        if (atomic_load_explicit(&peer->quiet, memory_order_relaxed) && r->sink.sent) {
                atomic_store_explicit(&peer->quiet, false, memory_order_relaxed);
                if (!r->sink.sent(r->sink.userdata, peer))
                        atomic_store_explicit(&peer->quiet, true, memory_order_relaxed);
        }
        r->stats.packets_out += packets;
}

static void too_big(PacketRouter *r, RouterNetwork *n, const PacketTx *tx, const PacketIn *in) {
        drop_count(n->config.drops, DROP_TOO_BIG);
        icmp_reply(r, n, ICMP_REASON_TOO_BIG, in->data, in->len, tx->mtu);
}

/* A plain TCP packet as a train of one segment, so that it can be cut. Return: false: it is none,
 * or its checksum is not there to be made anew. */
static bool as_train(const PacketIn *in, const PacketView *v, PacketIn *ret) {
        size_t header = packet_l4_header_size(in->data, v);
        const OffloadInfo *o = &in->offload;

        if (v->protocol != IPPROTO_TCP || header == 0 || v->length == v->l4 + header ||
            mss_is_syn(in->data, v) ||
            (o->needs_csum ? o->csum_start != v->l4 : !packet_l4_csum_ok(in->data, v)))
                return false;
        *ret = *in;
        ret->offload = (OffloadInfo){
                .needs_csum = true,
                .csum_start = v->l4,
                .csum_offset = TCP_CSUM_OFFSET,
                .gso_type = v->version == 4 ? GSO_TCPV4 : GSO_TCPV6,
                .gso_size = (uint16_t) (v->length - v->l4 - header),
        };
        return true;
}

static void send_super_packet(
                PacketRouter *r,
                RouterNetwork *n,
                PacketPeer *peer,
                const PacketTx *tx,
                const PacketIn *in,
                const PacketView *v) {
        uint64_t counter, bytes = 0;
        GsoSplit s;
        uint32_t count;
        DropReason reason = gso_split_init(&s, in, v);

        if (reason != DROP_NONE) {
                drop_count(n->config.drops, reason);
                return;
        }
        if (!gso_split_fit(&s, tx->mtu)) {
                too_big(r, n, tx, in);
                return;
        }
        count = gso_split_count(&s);
        if (!keypair_reserve(tx->keypair, count, &counter)) {
                wait_for_session(r, n, peer, in);
                return;
        }
        for (uint32_t i = 0; i < count; i++) {
                uint8_t *packet;
                size_t len = gso_split_next(&s, &packet);

                seal(r, n, tx, counter + i, s.partial ? DATA_FLAG_CSUM_PARTIAL : 0, packet, len);
                bytes += len;
        }
        account(r, peer, count, bytes, gso_split_packet_max(&s));
}

/* Longer than fits. Whoever made it is told, and what it carries goes on where that can be cut: a
 * stack that does not listen, as lwIP's, would send it for ever. Of IPv6 nobody can be told less
 * than OMERTA_MTU_MIN. Return: false: it is to be sent as it is, and may be lost. */
static bool
cut_or_refuse(PacketRouter *r,
              RouterNetwork *n,
              PacketPeer *peer,
              const PacketTx *tx,
              const PacketIn *in,
              const PacketView *v) {
        bool is_least = v->version == 6 && v->length <= OMERTA_MTU_MIN;
        PacketIn train;

        if (as_train(in, v, &train)) {
                if (!is_least)
                        icmp_reply(r, n, ICMP_REASON_TOO_BIG, in->data, in->len, tx->mtu);
                send_super_packet(r, n, peer, tx, &train, v);
                return true;
        }
        if (!is_least)
                too_big(r, n, tx, in);
        return !is_least;
}

static void
send_packet(PacketRouter *r,
            RouterNetwork *n,
            PacketPeer *peer,
            const PacketTx *tx,
            const PacketIn *in,
            const PacketView *v) {
        uint64_t counter;
        bool partial;
        DropReason reason;

        if (v->length > tx->mtu && cut_or_refuse(r, n, peer, tx, in, v))
                return;
        if (tx->clamps && mss_is_syn(in->data, v))
                (void) mss_clamp(in->data, v, in->offload.needs_csum, tx->mtu);
        /* Before the checksum: a packet that waits is looked at again from the start. */
        if (!keypair_reserve(tx->keypair, 1, &counter)) {
                wait_for_session(r, n, peer, in);
                return;
        }
        reason = gso_finish_csum(in, v, &partial);
        if (reason != DROP_NONE) {
                drop_count(n->config.drops, reason);
                return;
        }
        seal(r, n, tx, counter, partial ? DATA_FLAG_CSUM_PARTIAL : 0, in->data, v->length);
        account(r, peer, 1, v->length, v->length);
}

static void
to_peer(PacketRouter *r, RouterNetwork *n, PacketPeer *peer, const PacketIn *in, const PacketView *v) {
        const PacketTx *tx = atomic_load_explicit(&peer->tx, memory_order_acquire);
        usec_t age = tx ? usec_sub(r->now, tx->keypair->created) : 0;

        /* docs/protocol.md, "Timers" */
        if (!tx || age >= REJECT_AFTER_TIME) {
                wait_for_session(r, n, peer, in);
                return;
        }
        if (age >= REJECT_AFTER_TIME - KEYPAIR_NEAR_END_USEC)
                want_session(r, peer);
        if (in->offload.gso_type == GSO_NONE)
                send_packet(r, n, peer, tx, in, v);
        else
                send_super_packet(r, n, peer, tx, in, v);
}

void egress_to_peer(PacketRouter *r, RouterNetwork *n, PacketPeer *peer, const PacketIn *in) {
        PacketView v;

        if (packet_parse(in->data, in->len, &v))
                to_peer(r, n, peer, in, &v);
}

static RouteDecision look_up(const RouterNetwork *n, const uint8_t *p, const PacketView *v) {
        return v->version == 4 ? route_table_lookup_v4(
                                                 n->config.routes,
                                                 read_be32(p + IPV4_DESTINATION_OFFSET))
                               : route_table_lookup_v6(n->config.routes, p + IPV6_DESTINATION_OFFSET);
}

static bool source_is_ours(const RouterNetwork *n, const uint8_t *p, const PacketView *v) {
        return v->version == 4 ? route_table_is_local_v4(
                                                 n->config.routes, read_be32(p + IPV4_SOURCE_OFFSET))
                               : route_table_is_local_v6(n->config.routes, p + IPV6_SOURCE_OFFSET);
}

/* Of what comes back to a member by an exit: from outside too. */
static bool source_is_behind(const RouterNetwork *n, const uint8_t *p, const PacketView *v) {
        return v->version == 4 ? route_table_is_behind_v4(
                                                 n->config.routes, read_be32(p + IPV4_SOURCE_OFFSET))
                               : route_table_is_behind_v6(n->config.routes, p + IPV6_SOURCE_OFFSET);
}

/* To one of our own addresses: the kernel has sent it to the interface, it gets it back. */
static void write_back(PacketRouter *r, RouterNetwork *n, const PacketIn *in) {
        PacketOut out = { .n_iov = 1, .offload = in->offload };

        out.iov[0] = (struct iovec){ in->data, in->len };
        router_write(r, n, &out, 1);
}

static void
no_route(PacketRouter *r, RouterNetwork *n, DropReason reason, const PacketIn *in, size_t len) {
        drop_count(n->config.drops, reason);
        if (reason == DROP_UNKNOWN_DESTINATION)
                icmp_reply(r, n, ICMP_REASON_UNREACHABLE, in->data, len, 0);
        else if (reason == DROP_NO_ROUTE)
                icmp_reply(r, n, ICMP_REASON_NO_ROUTE, in->data, len, 0);
}

static void egress_one(PacketRouter *r, RouterNetwork *n, const PacketIn *in) {
        RouteDecision d;
        PacketView v;

        if (!packet_parse(in->data, in->len, &v)) {
                drop_count(n->config.drops, DROP_PACKET_MALFORMED);
                return;
        }
        d = look_up(n, in->data, &v);
        switch (d.verdict) {
        case ROUTE_LOCAL:
                write_back(r, n, in);
                return;
        case ROUTE_DROP:
                no_route(r, n, d.reason, in, v.length);
                return;
        case ROUTE_PEER:
        case ROUTE_EXIT:
                if (d.verdict == ROUTE_EXIT ? !source_is_ours(n, in->data, &v)
                                            : !source_is_behind(n, in->data, &v)) {
                        drop_count(n->config.drops, DROP_WRONG_SOURCE);
                        return;
                }
                to_peer(r, n, d.peer, in, &v);
                return;
        }
}

void packet_router_egress(PacketRouter *r, RouterNetwork *network, PacketIn *packets, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                egress_one(r, network, &packets[i]);
}
