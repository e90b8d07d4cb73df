/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>

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

static StoredNetwork network(uint8_t n) {
        static Secret *secret; /* for as long as the program runs */
        StoredNetwork s = { .created = n };

        if (!secret)
                secret = secret_new((const uint8_t[SECRET_SIZE]){ 7 });
        s.membership.secret = secret;
        memset(s.membership.id.bytes, n, sizeof s.membership.id.bytes);
        strcpy(s.membership.name, "home");
        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &s.membership.subnet), 0);
        return s;
}

static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        f->dir = g_dir_make_tmp("omerta-store-XXXXXX", NULL);
        open_store(f);
        for (uint8_t n = 1; n <= 2; n++) {
                StoredNetwork s = network(n);

                assert_int_equal(store_put_network(f->store, &s), 0);
        }
        *state = f;
        return 0;
}

static int teardown(void **state) {
        static const char *const names[] = { "omerta.db", "omerta.db-wal", "lock" };
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

static void append(void *userdata, const StoredForward *f) {
        g_string_append_printf(userdata, "%u %s %s %s;", f->id, f->direction, f->listen, f->target);
}

static void expect(Fixture *f, uint8_t n, const char *all) {
        g_autoptr(GString) text = g_string_new(NULL);
        StoredNetwork s = network(n);

        assert_int_equal(store_foreach_forward(f->store, &s.membership.id, append, text), 0);
        assert_string_equal(text->str, all);
}

static void
put(Fixture *f, uint8_t n, uint32_t id, const char *direction, const char *listen, const char *target) {
        StoredForward forward = { id, (char *) direction, (char *) listen, (char *) target };
        StoredNetwork s = network(n);

        assert_int_equal(store_put_forward(f->store, &s.membership.id, &forward), 0);
}

static void test_kept(void **state) {
        Fixture *f = *state;
        StoredNetwork s = network(1);

        expect(f, 1, "");
        put(f, 1, UINT32_MAX, "local", "[::1]:80", "nas:80");
        put(f, 1, 2, "reverse", "22", "localhost:22");
        put(f, 2, 2, "local", "127.0.0.1:2222", "10.0.0.100:22");
        f->store = store_close(f->store);
        open_store(f);
        expect(f, 1, "2 reverse 22 localhost:22;4294967295 local [::1]:80 nas:80;");
        expect(f, 2, "2 local 127.0.0.1:2222 10.0.0.100:22;");

        put(f, 1, 2, "reverse", "23", "localhost:22");
        assert_int_equal(store_delete_forward(f->store, &s.membership.id, UINT32_MAX), 0);
        assert_int_equal(store_delete_forward(f->store, &s.membership.id, 99), 0);
        expect(f, 1, "2 reverse 23 localhost:22;");
        expect(f, 2, "2 local 127.0.0.1:2222 10.0.0.100:22;");
        /* They go with their network. */
        assert_int_equal(store_delete_network(f->store, &s.membership.id), 0);
        expect(f, 1, "");
        expect(f, 2, "2 local 127.0.0.1:2222 10.0.0.100:22;");
}

static void exec_sql(Fixture *f, const char *sql) {
        g_autofree char *path = g_build_filename(f->dir, "omerta.db", NULL);
        sqlite3 *db = NULL;

        f->store = store_close(f->store);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        open_store(f);
}

/* The first schema, as databases have it that were made by it. */
static const char first_schema[] =
                "BEGIN;"
                "CREATE TABLE old (id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, subnet TEXT NOT NULL,"
                "  gateway BLOB NOT NULL, secret BLOB NOT NULL, is_gateway INTEGER NOT NULL,"
                "  host_name TEXT NOT NULL, owner TEXT NOT NULL, interface TEXT NOT NULL,"
                "  up INTEGER NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
                "INSERT INTO old SELECT id, name, subnet, gateway, secret, is_gateway, host_name, owner,"
                "  interface, up, created FROM network;"
                "CREATE TABLE time_floor (network BLOB PRIMARY KEY NOT NULL, realtime INTEGER NOT NULL)"
                "  STRICT, WITHOUT ROWID;"
                "INSERT INTO time_floor SELECT id, 5 FROM network;"
                "DROP TABLE network;"
                "ALTER TABLE old RENAME TO network;"
                "DROP TABLE forward;"
                "DROP TABLE trusted_time;"
                "DROP TABLE membership_key;"
                "DROP TABLE setting;"
                "ALTER TABLE invite DROP COLUMN needs_approval;"
                "PRAGMA user_version = 1;"
                "COMMIT;";

/* What the first schema left is taken over; forwards of networks that are no more are not. */
static void test_older_database(void **state) {
        Fixture *f = *state;

        put(f, 1, 1, "local", "127.0.0.1:80", "nas:80");
        exec_sql(f, first_schema);
        expect(f, 1, "");
        put(f, 1, 1, "local", "127.0.0.1:80", "nas:80");
        put(f, 2, 1, "local", "127.0.0.1:81", "nas:80");
        exec_sql(f, "DELETE FROM network WHERE created = 2");
        expect(f, 1, "1 local 127.0.0.1:80 nas:80;");
        expect(f, 2, "");
}

static void test_settings(void **state) {
        g_autofree char *value = NULL, *again = NULL;
        Fixture *f = *state;

        assert_int_equal(store_get_setting(f->store, "port-mapping", &value), -ENOENT);
        assert_int_equal(store_put_setting(f->store, "port-mapping", "on"), 0);
        assert_int_equal(store_put_setting(f->store, "port-mapping", "off"), 0);
        f->store = store_close(f->store);
        open_store(f);
        assert_int_equal(store_get_setting(f->store, "port-mapping", &value), 0);
        assert_string_equal(value, "off");
        assert_int_equal(store_get_setting(f->store, "port-mapping", &again), 0);
        assert_int_equal(store_get_setting(f->store, "", &again), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_older_database, setup, teardown),
                cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
