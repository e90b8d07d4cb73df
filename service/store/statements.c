/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every SQL statement of the daemon but the schema, and what wraps sqlite3_step(). */

#include <string.h>

#include "store/store-internal.h"

static const char *const text[] = {
        [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_PUT_NETWORK] =
                        "INSERT OR REPLACE INTO network (id, name, subnet, gateway, secret, "
                        "is_gateway, host_name, owner, interface, up, created, max_absence, grace, "
                        "revoked, mtu, lan_off, exit, exit_lan_off, names) VALUES (?1, ?2, ?3, ?4, ?5, "
                        "?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        [STATEMENT_COUNT_NETWORKS] =
                        "SELECT count(*) FROM network WHERE id NOT IN "
                        "(SELECT network FROM membership_key)",
        [STATEMENT_DELETE_NETWORK] = "DELETE FROM network WHERE id = ?1",
        [STATEMENT_LIST_NETWORKS] =
                        "SELECT id, name, subnet, gateway, secret, is_gateway, host_name, owner, "
                        "interface, up, created, max_absence, grace, revoked, mtu, lan_off, "
                        "exit, exit_lan_off, names FROM network ORDER BY created, id",
        [STATEMENT_PUT_RECORD] =
                        "INSERT OR REPLACE INTO record (network, kind, machine, bytes, hash) "
                        "VALUES (?1, ?2, ?3, ?4, ?5)",
        [STATEMENT_DELETE_RECORD] =
                        "DELETE FROM record WHERE network = ?1 AND kind = ?2 AND machine = ?3",
        [STATEMENT_LIST_RECORDS] =
                        "SELECT bytes, hash FROM record WHERE network = ?1 ORDER BY kind, machine",
        [STATEMENT_PUT_INVITE] =
                        "INSERT OR REPLACE INTO invite (network, id, psk, created, not_after, "
                        "uses_max, uses, name, needs_approval) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [STATEMENT_DELETE_INVITE] = "DELETE FROM invite WHERE network = ?1 AND id = ?2",
        [STATEMENT_DELETE_INVITE_USES] = "DELETE FROM invite_use WHERE network = ?1 AND id = ?2",
        [STATEMENT_LIST_INVITES] =
                        "SELECT id, psk, created, not_after, uses_max, uses, name, needs_approval "
                        "FROM invite WHERE network = ?1 ORDER BY created, id",
        [STATEMENT_PUT_INVITE_USE] =
                        "INSERT OR IGNORE INTO invite_use (network, id, machine) "
                        "VALUES (?1, ?2, ?3)",
        [STATEMENT_FIND_INVITE_USE] =
                        "SELECT 1 FROM invite_use WHERE network = ?1 AND id = ?2 AND machine = ?3",
        [STATEMENT_PUT_ENDPOINT] =
                        "INSERT OR REPLACE INTO endpoint (network, machine, endpoint) "
                        "VALUES (?1, ?2, ?3)",
        [STATEMENT_DELETE_ENDPOINT] = "DELETE FROM endpoint WHERE network = ?1 AND machine = ?2",
        [STATEMENT_LIST_ENDPOINTS] =
                        "SELECT machine, endpoint FROM endpoint WHERE network = ?1 "
                        "ORDER BY machine",
        [STATEMENT_PUT_TRUSTED_TIME] =
                        "INSERT OR REPLACE INTO trusted_time (network, realtime) VALUES (?1, ?2)",
        [STATEMENT_GET_TRUSTED_TIME] = "SELECT realtime FROM trusted_time WHERE network = ?1",
        [STATEMENT_PUT_FORWARD] =
                        "INSERT OR REPLACE INTO forward (network, id, direction, listen, target) "
                        "VALUES (?1, ?2, ?3, ?4, ?5)",
        /* A row of no network, which tidy_up() takes away. */
        [STATEMENT_PROBE] = "INSERT OR REPLACE INTO trusted_time (network, realtime) VALUES (x'', 0)",
        [STATEMENT_DELETE_FORWARD] = "DELETE FROM forward WHERE network = ?1 AND id = ?2",
        [STATEMENT_LIST_FORWARDS] =
                        "SELECT id, direction, listen, target FROM forward WHERE network = ?1 "
                        "ORDER BY id",
        [STATEMENT_PUT_MEMBERSHIP_KEY] =
                        "INSERT INTO membership_key (network, seed, created) VALUES (?1, ?2, ?3)",
        [STATEMENT_GET_MEMBERSHIP_KEY] = "SELECT seed FROM membership_key WHERE network = ?1",
        [STATEMENT_DELETE_MEMBERSHIP_KEY] = "DELETE FROM membership_key WHERE network = ?1",
        [STATEMENT_TRIM_MEMBERSHIP_KEYS] =
                        "DELETE FROM membership_key WHERE network IN ("
                        "SELECT network FROM membership_key "
                        "WHERE network NOT IN (SELECT id FROM network) "
                        "ORDER BY created DESC, network LIMIT -1 OFFSET ?1)",
        [STATEMENT_PUT_SETTING] = "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)",
        [STATEMENT_DELETE_SETTING] = "DELETE FROM setting WHERE name = ?1",
        [STATEMENT_GET_SETTING] = "SELECT value FROM setting WHERE name = ?1",
};
static_assert(ELEMENTSOF(text) == _STATEMENT_MAX, "a text for every statement");

int store_errno(int code) {
        switch (code & 0xff) { /* extended codes have more above */
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_MISMATCH:
                return -EUCLEAN;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_CANTOPEN:
                return -ENOENT;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

sqlite3_stmt *store_statement(Store *s, Statement which) {
        sqlite3_stmt **st = &s->statements[which];

        if (!*st && sqlite3_prepare_v3(s->db, text[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) !=
                                    SQLITE_OK)
                return NULL;
        sqlite3_reset(*st);
        sqlite3_clear_bindings(*st);
        return *st;
}

int store_step(Store *s, sqlite3_stmt *statement) {
        int code, r;

        if (!statement)
                return store_errno(sqlite3_errcode(s->db));
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                return 1;
        /* Bound memory belongs to callers: nothing may point to it after this. */
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
        r = store_errno(code);
        /* What the kernel said is worth more than "I/O error". */
        if (r == -EIO && sqlite3_system_errno(s->db) > 0)
                r = -sqlite3_system_errno(s->db);
        return r;
}

/* Of what may be better later, and is nobody's fault who asked. */
static bool is_of_the_disk(int r) {
        return r == -ENOSPC || r == -EDQUOT || r == -EROFS || r == -EIO || r == -EACCES ||
               r == -ENOENT || r == -EFBIG || r == -ENODEV || r == -ESTALE;
}

static void note_write_error(Store *s, int r) {
        bool changed = (r == 0) != (s->write_error == 0);

        s->write_error = r;
        if (changed && s->write_error_changed)
                s->write_error_changed(s->write_error_userdata, r);
}

int store_run(Store *s, sqlite3_stmt *statement) {
        int r = store_step(s, statement);

        if (r > 0)
                sqlite3_reset(statement);
        /* What failed may have been given up already: that this fails then says nothing. */
        if (statement && statement == s->statements[STATEMENT_ROLLBACK])
                return r < 0 ? r : 0;
        if (is_of_the_disk(r))
                note_write_error(s, r);
        else if (r >= 0 && sqlite3_get_autocommit(s->db)) /* it is on the disk now */
                note_write_error(s, 0);
        return r < 0 ? r : 0;
}

int store_probe(Store *s) {
        return store_run(s, store_statement(s, STATEMENT_PROBE));
}

int store_write_error(const Store *s) {
        return s->write_error;
}

void store_on_write_error(Store *s, void (*changed)(void *userdata, int error), void *userdata) {
        s->write_error_changed = changed;
        s->write_error_userdata = userdata;
}

void store_wipe_log(Store *s) {
        /* Pages are overwritten by secure_delete; their former contents would stay in the log until
         * it begins anew. Should it fail, that is what happens. */
        (void) sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

bool store_column_bytes(sqlite3_stmt *statement, int column, void *ret, size_t size) {
        const void *bytes = sqlite3_column_blob(statement, column);

        if (!bytes || sqlite3_column_bytes(statement, column) != (int) size)
                return false;
        memcpy(ret, bytes, size);
        return true;
}

bool store_column_text(sqlite3_stmt *statement, int column, char *ret, size_t size) {
        const char *t = (const char *) sqlite3_column_text(statement, column);
        size_t n = (size_t) sqlite3_column_bytes(statement, column);

        if (!t || n >= size || memchr(t, '\0', n))
                return false;
        memcpy(ret, t, n);
        ret[n] = '\0';
        return true;
}
