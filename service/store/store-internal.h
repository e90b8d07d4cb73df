/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "store/store.h"

/* Statements are prepared when first used and kept; their texts are in statements.c. */
typedef enum Statement {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_PUT_NETWORK,
        STATEMENT_COUNT_NETWORKS,
        STATEMENT_DELETE_NETWORK,
        STATEMENT_LIST_NETWORKS,
        STATEMENT_PUT_RECORD,
        STATEMENT_DELETE_RECORD,
        STATEMENT_LIST_RECORDS,
        STATEMENT_PUT_INVITE,
        STATEMENT_DELETE_INVITE,
        STATEMENT_DELETE_INVITE_USES,
        STATEMENT_LIST_INVITES,
        STATEMENT_PUT_INVITE_USE,
        STATEMENT_FIND_INVITE_USE,
        STATEMENT_PUT_ENDPOINT,
        STATEMENT_DELETE_ENDPOINT,
        STATEMENT_LIST_ENDPOINTS,
        STATEMENT_PUT_TRUSTED_TIME,
        STATEMENT_GET_TRUSTED_TIME,
        STATEMENT_PROBE,
        STATEMENT_PUT_FORWARD,
        STATEMENT_DELETE_FORWARD,
        STATEMENT_LIST_FORWARDS,
        STATEMENT_PUT_MEMBERSHIP_KEY,
        STATEMENT_GET_MEMBERSHIP_KEY,
        STATEMENT_DELETE_MEMBERSHIP_KEY,
        STATEMENT_TRIM_MEMBERSHIP_KEYS,
        STATEMENT_PUT_SETTING,
        STATEMENT_GET_SETTING,
        STATEMENT_DELETE_SETTING,
        _STATEMENT_MAX,
} Statement;

struct Store {
        char *dir;
        int dir_fd, lock_fd;
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        int write_error;
        void (*write_error_changed)(void *userdata, int error);
        void *write_error_userdata;
};

/* Errno of an SQLite result code, negative; 0 for success. */
int store_errno(int code);

/* Resets and returns a statement ready to be bound. NULL: cannot be prepared. */
sqlite3_stmt *store_statement(Store *s, Statement which);
/* Runs one that returns no rows. Return: 0 or negative errno. */
int store_run(Store *s, sqlite3_stmt *statement);
/* Next row. Return: 1 a row, 0 no more (the statement is reset), negative errno. */
int store_step(Store *s, sqlite3_stmt *statement);

/* Takes what was deleted out of the log as well: a key that is gone should be gone. */
void store_wipe_log(Store *s);
/* Sets *ret_error, if there is one, in place of what it holds. Return: @r. */
int store_fail(char **ret_error, int r, const char *format, ...) _printf_(3, 4);

/* store-files.c. Return: 0; -EPERM: it is somebody else's, or others may write to it; -EUCLEAN: no
 * file, -ENOTDIR: no directory. With a sentence, which the caller frees. */
int store_check_directory(const char *path, const struct stat *st, char **ret_error);
int store_check_file(const char *dir, const char *name, const struct stat *st, char **ret_error);
/* Every file of ours in the directory. */
int store_check_files(const char *dir, int dir_fd, char **ret_error);

bool store_is_state(const char *name);
/* The files in the directory whose names are of those; the caller frees. */
GPtrArray *store_find_files(int dir_fd, bool (*is_one)(const char *name));

/* store-keys.c; no key there is no error. */
int store_forget_root(Store *s, const NetworkId *network);
/* machine.key, root-ID.key. */
bool store_is_key(const char *name);
/* @is_private: its mode says who may read it. Return: 0, -ENOENT, -EPERM: others may read it or it
 * is theirs, -EUCLEAN: no key; @ret_error is set only where there is more to say. */
int store_read_key(
                const char *dir,
                int dir_fd,
                const char *name,
                bool is_private,
                uint8_t ret[static IDENTITY_SEED_SIZE],
                char **ret_error);
/* Durable. */
int store_write_key(int dir_fd, const char *name, const uint8_t seed[static IDENTITY_SEED_SIZE]);

/* store-memory.c. Before the first database of the process is opened; else it does nothing. */
void store_guard_memory(void);

/* store.c */
#define STORE_DATABASE "omerta.db"
/* One with directory and lock, and without a database; store_close() ends it. With a sentence. */
int store_take(const char *dir, Store **ret, char **ret_error);
/* -EUCLEAN: no database of omerta, or damaged; -EPROTO: of a later version. With what is wrong,
 * which the caller frees. @ret_version: of its schema, 0: it is empty. */
int store_identify_database(sqlite3 *db, int *ret_version, char **ret_what);
/* The whole file is read. -EUCLEAN: it is damaged; with how, which the caller frees. */
int store_check_pages(sqlite3 *db, char **ret_what);
/* Whether the tables of @db are those of @version and what the statements @more make, to the
 * letter: not one more, no column, no constraint. Nothing of it is run by this. */
bool store_has_schema(sqlite3 *db, int version, const char *more);

/* Blob column of exactly @size bytes. Return: false if it is not. */
bool store_column_bytes(sqlite3_stmt *statement, int column, void *ret, size_t size);
/* Text column of at most @size - 1 bytes. */
bool store_column_text(sqlite3_stmt *statement, int column, char *ret, size_t size);
