/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is believed.
 *
 * Every member must end with the same records whatever arrived first, or gossip would exchange
 * the difference for ever. So a record is judged by itself, its issuer's certificate and the
 * revocations, and of two records about one machine the same one wins everywhere
 * (directory_is_newer). The local clock decides nothing that lasts: what was signed by a clock that
 * is a day ahead of ours is not taken yet, and nothing is forgotten because it is old. Whether a
 * certificate is valid now is asked where it is used (directory_check_member).
 *
 * A membership ends by a revocation: an issuer's, or the machine's own, which says that it has
 * left. What is void when a machine is revoked: its own certificate, lease and presence, and
 * whatever it signed as an issuer, except revocations, which cannot be taken back. Lease and
 * presence go with the certificate.
 */
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/crypto/identity.h"
#include "core/mesh/directory/directory-internal.h"

typedef struct Event {
        RecordKind kind;
        MachineId machine;
        Record *record, *old; /* references; may be NULL */
} Event;

MachineId directory_twin(const MachineId *id) {
        MachineId twin = *id;

        twin.bytes[MACHINE_ID_SIZE - 1] ^= 0x80;
        return twin;
}

/* --- observers --- */

static void
push_event(Directory *d, RecordKind kind, const MachineId *machine, Record *record, Record *old) {
        Event *e;

        if (record == old)
                return;
        e = NEW(Event);
        *e = (Event){
                .kind = kind,
                .machine = *machine,
                .record = record ? record_ref(record) : NULL,
                .old = old ? record_ref(old) : NULL,
        };
        g_queue_push_tail(&d->events, e);
}

static void event_free(Event *e) {
        g_clear_pointer(&e->record, record_unref);
        g_clear_pointer(&e->old, record_unref);
        g_free(e);
}

static void call_observers(Directory *d, const Event *e) {
        for (unsigned i = 0; i < d->observers->len; i++) {
                DirectoryObserverEntry o = g_array_index(d->observers, DirectoryObserverEntry, i);

                if (o.callback)
                        o.callback(o.userdata, e->kind, &e->machine, e->record, e->old);
        }
}

/* An observer may offer records itself: what that leads to is told after what it was told. */
static void notify(Directory *d) {
        Event *e;

        if (d->notifying)
                return;
        d->notifying = true;
        while ((e = g_queue_pop_head(&d->events))) {
                call_observers(d, e);
                event_free(e);
        }
        d->notifying = false;
        for (unsigned i = d->observers->len; i > 0; i--)
                if (!g_array_index(d->observers, DirectoryObserverEntry, i - 1).callback)
                        g_array_remove_index(d->observers, i - 1);
}

void directory_observe(Directory *d, DirectoryObserver observer, void *userdata) {
        DirectoryObserverEntry o = { .callback = observer, .userdata = userdata };

        g_array_append_val(d->observers, o);
}

void directory_unobserve(Directory *d, DirectoryObserver observer, void *userdata) {
        for (unsigned i = 0; i < d->observers->len; i++) {
                DirectoryObserverEntry *o = &g_array_index(d->observers, DirectoryObserverEntry, i);

                if (o->callback != observer || o->userdata != userdata)
                        continue;
                if (d->notifying)
                        o->callback = NULL;
                else
                        g_array_remove_index(d->observers, i);
                return;
        }
}

void directory_on_taken(Directory *d, void (*taken)(void *userdata, Record *record), void *userdata) {
        d->taken = taken;
        d->taken_userdata = userdata;
}

/* --- changes --- */

bool directory_is_newer(const Directory *d, const Record *a, const Record *b) {
        bool a_root = machine_id_equal(&a->signer, &d->network);
        bool b_root = machine_id_equal(&b->signer, &d->network);

        /* An issuer cannot take from another what the root gave it (docs/protocol.md,
         * "Conflicts"). */
        if (a->body.kind == RECORD_CERTIFICATE && a_root != b_root)
                return a_root;
        /* What an issuer says of a membership's end goes before what the machine said; of that the
         * first stays, or a machine that has left could have its network talk about it for ever. */
        if (trust_is_departure(a) || trust_is_departure(b))
                return !trust_is_departure(a);
        if (a->body.version != b->body.version)
                return a->body.version > b->body.version;
        /* Two issuers in one microsecond: anything will do that is the same everywhere. */
        return record_hash_value(a) > record_hash_value(b);
}

/* A lease may take an address from another machine, or give one back to it. Losses are told
 * before gains, so that no observer ever sees two holders. */
static void change_lease(Directory *d, DirectoryMachine *m, Record *record) {
        g_autoptr(Record) own = directory_table_lease(&d->table, m);
        uint32_t address[2] = { lease_claim(m->record[RECORD_LEASE]), lease_claim(record) };
        DirectoryMachine *before[2], *after[2];

        if (own)
                record_ref(own);
        if (address[1] == address[0])
                address[1] = 0;
        for (unsigned i = 0; i < 2; i++)
                before[i] = directory_table_holder(&d->table, address[i]);
        directory_table_set(&d->table, m, RECORD_LEASE, record);
        for (unsigned i = 0; i < 2; i++)
                after[i] = directory_table_holder(&d->table, address[i]);

        for (unsigned i = 0; i < 2; i++)
                if (before[i] && before[i] != m && before[i] != after[i])
                        push_event(d, RECORD_LEASE, &before[i]->id, NULL,
                                   before[i]->record[RECORD_LEASE]);
        push_event(d, RECORD_LEASE, &m->id, directory_table_lease(&d->table, m), own);
        for (unsigned i = 0; i < 2; i++)
                if (after[i] && after[i] != m && before[i] != after[i])
                        push_event(d, RECORD_LEASE, &after[i]->id, after[i]->record[RECORD_LEASE],
                                   NULL);
}

void directory_change(Directory *d, DirectoryMachine *m, RecordKind kind, Record *record) {
        if (kind == RECORD_LEASE)
                change_lease(d, m, record);
        else {
                push_event(d, kind, &m->id, record, m->record[kind]);
                directory_table_set(&d->table, m, kind, record);
        }
}

static void drop_record(Directory *d, DirectoryMachine *m, RecordKind kind) {
        if (!m->record[kind])
                return;
        directory_change(d, m, kind, NULL);
        directory_mark_dirty(d, m, kind);
}

/* The certificate, and what means nothing without it. */
static void drop_certificate(Directory *d, DirectoryMachine *m) {
        drop_record(d, m, RECORD_LEASE);
        drop_record(d, m, RECORD_PRESENCE);
        drop_record(d, m, RECORD_CERTIFICATE);
}

/* Calls @drop for every machine; what has no records left goes. */
static void
sweep(Directory *d, void (*drop)(Directory *d, DirectoryMachine *m, const void *arg), const void *arg) {
        GTreeNode *next;

        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = next) {
                DirectoryMachine *m = g_tree_node_value(n);

                next = g_tree_node_next(n);
                drop(d, m, arg);
        }
        /* Removal rearranges the tree: from the start again after each. Rare. */
        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = next) {
                DirectoryMachine *m = g_tree_node_value(n);
                MachineId id = m->id;

                directory_table_drop_if_empty(&d->table, m);
                next = g_tree_upper_bound(d->table.machines, &id);
        }
}

static void drop_void(Directory *d, DirectoryMachine *m, const void *arg) {
        const MachineId *revoked = arg;
        const Record *certificate = m->record[RECORD_CERTIFICATE], *lease = m->record[RECORD_LEASE];

        if (machine_id_same_key(&m->id, revoked) ||
            (certificate && machine_id_same_key(&certificate->signer, revoked)))
                drop_certificate(d, m);
        else if (lease && machine_id_same_key(&lease->signer, revoked))
                drop_record(d, m, RECORD_LEASE);
}

/* --- records that wait --- */

static void wait_for_certificate(Directory *d, Record *record) {
        for (GList *l = d->waiting.head; l; l = l->next)
                if (record_hash_value(l->data) == record_hash_value(record))
                        return;
        if (d->waiting.length >= DIRECTORY_WAITING_MAX)
                record_unref(g_queue_pop_head(&d->waiting));
        g_queue_push_tail(&d->waiting, record_ref(record));
}

static DirectoryVerdict take(Directory *d, Record *record, bool is_stored);
static DirectoryVerdict judge(Directory *d, Record *record, TrustVerdict *ret);

/* The certificate of @id came, or it was revoked. Ends: what is taken here is a certificate
 * signed by @id, or something that no other record waits for. */
static void retry_waiting(Directory *d, const MachineId *id) {
        GQueue due = G_QUEUE_INIT;
        Record *record;
        GList *next;

        for (GList *l = d->waiting.head; l; l = next) {
                record = l->data;
                next = l->next;
                if (machine_id_equal(&record->signer, id) ||
                    machine_id_equal(&record->body.machine, id)) {
                        g_queue_unlink(&d->waiting, l);
                        g_queue_push_tail_link(&due, l);
                }
        }
        while ((record = g_queue_pop_head(&due))) {
                TrustVerdict trust;
                DirectoryVerdict v = judge(d, record, &trust);

                if (v == DIRECTORY_NEWS)
                        (void) take(d, record, false);
                else if (v == DIRECTORY_WAITING) /* a lease needs two certificates */
                        wait_for_certificate(d, record);
                record_unref(record);
        }
}

/* --- offers --- */

static bool is_authority_signed(const Record *record) {
        return record->body.kind != RECORD_PRESENCE && !trust_is_departure(record);
}

/* As trust_verify_record(), for an issuer whose certificate is in the directory: that has been
 * verified when it came, and verifying it with every record again would double what a newcomer
 * to a large network has to compute. */
static TrustVerdict verify_by_issuer(const Directory *d, const Record *record) {
        if (record->body.kind == RECORD_CERTIFICATE && (record->body.certificate.roles & ROLE_ISSUER))
                return TRUST_NO_AUTHORITY;
        return record_verify_signature(record, &d->network) < 0 ? TRUST_FORGED : TRUST_OK;
}

/* Who signed it, and might it? DIRECTORY_NEWS: yes. */
static DirectoryVerdict judge_signer(Directory *d, const Record *record, TrustVerdict *ret) {
        const Record *issuer = NULL;

        if (is_authority_signed(record) && !machine_id_equal(&record->signer, &d->network)) {
                if (directory_is_revoked(d, &record->signer)) {
                        *ret = TRUST_REVOKED;
                        return DIRECTORY_REFUSED;
                }
                issuer = directory_issuer(d, &record->signer);
                if (!issuer && !directory_certificate(d, &record->signer))
                        return DIRECTORY_WAITING;
        }
        *ret = issuer ? verify_by_issuer(d, record) : trust_verify_record(&d->network, record, NULL);
        /* An issuer's word counts while its certificate is valid. */
        if (*ret == TRUST_OK && issuer)
                *ret = trust_check_validity(issuer, record->body.version);
        return *ret == TRUST_OK ? DIRECTORY_NEWS : DIRECTORY_REFUSED;
}

/* Signed by a clock that is ahead of ours. It must not take the place of what is good now, nor may
 * we be told what time it is by it. A clock that cannot be right knows nothing of the future. */
static bool is_from_the_future(const Directory *d, const Record *record) {
        switch (record->body.kind) {
        case RECORD_CERTIFICATE:
        case RECORD_LEASE:
                return wall_clock_state(d->clock) != WALL_CLOCK_BEHIND &&
                       record->body.not_before > usec_add(directory_realtime(d), VALIDITY_TOLERANCE);
        case RECORD_REVOCATION: /* counts whatever the clocks say */
        case RECORD_PRESENCE:
        case _RECORD_KIND_MAX:
                break;
        }
        return false;
}

/* Anybody can make keys and sign that they have left: only a member's word is kept. An issuer
 * cannot leave this way, all it signed would be void with it. */
static DirectoryVerdict
judge_departure(const Directory *d, const DirectoryMachine *m, const Record *record, TrustVerdict *ret) {
        const Record *certificate = m ? m->record[RECORD_CERTIFICATE] : NULL;

        if (directory_is_revoked(d, &record->body.machine))
                *ret = TRUST_REVOKED;
        else if (!certificate)
                return DIRECTORY_WAITING;
        else if (certificate->body.certificate.roles & ROLE_ISSUER)
                *ret = TRUST_NO_AUTHORITY;
        else
                *ret = trust_verify_record(&d->network, record, NULL);
        return *ret == TRUST_OK ? DIRECTORY_NEWS : DIRECTORY_REFUSED;
}

/* Return: DIRECTORY_NEWS if it should be taken; nothing changes here. */
static DirectoryVerdict judge(Directory *d, Record *record, TrustVerdict *ret) {
        RecordKind kind = record->body.kind;
        const DirectoryMachine *m = directory_table_find(&d->table, &record->body.machine);
        DirectoryVerdict v;
        bool is_new = !m || !m->record[kind];
        unsigned machines = (unsigned) g_tree_nnodes(d->table.machines);

        *ret = TRUST_OK;
        /* Cheap first: most of what gossip brings we have. */
        if (!is_new && !directory_is_newer(d, record, m->record[kind]))
                return DIRECTORY_KNOWN;
        if (kind != RECORD_REVOCATION && directory_is_revoked(d, &record->body.machine)) {
                *ret = TRUST_REVOKED;
                return DIRECTORY_REFUSED;
        }
        /* The store's integers are signed; no honest clock comes near. */
        if (record->body.version > INT64_MAX) {
                *ret = TRUST_NOT_YET_VALID;
                return DIRECTORY_REFUSED;
        }
        /* The root is above its issuers: all would go with it. */
        if (kind == RECORD_REVOCATION && machine_id_same_key(&record->body.machine, &d->network)) {
                *ret = TRUST_NO_AUTHORITY;
                return DIRECTORY_REFUSED;
        }
        if (trust_is_departure(record))
                return judge_departure(d, m, record, ret);
        v = judge_signer(d, record, ret);
        if (v != DIRECTORY_NEWS)
                return v;
        /* Not refused for good: whoever has it offers it again. */
        if (is_from_the_future(d, record)) {
                *ret = TRUST_NOT_YET_VALID;
                return DIRECTORY_REFUSED;
        }
        if ((kind == RECORD_LEASE || kind == RECORD_PRESENCE) &&
            (!m || !m->record[RECORD_CERTIFICATE]))
                return DIRECTORY_WAITING;
        /* Revocations have as much room again: a full network can still be cleaned up. */
        if (!m && machines >= (kind == RECORD_REVOCATION ? 2 : 1) * MACHINES_MAX)
                return DIRECTORY_REFUSED;
        return DIRECTORY_NEWS;
}

/* A network of one has nobody who could be asked for the time, nor be harmed by a wrong one. */
static void count_others(Directory *d) {
        wall_clock_set_alone(d->clock, directory_count(d, RECORD_CERTIFICATE) <= 1);
}

/* Puts in what was judged to be news. */
static DirectoryVerdict take(Directory *d, Record *record, bool is_stored) {
        DirectoryMachine *m = directory_table_get(&d->table, &record->body.machine);
        RecordKind kind = record->body.kind;

        directory_change(d, m, kind, record);
        if (d->taken)
                d->taken(d->taken_userdata, record);
        if (!is_stored)
                directory_mark_dirty(d, m, kind);
        if (is_authority_signed(record))
                wall_clock_hear_signed(d->clock, record->body.version);
        if (kind == RECORD_REVOCATION)
                wall_clock_forget(d->clock, &record->body.machine);
        if (kind == RECORD_REVOCATION)
                sweep(d, drop_void, &record->body.machine);
        count_others(d);
        if (kind == RECORD_CERTIFICATE || kind == RECORD_REVOCATION)
                retry_waiting(d, &record->body.machine);
        if (kind == RECORD_LEASE && !directory_table_lease(&d->table, m))
                return DIRECTORY_LOST;
        return DIRECTORY_NEWS;
}

int directory_offer(Directory *d, Record *record, bool durable, TrustVerdict *ret_verdict) {
        DirectoryVerdict v;
        TrustVerdict trust;
        int r;

        v = judge(d, record, &trust);
        if (v == DIRECTORY_NEWS) {
                if (durable) {
                        r = directory_commit_records(d, &record, 1);
                        if (r < 0)
                                return r;
                }
                v = take(d, record, durable);
                notify(d);
        } else if (v == DIRECTORY_WAITING)
                wait_for_certificate(d, record);
        if (ret_verdict)
                *ret_verdict = trust;
        return v;
}

int directory_offer_batch(Directory *d, GPtrArray *records, DirectoryVerdict *ret_verdicts) {
        g_autofree DirectoryVerdict *verdicts = g_new(DirectoryVerdict, records->len);
        g_autoptr(GPtrArray) news = g_ptr_array_new();
        int r;

        for (unsigned i = 0; i < records->len; i++) {
                Record *record = records->pdata[i];
                TrustVerdict trust;

                verdicts[i] = judge(d, record, &trust);
                if (verdicts[i] != DIRECTORY_NEWS)
                        continue;
                g_ptr_array_add(news, record);
        }
        if (news->len > 0) {
                r = directory_commit_records(d, (Record *const *) (void *) news->pdata, news->len);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < records->len; i++)
                if (verdicts[i] == DIRECTORY_NEWS)
                        verdicts[i] = take(d, records->pdata[i], true);
        notify(d);
        memcpy(ret_verdicts, verdicts, records->len * sizeof(*verdicts));
        return 0;
}

/* --- peers --- */

/* How long it is good at least: its own time, as long as who signed it could sign. */
static bool certificate_period(const Directory *d, const Record *c, usec_t *ret_from, usec_t *ret_end) {
        const Record *issuer;

        *ret_from = c->body.not_before;
        *ret_end = c->body.not_after;
        if (machine_id_equal(&c->signer, &d->network))
                return true;
        issuer = directory_issuer(d, &c->signer);
        if (!issuer)
                return false;
        *ret_from = MAX(*ret_from, issuer->body.not_before);
        *ret_end = MIN(*ret_end, issuer->body.not_after);
        return true;
}

DropReason directory_check_member(const Directory *d, const MachineId *machine, bool honour_expired) {
        const Record *c = directory_certificate(d, machine);
        usec_t now = directory_realtime(d), from, end;

        if (directory_is_revoked(d, machine) || (c && directory_is_revoked(d, &c->signer)))
                return DROP_REVOKED;
        if (!c || !certificate_period(d, c, &from, &end) || usec_add(now, VALIDITY_TOLERANCE) < from)
                return DROP_NOT_A_MEMBER;
        if (now <= usec_add(end, VALIDITY_TOLERANCE))
                return DROP_NONE;
        if (honour_expired && now <= usec_add(end, c->body.certificate.grace))
                return DROP_NONE;
        return DROP_CERTIFICATE_EXPIRED;
}

DropReason
directory_check_peer(Directory *d, Record *certificate, Record *issuer_certificate, bool honour_expired) {
        MachineId machine = certificate->body.machine;
        TrustVerdict trust;
        int r;

        if (certificate->body.kind != RECORD_CERTIFICATE ||
            (issuer_certificate && issuer_certificate->body.kind != RECORD_CERTIFICATE))
                return DROP_NOT_A_MEMBER;
        if (issuer_certificate)
                (void) directory_offer(d, issuer_certificate, false, NULL);
        r = directory_offer(d, certificate, false, &trust);
        /* Whoever shows something forged is not who it says. One that is from the future proves
         * nothing yet, but what we have from before still does. */
        if (r == DIRECTORY_WAITING ||
            (r == DIRECTORY_REFUSED && trust != TRUST_NOT_YET_VALID && trust != TRUST_REVOKED))
                return DROP_NOT_A_MEMBER;
        return directory_check_member(d, &machine, honour_expired);
}

/* --- life --- */

int directory_new(const NetworkId *network, const MeshEnv *env, const MeshStore *store, Directory **ret) {
        Directory *d = NEW(Directory);
        int r;

        *d = (Directory){
                .network = *network,
                .env = env,
                .store = store,
                .waiting = G_QUEUE_INIT,
                .events = G_QUEUE_INIT,
                .observers = g_array_new(FALSE, FALSE, sizeof(DirectoryObserverEntry)),
                .dirty = g_hash_table_new(NULL, NULL),
        };
        directory_table_init(&d->table);
        r = wall_clock_new(env, store, &d->clock);
        if (r >= 0)
                r = directory_load(d);
        if (r < 0) {
                directory_free(d);
                return r;
        }
        count_others(d);
        *ret = d;
        return 0;
}

Directory *directory_free(Directory *d) {
        Record *record;
        Event *e;

        if (!d)
                return NULL;
        timer_clear(&d->flush_timer);
        d->clock = wall_clock_free(d->clock);
        while ((record = g_queue_pop_head(&d->waiting)))
                record_unref(record);
        while ((e = g_queue_pop_head(&d->events)))
                event_free(e);
        g_hash_table_unref(d->dirty);
        g_array_unref(d->observers);
        directory_table_done(&d->table);
        g_free(d);
        return NULL;
}
