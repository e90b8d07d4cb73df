/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/relay/relay-table.h"

#include <errno.h>

#include "base/macros.h"

/*
 * Packet threads touch only route[]: the pointer is published with release and read with acquire
 * order, and the route tells itself which number it is of. The rest belongs to the control thread.
 * Slots longest released are given again first: an old number is unknown as long as can be.
 */

static_assert((RELAY_NUMBERS_MAX & (RELAY_NUMBERS_MAX - 1)) == 0, "the low bits of a number");

typedef struct Slot {
        uint32_t number; /* the present or the last one */
        bool used;
} Slot;

struct RelayTable {
        _Atomic(RelayRoute *) route[RELAY_NUMBERS_MAX];
        Slot slot[RELAY_NUMBERS_MAX];
        uint32_t free[RELAY_NUMBERS_MAX]; /* a ring */
        uint32_t first_free, n_free;
};

static uint32_t slot_of(uint32_t number) {
        return number & (RELAY_NUMBERS_MAX - 1);
}

RelayTable *relay_table_new(void) {
        RelayTable *t = NEW(RelayTable);

        for (uint32_t i = 0; i < RELAY_NUMBERS_MAX; i++)
                t->free[i] = i;
        t->n_free = RELAY_NUMBERS_MAX;
        return t;
}

RelayTable *relay_table_free(RelayTable *t) {
        g_free(t);
        return NULL;
}

static Slot *find_used(RelayTable *t, uint32_t number) {
        Slot *s = &t->slot[slot_of(number)];

        return s->used && s->number == number ? s : NULL;
}

int relay_table_reserve(RelayTable *t, uint32_t random, uint32_t *ret) {
        uint32_t i, number;

        if (t->n_free == 0)
                return -ENOBUFS;
        i = t->free[t->first_free];
        t->first_free = (t->first_free + 1) % RELAY_NUMBERS_MAX;
        t->n_free--;
        number = (random & ~(RELAY_NUMBERS_MAX - 1)) | i;
        /* Never the slot's last one again, never 0. */
        while (number == 0 || number == t->slot[i].number)
                number += RELAY_NUMBERS_MAX;
        t->slot[i] = (Slot){ .number = number, .used = true };
        *ret = number;
        return 0;
}

RelayRoute *relay_table_publish(RelayTable *t, uint32_t number, RelayRoute *route) {
        assert(find_used(t, number));
        assert(!route || route->number == number);
        return atomic_exchange_explicit(&t->route[slot_of(number)], route, memory_order_acq_rel);
}

void relay_table_release(RelayTable *t, uint32_t number) {
        Slot *s = find_used(t, number);

        assert(s);
        assert(!atomic_load_explicit(&t->route[slot_of(number)], memory_order_relaxed));
        s->used = false;
        t->free[(t->first_free + t->n_free) % RELAY_NUMBERS_MAX] = slot_of(number);
        t->n_free++;
}

unsigned relay_table_used(const RelayTable *t) {
        return RELAY_NUMBERS_MAX - t->n_free;
}

const RelayRoute *relay_table_lookup(const RelayTable *t, uint32_t number) {
        const RelayRoute *r = atomic_load_explicit(&t->route[slot_of(number)], memory_order_acquire);

        return r && r->number == number ? r : NULL;
}
