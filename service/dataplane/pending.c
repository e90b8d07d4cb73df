/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/pending.h"

#include <string.h>

#include "base/macros.h"

struct PendingQueue {
        PacketPeer *peer;
        unsigned first, n;
        size_t bytes;
        PendingPacket *packet[PENDING_PACKETS_MAX]; /* ring */
};

struct PendingQueues {
        PendingQueue *queue[PENDING_QUEUES_MAX];
        unsigned n;
        size_t bytes;
};

PendingQueues *pending_new(void) {
        return NEW(PendingQueues);
}

static PendingPacket *pop(PendingQueues *q, PendingQueue *p) {
        PendingPacket *packet = TAKE_PTR(p->packet[p->first]);

        p->first = (p->first + 1) % PENDING_PACKETS_MAX;
        p->n--;
        p->bytes -= packet->packet.len;
        q->bytes -= packet->packet.len;
        return packet;
}

/* An empty queue goes at once: what exists waits. */
static void remove_queue(PendingQueues *q, PendingQueue *p) {
        for (unsigned i = 0; i < q->n; i++)
                if (q->queue[i] == p) {
                        q->queue[i] = q->queue[--q->n];
                        break;
                }
        p->peer->pending = NULL;
        g_free(p);
}

static unsigned drop_queue(PendingQueues *q, PendingQueue *p) {
        unsigned n = p->n;

        while (p->n > 0)
                g_free(pop(q, p));
        remove_queue(q, p);
        return n;
}

PendingQueues *pending_free(PendingQueues *q) {
        while (q && q->n > 0)
                drop_queue(q, q->queue[0]);
        g_free(q);
        return NULL;
}

bool pending_push(PendingQueues *q, PacketPeer *peer, const PacketIn *packet, usec_t now) {
        PendingQueue *p = peer->pending;
        PendingPacket *copy;

        if (packet->len > PENDING_BYTES_MAX - (p ? p->bytes : 0) ||
            packet->len > PENDING_TOTAL_BYTES_MAX - q->bytes)
                return false;
        if (p ? p->n == PENDING_PACKETS_MAX : q->n == PENDING_QUEUES_MAX)
                return false;
        if (!p) {
                p = NEW(PendingQueue);
                p->peer = peer;
                peer->pending = p;
                q->queue[q->n++] = p;
        }
        copy = g_malloc(sizeof *copy + packet->len);
        copy->since = now;
        copy->packet = *packet;
        copy->packet.data = memcpy(copy->data, packet->data, packet->len);
        p->packet[(p->first + p->n++) % PENDING_PACKETS_MAX] = copy;
        p->bytes += packet->len;
        q->bytes += packet->len;
        return true;
}

PendingPacket *pending_pop(PendingQueues *q, PacketPeer *peer) {
        PendingQueue *p = peer->pending;
        PendingPacket *packet;

        if (!p)
                return NULL;
        packet = pop(q, p);
        if (p->n == 0)
                remove_queue(q, p);
        return packet;
}

unsigned pending_count(const PacketPeer *peer) {
        const PendingQueue *p = peer->pending;

        return p ? p->n : 0;
}

PendingPacket *pending_pop_expired(PendingQueues *q, usec_t now, PacketPeer **ret_peer) {
        for (unsigned i = 0; i < q->n; i++) {
                PendingQueue *p = q->queue[i];

                if (now >= usec_add(p->packet[p->first]->since, PENDING_USEC)) {
                        *ret_peer = p->peer;
                        return pending_pop(q, p->peer);
                }
        }
        return NULL;
}

usec_t pending_next_expiry(const PendingQueues *q) {
        usec_t next = USEC_INFINITY;

        for (unsigned i = 0; i < q->n; i++)
                next = MIN(next,
                           usec_add(q->queue[i]->packet[q->queue[i]->first]->since, PENDING_USEC));
        return next;
}

unsigned pending_drop_peer(PendingQueues *q, const void *peer) {
        for (unsigned i = 0; i < q->n; i++)
                if (q->queue[i]->peer == peer)
                        return drop_queue(q, q->queue[i]);
        return 0;
}

unsigned pending_drop_mesh(PendingQueues *q, const struct Mesh *mesh) {
        unsigned dropped = 0;

        for (unsigned i = q->n; i-- > 0;)
                if (q->queue[i]->peer->mesh == mesh)
                        dropped += drop_queue(q, q->queue[i]);
        return dropped;
}
