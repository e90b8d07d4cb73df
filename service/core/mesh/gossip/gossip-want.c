/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is asked of whom. A record crosses one link and not all of them: what was asked of one is
 * not asked of the next as long as the first is answering. One who announces and does not send
 * delays nobody: after a moment the next who has it is asked; and who stays silent is asked less
 * and less often.
 */
#include "base/macros.h"
#include "core/mesh/gossip/gossip-internal.h"

/* Somebody asked who sends nothing for this long: the next who has it is asked as well. A message
 * of records takes as long over 100 kbit/s. */
#define WANT_PATIENCE (5 * USEC_PER_SEC)
#define WANT_TIMEOUT (10 * USEC_PER_SEC)
/* Hashes noted to be asked of one link, 128 KiB; the rest with the next digest. */
#define WANTED_MAX 16384U
/* Who was silent is not asked for so long, twice as long each time. */
#define SILENCE_MIN (10 * USEC_PER_SEC)
#define SILENCE_MAX (30 * USEC_PER_MINUTE)
/* Hashes of records that were no use to us, not to be asked for again each minute. */
#define USELESS_MAX 4096U
#define USELESS_USEC (30 * USEC_PER_MINUTE)

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

void gossip_forget_wanted(Peer *p) {
        forget_asked(p);
        g_clear_pointer(&p->wanted, g_array_unref);
        p->wanted_overflow = false;
}

static bool is_wanted(Gossip *g, const uint64_t *hash) {
        return !directory_by_hash(g->directory, *hash) && !g_hash_table_contains(g->useless, hash);
}

/* Whether what @p was asked for is still likely to come from there. */
static bool is_answering(const Peer *p) {
        usec_t now = env_now(p->gossip->env);

        return now < p->asked_heard + WANT_PATIENCE && now < p->asked_at + WANT_TIMEOUT;
}

static void want_next(Peer *p);

/* It had announced all of it. */
static void note_silence(Peer *p) {
        Account *a = p->account;
        usec_t pause = MIN(SILENCE_MIN << MIN(a->silences, 10U), SILENCE_MAX);

        a->silences++;
        a->ask_after = usec_add(env_now(p->gossip->env), pause);
        gossip_forget_wanted(p);
        p->differs = true;
}

static void on_want_timer(void *userdata) {
        Peer *p = userdata;

        /* Some of what it had may have been replaced meanwhile; that much is no reason to stop. */
        if (!p->asked || p->asked_progress)
                want_next(p);
        else
                note_silence(p);
}

static void arm_want_timer(Peer *p, usec_t delay) {
        const MeshEnv *env = p->gossip->env;

        timer_set(env->timers, &p->asked_timer, usec_add(env_now(env), delay), on_want_timer, p);
}

/* Moves the next portion from @wanted to @asked. What another is answering stays in @wanted. */
static void fill_portion(Peer *p) {
        Gossip *g = p->gossip;
        unsigned n = p->wanted->len, next;

        for (next = 0; next < n && p->asked->len < WANT_MAX; next++) {
                uint64_t hash = g_array_index(p->wanted, uint64_t, next);
                const Peer *other = g_hash_table_lookup(g->asked, &hash);

                if (!is_wanted(g, &hash) || other == p)
                        continue;
                if (other && is_answering(other)) {
                        g_array_append_val(p->wanted, hash);
                        continue;
                }
                g_array_append_val(p->asked, hash);
                g_hash_table_insert(g->asked, g_memdup2(&hash, sizeof(hash)), p);
        }
        g_array_remove_range(p->wanted, 0, next);
}

/* Asks for the next portion. */
static void want_next(Peer *p) {
        GossipMessage m = { .op = GOSSIP_WANT };
        bool overflow = p->wanted_overflow;

        forget_asked(p);
        p->asked = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        fill_portion(p);
        if (p->asked->len == 0 && p->wanted->len > 0) {
                forget_asked(p);
                arm_want_timer(p, WANT_PATIENCE);
                return;
        }
        if (p->asked->len == 0) {
                gossip_forget_wanted(p);
                if (overflow)
                        gossip_send_digest(p);
                return;
        }
        p->asked_open = p->asked->len;
        p->asked_progress = false;
        p->asked_at = p->asked_heard = env_now(p->gossip->env);
        arm_want_timer(p, WANT_TIMEOUT);
        m.hashes = g_array_ref(p->asked);
        gossip_send(p, &m);
        gossip_message_clear(&m);
}

unsigned gossip_note_have(Peer *p, const GossipMessage *m) {
        Gossip *g = p->gossip;
        unsigned noted = 0;

        if (env_now(g->env) < p->account->ask_after) {
                p->differs = true;
                return 0;
        }
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
                noted++;
        }
        p->differs |= p->wanted->len > 0;
        /* While all of it is another's to send a long list is not gone through for every message. */
        if (!p->asked && (!timer_is_set(&p->asked_timer) || p->wanted->len <= WANT_MAX))
                want_next(p);
        return noted;
}

bool gossip_note_answer(Peer *p, uint64_t hash) {
        if (g_hash_table_lookup(p->gossip->asked, &hash) != p)
                return false;
        g_hash_table_remove(p->gossip->asked, &hash);
        p->asked_open--;
        p->asked_progress = true;
        p->asked_heard = env_now(p->gossip->env);
        return true;
}

void gossip_go_on_wanting(Peer *p) {
        if (!p->asked)
                return;
        if (p->asked_open <= p->asked->len / 2)
                p->account->silences = 0;
        if (p->asked_open == 0)
                want_next(p);
        else if (p->asked_progress)
                arm_want_timer(p, WANT_TIMEOUT);
}

void gossip_note_useless(Gossip *g, uint64_t hash) {
        usec_t now = env_now(g->env);

        if (g_hash_table_size(g->useless) >= USELESS_MAX ||
            usec_sub(now, g->useless_since) > USELESS_USEC) {
                g_hash_table_remove_all(g->useless);
                g->useless_since = now;
        }
        g_hash_table_add(g->useless, g_memdup2(&hash, sizeof(hash)));
}
