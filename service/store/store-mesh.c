/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* MeshStore (core/mesh/mesh-store.h) for one network. */

#include <sodium.h>
#include <string.h>

#include "store/store-internal.h"

typedef struct NetworkStore {
        Store *store;
        NetworkId network;
} NetworkStore;

/* A statement whose first parameter is the network. */
static sqlite3_stmt *prepare(NetworkStore *n, Statement which) {
        sqlite3_stmt *st = store_statement(n->store, which);

        if (st)
                sqlite3_bind_blob(st, 1, n->network.bytes, sizeof n->network.bytes, SQLITE_STATIC);
        return st;
}

static void bind_blob(sqlite3_stmt *st, int at, const void *data, size_t size) {
        if (st)
                sqlite3_bind_blob(st, at, data, (int) size, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *st, int at, uint64_t v) {
        /* SQLite's integers have a sign; the bits are what counts. */
        if (st)
                sqlite3_bind_int64(st, at, (sqlite3_int64) v);
}

/* --- transactions --- */

static int op_begin(void *self) {
        NetworkStore *n = self;

        return store_run(n->store, store_statement(n->store, STATEMENT_BEGIN));
}

static void op_rollback(void *self) {
        NetworkStore *n = self;

        (void) store_run(n->store, store_statement(n->store, STATEMENT_ROLLBACK));
}

static int op_commit(void *self) {
        NetworkStore *n = self;
        int r = store_run(n->store, store_statement(n->store, STATEMENT_COMMIT));

        /* A full disk leaves the transaction open: nothing of it may stay. */
        if (r < 0)
                op_rollback(self);
        return r;
}

/* --- records --- */

static int op_put_record(void *self, const Record *record) {
        sqlite3_stmt *st = prepare(self, STATEMENT_PUT_RECORD);
        size_t size;
        const void *bytes = g_bytes_get_data(record->bytes, &size);

        bind_number(st, 2, record->body.kind);
        bind_blob(st, 3, record->body.machine.bytes, MACHINE_ID_SIZE);
        bind_blob(st, 4, bytes, size);
        bind_blob(st, 5, record->hash, sizeof record->hash);
        return store_run(((NetworkStore *) self)->store, st);
}

static int op_delete_record(void *self, RecordKind kind, const MachineId *machine) {
        sqlite3_stmt *st;

        if (kind == RECORD_REVOCATION)
                return -EINVAL;
        st = prepare(self, STATEMENT_DELETE_RECORD);
        bind_number(st, 2, kind);
        bind_blob(st, 3, machine->bytes, MACHINE_ID_SIZE);
        return store_run(((NetworkStore *) self)->store, st);
}

/* One whose bytes are not those that were stored is damage and not skipped: without a revocation
 * somebody would be let in again. */
static bool read_record(sqlite3_stmt *st, Record **ret) {
        Record *record;
        uint8_t hash[sizeof record->hash];

        if (!store_column_bytes(st, 1, hash, sizeof hash) ||
            record_decode(sqlite3_column_blob(st, 0), (size_t) sqlite3_column_bytes(st, 0),
                          &record) < 0)
                return false;
        if (memcmp(hash, record->hash, sizeof hash) != 0) {
                record_unref(record);
                return false;
        }
        *ret = record;
        return true;
}

static int
op_foreach_record(void *self, void (*callback)(void *userdata, Record *record), void *userdata) {
        g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        sqlite3_stmt *st = prepare(self, STATEMENT_LIST_RECORDS);
        Record *record;
        int r;

        while ((r = store_step(((NetworkStore *) self)->store, st)) > 0) {
                if (!read_record(st, &record)) {
                        sqlite3_reset(st);
                        r = -EUCLEAN;
                        break;
                }
                g_ptr_array_add(records, record);
        }
        for (unsigned i = 0; r >= 0 && i < records->len; i++)
                callback(userdata, records->pdata[i]);
        return r;
}

/* --- invites --- */

static int op_put_invite(void *self, const StoredInvite *i) {
        sqlite3_stmt *st = prepare(self, STATEMENT_PUT_INVITE);

        bind_blob(st, 2, i->id, sizeof i->id);
        bind_blob(st, 3, i->psk, sizeof i->psk);
        bind_number(st, 4, i->created);
        bind_number(st, 5, i->not_after);
        bind_number(st, 6, i->uses_max);
        bind_number(st, 7, i->uses);
        if (st)
                sqlite3_bind_text(st, 8, i->name, -1, SQLITE_STATIC);
        bind_number(st, 9, i->needs_approval);
        return store_run(((NetworkStore *) self)->store, st);
}

static int op_delete_invite(void *self, const uint8_t id[static INVITE_ID_SIZE]) {
        sqlite3_stmt *st = prepare(self, STATEMENT_DELETE_INVITE_USES);
        int r;

        bind_blob(st, 2, id, INVITE_ID_SIZE);
        r = store_run(((NetworkStore *) self)->store, st);
        if (r < 0)
                return r;
        st = prepare(self, STATEMENT_DELETE_INVITE);
        bind_blob(st, 2, id, INVITE_ID_SIZE);
        return store_run(((NetworkStore *) self)->store, st);
}

static int op_foreach_invite(
                void *self,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata) {
        g_autoptr(GArray) invites = g_array_new(FALSE, FALSE, sizeof(StoredInvite));
        sqlite3_stmt *st = prepare(self, STATEMENT_LIST_INVITES);
        StoredInvite i = {};
        int r;

        while ((r = store_step(((NetworkStore *) self)->store, st)) > 0) {
                if (!store_column_bytes(st, 0, i.id, sizeof i.id) ||
                    !store_column_bytes(st, 1, i.psk, sizeof i.psk) ||
                    !store_column_text(st, 6, i.name, sizeof i.name)) {
                        sqlite3_reset(st);
                        r = -EUCLEAN;
                        break;
                }
                i.created = (usec_t) sqlite3_column_int64(st, 2);
                i.not_after = (usec_t) sqlite3_column_int64(st, 3);
                i.uses_max = (uint32_t) sqlite3_column_int64(st, 4);
                i.uses = (uint32_t) sqlite3_column_int64(st, 5);
                i.needs_approval = sqlite3_column_int(st, 7) != 0;
                g_array_append_val(invites, i);
        }
        for (unsigned k = 0; r >= 0 && k < invites->len; k++)
                callback(userdata, &g_array_index(invites, StoredInvite, k));
        sodium_memzero(invites->data, invites->len * sizeof(StoredInvite));
        sodium_memzero(&i, sizeof i);
        return r;
}

static int
op_put_invite_use(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        sqlite3_stmt *st = prepare(self, STATEMENT_PUT_INVITE_USE);

        bind_blob(st, 2, id, INVITE_ID_SIZE);
        bind_blob(st, 3, machine->bytes, MACHINE_ID_SIZE);
        return store_run(((NetworkStore *) self)->store, st);
}

static int
op_invite_used_by(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        sqlite3_stmt *st = prepare(self, STATEMENT_FIND_INVITE_USE);
        int r;

        bind_blob(st, 2, id, INVITE_ID_SIZE);
        bind_blob(st, 3, machine->bytes, MACHINE_ID_SIZE);
        r = store_step(((NetworkStore *) self)->store, st);
        if (r > 0)
                sqlite3_reset(st);
        return r;
}

/* --- endpoints, time --- */

static int op_put_endpoint(void *self, const MachineId *machine, const Endpoint *endpoint) {
        sqlite3_stmt *st = prepare(self, STATEMENT_PUT_ENDPOINT);
        uint8_t buf[ENDPOINT_WIRE_MAX];
        size_t n = endpoint_encode(endpoint, buf);

        bind_blob(st, 2, machine->bytes, MACHINE_ID_SIZE);
        bind_blob(st, 3, buf, n);
        return store_run(((NetworkStore *) self)->store, st);
}

static int op_delete_endpoint(void *self, const MachineId *machine) {
        sqlite3_stmt *st = prepare(self, STATEMENT_DELETE_ENDPOINT);

        bind_blob(st, 2, machine->bytes, MACHINE_ID_SIZE);
        return store_run(((NetworkStore *) self)->store, st);
}

typedef struct KnownEndpoint {
        MachineId machine;
        Endpoint endpoint;
} KnownEndpoint;

static int op_foreach_endpoint(
                void *self,
                void (*callback)(void *userdata, const MachineId *machine, const Endpoint *endpoint),
                void *userdata) {
        g_autoptr(GArray) known = g_array_new(FALSE, FALSE, sizeof(KnownEndpoint));
        sqlite3_stmt *st = prepare(self, STATEMENT_LIST_ENDPOINTS);
        KnownEndpoint k;
        int r;

        while ((r = store_step(((NetworkStore *) self)->store, st)) > 0)
                /* A hint that cannot be read is no loss. */
                if (store_column_bytes(st, 0, k.machine.bytes, MACHINE_ID_SIZE) &&
                    endpoint_decode(sqlite3_column_blob(st, 1),
                                    (size_t) sqlite3_column_bytes(st, 1), &k.endpoint) >= 0)
                        g_array_append_val(known, k);
        for (unsigned i = 0; r >= 0 && i < known->len; i++) {
                const KnownEndpoint *e = &g_array_index(known, KnownEndpoint, i);

                callback(userdata, &e->machine, &e->endpoint);
        }
        return r;
}

static int op_put_trusted_time(void *self, usec_t realtime) {
        sqlite3_stmt *st = prepare(self, STATEMENT_PUT_TRUSTED_TIME);

        bind_number(st, 2, realtime);
        return store_run(((NetworkStore *) self)->store, st);
}

static int op_get_trusted_time(void *self, usec_t *ret) {
        sqlite3_stmt *st = prepare(self, STATEMENT_GET_TRUSTED_TIME);
        int r = store_step(((NetworkStore *) self)->store, st);

        if (r < 0)
                return r;
        *ret = r > 0 ? (usec_t) sqlite3_column_int64(st, 0) : 0;
        if (r > 0)
                sqlite3_reset(st);
        return 0;
}

static const MeshStoreOps ops = {
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
        .delete_endpoint = op_delete_endpoint,
        .foreach_endpoint = op_foreach_endpoint,
        .put_trusted_time = op_put_trusted_time,
        .get_trusted_time = op_get_trusted_time,
};

MeshStore store_mesh(Store *s, const NetworkId *network) {
        NetworkStore *n = NEW(NetworkStore);

        n->store = s;
        n->network = *network;
        return (MeshStore){ .ops = &ops, .self = n };
}

void store_mesh_done(MeshStore *m) {
        g_clear_pointer(&m->self, g_free);
}
