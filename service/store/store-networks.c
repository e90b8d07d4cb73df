/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Networks this machine is a member of. */

#include <sodium.h>
#include <string.h>

#include "store/store-internal.h"

static int bind_id(sqlite3_stmt *st, int at, const MachineId *id) {
        return sqlite3_bind_blob(st, at, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

static int bind_text(sqlite3_stmt *st, int at, const char *text) {
        return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

/* Return: false if the row was not written by us. */
static bool read_network(sqlite3_stmt *st, StoredNetwork *ret) {
        const void *secret = sqlite3_column_blob(st, 4);
        Membership *m = &ret->membership;
        char subnet[64], names[GATEWAY_NAMES_MAX * HOST_PORT_TEXT_MAX];
        int n;

        *ret = (StoredNetwork){};
        if (!store_column_bytes(st, 0, m->id.bytes, sizeof m->id.bytes) ||
            !store_column_text(st, 1, m->name, sizeof m->name) ||
            !store_column_text(st, 2, subnet, sizeof subnet) ||
            !store_column_bytes(st, 3, m->gateway.bytes, sizeof m->gateway.bytes) ||
            sqlite3_column_bytes(st, 4) != (int) SECRET_SIZE ||
            !store_column_text(st, 6, m->host_name, sizeof m->host_name) ||
            !store_column_text(st, 7, m->owner, sizeof m->owner) ||
            !store_column_text(st, 8, ret->interface, sizeof ret->interface) ||
            !store_column_text(st, 16, ret->exit, sizeof ret->exit) ||
            !store_column_text(st, 18, names, sizeof names) ||
            ip_prefix_parse(subnet, &m->subnet) < 0)
                return false;
        n = names[0] ? host_port_list_parse(names, 0, m->names, GATEWAY_NAMES_MAX) : 0;
        if (n < 0)
                return false;
        m->n_names = (unsigned) n;
        m->secret = secret_new(secret);
        m->is_gateway = sqlite3_column_int(st, 5) != 0;
        ret->up = sqlite3_column_int(st, 9) != 0;
        ret->created = (usec_t) sqlite3_column_int64(st, 10);
        m->max_absence = (usec_t) sqlite3_column_int64(st, 11);
        m->grace = (usec_t) sqlite3_column_int64(st, 12);
        m->is_revoked = sqlite3_column_int(st, 13) != 0;
        ret->mtu = (uint32_t) sqlite3_column_int64(st, 14);
        ret->lan_off = sqlite3_column_int(st, 15) != 0;
        ret->exit_lan_off = sqlite3_column_int(st, 17) != 0;
        return true;
}

int store_foreach_network(
                Store *s,
                void (*callback)(void *userdata, const StoredNetwork *network),
                void *userdata) {
        g_autoptr(GArray) networks = g_array_new(FALSE, FALSE, sizeof(StoredNetwork));
        sqlite3_stmt *st = store_statement(s, STATEMENT_LIST_NETWORKS);
        StoredNetwork network;
        int r;

        /* All first: the callback may well write to the store. */
        while ((r = store_step(s, st)) > 0) {
                if (!read_network(st, &network)) {
                        sqlite3_reset(st);
                        r = -EUCLEAN;
                        break;
                }
                g_array_append_val(networks, network);
        }
        for (unsigned i = 0; r >= 0 && i < networks->len; i++)
                callback(userdata, &g_array_index(networks, StoredNetwork, i));
        for (unsigned i = 0; i < networks->len; i++)
                membership_clear(&g_array_index(networks, StoredNetwork, i).membership);
        return r;
}

int store_put_network(Store *s, const StoredNetwork *network) {
        sqlite3_stmt *st = store_statement(s, STATEMENT_PUT_NETWORK);
        const Membership *m = &network->membership;
        IpText subnet = ip_prefix_format(&m->subnet);
        g_autofree char *names = host_port_list_format(m->names, m->n_names);

        if (st) {
                bind_id(st, 1, &m->id);
                bind_text(st, 2, m->name);
                bind_text(st, 3, subnet.text);
                bind_id(st, 4, &m->gateway);
                sqlite3_bind_blob(st, 5, secret_bytes(m->secret), (int) SECRET_SIZE, SQLITE_STATIC);
                sqlite3_bind_int(st, 6, m->is_gateway);
                bind_text(st, 7, m->host_name);
                bind_text(st, 8, m->owner);
                bind_text(st, 9, network->interface);
                sqlite3_bind_int(st, 10, network->up);
                sqlite3_bind_int64(st, 11, (sqlite3_int64) network->created);
                sqlite3_bind_int64(st, 12, (sqlite3_int64) m->max_absence);
                sqlite3_bind_int64(st, 13, (sqlite3_int64) m->grace);
                sqlite3_bind_int(st, 14, m->is_revoked);
                sqlite3_bind_int64(st, 15, network->mtu);
                sqlite3_bind_int(st, 16, network->lan_off);
                bind_text(st, 17, network->exit);
                sqlite3_bind_int(st, 18, network->exit_lan_off);
                bind_text(st, 19, names);
        }
        return store_run(s, st);
}

int store_delete_network(Store *s, const NetworkId *id) {
        static const char *const tables[] = { "record",        "invite",       "invite_use",
                                              "endpoint",      "trusted_time", "forward",
                                              "membership_key" };
        sqlite3_stmt *st;
        int r;

        r = store_run(s, store_statement(s, STATEMENT_BEGIN));
        if (r < 0)
                return r;
        st = store_statement(s, STATEMENT_DELETE_NETWORK);
        if (st)
                bind_id(st, 1, id);
        r = store_run(s, st);
        for (unsigned i = 0; r >= 0 && i < ELEMENTSOF(tables); i++) {
                g_autofree char *sql =
                                g_strdup_printf("DELETE FROM %s WHERE network = ?1", tables[i]);

                st = NULL;
                r = store_errno(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL));
                if (r >= 0) {
                        bind_id(st, 1, id);
                        r = store_errno(sqlite3_step(st));
                }
                sqlite3_finalize(st);
        }
        if (r >= 0)
                r = store_run(s, store_statement(s, STATEMENT_COMMIT));
        if (r < 0) {
                (void) store_run(s, store_statement(s, STATEMENT_ROLLBACK));
                return r;
        }
        store_wipe_log(s);
        return store_forget_root(s, id);
}
