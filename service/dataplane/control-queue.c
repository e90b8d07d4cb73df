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

static_assert(CONTROL_QUEUE_SIZE % RECORD_ALIGN == 0, "records end where the ring does");

static const uint32_t room_size[] = {
        [CONTROL_ROOM_HANDSHAKES] = CONTROL_HANDSHAKES_BYTES_MAX,
        [CONTROL_ROOM_STRANGERS] = CONTROL_STRANGERS_BYTES_MAX,
        [CONTROL_ROOM_MEMBERS] = CONTROL_MEMBERS_BYTES_MAX,
};
static_assert(ELEMENTSOF(room_size) == _CONTROL_ROOM_MAX, "a size for every room");

struct ControlQueue {
        _Atomic uint64_t head __attribute__((aligned(64)));
        uint64_t posted[_CONTROL_ROOM_MAX]; /* producer: bytes ever, by room */
        _Atomic uint64_t tail __attribute__((aligned(64)));
        _Atomic uint64_t taken[_CONTROL_ROOM_MAX];
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

static ControlItem *record(ControlQueue *q, uint64_t position) {
        return (ControlItem *) (q->ring + position % CONTROL_QUEUE_SIZE);
}

void control_queue_wake(ControlQueue *q) {
        (void) eventfd_write(q->fd, 1);
}

/* Return: DROP_NONE: @size more bytes may wait in @room. */
static DropReason
admit(const ControlQueue *q, ControlRoom room, const _Atomic uint32_t *waiting, size_t size) {
        uint64_t used = q->posted[room] - atomic_load_explicit(&q->taken[room], memory_order_relaxed);
        uint64_t room_left = room_size[room] - used;
        uint32_t own = waiting ? atomic_load_explicit(waiting, memory_order_relaxed) : 0;

        if (size > room_left)
                return DROP_CONTROL_OVERFLOW;
        /* The first one of anybody is as good as the others' next. */
        if (own > 0 && own + size > CONTROL_SHARE * room_left)
                return DROP_CONTROL_SHARE;
        return DROP_NONE;
}

/* Where a record of @size bytes goes, in one piece. Return: false if the ring is full. */
static bool make_room(ControlQueue *q, uint64_t *head, size_t size) {
        uint64_t used = *head - atomic_load_explicit(&q->tail, memory_order_acquire);
        size_t to_end = CONTROL_QUEUE_SIZE - *head % CONTROL_QUEUE_SIZE;
        size_t padding = to_end < size ? to_end : 0;
        ControlItem *m;

        if (used + padding + size > CONTROL_QUEUE_SIZE)
                return false;
        if (padding > 0) {
                /* Records are multiples of 8, so there is always room for kind and size. */
                m = record(q, *head);
                m->kind = KIND_PADDING;
                m->size = (uint32_t) padding;
                *head += padding;
        }
        return true;
}

/* @message: all but its size. */
static DropReason post(ControlQueue *q, const ControlItem *message, const uint8_t *data) {
        uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
        size_t size = (sizeof(ControlItem) + message->len + RECORD_ALIGN - 1) / RECORD_ALIGN *
                      RECORD_ALIGN;
        ControlItem *m;

        if (message->len > CONTROL_DATA_MAX)
                return DROP_CONTROL_OVERFLOW;
        if (message->room < _CONTROL_ROOM_MAX) {
                DropReason reason = admit(q, (ControlRoom) message->room, message->waiting, size);

                if (reason != DROP_NONE)
                        return reason;
        }
        if (!make_room(q, &head, size))
                return DROP_CONTROL_OVERFLOW;
        m = record(q, head);
        *m = *message;
        m->size = (uint32_t) size;
        if (m->len > 0)
                memcpy(m->data, data, m->len);
        if (m->room < _CONTROL_ROOM_MAX)
                q->posted[m->room] += size;
        if (m->waiting)
                atomic_fetch_add_explicit(m->waiting, (uint32_t) size, memory_order_relaxed);
        /* Sequentially consistent with control_queue_sleep(): either it sees the message or we
         * see that it sleeps. */
        atomic_store(&q->head, head + size);
        if (atomic_exchange(&q->sleeping, false))
                control_queue_wake(q);
        return DROP_NONE;
}

static ControlRoom room_of(ControlKind kind) {
        switch (kind) {
        case CONTROL_DATAGRAM:
        case CONTROL_RELAY_UNKNOWN:
                return CONTROL_ROOM_HANDSHAKES;
        case CONTROL_FRAME:
        case CONTROL_ARRIVAL:
        case CONTROL_WANT_SESSION:
        case CONTROL_SENT:
        case CONTROL_ECHO:
        case CONTROL_LOCAL_LOST:
        case CONTROL_STREAM_ENDED:
                return CONTROL_ROOM_MEMBERS;
        case CONTROL_FAILED:
        case CONTROL_SOCKET_FAILED:
                break;
        }
        return _CONTROL_ROOM_MAX;
}

bool control_queue_post(
                ControlQueue *q,
                ControlKind kind,
                void *object,
                int error,
                const Endpoint *from,
                const uint8_t *data,
                size_t len) {
        ControlItem m = {
                .kind = kind,
                .room = room_of(kind),
                .len = (uint32_t) MIN(len, (size_t) UINT32_MAX),
                .error = error,
                .object = object,
                .from = from ? *from : (Endpoint){},
        };

        return post(q, &m, data) == DROP_NONE;
}

DropReason control_queue_post_of(
                ControlQueue *q,
                ControlRoom room,
                _Atomic uint32_t *waiting,
                ControlKind kind,
                void *object,
                const Endpoint *from,
                const uint8_t *data,
                size_t len) {
        ControlItem m = {
                .kind = kind,
                .room = room,
                .len = (uint32_t) MIN(len, (size_t) UINT32_MAX),
                .object = object,
                .waiting = waiting,
                .from = *from,
        };

        return post(q, &m, data);
}

uint64_t control_queue_position(const ControlQueue *q) {
        return atomic_load_explicit(&q->head, memory_order_relaxed);
}

ControlItem *control_queue_peek(ControlQueue *q) {
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        ControlItem *m;

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
        const ControlItem *m = record(q, tail);
        uint32_t size = m->size;

        if (m->room < _CONTROL_ROOM_MAX)
                /* One thread writes. */
                atomic_store_explicit(
                                &q->taken[m->room],
                                atomic_load_explicit(&q->taken[m->room], memory_order_relaxed) + size,
                                memory_order_relaxed);
        if (m->waiting)
                atomic_fetch_sub_explicit(m->waiting, size, memory_order_relaxed);
        atomic_store_explicit(&q->tail, tail + size, memory_order_release);
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
