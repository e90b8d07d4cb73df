/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/cbor-writer.h"

#include <cbor.h>
#include <string.h>

#include "base/macros.h"
#include "base/wiped.h"

#define HEAD_MAX 9U
/* More entries would need a longer head than the byte kept free for it. */
#define ENTRIES_MAX 23U

static void write_head(CborWriter *w, size_t (*encode)(size_t, unsigned char *, size_t), size_t n) {
        uint8_t head[HEAD_MAX];

        wiped_append(&w->out, head, encode(n, head, sizeof head));
}

void cbor_writer_init(CborWriter *w) {
        *w = (CborWriter){ .out = wiped_new() };
}

void cbor_writer_init_map(CborWriter *w) {
        cbor_writer_init(w);
        w->is_map = true;
        /* How many entries there are is known at the end. */
        write_head(w, cbor_encode_map_start, 0);
}

CborWriter *cbor_writer_key(CborWriter *w, uint64_t key) {
        assert(w->is_map && w->n_entries < ENTRIES_MAX);
        assert(w->n_entries == 0 || key > w->last_key);
        w->n_entries++;
        w->last_key = key;
        cbor_writer_uint(w, key);
        return w;
}

void cbor_writer_uint(CborWriter *w, uint64_t value) {
        uint8_t head[HEAD_MAX];

        wiped_append(&w->out, head, cbor_encode_uint(value, head, sizeof head));
}

void cbor_writer_bytes(CborWriter *w, const void *data, size_t len) {
        write_head(w, cbor_encode_bytestring_start, len);
        if (len > 0)
                wiped_append(&w->out, data, len);
}

void cbor_writer_text(CborWriter *w, const char *text) {
        size_t len = strlen(text);

        write_head(w, cbor_encode_string_start, len);
        if (len > 0)
                wiped_append(&w->out, text, len);
}

void cbor_writer_array(CborWriter *w, size_t n) {
        write_head(w, cbor_encode_array_start, n);
}

GBytes *cbor_writer_finish(CborWriter *w, size_t max) {
        GByteArray *out = TAKE_PTR(w->out);

        if (w->is_map)
                cbor_encode_map_start(w->n_entries, out->data, 1);
        if (out->len > max) {
                wiped_free(out);
                return NULL;
        }
        return wiped_to_bytes(out);
}
