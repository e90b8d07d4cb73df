/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>

#include "base/macros.h"
#include "store/store-internal.h"

/* "omrt": whose database this is, for file(1) and for us. */
#define APPLICATION_ID 0x6f6d7274

/* Entry i makes schema i + 1 of schema i. A released entry never changes; tables get a new one.
 *
 * Rows of a network may be there before the network itself: a machine that joins commits its
 * certificate first. If it is then cut short, the rows are orphans, which go at the next start.
 * hash: of the record (docs/protocol.md, "gossip"), so that decay of the disk is noticed without
 * verifying every signature. */
static const char *const migrations[] = {
        "CREATE TABLE networks ("
        " id BLOB PRIMARY KEY NOT NULL,"
        " name TEXT NOT NULL,"
        " subnet BLOB NOT NULL," /* 4 bytes */
        " prefix_len INTEGER NOT NULL,"
        " gateway BLOB NOT NULL,"
        " secret BLOB NOT NULL,"
        " is_gateway INTEGER NOT NULL,"
        " host_name TEXT NOT NULL,"
        " owner TEXT NOT NULL,"
        " interface TEXT NOT NULL,"
        " up INTEGER NOT NULL,"
        " created INTEGER NOT NULL" /* times: microseconds of Unix time */
        ") WITHOUT ROWID;"
        "CREATE TABLE records ("
        " network BLOB NOT NULL,"
        " kind INTEGER NOT NULL,"
        " machine BLOB NOT NULL,"
        " record BLOB NOT NULL,"
        " hash BLOB NOT NULL,"
        " PRIMARY KEY (network, kind, machine)"
        ") WITHOUT ROWID;"
        "CREATE TABLE invites ("
        " network BLOB NOT NULL,"
        " id BLOB NOT NULL,"
        " psk BLOB NOT NULL,"
        " created INTEGER NOT NULL,"
        " not_after INTEGER NOT NULL,"
        " uses_max INTEGER NOT NULL,"
        " uses INTEGER NOT NULL,"
        " name TEXT NOT NULL,"
        " PRIMARY KEY (network, id)"
        ") WITHOUT ROWID;"
        "CREATE TABLE invite_uses ("
        " network BLOB NOT NULL,"
        " invite BLOB NOT NULL,"
        " machine BLOB NOT NULL,"
        " PRIMARY KEY (network, invite, machine)"
        ") WITHOUT ROWID;"
        "CREATE TABLE endpoints ("
        " network BLOB NOT NULL,"
        " machine BLOB NOT NULL,"
        " endpoint BLOB NOT NULL," /* wire form */
        " PRIMARY KEY (network, machine)"
        ") WITHOUT ROWID;"
        "CREATE TABLE times ("
        " network BLOB PRIMARY KEY NOT NULL,"
        " latest INTEGER NOT NULL"
        ") WITHOUT ROWID;",
};

static const char remove_orphans[] =
                "DELETE FROM records WHERE network NOT IN (SELECT id FROM networks);"
                "DELETE FROM invites WHERE network NOT IN (SELECT id FROM networks);"
                "DELETE FROM invite_uses WHERE network NOT IN (SELECT id FROM networks);"
                "DELETE FROM endpoints WHERE network NOT IN (SELECT id FROM networks);"
                "DELETE FROM times WHERE network NOT IN (SELECT id FROM networks);";

/* A number some PRAGMA or SELECT says. */
static int get_number(Store *s, const char *sql, int *ret) {
        sqlite3_stmt *stmt = NULL;
        int r = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_step(stmt);
        if (r == SQLITE_ROW)
                *ret = sqlite3_column_int(stmt, 0);
        sqlite3_finalize(stmt);
        return r == SQLITE_ROW ? 0 : store_error(s, r);
}

static int check_integrity(Store *s, char **ret_error) {
        sqlite3_stmt *stmt = NULL;
        const char *text = NULL;
        int r = sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_step(stmt);
        if (r == SQLITE_ROW)
                text = (const char *) sqlite3_column_text(stmt, 0);
        if (g_strcmp0(text, "ok") == 0) {
                sqlite3_finalize(stmt);
                return 0;
        }
        *ret_error = g_strdup_printf(
                        "%s/%s is damaged (%s): restore it from a backup, or move it away, together "
                        "with its -wal file, and join the networks again",
                        s->dir, STORE_DATABASE, text ?: sqlite3_errmsg(s->db));
        sqlite3_finalize(stmt);
        return -EUCLEAN;
}

static int run_migration(Store *s, unsigned version) {
        g_autofree char *sql = g_strdup_printf(
                        "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %u; "
                        "COMMIT",
                        migrations[version - 1], APPLICATION_ID, version);
        int r = store_exec(s, sql);

        if (r < 0)
                store_rollback(s);
        return r;
}

static int refuse_version(const Store *s, int version, int application, char **ret_error) {
        if (application != APPLICATION_ID) {
                *ret_error = g_strdup_printf(
                                "%s/%s is not omerta's: it belongs to another program; move it away",
                                s->dir, STORE_DATABASE);
                return -EUCLEAN;
        }
        *ret_error = g_strdup_printf(
                        "%s/%s was written by a later version of omerta (schema %d, this one knows "
                        "%zu): install that version again",
                        s->dir, STORE_DATABASE, version, ELEMENTSOF(migrations));
        return -EPROTO;
}

int store_migrate(Store *s, char **ret_error) {
        int version = 0, application = 0, tables = 0, r;

        r = check_integrity(s, ret_error);
        if (r >= 0)
                r = get_number(s, "PRAGMA user_version", &version);
        if (r >= 0)
                r = get_number(s, "PRAGMA application_id", &application);
        if (r >= 0)
                r = get_number(s, "SELECT count(*) FROM sqlite_master", &tables);
        if (r < 0)
                return r;
        if (tables > 0 && (application != APPLICATION_ID || version > (int) ELEMENTSOF(migrations)))
                return refuse_version(s, version, application, ret_error);
        for (unsigned next = (unsigned) version + 1; next <= ELEMENTSOF(migrations); next++) {
                r = run_migration(s, next);
                if (r < 0)
                        return r;
        }
        r = store_exec(s, remove_orphans);
        if (r < 0)
                return r;
        r = get_number(s, "SELECT count(*) FROM networks", &tables);
        s->n_networks = (unsigned) tables;
        return r;
}
