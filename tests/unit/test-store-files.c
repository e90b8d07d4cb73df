/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store-world.h"

/* --- who may --- */

static mode_t mode_of(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_mode & 07777;
}

static void test_permissions(void **state) {
        Fixture *f = *state;
        static const char *const names[] = { "omerta.db", "omerta.db-wal", "lock", "machine.key" };
        const uint8_t seed[IDENTITY_SEED_SIZE] = { 1 };
        g_autofree char *error = NULL;
        g_autofree char *root = g_strdup_printf("root-%s.key", machine_id_format(&f->net.id).text);
        g_autofree char *root_path = path_of(f, root), *key = path_of(f, "machine.key");
        g_autofree char *db = path_of(f, "omerta.db");
        StoredNetwork network = fake_network(0);
        Identity *identity = NULL;
        mode_t old = umask(0);

        f->store = store_close(f->store);
        remove_all(f->dir);
        open_store(f);
        assert_int_equal(store_load_identity(f->store, &identity, &error), 0);
        identity_free(identity);
        assert_int_equal(store_put_network(f->store, &network), 0);
        assert_int_equal(store_save_root(f->store, &f->net.id, seed), 0);
        umask(old);
        assert_int_equal(mode_of(f->dir), 0700);
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = path_of(f, names[i]);

                assert_int_equal(mode_of(path), 0600);
        }
        assert_int_equal(mode_of(root_path), 0600);

        /* A key that others could read is one no more. */
        chmod(key, 0640);
        assert_int_equal(store_load_identity(f->store, &identity, &error), -EPERM);
        assert_non_null(strstr(error, "chmod"));
        chmod(key, 0600);
        f->store = store_close(f->store);
        chmod(db, 0644);
        open_store(f);
        assert_int_equal(mode_of(db), 0600);
        f->store = store_close(f->store);
        chmod(f->dir, 0770);
        expect_refusal(f, -EPERM, "chmod");
        chmod(f->dir, 0700);
        open_store(f);
}

static const char *const state_files[] = { "omerta.db", "omerta.db-wal", "lock", "machine.key" };

/* A directory with each of them and the root key, whose name is returned; the store is closed. */
static char *make_all_files(Fixture *f) {
        const uint8_t seed[IDENTITY_SEED_SIZE] = { 1 };
        g_autofree char *error = NULL, *wal = path_of(f, "omerta.db-wal");
        Identity *identity = NULL;

        assert_int_equal(store_load_identity(f->store, &identity, &error), 0);
        identity_free(identity);
        assert_int_equal(store_save_root(f->store, &f->net.id, seed), 0);
        f->store = store_close(f->store);
        /* SQLite removes it when it ends well. */
        assert_true(g_file_set_contents(wal, "", 0, NULL));
        chmod(wal, 0600);
        return g_strdup_printf("root-%s.key", machine_id_format(&f->net.id).text);
}

static void test_links_are_refused(void **state) {
        Fixture *f = *state;
        g_autofree char *root = make_all_files(f);

        for (unsigned i = 0; i <= ELEMENTSOF(state_files); i++) {
                const char *name = i < ELEMENTSOF(state_files) ? state_files[i] : root;
                g_autofree char *path = path_of(f, name);
                g_autofree char *aside = g_build_filename(f->top, "aside", NULL);

                assert_int_equal(rename(path, aside), 0);
                assert_int_equal(symlink(aside, path), 0);
                expect_refusal(f, -EUCLEAN, name);
                assert_int_equal(unlink(path), 0);
                assert_int_equal(rename(aside, path), 0);
                chmod(path, 0620);
                expect_refusal(f, -EPERM, name);
                chmod(path, 0600);
        }
        open_store(f);
}

#define STRANGER 65534 /* nobody */

static void test_what_is_somebody_elses(void **state) {
        Fixture *f = *state;
        g_autofree char *root = make_all_files(f);

        if (geteuid() != 0)
                skip(); /* only root gives files away */
        for (unsigned i = 0; i <= ELEMENTSOF(state_files); i++) {
                const char *name = i < ELEMENTSOF(state_files) ? state_files[i] : root;
                g_autofree char *path = path_of(f, name);

                assert_int_equal(chown(path, STRANGER, STRANGER), 0);
                expect_refusal(f, -EPERM, name);
                expect_refusal(f, -EPERM, "belongs to");
                assert_int_equal(chown(path, 0, 0), 0);
        }
        assert_int_equal(chown(f->dir, STRANGER, STRANGER), 0);
        expect_refusal(f, -EPERM, "belongs to");
        assert_int_equal(chown(f->dir, 0, 0), 0);
        open_store(f);
}

static void test_credentials_of_somebody_else(void **state) {
        Fixture *f = *state;
        g_autofree char *dir = g_build_filename(f->top, "credentials", NULL);
        g_autofree char *key = g_build_filename(dir, "machine.key", NULL);
        Identity *identity = NULL;

        assert_int_equal(mkdir(dir, 0700), 0);
        assert_true(g_file_set_contents(key, "0123456789abcdef0123456789abcdef", 32, NULL));
        /* As systemd makes them: 0440 is the mask of an access list. */
        chmod(key, 0440);
        setenv("CREDENTIALS_DIRECTORY", dir, 1);
        for (unsigned i = 0; i < 5; i++) {
                g_autofree char *error = NULL;
                bool is_root = geteuid() == 0;
                int r;

                chmod(key, i == 1 ? 0460 : 0440);
                chmod(dir, i == 2 ? 0777 : 0500);
                if (is_root) {
                        assert_int_equal(chown(key, i == 3 ? STRANGER : 0, 0), 0);
                        assert_int_equal(chown(dir, i == 4 ? STRANGER : 0, 0), 0);
                }
                r = store_load_identity(f->store, &identity, &error);
                if (i == 0 || (i >= 3 && !is_root)) {
                        assert_int_equal(r, 0);
                        identity = identity_free(identity);
                        continue;
                }
                assert_int_equal(r, -EPERM);
                assert_non_null(strstr(error, dir));
        }
        chmod(dir, 0700);
}

/* What another program says of the same directory. Ourselves anew, not a mere fork: SQLite's book
 * of locks is in memory. */
static int in_another(const char *what, const Fixture *f) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                execl("/proc/self/exe", "test-store-files", what, f->dir, NULL);
                _exit(255);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int try_open(const char *dir) {
        g_autofree char *error = NULL;
        Store *s = NULL;
        int r = store_open(dir, &s, &error);

        store_close(s);
        return -r;
}

static int try_sqlite(const char *dir) {
        g_autofree char *path = g_build_filename(dir, "omerta.db", NULL);
        sqlite3 *db = NULL;
        int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_exec(db, "DELETE FROM network", NULL, NULL, NULL);
        sqlite3_close(db);
        return r;
}

static void test_second_opener(void **state) {
        Fixture *f = *state;

        expect_refusal(f, -EBUSY, "another omertad");
        assert_int_equal(in_another("open", f), EBUSY);
        /* A curious person with sqlite3 is kept out too. */
        assert_int_equal(in_another("sqlite", f), SQLITE_BUSY);
        reopen(f);
        assert_int_equal(in_another("sqlite", f), SQLITE_BUSY);
        f->store = store_close(f->store);
        assert_int_equal(in_another("open", f), 0);
        open_store(f);
}

static void test_symlinked_directory(void **state) {
        Fixture *f = *state;
        g_autofree char *real = g_build_filename(f->top, "real", NULL);

        f->store = store_close(f->store);
        assert_int_equal(rename(f->dir, real), 0);
        assert_int_equal(symlink("real", f->dir), 0);
        open_store(f);
}

/* --- keys --- */

static MachineId load_id(Fixture *f) {
        g_autofree char *error = NULL;
        Identity *identity = NULL;
        MachineId id;
        int r = store_load_identity(f->store, &identity, &error);

        if (r < 0)
                print_message("%s\n", error);
        assert_int_equal(r, 0);
        id = identity->id;
        identity_free(identity);
        return id;
}

static void expect_no_identity(Fixture *f, int expected, const char *text) {
        g_autofree char *error = NULL;
        Identity *identity = NULL;

        assert_int_equal(store_load_identity(f->store, &identity, &error), expected);
        assert_non_null(strstr(error, text));
}

static void test_machine_key(void **state) {
        Fixture *f = *state;
        g_autofree char *path = path_of(f, "machine.key"), *half = path_of(f, ".machine.key.new");
        g_autofree char *credential = g_build_filename(f->top, "machine.key", NULL);
        StoredNetwork network = fake_network(0);
        MachineId id, other;
        char seed[IDENTITY_SEED_SIZE] = "another";

        /* Half a key of an attempt that ended with the power. */
        assert_true(g_file_set_contents(half, "xx", 2, NULL));
        id = load_id(f);
        assert_false(g_file_test(half, G_FILE_TEST_EXISTS));
        reopen(f);
        other = load_id(f);
        assert_true(machine_id_equal(&id, &other));

        /* One given by the service manager goes first, whatever its mode; one that is none does
         * not silently give way to ours. */
        assert_true(g_file_set_contents(credential, seed, sizeof(seed), NULL));
        chmod(credential, 0444);
        setenv("CREDENTIALS_DIRECTORY", f->top, true);
        other = load_id(f);
        assert_false(machine_id_equal(&id, &other));
        assert_true(g_file_set_contents(credential, seed, 31, NULL));
        expect_no_identity(f, -EUCLEAN, "32 bytes");
        unlink(credential);
        other = load_id(f);
        assert_true(machine_id_equal(&id, &other));
        unsetenv("CREDENTIALS_DIRECTORY");

        assert_int_equal(truncate(path, 31), 0);
        expect_no_identity(f, -EUCLEAN, "32 bytes");
        /* Lost: another key would make us strangers in our own networks. */
        assert_int_equal(store_put_network(f->store, &network), 0);
        unlink(path);
        expect_no_identity(f, -ENOKEY, "machine.key");
        assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        assert_int_equal(store_delete_network(f->store, &network.membership.id), 0);
        other = load_id(f);
        assert_false(machine_id_equal(&id, &other));
}

int main(int argc, char *argv[]) {
        if (argc == 3)
                return strcmp(argv[1], "open") == 0 ? try_open(argv[2]) : try_sqlite(argv[2]);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_permissions),
                T(test_links_are_refused),
                T(test_what_is_somebody_elses),
                T(test_credentials_of_somebody_else),
                T(test_second_opener),
                T(test_symlinked_directory),
                T(test_machine_key),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
