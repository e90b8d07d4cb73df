/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ordered, reliable messages over the datagrams of one link (docs/protocol.md, "Frames"):
 * messages are cut into segments, segments are numbered from 0, acknowledged and sent again
 * (RFC 6298 timer, RFC 6675-like fast retransmission), and put together on the other side.
 * Nothing of links or channels is known here: frames and messages are handed out.
 *
 * Exactly once, in order, as long as neither side starts its sequence anew; messages that were
 * not acknowledged at that moment are sent once more, so a message can reach both the old and the
 * new life of a machine.
 *
 * Control thread only. Bounds: CONTROL_QUEUE_MAX bytes to send, SEGMENT_WINDOW segments and one
 * unfinished message of CONTROL_MESSAGE_MAX received.
 */

#include <glib.h>
#include <stdbool.h>

#include "base/drop-reason.h"
#include "base/time.h"
#include "core/mesh/env.h"

/* Nothing acknowledged for so long: the link is dead. */
#define RELIABLE_DEAD_USEC (30 * USEC_PER_SEC)

typedef struct ReliableHandler {
        void *userdata;
        /* Puts a frame into a data message and sends it. */
        void (*send_frame)(void *userdata, const uint8_t *frame, size_t len);
        /* A whole message. May call anything but reliable_free(). */
        void (*deliver)(void *userdata, const uint8_t *message, size_t len);
        /* Retransmissions are not answered: the path is worth a look. */
        void (*stalled)(void *userdata);
        /* RELIABLE_DEAD_USEC passed; the owner calls reliable_fail(). */
        void (*dead)(void *userdata);
} ReliableHandler;

typedef struct Reliable Reliable;

Reliable *reliable_new(const MeshEnv *env, const ReliableHandler *handler);
Reliable *reliable_free(Reliable *r);

/**
 * reliable_push() - queue a message, send what the window allows
 * @message: a reference is taken
 * Return: 0, -EMSGSIZE: empty or larger than CONTROL_MESSAGE_MAX, -ENOBUFS: queue full.
 */
int reliable_push(Reliable *r, GBytes *message);
/* Whether @message (the same object) is still waiting for its acknowledgement. */
bool reliable_has(const Reliable *r, const GBytes *message);
/* Nothing to send and nothing unacknowledged. */
bool reliable_is_idle(const Reliable *r);

/* Frames can be sent (again), or not. What was on the way is sent anew when it opens. */
void reliable_set_open(Reliable *r, bool open);
/* The sequence starts again on both sides; messages not acknowledged are sent anew. */
void reliable_restart(Reliable *r);
/* Drops all messages, both ways, and starts again. */
void reliable_fail(Reliable *r);

/* Frames with their type byte. Return: DROP_NONE or DROP_FRAME_MALFORMED. */
DropReason reliable_handle_segment(Reliable *r, const uint8_t *frame, size_t len);
DropReason reliable_handle_ack(Reliable *r, const uint8_t *frame, size_t len);
