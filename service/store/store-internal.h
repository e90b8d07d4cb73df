/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the store share: store.c opens and closes, store-schema.c has the tables and
 * their migrations, store-files.c the keys, store-networks.c and store-mesh.c the rows. */

#include <sqlite3.h>
#include <stdbool.h>

#include "store/store.h"

#define STORE_DATABASE "omerta.db"
#define STORE_LOCK "lock"
#define STORE_MACHINE_KEY "machine.key"

typedef enum StatementId {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_PUT_NETWORK,
        STATEMENT_LIST_NETWORKS,
        STATEMENT_PUT_RECORD,
        STATEMENT_DELETE_RECORD,
        STATEMENT_LIST_RECORDS,
        STATEMENT_PUT_INVITE,
        STATEMENT_DELETE_INVITE,
        STATEMENT_DELETE_INVITE_USES,
        STATEMENT_LIST_INVITES,
        STATEMENT_PUT_INVITE_USE,
        STATEMENT_GET_INVITE_USE,
        STATEMENT_PUT_ENDPOINT,
        STATEMENT_LIST_ENDPOINTS,
        STATEMENT_PUT_TIME,
        STATEMENT_GET_TIME,
        _STATEMENT_MAX,
} StatementId;

struct Store {
        char *dir;
        int dir_fd, lock_fd;
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        unsigned n_networks; /* when it was opened */
};

/* store.c */

/* errno of what SQLite said last: -ENOSPC, -EUCLEAN, -EIO, ... */
int store_error(const Store *s, int sqlite_result);
/* Prepared once, reset, nothing bound. Return: 0 or negative errno. */
int store_prepare(Store *s, StatementId id, sqlite3_stmt **ret);
/* Return: 1: a row, 0: done, and the statement is reset; or negative errno, reset as well. */
int store_step(Store *s, sqlite3_stmt *stmt);
/* One statement without a result. */
int store_run(Store *s, sqlite3_stmt *stmt);
int store_begin(Store *s);
/* Rolls back if it fails. */
int store_commit(Store *s);
void store_rollback(Store *s);
/* Several statements, separated by semicolons. */
int store_exec(Store *s, const char *sql);
/* The column is a blob of exactly @n bytes. Return: 0, or -EUCLEAN. */
int store_column_blob(sqlite3_stmt *stmt, int column, void *ret, size_t n);
/* The column is text that fits. Return: 0, or -EUCLEAN. */
int store_column_text(sqlite3_stmt *stmt, int column, char *ret, size_t size);

static inline int store_bind_id(sqlite3_stmt *stmt, int i, const MachineId *id) {
        return sqlite3_bind_blob(stmt, i, id->bytes, sizeof(id->bytes), SQLITE_STATIC);
}

/* store-schema.c */
int store_migrate(Store *s, char **ret_error);

/* store-files.c */

/* What is there: mode and owner. Return: 1 it exists, 0 it does not, or negative errno and
 * @ret_error. */
int store_check_file(Store *s, const char *name, size_t *ret_size, char **ret_error);
int store_forget_root(Store *s, const NetworkId *network);
