/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From the network to the interface: decrypt in place, check who may send what, merge what
 * belongs together.
 */

#include "dataplane/echo.h"
#include "dataplane/mss-clamp.h"
#include "dataplane/packet-router-internal.h"

void ingress_settle(PacketRouter *r) {
        RxCurrent *c = &r->rx;

        if (c->packets > 0) {
                counter_add(&c->peer->rx_packets, c->packets);
                counter_add(&c->peer->rx_bytes, c->bytes);
                atomic_store_explicit(&c->peer->last_rx, r->now, memory_order_relaxed);
                r->stats.packets_in += c->packets;
        }
        *c = (RxCurrent){};
}

static bool
source_ok(const RouterNetwork *n, const uint8_t *p, const PacketView *v, const PacketPeer *peer) {
        return v->version == 4 ? route_table_source_ok_v4(
                                                 n->config.routes,
                                                 read_be32(p + IPV4_SOURCE_OFFSET), peer)
                               : route_table_source_ok_v6(
                                                 n->config.routes, p + IPV6_SOURCE_OFFSET, peer);
}

/* The kernel behind the interface would take packets for every address it has, and where it
 * forwards send others on: it gets those to our own, and where we are an exit those that go
 * outside. What becomes of the latter is the kernel's and its firewall's. */
static bool is_for_us(const RouterNetwork *n, const uint8_t *p, const PacketView *v) {
        return v->version == 4 ? route_table_is_behind_v4(
                                                 n->config.routes,
                                                 read_be32(p + IPV4_DESTINATION_OFFSET))
                               : route_table_is_behind_v6(
                                                 n->config.routes, p + IPV6_DESTINATION_OFFSET);
}

/* A flow of @peer begins: what this machine may send it. */
static void clamp(const PacketPeer *peer, uint8_t *packet, const PacketView *v, bool partial) {
        const PacketTx *tx = atomic_load_explicit(&peer->tx, memory_order_acquire);

        if (tx && tx->clamps)
                (void) mss_clamp(packet, v, partial, tx->mtu);
}

/* An IP packet of @peer. Return: DROP_NONE or why not. */
static DropReason
accept_packet(PacketRouter *r,
              RouterNetwork *n,
              const PacketPeer *peer,
              uint8_t flags,
              uint8_t *packet,
              size_t len,
              PacketView *ret) {
        bool partial = flags & DATA_FLAG_CSUM_PARTIAL;
        uint64_t echo;

        if (!atomic_load_explicit(&peer->accept, memory_order_relaxed))
                return DROP_NO_SESSION;
        /* What exceeds the length in the header is padding. */
        if (!packet_parse(packet, len, ret) || (partial && packet_l4_header_size(packet, ret) == 0))
                return DROP_PACKET_MALFORMED;
        if (!source_ok(n, packet, ret, peer))
                return DROP_SOURCE_SPOOFED;
        if (!is_for_us(n, packet, ret))
                return DROP_NOT_FOR_US;
        if (r->sink.echo && echo_is_reply(packet, ret, r->sink.echo_secret, &echo))
                return r->sink.echo(r->sink.userdata, n->config.mesh, echo) ? DROP_NONE
                                                                            : DROP_CONTROL_OVERFLOW;
        if (mss_is_syn(packet, ret))
                clamp(peer, packet, ret, partial);
        if (gro_is_full(n->gro)) {
                gro_finish(n->gro);
                router_write(r, n, n->gro->out, n->gro->n);
                gro_reset(n->gro);
        }
        gro_add(n->gro, packet, ret, partial);
        return DROP_NONE;
}

void packet_router_ingress_packet(
                PacketRouter *r,
                PacketPeer *peer,
                uint8_t flags,
                uint8_t *packet,
                size_t len) {
        RouterNetwork *n = router_find_network(r, peer->mesh);
        DropReason reason;
        PacketView v;

        if (!n) {
                drop_count(r->drops, DROP_NO_SESSION);
                return;
        }
        reason = accept_packet(r, n, peer, flags, packet, len, &v);
        if (reason != DROP_NONE) {
                drop_count(n->config.drops, reason);
                return;
        }
        counter_add(&peer->rx_packets, 1);
        counter_add(&peer->rx_bytes, v.length);
        atomic_store_explicit(&peer->last_rx, r->now, memory_order_relaxed);
        r->stats.packets_in++;
}

/* Makes the keypair with receiver index @index the current one. */
static bool look_up_keypair(PacketRouter *r, uint32_t index) {
        Keypair *kp = r->rx.keypair;

        if (kp && kp->local_index == index)
                return true;
        kp = index_table_lookup(r->indices, index);
        if (!kp)
                return false;
        ingress_settle(r);
        r->rx.keypair = kp;
        r->rx.peer = kp->peer;
        r->rx.network = kp->peer ? router_find_network(r, kp->peer->mesh) : NULL;
        return true;
}

/* The control thread is told of the first message under a key and of a new endpoint. */
static void check_arrival(PacketRouter *r, bool is_first, const Endpoint *from) {
        RxCurrent *c = &r->rx;
        PacketTx *tx = c->peer ? atomic_load_explicit(&c->peer->tx, memory_order_acquire) : NULL;
        bool is_active = tx && endpoint_same_way(&tx->endpoint, from);

        if (is_active)
                atomic_store_explicit(&tx->heard, r->now, memory_order_relaxed);
        if (!is_first) {
                if (is_active)
                        return;
                if (!router_notice(r->arrivals, c->keypair, from, r->now))
                        return;
        }
        if (!r->sink.arrival(r->sink.userdata, c->keypair, from) && is_first)
                /* So that the next message is the first again. */
                atomic_store_explicit(&c->keypair->confirmed, false, memory_order_relaxed);
}

/* A frame of the current keypair's machine, if the control thread has time for that one. */
static DropReason hand_up(PacketRouter *r, const uint8_t *frame, size_t len, const Endpoint *from) {
        const RxCurrent *c = &r->rx;

        if (c->peer && r->now < atomic_load_explicit(&c->peer->unread_until, memory_order_relaxed))
                return DROP_OVER_BUDGET;
        return r->sink.frame(r->sink.userdata, c->keypair, frame, len, from);
}

/* Keys that are gone, or of somebody else: it was to be relayed by a number that is not there. Its
 * sender is told, if it is somebody. */
static void unknown_keys(PacketRouter *r, const Endpoint *from) {
        const void *object = GUINT_TO_POINTER(from->relay << 6); /* in the part that is hashed */

        drop_count(r->drops, endpoint_is_relayed(from) ? DROP_RELAY_UNKNOWN : DROP_UNKNOWN_INDEX);
        if (endpoint_is_relayed(from) && r->sink.relay_unknown &&
            router_notice(r->unknown, object, from, r->now))
                (void) r->sink.relay_unknown(r->sink.userdata, from);
}

static void ingress_data(PacketRouter *r, uint8_t *message, size_t len, const Endpoint *from) {
        RxCurrent *c = &r->rx;
        DropCounters *drops;
        uint8_t *plain, flags = message[DATA_FLAGS_OFFSET];
        size_t plain_len;
        DropReason reason;
        bool is_first;

        if (!look_up_keypair(r, read_le32(message + DATA_RECEIVER_OFFSET))) {
                unknown_keys(r, from);
                return;
        }
        drops = c->network ? c->network->config.drops : r->drops;
        is_first = !atomic_load_explicit(&c->keypair->confirmed, memory_order_relaxed);
        reason = keypair_open(c->keypair, message, len, r->now, &plain, &plain_len);
        if (reason != DROP_NONE) {
                drop_count(drops, reason);
                return;
        }
        r->stats.authentic++;
        if (is_first || !c->endpoint_seen || c->relay != from->relay) {
                check_arrival(r, is_first, from);
                c->endpoint_seen = true;
                c->relay = from->relay;
        }
        /* docs/protocol.md, "Inside a data message" */
        if (plain_len == 0 || plain[0] >> 4 == 0) {
                reason = hand_up(r, plain, plain_len, from);
                if (reason != DROP_NONE)
                        drop_count(drops, reason);
                return;
        }
        if (!c->network)
                reason = DROP_NO_SESSION;
        else {
                PacketView v;

                reason = accept_packet(r, c->network, c->peer, flags, plain, plain_len, &v);
                if (reason == DROP_NONE) {
                        c->packets++;
                        c->bytes += v.length;
                        return;
                }
        }
        drop_count(drops, reason);
}

void ingress_datagram(PacketRouter *r, uint8_t *data, size_t len, const Endpoint *from) {
        if (len >= DATA_OVERHEAD && data[0] == MESSAGE_DATA)
                ingress_data(r, data, len, from);
        /* The control thread looks at the rest; no handshake is longer than this. */
        else if (len >= COOKIE_REPLY_SIZE && len <= HANDSHAKE_SIZE_MAX &&
                 ((data[0] >= MESSAGE_HANDSHAKE_INITIATION && data[0] <= MESSAGE_COOKIE_REPLY) ||
                  data[0] == MESSAGE_BEACON)) {
                if (!r->sink.datagram(r->sink.userdata, data, len, from))
                        drop_count(r->drops, DROP_CONTROL_OVERFLOW);
        } else
                drop_count(r->drops, DROP_MALFORMED);
}

void packet_router_ingress(PacketRouter *r, uint8_t *data, size_t len, size_t segment, const Endpoint *from) {
        r->rx.endpoint_seen = false;
        if (segment == 0)
                segment = len;
        for (size_t done = 0; done < len;) {
                size_t one = MIN(segment, len - done);

                if (data[done] == MESSAGE_RELAYED)
                        one = relay_ingress(r, data + done, len - done, segment, from);
                else
                        ingress_datagram(r, data + done, one, from);
                done += one;
        }
}

void packet_router_deliver(PacketRouter *r) {
        ingress_settle(r);
        relay_send(r);
        for (unsigned i = 0; i < r->n_networks; i++) {
                RouterNetwork *n = r->network[i];

                if (n->gro->n == 0)
                        continue;
                gro_finish(n->gro);
                router_write(r, n, n->gro->out, n->gro->n);
                gro_reset(n->gro);
        }
}
