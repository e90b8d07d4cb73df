/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "store/store-internal.h"

/*
 * Durability. WAL with synchronous=FULL syncs the log with every commit, so what was committed
 * survives a power loss; locking_mode=EXCLUSIVE keeps the wal-index in memory, since nobody else
 * may open the file anyway. (sqlite.org: wal.html, pragma.html#pragma_synchronous)
 *
 * Damage. quick_check at the start finds a file that is cut or overwritten. It is reported and
 * left alone: what looks broken to us may be restored by somebody who has a copy. An empty
 * database beside a key is damage as well: keys are made after the database. So is one without
 * tables: a copy of omerta.db without omerta.db-wal, which may hold all of it.
 */

#define LOCK "lock"
#define APPLICATION_ID 0x6f6d7274 /* "omrt"; file(1) and we recognise our own */

/* Entry i makes schema i + 1 of schema i. What was released is never changed, only added to.
 * record.hash: of docs/protocol.md, "gossip", so that decay of the disk is noticed without
 * verifying every signature. */
static const char *const migrations[] = {
        "CREATE TABLE network ("
        "  id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, subnet TEXT NOT NULL,"
        "  gateway BLOB NOT NULL, secret BLOB NOT NULL, is_gateway INTEGER NOT NULL,"
        "  host_name TEXT NOT NULL, owner TEXT NOT NULL, interface TEXT NOT NULL,"
        "  up INTEGER NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE record ("
        "  network BLOB NOT NULL, kind INTEGER NOT NULL, machine BLOB NOT NULL,"
        "  bytes BLOB NOT NULL, hash BLOB NOT NULL,"
        "  PRIMARY KEY (network, kind, machine)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE invite ("
        "  network BLOB NOT NULL, id BLOB NOT NULL, psk BLOB NOT NULL,"
        "  created INTEGER NOT NULL, not_after INTEGER NOT NULL, uses_max INTEGER NOT NULL,"
        "  uses INTEGER NOT NULL, name TEXT NOT NULL,"
        "  PRIMARY KEY (network, id)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE invite_use ("
        "  network BLOB NOT NULL, id BLOB NOT NULL, machine BLOB NOT NULL,"
        "  PRIMARY KEY (network, id, machine)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE endpoint ("
        "  network BLOB NOT NULL, machine BLOB NOT NULL, endpoint BLOB NOT NULL,"
        "  PRIMARY KEY (network, machine)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE time_floor ("
        "  network BLOB PRIMARY KEY NOT NULL, realtime INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;",
        "CREATE TABLE forward ("
        "  network BLOB NOT NULL, id INTEGER NOT NULL, direction TEXT NOT NULL,"
        "  listen TEXT NOT NULL, target TEXT NOT NULL,"
        "  PRIMARY KEY (network, id)) STRICT, WITHOUT ROWID;",
        /* What signed records said of the time is not kept any more: it outlived wrong clocks. */
        "DROP TABLE time_floor;"
        "CREATE TABLE trusted_time ("
        "  network BLOB PRIMARY KEY NOT NULL, realtime INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;"
        "ALTER TABLE network ADD COLUMN max_absence INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE network ADD COLUMN grace INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE invite ADD COLUMN needs_approval INTEGER NOT NULL DEFAULT 0;",
        "CREATE TABLE membership_key ("
        "  network BLOB PRIMARY KEY NOT NULL, seed BLOB NOT NULL, created INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;",
        "ALTER TABLE network ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE network ADD COLUMN mtu INTEGER NOT NULL DEFAULT 0;",
        "CREATE TABLE setting (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"
        "  STRICT, WITHOUT ROWID;",
        "ALTER TABLE network ADD COLUMN lan_off INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE network ADD COLUMN exit TEXT NOT NULL DEFAULT '';"
        "ALTER TABLE network ADD COLUMN exit_lan_off INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE network ADD COLUMN names TEXT NOT NULL DEFAULT '';",
};
#define SCHEMA_VERSION ((int) ELEMENTSOF(migrations))

/* A join that ended half way leaves records of a network nobody is a member of. Its key stays: an
 * invite may have been used up in its name, and the next try shows it again. */
static const char tidy[] =
                "DELETE FROM record WHERE network NOT IN (SELECT id FROM network);"
                "DELETE FROM invite WHERE network NOT IN (SELECT id FROM network);"
                "DELETE FROM invite_use WHERE network NOT IN (SELECT id FROM network);"
                "DELETE FROM endpoint WHERE network NOT IN (SELECT id FROM network);"
                "DELETE FROM trusted_time WHERE network NOT IN (SELECT id FROM network);"
                "DELETE FROM forward WHERE network NOT IN (SELECT id FROM network);";

int store_fail(char **ret_error, int r, const char *format, ...) {
        va_list ap;

        if (ret_error) {
                va_start(ap, format);
                g_free(*ret_error);
                *ret_error = g_strdup_vprintf(format, ap);
                va_end(ap);
        }
        return r;
}

static int take_lock(Store *s, char **ret_error) {
        char pid[24] = "";

        s->lock_fd = openat(s->dir_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->lock_fd < 0)
                return store_fail(
                                ret_error, -errno, "cannot open %s/" LOCK ": %s", s->dir,
                                g_strerror(errno));
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                int r = errno == EWOULDBLOCK ? -EBUSY : -errno;

                if (pread(s->lock_fd, pid, sizeof pid - 1, 0) < 0 || pid[0] < '1' || pid[0] > '9')
                        strcpy(pid, "?");
                return store_fail(
                                ret_error, r,
                                "another omertad (process %s) uses the state directory %s; give this "
                                "one another with --state-dir",
                                g_strchomp(pid), s->dir);
        }
        /* For the message above; nothing depends on it. */
        snprintf(pid, sizeof pid, "%d\n", (int) getpid());
        if (ftruncate(s->lock_fd, 0) >= 0)
                (void) !pwrite(s->lock_fd, pid, strlen(pid), 0);
        return 0;
}

static int open_directory(Store *s, char **ret_error) {
        struct stat st;
        int r;

        if (g_mkdir_with_parents(s->dir, 0700) < 0)
                return store_fail(
                                ret_error, -errno, "cannot make the state directory %s: %s", s->dir,
                                g_strerror(errno));
        s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0 || fstat(s->dir_fd, &st) < 0)
                return store_fail(
                                ret_error, -errno, "cannot open the state directory %s: %s", s->dir,
                                g_strerror(errno));
        r = store_check_directory(s->dir, &st, ret_error);
        if (r >= 0)
                r = store_check_files(s->dir, s->dir_fd, ret_error);
        return r < 0 ? r : take_lock(s, ret_error);
}

static int damaged(Store *s, const char *what, char **ret_error) {
        return store_fail(
                        ret_error, -EUCLEAN,
                        "%s/" STORE_DATABASE
                        " is damaged (%s): put a copy of the state directory back, or "
                        "move it away to begin anew (leases, members and keys of a gateway are then "
                        "lost)",
                        s->dir, what);
}

static int get_number(sqlite3 *db, const char *sql, sqlite3_int64 *ret) {
        sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *ret = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        return store_errno(code);
}

int store_check_pages(sqlite3 *db, char **ret_what) {
        sqlite3_stmt *st = NULL;
        const char *text = NULL;
        int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL), r = 0;

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                text = (const char *) sqlite3_column_text(st, 0);
        if (code != SQLITE_ROW)
                r = store_fail(ret_what, -EUCLEAN, "%s", sqlite3_errmsg(db));
        else if (!text || strcmp(text, "ok") != 0)
                r = store_fail(ret_what, -EUCLEAN, "%s", text ?: "no answer");
        sqlite3_finalize(st);
        return r;
}

int store_identify_database(sqlite3 *db, int *ret_version, char **ret_what) {
        sqlite3_int64 tables = 0, version = 0, application = 0;
        int r;

        r = get_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
        if (r >= 0)
                r = get_number(db, "PRAGMA user_version", &version);
        if (r >= 0)
                r = get_number(db, "PRAGMA application_id", &application);
        if (r < 0)
                return store_fail(ret_what, r, "%s", sqlite3_errmsg(db));
        if (tables > 0 && application != APPLICATION_ID)
                return store_fail(ret_what, -EUCLEAN, "it is no database of omerta");
        if (version < 0 || version > SCHEMA_VERSION)
                return store_fail(ret_what, -EPROTO, "it was written by a later version of omerta");
        *ret_version = tables > 0 ? (int) version : 0;
        return 0;
}

/* What is in @db, as one text: whatever has a name. Return: NULL if it cannot be read. */
static char *read_schema(sqlite3 *db) {
        g_autoptr(GString) text = g_string_new(NULL);
        sqlite3_stmt *st = NULL;
        int code;

        code = sqlite3_prepare_v2(
                        db,
                        "SELECT quote(type), quote(name), quote(tbl_name), quote(sql), rootpage > 0 "
                        "FROM sqlite_schema ORDER BY name, type",
                        -1, &st, NULL);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
                code = sqlite3_step(st);
                for (int i = 0; code == SQLITE_ROW && i < 5; i++)
                        g_string_append_printf(text, "%s;", (const char *) sqlite3_column_text(st, i));
        }
        sqlite3_finalize(st);
        return code == SQLITE_DONE ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

bool store_has_schema(sqlite3 *db, int version, const char *more) {
        g_autofree char *theirs = read_schema(db), *ours = NULL;
        sqlite3 *reference = NULL;
        int code = sqlite3_open(":memory:", &reference);

        for (int i = 0; i < version && code == SQLITE_OK; i++)
                code = sqlite3_exec(reference, migrations[i], NULL, NULL, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_exec(reference, more, NULL, NULL, NULL);
        if (code == SQLITE_OK)
                ours = read_schema(reference);
        sqlite3_close(reference);
        return theirs && ours && strcmp(theirs, ours) == 0;
}

static int migrate(Store *s, int from, char **ret_error) {
        for (int version = from + 1; version <= SCHEMA_VERSION; version++) {
                g_autofree char *sql = g_strdup_printf(
                                "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version "
                                "= %d; COMMIT;",
                                migrations[version - 1], APPLICATION_ID, version);

                if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
                        return store_fail(
                                        ret_error, store_errno(sqlite3_errcode(s->db)),
                                        "cannot write %s/" STORE_DATABASE ": %s", s->dir,
                                        sqlite3_errmsg(s->db));
        }
        return 0;
}

static int has_lost_tables(Store *s, char **ret_error) {
        g_autoptr(GPtrArray) keys = store_find_files(s->dir_fd, store_is_key);

        if (keys->len == 0)
                return 0;
        return store_fail(
                        ret_error, -EUCLEAN,
                        "%s/" STORE_DATABASE
                        " holds nothing, but there is a %s: most likely it was copied without " STORE_DATABASE
                        "-wal. " STORE_DATABASE ", " STORE_DATABASE
                        "-wal and all *.key belong together, copied while no omertad runs: put them "
                        "back from one copy, or restore a backup ('omertad restore'), or move the "
                        "directory away to begin anew",
                        s->dir, (const char *) keys->pdata[0]);
}

static int check_schema(Store *s, char **ret_error) {
        g_autofree char *what = NULL;
        int version = 0, r;

        r = store_identify_database(s->db, &version, &what);
        if (r >= 0 && version > 0)
                r = store_check_pages(s->db, &what);
        if (r == -EUCLEAN)
                return damaged(s, what, ret_error);
        if (r == -EPROTO)
                return store_fail(
                                ret_error, r,
                                "%s/" STORE_DATABASE
                                " was written by a later version of omerta: install that one again",
                                s->dir);
        if (r < 0)
                return store_fail(ret_error, r, "cannot read %s/" STORE_DATABASE ": %s", s->dir, what);
        if (version == 0) {
                r = has_lost_tables(s, ret_error);
                if (r < 0)
                        return r;
        }
        return migrate(s, version, ret_error);
}

/* The file is made here and not by SQLite, so that it is ours alone from the first moment, and so
 * that one that has vanished is not replaced by an empty one. Our descriptor is closed before
 * SQLite opens the file: closing it later would drop SQLite's locks (fcntl(2), F_SETLK). */
static int prepare_file(Store *s, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        g_autoptr(GPtrArray) keys = store_find_files(s->dir_fd, store_is_key);
        struct stat st;
        bool is_new;

        is_new = fstatat(s->dir_fd, STORE_DATABASE, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0;
        if (is_new && keys->len > 0) {
                g_autofree char *what =
                                g_strdup_printf("it is missing or empty, but there is a %s",
                                                (const char *) keys->pdata[0]);

                return damaged(s, what, ret_error);
        }
        fd = openat(s->dir_fd, STORE_DATABASE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return store_fail(
                                ret_error, -errno, "cannot open %s/" STORE_DATABASE ": %s", s->dir,
                                g_strerror(errno));
        if ((st.st_mode & 0077) != 0 && fchmod(fd, 0600) < 0)
                return store_fail(
                                ret_error, -errno, "cannot make %s/" STORE_DATABASE " private: %s",
                                s->dir, g_strerror(errno));
        if (is_new && fsync(s->dir_fd) < 0)
                return store_fail(ret_error, -errno, "cannot write %s: %s", s->dir, g_strerror(errno));
        return 0;
}

static int open_database(Store *s, char **ret_error) {
        g_autofree char *path = g_build_filename(s->dir, STORE_DATABASE, NULL);
        int code, r;

        r = prepare_file(s, ret_error);
        if (r < 0)
                return r;
        code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_exec(
                                s->db,
                                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
                                "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                "PRAGMA secure_delete = ON;",
                                NULL, NULL, NULL);
        if (code != SQLITE_OK) {
                const char *text = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);

                return store_errno(code) == -EUCLEAN ? damaged(s, text, ret_error)
                                                     : store_fail(ret_error, store_errno(code),
                                                                  "cannot open %s: %s", path, text);
        }
        return 0;
}

static int tidy_up(Store *s, char **ret_error) {
        if (sqlite3_exec(s->db, tidy, NULL, NULL, NULL) != SQLITE_OK)
                return store_fail(
                                ret_error, store_errno(sqlite3_errcode(s->db)),
                                "cannot write %s/" STORE_DATABASE ": %s", s->dir,
                                sqlite3_errmsg(s->db));
        return 0;
}

int store_take(const char *dir, Store **ret, char **ret_error) {
        Store *s = NEW(Store);
        int r;

        store_guard_memory();
        s->dir = g_strdup(dir);
        s->dir_fd = s->lock_fd = -EBADF;
        r = open_directory(s, ret_error);
        if (r < 0) {
                store_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

int store_open(const char *dir, Store **ret, char **ret_error) {
        Store *s = NULL;
        int r;

        r = store_take(dir, &s, ret_error);
        if (r >= 0)
                r = open_database(s, ret_error);
        if (r >= 0)
                r = check_schema(s, ret_error);
        if (r >= 0)
                r = tidy_up(s, ret_error);
        if (r < 0) {
                store_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        for (unsigned i = 0; i < ELEMENTSOF(s->statements); i++)
                sqlite3_finalize(s->statements[i]);
        sqlite3_close(s->db);
        closep(&s->lock_fd);
        closep(&s->dir_fd);
        g_free(s->dir);
        g_free(s);
        return NULL;
}
