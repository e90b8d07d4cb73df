/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "core/mesh/directory/directory-internal.h"

static void on_flush(void *userdata) {
        Directory *d = userdata;

        if (directory_flush(d) < 0)
                timer_set(d->env->timers, &d->flush_timer,
                          usec_add(env_now(d->env), DIRECTORY_FLUSH_RETRY), on_flush, d);
}

static void arm_flush(Directory *d) {
        if (!timer_is_set(&d->flush_timer))
                timer_set(d->env->timers, &d->flush_timer,
                          usec_add(env_now(d->env), DIRECTORY_FLUSH_DELAY), on_flush, d);
}

void directory_mark_dirty(Directory *d, DirectoryMachine *m, RecordKind kind) {
        if (!d->store)
                return;
        m->dirty |= (uint8_t) (1U << kind);
        g_hash_table_add(d->dirty, m);
        arm_flush(d);
}

static int write_machine(const MeshStore *s, const DirectoryMachine *m) {
        int r = 0;

        for (RecordKind k = RECORD_CERTIFICATE; r >= 0 && k < _RECORD_KIND_MAX; k++) {
                if (!(m->dirty & 1U << k))
                        continue;
                if (m->record[k])
                        r = s->ops->put_record(s->self, m->record[k]);
                else
                        r = s->ops->delete_record(s->self, k, &m->id);
        }
        return r;
}

/* Everything that is dirty, inside of a transaction. */
static int write_dirty(Directory *d) {
        const MeshStore *s = d->store;
        GHashTableIter i;
        void *key;
        int r = 0;

        g_hash_table_iter_init(&i, d->dirty);
        while (r >= 0 && g_hash_table_iter_next(&i, &key, NULL))
                r = write_machine(s, key);
        return r;
}

static void forget_dirty(Directory *d) {
        GHashTableIter i;
        void *key;

        g_hash_table_iter_init(&i, d->dirty);
        while (g_hash_table_iter_next(&i, &key, NULL)) {
                DirectoryMachine *m = key;

                m->dirty = 0;
                g_hash_table_iter_remove(&i);
                directory_table_drop_if_empty(&d->table, m);
        }
        timer_clear(&d->flush_timer);
}

int directory_flush(Directory *d) {
        const MeshStore *s = d->store;
        int r;

        if (!s || g_hash_table_size(d->dirty) == 0)
                return 0;
        r = s->ops->begin(s->self);
        if (r < 0)
                return r;
        r = write_dirty(d);
        if (r < 0) {
                s->ops->rollback(s->self);
                return r;
        }
        r = s->ops->commit(s->self);
        if (r < 0)
                return r;
        forget_dirty(d);
        return 0;
}

static int write_record(const MeshStore *s, const Record *record) {
        MachineId twin = directory_twin(&record->body.machine);
        int r = s->ops->put_record(s->self, record);

        if (record->body.kind != RECORD_REVOCATION)
                return r;
        for (RecordKind k = RECORD_CERTIFICATE; r >= 0 && k < _RECORD_KIND_MAX; k++) {
                if (k == RECORD_REVOCATION)
                        continue;
                r = s->ops->delete_record(s->self, k, &record->body.machine);
                if (r >= 0)
                        r = s->ops->delete_record(s->self, k, &twin);
        }
        return r;
}

int directory_commit_records(Directory *d, Record *const *records, unsigned n) {
        const MeshStore *s = d->store;
        int r;

        if (!s)
                return 0;
        r = s->ops->begin(s->self);
        if (r < 0)
                return r;
        /* What waits goes along: one sync to disk instead of two. */
        r = write_dirty(d);
        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = write_record(s, records[i]);
        if (r < 0) {
                s->ops->rollback(s->self);
                return r;
        }
        r = s->ops->commit(s->self);
        if (r < 0)
                return r;
        forget_dirty(d);
        return 0;
}

/* Signatures were verified before a record was stored, and who can write to our state directory
 * has our key as well. */
static void load_record(void *userdata, Record *record) {
        Directory *d = userdata;
        DirectoryMachine *m = directory_table_get(&d->table, &record->body.machine);
        const Record *old = m->record[record->body.kind];

        if (!old || directory_is_newer(d, record, old))
                directory_table_set(&d->table, m, record->body.kind, record);
        if (record->body.kind != RECORD_PRESENCE)
                wall_clock_hear_signed(d->clock, record->body.version);
}

int directory_load(Directory *d) {
        const MeshStore *s = d->store;

        return s ? s->ops->foreach_record(s->self, load_record, d) : 0;
}
