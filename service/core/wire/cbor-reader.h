/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads the CBOR of docs/protocol.md from foreign bytes: RFC 8949 with definite lengths and
 * shortest heads only, text in UTF-8, maps with unsigned integer keys. Internal to core/wire.
 *
 * The first thing that is wrong makes the reader fail for good: every later call does nothing
 * and returns zeros, so that a decoder checks once, with cbor_reader_end(). Nothing is
 * allocated; pointers handed out point into the input.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of one map. The largest of ours has 10; the rest is room for later versions. Bounds
 * the search for duplicate keys. */
#define CBOR_MAP_ENTRIES_MAX 32U
/* Nesting inside a value that is skipped. */
#define CBOR_DEPTH_MAX 8U

/* For the @mandatory of cbor_reader_end(). */
#define CBOR_KEY(key) (UINT64_C(1) << (key))

typedef struct CborReader {
        const uint8_t *at;
        size_t left;
        bool failed;

        /* The outermost map. */
        size_t entries_left;
        unsigned n_keys;
        uint64_t keys[CBOR_MAP_ENTRIES_MAX]; /* seen so far */
} CborReader;

void cbor_reader_init(CborReader *r, const uint8_t *buf, size_t len);
/* The same, and enters the map that all of @buf must be. */
void cbor_reader_init_map(CborReader *r, const uint8_t *buf, size_t len);

/**
 * cbor_reader_next_key() - go to the next entry of the map
 *
 * The caller then reads or skips exactly one value.
 * Return: false at the end of the map and after a failure.
 */
bool cbor_reader_next_key(CborReader *r, uint64_t *ret_key);
/* True if the map had @key, as far as it was read. */
bool cbor_reader_has_key(const CborReader *r, uint64_t key);

/* An unsigned integer of at most @max. */
uint64_t cbor_reader_uint(CborReader *r, uint64_t max);
/* A byte string of any length. Return: NULL after a failure only. */
const uint8_t *cbor_reader_bytes(CborReader *r, size_t *ret_len);
/* A byte string of exactly @len bytes. */
void cbor_reader_bytes_exact(CborReader *r, void *ret, size_t len);
/* Text in UTF-8 of at most @size - 1 bytes without control characters; gets a final NUL. */
void cbor_reader_text(CborReader *r, char *ret, size_t size);
/* Head of an array of at most @max items, which the caller reads one by one. Return: how many. */
size_t cbor_reader_array(CborReader *r, size_t max);
/* Any one value, whatever its type. */
void cbor_reader_skip(CborReader *r);

/* What was read means nothing here. */
static inline void cbor_reader_fail(CborReader *r) {
        r->failed = true;
}

/**
 * cbor_reader_end() - all is read
 * @mandatory: CBOR_KEY() of each key below 64 that the map must have had
 * Return: 0, or -EBADMSG if anything failed, is missing, or is left over.
 */
int cbor_reader_end(const CborReader *r, uint64_t mandatory);

/* UTF-8 without control characters (they would reach a terminal), NUL included. */
bool cbor_text_is_clean(const char *text, size_t len);
