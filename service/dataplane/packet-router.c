/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/packet-router.h"

#include "dataplane/packet-router-internal.h"

/* ICMP errors to local programs: what a router sends, RFC 1812 4.3.2.8; Linux' own is 1000. */
#define ICMP_INTERVAL_USEC (10 * USEC_PER_MSEC)
#define ICMP_BURST 50U

PacketRouter *packet_router_new(const PacketSink *sink, IndexTable *indices, DropCounters *drops) {
        PacketRouter *r = NEW(PacketRouter);

        r->sink = *sink;
        r->indices = indices;
        r->drops = drops;
        r->tx.buffer = g_malloc(TX_BUFFER_SIZE);
        r->relay.level = UINT64_MAX;
        r->pending = pending_new();
        return r;
}

static void network_free(RouterNetwork *n) {
        g_free(n->gro);
        g_free(n);
}

PacketRouter *packet_router_free(PacketRouter *r) {
        if (!r)
                return NULL;
        pending_free(r->pending);
        while (r->n_networks > 0)
                network_free(r->network[--r->n_networks]);
        g_free(r->tx.buffer);
        g_free(r->cut);
        g_free(r);
        return NULL;
}

void packet_router_set_relays(PacketRouter *r, const RelayTable *relays) {
        r->relays = relays;
}

RouterNetwork *router_find_network(PacketRouter *r, const struct Mesh *mesh) {
        for (unsigned i = 0; i < r->n_networks; i++)
                if (r->network[i]->config.mesh == mesh)
                        return r->network[i];
        return NULL;
}

int packet_router_add_network(PacketRouter *r, const DataplaneNetwork *network, RouterNetwork **ret) {
        RouterNetwork *n;

        if (router_find_network(r, network->mesh))
                return -EEXIST;
        if (r->n_networks == NETWORKS_MAX)
                return -ENOSPC;
        n = NEW(RouterNetwork);
        n->config = *network;
        n->icmp = (RateLimit){ .interval = ICMP_INTERVAL_USEC, .burst = ICMP_BURST };
        n->gro = NEW(GroBatch);
        n->gro->tcp = network->netif->gso_tcp && !r->sink.no_merging;
        n->gro->udp = network->netif->gso_udp && !r->sink.no_merging;
        r->network[r->n_networks++] = n;
        *ret = n;
        return 0;
}

void packet_router_remove_network(PacketRouter *r, const struct Mesh *mesh) {
        for (unsigned i = 0; i < r->n_networks; i++) {
                if (r->network[i]->config.mesh != mesh)
                        continue;
                drop_count_n(r->network[i]->config.drops, DROP_PENDING_EXPIRED,
                             pending_drop_mesh(r->pending, mesh));
                network_free(r->network[i]);
                r->network[i] = r->network[--r->n_networks];
                return;
        }
}

bool router_notice(Notice *table, const void *object, const Endpoint *endpoint, usec_t now) {
        Notice *n = &table[((uintptr_t) object >> 6) % NOTICES];

        if (n->object == object && now < usec_add(n->at, NOTICE_INTERVAL_USEC) &&
            (!endpoint || endpoint_same_way(&n->endpoint, endpoint)))
                return false;
        n->object = object;
        n->at = now;
        if (endpoint)
                n->endpoint = *endpoint;
        return true;
}

void packet_router_begin(PacketRouter *r, usec_t now) {
        r->now = now;
}

void packet_router_send(PacketRouter *r) {
        while (r->tx.n > 0) {
                r->sink.send(r->sink.userdata, r->tx.train, r->tx.n);
                tx_batch_turn_second(&r->tx);
        }
        tx_batch_reset(&r->tx);
}

usec_t packet_router_end(PacketRouter *r) {
        PendingPacket *expired;
        PacketPeer *peer;

        while ((expired = pending_pop_expired(r->pending, r->now, &peer))) {
                RouterNetwork *n = router_find_network(r, peer->mesh);

                if (n)
                        egress_pending_expired(r, n, expired->data, expired->packet.len);
                g_free(expired);
        }
        packet_router_deliver(r);
        packet_router_send(r);
        return pending_next_expiry(r->pending);
}

void packet_router_flush_pending(PacketRouter *r, PacketPeer *peer) {
        RouterNetwork *n = router_find_network(r, peer->mesh);
        PendingPacket *p;

        /* As many as there are now: one that must wait still is queued again. */
        for (unsigned left = pending_count(peer); left > 0 && (p = pending_pop(r->pending, peer));
             left--) {
                if (n)
                        egress_to_peer(r, n, peer, &p->packet);
                g_free(p);
        }
}

void packet_router_forget(PacketRouter *r, const void *object) {
        drop_count_n(r->drops, DROP_PENDING_EXPIRED, pending_drop_peer(r->pending, object));
        /* Something else may live at the same address soon. */
        for (unsigned i = 0; i < NOTICES; i++) {
                if (r->arrivals[i].object == object)
                        r->arrivals[i] = (Notice){};
                if (r->wants[i].object == object)
                        r->wants[i] = (Notice){};
        }
}

PacketRouterStats packet_router_stats(const PacketRouter *r) {
        return r->stats;
}
