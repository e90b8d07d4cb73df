/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation
 *
 * Two ways for a record to get around:
 *
 *  - Rumour. What the directory takes, from here or from a link, goes to all other links
 *    at once, revocations first. Only news is passed on, so every rumour ends; what the directory
 *    refuses is never passed on, so nobody can use us to spread rubbish.
 *  - Comparison. When a link comes up, and every minute while it is used, both sides send a
 *    digest. Who gets one that differs from its own answers with `have`: the hashes of all its
 *    records in the buckets that differ; and with its own digest unless it has just sent one. Who
 *    gets a `have` asks with `want` for what it does not know, in portions: the next when the last
 *    has come. Records go only to who asked, so none crosses a link twice, and a newcomer to a
 *    large network is fed at the speed of its link instead of overrunning the sender's queue.
 *
 * Records that came as answers to `want` are not pushed on but announced with a `have`: a newcomer
 * that pulls ten thousand records from one neighbour must not push them at all others, who have
 * had them for long.
 *
 * What a hostile member can do is bounded: a list of wanted hashes a link, one portion an answer,
 * nothing is sent that was not asked for, and who sends forgeries is not listened to for a while
 * (an honest machine verifies what it passes on).
 */
#include "core/mesh/gossip/gossip.h"

#include <string.h>

#include "base/macros.h"
#include "core/wire/control.h"

#define DIGEST_INTERVAL (60 * USEC_PER_SEC) /* docs/protocol.md, "gossip" */
/* Digests of all links at the same times: one wake-up instead of many. */
#define DIGEST_SLOT (10 * USEC_PER_SEC)
/* Somebody's digest is not answered with ours if that has just gone to it. */
#define DIGEST_FRESH (10 * USEC_PER_SEC)
/* Gossip does not make a link a used one: neither its messages nor their acknowledgements. */
#define ACK_MARGIN (5 * USEC_PER_SEC)
/* A portion: at most 512 KiB, half of what a link queues (CONTROL_QUEUE_MAX). */
#define WANT_MAX 512U
#define WANT_TIMEOUT (10 * USEC_PER_SEC)
/* Hashes noted to be asked of one link, 128 KiB; the rest with the next digest. */
#define WANTED_MAX 16384U
/* A message of records or hashes, with room for headers below CONTROL_PAYLOAD_MAX. */
#define BATCH_MAX (60U * 1024U)
#define HAVE_MAX ((BATCH_MAX - 64U) / RECORD_HASH_SIZE)
/* Hashes of records that were no use to us, not to be asked for again each minute. */
#define USELESS_MAX 4096U
#define USELESS_USEC (30 * USEC_PER_MINUTE)
/* Forged signatures after which a machine is not listened to. */
#define FORGERIES_MAX 8U
#define DEAF_USEC (10 * USEC_PER_MINUTE)

typedef struct Peer {
        Gossip *gossip;
        MachineId id;

        Timer digest_timer;
        usec_t digest_sent, last_tick, last_heard;
        bool differs;    /* since our last digest it showed that it knows something else */
        unsigned agreed; /* ticks since it last did */

        GArray *wanted; /* of uint64_t: to be asked for; NULL: nothing */
        unsigned wanted_next;
        bool wanted_overflow;
        GArray *asked; /* of uint64_t: the portion under way; NULL: none */
        unsigned asked_open;
        bool asked_progress;
        Timer asked_timer;

        unsigned forgeries;
        usec_t deaf_until;
} Peer;

typedef struct News {
        Record *record;
        bool is_ours; /* did not come from a link */
        bool pulled;  /* we had asked for it */
} News;

struct Gossip {
        const ChannelProvider *provider;
        const MeshEnv *env;
        Directory *directory;
        MachineId self;

        GTree *peers;      /* MachineId -> Peer: links that are up; ordered: reproducible */
        GHashTable *asked; /* hash -> Peer it was asked of */
        GHashTable *useless;
        usec_t useless_since;

        GArray *news; /* of News, not passed on yet */
        Timer news_timer;
        /* While a message of records is read. */
        bool reading;
        bool pulled;
};

/* --- sending --- */

/* A link that only enrols knows nothing of gossip: its machine has no certificate yet. */
static bool may_talk(const Gossip *g, const MachineId *machine) {
        return directory_certificate(g->directory, machine) &&
               !directory_is_revoked(g->directory, machine);
}

static void send_bytes(Peer *p, GBytes *bytes) {
        const ChannelProvider *provider = p->gossip->provider;
        size_t len;
        const void *data = g_bytes_get_data(bytes, &len);

        if (provider->ops->send(provider->self, &p->id, GOSSIP_CHANNEL, data, len) < 0)
                p->differs = true; /* queue full: the next digest finds what is missing */
}

static void send_message(Peer *p, const GossipMessage *m) {
        g_autoptr(GBytes) bytes = gossip_message_encode(m);

        if (bytes)
                send_bytes(p, bytes);
}

static void send_digest(Peer *p) {
        GossipMessage m = { .op = GOSSIP_DIGEST };

        p->digest_sent = env_now(p->gossip->env);
        p->differs = false;
        directory_digest(p->gossip->directory, m.digest);
        send_message(p, &m);
}

static void set_bucket(GossipMessage *m, unsigned bucket) {
        m->buckets[bucket / 8] |= (uint8_t) (1U << bucket % 8);
}

static void add_hash(void *userdata, Record *record) {
        uint64_t hash = read_le64(record->hash);

        g_array_append_val((GArray *) userdata, hash);
}

/* A hash there is no room for is not asked for this time, that is all. */
static void send_have(Peer *p, const uint64_t theirs[static GOSSIP_BUCKETS]) {
        g_autoptr(GArray) bucket = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        GossipMessage m = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };
        uint64_t ours[GOSSIP_BUCKETS];

        directory_digest(p->gossip->directory, ours);
        for (unsigned i = 0; i < GOSSIP_BUCKETS; i++) {
                if (ours[i] == theirs[i])
                        continue;
                g_array_set_size(bucket, 0);
                directory_foreach_in_bucket(p->gossip->directory, i, add_hash, bucket);
                if (bucket->len == 0)
                        continue;
                if (m.hashes->len > 0 && m.hashes->len + bucket->len > HAVE_MAX) {
                        send_message(p, &m);
                        g_array_set_size(m.hashes, 0);
                        memset(m.buckets, 0, sizeof(m.buckets));
                }
                set_bucket(&m, i);
                g_array_append_vals(m.hashes, bucket->data, MIN(bucket->len, HAVE_MAX));
        }
        if (m.hashes->len > 0)
                send_message(p, &m);
        gossip_message_clear(&m);
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

                        size += g_bytes_get_size(r->bytes) + 3; /* CBOR's head of a byte string */
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

GBytes *gossip_encode_record(Record *record) {
        g_autoptr(GPtrArray) records = g_ptr_array_new(), batches = NULL;

        g_ptr_array_add(records, record);
        batches = batch_records(records);
        return g_bytes_ref(batches->pdata[0]);
}

static void send_batches(Peer *p, GPtrArray *batches) {
        for (unsigned i = 0; i < batches->len; i++)
                send_bytes(p, batches->pdata[i]);
}

/* --- rumours --- */

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

static bool is_announced(const News *n) {
        return n->pulled && n->record->body.kind != RECORD_REVOCATION;
}

/* What is pushed: all of it, or only what is not from a link. */
static GPtrArray *batch_rumours(const Gossip *g, bool only_ours) {
        g_autoptr(GPtrArray) records = g_ptr_array_new();

        for (unsigned i = 0; i < g->news->len; i++) {
                const News *n = &g_array_index(g->news, News, i);

                if (!is_announced(n) && (n->is_ours || !only_ours))
                        g_ptr_array_add(records, n->record);
        }
        g_ptr_array_sort(records, compare_rank);
        return batch_records(records);
}

/* NULL: nothing to announce. */
static GBytes *encode_announcement(const Gossip *g) {
        _cleanup_(gossip_message_clear) GossipMessage m = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };

        for (unsigned i = 0; i < g->news->len && m.hashes->len < HAVE_MAX; i++) {
                const News *n = &g_array_index(g->news, News, i);

                if (is_announced(n)) {
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
}

/* @source: who told us what is not ours; NULL: it is all ours. */
static void pass_on(Gossip *g, const MachineId *source) {
        g_autoptr(GPtrArray) all = NULL, ours = NULL;
        g_autoptr(GBytes) announcement = NULL;

        timer_clear(&g->news_timer);
        if (g->news->len == 0)
                return;
        all = batch_rumours(g, false);
        ours = source ? batch_rumours(g, true) : g_ptr_array_ref(all);
        announcement = encode_announcement(g);
        for (GTreeNode *n = g_tree_node_first(g->peers); n; n = g_tree_node_next(n)) {
                Peer *p = g_tree_node_value(n);
                bool is_source = source && machine_id_equal(&p->id, source);

                if (!may_talk(g, &p->id))
                        continue;
                send_batches(p, is_source ? ours : all);
                if (announcement && !is_source)
                        send_bytes(p, announcement);
        }
        clear_news(g);
}

static void on_news_timer(void *userdata) {
        pass_on(userdata, NULL);
}

static void on_taken(void *userdata, Record *record) {
        Gossip *g = userdata;
        News n = {
                .record = record_ref(record),
                .is_ours = !g->reading,
                .pulled = g->pulled,
        };

        g_array_append_val(g->news, n);
        /* At the end of the message or of this turn of the loop: one batch, not many. */
        if (!g->reading && !timer_is_set(&g->news_timer))
                timer_set(g->env->timers, &g->news_timer, env_now(g->env), on_news_timer, g);
}

/* --- wanting --- */

static void forget_asked(Peer *p) {
        timer_clear(&p->asked_timer);
        for (unsigned i = 0; p->asked && i < p->asked->len; i++) {
                uint64_t *hash = &g_array_index(p->asked, uint64_t, i);

                if (g_hash_table_lookup(p->gossip->asked, hash) == p)
                        g_hash_table_remove(p->gossip->asked, hash);
        }
        g_clear_pointer(&p->asked, g_array_unref);
        p->asked_open = 0;
}

static void forget_wanted(Peer *p) {
        forget_asked(p);
        g_clear_pointer(&p->wanted, g_array_unref);
        p->wanted_next = 0;
        p->wanted_overflow = false;
}

static bool is_wanted(Gossip *g, const uint64_t *hash) {
        return !directory_by_hash(g->directory, *hash) && !g_hash_table_contains(g->useless, hash);
}

static void want_next(Peer *p);

static void on_want_timeout(void *userdata) {
        Peer *p = userdata;

        /* Some of what it had may have been replaced meanwhile; that much is no reason to stop. */
        if (p->asked_progress)
                want_next(p);
        else {
                forget_wanted(p);
                p->differs = true;
        }
}

static void arm_want_timeout(Peer *p) {
        const MeshEnv *env = p->gossip->env;

        timer_set(env->timers, &p->asked_timer, usec_add(env_now(env), WANT_TIMEOUT),
                  on_want_timeout, p);
}

/* Asks for the next portion. */
static void want_next(Peer *p) {
        Gossip *g = p->gossip;
        GossipMessage m = { .op = GOSSIP_WANT };
        bool overflow = p->wanted_overflow;

        forget_asked(p);
        p->asked = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        while (p->wanted_next < p->wanted->len && p->asked->len < WANT_MAX) {
                uint64_t hash = g_array_index(p->wanted, uint64_t, p->wanted_next++);

                /* What was asked of another comes from there, or with the next digest. */
                if (!is_wanted(g, &hash) || g_hash_table_contains(g->asked, &hash))
                        continue;
                g_array_append_val(p->asked, hash);
                g_hash_table_insert(g->asked, g_memdup2(&hash, sizeof(hash)), p);
        }
        if (p->asked->len == 0) {
                forget_wanted(p);
                if (overflow)
                        send_digest(p);
                return;
        }
        p->asked_open = p->asked->len;
        p->asked_progress = false;
        arm_want_timeout(p);
        m.hashes = g_array_ref(p->asked);
        send_message(p, &m);
        gossip_message_clear(&m);
}

/* --- receiving --- */

static void handle_digest(Peer *p, const GossipMessage *m) {
        uint64_t ours[GOSSIP_BUCKETS];

        directory_digest(p->gossip->directory, ours);
        if (memcmp(ours, m->digest, sizeof(ours)) == 0)
                return;
        send_have(p, m->digest);
        if (usec_sub(env_now(p->gossip->env), p->digest_sent) >= DIGEST_FRESH)
                send_digest(p);
        p->differs = true;
}

static void handle_have(Peer *p, const GossipMessage *m) {
        Gossip *g = p->gossip;

        if (!p->wanted)
                p->wanted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        for (unsigned i = 0; i < m->hashes->len; i++) {
                uint64_t hash = g_array_index(m->hashes, uint64_t, i);

                if (!is_wanted(g, &hash))
                        continue;
                if (p->wanted->len >= WANTED_MAX) {
                        p->wanted_overflow = true;
                        break;
                }
                g_array_append_val(p->wanted, hash);
        }
        p->differs |= p->wanted->len > 0;
        if (!p->asked)
                want_next(p);
}

static void handle_want(Peer *p, const GossipMessage *m) {
        g_autoptr(GPtrArray) records = g_ptr_array_new(), batches = NULL;

        for (unsigned i = 0; i < MIN(m->hashes->len, WANT_MAX); i++) {
                Record *r = directory_by_hash(
                                p->gossip->directory, g_array_index(m->hashes, uint64_t, i));

                if (r)
                        g_ptr_array_add(records, r);
        }
        g_ptr_array_sort(records, compare_rank);
        batches = batch_records(records);
        send_batches(p, batches);
        p->differs = true;
}

static void remember_useless(Gossip *g, uint64_t hash) {
        usec_t now = env_now(g->env);

        if (g_hash_table_size(g->useless) >= USELESS_MAX ||
            usec_sub(now, g->useless_since) > USELESS_USEC) {
                g_hash_table_remove_all(g->useless);
                g->useless_since = now;
        }
        g_hash_table_add(g->useless, g_memdup2(&hash, sizeof(hash)));
}

/* Offers one record. Return: false if it is a forgery. */
static bool take_record(Peer *p, Record *record) {
        Gossip *g = p->gossip;
        uint64_t hash = read_le64(record->hash);
        TrustVerdict trust;

        g->pulled = g_hash_table_lookup(g->asked, &hash) == p;
        if (g->pulled) {
                g_hash_table_remove(g->asked, &hash);
                p->asked_open--;
                p->asked_progress = true;
        }
        switch ((DirectoryVerdict) directory_offer(g->directory, record, false, &trust)) {
        case DIRECTORY_NEWS:
        case DIRECTORY_LOST:
        case DIRECTORY_WAITING:
                break;
        case DIRECTORY_KNOWN:
        case DIRECTORY_REFUSED:
                if (!directory_by_hash(g->directory, hash))
                        remember_useless(g, hash);
                return trust != TRUST_FORGED;
        }
        return true;
}

/* Return: whether @p still is; a revocation may end the very link it came by. */
static bool handle_records(Peer *p, const GossipMessage *m) {
        Gossip *g = p->gossip;
        MachineId sender = p->id;

        p->differs = true;
        g->reading = true;
        for (unsigned i = 0; p && i < m->records->len; i++) {
                bool honest = take_record(p, m->records->pdata[i]);

                p = g_tree_lookup(g->peers, &sender);
                if (p && !honest && ++p->forgeries >= FORGERIES_MAX) {
                        p->forgeries = 0;
                        p->deaf_until = usec_add(env_now(g->env), DEAF_USEC);
                        break;
                }
        }
        g->reading = g->pulled = false;
        pass_on(g, &sender);
        return p;
}

static void handle_answer(Peer *p, const GossipMessage *m) {
        if (!handle_records(p, m) || !p->asked)
                return;
        if (p->asked_open == 0)
                want_next(p);
        else if (p->asked_progress)
                arm_want_timeout(p);
}

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        Gossip *g = userdata;
        _cleanup_(gossip_message_clear) GossipMessage m = {};
        Peer *p = g_tree_lookup(g->peers, sender);

        if (!p || env_now(g->env) < p->deaf_until || !may_talk(g, sender))
                return;
        p->last_heard = env_now(g->env);
        if (gossip_message_decode(data, len, &m, NULL) < 0)
                return;
        switch (m.op) {
        case GOSSIP_DIGEST:
                handle_digest(p, &m);
                break;
        case GOSSIP_HAVE:
                handle_have(p, &m);
                break;
        case GOSSIP_RECORDS:
                handle_answer(p, &m);
                break;
        case GOSSIP_WANT:
                handle_want(p, &m);
                break;
        case _GOSSIP_OP_MAX:
                break;
        }
}

/* --- links --- */

static void on_tick(void *userdata);

static void arm_tick(Peer *p) {
        const MeshEnv *env = p->gossip->env;
        usec_t due = usec_add(env_now(env), DIGEST_INTERVAL);

        due += DIGEST_SLOT - due % DIGEST_SLOT;
        timer_set(env->timers, &p->digest_timer, due, on_tick, p);
}

/* News is pushed, digests only find what got lost: as long as they agree they come after 1, 2, 4,
 * 8 ticks and then every 16th. */
static bool is_due(Peer *p) {
        if (p->differs) {
                p->agreed = 0;
                return true;
        }
        p->agreed++;
        return p->agreed % 16 == 0 || (p->agreed < 16 && (p->agreed & (p->agreed - 1)) == 0);
}

/* A link over which nothing came and that agreed the last time is left in peace. */
static void on_tick(void *userdata) {
        Peer *p = userdata;
        Gossip *g = p->gossip;
        usec_t received = g->provider->ops->last_received(g->provider->self, &p->id);
        usec_t gossiped = usec_add(MAX(p->digest_sent, p->last_heard), ACK_MARGIN);
        bool used = received > MAX(p->last_tick, gossiped);

        p->last_tick = env_now(g->env);
        arm_tick(p);
        if ((used || p->differs) && is_due(p) && may_talk(g, &p->id))
                send_digest(p);
}

static void peer_free(void *data) {
        Peer *p = data;

        forget_wanted(p);
        timer_clear(&p->digest_timer);
        g_free(p);
}

static void on_link_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        Gossip *g = userdata;
        Peer *p = g_tree_lookup(g->peers, machine);

        if (machine_id_equal(machine, &g->self))
                return;
        if (state != LINK_UP) {
                if (p)
                        g_tree_remove(g->peers, machine);
                return;
        }
        if (!p) {
                p = NEW(Peer);
                p->gossip = g;
                p->id = *machine;
                g_tree_insert(g->peers, &p->id, p);
        } else
                forget_wanted(p); /* it has forgotten what we asked it */
        p->agreed = 0;
        p->last_tick = env_now(g->env);
        arm_tick(p);
        if (may_talk(g, machine))
                send_digest(p);
}

/* --- life --- */

static int compare_ids(const void *a, const void *b, void *userdata) {
        return machine_id_compare(a, b);
}

Gossip *
gossip_new(const ChannelProvider *provider,
           const MeshEnv *env,
           Directory *directory,
           const MachineId *self) {
        const ChannelOps *ops = provider->ops;
        Gossip *g = NEW(Gossip);

        *g = (Gossip){
                .provider = provider,
                .env = env,
                .directory = directory,
                .self = *self,
                .peers = g_tree_new_full(compare_ids, NULL, NULL, peer_free),
                .asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .useless = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .news = g_array_new(FALSE, FALSE, sizeof(News)),
        };
        directory_on_taken(directory, on_taken, g);
        if (ops->on_channel(provider->self, GOSSIP_CHANNEL, on_data, NULL, g) < 0 ||
            ops->on_link_state(provider->self, on_link_state, g) < 0)
                return gossip_free(g);
        return g;
}

Gossip *gossip_free(Gossip *g) {
        const ChannelOps *ops;

        if (!g)
                return NULL;
        ops = g->provider->ops;
        (void) ops->on_link_state(g->provider->self, NULL, g);
        (void) ops->off_channel(g->provider->self, GOSSIP_CHANNEL);
        directory_on_taken(g->directory, NULL, NULL);
        timer_clear(&g->news_timer);
        clear_news(g);
        g_array_unref(g->news);
        g_tree_unref(g->peers);
        g_hash_table_unref(g->asked);
        g_hash_table_unref(g->useless);
        g_free(g);
        return NULL;
}
