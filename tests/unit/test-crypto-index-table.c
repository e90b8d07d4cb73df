/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "core/crypto/index-table.h"

static void index_table_freep(IndexTable **t) {
        index_table_free(*t);
}
#define _cleanup_table_ _cleanup_(index_table_freep)

static uint32_t reserve(IndexTable *t, uint16_t random, struct Mesh *owner) {
        uint32_t index = 0;

        assert_int_equal(index_table_reserve(t, random, owner, &index), 0);
        return index;
}

static void test_life(void **state) {
        _cleanup_table_ IndexTable *t = index_table_new();
        Keypair kp = {}, newer = {};
        uint32_t index;
        struct Mesh *owner = (struct Mesh *) &t; /* a name, no more */

        index = reserve(t, 0xabcd, owner);
        assert_int_equal(index >> 16, 0xabcd);
        assert_ptr_equal(index_table_owner(t, index), owner);
        assert_null(index_table_lookup(t, index)); /* no keys yet */
        kp.local_index = newer.local_index = index;
        index_table_bind(t, &kp);
        assert_ptr_equal(index_table_lookup(t, index), &kp);
        /* Another high half, another slot. */
        for (unsigned bit = 0; bit < 32; bit++) {
                assert_null(index_table_lookup(t, index ^ UINT32_C(1) << bit));
                assert_null(index_table_owner(t, index ^ UINT32_C(1) << bit));
        }
        index_table_bind(t, &newer);
        assert_ptr_equal(index_table_lookup(t, index), &newer);
        /* Releasing what is not reserved changes nothing. */
        index_table_release(t, index ^ 0x10000);
        index_table_release(t, index ^ 1);
        assert_ptr_equal(index_table_lookup(t, index), &newer);
        index_table_release(t, index);
        assert_null(index_table_lookup(t, index));
        assert_null(index_table_owner(t, index));
        index_table_release(t, index);
}

static void test_exhaustion_and_reuse(void **state) {
        _cleanup_table_ IndexTable *t = index_table_new();
        g_autofree uint32_t *index = g_new0(uint32_t, KEYPAIRS_MAX);
        g_autofree uint8_t *slot = g_new0(uint8_t, KEYPAIRS_MAX);
        Keypair kp = {};
        uint32_t extra, again;
        struct Mesh *owner = (struct Mesh *) &t; /* a name, no more */

        for (unsigned i = 0; i < KEYPAIRS_MAX; i++) {
                index[i] = reserve(t, 0, owner);
                assert_int_not_equal(index[i], 0);
                assert_int_equal(slot[index[i] & 0xffff]++, 0);
        }
        assert_int_equal(index_table_reserve(t, 0, owner, &extra), -ENOBUFS);
        /* The same randomness again: still not the old index. */
        kp.local_index = index[5];
        index_table_bind(t, &kp);
        index_table_release(t, index[5]);
        again = reserve(t, (uint16_t) (index[5] >> 16), NULL);
        assert_int_equal(again & 0xffff, index[5] & 0xffff);
        assert_int_not_equal(again, index[5]);
        assert_null(index_table_lookup(t, index[5]));
        assert_null(index_table_lookup(t, again));
        assert_int_equal(index_table_reserve(t, 0, owner, &extra), -ENOBUFS);
        /* The one longest released is used first. */
        index_table_release(t, index[30]);
        index_table_release(t, index[20]);
        index_table_release(t, index[10]);
        assert_int_equal(reserve(t, 1, owner) & 0xffff, index[30] & 0xffff);
        index_table_release(t, index[40]);
        assert_int_equal(reserve(t, 2, owner) & 0xffff, index[20] & 0xffff);
        assert_int_equal(reserve(t, 3, owner) & 0xffff, index[10] & 0xffff);
        assert_int_equal(reserve(t, 4, owner) & 0xffff, index[40] & 0xffff);
        assert_int_equal(index_table_reserve(t, 5, owner, &extra), -ENOBUFS);
}

static void test_never_zero(void **state) {
        _cleanup_table_ IndexTable *t = index_table_new();

        for (unsigned i = 0; i < 3 * KEYPAIRS_MAX; i++) {
                uint32_t index = reserve(t, 0, NULL);

                assert_int_not_equal(index, 0);
                index_table_release(t, index);
        }
}

/* The slow twin: a hash table of what is reserved. */
static void test_twin(void **state) {
        const char *fixed = getenv("OMERTA_TEST_SEED");
        unsigned seed = fixed ? (unsigned) strtoul(fixed, NULL, 0) : (unsigned) time(NULL);
        _cleanup_table_ IndexTable *t = index_table_new();
        g_autoptr(GHashTable) twin = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        printf("OMERTA_TEST_SEED=%u\n", seed);
        for (unsigned i = 0; i < 200000; i++) {
                uint32_t pick = all->len > 0 ? g_array_index(all, uint32_t,
                                                             g_rand_int(rand) % all->len)
                                             : 1;
                Keypair *kp = g_hash_table_lookup(twin, GUINT_TO_POINTER(pick));
                uint32_t index;

                assert_ptr_equal(index_table_lookup(t, pick), kp);
                assert_ptr_equal(index_table_owner(t, pick), kp);
                if (kp && g_rand_int(rand) % 2 == 0) {
                        index_table_release(t, pick);
                        g_hash_table_remove(twin, GUINT_TO_POINTER(pick));
                } else if (g_hash_table_size(twin) < 500) {
                        kp = g_new0(Keypair, 1);
                        index = reserve(t, (uint16_t) g_rand_int(rand), (struct Mesh *) kp);
                        kp->local_index = index;
                        index_table_bind(t, kp);
                        assert_false(g_hash_table_contains(twin, GUINT_TO_POINTER(index)));
                        g_hash_table_insert(twin, GUINT_TO_POINTER(index), kp);
                        g_array_append_val(all, index);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_exhaustion_and_reuse),
                cmocka_unit_test(test_never_zero),
                cmocka_unit_test(test_twin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
