/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The few macros GLib has no counterpart for. Memory comes from g_new0()/g_malloc(), which end
 * the process when there is none: everything a stranger can make us allocate is bounded by
 * limits.h, so that running out of memory is never something the network can cause.
 */

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define NEW(T) g_new0(T, 1)

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _pure_ __attribute__((pure))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

/* Moves the value out of a variable, so that its cleanup function has nothing left to do. */
#define TAKE_PTR(p)                                                                                \
        ({                                                                                         \
                typeof(p) *_pp = &(p);                                                             \
                typeof(p) _v = *_pp;                                                               \
                *_pp = NULL;                                                                       \
                _v;                                                                                \
        })
#define TAKE_FD(fd)                                                                                \
        ({                                                                                         \
                int *_fp = &(fd);                                                                  \
                int _v = *_fp;                                                                     \
                *_fp = -EBADF;                                                                     \
                _v;                                                                                \
        })

static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)

/* Big-endian and little-endian integers in foreign bytes, at any alignment. */
static inline uint16_t read_be16(const void *p) {
        const uint8_t *b = p;
        return (uint16_t) (b[0] << 8 | b[1]);
}
static inline uint32_t read_be32(const void *p) {
        const uint8_t *b = p;
        return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 | (uint32_t) b[2] << 8 | b[3];
}
static inline uint64_t read_be64(const void *p) {
        return (uint64_t) read_be32(p) << 32 | read_be32((const uint8_t *) p + 4);
}
static inline void write_be16(void *p, uint16_t v) {
        uint8_t *b = p;
        b[0] = (uint8_t) (v >> 8);
        b[1] = (uint8_t) v;
}
static inline void write_be32(void *p, uint32_t v) {
        write_be16(p, (uint16_t) (v >> 16));
        write_be16((uint8_t *) p + 2, (uint16_t) v);
}
static inline void write_be64(void *p, uint64_t v) {
        write_be32(p, (uint32_t) (v >> 32));
        write_be32((uint8_t *) p + 4, (uint32_t) v);
}
static inline uint32_t read_le32(const void *p) {
        const uint8_t *b = p;
        return (uint32_t) b[3] << 24 | (uint32_t) b[2] << 16 | (uint32_t) b[1] << 8 | b[0];
}
static inline uint64_t read_le64(const void *p) {
        return (uint64_t) read_le32((const uint8_t *) p + 4) << 32 | read_le32(p);
}
static inline void write_le32(void *p, uint32_t v) {
        uint8_t *b = p;
        b[0] = (uint8_t) v;
        b[1] = (uint8_t) (v >> 8);
        b[2] = (uint8_t) (v >> 16);
        b[3] = (uint8_t) (v >> 24);
}
static inline void write_le64(void *p, uint64_t v) {
        write_le32(p, (uint32_t) v);
        write_le32((uint8_t *) p + 4, (uint32_t) (v >> 32));
}
