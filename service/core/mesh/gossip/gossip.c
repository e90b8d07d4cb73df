/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation
 *
 * Two ways for a record to get around:
 *
 *  - Rumour. What the directory takes, from here or from a link, goes to all other links
 *    at once, revocations first; presence records, which come in swarms when many move, with what
 *    goes next, 50 ms later at most: a message for each would cost each link a datagram and an
 *    acknowledgement. Only news is passed on, so every rumour ends; what the directory
 *    refuses is never passed on, so nobody can use us to spread rubbish. Of one machine's presence
 *    one record in 5 s is passed on, the newest.
 *  - Comparison. When a link comes up, and every minute while it is used, both sides send a
 *    digest. Who gets one that differs from its own sends the revocations that may be missing, at
 *    once and unasked, and `have`: the hashes of all its records in the buckets that differ; and
 *    its own digest unless it has just sent one. Who gets a `have` asks with `want` for what it
 *    does not know, in portions: the next when the last has come. Records go only to who asked, so
 *    none crosses a link twice, and a newcomer to a large network is fed at the speed of its link
 *    instead of overrunning the sender's queue.
 *
 * Records that came as answers to `want` are not pushed on but announced with a `have`: a newcomer
 * that pulls ten thousand records from one neighbour must not push them at all others, who have
 * had them for long.
 *
 * What a hostile member can do is bounded: each machine has an account (gossip-account.c) of what
 * answers to it have cost, what it sent that was no use, and how many signatures we checked that
 * nobody had asked for. What cannot be paid is left; the digests find it later. A list of wanted
 * hashes a link, one portion an answer, and who sends forgeries is not listened to for a while (an
 * honest machine verifies what it passes on).
 */
#include "core/mesh/gossip/gossip-internal.h"

#include <string.h>

#include "base/macros.h"

#define DIGEST_INTERVAL (60 * USEC_PER_SEC) /* docs/protocol.md, "gossip" */
/* Digests of all links at the same times: one wake-up instead of many. */
#define DIGEST_SLOT (10 * USEC_PER_SEC)
/* Somebody's digest is not answered with ours if that has just gone to it. */
#define DIGEST_FRESH (10 * USEC_PER_SEC)
/* Gossip does not make a link a used one: neither its messages nor their acknowledgements. */
#define ACK_MARGIN (5 * USEC_PER_SEC)
/* Forged signatures after which a machine is not listened to. */
#define FORGERIES_MAX 8U
#define DEAF_USEC (10 * USEC_PER_MINUTE)

bool gossip_may_talk(const Gossip *g, const MachineId *machine) {
        return directory_certificate(g->directory, machine) &&
               !directory_is_revoked(g->directory, machine);
}

/* --- questions --- Each returns whether the message was any use. */

static bool handle_digest(Peer *p, const GossipMessage *m) {
        Gossip *g = p->gossip;
        uint64_t ours[GOSSIP_BUCKETS];

        directory_digest(g->directory, ours);
        if (memcmp(ours, m->digest, sizeof(ours)) == 0)
                return false;
        p->differs = true;
        if (!gossip_can_pay(g, p->account, BUDGET_ANSWERS))
                return false;
        gossip_charge(g, p->account, BUDGET_ANSWERS, gossip_kib(gossip_send_difference(p, m)));
        if (usec_sub(env_now(g->env), p->digest_sent) >= DIGEST_FRESH)
                gossip_send_digest(p);
        return true;
}

static bool handle_want(Peer *p, const GossipMessage *m) {
        Gossip *g = p->gossip;
        g_autoptr(GPtrArray) records = g_ptr_array_new();

        p->differs = true;
        if (!gossip_can_pay(g, p->account, BUDGET_ANSWERS))
                return false;
        for (unsigned i = 0; i < MIN(m->hashes->len, WANT_MAX); i++) {
                Record *r = directory_by_hash(g->directory, g_array_index(m->hashes, uint64_t, i));

                if (r)
                        g_ptr_array_add(records, r);
        }
        gossip_charge(g, p->account, BUDGET_ANSWERS, gossip_kib(gossip_send_records(p, records)));
        return records->len > 0;
}

/* What we know, or have no room for, is charged by itself. */
static void handle_have(Peer *p, const GossipMessage *m) {
        unsigned useless = m->hashes->len - gossip_note_have(p, m);

        gossip_charge(p->gossip, p->account, BUDGET_WASTE,
                      gossip_kib((useless + 1) * RECORD_HASH_SIZE));
}

/* --- records --- */

/* Whether the directory will see without checking a signature that it is nothing new. */
static bool is_known(const Gossip *g, const Record *record) {
        const Record *known = directory_get(g->directory, record->body.kind, &record->body.machine);

        return (known && known->body.version > record->body.version) ||
               directory_by_hash(g->directory, read_le64(record->hash));
}

/* Revocations always: nobody but an issuer can make one that is not a forgery. */
static bool can_check(Peer *p, const Record *record) {
        Gossip *g = p->gossip;
        const MachineId *machine = &record->body.machine;

        if (record->body.kind == RECORD_REVOCATION || is_known(g, record))
                return true;
        if (record->body.kind == RECORD_PRESENCE && directory_certificate(g->directory, machine) &&
            !gossip_can_pay(g, gossip_account(g, machine), BUDGET_PRESENCE))
                return false;
        return gossip_can_pay(g, p->account, BUDGET_CHECKS);
}

static void charge_check(Peer *p, const Record *record, DirectoryVerdict verdict, bool pulled) {
        Gossip *g = p->gossip;

        if (verdict == DIRECTORY_KNOWN)
                return;
        /* What we asked for is free if it is news: there is no end to what is none. */
        if (!pulled || (verdict != DIRECTORY_NEWS && verdict != DIRECTORY_LOST))
                gossip_charge(g, p->account, BUDGET_CHECKS, 1);
        /* Only what it has signed itself: forgeries by others shall not use up its turn. */
        if (verdict == DIRECTORY_NEWS && record->body.kind == RECORD_PRESENCE)
                gossip_charge(g, gossip_account(g, &record->body.machine), BUDGET_PRESENCE, 1);
}

static void on_held_presence(void *userdata);

/* Too many of its presence records. Its own link is believed that this one is the newest, and it is
 * looked at when there is time; from elsewhere it comes again with a digest. */
static void put_off(Peer *p, Record *record) {
        Gossip *g = p->gossip;

        p->differs = true;
        if (record->body.kind != RECORD_PRESENCE || !machine_id_equal(&record->body.machine, &p->id) ||
            (p->held && p->held->body.version >= record->body.version))
                return;
        g_clear_pointer(&p->held, record_unref);
        p->held = record_ref(record);
        if (!timer_is_set(&p->held_timer))
                timer_set(g->env->timers, &p->held_timer,
                          MAX(gossip_can_pay_at(g, p->account, BUDGET_PRESENCE),
                              gossip_can_pay_at(g, p->account, BUDGET_CHECKS)),
                          on_held_presence, p);
}

typedef struct Taken {
        bool forged;
        bool useful;
} Taken;

/* Offers one record. The directory may tell observers, who may end the link: @p is not used
 * afterwards unless it is still there. */
static Taken take_record(Peer *p, Record *record) {
        Gossip *g = p->gossip;
        uint64_t hash = read_le64(record->hash);
        MachineId sender = p->id;
        TrustVerdict trust = TRUST_OK;
        DirectoryVerdict verdict;

        g->pulled = gossip_note_answer(p, hash);
        if (!can_check(p, record)) {
                put_off(p, record);
                return (Taken){};
        }
        verdict = (DirectoryVerdict) directory_offer(g->directory, record, false, &trust);
        p = g_tree_lookup(g->peers, &sender);
        if (p)
                charge_check(p, record, verdict, g->pulled);
        switch (verdict) {
        case DIRECTORY_NEWS:
        case DIRECTORY_LOST:
                return (Taken){ .useful = true };
        case DIRECTORY_WAITING:
                break;
        case DIRECTORY_KNOWN:
        case DIRECTORY_REFUSED:
                if (!directory_by_hash(g->directory, hash))
                        gossip_note_useless(g, hash);
                break;
        }
        return (Taken){ .forged = trust == TRUST_FORGED };
}

static void on_held_presence(void *userdata) {
        Peer *p = userdata;
        Gossip *g = p->gossip;
        MachineId sender = p->id;
        g_autoptr(Record) record = TAKE_PTR(p->held);

        gossip_begin_reading(g, &sender);
        (void) take_record(p, record);
        gossip_end_reading(g);
}

static void note_forgery(Peer *p) {
        Account *a = p->account;

        if (++a->forgeries < FORGERIES_MAX)
                return;
        a->forgeries = 0;
        a->deaf_until = usec_add(env_now(p->gossip->env), DEAF_USEC);
}

static bool is_deaf(const Peer *p) {
        return env_now(p->gossip->env) < p->account->deaf_until ||
               !gossip_can_pay(p->gossip, p->account, BUDGET_WASTE);
}

/* A revocation may end the very link it came by. */
static bool handle_records(Gossip *g, const MachineId *sender, const GossipMessage *m) {
        Peer *p = g_tree_lookup(g->peers, sender);
        bool useful = false;

        p->differs = true;
        gossip_begin_reading(g, sender);
        for (unsigned i = 0; p && !is_deaf(p) && i < m->records->len; i++) {
                Taken taken = take_record(p, m->records->pdata[i]);

                useful |= taken.useful;
                p = g_tree_lookup(g->peers, sender);
                if (p && taken.forged)
                        note_forgery(p);
        }
        gossip_end_reading(g);
        p = g_tree_lookup(g->peers, sender);
        if (p)
                gossip_go_on_wanting(p);
        return useful;
}

static bool handle(Gossip *g, const MachineId *sender, const GossipMessage *m) {
        Peer *p = g_tree_lookup(g->peers, sender);

        switch (m->op) {
        case GOSSIP_DIGEST:
                return handle_digest(p, m);
        case GOSSIP_HAVE:
                handle_have(p, m);
                return true;
        case GOSSIP_RECORDS:
                return handle_records(g, sender, m);
        case GOSSIP_WANT:
                return handle_want(p, m);
        case _GOSSIP_OP_MAX:
                break;
        }
        return false;
}

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        Gossip *g = userdata;
        _cleanup_(gossip_message_clear) GossipMessage m = {};
        Peer *p = g_tree_lookup(g->peers, sender);
        MachineId id = *sender;

        if (!p || is_deaf(p) || !gossip_may_talk(g, sender))
                return;
        p->last_heard = env_now(g->env);
        if (gossip_message_decode(data, len, &m, NULL) < 0 || !handle(g, &id, &m))
                gossip_charge(g, gossip_account(g, &id), BUDGET_WASTE, gossip_kib(len));
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
        if ((used || p->differs) && is_due(p) && gossip_may_talk(g, &p->id))
                gossip_send_digest(p);
}

static void peer_free(void *data) {
        Peer *p = data;

        gossip_forget_wanted(p);
        timer_clear(&p->digest_timer);
        timer_clear(&p->held_timer);
        g_clear_pointer(&p->held, record_unref);
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
                p->account = gossip_account(g, machine);
                g_tree_insert(g->peers, &p->id, p);
        } else
                gossip_forget_wanted(p); /* it has forgotten what we asked it */
        p->agreed = 0;
        p->last_tick = env_now(g->env);
        arm_tick(p);
        if (gossip_may_talk(g, machine))
                gossip_send_digest(p);
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
                .accounts = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free),
                .asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .useless = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .news = g_array_new(FALSE, FALSE, sizeof(News)),
                .held = g_ptr_array_new(),
        };
        directory_on_taken(directory, gossip_note_news, g);
        if (ops->on_channel(provider->self, GOSSIP_CHANNEL, on_data, NULL, g) < 0 ||
            ops->on_link_state(provider->self, on_link_state, g) < 0)
                return gossip_free(g);
        return g;
}

void gossip_clock_changed(Gossip *g) {
        g_hash_table_remove_all(g->useless);
        for (GTreeNode *n = g_tree_node_first(g->peers); n; n = g_tree_node_next(n)) {
                Peer *p = g_tree_node_value(n);

                if (gossip_may_talk(g, &p->id))
                        gossip_send_digest(p);
        }
}

Gossip *gossip_free(Gossip *g) {
        const ChannelOps *ops;

        if (!g)
                return NULL;
        ops = g->provider->ops;
        (void) ops->on_link_state(g->provider->self, NULL, g);
        (void) ops->off_channel(g->provider->self, GOSSIP_CHANNEL);
        directory_on_taken(g->directory, NULL, NULL);
        gossip_free_news(g);
        g_tree_unref(g->peers);
        gossip_free_accounts(g);
        g_hash_table_unref(g->asked);
        g_hash_table_unref(g->useless);
        g_free(g);
        return NULL;
}
