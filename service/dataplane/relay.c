/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What goes through us to somebody else: the number in front of each datagram is written anew, and
 * the train leaves from the receive buffer as it came. Nothing is opened or copied.
 *
 * Fairness. While the kernel takes all that is sent nobody is held back but by its own budget. When
 * a socket's queue was full, the level comes down to three quarters of what the heaviest sender had
 * in that window, and rises again by a 32nd a window. What a sender sends above the level in a
 * window is dropped: so the heaviest make room, those who send less than their share never do, and
 * what they leave is the others'. It costs one comparison a train.
 */

#include "core/wire/relayed.h"
#include "dataplane/packet-router-internal.h"

/* Some round trips within a town, and a few thousand datagrams of a full line. */
#define WINDOW_USEC (20 * USEC_PER_MSEC)
/* A train: with less nobody would get anything through. */
#define LEVEL_MIN ((uint64_t) TX_TRAIN_SIZE_MAX)
/* After so long without traffic the level means nothing any more. */
#define WINDOWS_FORGOTTEN 64U

static void begin_window(RelayForward *f, uint64_t window) {
        if (f->window == window)
                return;
        if (window - f->window > WINDOWS_FORGOTTEN)
                f->level = UINT64_MAX;
        else if (f->full)
                f->level = MAX(MIN(f->level, f->top) / 4 * 3, LEVEL_MIN);
        else if (f->level / 2 > f->top)
                f->level = UINT64_MAX; /* nobody comes near it */
        else
                f->level += f->level / 32;
        f->window = window;
        f->top = 0;
        f->full = false;
}

static bool take_budget(RelayShare *s, size_t bytes, usec_t now) {
        uint64_t passed = now - s->filled;

        if (s->filled == 0 || passed >= USEC_PER_SEC)
                s->tokens = s->burst;
        else
                s->tokens = MIN(s->burst, s->tokens + passed * s->rate / USEC_PER_SEC);
        s->filled = now;
        if (s->tokens < bytes)
                return false;
        s->tokens -= bytes;
        return true;
}

static DropReason admit(PacketRouter *r, RelayShare *s, size_t bytes) {
        RelayForward *f = &r->relay;

        begin_window(f, r->now / WINDOW_USEC);
        if (s->window != f->window) {
                s->window = f->window;
                s->window_bytes = 0;
        }
        if (s->window_bytes + bytes > f->level)
                return DROP_RELAY_SHARE;
        if (!take_budget(s, bytes, r->now))
                return DROP_RELAY_BUDGET;
        s->window_bytes += bytes;
        f->top = MAX(f->top, s->window_bytes);
        return DROP_NONE;
}

void relay_send(PacketRouter *r) {
        static const DropReason reasons[] = { DROP_SEND_FAILED, DROP_TOO_BIG, DROP_STREAM_FULL };
        RelayForward *f = &r->relay;

        if (f->n == 0)
                return;
        r->sink.send(r->sink.userdata, f->train, f->n);
        f->n = 0;
        for (unsigned i = 0; i < ELEMENTSOF(reasons); i++) {
                _Atomic uint64_t *count = &f->drops.count[reasons[i]];
                uint64_t n = atomic_load_explicit(count, memory_order_relaxed);

                if (n == 0)
                        continue;
                drop_count_n(r->drops, reasons[i], n);
                atomic_store_explicit(count, 0, memory_order_relaxed);
                f->full = f->full || reasons[i] == DROP_SEND_FAILED;
        }
}

/* The last train of @route, if @n datagrams, @len bytes in all, may follow in it. */
static TxTrain *
find_open(RelayForward *f, const RelayRoute *route, size_t len, size_t segment, unsigned n) {
        for (unsigned i = f->n; i-- > 0;) {
                TxTrain *t = &f->train[i];

                if (t->key != route)
                        continue;
                if (segment != t->segment && (n > 1 || len > t->segment))
                        return NULL;
                if (t->n + n > TX_SEGMENTS_MAX || t->len + len > TX_TRAIN_SIZE_MAX ||
                    t->len != (uint32_t) t->n * t->segment || t->n_iov == TX_IOV_MAX)
                        return NULL;
                return t;
        }
        return NULL;
}

/* @n datagrams of @segment bytes, the last of which may be shorter. */
static void
append(PacketRouter *r, const RelayRoute *route, uint8_t *data, size_t len, size_t segment, unsigned n) {
        RelayForward *f = &r->relay;
        TxTrain *t = find_open(f, route, len, segment, n);

        if (!t) {
                if (f->n == TX_TRAINS_MAX)
                        relay_send(r);
                t = &f->train[f->n++];
                t->key = route;
                t->to = route->to;
                t->drops = &f->drops;
                t->segment = (uint16_t) MIN(segment, len);
                t->n = 0;
                t->len = 0;
                t->n_iov = 0;
        }
        t->iov[t->n_iov++] = (struct iovec){ data, len };
        t->n = (uint16_t) (t->n + n);
        t->len += (uint32_t) len;
}

static bool comes_from(const RelayRoute *route, const Endpoint *from) {
        for (unsigned i = 0; i < route->n_from; i++)
                if (endpoint_equal(&route->from[i], from))
                        return true;
        return false;
}

/* A run of datagrams for @route. */
static void
forward(PacketRouter *r,
        const RelayRoute *route,
        uint8_t *data,
        size_t len,
        size_t segment,
        const Endpoint *from) {
        unsigned n = (unsigned) ((len + segment - 1) / segment);
        DropReason reason = comes_from(route, from) ? DROP_NONE : DROP_RELAY_SOURCE;
        size_t step = MIN(TX_TRAIN_SIZE_MAX / segment, TX_SEGMENTS_MAX) * segment;

        if (reason == DROP_NONE)
                reason = admit(r, route->share, len);
        if (reason != DROP_NONE) {
                drop_count_n(r->drops, reason, n);
                return;
        }
        for (size_t at = 0; at < len; at += segment)
                write_le32(data + at + RELAY_ALLOCATION_OFFSET, route->to.relay);
        r->stats.authentic += n;
        counter_add(&route->use->datagrams, n);
        counter_add(&route->use->bytes, len - (size_t) n * RELAY_HEADER_SIZE);
        atomic_store_explicit(&route->use->last, r->now, memory_order_relaxed);
        /* What came by IPv6 may be longer than fits one packet of IPv4. */
        for (size_t at = 0; at < len; at += step) {
                size_t part = MIN(step, len - at);

                append(r, route, data + at, part, segment,
                       (unsigned) ((part + segment - 1) / segment));
        }
}

size_t relay_ingress(PacketRouter *r, uint8_t *data, size_t len, size_t segment, const Endpoint *from) {
        size_t run = MIN(segment, len);
        const RelayRoute *route;
        Endpoint behind;

        if (!relayed_is_well_formed(data, run)) {
                drop_count(r->drops, DROP_MALFORMED);
                return run;
        }
        route = r->relays ? relay_table_lookup(r->relays, relayed_allocation(data)) : NULL;
        if (!route) {
                behind = *from;
                behind.relay = relayed_allocation(data);
                ingress_datagram(r, data + RELAY_HEADER_SIZE, run - RELAY_HEADER_SIZE, &behind);
                return run;
        }
        while (run < len) {
                size_t next = MIN(segment, len - run);

                if (!relayed_is_well_formed(data + run, next) ||
                    relayed_allocation(data + run) != route->number)
                        break;
                run += next;
        }
        forward(r, route, data, run, segment, from);
        return run;
}
