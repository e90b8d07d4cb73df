/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "store/store.h"

typedef struct Fixture {
        char *dir;
        Store *store;
} Fixture;

static void open_store(Fixture *f) {
        g_autofree char *error = NULL;
        int r = store_open(f->dir, &f->store, &error);

        if (r < 0)
                fail_msg("%s", error);
}

static void reopen(Fixture *f) {
        f->store = store_close(f->store);
        open_store(f);
}

static NetworkId network_id(unsigned n) {
        NetworkId id = {};

        memcpy(id.bytes, &n, sizeof n);
        return id;
}

static StoredNetwork network(unsigned n) {
        static Secret *secret; /* for as long as the program runs */
        StoredNetwork s = { .created = 1, .membership = { .id = network_id(n), .name = "home" } };

        if (!secret)
                secret = secret_new((const uint8_t[SECRET_SIZE]){ 7 });
        s.membership.secret = secret;
        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &s.membership.subnet), 0);
        return s;
}

static MachineId make(Fixture *f, unsigned n) {
        NetworkId id = network_id(n);
        Identity *i = NULL;
        MachineId ours;

        assert_int_equal(store_make_membership_key(f->store, &id, &i), 0);
        ours = i->id;
        identity_free(i);
        return ours;
}

static void assert_key(Fixture *f, unsigned n, const MachineId *expected) {
        NetworkId id = network_id(n);
        Identity *i = NULL;
        int r = store_load_membership_key(f->store, &id, &i);

        assert_int_equal(r, expected ? 0 : -ENOENT);
        if (expected)
                assert_memory_equal(i->id.bytes, expected->bytes, MACHINE_ID_SIZE);
        identity_free(i);
}

static bool files_hold(const Fixture *f, const uint8_t *secret) {
        static const char *const names[] = { "omerta.db", "omerta.db-wal" };
        bool found = false;

        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(f->dir, names[i], NULL);
                g_autofree char *text = NULL;
                gsize n = 0;

                if (g_file_get_contents(path, &text, &n, NULL))
                        found |= memmem(text, n, secret, IDENTITY_SEED_SIZE) != NULL;
        }
        return found;
}

static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        f->dir = g_dir_make_tmp("omerta-store-XXXXXX", NULL);
        assert_non_null(f->dir);
        open_store(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        static const char *const names[] = { "omerta.db", "omerta.db-wal", "lock", "machine.key" };
        Fixture *f = *state;

        store_close(f->store);
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(f->dir, names[i], NULL);

                (void) g_unlink(path);
        }
        assert_int_equal(g_rmdir(f->dir), 0);
        g_free(f->dir);
        g_free(f);
        return 0;
}

/* A join that is tried again, after a restart too, is the same machine's; another network's is
 * not. */
static void test_one_each(void **state) {
        Fixture *f = *state;
        StoredNetwork home = network(1);
        MachineId a, b;

        assert_key(f, 1, NULL);
        a = make(f, 1);
        b = make(f, 2);
        assert_memory_not_equal(a.bytes, b.bytes, MACHINE_ID_SIZE);
        reopen(f);
        assert_key(f, 1, &a);
        assert_memory_equal(make(f, 1).bytes, a.bytes, MACHINE_ID_SIZE);

        /* A membership ends with its key, and the next one is another machine's. */
        assert_int_equal(store_put_network(f->store, &home), 0);
        assert_int_equal(store_delete_network(f->store, &home.membership.id), 0);
        assert_key(f, 1, NULL);
        assert_key(f, 2, &b);
        assert_memory_not_equal(make(f, 1).bytes, a.bytes, MACHINE_ID_SIZE);
}

static void test_wiped(void **state) {
        Fixture *f = *state;
        NetworkId id = network_id(1);
        StoredNetwork home = network(1);
        uint8_t seed[IDENTITY_SEED_SIZE];
        Identity *i = NULL;

        for (unsigned round = 0; round < 2; round++) {
                assert_int_equal(store_make_membership_key(f->store, &id, &i), 0);
                memcpy(seed, i->sign_secret, sizeof seed); /* RFC 8032: it begins with the seed */
                i = identity_free(i);
                assert_true(files_hold(f, seed));
                if (round == 0)
                        assert_int_equal(store_delete_membership_key(f->store, &id), 0);
                else {
                        assert_int_equal(store_put_network(f->store, &home), 0);
                        assert_int_equal(store_delete_network(f->store, &id), 0);
                }
                assert_false(files_hold(f, seed));
        }
        assert_int_equal(store_delete_membership_key(f->store, &id), 0);
}

/* Links of networks that never answer leave keys, but not without end; those in use stay. */
static void test_bounded(void **state) {
        Fixture *f = *state;
        StoredNetwork home = network(1);
        MachineId ours = make(f, 1), first, last = {};
        unsigned n = 0;

        assert_int_equal(store_put_network(f->store, &home), 0);
        first = make(f, 2);
        for (unsigned i = 3; i < 3 + 2 * JOIN_KEYS_MAX; i++)
                last = make(f, i);
        assert_key(f, 1, &ours);
        assert_key(f, 2 + 2 * JOIN_KEYS_MAX, &last);
        assert_memory_not_equal(make(f, 2).bytes, first.bytes, MACHINE_ID_SIZE);
        for (unsigned i = 2; i < 3 + 2 * JOIN_KEYS_MAX; i++) {
                NetworkId id = network_id(i);
                Identity *key = NULL;

                n += store_load_membership_key(f->store, &id, &key) == 0;
                identity_free(key);
        }
        assert_int_equal(n, JOIN_KEYS_MAX);
}

/* The machine's own key is missed only where a network goes by it. */
static void test_lost_machine_key(void **state) {
        Fixture *f = *state;
        g_autofree char *path = g_build_filename(f->dir, "machine.key", NULL);
        StoredNetwork home = network(1), made = network(2);
        Identity *i = NULL;

        assert_int_equal(store_load_identity(f->store, &i, NULL), 0);
        i = identity_free(i);
        (void) make(f, 1);
        assert_int_equal(store_put_network(f->store, &home), 0);
        assert_int_equal(g_unlink(path), 0);
        assert_int_equal(store_load_identity(f->store, &i, NULL), 0);
        i = identity_free(i);
        assert_int_equal(store_put_network(f->store, &made), 0);
        assert_int_equal(g_unlink(path), 0);
        assert_int_equal(store_load_identity(f->store, &i, NULL), -ENOKEY);
}

/* A root is read for a signature, if it is there and is the right one. */
static void test_root(void **state) {
        const uint8_t seed[IDENTITY_SEED_SIZE] = { 9 };
        Fixture *f = *state;
        Identity *root = NULL, *i = NULL;
        g_autofree char *error = NULL, *path = NULL;
        NetworkId other = network_id(7);

        assert_int_equal(identity_new(seed, &root), 0);
        assert_int_equal(store_load_root(f->store, &root->id, &i, NULL), -ENOENT);
        assert_int_equal(store_save_root(f->store, &root->id, seed), 0);
        assert_int_equal(store_load_root(f->store, &root->id, &i, NULL), 0);
        assert_memory_equal(i->id.bytes, root->id.bytes, MACHINE_ID_SIZE);
        i = identity_free(i);
        path = g_strdup_printf("%s/root-%s.key", f->dir, machine_id_format(&root->id).text);
        assert_int_equal(g_chmod(path, 0640), 0);
        assert_int_equal(store_load_root(f->store, &root->id, &i, &error), -EPERM);
        assert_non_null(strstr(error, "chmod"));
        assert_int_equal(g_unlink(path), 0);
        /* One that belongs to another network signs nothing. */
        assert_int_equal(store_save_root(f->store, &other, seed), 0);
        g_clear_pointer(&error, g_free);
        assert_int_equal(store_load_root(f->store, &other, &i, &error), -EUCLEAN);
        assert_non_null(strstr(error, "another network"));
        g_free(path);
        path = g_strdup_printf("%s/root-%s.key", f->dir, machine_id_format(&other).text);
        assert_int_equal(g_unlink(path), 0);
        identity_free(root);
}

int main(int argc, char **argv) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_one_each),         T(test_wiped), T(test_bounded),
                T(test_lost_machine_key), T(test_root),
        };
#undef T

        if (sodium_init() < 0)
                return 1;
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
