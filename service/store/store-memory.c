/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SQLite's memory. Pages, rows and bound values of ours hold keys, and SQLite gives back memory as
 * it is. So what it gives back is wiped here. (sqlite.org/c3ref/mem_methods.html)
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store/store-internal.h"

/* In front of what SQLite sees, which is aligned like what malloc() returns. */
#define HEADER_SIZE 16U
static_assert(HEADER_SIZE >= sizeof(size_t), "the size fits");

static int memory_size(void *p) {
        size_t size = 0;

        if (p)
                memcpy(&size, (uint8_t *) p - HEADER_SIZE, sizeof size);
        return (int) size;
}

static void *memory_alloc(int n) {
        size_t size = (size_t) n;
        uint8_t *p = malloc(HEADER_SIZE + size);

        if (!p)
                return NULL;
        memcpy(p, &size, sizeof size);
        return p + HEADER_SIZE;
}

static void memory_free(void *p) {
        if (!p)
                return;
        sodium_memzero(p, (size_t) memory_size(p));
        free((uint8_t *) p - HEADER_SIZE);
}

static void *memory_realloc(void *p, int n) {
        void *moved = memory_alloc(n);

        if (!moved)
                return NULL;
        memcpy(moved, p, (size_t) MIN(n, memory_size(p)));
        memory_free(p);
        return moved;
}

static int memory_round_up(int n) {
        return (n + 7) & ~7;
}

static int memory_init(void *data) {
        return SQLITE_OK;
}

static void memory_done(void *data) {
}

void store_guard_memory(void) {
        static const sqlite3_mem_methods methods = {
                .xMalloc = memory_alloc,
                .xFree = memory_free,
                .xRealloc = memory_realloc,
                .xSize = memory_size,
                .xRoundup = memory_round_up,
                .xInit = memory_init,
                .xShutdown = memory_done,
        };
        static bool done;

        if (done)
                return;
        done = true;
        (void) sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}
