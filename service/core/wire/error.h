/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why something asked of another machine came to nothing. On the wire an error is a name out of a
 * fixed set (docs/protocol.md, "Messages"); in here it is a number, so that nobody can make a name,
 * a sentence or a log line of ours out of foreign bytes. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WireError {
        WIRE_ERROR_NONE, /* it worked */

        /* What the other side may say. */
        WIRE_ERROR_FAILED, /* it could not, e.g. its disk is full; or it said what nobody knows */
        WIRE_ERROR_MALFORMED,
        WIRE_ERROR_FULL,
        WIRE_ERROR_NO_SUCH_CHANNEL,
        WIRE_ERROR_NOT_PERMITTED,
        WIRE_ERROR_NAME_TAKEN,
        WIRE_ERROR_POOL_EMPTY,
        WIRE_ERROR_INVITE_INVALID,
        WIRE_ERROR_INVITE_EXPIRED,
        WIRE_ERROR_INVITE_USED,
        WIRE_ERROR_CLOCK,      /* an issuer's clock cannot be right, or is too far from ours */
        WIRE_ERROR_ABSENT,     /* was away for longer than the network allows */
        WIRE_ERROR_NOT_LINKED, /* a relay has no link with the machine asked for */

        /* Our own verdicts: never sent, and not believed when they come. */
        WIRE_ERROR_TIMEOUT,
        WIRE_ERROR_UNREACHABLE,
        WIRE_ERROR_CANCELLED,
        WIRE_ERROR_NO_GATEWAY,
        WIRE_ERROR_ADDRESS_IN_USE,
        WIRE_ERROR_ADDRESS_LOST,
        WIRE_ERROR_REVOKED,
        WIRE_ERROR_WAITING, /* for an approval */
        WIRE_ERROR_SUBNET,  /* the network wants addresses that this machine cannot give it */
        _WIRE_ERROR_MAX,
} WireError;

/* The longest name on the wire, in bytes. */
#define WIRE_ERROR_NAME_MAX 16U

/* Whether @e may be sent. */
bool wire_error_is_foreign(WireError e);
/* Whether @e says that no answer came: asking again may help. */
bool wire_error_is_silence(WireError e);
/* Return: static; ASCII letters only, "None" for WIRE_ERROR_NONE. */
const char *wire_error_name(WireError e);
/* Return: static; a sentence for people, without capital and full stop. */
const char *wire_error_text(WireError e);
/**
 * wire_error_from_name() - what the other side said
 * @bytes: payload of a message of kind error, as it came; not terminated, may be NULL if @len is 0
 * Return: an error it may say; WIRE_ERROR_FAILED for everything else, never WIRE_ERROR_NONE.
 */
WireError wire_error_from_name(const void *bytes, size_t len);
