/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gateway/exit.h"

#include <string.h>

#include "base/limits.h"

/* Elements in one batch: what a socket takes in one message, and the kernel in a short while. */
#define MEMBERS_A_BATCH 4096U

typedef struct Count {
        ExitUsage before; /* by tables that are gone */
        ExitUsage now;    /* by this one, as read last */
} Count;

struct Exit {
        Nft *nft;
        ExitRules rules; /* what the table is made of; members apart */
        bool is_made;
        GHashTable *members;              /* IpAddr -> Count: who is in the table */
        uint64_t refused[2], too_many[2]; /* before, now */
};

/* --- addresses as keys --- */

static guint address_hash(gconstpointer p) {
        const IpAddr *a = p;
        uint32_t h = a->family;

        for (size_t i = 0; i < ip_size(a); i += 4)
                h = h * 31 + read_be32(a->bytes + i);
        return h;
}

static gboolean address_equal(gconstpointer a, gconstpointer b) {
        return ip_equal(a, b);
}

/* --- the table --- */

static void copy_rules(ExitRules *to, const ExitRules *from) {
        exit_rules_clear(to);
        *to = *from;
        to->members = g_array_new(FALSE, FALSE, sizeof(IpAddr));
        to->grants = g_array_copy(from->grants);
        to->links = g_array_copy(from->links);
}

/* @change: exit_rules_put_members() or exit_rules_delete_members() */
static int
change_members(Exit *e, const GArray *addresses, void (*change)(NftBatch *b, const GArray *a)) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < addresses->len; i += MEMBERS_A_BATCH) {
                _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(e->nft->table);
                g_autoptr(GArray) some = g_array_new(FALSE, FALSE, sizeof(IpAddr));

                g_array_append_vals(
                                some, &g_array_index(addresses, IpAddr, i),
                                MIN(MEMBERS_A_BATCH, addresses->len - i));
                change(b, some);
                r = e->nft->ops->commit(e->nft, b);
        }
        return r;
}

static int add_members(Exit *e, const GArray *addresses) {
        int r = change_members(e, addresses, exit_rules_put_members);

        for (unsigned i = 0; r >= 0 && i < addresses->len; i++)
                g_hash_table_insert(
                                e->members,
                                g_memdup2(&g_array_index(addresses, IpAddr, i), sizeof(IpAddr)),
                                NEW(Count));
        return r;
}

/* Where that fails the table is not what it is thought to be, and is made anew. */
static void remove_members(Exit *e, const GArray *addresses) {
        if (e->is_made && change_members(e, addresses, exit_rules_delete_members) < 0)
                e->is_made = false;
        for (unsigned i = 0; i < addresses->len; i++)
                g_hash_table_remove(e->members, &g_array_index(addresses, IpAddr, i));
}

static void add_usage(ExitUsage *to, const ExitUsage *from) {
        to->packets_out += from->packets_out;
        to->bytes_out += from->bytes_out;
        to->packets_in += from->packets_in;
        to->bytes_in += from->bytes_in;
}

/* Counters begin at nought with the table. */
static void keep_usage(Exit *e) {
        GHashTableIter i;
        gpointer value;

        (void) exit_read_usage(e);
        (void) exit_read_refused(e);
        g_hash_table_iter_init(&i, e->members);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                Count *c = value;

                add_usage(&c->before, &c->now);
                c->now = (ExitUsage){};
        }
        e->refused[0] += e->refused[1];
        e->too_many[0] += e->too_many[1];
        e->refused[1] = e->too_many[1] = 0;
}

static GArray *all_members(const Exit *e) {
        GArray *all = g_array_new(FALSE, FALSE, sizeof(IpAddr));
        GHashTableIter i;
        gpointer key;

        g_hash_table_iter_init(&i, e->members);
        while (g_hash_table_iter_next(&i, &key, NULL))
                g_array_append_vals(all, key, 1);
        return all;
}

/* All of it, in one step; who is a member after it. */
static int make(Exit *e, const ExitRules *rules) {
        _cleanup_(nft_batch_freep) NftBatch *b = nft_batch_new(e->nft->table);
        g_autoptr(GArray) members = NULL;
        int there = e->nft->ops->is_there(e->nft), r;

        if (there < 0)
                return there;
        if (there > 0)
                keep_usage(e);
        exit_rules_put(b, rules, there > 0);
        r = e->nft->ops->commit(e->nft, b);
        if (r < 0)
                return r;
        e->is_made = true;
        members = all_members(e);
        return change_members(e, members, exit_rules_put_members);
}

/* Who is in @wanted and not in the table, and the reverse. */
static void find_differences(const Exit *e, const GArray *wanted, GArray *ret_come, GArray *ret_gone) {
        g_autoptr(GHashTable) set = g_hash_table_new(address_hash, address_equal);
        GHashTableIter i;
        gpointer key;

        for (unsigned k = 0; k < wanted->len; k++) {
                IpAddr *a = &g_array_index(wanted, IpAddr, k);

                if (g_hash_table_add(set, a) && !g_hash_table_contains(e->members, a))
                        g_array_append_vals(ret_come, a, 1);
        }
        g_hash_table_iter_init(&i, e->members);
        while (g_hash_table_iter_next(&i, &key, NULL))
                if (!g_hash_table_contains(set, key))
                        g_array_append_vals(ret_gone, key, 1);
}

int exit_apply(Exit *e, const ExitRules *rules) {
        g_autoptr(GArray) come = g_array_new(FALSE, FALSE, sizeof(IpAddr));
        g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(IpAddr));
        int r;

        find_differences(e, rules->members, come, gone);
        /* Who may not any more goes first, whatever else there is to do. */
        remove_members(e, gone);
        if (!e->is_made || !exit_rules_same(&e->rules, rules)) {
                r = make(e, rules);
                if (r < 0)
                        return r;
                copy_rules(&e->rules, rules);
        }
        return add_members(e, come);
}

int exit_check(Exit *e) {
        int r;

        if (!e->is_made)
                return 0;
        r = e->nft->ops->is_there(e->nft);
        return r == 0 ? make(e, &e->rules) : MIN(r, 0);
}

/* --- counters --- */

static int read_side(Exit *e, const NftSet *set, bool back) {
        g_autoptr(GArray) usage = NULL;
        int r = e->nft->ops->read_set(e->nft, set->name, set->family, &usage);

        for (unsigned i = 0; r >= 0 && i < usage->len; i++) {
                const NftUsage *u = &g_array_index(usage, NftUsage, i);
                Count *c = g_hash_table_lookup(e->members, &u->address);

                if (c && back) {
                        c->now.packets_in = u->packets;
                        c->now.bytes_in = u->bytes;
                } else if (c) {
                        c->now.packets_out = u->packets;
                        c->now.bytes_out = u->bytes;
                }
        }
        return r;
}

int exit_read_usage(Exit *e) {
        static const int families[] = { AF_INET, AF_INET6 };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(families); i++) {
                r = read_side(e, exit_rules_members(families[i]), false);
                if (r >= 0)
                        r = read_side(e, exit_rules_back(families[i]), true);
        }
        return r;
}

int exit_read_refused(Exit *e) {
        int r = e->nft->ops->read_counter(e->nft, EXIT_COUNTER_REFUSED, &e->refused[1]);

        return r < 0 ? r : e->nft->ops->read_counter(e->nft, EXIT_COUNTER_FLOWS, &e->too_many[1]);
}

ExitUsage exit_usage(const Exit *e, const IpAddr *member) {
        const Count *c = g_hash_table_lookup(e->members, member);
        ExitUsage sum = {};

        if (c) {
                add_usage(&sum, &c->before);
                add_usage(&sum, &c->now);
        }
        return sum;
}

uint64_t exit_refused(const Exit *e) {
        return e->refused[0] + e->refused[1];
}

uint64_t exit_too_many(const Exit *e) {
        return e->too_many[0] + e->too_many[1];
}

/* --- life --- */

Exit *exit_new(Nft *nft) {
        Exit *e = NEW(Exit);

        e->nft = nft;
        exit_rules_init(&e->rules);
        e->members = g_hash_table_new_full(address_hash, address_equal, g_free, g_free);
        return e;
}

Exit *exit_free(Exit *e) {
        if (!e)
                return NULL;
        nft_free(e->nft);
        exit_rules_clear(&e->rules);
        g_hash_table_unref(e->members);
        g_free(e);
        return NULL;
}
