/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The header of a relayed datagram (docs/protocol.md, "Type 5"). Any thread. */

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "core/wire/messages.h"

/* @header: RELAY_HEADER_SIZE bytes in front of the datagram that is relayed. */
static inline void relayed_write(uint8_t *header, uint32_t allocation) {
        write_le32(header, MESSAGE_RELAYED);
        write_le32(header + RELAY_ALLOCATION_OFFSET, allocation);
}

/**
 * relayed_is_well_formed() - whether @data is a relayed datagram
 * What is inside is only looked at so far that it is none itself: it is at data +
 * RELAY_HEADER_SIZE, of a type from 1 to 4.
 */
static inline bool relayed_is_well_formed(const uint8_t *data, size_t len) {
        return len > RELAY_HEADER_SIZE && read_le32(data) == MESSAGE_RELAYED &&
               read_le32(data + RELAY_ALLOCATION_OFFSET) != 0 &&
               data[RELAY_HEADER_SIZE] >= MESSAGE_HANDSHAKE_INITIATION &&
               data[RELAY_HEADER_SIZE] <= MESSAGE_DATA;
}

static inline uint32_t relayed_allocation(const uint8_t *data) {
        return read_le32(data + RELAY_ALLOCATION_OFFSET);
}
