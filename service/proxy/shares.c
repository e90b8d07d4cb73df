/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proxy/shares.h"

#include <glib.h>

#include "base/macros.h"

/* Address -> how many, while there are some: no more entries than connections. */
struct Shares {
        GHashTable *counts;
};

/* Nobody chooses addresses that collide: they are leased, or computed from a key. */
static unsigned address_hash(const void *key) {
        const IpAddr *a = key;
        unsigned h = a->family;

        for (size_t i = 0; i < sizeof a->bytes; i++)
                h = h * 31 + a->bytes[i];
        return h;
}

static int address_equal(const void *a, const void *b) {
        return ip_equal(a, b);
}

Shares *shares_new(void) {
        Shares *s = NEW(Shares);

        s->counts = g_hash_table_new_full(address_hash, address_equal, g_free, NULL);
        return s;
}

Shares *shares_free(Shares *s) {
        if (s) {
                g_hash_table_unref(s->counts);
                g_free(s);
        }
        return NULL;
}

static unsigned count_of(const Shares *s, const IpAddr *address) {
        return GPOINTER_TO_UINT(g_hash_table_lookup(s->counts, address));
}

bool shares_take(Shares *s, const IpAddr *address, unsigned left) {
        unsigned own = count_of(s, address);

        if (own >= left)
                return false;
        g_hash_table_replace(
                        s->counts, g_memdup2(address, sizeof *address), GUINT_TO_POINTER(own + 1));
        return true;
}

void shares_give(Shares *s, const IpAddr *address) {
        unsigned own = count_of(s, address);

        if (own > 1)
                g_hash_table_replace(
                                s->counts, g_memdup2(address, sizeof *address),
                                GUINT_TO_POINTER(own - 1));
        else
                g_hash_table_remove(s->counts, address);
}
