/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One daemon, one directory, one database.
 *
 * The lock is flock() on a file of its own: it ends with the process, however that ends, and has
 * nothing to do with the locks SQLite takes on the database. The database is in WAL mode with
 * synchronous=FULL: a commit that returned survives a power loss. SQLite never makes the file, we
 * do, so that a database that has vanished is noticed and not replaced by an empty one.
 */
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "store/store-internal.h"

/* --- SQLite --- */

int store_error(const Store *s, int sqlite_result) {
        int e;

        switch (sqlite_result & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                e = s->db ? sqlite3_system_errno(s->db) : 0;
                return e > 0 ? -e : -EIO;
        }
}

static const char *const statement_table[_STATEMENT_MAX] = {
        [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_PUT_NETWORK] =
                        "INSERT OR REPLACE INTO networks (id, name, subnet, prefix_len, gateway, "
                        "secret, is_gateway, host_name, owner, interface, up, created) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [STATEMENT_LIST_NETWORKS] =
                        "SELECT id, name, subnet, prefix_len, gateway, secret, is_gateway, "
                        "host_name, owner, interface, up, created FROM networks "
                        "ORDER BY created, id",
        [STATEMENT_PUT_RECORD] =
                        "INSERT OR REPLACE INTO records (network, kind, machine, record, "
                        "hash) VALUES (?, ?, ?, ?, ?)",
        [STATEMENT_DELETE_RECORD] =
                        "DELETE FROM records WHERE network = ? AND kind = ? AND machine = ?",
        [STATEMENT_LIST_RECORDS] =
                        "SELECT record, hash FROM records WHERE network = ? ORDER BY kind, machine",
        [STATEMENT_PUT_INVITE] =
                        "INSERT OR REPLACE INTO invites (network, id, psk, created, not_after, "
                        "uses_max, uses, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [STATEMENT_DELETE_INVITE] = "DELETE FROM invites WHERE network = ? AND id = ?",
        [STATEMENT_DELETE_INVITE_USES] = "DELETE FROM invite_uses WHERE network = ? AND invite = ?",
        [STATEMENT_LIST_INVITES] =
                        "SELECT id, psk, created, not_after, uses_max, uses, name FROM invites "
                        "WHERE network = ? ORDER BY id",
        [STATEMENT_PUT_INVITE_USE] =
                        "INSERT OR REPLACE INTO invite_uses (network, invite, machine) "
                        "VALUES (?, ?, ?)",
        [STATEMENT_GET_INVITE_USE] =
                        "SELECT 1 FROM invite_uses "
                        "WHERE network = ? AND invite = ? AND machine = ?",
        [STATEMENT_PUT_ENDPOINT] =
                        "INSERT OR REPLACE INTO endpoints (network, machine, endpoint) "
                        "VALUES (?, ?, ?)",
        [STATEMENT_LIST_ENDPOINTS] =
                        "SELECT machine, endpoint FROM endpoints "
                        "WHERE network = ? ORDER BY machine",
        [STATEMENT_PUT_TIME] = "INSERT OR REPLACE INTO times (network, latest) VALUES (?, ?)",
        [STATEMENT_GET_TIME] = "SELECT latest FROM times WHERE network = ?",
};

int store_prepare(Store *s, StatementId id, sqlite3_stmt **ret) {
        int r;

        if (!s->statements[id]) {
                r = sqlite3_prepare_v3(
                                s->db, statement_table[id], -1, SQLITE_PREPARE_PERSISTENT,
                                &s->statements[id], NULL);
                if (r != SQLITE_OK)
                        return store_error(s, r);
        }
        sqlite3_reset(s->statements[id]);
        sqlite3_clear_bindings(s->statements[id]);
        *ret = s->statements[id];
        return 0;
}

int store_step(Store *s, sqlite3_stmt *stmt) {
        int r = sqlite3_step(stmt), k;

        if (r == SQLITE_ROW)
                return 1;
        k = store_error(s, r);
        sqlite3_reset(stmt);
        /* Nothing of what was bound lives longer than the call it was handed to; secrets least. */
        sqlite3_clear_bindings(stmt);
        return k;
}

int store_run(Store *s, sqlite3_stmt *stmt) {
        int r = store_step(s, stmt);

        assert(r <= 0);
        return r;
}

static int run_simple(Store *s, StatementId id) {
        sqlite3_stmt *stmt;
        int r = store_prepare(s, id, &stmt);

        return r < 0 ? r : store_run(s, stmt);
}

int store_begin(Store *s) {
        assert(sqlite3_get_autocommit(s->db));
        return run_simple(s, STATEMENT_BEGIN);
}

int store_commit(Store *s) {
        int r;

        /* A full disk makes SQLite roll back by itself, at the statement that found it out. */
        if (sqlite3_get_autocommit(s->db))
                return -EIO;
        r = run_simple(s, STATEMENT_COMMIT);
        if (r < 0)
                store_rollback(s);
        return r;
}

void store_rollback(Store *s) {
        if (!sqlite3_get_autocommit(s->db))
                (void) run_simple(s, STATEMENT_ROLLBACK);
}

int store_exec(Store *s, const char *sql) {
        return store_error(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

int store_column_blob(sqlite3_stmt *stmt, int column, void *ret, size_t n) {
        if (sqlite3_column_type(stmt, column) != SQLITE_BLOB ||
            (size_t) sqlite3_column_bytes(stmt, column) != n)
                return -EUCLEAN;
        memcpy(ret, sqlite3_column_blob(stmt, column), n);
        return 0;
}

int store_column_text(sqlite3_stmt *stmt, int column, char *ret, size_t size) {
        const char *text = (const char *) sqlite3_column_text(stmt, column);

        if (!text || (size_t) sqlite3_column_bytes(stmt, column) >= size ||
            strlen(text) != (size_t) sqlite3_column_bytes(stmt, column))
                return -EUCLEAN;
        g_strlcpy(ret, text, size);
        return 0;
}

/* --- opening --- */

static int open_dir(Store *s, char **ret_error) {
        struct stat st;
        int r;

        if (mkdir(s->dir, 0700) < 0 && errno != EEXIST) {
                r = -errno;
                *ret_error = g_strdup_printf("cannot make %s: %s", s->dir, g_strerror(-r));
                return r;
        }
        s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0 || fstat(s->dir_fd, &st) < 0) {
                r = -errno;
                *ret_error = g_strdup_printf("cannot open %s: %s", s->dir, g_strerror(-r));
                return r;
        }
        if (st.st_mode & 022) {
                *ret_error = g_strdup_printf(
                                "others can write to %s (mode %04o), and so replace the keys in it: "
                                "run 'chmod go-w %s'",
                                s->dir, st.st_mode & 07777, s->dir);
                return -EACCES;
        }
        return 0;
}

static int take_lock(Store *s, char **ret_error) {
        char pid[32] = "";
        int r;

        s->lock_fd = openat(s->dir_fd, STORE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->lock_fd < 0) {
                r = -errno;
                *ret_error = g_strdup_printf(
                                "cannot open %s/%s: %s", s->dir, STORE_LOCK, g_strerror(-r));
                return r;
        }
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                r = errno == EWOULDBLOCK ? -EBUSY : -errno;
                if (pread(s->lock_fd, pid, sizeof(pid) - 1, 0) > 0)
                        pid[strcspn(pid, "\n")] = '\0';
                *ret_error = g_strdup_printf(
                                r == -EBUSY ? "another omertad%s%s%s is using %s"
                                            : "cannot lock, omertad%s%s%s, %s",
                                pid[0] ? " (process " : "", pid, pid[0] ? ")" : "", s->dir);
                return r;
        }
        /* For the message of whoever comes second; nothing depends on it. */
        snprintf(pid, sizeof(pid), "%d\n", (int) getpid());
        if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, strlen(pid), 0) < 0)
                return 0;
        return 0;
}

/* An empty database is a new one only if there is nothing yet that belongs to an old one. */
static int make_database(Store *s, char **ret_error) {
        size_t size = 0, key_size;
        int fd, r;

        r = store_check_file(s, STORE_DATABASE, &size, ret_error);
        if (r < 0 || size > 0)
                return r;
        if (store_check_file(s, STORE_MACHINE_KEY, &key_size, ret_error) != 0 && !*ret_error) {
                *ret_error = g_strdup_printf(
                                "%s/%s is %s, though this machine has had its key %s for long: "
                                "restore the database from a backup, or move the key away to start "
                                "anew, and join the networks again",
                                s->dir, STORE_DATABASE, r > 0 ? "empty" : "missing",
                                STORE_MACHINE_KEY);
                return -EUCLEAN;
        }
        if (*ret_error)
                return -EACCES;
        fd = openat(s->dir_fd, STORE_DATABASE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = -errno;
                *ret_error = g_strdup_printf(
                                "cannot make %s/%s: %s", s->dir, STORE_DATABASE, g_strerror(-r));
                return r;
        }
        close(fd);
        return fsync(s->dir_fd) < 0 ? -errno : 0;
}

/* EXCLUSIVE: the index of the WAL is in our memory instead of a file beside the database. */
static const char settings[] =
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON";

static int open_database(Store *s, char **ret_error) {
        g_autofree char *path = g_build_filename(s->dir, STORE_DATABASE, NULL);
        int r;

        r = make_database(s, ret_error);
        if (r < 0)
                return r;
        r = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (r != SQLITE_OK)
                return store_error(s, r);
        sqlite3_extended_result_codes(s->db, 1);
        r = store_exec(s, settings);
        return r < 0 ? r : store_migrate(s, ret_error);
}

int store_open(const char *dir, Store **ret, char **ret_error) {
        Store *s = NEW(Store);
        int r;

        *ret_error = NULL;
        *s = (Store){ .dir = g_strdup(dir), .dir_fd = -EBADF, .lock_fd = -EBADF };
        r = open_dir(s, ret_error);
        if (r >= 0)
                r = take_lock(s, ret_error);
        if (r >= 0)
                r = open_database(s, ret_error);
        if (r < 0) {
                if (!*ret_error && r == -EUCLEAN)
                        *ret_error = g_strdup_printf(
                                        "%s/%s is damaged: restore it from a backup, or move it "
                                        "away, together with its -wal file, and join the networks "
                                        "again",
                                        dir, STORE_DATABASE);
                else if (!*ret_error)
                        *ret_error = g_strdup_printf(
                                        "cannot use %s/%s: %s", dir, STORE_DATABASE, g_strerror(-r));
                store_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        for (unsigned i = 0; i < _STATEMENT_MAX; i++)
                sqlite3_finalize(s->statements[i]);
        sqlite3_close(s->db);
        /* The lock goes last. */
        closep(&s->dir_fd);
        closep(&s->lock_fd);
        g_free(s->dir);
        g_free(s);
        return NULL;
}
