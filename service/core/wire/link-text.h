/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What people send each other: a scheme and base32 of a CBOR map whose key 1 is the version. */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* Characters, the scheme included. An invite with two of the longest names takes 1500. */
#define LINK_TEXT_MAX 2048U

enum {
        LINK_KEY_VERSION = 1,
};

/* Bytes that fit into a text with a scheme of so many characters. */
#define LINK_TEXT_BYTES_MAX(scheme_len) ((LINK_TEXT_MAX - (scheme_len)) * 5 / 8)

/* Return: newly allocated. @bytes fit. */
char *link_text_format(const char *scheme, GBytes *bytes);
/**
 * link_text_parse() - the bytes inside
 * White space around it is allowed (people paste), and either case.
 *
 * Return: their number, -EBADMSG for anything else, -EPROTONOSUPPORT: of another version, which may
 * give other keys other types.
 */
int link_text_parse(
                const char *scheme,
                unsigned version,
                const char *text,
                uint8_t ret[static LINK_TEXT_MAX]);
