/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif-wire.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/macros.h"
#include "base/time.h"

#define BATCH 64U
#define LONG_USEC (10 * USEC_PER_MSEC)

/* A packet on its long way. */
typedef struct Held {
        usec_t due;
        PacketIn packet; /* its bytes are owned */
} Held;

struct NetifWire {
        Netif *end[2];
        GThread *thread;
        int stop_fd;
        _Atomic int mode;
        _Atomic unsigned wakeups;
        unsigned count;
        uint32_t random;
        /* a packet that comes late, and where to */
        uint8_t late[65536];
        PacketIn late_packet;
        Netif *late_to;
        GQueue held; /* Held, for end[0] */
};

static uint32_t next_random(NetifWire *w) {
        /* xorshift32 (Marsaglia 2003) */
        w->random ^= w->random << 13;
        w->random ^= w->random >> 17;
        w->random ^= w->random << 5;
        return w->random;
}

static void deliver(Netif *to, const PacketIn *p) {
        PacketOut out = { .n_iov = 1, .offload = p->offload };

        /* As the dataplane coalesces: headers first, payload in pieces. */
        out.iov[0] = (struct iovec){ p->data, p->len };
        if (p->offload.gso_type != GSO_NONE && p->offload.hdr_len < p->len) {
                size_t rest = p->len - p->offload.hdr_len, half = rest / 2;

                out.iov[0].iov_len = p->offload.hdr_len;
                out.iov[1] = (struct iovec){ p->data + p->offload.hdr_len, half };
                out.iov[2] = (struct iovec){ p->data + p->offload.hdr_len + half, rest - half };
                out.n_iov = 3;
        }
        (void) to->ops->write_batch(to, &out, 1, &(unsigned){ 0 });
}

static uint16_t checksum(const uint8_t *b, size_t len) {
        uint32_t sum = 0;

        for (size_t i = 0; i + 1 < len; i += 2)
                sum += read_be16(b + i);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

/* RFC 792: host unreachable, quoting the header and 8 bytes. */
static void reject(Netif *from, const PacketIn *p) {
        uint8_t b[56] = { 0x45, 0, 0, sizeof b, 0, 0, 0, 0, 64, 1 };
        const PacketIn answer = { .data = b, .len = sizeof b };

        if (p->data[0] != 0x45 || p->len < 28)
                return;
        memcpy(b + 12, p->data + 16, 4); /* from whom it was for */
        memcpy(b + 16, p->data + 12, 4);
        write_be16(b + 10, checksum(b, 20));
        b[20] = 3;
        b[21] = 1;
        memcpy(b + 28, p->data, 28);
        write_be16(b + 22, checksum(b + 20, 36));
        deliver(from, &answer);
}

static void mangle(NetifWire *w, Netif *to, const PacketIn *p) {
        g_autofree uint8_t *copy = NULL;

        for (unsigned i = 0; i < 4; i++) {
                PacketIn bad = { .len = p->len };

                g_free(copy);
                copy = g_memdup2(p->data, p->len);
                for (unsigned k = 0; k < 3; k++)
                        copy[next_random(w) % MIN(p->len, (size_t) 60)] = (uint8_t) next_random(w);
                if (next_random(w) % 4 == 0)
                        bad.len = next_random(w) % p->len + 1;
                bad.data = copy;
                deliver(to, &bad);
        }
}

static void hold(NetifWire *w, const PacketIn *p) {
        Held *h = NEW(Held);

        *h = (Held){ .due = now_usec(CLOCK_MONOTONIC) + LONG_USEC, .packet = *p };
        h->packet.data = g_memdup2(p->data, p->len);
        g_queue_push_tail(&w->held, h);
}

static void held_free(Held *h) {
        g_free(h->packet.data);
        g_free(h);
}

/* Return: ms until the next is due; -1: none. */
static int release(NetifWire *w) {
        usec_t now = now_usec(CLOCK_MONOTONIC);
        Held *h;

        while ((h = g_queue_peek_head(&w->held))) {
                if (h->due > now)
                        return (int) ((h->due - now) / USEC_PER_MSEC) + 1;
                deliver(w->end[0], &h->packet);
                held_free(g_queue_pop_head(&w->held));
        }
        return -1;
}

static void carry_one(NetifWire *w, Netif *from, Netif *to, const PacketIn *p) {
        switch ((NetifWireMode) w->mode) {
        case NETIF_WIRE_GOOD:
                deliver(to, p);
                break;
        case NETIF_WIRE_CUT:
                break;
        case NETIF_WIRE_REJECT:
                reject(from, p);
                break;
        case NETIF_WIRE_MANGLE:
                mangle(w, to, p);
                deliver(to, p);
                break;
        case NETIF_WIRE_LONG:
                if (from == w->end[1]) {
                        hold(w, p);
                        break;
                }
                deliver(to, p);
                break;
        case NETIF_WIRE_LOSSY:
                w->count++;
                if (w->count % 61 == 0)
                        break;
                if (w->count % 16 == 0 && w->late_packet.len == 0) {
                        memcpy(w->late, p->data, p->len);
                        w->late_packet = *p;
                        w->late_packet.data = w->late;
                        w->late_to = to;
                        break;
                }
                deliver(to, p);
                if (w->late_to == to && w->count % 16 == 3) {
                        deliver(to, &w->late_packet);
                        w->late_packet.len = 0;
                        w->late_to = NULL;
                }
                break;
        }
}

static void carry(NetifWire *w, Netif *from, Netif *to) {
        PacketIn packets[BATCH];
        int n = from->ops->read_batch(from, packets, BATCH);

        if ((NetifWireMode) w->mode == NETIF_WIRE_GOOD) {
                /* One batch, as the dataplane writes it. */
                PacketOut out[BATCH];

                for (int i = 0; i < n; i++) {
                        out[i].n_iov = 1;
                        out[i].iov[0] = (struct iovec){ packets[i].data, packets[i].len };
                        out[i].offload = packets[i].offload;
                }
                if (n > 0)
                        (void) to->ops->write_batch(to, out, (unsigned) n, &(unsigned){ 0 });
                return;
        }
        for (int i = 0; i < n; i++)
                carry_one(w, from, to, &packets[i]);
}

static void *wire_thread(void *data) {
        NetifWire *w = data;
        struct pollfd p[3] = {
                { .fd = w->end[0]->ops->fd(w->end[0]), .events = POLLIN },
                { .fd = w->end[1]->ops->fd(w->end[1]), .events = POLLIN },
                { .fd = w->stop_fd, .events = POLLIN },
        };

        for (;;) {
                if (poll(p, ELEMENTSOF(p), release(w)) < 0)
                        continue;
                if (p[2].revents)
                        return NULL;
                w->wakeups++;
                for (unsigned i = 0; i < 2; i++)
                        if (p[i].revents)
                                carry(w, w->end[i], w->end[1 - i]);
        }
}

NetifWire *netif_wire_new(Netif *a, Netif *b) {
        NetifWire *w = NEW(NetifWire);

        w->end[0] = a;
        w->end[1] = b;
        w->random = 0x9e3779b9;
        w->stop_fd = eventfd(0, EFD_CLOEXEC);
        w->thread = g_thread_new("wire", wire_thread, w);
        return w;
}

NetifWire *netif_wire_free(NetifWire *w) {
        if (!w)
                return NULL;
        (void) eventfd_write(w->stop_fd, 1);
        g_thread_join(w->thread);
        close(w->stop_fd);
        for (Held *h; (h = g_queue_pop_head(&w->held));)
                held_free(h);
        g_free(w);
        return NULL;
}

void netif_wire_set(NetifWire *w, NetifWireMode mode) {
        w->mode = (int) mode;
}

unsigned netif_wire_wakeups(NetifWire *w) {
        return w->wakeups;
}
