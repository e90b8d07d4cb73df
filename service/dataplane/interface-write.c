/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * To the interface. What it refuses is cut: a kernel may say at TUNSETOFFLOAD that it takes
 * super-packets and answer the first with EINVAL, and a flow must not stop for that.
 */

#include <string.h>

#include "dataplane/gso-split.h"
#include "dataplane/packet-router-internal.h"

/* So many super-packets of a network were refused: none are made any more. */
#define REFUSED_MAX 8U

static void lose_interface(PacketRouter *r, RouterNetwork *n, int error) {
        n->failed = true;
        r->sink.failed(r->sink.userdata, n->config.netif, error);
}

static void stop_merging(PacketRouter *r, RouterNetwork *n) {
        if (!n->gro->tcp && !n->gro->udp)
                return;
        n->gro->tcp = n->gro->udp = false;
        if (r->sink.refused)
                r->sink.refused(r->sink.userdata, n->config.netif);
}

static void write_segments(PacketRouter *r, RouterNetwork *n, GsoSplit *s) {
        Netif *netif = n->config.netif;

        for (uint32_t left = gso_split_count(s); left > 0; left--) {
                PacketOut out = {
                        .n_iov = 1,
                        .offload = {
                                .needs_csum = s->partial,
                                .csum_start = s->l4,
                                .csum_offset = (uint16_t) l4_csum_offset(s->protocol),
                        },
                };
                uint8_t *packet;
                unsigned refused;
                size_t len = gso_split_next(s, &packet);
                int taken;

                if (!s->partial)
                        out.offload = (OffloadInfo){};
                out.iov[0] = (struct iovec){ packet, len };
                /* The next one is written over this one's end. */
                taken = netif->ops->write_batch(netif, &out, 1, &refused);
                if (taken < 0) {
                        lose_interface(r, n, taken);
                        drop_count_n(n->config.drops, DROP_INTERFACE_FULL, left);
                        return;
                }
                if (taken == 0)
                        drop_count(n->config.drops, DROP_INTERFACE_FULL);
                r->stats.interface_writes += (uint64_t) taken;
        }
}

static void cut(PacketRouter *r, RouterNetwork *n, const PacketOut *p) {
        PacketIn whole = { .offload = p->offload };
        DropReason reason = DROP_PACKET_MALFORMED;
        PacketView v;
        GsoSplit s;

        if (!r->cut)
                r->cut = g_malloc(PACKET_LENGTH_MAX);
        whole.data = r->cut;
        for (unsigned i = 0; i < p->n_iov; i++) {
                assert(whole.len + p->iov[i].iov_len <= PACKET_LENGTH_MAX);
                memcpy(r->cut + whole.len, p->iov[i].iov_base, p->iov[i].iov_len);
                whole.len += p->iov[i].iov_len;
        }
        r->stats.interface_refused++;
        if (packet_parse(whole.data, whole.len, &v))
                reason = gso_split_init(&s, &whole, &v);
        if (reason == DROP_NONE)
                write_segments(r, n, &s);
        else
                drop_count(n->config.drops, reason);
        if (++n->refused == REFUSED_MAX)
                stop_merging(r, n);
}

void router_write(PacketRouter *r, RouterNetwork *n, const PacketOut *packets, unsigned count) {
        Netif *netif = n->config.netif;
        unsigned done = 0, lost = 0;

        while (done < count && !n->failed) {
                unsigned left = count - done, refused = left;
                int taken = netif->ops->write_batch(netif, packets + done, left, &refused);

                if (taken < 0) {
                        lose_interface(r, n, taken);
                        break;
                }
                r->stats.interface_writes += (uint64_t) taken;
                lost += refused - (unsigned) taken;
                done += refused;
                if (refused < left)
                        cut(r, n, &packets[done++]);
        }
        lost += count - done;
        if (lost > 0)
                drop_count_n(n->config.drops, DROP_INTERFACE_FULL, lost);
}
