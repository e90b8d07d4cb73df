/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/handshake-limiter.h"

#include <string.h>

#include "base/limits.h"
#include "base/machine-id.h"
#include "base/macros.h"
#include "base/ratelimit.h"

/*
 * The buckets are kept in the order in which they will be full again. A full bucket says nothing
 * that a new one would not, so the first of the row are the ones to forget: a few with each
 * message, so that memory shrinks again after a flood, and the very first where the table is full,
 * even if it was not full itself yet (what then slips through is bounded by the cookies).
 */

#define FORGET_EACH_TIME 2U

/* A whole source, padded to the size of a machine id to be hashed like one: with a secret key of
 * this process, since the sources are chosen by strangers. */
typedef struct Source {
        MachineId key;
        RateLimit bucket;
        GSequenceIter *place; /* in by_time */
} Source;

struct HandshakeLimiter {
        GHashTable *sources; /* MachineId* inside Source -> Source, owned */
        GSequence *by_time;  /* Source*, by bucket.full_at */
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

static MachineId source_key(const Endpoint *from) {
        uint8_t wire[ENDPOINT_WIRE_MAX];
        MachineId key = {};

        /* Family and address without the port; of IPv6 the /64, which is what one subscriber
         * has (RFC 6177). */
        endpoint_encode(from, wire);
        memcpy(key.bytes, wire, from->sa.sa_family == AF_INET6 ? 1 + 8 : 1 + 4);
        return key;
}

static int compare_times(const void *a, const void *b, void *userdata) {
        usec_t x = ((const Source *) a)->bucket.full_at, y = ((const Source *) b)->bucket.full_at;

        return x < y ? -1 : x > y;
}

static Source *first_source(HandshakeLimiter *l) {
        GSequenceIter *first = g_sequence_get_begin_iter(l->by_time);

        return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}

static void forget_full(HandshakeLimiter *l, usec_t now) {
        for (unsigned i = 0; i < FORGET_EACH_TIME; i++) {
                Source *s = first_source(l);

                if (!s || s->bucket.full_at > now)
                        return;
                g_hash_table_remove(l->sources, &s->key);
        }
}

static Source *source_new(HandshakeLimiter *l, const MachineId *key) {
        Source *s;

        if (g_hash_table_size(l->sources) >= RATELIMIT_SOURCES_MAX)
                g_hash_table_remove(l->sources, &first_source(l)->key);
        s = NEW(Source);
        s->key = *key;
        s->bucket = (RateLimit){
                .interval = USEC_PER_SEC / HANDSHAKES_PER_SECOND,
                .burst = HANDSHAKES_BURST,
        };
        g_hash_table_insert(l->sources, &s->key, s);
        s->place = g_sequence_insert_sorted(l->by_time, s, compare_times, NULL);
        return s;
}

bool handshake_limiter_take(HandshakeLimiter *l, const Endpoint *from, usec_t now) {
        MachineId key = source_key(from);
        Source *s;

        l->recent[l->next_recent] = now;
        l->next_recent = (l->next_recent + 1) % ELEMENTSOF(l->recent);
        l->n_recent = MIN(l->n_recent + 1, (unsigned) ELEMENTSOF(l->recent));

        forget_full(l, now);
        s = g_hash_table_lookup(l->sources, &key) ?: source_new(l, &key);
        if (!ratelimit_take(&s->bucket, now))
                return false;
        g_sequence_sort_changed(s->place, compare_times, NULL);
        return true;
}

bool handshake_limiter_under_load(HandshakeLimiter *l, usec_t now) {
        /* The oldest of the ring stands where the next will be written. */
        return l->n_recent == ELEMENTSOF(l->recent) &&
               usec_sub(now, l->recent[l->next_recent]) < USEC_PER_SEC;
}

unsigned handshake_limiter_size(const HandshakeLimiter *l) {
        return g_hash_table_size(l->sources);
}
