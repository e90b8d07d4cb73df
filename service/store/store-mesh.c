/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MeshStore of one network: every row has its id. */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "store/store-internal.h"

typedef struct NetworkStore {
        Store *store;
        NetworkId network;
} NetworkStore;

/* A statement whose first parameter is the network. */
static int prepare(NetworkStore *n, StatementId id, sqlite3_stmt **ret) {
        int r = store_prepare(n->store, id, ret);

        if (r < 0)
                return r;
        return store_bind_id(*ret, 1, &n->network) == SQLITE_OK ? 0 : -ENOMEM;
}

/* Runs it if all its parameters could be bound. */
static int run_bound(NetworkStore *n, sqlite3_stmt *stmt, int bind_result) {
        return bind_result == SQLITE_OK ? store_run(n->store, stmt) : -ENOMEM;
}

static int op_begin(void *self) {
        return store_begin(((NetworkStore *) self)->store);
}

static int op_commit(void *self) {
        return store_commit(((NetworkStore *) self)->store);
}

static void op_rollback(void *self) {
        store_rollback(((NetworkStore *) self)->store);
}

/* --- records --- */

static int op_put_record(void *self, const Record *record) {
        NetworkStore *n = self;
        size_t len;
        const void *bytes = g_bytes_get_data(record->bytes, &len);
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_PUT_RECORD, &stmt);

        if (r < 0)
                return r;
        return run_bound(
                        n, stmt,
                        sqlite3_bind_int(stmt, 2, (int) record->body.kind) ||
                                        store_bind_id(stmt, 3, &record->body.machine) ||
                                        sqlite3_bind_blob(stmt, 4, bytes, (int) len, SQLITE_STATIC) ||
                                        sqlite3_bind_blob(
                                                        stmt, 5, record->hash, sizeof(record->hash),
                                                        SQLITE_STATIC));
}

static int op_delete_record(void *self, RecordKind kind, const MachineId *machine) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r;

        if (kind == RECORD_REVOCATION)
                return -EINVAL;
        r = prepare(n, STATEMENT_DELETE_RECORD, &stmt);
        if (r < 0)
                return r;
        return run_bound(
                        n, stmt,
                        sqlite3_bind_int(stmt, 2, (int) kind) || store_bind_id(stmt, 3, machine));
}

/* One whose bytes are not what was stored counts as damage of the database: a revocation that is
 * left out would let somebody in again. */
static int read_record(sqlite3_stmt *stmt, Record **ret) {
        g_autoptr(Record) record = NULL;
        uint8_t hash[sizeof(record->hash)];

        if (store_column_blob(stmt, 1, hash, sizeof(hash)) < 0 ||
            sqlite3_column_type(stmt, 0) != SQLITE_BLOB ||
            record_decode(sqlite3_column_blob(stmt, 0), (size_t) sqlite3_column_bytes(stmt, 0),
                          &record) < 0 ||
            memcmp(hash, record->hash, sizeof(hash)) != 0)
                return -EUCLEAN;
        *ret = TAKE_PTR(record);
        return 0;
}

static int
op_foreach_record(void *self, void (*callback)(void *userdata, Record *record), void *userdata) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_LIST_RECORDS, &stmt);

        if (r < 0)
                return r;
        while ((r = store_step(n->store, stmt)) > 0) {
                g_autoptr(Record) record = NULL;

                r = read_record(stmt, &record);
                if (r < 0) {
                        sqlite3_reset(stmt);
                        break;
                }
                callback(userdata, record);
        }
        return r;
}

/* --- invites --- */

static int bind_invite_id(sqlite3_stmt *stmt, int i, const uint8_t id[static INVITE_ID_SIZE]) {
        return sqlite3_bind_blob(stmt, i, id, INVITE_ID_SIZE, SQLITE_STATIC);
}

static int op_put_invite(void *self, const StoredInvite *invite) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_PUT_INVITE, &stmt);

        if (r < 0)
                return r;
        return run_bound(
                        n, stmt,
                        bind_invite_id(stmt, 2, invite->id) ||
                                        sqlite3_bind_blob(
                                                        stmt, 3, invite->psk, sizeof(invite->psk),
                                                        SQLITE_STATIC) ||
                                        sqlite3_bind_int64(stmt, 4, (int64_t) invite->created) ||
                                        sqlite3_bind_int64(stmt, 5, (int64_t) invite->not_after) ||
                                        sqlite3_bind_int64(stmt, 6, invite->uses_max) ||
                                        sqlite3_bind_int64(stmt, 7, invite->uses) ||
                                        sqlite3_bind_text(stmt, 8, invite->name, -1, SQLITE_STATIC));
}

static int run_on_invite(NetworkStore *n, StatementId id, const uint8_t invite[static INVITE_ID_SIZE]) {
        sqlite3_stmt *stmt;
        int r = prepare(n, id, &stmt);

        return r < 0 ? r : run_bound(n, stmt, bind_invite_id(stmt, 2, invite));
}

static int op_delete_invite(void *self, const uint8_t id[static INVITE_ID_SIZE]) {
        int r = run_on_invite(self, STATEMENT_DELETE_INVITE_USES, id);

        return r < 0 ? r : run_on_invite(self, STATEMENT_DELETE_INVITE, id);
}

static int read_invite(sqlite3_stmt *stmt, StoredInvite *ret) {
        if (store_column_blob(stmt, 0, ret->id, sizeof(ret->id)) < 0 ||
            store_column_blob(stmt, 1, ret->psk, sizeof(ret->psk)) < 0 ||
            store_column_text(stmt, 6, ret->name, sizeof(ret->name)) < 0)
                return -EUCLEAN;
        ret->created = (usec_t) sqlite3_column_int64(stmt, 2);
        ret->not_after = (usec_t) sqlite3_column_int64(stmt, 3);
        ret->uses_max = (uint32_t) sqlite3_column_int64(stmt, 4);
        ret->uses = (uint32_t) sqlite3_column_int64(stmt, 5);
        return 0;
}

static int op_foreach_invite(
                void *self,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata) {
        NetworkStore *n = self;
        StoredInvite invite = {};
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_LIST_INVITES, &stmt);

        if (r < 0)
                return r;
        while ((r = store_step(n->store, stmt)) > 0) {
                r = read_invite(stmt, &invite);
                if (r < 0) {
                        sqlite3_reset(stmt);
                        break;
                }
                callback(userdata, &invite);
        }
        sodium_memzero(&invite, sizeof(invite));
        return r;
}

static int
op_put_invite_use(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_PUT_INVITE_USE, &stmt);

        if (r < 0)
                return r;
        return run_bound(n, stmt, bind_invite_id(stmt, 2, id) || store_bind_id(stmt, 3, machine));
}

static int
op_invite_used_by(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_GET_INVITE_USE, &stmt);

        if (r < 0)
                return r;
        if (bind_invite_id(stmt, 2, id) || store_bind_id(stmt, 3, machine))
                return -ENOMEM;
        r = store_step(n->store, stmt);
        sqlite3_reset(stmt);
        return r;
}

/* --- endpoints, time --- */

static int op_put_endpoint(void *self, const MachineId *machine, const Endpoint *endpoint) {
        NetworkStore *n = self;
        uint8_t wire[ENDPOINT_WIRE_MAX];
        int len = (int) endpoint_encode(endpoint, wire);
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_PUT_ENDPOINT, &stmt);

        if (r < 0)
                return r;
        return run_bound(
                        n, stmt,
                        store_bind_id(stmt, 2, machine) ||
                                        sqlite3_bind_blob(stmt, 3, wire, len, SQLITE_STATIC));
}

static int op_foreach_endpoint(
                void *self,
                void (*callback)(void *userdata, const MachineId *machine, const Endpoint *endpoint),
                void *userdata) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_LIST_ENDPOINTS, &stmt);

        if (r < 0)
                return r;
        while ((r = store_step(n->store, stmt)) > 0) {
                MachineId machine;
                Endpoint endpoint;

                /* Only a hint where to look: one that cannot be read is not worth a failure. */
                if (store_column_blob(stmt, 0, machine.bytes, sizeof(machine.bytes)) >= 0 &&
                    sqlite3_column_type(stmt, 1) == SQLITE_BLOB &&
                    endpoint_decode(sqlite3_column_blob(stmt, 1),
                                    (size_t) sqlite3_column_bytes(stmt, 1), &endpoint) >= 0)
                        callback(userdata, &machine, &endpoint);
        }
        return r;
}

static int op_put_time_floor(void *self, usec_t realtime) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_PUT_TIME, &stmt);

        return r < 0 ? r : run_bound(n, stmt, sqlite3_bind_int64(stmt, 2, (int64_t) realtime));
}

static int op_get_time_floor(void *self, usec_t *ret) {
        NetworkStore *n = self;
        sqlite3_stmt *stmt;
        int r = prepare(n, STATEMENT_GET_TIME, &stmt);

        if (r < 0)
                return r;
        r = store_step(n->store, stmt);
        if (r < 0)
                return r;
        *ret = r > 0 ? (usec_t) sqlite3_column_int64(stmt, 0) : 0;
        sqlite3_reset(stmt);
        return 0;
}

static const MeshStoreOps sqlite_ops = {
        .begin = op_begin,
        .commit = op_commit,
        .rollback = op_rollback,
        .put_record = op_put_record,
        .delete_record = op_delete_record,
        .foreach_record = op_foreach_record,
        .put_invite = op_put_invite,
        .delete_invite = op_delete_invite,
        .foreach_invite = op_foreach_invite,
        .put_invite_use = op_put_invite_use,
        .invite_used_by = op_invite_used_by,
        .put_endpoint = op_put_endpoint,
        .foreach_endpoint = op_foreach_endpoint,
        .put_time_floor = op_put_time_floor,
        .get_time_floor = op_get_time_floor,
};

MeshStore store_mesh(Store *s, const NetworkId *network) {
        NetworkStore *n = NEW(NetworkStore);

        *n = (NetworkStore){ .store = s, .network = *network };
        return (MeshStore){ .ops = &sqlite_ops, .self = n };
}

void store_mesh_done(MeshStore *m) {
        g_free(m->self);
        *m = (MeshStore){};
}
