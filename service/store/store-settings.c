/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settings of the machine, which belong to no network, or are named after one. */

#include "store/store-internal.h"

int store_put_setting(Store *s, const char *name, const char *value) {
        sqlite3_stmt *st = store_statement(s, STATEMENT_PUT_SETTING);

        if (st) {
                sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
                sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
        }
        return store_run(s, st);
}

int store_get_setting(Store *s, const char *name, char **ret) {
        sqlite3_stmt *st = store_statement(s, STATEMENT_GET_SETTING);
        int r;

        if (st)
                sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
        r = store_step(s, st);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret = g_strdup((const char *) sqlite3_column_text(st, 0));
        sqlite3_reset(st);
        return 0;
}

int store_delete_setting(Store *s, const char *name) {
        sqlite3_stmt *st = store_statement(s, STATEMENT_DELETE_SETTING);

        if (st)
                sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
        return store_run(s, st);
}
