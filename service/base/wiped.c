/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/wiped.h"

#include <string.h>

#include "base/macros.h"

/* Most messages fit and never move. */
#define FIRST_SIZE 1024U

GByteArray *wiped_new(void) {
        return g_byte_array_sized_new(FIRST_SIZE);
}

/* Room for @len bytes more without GLib's moving them, which leaves a copy behind. */
static void make_room(GByteArray **a, size_t len) {
        GByteArray *old = *a;
        size_t room = FIRST_SIZE;

        /* What was asked for is what is there: sizes are powers of two. */
        while (room < old->len)
                room *= 2;
        if (old->len + len <= room)
                return;
        while (room < old->len + len)
                room *= 2;
        *a = g_byte_array_sized_new((unsigned) room);
        g_byte_array_append(*a, old->data, old->len);
        wiped_free(old);
}

void wiped_append(GByteArray **a, const void *data, size_t len) {
        if (len == 0)
                return;
        make_room(a, len);
        g_byte_array_append(*a, data, (unsigned) len);
}

GByteArray *wiped_free(GByteArray *a) {
        explicit_bzero(a->data, a->len);
        g_byte_array_unref(a);
        return NULL;
}

typedef struct Block {
        size_t len;
        uint8_t data[];
} Block;

static void block_free(void *p) {
        Block *b = p;

        explicit_bzero(b->data, b->len);
        g_free(b);
}

GBytes *wiped_to_bytes(GByteArray *a) {
        /* No larger than needed: records are kept by the ten thousand. */
        Block *b = g_malloc(sizeof *b + a->len);

        b->len = a->len;
        memcpy(b->data, a->data, a->len);
        wiped_free(a);
        return g_bytes_new_with_free_func(b->data, b->len, block_free, b);
}
