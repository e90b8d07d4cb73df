/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/directory/directory-table.h"

#include <string.h>

#include "base/macros.h"

static int compare_ids(const void *a, const void *b, void *userdata) {
        return machine_id_compare(a, b);
}

static void machine_free(void *data) {
        DirectoryMachine *m = data;

        for (unsigned i = 0; i < ELEMENTSOF(m->record); i++)
                g_clear_pointer(&m->record[i], record_unref);
        g_free(m);
}

/* Keys are Record.hash, which has any alignment and is as good as random already. */
static unsigned hash_of_hash(const void *key) {
        return read_le32(key);
}

static gboolean hashes_equal(const void *a, const void *b) {
        return memcmp(a, b, sizeof(((Record *) NULL)->hash)) == 0;
}

void directory_table_init(DirectoryTable *t) {
        *t = (DirectoryTable){
                .machines = g_tree_new_full(compare_ids, NULL, NULL, machine_free),
                .names = g_hash_table_new(g_str_hash, g_str_equal),
                .claims = g_hash_table_new(NULL, NULL),
                .hashes = g_hash_table_new(hash_of_hash, hashes_equal),
        };
}

void directory_table_done(DirectoryTable *t) {
        g_clear_pointer(&t->names, g_hash_table_unref);
        g_clear_pointer(&t->claims, g_hash_table_unref);
        g_clear_pointer(&t->hashes, g_hash_table_unref);
        g_clear_pointer(&t->machines, g_tree_unref);
}

DirectoryMachine *directory_table_find(const DirectoryTable *t, const MachineId *id) {
        return g_tree_lookup(t->machines, id);
}

DirectoryMachine *directory_table_get(DirectoryTable *t, const MachineId *id) {
        DirectoryMachine *m = directory_table_find(t, id);

        if (m)
                return m;
        m = NEW(DirectoryMachine);
        m->id = *id;
        g_tree_insert(t->machines, &m->id, m);
        return m;
}

void directory_table_drop_if_empty(DirectoryTable *t, DirectoryMachine *m) {
        for (unsigned i = 0; i < ELEMENTSOF(m->record); i++)
                if (m->record[i])
                        return;
        if (m->dirty == 0)
                g_tree_remove(t->machines, &m->id);
}

/* --- names --- */

static void name_add(DirectoryTable *t, DirectoryMachine *m) {
        const char *name = m->record[RECORD_CERTIFICATE]->body.certificate.name;
        DirectoryMachine *first = g_hash_table_lookup(t->names, name);

        /* The key is the name inside the record of the chain's first machine. */
        m->next_name = first;
        g_hash_table_replace(t->names, (char *) name, m);
}

static void name_remove(DirectoryTable *t, DirectoryMachine *m) {
        const char *name = m->record[RECORD_CERTIFICATE]->body.certificate.name;
        DirectoryMachine *first = g_hash_table_lookup(t->names, name), **link;

        if (first == m) {
                first = m->next_name;
                g_hash_table_remove(t->names, name);
                if (first) {
                        Record *r = first->record[RECORD_CERTIFICATE];

                        g_hash_table_insert(t->names, r->body.certificate.name, first);
                }
        } else {
                for (link = &first->next_name; *link != m; link = &(*link)->next_name)
                        assert(*link);
                *link = m->next_name;
        }
        m->next_name = NULL;
}

DirectoryMachine *directory_table_by_name(const DirectoryTable *t, const char *name) {
        return g_hash_table_lookup(t->names, name);
}

/* --- claims --- */

uint32_t lease_claim(const Record *lease) {
        if (!lease || lease->body.not_after <= lease->body.not_before)
                return 0;
        return ip_to_v4(&lease->body.lease.address);
}

static bool claims_before(const DirectoryMachine *a, const DirectoryMachine *b) {
        usec_t x = a->record[RECORD_LEASE]->body.not_before,
               y = b->record[RECORD_LEASE]->body.not_before;

        return x != y ? x < y : machine_id_compare(&a->id, &b->id) < 0;
}

static void claim_add(DirectoryTable *t, DirectoryMachine *m) {
        uint32_t address = lease_claim(m->record[RECORD_LEASE]);
        DirectoryMachine *first, **link = &first;

        if (address == 0)
                return;
        first = g_hash_table_lookup(t->claims, GUINT_TO_POINTER(address));
        while (*link && claims_before(*link, m))
                link = &(*link)->next_claim;
        m->next_claim = *link;
        *link = m;
        g_hash_table_insert(t->claims, GUINT_TO_POINTER(address), first);
}

static void claim_remove(DirectoryTable *t, DirectoryMachine *m) {
        uint32_t address = lease_claim(m->record[RECORD_LEASE]);
        DirectoryMachine *first, **link = &first;

        if (address == 0)
                return;
        first = g_hash_table_lookup(t->claims, GUINT_TO_POINTER(address));
        while (*link != m) {
                assert(*link);
                link = &(*link)->next_claim;
        }
        *link = m->next_claim;
        m->next_claim = NULL;
        if (first)
                g_hash_table_insert(t->claims, GUINT_TO_POINTER(address), first);
        else
                g_hash_table_remove(t->claims, GUINT_TO_POINTER(address));
}

DirectoryMachine *directory_table_holder(const DirectoryTable *t, uint32_t address) {
        DirectoryMachine *holder;

        holder = address == 0 ? NULL : g_hash_table_lookup(t->claims, GUINT_TO_POINTER(address));
        if (!holder)
                return NULL;
        /* The earliest holds it, until its lease was over when a later one was given. */
        for (DirectoryMachine *m = holder->next_claim; m; m = m->next_claim)
                if (holder->record[RECORD_LEASE]->body.not_after <=
                    m->record[RECORD_LEASE]->body.not_before)
                        holder = m;
        return holder;
}

Record *directory_table_lease(const DirectoryTable *t, const DirectoryMachine *m) {
        Record *lease = m->record[RECORD_LEASE];
        uint32_t address = lease_claim(lease);

        return address == 0 || directory_table_holder(t, address) == m ? lease : NULL;
}

/* --- records --- */

uint64_t record_hash_value(const Record *record) {
        return read_le64(record->hash);
}

Record *directory_table_by_hash(const DirectoryTable *t, uint64_t hash) {
        uint8_t bytes[8];

        write_le64(bytes, hash);
        return g_hash_table_lookup(t->hashes, bytes);
}

void directory_table_set(DirectoryTable *t, DirectoryMachine *m, RecordKind kind, Record *record) {
        Record *old = m->record[kind];
        uint64_t *sum = &t->digest[m->id.bytes[0]];
        uint64_t *revoked = &t->revocations[m->id.bytes[0] / 8];

        if (old) {
                if (kind == RECORD_CERTIFICATE)
                        name_remove(t, m);
                else if (kind == RECORD_LEASE)
                        claim_remove(t, m);
                *sum -= record_hash_value(old);
                if (kind == RECORD_REVOCATION)
                        *revoked -= record_hash_value(old);
                if (g_hash_table_lookup(t->hashes, old->hash) == old)
                        g_hash_table_remove(t->hashes, old->hash);
                t->count[kind]--;
                record_unref(old);
        }
        m->record[kind] = record ? record_ref(record) : NULL;
        if (record) {
                *sum += record_hash_value(record);
                if (kind == RECORD_REVOCATION)
                        *revoked += record_hash_value(record);
                g_hash_table_replace(t->hashes, record->hash, record);
                t->count[kind]++;
                if (kind == RECORD_CERTIFICATE)
                        name_add(t, m);
                else if (kind == RECORD_LEASE)
                        claim_add(t, m);
        }
}
