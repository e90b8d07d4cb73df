/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vnet/route-table.h"

#include "base/macros.h"

/* Addresses the array covers at most: a /16, 512 KiB of which only touched pages exist. */
#define HOSTS_MAX 65536U

/*
 * What the control thread knows; packet threads never look here. Host routes inside the array
 * live in the array alone, all others in @prefixes, from which the ranges are built.
 */
struct RouteTableWriter {
        const MeshEnv *env;
        IpPrefix subnet;
        GTree *prefixes;     /* IpPrefix* (in the value) -> Entry* */
        GHashTable *by_peer; /* PacketPeer* -> GArray of IpPrefix, for route_table_remove_peer() */
        Timer flush_timer;
        bool dirty;
};

typedef struct Entry {
        RoutePrefix route;
        uintptr_t reserved; /* slot that comes back when the route goes; NONE: the entry goes */
} Entry;

/* Never a machine's address, whatever else is known. Class E (240/4) has no use either and is
 * one prefix with class D and the limited broadcast. */
static const struct {
        const char *prefix;
        uintptr_t slot;
} reserved[] = {
        { "0.0.0.0/8", ROUTE_SLOT_UNROUTABLE },      /* RFC 1122, 3.2.1.3 */
        { "127.0.0.0/8", ROUTE_SLOT_UNROUTABLE },    /* RFC 1122, 3.2.1.3 */
        { "169.254.0.0/16", ROUTE_SLOT_UNROUTABLE }, /* RFC 3927, 7 */
        { "224.0.0.0/3", ROUTE_SLOT_MULTICAST },     /* RFC 5771, RFC 1112, RFC 919 */
        { "::/127", ROUTE_SLOT_UNROUTABLE },         /* unspecified and loopback, RFC 4291, 2.5 */
        { "fe80::/10", ROUTE_SLOT_UNROUTABLE },      /* RFC 4291, 2.5.6 */
        { "ff00::/8", ROUTE_SLOT_MULTICAST },        /* RFC 4291, 2.7 */
};

static PacketPeer *slot_pointer(uintptr_t slot) {
        return (PacketPeer *) slot;
}

static int compare_prefixes(const void *a, const void *b, void *userdata) {
        return route_prefix_compare(a, b);
}

static uint32_t subnet_hosts(const IpPrefix *subnet) {
        return UINT32_C(1) << (32 - subnet->len);
}

static void reserve(RouteTable *t, const IpPrefix *prefix, uintptr_t slot) {
        Entry *e = NEW(Entry);

        e->route = (RoutePrefix){ .prefix = *prefix, .value = slot_pointer(slot) };
        e->reserved = slot;
        g_tree_replace(t->writer->prefixes, &e->route.prefix, e);
}

static void reserve_all(RouteTable *t) {
        const IpPrefix *subnet = &t->writer->subnet;
        IpPrefix p;
        int r;

        for (unsigned i = 0; i < ELEMENTSOF(reserved); i++) {
                r = ip_prefix_parse(reserved[i].prefix, &p);
                assert(r == 0);
                reserve(t, &p, reserved[i].slot);
        }
        reserve(t, subnet, ROUTE_SLOT_NOBODY);
        p = (IpPrefix){ .addr = subnet->addr, .len = 32 };
        reserve(t, &p, ROUTE_SLOT_MULTICAST);
        p.addr = ip_from_v4(t->base + subnet_hosts(subnet) - 1);
        reserve(t, &p, ROUTE_SLOT_MULTICAST);
}

int route_table_new(const MeshEnv *env, const IpPrefix *subnet, RouteTable **ret) {
        RouteTable *t;

        if (subnet->addr.family != AF_INET || subnet->len < 8 || subnet->len > 30)
                return -EINVAL;
        t = NEW(RouteTable);
        t->base = ip_to_v4(&subnet->addr);
        t->size = MIN(subnet_hosts(subnet), HOSTS_MAX);
        t->host = g_malloc0(t->size * sizeof t->host[0]);
        t->writer = NEW(RouteTableWriter);
        t->writer->env = env;
        t->writer->subnet = *subnet;
        t->writer->prefixes = g_tree_new_full(compare_prefixes, NULL, NULL, g_free);
        t->writer->by_peer = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) g_array_unref);
        reserve_all(t);
        t->writer->dirty = true;
        route_table_flush(t);
        *ret = t;
        return 0;
}

static void destroy_read_side(void *object) {
        RouteTable *t = object;

        route_ranges_free(atomic_load_explicit(&t->ranges, memory_order_relaxed));
        g_free((void *) t->host);
        g_free(t);
}

RouteTable *route_table_free(RouteTable *t) {
        RouteTableWriter *w;

        if (!t)
                return NULL;
        w = TAKE_PTR(t->writer);
        timer_clear(&w->flush_timer);
        g_tree_unref(w->prefixes);
        g_hash_table_unref(w->by_peer);
        w->env->retire(w->env->userdata, t, destroy_read_side);
        g_free(w);
        return NULL;
}

/* --- control thread --- */

static gboolean collect(void *key, void *value, void *userdata) {
        g_ptr_array_add(userdata, &((Entry *) value)->route);
        return FALSE;
}

void route_table_flush(RouteTable *t) {
        RouteTableWriter *w = t->writer;
        RouteRanges *old;
        GPtrArray *all;

        timer_clear(&w->flush_timer);
        if (!w->dirty)
                return;
        w->dirty = false;
        all = g_ptr_array_sized_new((guint) g_tree_nnodes(w->prefixes));
        g_tree_foreach(w->prefixes, collect, all);
        old = atomic_exchange_explicit(&t->ranges, route_ranges_new(all), memory_order_acq_rel);
        g_ptr_array_unref(all);
        if (old)
                w->env->retire(w->env->userdata, old, route_ranges_free);
}

static void on_flush_timer(void *userdata) {
        route_table_flush(userdata);
}

/* A directory that arrives brings hundreds of changes in one turn: build once. */
static void set_dirty(RouteTable *t) {
        RouteTableWriter *w = t->writer;

        w->dirty = true;
        if (!timer_is_set(&w->flush_timer))
                timer_set(w->env->timers, &w->flush_timer, env_now(w->env), on_flush_timer, t);
}

static void peer_link(RouteTable *t, PacketPeer *peer, const IpPrefix *prefix) {
        GArray *list;

        if (!route_slot_is_peer(peer))
                return;
        list = g_hash_table_lookup(t->writer->by_peer, peer);
        if (!list) {
                list = g_array_sized_new(FALSE, FALSE, sizeof(IpPrefix), 2);
                g_hash_table_insert(t->writer->by_peer, peer, list);
        }
        g_array_append_val(list, *prefix);
}

static void peer_unlink(RouteTable *t, PacketPeer *peer, const IpPrefix *prefix) {
        GArray *list;

        if (!route_slot_is_peer(peer))
                return;
        list = g_hash_table_lookup(t->writer->by_peer, peer);
        for (guint i = 0; i < list->len; i++)
                if (route_prefix_compare(&g_array_index(list, IpPrefix, i), prefix) == 0) {
                        g_array_remove_index_fast(list, i);
                        break;
                }
        if (list->len == 0)
                g_hash_table_remove(t->writer->by_peer, peer);
}

/* Index of a host route in the array, or -1: its place is among the prefixes. */
static int64_t host_index(const RouteTable *t, const IpPrefix *prefix) {
        uint32_t i;

        if (prefix->addr.family != AF_INET || prefix->len != 32)
                return -1;
        i = ip_to_v4(&prefix->addr) - t->base;
        return i < t->size ? (int64_t) i : -1;
}

static bool prefix_is_valid(const RouteTable *t, const IpPrefix *prefix) {
        const IpPrefix *subnet = &t->writer->subnet;
        unsigned bits = ip_size(&prefix->addr) * 8;
        uint32_t host;

        if ((prefix->addr.family != AF_INET && prefix->addr.family != AF_INET6) || prefix->len > bits)
                return false;
        for (unsigned i = prefix->len; i < bits; i++)
                if (prefix->addr.bytes[i / 8] & (0x80 >> i % 8))
                        return false; /* host bits: which prefix is meant? */
        if (prefix->len != 32 || !ip_prefix_contains(subnet, &prefix->addr))
                return true;
        host = ip_to_v4(&prefix->addr) - t->base;
        return host != 0 && host != subnet_hosts(subnet) - 1;
}

static int set_slot(RouteTable *t, const IpPrefix *prefix, PacketPeer *slot) {
        RouteTableWriter *w = t->writer;
        PacketPeer *old = NULL;
        int64_t i;
        Entry *e;

        if (!prefix_is_valid(t, prefix))
                return -EINVAL;
        i = host_index(t, prefix);
        if (i >= 0) {
                old = atomic_load_explicit(&t->host[i], memory_order_relaxed);
                if (old == slot)
                        return 0;
                atomic_store_explicit(&t->host[i], slot, memory_order_release);
        } else {
                e = g_tree_lookup(w->prefixes, prefix);
                if (!e) {
                        e = NEW(Entry);
                        e->route.prefix = *prefix;
                        g_tree_insert(w->prefixes, &e->route.prefix, e);
                }
                old = e->route.value;
                if (old == slot)
                        return 0;
                e->route.value = slot;
                set_dirty(t);
        }
        peer_unlink(t, old, prefix);
        peer_link(t, slot, prefix);
        return 0;
}

int route_table_set(RouteTable *t, const IpPrefix *prefix, PacketPeer *peer) {
        return set_slot(t, prefix, peer ?: slot_pointer(ROUTE_SLOT_NOBODY));
}

int route_table_set_local(RouteTable *t, const IpPrefix *prefix) {
        return set_slot(t, prefix, slot_pointer(ROUTE_SLOT_LOCAL));
}

void route_table_remove(RouteTable *t, const IpPrefix *prefix) {
        RouteTableWriter *w = t->writer;
        PacketPeer *old;
        int64_t i;
        Entry *e;

        i = host_index(t, prefix);
        if (i >= 0) {
                old = atomic_load_explicit(&t->host[i], memory_order_relaxed);
                atomic_store_explicit(&t->host[i], NULL, memory_order_release);
                peer_unlink(t, old, prefix);
                return;
        }
        e = g_tree_lookup(w->prefixes, prefix);
        if (!e || e->route.value == slot_pointer(e->reserved))
                return;
        old = e->route.value;
        e->route.value = slot_pointer(e->reserved);
        peer_unlink(t, old, prefix);
        if (e->reserved == ROUTE_SLOT_NONE)
                g_tree_remove(w->prefixes, prefix);
        set_dirty(t);
}

void route_table_remove_peer(RouteTable *t, const PacketPeer *peer) {
        GHashTable *by_peer = t->writer->by_peer;
        GArray *list;

        while ((list = g_hash_table_lookup(by_peer, peer))) {
                IpPrefix p = g_array_index(list, IpPrefix, list->len - 1);

                route_table_remove(t, &p); /* the list goes with its last element */
        }
        for (unsigned f = 0; f < _ROUTE_FAMILY_MAX; f++)
                if (atomic_load_explicit(&t->exit[f], memory_order_relaxed) == peer)
                        route_table_set_exit(t, f, NULL);
        route_table_flush(t);
}

void route_table_set_exit(RouteTable *t, RouteFamily family, PacketPeer *peer) {
        atomic_store_explicit(&t->exit[family], peer, memory_order_release);
}

void route_table_set_carries(RouteTable *t, RouteFamily family, bool carries) {
        atomic_store_explicit(&t->carries[family], carries, memory_order_relaxed);
}

/* --- any thread --- */

PacketPeer *route_table_slot_v4_slow(const RouteTable *t, uint32_t address) {
        return route_ranges_find_v4(atomic_load_explicit(&t->ranges, memory_order_acquire), address);
}

static PacketPeer *slot_v6(const RouteTable *t, const uint8_t address[static 16]) {
        return route_ranges_find_v6(atomic_load_explicit(&t->ranges, memory_order_acquire), address);
}

static RouteDecision drop(DropReason reason) {
        return (RouteDecision){ .verdict = ROUTE_DROP, .reason = reason };
}

RouteDecision route_table_decide(const RouteTable *t, PacketPeer *slot, RouteFamily family) {
        PacketPeer *exit;

        switch ((uintptr_t) slot) {

        case ROUTE_SLOT_NONE:
                exit = atomic_load_explicit(&t->exit[family], memory_order_acquire);
                if (!exit)
                        return drop(DROP_NO_ROUTE);
                return (RouteDecision){ .verdict = ROUTE_EXIT, .peer = exit };

        case ROUTE_SLOT_LOCAL:
                return (RouteDecision){ .verdict = ROUTE_LOCAL };

        case ROUTE_SLOT_NOBODY:
                return drop(DROP_UNKNOWN_DESTINATION);

        case ROUTE_SLOT_MULTICAST:
                return drop(DROP_MULTICAST);

        case ROUTE_SLOT_UNROUTABLE:
                return drop(DROP_NO_ROUTE);

        default: /* a pointer, not a value of the enum */
                return (RouteDecision){ .verdict = ROUTE_PEER, .peer = slot };
        }
}

RouteDecision route_table_lookup_v6(const RouteTable *t, const uint8_t destination[static 16]) {
        return route_table_decide(t, slot_v6(t, destination), ROUTE_IPV6);
}

RouteDecision route_table_lookup(const RouteTable *t, const IpAddr *destination) {
        switch (destination->family) {

        case AF_INET:
                return route_table_lookup_v4(t, ip_to_v4(destination));

        case AF_INET6:
                return route_table_lookup_v6(t, destination->bytes);

        default:
                return drop(DROP_NO_ROUTE);
        }
}

bool route_table_source_decide(
                const RouteTable *t,
                const PacketPeer *slot,
                RouteFamily family,
                const PacketPeer *peer) {
        if (slot == peer)
                return true;
        return (uintptr_t) slot == ROUTE_SLOT_NONE &&
               atomic_load_explicit(&t->exit[family], memory_order_acquire) == peer;
}

bool route_table_source_ok_v6(const RouteTable *t, const uint8_t source[static 16], const PacketPeer *peer) {
        return route_table_source_decide(t, slot_v6(t, source), ROUTE_IPV6, peer);
}

bool route_table_is_local_v6(const RouteTable *t, const uint8_t address[static 16]) {
        return (uintptr_t) slot_v6(t, address) == ROUTE_SLOT_LOCAL;
}

bool route_table_is_behind_v6(const RouteTable *t, const uint8_t address[static 16]) {
        return route_table_is_behind(t, slot_v6(t, address), ROUTE_IPV6);
}
