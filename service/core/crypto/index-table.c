/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/index-table.h"

#include "base/limits.h"
#include "base/macros.h"

/*
 * Packet threads touch only keypair[]: the pointer is published with release and read with
 * acquire order, so that who sees it sees the keys behind it; the keypair itself tells which index
 * it is for. The rest belongs to the control thread.
 *
 * Slots never used come first, then those longest released: an index is given again as late as
 * can be, and a table of few links touches few pages.
 */

static_assert(KEYPAIRS_MAX == 1U << 16, "the low 16 bits of an index are the slot");

#define SLOT_NONE UINT32_MAX

typedef struct Slot {
        struct Mesh *owner;
        uint32_t next_free; /* while it waits to be used again */
        uint16_t high;      /* of the present or the last index */
        bool used;
} Slot;

struct IndexTable {
        _Atomic(Keypair *) keypair[KEYPAIRS_MAX];
        Slot slot[KEYPAIRS_MAX];
        uint32_t n_touched; /* slots from here on were never used */
        uint32_t first_free, last_free;
};

static uint32_t slot_of(uint32_t index) {
        return index & (KEYPAIRS_MAX - 1);
}

IndexTable *index_table_new(void) {
        IndexTable *t = NEW(IndexTable);

        t->first_free = t->last_free = SLOT_NONE;
        return t;
}

IndexTable *index_table_free(IndexTable *t) {
        g_free(t);
        return NULL;
}

static Slot *find_used(IndexTable *t, uint32_t index) {
        Slot *s = &t->slot[slot_of(index)];

        return s->used && s->high == index >> 16 ? s : NULL;
}

int index_table_reserve(IndexTable *t, uint16_t random, struct Mesh *owner, uint32_t *ret) {
        uint32_t i;
        Slot *s;

        if (t->n_touched < KEYPAIRS_MAX)
                i = t->n_touched++;
        else if (t->first_free != SLOT_NONE) {
                i = t->first_free;
                t->first_free = t->slot[i].next_free;
                if (t->first_free == SLOT_NONE)
                        t->last_free = SLOT_NONE;
        } else
                return -ENOBUFS;
        s = &t->slot[i];
        /* Never the slot's last index again, never index 0. */
        while (random == s->high || ((uint32_t) random << 16 | i) == 0)
                random++;
        *s = (Slot){ .owner = owner, .high = random, .used = true };
        *ret = (uint32_t) random << 16 | i;
        return 0;
}

struct Mesh *index_table_owner(IndexTable *t, uint32_t index) {
        Slot *s = find_used(t, index);

        return s ? s->owner : NULL;
}

void index_table_bind(IndexTable *t, Keypair *kp) {
        assert(find_used(t, kp->local_index));
        atomic_store_explicit(&t->keypair[slot_of(kp->local_index)], kp, memory_order_release);
}

void index_table_release(IndexTable *t, uint32_t index) {
        uint32_t i = slot_of(index);
        Slot *s = find_used(t, index);

        if (!s)
                return;
        atomic_store_explicit(&t->keypair[i], NULL, memory_order_release);
        s->owner = NULL;
        s->used = false;
        s->next_free = SLOT_NONE;
        if (t->last_free == SLOT_NONE)
                t->first_free = i;
        else
                t->slot[t->last_free].next_free = i;
        t->last_free = i;
}

Keypair *index_table_lookup(IndexTable *t, uint32_t index) {
        Keypair *kp = atomic_load_explicit(&t->keypair[slot_of(index)], memory_order_acquire);

        return kp && kp->local_index == index ? kp : NULL;
}
