/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vnet/address-pool.h"

#include "base/macros.h"

#define WIDTH 64U
#define LEVELS_MAX 6U /* 64^6 > 2^32 */

struct AddressPool {
        uint32_t first;
        uint64_t size;
        unsigned n_levels;
        uint64_t *level[LEVELS_MAX]; /* [0]: a bit an address; the last has one word */
};

static uint64_t words(uint64_t bits) {
        return (bits + WIDTH - 1) / WIDTH;
}

AddressPool *address_pool_new(uint32_t first, uint32_t last) {
        AddressPool *p = NEW(AddressPool);
        uint64_t bits;

        assert(first <= last);
        p->first = first;
        p->size = (uint64_t) last - first + 1;
        bits = p->size;
        do {
                uint64_t n = words(bits), *level = g_new0(uint64_t, n);

                /* What lies behind the end is not there to be found. */
                if (bits % WIDTH != 0)
                        level[n - 1] = UINT64_MAX << bits % WIDTH;
                p->level[p->n_levels++] = level;
                bits = n;
        } while (bits > 1);
        return p;
}

AddressPool *address_pool_free(AddressPool *p) {
        if (!p)
                return NULL;
        for (unsigned i = 0; i < p->n_levels; i++)
                g_free(p->level[i]);
        g_free(p);
        return NULL;
}

bool address_pool_contains(const AddressPool *p, uint32_t address) {
        return address >= p->first && address - p->first < p->size;
}

bool address_pool_is_free(const AddressPool *p, uint32_t address) {
        uint32_t i = address - p->first;

        return address_pool_contains(p, address) && (p->level[0][i / WIDTH] >> i % WIDTH & 1) == 0;
}

void address_pool_set(AddressPool *p, uint32_t address, bool taken) {
        uint64_t i = address - p->first;

        if (!address_pool_contains(p, address))
                return;
        for (unsigned k = 0; k < p->n_levels; k++, i /= WIDTH) {
                uint64_t *word = &p->level[k][i / WIDTH];
                uint64_t bit = UINT64_C(1) << i % WIDTH;

                *word = taken ? *word | bit : *word & ~bit;
                taken = *word == UINT64_MAX; /* what the level above says of this word */
        }
}

bool address_pool_lowest(const AddressPool *p, uint32_t *ret) {
        uint64_t i = 0;

        if (p->level[p->n_levels - 1][0] == UINT64_MAX)
                return false;
        for (unsigned k = p->n_levels; k > 0; k--)
                i = i * WIDTH + (unsigned) __builtin_ctzll(~p->level[k - 1][i]);
        *ret = p->first + (uint32_t) i;
        return true;
}
