/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory-store.h"

#include <string.h>

#include "base/macros.h"

/* Everything is one sorted map from bytes to bytes; the first byte of a key is its table. A
 * transaction is a second such map laid over it, in which a missing value is a deletion. */
typedef enum Table {
        TABLE_RECORD,     /* kind, machine -> record */
        TABLE_INVITE,     /* id -> StoredInvite */
        TABLE_INVITE_USE, /* id, machine -> nothing */
        TABLE_ENDPOINT,   /* machine -> Endpoint */
        TABLE_TIME,       /* -> usec_t */
} Table;

struct MemoryStore {
        MeshStore mesh;
        GTree *rows;    /* GBytes -> GBytes */
        GTree *overlay; /* the same while in a transaction; value NULL: deleted */
        int error;
        unsigned error_after;
        unsigned commits;
};

static void unref_bytes(void *b) {
        g_clear_pointer(&b, g_bytes_unref);
}

static int compare(const void *a, const void *b, void *userdata) {
        return g_bytes_compare(a, b);
}

static GTree *map_new(void) {
        return g_tree_new_full(compare, NULL, unref_bytes, unref_bytes);
}

static GBytes *key(Table table, unsigned kind, const void *a, size_t n_a, const void *b, size_t n_b) {
        uint8_t buf[2 + 64] = { (uint8_t) table, (uint8_t) kind };

        assert(n_a + n_b <= 64);
        if (n_a)
                memcpy(buf + 2, a, n_a);
        if (n_b)
                memcpy(buf + 2 + n_a, b, n_b);
        return g_bytes_new(buf, 2 + n_a + n_b);
}

/* Return: 0, or what memory_store_fail_after() asked for. */
static int may_write(MemoryStore *s) {
        if (s->error == 0)
                return 0;
        if (s->error_after == 0)
                return s->error;
        s->error_after--;
        return 0;
}

/* Consumes @k and @value. */
static int write_row(MemoryStore *s, GBytes *k, GBytes *value) {
        int r = may_write(s);

        if (r < 0) {
                g_bytes_unref(k);
                unref_bytes(value);
                return r;
        }
        if (s->overlay)
                g_tree_replace(s->overlay, k, value);
        else {
                if (value)
                        g_tree_replace(s->rows, k, value);
                else {
                        g_tree_remove(s->rows, k);
                        g_bytes_unref(k);
                }
                s->commits++;
        }
        return 0;
}

/* Consumes @k. Borrowed; NULL: no such row. */
static GBytes *read_row(MemoryStore *s, GBytes *k) {
        g_autoptr(GBytes) lookup = k;
        void *value;

        if (s->overlay && g_tree_lookup_extended(s->overlay, lookup, NULL, &value))
                return value;
        return g_tree_lookup(s->rows, lookup);
}

/* A snapshot of a table's rows as seen inside the transaction: callbacks may write. */
static GPtrArray *read_table(MemoryStore *s, Table table) {
        GPtrArray *pairs = g_ptr_array_new_with_free_func(unref_bytes);

        for (GTreeNode *n = g_tree_node_first(s->rows); n; n = g_tree_node_next(n)) {
                GBytes *k = g_tree_node_key(n);

                if (((const uint8_t *) g_bytes_get_data(k, NULL))[0] != table ||
                    (s->overlay && g_tree_lookup_extended(s->overlay, k, NULL, NULL)))
                        continue;
                g_ptr_array_add(pairs, g_bytes_ref(k));
                g_ptr_array_add(pairs, g_bytes_ref(g_tree_node_value(n)));
        }
        for (GTreeNode *n = s->overlay ? g_tree_node_first(s->overlay) : NULL; n;
             n = g_tree_node_next(n)) {
                GBytes *k = g_tree_node_key(n), *v = g_tree_node_value(n);

                if (((const uint8_t *) g_bytes_get_data(k, NULL))[0] != table || !v)
                        continue;
                g_ptr_array_add(pairs, g_bytes_ref(k));
                g_ptr_array_add(pairs, g_bytes_ref(v));
        }
        return pairs;
}

static int op_begin(void *self) {
        MemoryStore *s = self;
        int r = may_write(s);

        if (r < 0)
                return r;
        assert(!s->overlay);
        s->overlay = map_new();
        return 0;
}

static void op_rollback(void *self) {
        MemoryStore *s = self;

        g_clear_pointer(&s->overlay, g_tree_unref);
}

static int op_commit(void *self) {
        MemoryStore *s = self;
        int r = may_write(s);

        assert(s->overlay);
        if (r < 0) {
                op_rollback(s);
                return r;
        }
        for (GTreeNode *n = g_tree_node_first(s->overlay); n; n = g_tree_node_next(n)) {
                GBytes *k = g_tree_node_key(n), *v = g_tree_node_value(n);

                if (v)
                        g_tree_replace(s->rows, g_bytes_ref(k), g_bytes_ref(v));
                else
                        g_tree_remove(s->rows, k);
        }
        op_rollback(s);
        s->commits++;
        return 0;
}

static GBytes *record_key(RecordKind kind, const MachineId *machine) {
        return key(TABLE_RECORD, kind, machine->bytes, sizeof(machine->bytes), NULL, 0);
}

static int op_put_record(void *self, const Record *record) {
        return write_row(
                        self, record_key(record->body.kind, &record->body.machine),
                        g_bytes_ref(record->bytes));
}

static int op_delete_record(void *self, RecordKind kind, const MachineId *machine) {
        if (kind == RECORD_REVOCATION)
                return -EINVAL;
        return write_row(self, record_key(kind, machine), NULL);
}

static int
op_foreach_record(void *self, void (*callback)(void *userdata, Record *record), void *userdata) {
        g_autoptr(GPtrArray) rows = read_table(self, TABLE_RECORD);

        for (unsigned i = 1; i < rows->len; i += 2) {
                g_autoptr(Record) record = NULL;
                size_t len;
                const uint8_t *bytes = g_bytes_get_data(g_ptr_array_index(rows, i), &len);
                int r = record_decode(bytes, len, &record);

                if (r < 0)
                        return r;
                callback(userdata, record);
        }
        return 0;
}

static int op_put_invite(void *self, const StoredInvite *invite) {
        return write_row(
                        self, key(TABLE_INVITE, 0, invite->id, sizeof(invite->id), NULL, 0),
                        g_bytes_new(invite, sizeof(*invite)));
}

/* Takes who used it along. */
static int op_delete_invite(void *self, const uint8_t id[static INVITE_ID_SIZE]) {
        g_autoptr(GPtrArray) uses = read_table(self, TABLE_INVITE_USE);
        int r = write_row(self, key(TABLE_INVITE, 0, id, INVITE_ID_SIZE, NULL, 0), NULL);

        for (unsigned i = 0; r >= 0 && i < uses->len; i += 2) {
                GBytes *k = g_ptr_array_index(uses, i);

                if (memcmp((const uint8_t *) g_bytes_get_data(k, NULL) + 2, id, INVITE_ID_SIZE) == 0)
                        r = write_row(self, g_bytes_ref(k), NULL);
        }
        return r;
}

static int op_foreach_invite(
                void *self,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata) {
        g_autoptr(GPtrArray) rows = read_table(self, TABLE_INVITE);

        for (unsigned i = 1; i < rows->len; i += 2) {
                StoredInvite invite;

                memcpy(&invite, g_bytes_get_data(g_ptr_array_index(rows, i), NULL), sizeof(invite));
                callback(userdata, &invite);
        }
        return 0;
}

static GBytes *use_key(const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        return key(TABLE_INVITE_USE, 0, id, INVITE_ID_SIZE, machine->bytes, sizeof(machine->bytes));
}

static int
op_put_invite_use(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        return write_row(self, use_key(id, machine), g_bytes_new(NULL, 0));
}

static int
op_invite_used_by(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        return read_row(self, use_key(id, machine)) != NULL;
}

static int op_put_endpoint(void *self, const MachineId *machine, const Endpoint *endpoint) {
        return write_row(
                        self, key(TABLE_ENDPOINT, 0, machine->bytes, sizeof(machine->bytes), NULL, 0),
                        g_bytes_new(endpoint, sizeof(*endpoint)));
}

static int op_delete_endpoint(void *self, const MachineId *machine) {
        return write_row(
                        self, key(TABLE_ENDPOINT, 0, machine->bytes, sizeof(machine->bytes), NULL, 0),
                        NULL);
}

static int op_foreach_endpoint(
                void *self,
                void (*callback)(void *userdata, const MachineId *machine, const Endpoint *endpoint),
                void *userdata) {
        g_autoptr(GPtrArray) rows = read_table(self, TABLE_ENDPOINT);

        for (unsigned i = 0; i < rows->len; i += 2) {
                const uint8_t *k = g_bytes_get_data(g_ptr_array_index(rows, i), NULL);
                MachineId machine;
                Endpoint endpoint;

                memcpy(machine.bytes, k + 2, sizeof(machine.bytes));
                memcpy(&endpoint, g_bytes_get_data(g_ptr_array_index(rows, i + 1), NULL),
                       sizeof(endpoint));
                callback(userdata, &machine, &endpoint);
        }
        return 0;
}

static int op_put_trusted_time(void *self, usec_t realtime) {
        return write_row(
                        self, key(TABLE_TIME, 0, NULL, 0, NULL, 0),
                        g_bytes_new(&realtime, sizeof(realtime)));
}

static int op_get_trusted_time(void *self, usec_t *ret) {
        GBytes *value = read_row(self, key(TABLE_TIME, 0, NULL, 0, NULL, 0));

        *ret = 0;
        if (value)
                memcpy(ret, g_bytes_get_data(value, NULL), sizeof(*ret));
        return 0;
}

static const MeshStoreOps memory_ops = {
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

MemoryStore *memory_store_new(void) {
        MemoryStore *s = NEW(MemoryStore);

        s->mesh = (MeshStore){ .ops = &memory_ops, .self = s };
        s->rows = map_new();
        return s;
}

MemoryStore *memory_store_free(MemoryStore *s) {
        if (!s)
                return NULL;
        op_rollback(s);
        g_tree_unref(s->rows);
        g_free(s);
        return NULL;
}

const MeshStore *memory_store_mesh(MemoryStore *s) {
        return &s->mesh;
}

void memory_store_lose_power(MemoryStore *s) {
        op_rollback(s);
}

void memory_store_fail_after(MemoryStore *s, unsigned n, int error) {
        s->error_after = n;
        s->error = error;
}

unsigned memory_store_commits(const MemoryStore *s) {
        return s->commits;
}

unsigned memory_store_size(const MemoryStore *s) {
        return (unsigned) g_tree_nnodes(s->rows);
}
