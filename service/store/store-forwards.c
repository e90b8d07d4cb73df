/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Port forwards that are kept over restarts. */

#include "store/store-internal.h"

static sqlite3_stmt *prepare(Store *s, Statement which, const NetworkId *network) {
        sqlite3_stmt *st = store_statement(s, which);

        if (st)
                sqlite3_bind_blob(st, 1, network->bytes, sizeof network->bytes, SQLITE_STATIC);
        return st;
}

static char *column_text(sqlite3_stmt *st, int column) {
        return g_strdup((const char *) sqlite3_column_text(st, column));
}

static void forward_clear(void *data) {
        StoredForward *f = data;

        g_free(f->direction);
        g_free(f->listen);
        g_free(f->target);
}

int store_foreach_forward(
                Store *s,
                const NetworkId *network,
                void (*callback)(void *userdata, const StoredForward *forward),
                void *userdata) {
        g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(StoredForward));
        sqlite3_stmt *st = prepare(s, STATEMENT_LIST_FORWARDS, network);
        int r;

        g_array_set_clear_func(all, forward_clear);
        /* All first: the callback may well write to the store. The schema lets no NULL in. */
        while ((r = store_step(s, st)) > 0) {
                StoredForward f = {
                        .id = (uint32_t) sqlite3_column_int64(st, 0),
                        .direction = column_text(st, 1),
                        .listen = column_text(st, 2),
                        .target = column_text(st, 3),
                };

                g_array_append_val(all, f);
        }
        for (unsigned i = 0; r >= 0 && i < all->len; i++)
                callback(userdata, &g_array_index(all, StoredForward, i));
        return r;
}

int store_put_forward(Store *s, const NetworkId *network, const StoredForward *forward) {
        sqlite3_stmt *st = prepare(s, STATEMENT_PUT_FORWARD, network);

        if (st) {
                sqlite3_bind_int64(st, 2, forward->id);
                sqlite3_bind_text(st, 3, forward->direction, -1, SQLITE_STATIC);
                sqlite3_bind_text(st, 4, forward->listen, -1, SQLITE_STATIC);
                sqlite3_bind_text(st, 5, forward->target, -1, SQLITE_STATIC);
        }
        return store_run(s, st);
}

int store_delete_forward(Store *s, const NetworkId *network, uint32_t id) {
        sqlite3_stmt *st = prepare(s, STATEMENT_DELETE_FORWARD, network);

        if (st)
                sqlite3_bind_int64(st, 2, id);
        return store_run(s, st);
}
