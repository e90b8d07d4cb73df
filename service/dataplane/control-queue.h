/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages from the packet thread to the control thread: a ring of bytes with one producer and
 * one consumer, neither of which ever waits for the other, and an eventfd that is written only
 * when the consumer sleeps. Bounded: what does not fit is not taken.
 */

#include "base/endpoint.h"

/* About 200 of the longest messages; the control thread needs well under 1 ms for a handshake,
 * and a flood of them is to be turned away, not stored. */
#define CONTROL_QUEUE_SIZE (256U * 1024U)
/* Longest @len; a frame can be as long as the largest inner packet of an underlay with jumbo
 * frames. */
#define CONTROL_DATA_MAX (16U * 1024U)

typedef enum ControlKind {
        CONTROL_DATAGRAM,
        CONTROL_FRAME,
        CONTROL_ARRIVAL,
        CONTROL_WANT_SESSION,
        CONTROL_FAILED,
        CONTROL_ECHO, /* @data: the number, 8 bytes */
} ControlKind;

typedef struct ControlMessage {
        uint16_t kind; /* ControlKind */
        uint32_t size; /* of the record, with this header; multiple of 8 */
        uint32_t len;  /* of @data */
        int32_t error; /* CONTROL_FAILED */
        void *object;  /* Keypair, PacketPeer, Netif or Mesh */
        Endpoint from;
        uint8_t data[] __attribute__((aligned(8)));
} ControlMessage;

typedef struct ControlQueue ControlQueue;

int control_queue_new(ControlQueue **ret);
ControlQueue *control_queue_free(ControlQueue *q);
/* Readable when there is something. */
int control_queue_fd(const ControlQueue *q);

/* --- producer --- */

/* Copies the message. @from, @data may be NULL. CONTROL_DATAGRAM, which strangers can cause, gets
 * only half of the ring. Return: false if there is no room. */
bool control_queue_post(
                ControlQueue *q,
                ControlKind kind,
                void *object,
                int error,
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
ControlMessage *control_queue_peek(ControlQueue *q);
/* Done with the message peeked at. */
void control_queue_pop(ControlQueue *q);
bool control_queue_is_past(const ControlQueue *q, uint64_t position);
/* Before looking: the fd is not readable until something comes after this. */
void control_queue_clear(ControlQueue *q);
/* After looking: the next post writes the fd. Return: false if something came meanwhile. */
bool control_queue_sleep(ControlQueue *q);
