/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "store/store-internal.h"

static int bind_network(sqlite3_stmt *stmt, const StoredNetwork *n) {
        const Membership *m = &n->membership;
        int i = 0;

        return sqlite3_bind_blob(stmt, ++i, m->id.bytes, sizeof(m->id.bytes), SQLITE_STATIC) ||
                                               sqlite3_bind_text(stmt, ++i, m->name, -1, SQLITE_STATIC) ||
                                               sqlite3_bind_blob(
                                                               stmt, ++i, m->subnet.addr.bytes, 4,
                                                               SQLITE_STATIC) ||
                                               sqlite3_bind_int(stmt, ++i, m->subnet.len) ||
                                               store_bind_id(stmt, ++i, &m->gateway) ||
                                               sqlite3_bind_blob(
                                                               stmt, ++i, m->secret,
                                                               sizeof(m->secret), SQLITE_STATIC) ||
                                               sqlite3_bind_int(stmt, ++i, m->is_gateway) ||
                                               sqlite3_bind_text(
                                                               stmt, ++i, m->host_name, -1,
                                                               SQLITE_STATIC) ||
                                               sqlite3_bind_text(
                                                               stmt, ++i, m->owner, -1,
                                                               SQLITE_STATIC) ||
                                               sqlite3_bind_text(
                                                               stmt, ++i, n->interface, -1,
                                                               SQLITE_STATIC) ||
                                               sqlite3_bind_int(stmt, ++i, n->up) ||
                                               sqlite3_bind_int64(stmt, ++i, (int64_t) n->created)
                               ? -ENOMEM
                               : 0;
}

int store_put_network(Store *s, const StoredNetwork *network) {
        sqlite3_stmt *stmt;
        int r = store_prepare(s, STATEMENT_PUT_NETWORK, &stmt);

        if (r < 0)
                return r;
        r = bind_network(stmt, network);
        /* Outside of a transaction every statement is one. */
        return r < 0 ? r : store_run(s, stmt);
}

static int read_network(sqlite3_stmt *stmt, StoredNetwork *n) {
        Membership *m = &n->membership;

        *n = (StoredNetwork){};
        if (store_column_blob(stmt, 0, m->id.bytes, sizeof(m->id.bytes)) < 0 ||
            store_column_text(stmt, 1, m->name, sizeof(m->name)) < 0 ||
            store_column_blob(stmt, 2, m->subnet.addr.bytes, 4) < 0 ||
            store_column_blob(stmt, 4, m->gateway.bytes, sizeof(m->gateway.bytes)) < 0 ||
            store_column_blob(stmt, 5, m->secret, sizeof(m->secret)) < 0 ||
            store_column_text(stmt, 7, m->host_name, sizeof(m->host_name)) < 0 ||
            store_column_text(stmt, 8, m->owner, sizeof(m->owner)) < 0 ||
            store_column_text(stmt, 9, n->interface, sizeof(n->interface)) < 0 ||
            sqlite3_column_int(stmt, 3) < 0 || sqlite3_column_int(stmt, 3) > 32)
                return -EUCLEAN;
        m->subnet.addr.family = AF_INET;
        m->subnet.len = (uint8_t) sqlite3_column_int(stmt, 3);
        m->is_gateway = sqlite3_column_int(stmt, 6) != 0;
        n->up = sqlite3_column_int(stmt, 10) != 0;
        n->created = (usec_t) sqlite3_column_int64(stmt, 11);
        return 0;
}

int store_foreach_network(
                Store *s,
                void (*callback)(void *userdata, const StoredNetwork *network),
                void *userdata) {
        StoredNetwork network;
        sqlite3_stmt *stmt;
        int r = store_prepare(s, STATEMENT_LIST_NETWORKS, &stmt);

        if (r < 0)
                return r;
        while ((r = store_step(s, stmt)) > 0) {
                r = read_network(stmt, &network);
                if (r < 0) {
                        sqlite3_reset(stmt);
                        break;
                }
                callback(userdata, &network);
        }
        sodium_memzero(&network, sizeof(network));
        return r;
}

static const char *const network_tables[] = {
        "networks WHERE id",         "records WHERE network",   "invites WHERE network",
        "invite_uses WHERE network", "endpoints WHERE network", "times WHERE network",
};

static int delete_rows(Store *s, const NetworkId *id) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < ELEMENTSOF(network_tables); i++) {
                g_autofree char *sql = g_strdup_printf("DELETE FROM %s = ?", network_tables[i]);
                sqlite3_stmt *stmt = NULL;
                int k = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

                if (k == SQLITE_OK)
                        k = store_bind_id(stmt, 1, id);
                if (k == SQLITE_OK)
                        k = sqlite3_step(stmt);
                r = store_error(s, k);
                sqlite3_finalize(stmt);
        }
        return r;
}

int store_delete_network(Store *s, const NetworkId *id) {
        int r = store_begin(s);

        if (r < 0)
                return r;
        r = delete_rows(s, id);
        if (r < 0) {
                store_rollback(s);
                return r;
        }
        r = store_commit(s);
        return r < 0 ? r : store_forget_root(s, id);
}
