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

/* Behind the image of the database. */
#define HASH_SIZE 32U

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

/* --- backups --- */

static GBytes *back_up(Fixture *f) {
        g_autofree uint8_t *bytes = NULL;
        struct stat st;
        int fd = -1;

        assert_int_equal(store_backup(f->store, &fd), 0);
        assert_int_equal(fstat(fd, &st), 0);
        bytes = g_malloc((size_t) st.st_size);
        assert_int_equal(read(fd, bytes, (size_t) st.st_size), st.st_size);
        /* Whoever has it can rely on it. */
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        close(fd);
        return g_bytes_new_take(g_steal_pointer(&bytes), (size_t) st.st_size);
}

/* From the middle of a file: it is read, and not opened. */
static int restore(Fixture *f, const void *bytes, size_t len, char **ret_error) {
        FILE *file = tmpfile();
        int r;

        assert_non_null(file);
        assert_int_equal(write(fileno(file), "before", 6), 6);
        assert_int_equal(write(fileno(file), bytes, len), len);
        assert_int_equal(lseek(fileno(file), 6, SEEK_SET), 6);
        r = store_restore(f->other, fileno(file), ret_error);
        fclose(file);
        return r;
}

static void expect_no_restore(Fixture *f, GBytes *image, int expected, const char *text) {
        g_autofree char *error = NULL;
        size_t len;
        const void *bytes = g_bytes_get_data(image, &len);

        assert_int_equal(restore(f, bytes, len, &error), expected);
        if (!error || !strstr(error, text))
                fail_msg("\"%s\" says nothing of \"%s\"", error ?: "", text);
}

static unsigned count_files(const char *dir) {
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        unsigned n = 0;

        while (d && g_dir_read_name(d))
                n++;
        return n;
}

static void count_network(void *userdata, const StoredNetwork *n) {
        assert_string_equal(n->membership.name, "home");
        assert_true(n->membership.is_gateway);
        (*(unsigned *) userdata)++;
}

static void test_restored(void **state) {
        Fixture *f = *state;
        g_autoptr(GBytes) image = back_up(f);
        g_autofree char *error = NULL, *path = NULL;
        Identity *root = NULL;
        unsigned n = 0;
        struct stat st;
        size_t len;
        const void *bytes = g_bytes_get_data(image, &len);
        MachineId machine;

        if (restore(f, bytes, len, &error) < 0)
                fail_msg("%s", error);
        f->store = store_close(f->store);
        assert_int_equal(count_files(f->other), 4); /* database, two keys, lock */
        path = g_build_filename(f->other, "omerta.db", NULL);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);

        open_store(f, f->other);
        machine = load_identity(f);
        assert_memory_equal(machine.bytes, f->machine.bytes, MACHINE_ID_SIZE);
        assert_int_equal(store_foreach_network(f->store, count_network, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(store_load_root(f->store, &f->id, &root, NULL), 0);
        identity_free(root);
}

/* The keys are in their files again, and nowhere else. */
static void test_keys_are_not_left_in_the_database(void **state) {
        Fixture *f = *state;
        g_autoptr(GBytes) image = back_up(f);
        g_autofree char *path = g_build_filename(f->other, "omerta.db", NULL), *text = NULL;
        size_t len;
        const void *bytes = g_bytes_get_data(image, &len);

        assert_non_null(memmem(bytes, len, root_seed, sizeof root_seed));
        assert_int_equal(restore(f, bytes, len, NULL), 0);
        assert_true(g_file_get_contents(path, &text, &len, NULL));
        assert_null(memmem(text, len, root_seed, sizeof root_seed));
        assert_null(memmem(text, len, "backup_file", 11));
}

static void test_nothing_is_written_over(void **state) {
        static const char *const names[] = { "omerta.db", "omerta.db-wal", "machine.key",
                                             "root-x.key" };
        Fixture *f = *state;
        g_autoptr(GBytes) image = back_up(f);
        g_autofree char *dir = g_steal_pointer(&f->other);
        char *text;

        /* A daemon has it. */
        f->other = g_strdup(f->dir);
        expect_no_restore(f, image, -EBUSY, "another omertad");
        f->store = store_close(f->store);
        expect_no_restore(f, image, -EEXIST, "move the files away");
        g_free(f->other);
        f->other = g_steal_pointer(&dir);
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(f->other, names[i], NULL);

                (void) g_mkdir(f->other, 0700);
                assert_true(g_file_set_contents(path, "mine", 4, NULL));
                expect_no_restore(f, image, -EEXIST, names[i]);
                assert_true(g_file_get_contents(path, &text, NULL, NULL));
                assert_string_equal(text, "mine");
                g_free(text);
                assert_int_equal(g_unlink(path), 0);
        }
        assert_int_equal(restore(f, g_bytes_get_data(image, NULL), g_bytes_get_size(image), NULL), 0);
}

static GBytes *changed_by(Fixture *f, const char *sql) {
        g_autoptr(GBytes) image = back_up(f);
        g_autofree char *path = g_build_filename(f->top, "image", NULL);
        sqlite3 *db = NULL;
        char *text;
        size_t len;

        assert_true(g_file_set_contents(
                        path, g_bytes_get_data(image, NULL),
                        (gssize) (g_bytes_get_size(image) - HASH_SIZE), NULL));
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s", sqlite3_errmsg(db));
        sqlite3_close(db);
        assert_true(g_file_get_contents(path, &text, &len, NULL));
        text = g_realloc(text, len + HASH_SIZE);
        crypto_generichash((uint8_t *) text + len, HASH_SIZE, (const uint8_t *) text, len, NULL, 0);
        return g_bytes_new_take(text, len + HASH_SIZE);
}

static void test_what_is_no_backup(void **state) {
        static const struct {
                const char *sql;
                int r;
                const char *text;
        } cases[] = {
                { "DROP TABLE backup_file", -EUCLEAN, "no backup" },
                { "PRAGMA application_id = 7", -EUCLEAN, "no database of omerta" },
                { "PRAGMA user_version = 99", -EPROTO, "later version" },
                { "UPDATE backup_file SET name = '../' || name", -EUCLEAN, "no key" },
                { "UPDATE backup_file SET name = 'lock' WHERE name = 'machine.key'", -EUCLEAN,
                  "no key" },
                { "UPDATE backup_file SET name = 'machine.key' || char(0) WHERE name = 'machine.key'",
                  -EUCLEAN, "no key" },
                { "DROP TABLE backup_file; CREATE VIEW backup_file AS WITH RECURSIVE r(name, bytes) AS "
                  "(SELECT 'machine.key', zeroblob(32) UNION ALL SELECT name, bytes FROM r) "
                  "SELECT * FROM r",
                  -EUCLEAN, "no backup" },
                { "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM network; END",
                  -EUCLEAN, "no backup" },
                { "UPDATE backup_file SET bytes = x'00'", -EUCLEAN, "no key" },
                /* Half a gigabyte for each row that is looked at, now and at every start. */
                { "ALTER TABLE network ADD COLUMN x TEXT AS (hex(zeroblob(250000000)))", -EUCLEAN,
                  "no backup" },
                { "ALTER TABLE backup_file ADD COLUMN x TEXT CHECK (x IS NULL)", -EUCLEAN,
                  "no backup" },
                /* What no daemon could start with. */
                { "DROP TABLE forward", -EUCLEAN, "no backup" },
                { "PRAGMA user_version = 1", -EUCLEAN, "no backup" },
                { "CREATE TABLE other (x)", -EUCLEAN, "no backup" },
                { "CREATE INDEX other ON record (bytes)", -EUCLEAN, "no backup" },
        };
        Fixture *f = *state;
        g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0), text = g_bytes_new("omerta", 6);

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GBytes) image = changed_by(f, cases[i].sql);

                expect_no_restore(f, image, cases[i].r, cases[i].text);
                /* All or nothing: only the lock is there. */
                assert_true(count_files(f->other) <= 1);
        }
        expect_no_restore(f, nothing, -EUCLEAN, "no backup");
        expect_no_restore(f, text, -EUCLEAN, "no backup");
}

/* Cut, or with one bit changed. */
static void test_mangled(void **state) {
        Fixture *f = *state;
        g_autoptr(GBytes) image = back_up(f);
        size_t len;
        const uint8_t *bytes = g_bytes_get_data(image, &len);
        g_autofree uint8_t *mangled = g_memdup2(bytes, len);

        for (size_t at = 0; at < len; at += at < 100 ? 1 : 997) {
                mangled[at] ^= 0x04;
                assert_int_equal(restore(f, mangled, len, NULL), -EUCLEAN);
                mangled[at] = bytes[at];
        }
        for (size_t cut = 0; cut < len; cut += 1000)
                assert_int_equal(restore(f, bytes, cut, NULL), -EUCLEAN);
        assert_int_equal(count_files(f->other), 0);
}

/* Who made one on purpose: refused or restored, and nothing else. */
static void test_hostile(void **state) {
        Fixture *f = *state;
        g_autoptr(GBytes) image = back_up(f);
        size_t len;
        const uint8_t *bytes = g_bytes_get_data(image, &len);
        g_autofree uint8_t *mangled = g_memdup2(bytes, len);
        unsigned refused = 0;

        for (size_t at = 0; at < len - HASH_SIZE; at += at < 100 ? 1 : 997) {
                mangled[at] ^= 0x5a;
                crypto_generichash(
                                mangled + len - HASH_SIZE, HASH_SIZE, mangled, len - HASH_SIZE,
                                NULL, 0);
                if (restore(f, mangled, len, NULL) < 0)
                        refused++;
                mangled[at] = bytes[at];
                remove_all(f->other);
        }
        assert_true(refused > 0);
}

int main(int argc, char **argv) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_copy_without_its_log),
                T(test_restored),
                T(test_keys_are_not_left_in_the_database),
                T(test_nothing_is_written_over),
                T(test_what_is_no_backup),
                T(test_mangled),
                T(test_hostile),
        };
#undef T

        if (sodium_init() < 0)
                return 1;
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
