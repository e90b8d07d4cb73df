/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/control-queue.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/macros.h"

/*
 * Positions count bytes ever written and ever taken; their difference is what is in the ring. A
 * record lies in one piece: where it would run over the end, a record without kind fills the
 * rest. The producer owns head, the consumer tail, each on a cache line of its own.
 */

#define KIND_PADDING UINT16_MAX
#define RECORD_ALIGN 8U

static_assert((CONTROL_QUEUE_SIZE & (CONTROL_QUEUE_SIZE - 1)) == 0, "positions are masked");

struct ControlQueue {
        _Atomic uint64_t head __attribute__((aligned(64)));
        _Atomic uint64_t tail __attribute__((aligned(64)));
        _Atomic bool sleeping __attribute__((aligned(64)));
        int fd;
        uint8_t ring[CONTROL_QUEUE_SIZE] __attribute__((aligned(64)));
};

int control_queue_new(ControlQueue **ret) {
        ControlQueue *q = g_aligned_alloc0(1, sizeof *q, _Alignof(ControlQueue));

        q->sleeping = true;
        q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (q->fd < 0) {
                int r = -errno;

                g_aligned_free(q);
                return r;
        }
        *ret = q;
        return 0;
}

ControlQueue *control_queue_free(ControlQueue *q) {
        if (q) {
                close(q->fd);
                g_aligned_free(q);
        }
        return NULL;
}

int control_queue_fd(const ControlQueue *q) {
        return q->fd;
}

static ControlMessage *record(ControlQueue *q, uint64_t position) {
        return (ControlMessage *) (q->ring + (position & (CONTROL_QUEUE_SIZE - 1)));
}

void control_queue_wake(ControlQueue *q) {
        (void) eventfd_write(q->fd, 1);
}

bool control_queue_post(
                ControlQueue *q,
                ControlKind kind,
                void *object,
                int error,
                const Endpoint *from,
                const uint8_t *data,
                size_t len) {
        uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
        uint64_t used = head - atomic_load_explicit(&q->tail, memory_order_acquire);
        size_t size = (sizeof(ControlMessage) + len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
        size_t to_end = CONTROL_QUEUE_SIZE - (head & (CONTROL_QUEUE_SIZE - 1));
        size_t padding = to_end < size ? to_end : 0;
        size_t limit = kind == CONTROL_DATAGRAM ? CONTROL_QUEUE_SIZE / 2 : CONTROL_QUEUE_SIZE;
        ControlMessage *m;

        if (len > CONTROL_DATA_MAX || used + padding + size > limit)
                return false;
        if (padding > 0) {
                /* Records are multiples of 8, so there is always room for kind and size. */
                m = record(q, head);
                m->kind = KIND_PADDING;
                m->size = (uint32_t) padding;
                head += padding;
        }
        m = record(q, head);
        m->kind = kind;
        m->size = (uint32_t) size;
        m->len = (uint32_t) len;
        m->error = error;
        m->object = object;
        m->from = from ? *from : (Endpoint){};
        if (len > 0)
                memcpy(m->data, data, len);
        /* Sequentially consistent with control_queue_sleep(): either it sees the message or we
         * see that it sleeps. */
        atomic_store(&q->head, head + size);
        if (atomic_exchange(&q->sleeping, false))
                control_queue_wake(q);
        return true;
}

uint64_t control_queue_position(const ControlQueue *q) {
        return atomic_load_explicit(&q->head, memory_order_relaxed);
}

ControlMessage *control_queue_peek(ControlQueue *q) {
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        ControlMessage *m;

        if (tail == head)
                return NULL;
        m = record(q, tail);
        if (m->kind == KIND_PADDING) {
                /* A message always follows: both were published at once. */
                atomic_store_explicit(&q->tail, tail + m->size, memory_order_release);
                m = record(q, tail + m->size);
        }
        return m;
}

void control_queue_pop(ControlQueue *q) {
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

        atomic_store_explicit(&q->tail, tail + record(q, tail)->size, memory_order_release);
}

bool control_queue_is_past(const ControlQueue *q, uint64_t position) {
        return atomic_load_explicit(&q->tail, memory_order_relaxed) >= position;
}

void control_queue_clear(ControlQueue *q) {
        eventfd_t ignored;

        (void) eventfd_read(q->fd, &ignored);
}

bool control_queue_sleep(ControlQueue *q) {
        atomic_store(&q->sleeping, true);
        return atomic_load(&q->head) == atomic_load_explicit(&q->tail, memory_order_relaxed);
}
