/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "core/mesh/gossip/gossip-internal.h"

/* Of one machine's presence one record in so long is passed on, the newest: who changes it all the
 * time costs the others no more than that. */
#define PRESENCE_INTERVAL (5 * USEC_PER_SEC)
/* And those of all machines wait so long for each other, unless something else goes before. */
#define PRESENCE_GATHER_USEC (50 * USEC_PER_MSEC)
/* Revocations sent for one digest: about 1200. A newcomer to a network that has more gets the
 * rest as it gets everything else, and some with each digest. */
#define REVOCATIONS_MAX (4U * BATCH_MAX)

static void send_bytes(Peer *p, GBytes *bytes) {
        const ChannelProvider *provider = p->gossip->provider;
        size_t len;
        const void *data = g_bytes_get_data(bytes, &len);

        if (provider->ops->send(provider->self, &p->id, GOSSIP_CHANNEL, data, len) < 0)
                p->differs = true; /* queue full: the next digest finds what is missing */
}

void gossip_send(Peer *p, const GossipMessage *m) {
        g_autoptr(GBytes) bytes = gossip_message_encode(m);

        if (bytes)
                send_bytes(p, bytes);
}

void gossip_send_digest(Peer *p) {
        GossipMessage m = { .op = GOSSIP_DIGEST };

        p->digest_sent = env_now(p->gossip->env);
        p->differs = false;
        directory_digest(p->gossip->directory, m.digest);
        directory_revocations(p->gossip->directory, m.revocations);
        gossip_send(p, &m);
}

/* --- records --- */

/* Revocations before everything else, then so that nothing has to wait for what comes later. */
static int rank(const Record *r) {
        switch (r->body.kind) {
        case RECORD_REVOCATION:
                return 0;
        case RECORD_CERTIFICATE:
                return r->body.certificate.roles & ROLE_ISSUER ? 1 : 2;
        case RECORD_LEASE:
                return 3;
        case RECORD_PRESENCE:
                return 4;
        case _RECORD_KIND_MAX:
                break;
        }
        return 5;
}

static int compare_rank(const void *a, const void *b) {
        const Record *x = *(Record *const *) a, *y = *(Record *const *) b;

        if (rank(x) != rank(y))
                return rank(x) - rank(y);
        return machine_id_compare(&x->body.machine, &y->body.machine);
}

static size_t size_in_batch(const Record *r) {
        return g_bytes_get_size(r->bytes) + 3; /* CBOR's head of a byte string */
}

/* Return: an array of GBytes: messages of at most BATCH_MAX each. @records: of Record. */
static GPtrArray *batch_records(GPtrArray *records) {
        GPtrArray *batches = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
        unsigned i = 0;

        while (i < records->len) {
                GossipMessage m = { .op = GOSSIP_RECORDS, .records = g_ptr_array_new() };
                size_t size = 0;
                GBytes *bytes;

                for (; i < records->len; i++) {
                        Record *r = records->pdata[i];

                        size += size_in_batch(r);
                        if (size > BATCH_MAX && m.records->len > 0)
                                break;
                        g_ptr_array_add(m.records, r);
                }
                bytes = gossip_message_encode(&m);
                if (bytes)
                        g_ptr_array_add(batches, bytes);
                gossip_message_clear(&m);
        }
        return batches;
}

static size_t send_batches(Peer *p, GPtrArray *batches) {
        size_t sent = 0;

        for (unsigned i = 0; i < batches->len; i++) {
                send_bytes(p, batches->pdata[i]);
                sent += g_bytes_get_size(batches->pdata[i]);
        }
        return sent;
}

GBytes *gossip_encode_record(Record *record) {
        g_autoptr(GPtrArray) records = g_ptr_array_new(), batches = NULL;

        g_ptr_array_add(records, record);
        batches = batch_records(records);
        return g_bytes_ref(batches->pdata[0]);
}

size_t gossip_send_records(Peer *p, GPtrArray *records) {
        g_autoptr(GPtrArray) batches = NULL;

        g_ptr_array_sort(records, compare_rank);
        batches = batch_records(records);
        return send_batches(p, batches);
}

/* --- what differs --- */

static void set_bucket(GossipMessage *m, unsigned bucket) {
        m->buckets[bucket / 8] |= (uint8_t) (1U << bucket % 8);
}

static void add_hash(void *userdata, Record *record) {
        uint64_t hash = read_le64(record->hash);

        g_array_append_val((GArray *) userdata, hash);
}

/* A hash there is no room for is not asked for this time, that is all. */
static size_t send_have(Peer *p, const uint64_t theirs[static GOSSIP_BUCKETS]) {
        g_autoptr(GArray) bucket = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        GossipMessage m = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };
        uint64_t ours[GOSSIP_BUCKETS];
        size_t sent = 0;

        directory_digest(p->gossip->directory, ours);
        for (unsigned i = 0; i < GOSSIP_BUCKETS; i++) {
                if (ours[i] == theirs[i])
                        continue;
                g_array_set_size(bucket, 0);
                directory_foreach_in_bucket(p->gossip->directory, i, add_hash, bucket);
                if (bucket->len == 0)
                        continue;
                sent += bucket->len * RECORD_HASH_SIZE;
                if (m.hashes->len > 0 && m.hashes->len + bucket->len > HAVE_MAX) {
                        gossip_send(p, &m);
                        g_array_set_size(m.hashes, 0);
                        memset(m.buckets, 0, sizeof(m.buckets));
                }
                set_bucket(&m, i);
                g_array_append_vals(m.hashes, bucket->data, MIN(bucket->len, HAVE_MAX));
        }
        if (m.hashes->len > 0)
                gossip_send(p, &m);
        gossip_message_clear(&m);
        return sent;
}

typedef struct Revocations {
        GPtrArray *records;
        size_t size;
} Revocations;

static void add_revocation(void *userdata, Record *record) {
        Revocations *r = userdata;

        if (record->body.kind != RECORD_REVOCATION || r->size > REVOCATIONS_MAX)
                return;
        r->size += size_in_batch(record);
        g_ptr_array_add(r->records, record);
}

/* Nobody has to ask for a revocation: what the other side may lack is sent, whatever else is to be
 * compared, asked for or waited for. */
static size_t send_revocations(Peer *p, const uint64_t theirs[static GOSSIP_REVOCATION_BUCKETS]) {
        g_autoptr(GPtrArray) records = g_ptr_array_new();
        Revocations found = { .records = records };
        uint64_t ours[GOSSIP_REVOCATION_BUCKETS];

        directory_revocations(p->gossip->directory, ours);
        for (unsigned i = 0; i < GOSSIP_BUCKETS; i++)
                if (ours[i / 8] != theirs[i / 8])
                        directory_foreach_in_bucket(p->gossip->directory, i, add_revocation, &found);
        return gossip_send_records(p, records);
}

size_t gossip_send_difference(Peer *p, const GossipMessage *digest) {
        size_t sent = send_revocations(p, digest->revocations);

        return sent + send_have(p, digest->digest);
}

/* --- rumours --- */

static bool is_announced(const News *n) {
        return n->pulled && n->record->body.kind != RECORD_REVOCATION;
}

static bool is_from(const News *n, const MachineId *machine) {
        return n->has_source && machine_id_equal(&n->source, machine);
}

/* What is pushed, but for what is from @but; NULL: all of it. */
static GPtrArray *batch_rumours(const Gossip *g, const MachineId *but) {
        g_autoptr(GPtrArray) records = g_ptr_array_new();

        for (unsigned i = 0; i < g->news->len; i++) {
                const News *n = &g_array_index(g->news, News, i);

                if (!is_announced(n) && !(but && is_from(n, but)))
                        g_ptr_array_add(records, n->record);
        }
        g_ptr_array_sort(records, compare_rank);
        return batch_records(records);
}

/* NULL: nothing to announce. */
static GBytes *encode_announcement(const Gossip *g, const MachineId *but) {
        _cleanup_(gossip_message_clear) GossipMessage m = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };

        for (unsigned i = 0; i < g->news->len && m.hashes->len < HAVE_MAX; i++) {
                const News *n = &g_array_index(g->news, News, i);

                if (is_announced(n) && !(but && is_from(n, but))) {
                        set_bucket(&m, n->record->body.machine.bytes[0]);
                        add_hash(m.hashes, n->record);
                }
        }
        return m.hashes->len > 0 ? gossip_message_encode(&m) : NULL;
}

static void clear_news(Gossip *g) {
        for (unsigned i = 0; i < g->news->len; i++)
                record_unref(g_array_index(g->news, News, i).record);
        g_array_set_size(g->news, 0);
        g->urgent = false;
}

static bool has_news_from(const Gossip *g, const MachineId *machine) {
        for (unsigned i = 0; i < g->news->len; i++)
                if (is_from(&g_array_index(g->news, News, i), machine))
                        return true;
        return false;
}

/* Its own is no news to it. */
static void pass_on_rest(Peer *p) {
        g_autoptr(GPtrArray) batches = batch_rumours(p->gossip, &p->id);
        g_autoptr(GBytes) announcement = encode_announcement(p->gossip, &p->id);

        send_batches(p, batches);
        if (announcement)
                send_bytes(p, announcement);
}

static void pass_on(Gossip *g) {
        g_autoptr(GPtrArray) all = batch_rumours(g, NULL);
        g_autoptr(GBytes) announcement = encode_announcement(g, NULL);

        timer_clear(&g->news_timer);
        for (GTreeNode *n = g_tree_node_first(g->peers); n; n = g_tree_node_next(n)) {
                Peer *p = g_tree_node_value(n);

                if (!gossip_may_talk(g, &p->id))
                        continue;
                if (has_news_from(g, &p->id))
                        pass_on_rest(p);
                else {
                        send_batches(p, all);
                        if (announcement)
                                send_bytes(p, announcement);
                }
        }
        clear_news(g);
}

static void on_news_timer(void *userdata) {
        pass_on(userdata);
}

void gossip_begin_reading(Gossip *g, const MachineId *source) {
        g->reading = true;
        g->source = *source;
}

void gossip_end_reading(Gossip *g) {
        g->reading = g->pulled = false;
        if (g->urgent)
                pass_on(g);
}

/* Of this machine's own only the newest is worth a place. */
static void forget_own_presence(Gossip *g) {
        for (unsigned i = g->news->len; i > 0; i--) {
                Record *r = g_array_index(g->news, News, i - 1).record;

                if (r->body.kind != RECORD_PRESENCE || !machine_id_equal(&r->body.machine, &g->self))
                        continue;
                g_array_remove_index(g->news, i - 1);
                record_unref(r);
        }
}

static void add_news(Gossip *g, const News *n) {
        bool is_presence = n->record->body.kind == RECORD_PRESENCE;
        usec_t due = env_now(g->env) + (is_presence ? PRESENCE_GATHER_USEC : 0);

        if (is_presence && machine_id_equal(&n->record->body.machine, &g->self))
                forget_own_presence(g);
        g_array_append_vals(g->news, n, 1);
        if (!is_presence || g->news->len >= WANT_MAX)
                g->urgent = true;
        /* At the end of the message or of this turn of the loop: one batch, not many. */
        if (g->urgent && g->reading)
                return;
        if (!timer_is_set(&g->news_timer) || g->news_timer.due > due)
                timer_set(g->env->timers, &g->news_timer, due, on_news_timer, g);
}

/* --- presence, one in a while --- */

static void on_held_timer(void *userdata);

static void arm_held(Gossip *g) {
        usec_t due = USEC_INFINITY;

        for (unsigned i = 0; i < g->held->len; i++)
                due = MIN(due, ((Account *) g->held->pdata[i])->passed_on + PRESENCE_INTERVAL);
        if (g->held->len > 0)
                timer_set(g->env->timers, &g->held_timer, due, on_held_timer, g);
        else
                timer_clear(&g->held_timer);
}

static void on_held_timer(void *userdata) {
        Gossip *g = userdata;
        usec_t now = env_now(g->env);

        for (unsigned i = g->held->len; i > 0; i--) {
                Account *a = g->held->pdata[i - 1];
                Record *newest = directory_get(g->directory, RECORD_PRESENCE, &a->id);

                if (a->passed_on + PRESENCE_INTERVAL > now)
                        continue;
                g_ptr_array_remove_index_fast(g->held, i - 1);
                a->is_held = false;
                a->passed_on = now;
                if (newest)
                        add_news(g, &(News){ .record = record_ref(newest),
                                             .pulled = a->is_held_pulled });
        }
        arm_held(g);
}

/* Return: whether the presence of @machine is to be passed on now; else it is later, the newest. */
static bool is_its_turn(Gossip *g, const MachineId *machine) {
        Account *a = gossip_account(g, machine);
        usec_t now = env_now(g->env);

        if (!a->is_held && (a->passed_on == 0 || a->passed_on + PRESENCE_INTERVAL <= now)) {
                a->passed_on = now;
                return true;
        }
        a->is_held_pulled = g->pulled;
        if (!a->is_held) {
                a->is_held = true;
                g_ptr_array_add(g->held, a);
                arm_held(g);
        }
        return false;
}

void gossip_note_news(void *userdata, Record *record) {
        Gossip *g = userdata;
        const MachineId *machine = &record->body.machine;

        if (record->body.kind == RECORD_PRESENCE && !machine_id_equal(machine, &g->self) &&
            !is_its_turn(g, machine))
                return;
        add_news(g, &(News){ .record = record_ref(record),
                             .has_source = g->reading,
                             .source = g->source,
                             .pulled = g->pulled });
}

void gossip_free_news(Gossip *g) {
        timer_clear(&g->news_timer);
        timer_clear(&g->held_timer);
        clear_news(g);
        g_array_unref(g->news);
        g_ptr_array_unref(g->held);
}
