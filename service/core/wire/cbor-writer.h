/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writes the CBOR of docs/protocol.md, always the same bytes for the same values: definite
 * lengths, shortest heads, keys ascending (RFC 8949 section 4.2.1). Internal to core/wire.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct CborWriter {
        GByteArray *out;
        bool is_map;
        unsigned n_entries; /* of the outermost map */
        uint64_t last_key;
} CborWriter;

/* An empty sequence; the caller writes exactly one item. */
void cbor_writer_init(CborWriter *w);
/* A map; its entries are written with cbor_writer_key() and one value each. */
void cbor_writer_init_map(CborWriter *w);

/* Keys ascend. Return: @w, for cbor_writer_uint(cbor_writer_key(&w, 1), 42). */
CborWriter *cbor_writer_key(CborWriter *w, uint64_t key);
void cbor_writer_uint(CborWriter *w, uint64_t value);
void cbor_writer_bytes(CborWriter *w, const void *data, size_t len);
void cbor_writer_text(CborWriter *w, const char *text);
/* Head of an array; the caller writes its @n items. */
void cbor_writer_array(CborWriter *w, size_t n);

/* Return: all of it, or NULL if it is more than @max bytes. The writer is empty afterwards. */
GBytes *cbor_writer_finish(CborWriter *w, size_t max);
