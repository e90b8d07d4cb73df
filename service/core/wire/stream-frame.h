/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Datagrams in a stream of bytes (docs/protocol.md, "Streams"): the length, 2 bytes, big-endian,
 * and the datagram as it would go by UDP. */

#include "base/macros.h"
#include "core/wire/messages.h"

#define STREAM_HEADER_SIZE 2U
/* The shortest datagram there is, a keepalive; and more than the longest, a full packet by a relay. */
#define STREAM_FRAME_MIN DATA_OVERHEAD
#define STREAM_FRAME_MAX 2048U
static_assert(STREAM_FRAME_MAX >= RELAY_HEADER_SIZE + DATA_OVERHEAD + OMERTA_MTU_DEFAULT,
              "the longest datagram fits a frame");

typedef enum StreamFrame {
        STREAM_FRAME_PARTIAL, /* more is to come */
        STREAM_FRAME_WHOLE,
        STREAM_FRAME_BAD, /* no member sends this: nothing after it means anything either */
} StreamFrame;

static inline bool stream_type_is_known(uint8_t type) {
        return type >= MESSAGE_HANDSHAKE_INITIATION && type <= MESSAGE_RELAYED;
}

/**
 * stream_frame_next() - what @data begins with
 * @ret_len: STREAM_FRAME_WHOLE: of the datagram, which is at @data + STREAM_HEADER_SIZE
 * Judged as soon as there is enough to judge by.
 */
static inline StreamFrame stream_frame_next(const uint8_t *data, size_t len, size_t *ret_len) {
        size_t n;

        if (len < STREAM_HEADER_SIZE)
                return STREAM_FRAME_PARTIAL;
        n = read_be16(data);
        if (n < STREAM_FRAME_MIN || n > STREAM_FRAME_MAX ||
            (len > STREAM_HEADER_SIZE && !stream_type_is_known(data[STREAM_HEADER_SIZE])))
                return STREAM_FRAME_BAD;
        if (len - STREAM_HEADER_SIZE < n)
                return STREAM_FRAME_PARTIAL;
        *ret_len = n;
        return STREAM_FRAME_WHOLE;
}

/* What the first frame of a connection can be for who accepted it: it has asked nothing. */
static inline bool stream_type_may_begin(uint8_t type) {
        return type == MESSAGE_HANDSHAKE_INITIATION || type == MESSAGE_DATA ||
               type == MESSAGE_RELAYED;
}
