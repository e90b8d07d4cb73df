/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Layout of the datagrams (docs/protocol.md, "Transport" and "Inside a data message"). Offsets
 * only: foreign bytes are never cast to a struct. Codecs for payloads are in handshake-payload.h,
 * record.h, control.h, invite.h.
 */

#include <stdint.h>

#define OMERTA_PROTOCOL_VERSION 1
#define OMERTA_PROLOGUE "omerta v1"

typedef enum MessageType {
        MESSAGE_HANDSHAKE_INITIATION = 1,
        MESSAGE_HANDSHAKE_RESPONSE = 2,
        MESSAGE_COOKIE_REPLY = 3,
        MESSAGE_DATA = 4,
        MESSAGE_RELAYED = 5,
        MESSAGE_BEACON = 6,
} MessageType;

#define MAC_SIZE 16U
#define TAG_SIZE 16U
#define TAI64N_SIZE 12U

/* No handshake may need a larger path than the least IPv6 MTU, not through a relay either:
 * 1280 - 40 - 8 - RELAY_HEADER_SIZE. */
#define HANDSHAKE_SIZE_MAX 1224U
/* An initiation is at least as long as any response, so that a forged source address gains
 * nothing by us. */
#define INITIATION_SIZE_MIN 960U

#define INITIATION_SENDER_OFFSET 4U
#define INITIATION_EPHEMERAL_OFFSET 8U
#define INITIATION_STATIC_OFFSET 40U
#define INITIATION_PAYLOAD_OFFSET 88U
/* mac1 and mac2 are the last 32 bytes of types 1 and 2. */
#define INITIATION_OVERHEAD (INITIATION_PAYLOAD_OFFSET + TAG_SIZE + 2U * MAC_SIZE) /* 136 */

#define RESPONSE_SENDER_OFFSET 4U
#define RESPONSE_RECEIVER_OFFSET 8U
#define RESPONSE_EPHEMERAL_OFFSET 12U
#define RESPONSE_PAYLOAD_OFFSET 44U
#define RESPONSE_OVERHEAD (RESPONSE_PAYLOAD_OFFSET + TAG_SIZE + 2U * MAC_SIZE) /* 92 */

#define COOKIE_REPLY_SIZE 64U
#define COOKIE_RECEIVER_OFFSET 4U
#define COOKIE_NONCE_OFFSET 8U
#define COOKIE_SEALED_OFFSET 32U

#define DATA_HEADER_SIZE 16U
#define DATA_FLAGS_OFFSET 1U
#define DATA_RECEIVER_OFFSET 4U
#define DATA_COUNTER_OFFSET 8U
#define DATA_OVERHEAD (DATA_HEADER_SIZE + TAG_SIZE) /* 32 */
#define DATA_FLAG_CSUM_PARTIAL 0x01U
#define DATA_FLAGS_KNOWN DATA_FLAG_CSUM_PARTIAL

/* In front of a datagram of another type (core/wire/relayed.h). */
#define RELAY_HEADER_SIZE 8U
#define RELAY_ALLOCATION_OFFSET 4U

/* Who is in the same broadcast domain; at these groups and this port besides unicast. The groups
 * are of the IPv4 local scope (RFC 2365) and, transient, of the link (RFC 4291 section 2.7, RFC
 * 3307 section 4.3); 0x4652 is 18002. */
#define BEACON_PORT 18003
#define BEACON_GROUP4 "239.255.70.82"
#define BEACON_GROUP6 "ff12::8000:4652"
#define BEACON_NONCE_OFFSET 4U
#define BEACON_NONCE_SIZE 24U
#define BEACON_SEALED_OFFSET 28U
#define BEACON_PLAIN_SIZE 64U
#define BEACON_SIZE 108U
#define BEACON_LIFE_SIZE 8U

/* Frames: first plaintext byte with the upper 4 bits 0. */
typedef enum FrameType {
        FRAME_SEGMENT = 1,
        FRAME_ACK = 2,
        FRAME_PROBE = 3,
        FRAME_PROBE_REPLY = 4,
        FRAME_DATAGRAM = 5,
        FRAME_CLOSE = 6,
} FrameType;

typedef enum CloseReason {
        CLOSE_SHUTDOWN = 0,
        CLOSE_REVOKED = 1,
        CLOSE_LEFT = 2,
} CloseReason;

#define SEGMENT_HEADER_SIZE 10U /* type, flags, sequence, cumulative ack */
#define SEGMENT_FLAG_FIRST 0x01U
#define SEGMENT_FLAG_LAST 0x02U
#define SEGMENT_DATA_MAX 1100U
#define SEGMENT_WINDOW 64U
#define ACK_SIZE 13U
#define PROBE_SIZE 9U

/* Inner MTU on a path of 1500 bytes over IPv6: 1500 - 40 - 8 - 32. */
#define OMERTA_MTU_DEFAULT 1420U
#define OMERTA_MTU_MIN 1280U
/* Inner, of what passes wherever every handshake does, through a relay too: 1280 - 40 - 8 - 8 - 32. */
#define OMERTA_MTU_LEAST 1192U
