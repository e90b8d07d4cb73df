/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <sodium.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "store/store.h"

typedef struct Fixture {
        char *top, *dir, *other; /* the state directory, and where one is restored to */
        Store *store;
        NetworkId id; /* of the network made here */
        MachineId machine;
} Fixture;

static const uint8_t root_seed[IDENTITY_SEED_SIZE] = { 9 };

static void open_store(Fixture *f, const char *dir) {
        g_autofree char *error = NULL;
        int r = store_open(dir, &f->store, &error);

        if (r < 0)
                fail_msg("%s", error);
}

static void remove_all(const char *dir) {
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *path = g_build_filename(dir, name, NULL);

                if (g_file_test(path, G_FILE_TEST_IS_DIR))
                        remove_all(path);
                else
                        g_unlink(path);
        }
        g_rmdir(dir);
}

static MachineId load_identity(Fixture *f) {
        g_autofree char *error = NULL;
        Identity *i = NULL;
        MachineId id;

        if (store_load_identity(f->store, &i, &error) < 0)
                fail_msg("%s", error);
        id = i->id;
        identity_free(i);
        return id;
}

/* A gateway: a network with its root. */
static int setup(void **state) {
        Fixture *f = NEW(Fixture);
        StoredNetwork n = { .created = 1, .membership = { .name = "home", .is_gateway = true } };
        Identity *root = NULL;

        f->top = g_dir_make_tmp("omerta-backup-XXXXXX", NULL);
        f->dir = g_build_filename(f->top, "state", NULL);
        f->other = g_build_filename(f->top, "other", NULL);
        open_store(f, f->dir);
        f->machine = load_identity(f);
        assert_int_equal(identity_new(root_seed, &root), 0);
        f->id = n.membership.id = root->id;
        identity_free(root);
        n.membership.secret = secret_new((const uint8_t[SECRET_SIZE]){ 7 });
        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &n.membership.subnet), 0);
        assert_int_equal(store_save_root(f->store, &f->id, root_seed), 0);
        assert_int_equal(store_put_network(f->store, &n), 0);
        secret_unref(n.membership.secret);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        store_close(f->store);
        remove_all(f->top);
        g_free(f->top);
        g_free(f->dir);
        g_free(f->other);
        g_free(f);
        return 0;
}

/* @text: what the message must contain; something that helps. */
static void expect_refusal(const char *dir, int expected, const char *text) {
        g_autofree char *error = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(dir, &s, &error), expected);
        if (!strstr(error, text) || !strstr(error, dir))
                fail_msg("\"%s\" says nothing of \"%s\"", error, text);
}

/* What cp(1) makes of a running daemon's omerta.db: everything is in the log still. */
static void test_copy_without_its_log(void **state) {
        Fixture *f = *state;
        g_autofree char *path = g_build_filename(f->dir, "omerta.db", NULL);
        g_autofree char *wal = g_build_filename(f->dir, "omerta.db-wal", NULL);
        g_autofree char *key = g_build_filename(f->dir, "machine.key", NULL);
        g_autofree char *copy = NULL;
        size_t len;

        assert_true(g_file_get_contents(path, &copy, &len, NULL));
        assert_true(len > 0);
        f->store = store_close(f->store);
        assert_true(g_file_set_contents(path, copy, (gssize) len, NULL));
        g_chmod(path, 0600);
        (void) g_unlink(wal);
        expect_refusal(f->dir, -EUCLEAN, "omerta.db-wal");
        expect_refusal(f->dir, -EUCLEAN, "omertad restore");
        /* Nothing was made anew, and the root alone says that there was something. */
        assert_int_equal(g_unlink(key), 0);
        expect_refusal(f->dir, -EUCLEAN, "omerta.db-wal");
}

int main(int argc, char **argv) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_copy_without_its_log),
        };
#undef T

        if (sodium_init() < 0)
                return 1;
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
