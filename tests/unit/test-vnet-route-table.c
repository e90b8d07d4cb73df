/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/macros.h"
#include "core/vnet/route-table.h"

/* An environment that keeps what is retired until the test says that nobody reads any more. */
typedef struct Retired {
        void *object;
        void (*destroy)(void *object);
} Retired;

typedef struct World {
        MeshEnv env;
        GArray *retired;
        RouteTable *table;
        PacketPeer peer[8];
} World;

static usec_t env_op_now(void *userdata) {
        return 0;
}

static void env_op_retire(void *userdata, void *object, void (*destroy)(void *object)) {
        Retired r = { object, destroy };

        g_array_append_val(((World *) userdata)->retired, r);
}

static void world_init(World *w, const char *subnet) {
        IpPrefix p;

        *w = (World){
                .env = {
                        .userdata = w,
                        .timers = timer_queue_new(),
                        .now = env_op_now,
                        .retire = env_op_retire,
                },
                .retired = g_array_new(FALSE, FALSE, sizeof(Retired)),
        };
        assert_int_equal(ip_prefix_parse(subnet, &p), 0);
        assert_int_equal(route_table_new(&w->env, &p, &w->table), 0);
}

static void world_done(World *w) {
        route_table_free(w->table);
        for (guint i = 0; i < w->retired->len; i++) {
                Retired *r = &g_array_index(w->retired, Retired, i);

                r->destroy(r->object);
        }
        g_array_unref(w->retired);
        assert_true(timer_queue_next(w->env.timers) == USEC_INFINITY);
        timer_queue_free(w->env.timers);
}
#define WORLD(name, subnet)                                                                        \
        _cleanup_(world_done) World name;                                                          \
        world_init(&name, subnet)

static IpAddr addr(const char *text) {
        IpAddr a;

        assert_int_equal(ip_parse(text, &a), 0);
        return a;
}

static IpPrefix prefix(const char *text) {
        IpPrefix p;

        assert_int_equal(ip_prefix_parse(text, &p), 0);
        return p;
}

static void set(World *w, const char *text, unsigned peer) {
        IpPrefix p = prefix(text);

        assert_int_equal(route_table_set(w->table, &p, &w->peer[peer]), 0);
}

static void set_local(World *w, const char *text) {
        IpPrefix p = prefix(text);

        assert_int_equal(route_table_set_local(w->table, &p), 0);
}

static void unset(World *w, const char *text) {
        IpPrefix p = prefix(text);

        route_table_remove(w->table, &p);
}

static RouteDecision lookup(World *w, const char *text) {
        IpAddr a = addr(text);

        route_table_flush(w->table);
        return route_table_lookup(w->table, &a);
}

static bool source_ok(World *w, const char *text, unsigned peer) {
        IpAddr a = addr(text);

        route_table_flush(w->table);
        if (a.family == AF_INET)
                return route_table_source_ok_v4(w->table, ip_to_v4(&a), &w->peer[peer]);
        return route_table_source_ok_v6(w->table, a.bytes, &w->peer[peer]);
}

static void assert_peer(World *w, const char *text, unsigned peer) {
        RouteDecision d = lookup(w, text);

        assert_int_equal(d.verdict, ROUTE_PEER);
        assert_ptr_equal(d.peer, &w->peer[peer]);
}

static void assert_drop(World *w, const char *text, DropReason reason) {
        RouteDecision d = lookup(w, text);

        assert_int_equal(d.verdict, ROUTE_DROP);
        assert_string_equal(drop_reason_to_string(d.reason), drop_reason_to_string(reason));
        assert_null(d.peer);
}

static void test_route_to_local_address(void **state) {
        WORLD(w, "10.0.0.0/16");

        set_local(&w, "10.0.0.5/32");
        assert_int_equal(lookup(&w, "10.0.0.5").verdict, ROUTE_LOCAL);
        assert_true(route_table_is_local_v4(w.table, 0x0a000005));
        assert_false(route_table_is_local_v4(w.table, 0x0a000006));
        assert_false(source_ok(&w, "10.0.0.5", 0));

        set_local(&w, "fd00::5/128");
        assert_int_equal(lookup(&w, "fd00::5").verdict, ROUTE_LOCAL);
        assert_true(route_table_is_local_v6(w.table, addr("fd00::5").bytes));
        assert_false(route_table_is_local_v6(w.table, addr("fd00::6").bytes));
        unset(&w, "10.0.0.5/32");
        assert_drop(&w, "10.0.0.5", DROP_UNKNOWN_DESTINATION);
}

static void test_route_to_peer(void **state) {
        WORLD(w, "10.0.0.0/16");

        set(&w, "10.0.0.10/32", 1);
        assert_peer(&w, "10.0.0.10", 1);
        set(&w, "10.0.0.10/32", 2); /* replaces */
        assert_peer(&w, "10.0.0.10", 2);
        set(&w, "fd00::10/128", 1);
        assert_peer(&w, "fd00::10", 1);
        assert_true(source_ok(&w, "10.0.0.10", 2));
        assert_false(source_ok(&w, "10.0.0.10", 1));
        assert_true(source_ok(&w, "fd00::10", 1));
        assert_false(source_ok(&w, "fd00::11", 1));
}

static void set_exit(World *w, PacketPeer *peer) {
        route_table_set_exit(w->table, ROUTE_IPV4, peer);
        route_table_set_exit(w->table, ROUTE_IPV6, peer);
}

static void test_route_to_exit(void **state) {
        WORLD(w, "10.0.0.0/16");
        RouteDecision d;

        /* Without one the outside is nobody's, the gateway's as little as anybody's. */
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_drop(&w, "2001:db8::1", DROP_NO_ROUTE);
        for (unsigned i = 0; i < 2; i++) {
                assert_false(source_ok(&w, "8.8.8.8", i));
                assert_false(source_ok(&w, "192.168.1.1", i));
                assert_false(source_ok(&w, "2001:db8::1", i));
        }
        set_exit(&w, &w.peer[0]);
        set(&w, "10.0.0.1/32", 0);
        d = lookup(&w, "8.8.8.8");
        assert_int_equal(d.verdict, ROUTE_EXIT);
        assert_ptr_equal(d.peer, &w.peer[0]);
        assert_int_equal(lookup(&w, "2001:db8::1").verdict, ROUTE_EXIT);
        assert_peer(&w, "10.0.0.1", 0);

        /* It speaks for the outside, but for nobody inside. */
        assert_true(source_ok(&w, "8.8.8.8", 0));
        assert_false(source_ok(&w, "8.8.8.8", 1));
        assert_false(source_ok(&w, "10.0.0.9", 0));
        assert_false(source_ok(&w, "224.0.0.1", 0));
        assert_false(source_ok(&w, "127.0.0.1", 0));

        set_exit(&w, NULL);
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_false(source_ok(&w, "8.8.8.8", 0));
}

/* One that leads out by IPv4 alone has nothing to say for IPv6. */
static void test_exit_of_one_family(void **state) {
        WORLD(w, "10.0.0.0/16");

        route_table_set_exit(w.table, ROUTE_IPV4, &w.peer[0]);
        assert_int_equal(lookup(&w, "8.8.8.8").verdict, ROUTE_EXIT);
        assert_true(source_ok(&w, "8.8.8.8", 0));
        assert_drop(&w, "2001:db8::1", DROP_NO_ROUTE);
        assert_false(source_ok(&w, "2001:db8::1", 0));
        route_table_set_exit(w.table, ROUTE_IPV4, NULL);
        route_table_set_exit(w.table, ROUTE_IPV6, &w.peer[1]);
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_false(source_ok(&w, "8.8.8.8", 1));
        assert_int_equal(lookup(&w, "2001:db8::1").verdict, ROUTE_EXIT);
        assert_true(source_ok(&w, "2001:db8::1", 1));
        assert_false(source_ok(&w, "2001:db8::1", 0));
}

static bool is_behind(World *w, const char *text) {
        IpAddr a = addr(text);

        return a.family == AF_INET ? route_table_is_behind_v4(w->table, ip_to_v4(&a))
                                   : route_table_is_behind_v6(w->table, a.bytes);
}

/* An exit has the outside behind it, by the families it carries: nobody's address inside, and
 * nothing that never leaves a machine. */
static void test_carries(void **state) {
        static const char *const never[] = { "10.0.0.6",     "10.0.9.9",  "10.0.0.0",
                                             "10.0.255.255", "127.0.0.1", "224.0.0.1",
                                             "::1",          "fe80::1",   "ff02::1" };
        WORLD(w, "10.0.0.0/16");

        set_local(&w, "10.0.0.5/32");
        set(&w, "10.0.0.6/32", 1);
        route_table_flush(w.table);
        assert_true(is_behind(&w, "10.0.0.5"));
        assert_false(is_behind(&w, "8.8.8.8"));
        assert_false(is_behind(&w, "2001:db8::1"));
        route_table_set_carries(w.table, ROUTE_IPV4, true);
        assert_true(is_behind(&w, "8.8.8.8"));
        assert_false(is_behind(&w, "2001:db8::1"));
        route_table_set_carries(w.table, ROUTE_IPV6, true);
        assert_true(is_behind(&w, "2001:db8::1"));
        for (size_t i = 0; i < ELEMENTSOF(never); i++)
                assert_false(is_behind(&w, never[i]));
        /* It is no exit for itself. */
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_false(source_ok(&w, "8.8.8.8", 1));
        route_table_set_carries(w.table, ROUTE_IPV4, false);
        assert_false(is_behind(&w, "8.8.8.8"));
}

static void test_route_unknown_in_subnet(void **state) {
        WORLD(w, "10.77.0.0/16");
        IpPrefix ula = prefix("fd12::/64");

        set_exit(&w, &w.peer[0]);
        assert_drop(&w, "10.77.0.99", DROP_UNKNOWN_DESTINATION);
        assert_int_equal(lookup(&w, "10.78.0.99").verdict, ROUTE_EXIT);
        assert_int_equal(lookup(&w, "10.76.255.255").verdict, ROUTE_EXIT);
        assert_int_equal(route_table_set(w.table, &ula, NULL), 0);
        assert_drop(&w, "fd12::99", DROP_UNKNOWN_DESTINATION);
        assert_int_equal(lookup(&w, "fd12:0:0:1::").verdict, ROUTE_EXIT);
        route_table_remove(w.table, &ula);
        assert_int_equal(lookup(&w, "fd12::99").verdict, ROUTE_EXIT);
}

static void test_never_a_machine(void **state) {
        static const struct {
                const char *address;
                DropReason reason;
        } cases[] = {
                { "10.0.0.0", DROP_MULTICAST },
                { "10.0.255.255", DROP_MULTICAST },
                { "224.0.0.1", DROP_MULTICAST },
                { "239.255.255.255", DROP_MULTICAST },
                { "255.255.255.255", DROP_MULTICAST },
                { "ff02::1", DROP_MULTICAST },
                { "0.0.0.0", DROP_NO_ROUTE },
                { "127.0.0.1", DROP_NO_ROUTE },
                { "169.254.1.1", DROP_NO_ROUTE },
                { "::", DROP_NO_ROUTE },
                { "::1", DROP_NO_ROUTE },
                { "fe80::1", DROP_NO_ROUTE },
        };
        WORLD(w, "10.0.0.0/16");

        set_exit(&w, &w.peer[0]);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_drop(&w, cases[i].address, cases[i].reason);
        assert_int_equal(lookup(&w, "10.1.0.0").verdict, ROUTE_EXIT);
        assert_int_equal(lookup(&w, "223.255.255.255").verdict, ROUTE_EXIT);
        assert_int_equal(lookup(&w, "::2").verdict, ROUTE_EXIT);
}

/* A bit behind the prefix's length, whichever, makes it unclear which prefix is meant. */
static void test_host_bits(void **state) {
        static const char *const texts[] = { "192.168.0.0/17", "10.1.2.0/24", "fd12::/61", "::/0" };
        WORLD(w, "10.0.0.0/16");

        for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                IpPrefix clean = prefix(texts[k]);

                for (unsigned bit = 0; bit < ip_size(&clean.addr) * 8; bit++) {
                        IpPrefix p = clean;

                        p.addr.bytes[bit / 8] |= (uint8_t) (0x80 >> bit % 8);
                        assert_int_equal(
                                        route_table_set(w.table, &p, &w.peer[1]),
                                        bit < p.len ? 0 : -EINVAL);
                }
        }
}

static void test_invalid_prefixes(void **state) {
        WORLD(w, "10.0.0.0/16");
        IpPrefix bad[] = {
                prefix("10.0.0.0/32"),
                prefix("10.0.255.255/32"),
                { .addr = addr("10.0.0.1"), .len = 33 },
                { .addr = addr("10.0.0.1"), .len = 24 },
                { .addr = addr("fd00::1"), .len = 64 },
                { .addr = { .family = AF_UNSPEC }, .len = 0 },
        };
        static const char *const subnets[] = { "10.0.0.0/7", "10.0.0.0/31", "fd00::/64" };
        RouteTable *t;
        IpPrefix p;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(route_table_set(w.table, &bad[i], &w.peer[0]), -EINVAL);
                assert_int_equal(route_table_set_local(w.table, &bad[i]), -EINVAL);
        }
        for (size_t i = 0; i < ELEMENTSOF(subnets); i++) {
                char *slash;
                g_autofree char *host = g_strdup(subnets[i]);

                slash = strchr(host, '/');
                *slash = '\0';
                p = (IpPrefix){ .addr = addr(host), .len = (uint8_t) atoi(slash + 1) };
                assert_int_equal(route_table_new(&w.env, &p, &t), -EINVAL);
        }
}

static void test_longest_prefix(void **state) {
        WORLD(w, "10.0.0.0/16");

        set(&w, "192.168.0.0/16", 1);
        set(&w, "192.168.4.0/24", 2);
        set(&w, "192.168.4.4/32", 3);
        set(&w, "0.0.0.0/0", 4);
        set(&w, "10.0.7.0/24", 5); /* a subnet route inside ours */
        set(&w, "10.0.7.7/32", 6);
        set(&w, "2001:db8::/32", 1);
        set(&w, "2001:db8:1::/48", 2);
        assert_peer(&w, "192.168.3.255", 1);
        assert_peer(&w, "192.168.4.3", 2);
        assert_peer(&w, "192.168.4.4", 3);
        assert_peer(&w, "192.168.4.255", 2);
        assert_peer(&w, "192.168.5.0", 1);
        assert_peer(&w, "192.169.0.0", 4);
        assert_peer(&w, "1.0.0.0", 4);
        assert_peer(&w, "10.0.7.6", 5);
        assert_peer(&w, "10.0.7.7", 6);
        assert_drop(&w, "10.0.8.0", DROP_UNKNOWN_DESTINATION);
        assert_drop(&w, "255.255.255.255", DROP_MULTICAST);
        assert_peer(&w, "2001:db8:0:ffff::", 1);
        assert_peer(&w, "2001:db8:1::", 2);
        assert_peer(&w, "2001:db8:1:ffff:ffff:ffff:ffff:ffff", 2);
        assert_peer(&w, "2001:db8:2::", 1);
        assert_true(source_ok(&w, "192.168.4.9", 2));
        assert_false(source_ok(&w, "192.168.4.9", 1));
        unset(&w, "192.168.4.0/24");
        assert_peer(&w, "192.168.4.3", 1);
        assert_peer(&w, "192.168.4.4", 3);
        unset(&w, "10.0.7.7/32");
        assert_peer(&w, "10.0.7.7", 5);
        set(&w, "10.0.0.0/16", 7);
        assert_peer(&w, "10.0.8.0", 7);
        unset(&w, "10.0.0.0/16"); /* the subnet itself stays ours */
        assert_drop(&w, "10.0.8.0", DROP_UNKNOWN_DESTINATION);
}

static void test_subnet_sizes(void **state) {
        WORLD(large, "10.0.0.0/8");
        WORLD(small, "192.0.2.4/30");

        /* Beyond the array of 65536 addresses. */
        set(&large, "10.0.255.255/32", 1);
        set(&large, "10.200.1.1/32", 2);
        assert_peer(&large, "10.0.255.255", 1);
        assert_peer(&large, "10.200.1.1", 2);
        assert_drop(&large, "10.200.1.2", DROP_UNKNOWN_DESTINATION);
        assert_drop(&large, "10.255.255.255", DROP_MULTICAST);
        assert_drop(&large, "11.0.0.0", DROP_NO_ROUTE);
        unset(&large, "10.200.1.1/32");
        assert_drop(&large, "10.200.1.1", DROP_UNKNOWN_DESTINATION);

        set(&small, "192.0.2.6/32", 1);
        assert_peer(&small, "192.0.2.6", 1);
        assert_drop(&small, "192.0.2.5", DROP_UNKNOWN_DESTINATION);
        assert_drop(&small, "192.0.2.4", DROP_MULTICAST);
        assert_drop(&small, "192.0.2.7", DROP_MULTICAST);
        assert_drop(&small, "192.0.2.8", DROP_NO_ROUTE);
}

/* All is gone at once, without a flush: the caller retires the peer next. */
static void test_remove_peer(void **state) {
        WORLD(w, "10.0.0.0/16");
        IpAddr ula = addr("fd00::1");

        set(&w, "10.0.0.10/32", 1);
        set(&w, "10.0.0.11/32", 1);
        set(&w, "10.0.0.12/32", 2);
        set(&w, "fd00::1/128", 1);
        set(&w, "192.168.0.0/16", 1);
        set(&w, "192.168.1.0/24", 2);
        set_exit(&w, &w.peer[1]);
        route_table_flush(w.table);
        route_table_remove_peer(w.table, &w.peer[1]);
        assert_int_equal(route_table_lookup_v4(w.table, 0x0a00000a).verdict, ROUTE_DROP);
        assert_int_equal(route_table_lookup_v6(w.table, ula.bytes).reason, DROP_NO_ROUTE);
        assert_int_equal(route_table_lookup_v4(w.table, 0xc0a80001).verdict, ROUTE_DROP);
        assert_drop(&w, "10.0.0.11", DROP_UNKNOWN_DESTINATION);
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_peer(&w, "10.0.0.12", 2);
        assert_peer(&w, "192.168.1.1", 2);
        route_table_remove_peer(w.table, &w.peer[1]);
        route_table_remove_peer(w.table, &w.peer[2]);
        assert_drop(&w, "10.0.0.12", DROP_UNKNOWN_DESTINATION);
}

/* A whole directory in one turn of the control loop is one rebuild. */
static void test_batched_rebuild(void **state) {
        WORLD(w, "10.0.0.0/16");
        guint before = w.retired->len;

        for (unsigned i = 1; i <= 500; i++) {
                IpPrefix p = { .addr = addr("fd00::"), .len = 128 };

                write_be16(p.addr.bytes + 14, (uint16_t) i);
                assert_int_equal(route_table_set(w.table, &p, &w.peer[1]), 0);
        }
        assert_int_equal(w.retired->len, before);
        assert_int_equal(timer_queue_next(w.env.timers), 0);
        timer_queue_run(w.env.timers, 0);
        assert_int_equal(w.retired->len, before + 1);
        assert_int_equal(route_table_lookup_v6(w.table, addr("fd00::1f4").bytes).verdict, ROUTE_PEER);
        assert_true(timer_queue_next(w.env.timers) == USEC_INFINITY);
        set(&w, "fd00::1/128", 1); /* nothing new */
        set(&w, "10.0.0.9/32", 1); /* in the array: no rebuild */
        assert_true(timer_queue_next(w.env.timers) == USEC_INFINITY);
}

/* --- against a list that is searched from end to end --- */

typedef struct TwinRoute {
        IpPrefix prefix;
        PacketPeer *peer; /* NULL: local */
} TwinRoute;

static RouteDecision twin_lookup(const GArray *twin, const IpPrefix *subnet, const IpAddr *a) {
        static const char *const multicast[] = { "224.0.0.0/3", "ff00::/8" };
        static const char *const unroutable[] = { "0.0.0.0/8", "127.0.0.0/8", "::/127",
                                                  "169.254.0.0/16", "fe80::/10" };
        RouteDecision best = { .verdict = ROUTE_DROP, .reason = DROP_NO_ROUTE };
        uint32_t v4 = ip_to_v4(a), base = ip_to_v4(&subnet->addr);
        int best_len = -1;
        IpPrefix p;

        for (size_t i = 0; i < ELEMENTSOF(multicast); i++) {
                p = prefix(multicast[i]);
                if (ip_prefix_contains(&p, a)) {
                        best_len = p.len;
                        best.reason = DROP_MULTICAST;
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(unroutable); i++) {
                p = prefix(unroutable[i]);
                if (ip_prefix_contains(&p, a))
                        best_len = p.len;
        }
        if (ip_prefix_contains(subnet, a) && subnet->len > best_len) {
                bool end = v4 == base || v4 == base + (UINT32_C(1) << (32 - subnet->len)) - 1;

                best.reason = end ? DROP_MULTICAST : DROP_UNKNOWN_DESTINATION;
                best_len = end ? 32 : subnet->len;
        }
        for (guint i = 0; i < twin->len; i++) {
                const TwinRoute *t = &g_array_index(twin, TwinRoute, i);

                if ((int) t->prefix.len >= best_len && ip_prefix_contains(&t->prefix, a)) {
                        best_len = t->prefix.len;
                        best = (RouteDecision){
                                .verdict = t->peer ? ROUTE_PEER : ROUTE_LOCAL,
                                .peer = t->peer,
                        };
                }
        }
        return best;
}

static void twin_remove(GArray *twin, const IpPrefix *p) {
        for (guint i = 0; i < twin->len; i++)
                if (route_prefix_compare(&g_array_index(twin, TwinRoute, i).prefix, p) == 0) {
                        g_array_remove_index_fast(twin, i);
                        return;
                }
}

/* Few different bits, so that prefixes nest and share their first and last addresses. */
static IpAddr random_address(GRand *rand, const IpPrefix *subnet) {
        static const uint8_t bytes[] = { 0x00, 0x00, 0x01, 0x80, 0xff, 0xff, 0x0a, 0xfd };
        IpAddr a = { .family = g_rand_boolean(rand) ? AF_INET : AF_INET6 };

        for (size_t i = 0; i < ip_size(&a); i++)
                a.bytes[i] = bytes[g_rand_int_range(rand, 0, ELEMENTSOF(bytes))];
        if (a.family == AF_INET && g_rand_int_range(rand, 0, 3) > 0)
                memcpy(a.bytes, subnet->addr.bytes, subnet->len / 8);
        return a;
}

static IpPrefix random_prefix(GRand *rand, const IpPrefix *subnet) {
        IpPrefix p = { .addr = random_address(rand, subnet) };
        unsigned bits = (unsigned) ip_size(&p.addr) * 8;

        p.len =
                        (uint8_t) (g_rand_boolean(rand) ? (int) bits
                                                        : g_rand_int_range(rand, 0, (int) bits + 1));
        for (unsigned i = p.len; i < bits; i++)
                p.addr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
        return p;
}

static void check_against_twin(const char *subnet_text, guint32 seed) {
        WORLD(w, subnet_text);
        g_autoptr(GArray) twin = g_array_new(FALSE, FALSE, sizeof(TwinRoute));
        IpPrefix subnet = prefix(subnet_text);
        GRand *rand = g_rand_new_with_seed(seed);

        for (unsigned step = 0; step < 3000; step++) {
                IpPrefix p = random_prefix(rand, &subnet);
                unsigned what = (unsigned) g_rand_int_range(rand, 0, 100);
                PacketPeer *peer = &w.peer[g_rand_int_range(rand, 0, ELEMENTSOF(w.peer))];
                TwinRoute t = { p, what < 10 ? NULL : peer };
                int r;

                if (what < 50) {
                        r = t.peer ? route_table_set(w.table, &p, peer)
                                   : route_table_set_local(w.table, &p);
                        if (r == 0) {
                                twin_remove(twin, &p);
                                g_array_append_val(twin, t);
                        }
                } else if (what < 98) {
                        if (twin->len > 0 && g_rand_boolean(rand))
                                p = g_array_index(twin, TwinRoute,
                                                  g_rand_int_range(rand, 0, (int) twin->len))
                                                    .prefix;
                        route_table_remove(w.table, &p);
                        twin_remove(twin, &p);
                } else {
                        route_table_remove_peer(w.table, peer);
                        for (guint i = twin->len; i > 0; i--)
                                if (g_array_index(twin, TwinRoute, i - 1).peer == peer)
                                        g_array_remove_index_fast(twin, i - 1);
                }
                route_table_flush(w.table);
                for (unsigned i = 0; i < 20; i++) {
                        IpAddr a = random_address(rand, &subnet);
                        RouteDecision want = twin_lookup(twin, &subnet, &a);
                        RouteDecision got = route_table_lookup(w.table, &a);

                        if (want.verdict != got.verdict || want.peer != got.peer ||
                            (want.verdict == ROUTE_DROP && want.reason != got.reason))
                                fail_msg("seed %u step %u: %s in %s: %u %p, not %u %p", seed, step,
                                         ip_format(&a).text, subnet_text, got.verdict,
                                         (void *) got.peer, want.verdict, (void *) want.peer);
                }
        }
        g_rand_free(rand);
}

static void test_against_twin(void **state) {
        check_against_twin("10.0.0.0/16", 1);
        check_against_twin("10.0.0.0/8", 2);
        check_against_twin("10.1.255.0/24", 3);
        check_against_twin("10.0.0.0/16", g_random_int());
}

/* --- a reader that never waits, while the table changes --- */

typedef struct Reader {
        World *world;
        _Atomic bool stop;
        _Atomic unsigned rounds;
        unsigned wrong;
} Reader;

static void *reader_main(void *userdata) {
        Reader *r = userdata;
        RouteTable *t = r->world->table;
        IpAddr a = addr("fd00::7");

        while (!atomic_load(&r->stop)) {
                RouteDecision d4 = route_table_lookup_v4(t, 0x0a000007);
                RouteDecision d6 = route_table_lookup_v6(t, a.bytes);

                r->wrong += d4.verdict == ROUTE_PEER && d4.peer != &r->world->peer[1] &&
                            d4.peer != &r->world->peer[2];
                r->wrong += d6.verdict == ROUTE_PEER && d6.peer != &r->world->peer[1] &&
                            d6.peer != &r->world->peer[2];
                r->wrong += route_table_lookup_v4(t, 0x0a000008).peer != &r->world->peer[3];
                atomic_fetch_add(&r->rounds, 1);
        }
        return NULL;
}

static void test_reader_and_writer(void **state) {
        WORLD(w, "10.0.0.0/16");
        Reader r = { .world = &w };
        pthread_t thread;

        set(&w, "10.0.0.8/32", 3);
        assert_int_equal(pthread_create(&thread, NULL, reader_main, &r), 0);
        for (unsigned i = 0; i < 2000 || atomic_load(&r.rounds) < 1000; i++) {
                if (i % 3 == 2) {
                        unset(&w, "10.0.0.7/32");
                        unset(&w, "fd00::7/128");
                } else {
                        set(&w, "10.0.0.7/32", 1 + i % 2);
                        set(&w, "fd00::7/128", 1 + i % 2);
                }
                if (i < 2000)
                        route_table_flush(w.table);
        }
        atomic_store(&r.stop, true);
        pthread_join(thread, NULL);
        assert_int_equal(r.wrong, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_route_to_local_address),
                cmocka_unit_test(test_route_to_peer),
                cmocka_unit_test(test_route_to_exit),
                cmocka_unit_test(test_exit_of_one_family),
                cmocka_unit_test(test_carries),
                cmocka_unit_test(test_route_unknown_in_subnet),
                cmocka_unit_test(test_never_a_machine),
                cmocka_unit_test(test_host_bits),
                cmocka_unit_test(test_invalid_prefixes),
                cmocka_unit_test(test_longest_prefix),
                cmocka_unit_test(test_subnet_sizes),
                cmocka_unit_test(test_remove_peer),
                cmocka_unit_test(test_batched_rebuild),
                cmocka_unit_test(test_against_twin),
                cmocka_unit_test(test_reader_and_writer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
