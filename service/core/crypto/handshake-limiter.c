/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/handshake-limiter.h"

#include <string.h>

#include "base/limits.h"
#include "base/machine-id.h"
#include "base/macros.h"
#include "base/ratelimit.h"

/*
 * The buckets are kept in the order in which they can be forgotten. A full bucket says nothing that
 * a new one would not, so the first of the row are the ones to go: a few with each message, so that
 * memory shrinks again after a flood, and the very first where the table is full, even if it was
 * not full itself yet (what then slips through is bounded by the cookies).
 *
 * A bucket is made only for a message that is let through: how many ports of one address are
 * remembered is bounded by the two buckets that all of them share.
 */

#define FORGET_EACH_TIME 2U

typedef enum Account {
        ACCOUNT_UNPROVEN, /* an address */
        ACCOUNT_PORT,     /* a whole endpoint */
        ACCOUNT_QUIET,    /* an address: its ports that had been quiet */
        ACCOUNT_BUSY,     /* an address: its ports that had not */
        _ACCOUNT_MAX,
} Account;

static const struct {
        unsigned per_second, burst;
} rates[] = {
        [ACCOUNT_UNPROVEN] = { HANDSHAKES_PER_SECOND, HANDSHAKES_BURST },
        [ACCOUNT_PORT] = { HANDSHAKES_PER_PORT, HANDSHAKES_BURST },
        [ACCOUNT_QUIET] = { HANDSHAKES_PER_ADDRESS, HANDSHAKES_PER_ADDRESS / 4 },
        [ACCOUNT_BUSY] = { HANDSHAKES_PER_ADDRESS, HANDSHAKES_PER_ADDRESS / 4 },
};
static_assert(ELEMENTSOF(rates) == _ACCOUNT_MAX, "a rate for every kind of account");

/* What a bucket belongs to, padded to the size of a machine id to be hashed like one: with a secret
 * key of this process, since the sources are chosen by strangers. */
typedef struct Source {
        MachineId key;
        RateLimit bucket;
        usec_t trusted_until; /* ACCOUNT_PORT; 0: never */
        usec_t forget_at;
        GSequenceIter *place; /* in by_time */
} Source;

struct HandshakeLimiter {
        GHashTable *sources; /* MachineId* inside Source -> Source, owned */
        GSequence *by_time;  /* Source*, by forget_at */
        /* When the last messages came: one more than may come in a second. */
        usec_t recent[HANDSHAKES_UNDER_LOAD + 1];
        unsigned n_recent, next_recent;
};

static void source_destroy(void *p) {
        Source *s = p;

        g_sequence_remove(s->place);
        g_free(s);
}

HandshakeLimiter *handshake_limiter_new(void) {
        HandshakeLimiter *l = NEW(HandshakeLimiter);

        l->sources = g_hash_table_new_full(
                        machine_id_hash, machine_id_hash_equal, NULL, source_destroy);
        l->by_time = g_sequence_new(NULL);
        return l;
}

HandshakeLimiter *handshake_limiter_free(HandshakeLimiter *l) {
        if (!l)
                return NULL;
        g_hash_table_unref(l->sources);
        g_sequence_free(l->by_time);
        g_free(l);
        return NULL;
}

static MachineId source_key(Account account, const Endpoint *from) {
        uint8_t wire[ENDPOINT_WIRE_MAX];
        size_t n = endpoint_encode(from, wire);
        MachineId key = { .bytes[0] = (uint8_t) account };

        /* Family and address without the port; of IPv6 the /64, which is what one subscriber
         * has (RFC 6177). */
        if (account != ACCOUNT_PORT)
                n = from->sa.sa_family == AF_INET6 ? 1 + 8 : 1 + 4;
        memcpy(key.bytes + 1, wire, n);
        return key;
}

static int compare_times(const void *a, const void *b, void *userdata) {
        usec_t x = ((const Source *) a)->forget_at, y = ((const Source *) b)->forget_at;

        return x < y ? -1 : x > y;
}

static Source *first_source(HandshakeLimiter *l) {
        GSequenceIter *first = g_sequence_get_begin_iter(l->by_time);

        return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}

static void forget_full(HandshakeLimiter *l, usec_t now) {
        for (unsigned i = 0; i < FORGET_EACH_TIME; i++) {
                Source *s = first_source(l);

                if (!s || s->forget_at > now)
                        return;
                g_hash_table_remove(l->sources, &s->key);
        }
}

static Source *find_source(HandshakeLimiter *l, Account account, const Endpoint *from) {
        MachineId key = source_key(account, from);

        return g_hash_table_lookup(l->sources, &key);
}

static Source *get_source(HandshakeLimiter *l, Account account, const Endpoint *from) {
        Source *s = find_source(l, account, from);

        if (s)
                return s;
        if (g_hash_table_size(l->sources) >= RATELIMIT_SOURCES_MAX)
                g_hash_table_remove(l->sources, &first_source(l)->key);
        s = NEW(Source);
        s->key = source_key(account, from);
        s->bucket = (RateLimit){
                .interval = USEC_PER_SEC / rates[account].per_second,
                .burst = rates[account].burst,
        };
        g_hash_table_insert(l->sources, &s->key, s);
        s->place = g_sequence_insert_sorted(l->by_time, s, compare_times, NULL);
        return s;
}

static void sort_in(Source *s) {
        s->forget_at = MAX(s->bucket.full_at, s->trusted_until);
        g_sequence_sort_changed(s->place, compare_times, NULL);
}

static bool take(HandshakeLimiter *l, Account account, const Endpoint *from, usec_t now) {
        Source *s = get_source(l, account, from);

        if (!ratelimit_take(&s->bucket, now))
                return false;
        sort_in(s);
        return true;
}

void handshake_limiter_count(HandshakeLimiter *l, usec_t now) {
        l->recent[l->next_recent] = now;
        l->next_recent = (l->next_recent + 1) % ELEMENTSOF(l->recent);
        l->n_recent = MIN(l->n_recent + 1, (unsigned) ELEMENTSOF(l->recent));
}

bool handshake_limiter_under_load(HandshakeLimiter *l, usec_t now) {
        /* The oldest of the ring stands where the next will be written. */
        return l->n_recent == ELEMENTSOF(l->recent) &&
               usec_sub(now, l->recent[l->next_recent]) < USEC_PER_SEC;
}

bool handshake_limiter_take_unproven(HandshakeLimiter *l, const Endpoint *from, usec_t now) {
        forget_full(l, now);
        return take(l, ACCOUNT_UNPROVEN, from, now);
}

bool handshake_limiter_take_proven(HandshakeLimiter *l, const Endpoint *from, usec_t now) {
        const Source *port;
        bool is_quiet;

        forget_full(l, now);
        port = find_source(l, ACCOUNT_PORT, from);
        if (port && !ratelimit_has(&port->bucket, now))
                return false;
        is_quiet = !port || port->bucket.full_at <= now;
        if ((!port || port->trusted_until <= now) &&
            !take(l, is_quiet ? ACCOUNT_QUIET : ACCOUNT_BUSY, from, now))
                return false;
        return take(l, ACCOUNT_PORT, from, now);
}

void handshake_limiter_trust(HandshakeLimiter *l, const Endpoint *from, usec_t now) {
        Source *port = find_source(l, ACCOUNT_PORT, from);

        /* Only who has proved to be there has one: an initiation that somebody sends on for a
         * member, with another source, makes nobody trusted. */
        if (!port)
                return;
        port->trusted_until = usec_add(now, HANDSHAKE_TRUST_USEC);
        sort_in(port);
}

unsigned handshake_limiter_size(const HandshakeLimiter *l) {
        return g_hash_table_size(l->sources);
}
