/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/endpoint-book.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"

/* A commit costs the disk a flush: changes of a while go in one. */
#define STORE_DELAY USEC_PER_MINUTE

typedef struct Entry {
        MachineId machine; /* the key */
        unsigned n_hints;
        Endpoint hints[HINTS_PER_MACHINE_MAX];
        unsigned n_resolved;
        Endpoint resolved[RESOLVED_MAX];
        Endpoint reached;
        bool dirty;
} Entry;

struct EndpointBook {
        const MeshEnv *env;
        const MeshStore *store;
        GHashTable *entries;
        const Directory *members;
        GPtrArray *dirty; /* entries to be stored */
        GArray *gone;     /* of MachineId: to be deleted in the store, before the dirty are put */
        unsigned n_hinted;
        Timer timer;
};

static Entry *get_entry(EndpointBook *b, const MachineId *machine) {
        Entry *e = g_hash_table_lookup(b->entries, machine);

        if (e || g_hash_table_size(b->entries) >= MACHINES_MAX)
                return e;
        e = NEW(Entry);
        e->machine = *machine;
        g_hash_table_insert(b->entries, &e->machine, e);
        return e;
}

static bool is_member(const EndpointBook *b, const MachineId *machine) {
        return directory_certificate(b->members, machine) != NULL;
}

static void on_timer(void *userdata);

static void write_later(EndpointBook *b) {
        if (b->store && !timer_is_set(&b->timer))
                timer_set(b->env->timers, &b->timer, usec_add(env_now(b->env), STORE_DELAY),
                          on_timer, b);
}

static void on_stored_endpoint(void *userdata, const MachineId *machine, const Endpoint *endpoint) {
        EndpointBook *b = userdata;
        Entry *e;

        if (!is_member(b, machine)) {
                g_array_append_val(b->gone, *machine);
                return;
        }
        e = get_entry(b, machine);
        if (e && endpoint_is_usable(endpoint))
                e->reached = *endpoint;
}

EndpointBook *endpoint_book_new(const MeshEnv *env, const MeshStore *store, const Directory *members) {
        EndpointBook *b = NEW(EndpointBook);

        b->env = env;
        b->store = store;
        b->members = members;
        b->entries = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free);
        b->dirty = g_ptr_array_new();
        b->gone = g_array_new(false, false, sizeof(MachineId));
        /* Without them we only start with fewer candidates. */
        if (store)
                (void) store->ops->foreach_endpoint(store->self, on_stored_endpoint, b);
        if (b->gone->len > 0)
                write_later(b);
        return b;
}

/* A failure is not worth a retry: the next change writes again, the next start deletes again, and
 * it is only a hint. */
static void write_changes(EndpointBook *b) {
        const MeshStoreOps *ops = b->store ? b->store->ops : NULL;
        int r = 0;

        timer_clear(&b->timer);
        if (ops && b->dirty->len + b->gone->len > 0 && ops->begin(b->store->self) >= 0) {
                for (unsigned i = 0; i < b->gone->len && r >= 0; i++)
                        r = ops->delete_endpoint(
                                        b->store->self, &g_array_index(b->gone, MachineId, i));
                for (unsigned i = 0; i < b->dirty->len && r >= 0; i++) {
                        const Entry *e = b->dirty->pdata[i];

                        r = ops->put_endpoint(b->store->self, &e->machine, &e->reached);
                }
                if (r < 0)
                        ops->rollback(b->store->self);
                else
                        (void) ops->commit(b->store->self);
        }
        for (unsigned i = 0; i < b->dirty->len; i++)
                ((Entry *) b->dirty->pdata[i])->dirty = false;
        g_ptr_array_set_size(b->dirty, 0);
        g_array_set_size(b->gone, 0);
}

static void on_timer(void *userdata) {
        write_changes(userdata);
}

EndpointBook *endpoint_book_free(EndpointBook *b) {
        if (!b)
                return NULL;
        write_changes(b);
        g_ptr_array_unref(b->dirty);
        g_array_unref(b->gone);
        g_hash_table_unref(b->entries);
        g_free(b);
        return NULL;
}

void endpoint_book_add_hint(EndpointBook *b, const MachineId *machine, const Endpoint *endpoint) {
        Entry *e;

        if (!endpoint_is_usable(endpoint))
                return;
        e = get_entry(b, machine);
        if (!e || (e->n_hints == 0 && b->n_hinted >= HINTED_MACHINES_MAX))
                return;
        for (unsigned i = 0; i < e->n_hints; i++)
                if (endpoint_equal(&e->hints[i], endpoint))
                        return;
        if (e->n_hints == 0)
                b->n_hinted++;
        if (e->n_hints == HINTS_PER_MACHINE_MAX)
                /* The newest of many is the likeliest to be true. */
                e->n_hints--;
        for (unsigned i = e->n_hints; i > 0; i--)
                e->hints[i] = e->hints[i - 1];
        e->hints[0] = *endpoint;
        e->n_hints++;
}

unsigned endpoint_book_set_resolved(
                EndpointBook *b,
                const MachineId *machine,
                const Endpoint *endpoints,
                unsigned n,
                Endpoint ret_former[static RESOLVED_MAX],
                bool *ret_is_new) {
        Entry *e = get_entry(b, machine);
        unsigned n_former = e ? e->n_resolved : 0;

        assert(n <= RESOLVED_MAX);
        *ret_is_new = false;
        if (!e)
                return 0;
        memcpy(ret_former, e->resolved, n_former * sizeof e->resolved[0]);
        for (unsigned i = 0; i < n; i++)
                *ret_is_new |= !endpoint_is_among(&endpoints[i], ret_former, n_former);
        memcpy(e->resolved, endpoints, n * sizeof endpoints[0]);
        e->n_resolved = n;
        return n_former;
}

bool endpoint_book_has_hint(const EndpointBook *b, const MachineId *machine) {
        const Entry *e = g_hash_table_lookup(b->entries, machine);

        return e && e->n_hints > 0;
}

bool endpoint_book_knows(const EndpointBook *b, const MachineId *machine) {
        const Entry *e = g_hash_table_lookup(b->entries, machine);

        return e && (e->n_hints + e->n_resolved > 0 || endpoint_is_set(&e->reached));
}

void endpoint_book_reached(EndpointBook *b, const MachineId *machine, const Endpoint *endpoint) {
        Entry *e = is_member(b, machine) ? get_entry(b, machine) : NULL;

        /* The number of an interface means nothing in the next life. */
        if (!e || endpoint_is_link_local(endpoint) || endpoint_equal(&e->reached, endpoint))
                return;
        e->reached = *endpoint;
        e->reached.local = (IpAddr){}; /* the path's affair */
        if (!b->store || e->dirty)
                return;
        e->dirty = true;
        g_ptr_array_add(b->dirty, e);
        write_later(b);
}

void endpoint_book_forget(EndpointBook *b, const MachineId *machine) {
        Entry *e = g_hash_table_lookup(b->entries, machine);

        if (!e)
                return;
        if (endpoint_is_set(&e->reached) && b->store) {
                g_array_append_val(b->gone, e->machine);
                write_later(b);
        }
        if (e->dirty)
                g_ptr_array_remove(b->dirty, e);
        b->n_hinted -= e->n_hints > 0;
        g_hash_table_remove(b->entries, machine);
}

void endpoint_book_fill(
                const EndpointBook *b,
                const MachineId *machine,
                bool streams,
                PathSet *paths,
                usec_t now) {
        const Entry *e = g_hash_table_lookup(b->entries, machine);

        if (!e)
                return;
        for (unsigned i = 0; i < e->n_hints; i++)
                if (streams || !endpoint_is_stream(&e->hints[i]))
                        path_set_add(paths, PATH_HINT, &e->hints[i], now);
        for (unsigned i = 0; i < e->n_resolved; i++)
                path_set_add(paths, PATH_HINT, &e->resolved[i], now);
        if (endpoint_is_set(&e->reached))
                path_set_add(paths, PATH_STORED, &e->reached, now);
}
