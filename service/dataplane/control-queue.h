/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages from the packet thread to the control thread: a ring of bytes with one producer and
 * one consumer, neither of which ever waits for the other, and an eventfd that is written only
 * when the consumer sleeps. Bounded: what does not fit is not taken.
 *
 * One ring keeps the order of everything (a machine's farewell comes before its next handshake),
 * and each kind of sender has a room in it, which the others cannot fill: handshakes, which
 * strangers can send; machines that only enrol; members. In a room nobody may have more waiting
 * than CONTROL_SHARE times what is free there, so one alone gets two thirds of it, two get two
 * fifths each, and whoever comes then still finds room. Nothing is taken out again: who waits with
 * too much loses what it sends next, and nobody else loses anything.
 */

#include <stdatomic.h>

#include "base/drop-reason.h"
#include "base/endpoint.h"
#include "base/limits.h"

/* Longest @len; a frame can be as long as the largest inner packet of an underlay with jumbo
 * frames. */
#define CONTROL_DATA_MAX (16U * 1024U)
/* Three members alone have their whole windows waiting (SEGMENT_WINDOW segments of 1.2 KiB). */
#define CONTROL_SHARE 2U
/* All rooms, what is left over at the end of the ring, and news of ours that no room may keep
 * out. */
#define CONTROL_QUEUE_SIZE                                                                         \
        (CONTROL_HANDSHAKES_BYTES_MAX + CONTROL_STRANGERS_BYTES_MAX + CONTROL_MEMBERS_BYTES_MAX +  \
         CONTROL_DATA_MAX + 4096U)

typedef enum ControlKind {
        CONTROL_DATAGRAM,
        CONTROL_FRAME,
        CONTROL_ARRIVAL,
        CONTROL_WANT_SESSION,
        CONTROL_SENT,
        CONTROL_FAILED,
        CONTROL_SOCKET_FAILED, /* @data: the fd, 4 bytes */
        CONTROL_ECHO,          /* @data: the number, 8 bytes */
        CONTROL_LOCAL_LOST,    /* @from: its local */
        CONTROL_RELAY_UNKNOWN, /* @from: with the number */
        CONTROL_STREAM_ENDED,  /* @from */
} ControlKind;

typedef enum ControlRoom {
        CONTROL_ROOM_HANDSHAKES,
        CONTROL_ROOM_STRANGERS, /* authentic, but no members: they enrol */
        CONTROL_ROOM_MEMBERS,   /* and what this machine's own programs cause */
        _CONTROL_ROOM_MAX,
} ControlRoom;

typedef struct ControlItem {
        uint16_t kind;             /* ControlKind */
        uint16_t room;             /* ControlRoom; _CONTROL_ROOM_MAX: none */
        uint32_t size;             /* of the record, with this header; multiple of 8 */
        uint32_t len;              /* of @data */
        int32_t error;             /* CONTROL_FAILED, CONTROL_SOCKET_FAILED */
        void *object;              /* Keypair, PacketPeer, Netif or Mesh */
        _Atomic uint32_t *waiting; /* of the sender; or NULL */
        Endpoint from;
        uint8_t data[] __attribute__((aligned(8)));
} ControlItem;

typedef struct ControlQueue ControlQueue;

int control_queue_new(ControlQueue **ret);
ControlQueue *control_queue_free(ControlQueue *q);
/* Readable when there is something. */
int control_queue_fd(const ControlQueue *q);

/* --- producer --- */

/* Copies the message. @from, @data may be NULL. CONTROL_DATAGRAM and RELAY_UNKNOWN go into the room
 * of handshakes, the rest, which is ours, into that of members; what has failed comes through while
 * the ring has any space. Return: false if there is no room. */
bool control_queue_post(
                ControlQueue *q,
                ControlKind kind,
                void *object,
                int error,
                const Endpoint *from,
                const uint8_t *data,
                size_t len);
/**
 * control_queue_post_of() - the same for what another machine sent
 * @waiting: bytes of that machine in the ring; counted here and by control_queue_pop(), so it lives
 *           as long as messages of the machine are in the ring
 * Return: DROP_NONE, DROP_CONTROL_OVERFLOW: no room, DROP_CONTROL_SHARE: no room for this one.
 */
DropReason control_queue_post_of(
                ControlQueue *q,
                ControlRoom room,
                _Atomic uint32_t *waiting,
                ControlKind kind,
                void *object,
                const Endpoint *from,
                const uint8_t *data,
                size_t len);
/* How far it has written: with control_queue_is_past() whether all that was posted so far was
 * taken. */
uint64_t control_queue_position(const ControlQueue *q);
/* Makes the fd readable. Any thread. */
void control_queue_wake(ControlQueue *q);

/* --- consumer --- */

/* The next message, in place; or NULL. */
ControlItem *control_queue_peek(ControlQueue *q);
/* Done with the message peeked at. */
void control_queue_pop(ControlQueue *q);
bool control_queue_is_past(const ControlQueue *q, uint64_t position);
/* Before looking: the fd is not readable until something comes after this. */
void control_queue_clear(ControlQueue *q);
/* After looking: the next post writes the fd. Return: false if something came meanwhile. */
bool control_queue_sleep(ControlQueue *q);
