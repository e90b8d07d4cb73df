/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Against the real kernel, in a network namespace of our own: needs root, or says that it did
 * not run. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl.h"

#define LO_INDEX 1U

static IpAddr ip(const char *text) {
        IpAddr a;

        assert_return_code(ip_parse(text, &a), 0);
        return a;
}

static bool in_own_namespace(void) {
        /* Once: each call would be another empty namespace. */
        static int done;

        if (done == 0)
                done = unshare(CLONE_NEWNET) == 0 ? 1 : -1;
        return done > 0;
}

static int setup(void **state) {
        *state = NULL;
        if (!in_own_namespace())
                return 0;
        return rtnl_open((Rtnl **) state);
}

static int teardown(void **state) {
        rtnl_close(*state);
        return 0;
}

/* The namespace has one interface, lo: good enough for everything but endpoints. */
static Rtnl *need_root(void **state) {
        if (!*state) {
                print_message("skipped: a network namespace of our own needs root\n");
                skip();
        }
        return *state;
}

static void test_link_index(void **state) {
        Rtnl *r = need_root(state);
        unsigned ifindex = 0;

        assert_int_equal(rtnl_link_index(r, "lo", &ifindex), 0);
        assert_int_equal(ifindex, LO_INDEX);
        ifindex = 77;
        assert_int_equal(rtnl_link_index(r, "nonesuch0", &ifindex), -ENODEV);
        assert_int_equal(ifindex, 77);
}

static void test_link_configure(void **state) {
        Rtnl *r = need_root(state);

        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 1420, 64, true), 0);
        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, true), 0);
        assert_int_equal(rtnl_link_configure(r, 4711, 1420, 64, true), -ENODEV);
}

static bool has_route(Rtnl *r, const char *text, unsigned skip) {
        g_autoptr(GArray) routes = NULL;
        IpPrefix wanted;
        bool found = false;

        assert_int_equal(ip_prefix_parse(text, &wanted), 0);
        assert_int_equal(rtnl_routes(r, &skip, skip > 0, &routes), 0);
        for (unsigned i = 0; i < routes->len; i++) {
                const IpPrefix *p = &g_array_index(routes, RtnlRoute, i).prefix;

                found = found || (p->len == wanted.len && ip_equal(&p->addr, &wanted.addr));
        }
        return found;
}

static void test_addresses(void **state) {
        Rtnl *r = need_root(state);
        IpAddr v4 = ip("10.99.0.1"), v6 = ip("fd00:99::1"), other = ip("10.99.7.7");

        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, true), 0);
        /* Twice: what is there is no error. */
        for (int i = 0; i < 2; i++) {
                assert_int_equal(rtnl_address_add(r, LO_INDEX, &v4, 24), 0);
                assert_int_equal(rtnl_address_add(r, LO_INDEX, &v6, 64), 0);
                assert_int_equal(rtnl_address_add(r, LO_INDEX, &other, 24), 0);
        }
        assert_true(has_route(r, "10.99.7.7/32", 0));
        /* Everything there is on a link that is not to count. */
        assert_false(has_route(r, "10.99.7.7/32", LO_INDEX));

        assert_int_equal(rtnl_address_keep_only(r, LO_INDEX, (IpAddr[]){ v4, v6 }, 2), 0);
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &other, 24), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v4, 24), 0);
                assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v6, 64), 0);
        }
        assert_false(has_route(r, "10.99.7.7/32", 0));
}

/* What somebody is reached by, and what only looks like it. */
static void test_routes(void **state) {
        Rtnl *r = need_root(state);

        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, true), 0);
        assert_return_code(system("ip route add 10.40.0.0/16 dev lo table 52"), 0);
        assert_return_code(system("ip route add 10.41.0.0/16 via 10.42.0.1 dev lo onlink"), 0);
        assert_return_code(system("ip route add blackhole 10.43.0.0/16"), 0);
        assert_return_code(system("ip route add 0.0.0.0/1 dev lo"), 0);
        assert_true(has_route(r, "10.40.0.0/16", 0));
        assert_true(has_route(r, "10.41.0.0/16", 0));
        assert_true(has_route(r, "10.42.0.1/32", 0));
        assert_false(has_route(r, "10.43.0.0/16", 0));
        assert_false(has_route(r, "0.0.0.0/1", 0));
        assert_false(has_route(r, "10.40.0.0/16", LO_INDEX));
        /* More than any buffer holds. */
        assert_return_code(
                        system("for i in $(seq 1500); do echo route add 10.50.$((i / 250)).$((i % 250))/32"
                               " dev lo; done | ip -batch -"),
                        0);
        for (unsigned i = 1; i <= 1500; i += 499) {
                g_autofree char *text = g_strdup_printf("10.50.%u.%u/32", i / 250, i % 250);

                assert_true(has_route(r, text, 0));
        }
        assert_return_code(system("ip route flush table 52; ip route flush table main"), 0);
}

static void test_is_there(void **state) {
        IpAddr v4 = ip("10.97.0.1"), v6 = ip("fd00:97::1");
        IpPrefix net4 = { .addr = ip("10.97.0.0"), .len = 16 }, wider = net4;
        IpPrefix net6 = { .addr = ip("fd00:97::"), .len = 64 };
        Rtnl *r = need_root(state);

        assert_int_equal(rtnl_link_is_up(r, 4711), -ENODEV);
        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, false), 0);
        assert_int_equal(rtnl_link_is_up(r, LO_INDEX), 0);
        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, true), 0);
        assert_int_equal(rtnl_link_is_up(r, LO_INDEX), 1);
        assert_int_equal(rtnl_address_is_there(r, LO_INDEX, &v4, 16), 0);
        assert_int_equal(rtnl_address_add(r, LO_INDEX, &v4, 16), 0);
        assert_int_equal(rtnl_address_add(r, LO_INDEX, &v6, 64), 0);
        assert_int_equal(rtnl_address_is_there(r, LO_INDEX, &v4, 16), 1);
        assert_int_equal(rtnl_address_is_there(r, LO_INDEX, &v4, 24), 0);
        assert_int_equal(rtnl_address_is_there(r, LO_INDEX, &v6, 64), 1);
        assert_int_equal(rtnl_address_is_there(r, 4711, &v4, 16), 0);
        assert_int_equal(rtnl_route_is_there(r, LO_INDEX, &net6), 1);
        assert_int_equal(rtnl_route_is_there(r, 4711, &net6), 0);
        /* A network on the loopback is local, which is no route to it. */
        assert_int_equal(rtnl_route_is_there(r, LO_INDEX, &net4), 0);
        assert_return_code(system("ip route add 10.96.0.0/15 dev lo"), 0);
        assert_int_equal(rtnl_route_is_there(r, LO_INDEX, &net4), 1);
        wider.len = 14;
        assert_int_equal(rtnl_route_is_there(r, LO_INDEX, &wider), 0);
        assert_return_code(system("ip route del 10.96.0.0/15 dev lo"), 0);
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v4, 16), 0);
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v6, 64), 0);
}

static void test_prefixes_on(void **state) {
        Rtnl *r = need_root(state);
        IpAddr v4 = ip("10.99.0.1"), v6 = ip("fd00:99::1"), near = ip("10.99.0.77");
        PrefixSet set = {};

        assert_int_equal(rtnl_link_configure(r, LO_INDEX, 0, 0, true), 0);
        assert_int_equal(rtnl_address_add(r, LO_INDEX, &v4, 24), 0);
        assert_int_equal(rtnl_address_add(r, LO_INDEX, &v6, 64), 0);
        assert_int_equal(rtnl_prefixes_on(r, "omerta", NULL, 0, &set), 0);
        assert_int_equal(set.n, 0);
        assert_int_equal(rtnl_prefixes_on(r, "l", &(unsigned){ LO_INDEX }, 1, &set), 0);
        assert_int_equal(set.n, 0);
        assert_int_equal(rtnl_prefixes_on(r, "l", NULL, 0, &set), 0);
        assert_true(prefix_set_contains(&set, &near));
        near = ip("fd00:99::7:7");
        assert_true(prefix_set_contains(&set, &near));
        near = ip("10.99.1.1");
        assert_false(prefix_set_contains(&set, &near));
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v4, 24), 0);
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v6, 64), 0);
}

static void test_local_endpoints(void **state) {
        IpAddr v4 = ip("192.0.2.7"), v6 = ip("2001:db8::7");
        Rtnl *r = need_root(state);
        RtnlOurs ours = { .n_ifindex = 1 };
        Endpoint found[16];
        unsigned ifindex;
        int n;

        ours.ifindex = &ifindex;
        /* ip(8) only to make what we cannot: a link that is no loopback. */
        if (system("ip link add dummy7 type dummy 2>/dev/null") != 0 &&
            system("ip link add dummy7 type veth peer name dummy8 && ip link set dummy8 up") != 0) {
                print_message("skipped: neither dummy nor veth interfaces here\n");
                skip();
        }
        assert_int_equal(rtnl_link_index(r, "dummy7", &ifindex), 0);
        assert_int_equal(rtnl_address_add(r, ifindex, &v4, 24), 0);
        /* Down: not usable. */
        assert_int_equal(rtnl_local_endpoints(r, &(RtnlOurs){}, found, ELEMENTSOF(found)), 0);
        assert_int_equal(rtnl_link_configure(r, ifindex, 1400, 0, true), 0);
        assert_int_equal(rtnl_address_add(r, ifindex, &v6, 64), 0);
        n = rtnl_local_endpoints(r, &(RtnlOurs){}, found, ELEMENTSOF(found));
        assert_int_equal(n, 2);
        for (int i = 0; i < n; i++) {
                const char *text = found[i].sa.sa_family == AF_INET ? "192.0.2.7:0"
                                                                    : "[2001:db8::7]:0";

                assert_string_equal(endpoint_format(&found[i]).text, text);
        }
        assert_int_equal(rtnl_local_endpoints(r, &(RtnlOurs){}, found, 1), 2);
        /* A pulled cable: the addresses are there, and nobody reaches them. */
        if (system("ip link add eth7 type veth peer name eth8 && ip link set eth7 up && "
                   "ip address add 192.0.2.8/24 dev eth7") == 0) {
                assert_int_equal(rtnl_local_endpoints(r, &(RtnlOurs){}, found, 1), 2);
                assert_return_code(system("ip link set eth8 up"), 0);
                assert_int_equal(rtnl_local_endpoints(r, &(RtnlOurs){}, found, 1), 3);
                assert_return_code(system("ip link del eth7"), 0);
        }
        assert_int_equal(rtnl_local_endpoints(r, &ours, found, ELEMENTSOF(found)), 0);
        assert_return_code(system("ip link del dummy7"), 0);
}

/* What the first @max are, in one line. Return: how many there are. */
static int endpoints(Rtnl *r, const RtnlOurs *ours, unsigned max, char *text, size_t size) {
        Endpoint found[16];
        int n = rtnl_local_endpoints(r, ours, found, max);

        *text = '\0';
        for (int i = 0; i < MIN(n, (int) max); i++) {
                g_strlcat(text, i > 0 ? " " : "", size);
                g_strlcat(text, endpoint_format(&found[i]).text, size);
        }
        return n;
}

static void test_endpoints_in_order(void **state) {
        IpPrefix ula = { .addr = ip("fd12:3456:789a::"), .len = 64 };
        RtnlOurs none = {}, ours = { .prefix = &ula, .n_prefixes = 1 };
        Rtnl *r = need_root(state);
        char text[512];

        if (system("ip link add br7 type bridge && ip link set br7 up && "
                   "ip address add 172.17.0.1/16 dev br7 && "
                   "ip tuntap add wan7 mode tun && ip link set wan7 up && "
                   "ip address add 198.51.100.7/24 dev wan7 && "
                   "ip tuntap add lan7 mode tun && ip link set lan7 up && "
                   "ip address add 192.0.2.7/24 dev lan7 && "
                   "ip address add 2001:db8::7/64 dev lan7 nodad && "
                   "ip route add default via 192.0.2.1") != 0) {
                print_message("skipped: no bridge or tun interfaces here\n");
                skip();
        }
        /* The default route's interface, the others, what is inside the machine. */
        assert_int_equal(endpoints(r, &none, 16, text, sizeof text), 4);
        assert_string_equal(text, "192.0.2.7:0 [2001:db8::7]:0 198.51.100.7:0 172.17.0.1:0");

        /* A default route with a lower metric goes before. */
        assert_return_code(
                        system("ip route add default via 198.51.100.1 metric 0 2>/dev/null || "
                               "ip route replace default via 198.51.100.1"),
                        0);
        assert_int_equal(endpoints(r, &none, 16, text, sizeof text), 4);
        assert_string_equal(text, "198.51.100.7:0 192.0.2.7:0 [2001:db8::7]:0 172.17.0.1:0");

        /* Where there is room for two, both families. */
        assert_int_equal(endpoints(r, &none, 2, text, sizeof text), 4);
        assert_string_equal(text, "198.51.100.7:0 [2001:db8::7]:0");

        /* Another daemon's interface: by its name where it is a tun, by the network's prefix. */
        assert_return_code(
                        system("ip tuntap add omerta7 mode tun && ip link set omerta7 up && "
                               "ip address add 10.7.0.2/16 dev omerta7 && "
                               "ip tuntap add vpn7 mode tun && ip link set vpn7 up && "
                               "ip address add 10.8.0.2/16 dev vpn7 && "
                               "ip address add fd12:3456:789a::8/64 dev vpn7 nodad"),
                        0);
        assert_int_equal(endpoints(r, &ours, 16, text, sizeof text), 4);
        assert_string_equal(text, "198.51.100.7:0 192.0.2.7:0 [2001:db8::7]:0 172.17.0.1:0");
        assert_int_equal(endpoints(r, &none, 16, text, sizeof text), 6);
        assert_return_code(system("for l in br7 wan7 lan7 omerta7 vpn7; do ip link del $l; done"), 0);
}

static const RtnlLan *lan_named(const RtnlLan *lans, int n, const char *name) {
        for (int i = 0; i < n; i++)
                if (strcmp(lans[i].name, name) == 0)
                        return &lans[i];
        return NULL;
}

/* A cable, a bridge with nobody behind it, one with a port, and a tunnel. */
static void test_lans(void **state) {
        Rtnl *r = need_root(state);
        RtnlLan lans[8];
        const RtnlLan *l;
        unsigned ours;
        int n;

        if (system("ip link add lan7 type veth peer name lan8 && ip link set lan7 up && "
                   "ip link set lan8 up && ip addr add 192.0.2.1/24 dev lan7 && "
                   "ip addr add 198.51.100.1/24 dev lan7 && "
                   "ip link add br7 type bridge && ip addr add 203.0.113.1/24 dev br7 && "
                   "ip link set br7 up && ip tuntap add vpn7 mode tun && ip link set vpn7 up && "
                   "ip addr add 10.1.0.1/24 dev vpn7") != 0) {
                print_message("skipped: no veth, bridge or tun\n");
                skip();
        }
        n = rtnl_lans(r, &(RtnlOurs){}, lans, ELEMENTSOF(lans));
        assert_int_equal(n > 0, 1);
        l = lan_named(lans, n, "lan7");
        assert_non_null(l);
        assert_int_equal(l->n_addresses, 2);
        assert_string_equal(ip_format(&l->address[0]).text, "192.0.2.1");
        assert_null(lan_named(lans, n, "lo"));
        assert_null(lan_named(lans, n, "vpn7"));
        assert_null(lan_named(lans, n, "br7"));
        ours = l->ifindex;
        n = rtnl_lans(r, &(RtnlOurs){ .ifindex = &ours, .n_ifindex = 1 }, lans, ELEMENTSOF(lans));
        assert_null(lan_named(lans, n, "lan7"));
        /* Its frames go through the bridge now. */
        assert_return_code(system("ip link set lan7 master br7"), 0);
        n = rtnl_lans(r, &(RtnlOurs){}, lans, ELEMENTSOF(lans));
        assert_null(lan_named(lans, n, "lan7"));
        assert_non_null(lan_named(lans, n, "br7"));
        assert_int_equal(rtnl_lans(r, &(RtnlOurs){}, lans, 0), 0);
        assert_return_code(system("for l in lan7 br7 vpn7; do ip link del $l; done"), 0);
}

static bool readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        /* The kernel queues notifications before the request that caused them returns. */
        return poll(&p, 1, 0) == 1;
}

/* Who is asked to map ports: the router of the default route, from an address on its link. */
static void test_default_router(void **state) {
        Rtnl *r = need_root(state);
        RtnlOurs ours = {};
        RtnlRouter found;
        unsigned ifindex;

        assert_int_equal(rtnl_default_router(r, AF_INET, &ours, &found), 0);
        if (system("ip link add eth7 type veth peer name eth8 && ip link set eth7 up && "
                   "ip link set eth8 up && ip address add 192.168.7.2/24 dev eth7 && "
                   "ip address add 192.168.7.3/24 dev eth7 && "
                   "ip address add fd00::2/64 dev eth7 nodad && "
                   "ip route add default via 192.168.7.1 metric 20 && "
                   "ip -6 route add default via fe80::1 dev eth7") != 0) {
                print_message("skipped: no veth interfaces here\n");
                skip();
        }
        assert_int_equal(rtnl_link_index(r, "eth7", &ifindex), 0);
        assert_int_equal(rtnl_default_router(r, AF_INET, &ours, &found), 1);
        assert_string_equal(ip_format(&found.router).text, "192.168.7.1");
        assert_string_equal(ip_format(&found.source).text, "192.168.7.2");
        assert_int_equal(found.ifindex, ifindex);
        /* A router, and no address it could let through. */
        assert_int_equal(rtnl_default_router(r, AF_INET6, &ours, &found), 1);
        assert_string_equal(ip_format(&found.router).text, "fe80::1");
        assert_false(ip_is_set(&found.source));
        assert_return_code(system("ip address add 2001:db8:7::2/64 dev eth7 nodad"), 0);
        assert_int_equal(rtnl_default_router(r, AF_INET6, &ours, &found), 1);
        assert_string_equal(ip_format(&found.source).text, "2001:db8:7::2");
        /* Ours leads nowhere else. */
        ours = (RtnlOurs){ .ifindex = &ifindex, .n_ifindex = 1 };
        assert_int_equal(rtnl_default_router(r, AF_INET, &ours, &found), 0);
        /* A tunnel's end, and a link without a router, are better ways and have nobody to ask. */
        assert_return_code(system("ip route add default dev eth7 metric 10"), 0);
        assert_int_equal(rtnl_default_router(r, AF_INET, &(RtnlOurs){}, &found), 0);
        assert_return_code(system("ip route del default dev eth7 metric 10"), 0);
        if (system("ip tuntap add tun7 mode tun 2>/dev/null && ip link set tun7 up && "
                   "ip address add 10.7.0.2/24 dev tun7 && "
                   "ip route add default via 10.7.0.1 metric 10") == 0) {
                assert_int_equal(rtnl_default_router(r, AF_INET, &(RtnlOurs){}, &found), 0);
                assert_return_code(system("ip link del tun7"), 0);
        }
        assert_return_code(system("ip link del eth7"), 0);
}

static void test_monitor(void **state) {
        Rtnl *r = need_root(state);
        IpAddr v4 = ip("10.98.0.1");
        const unsigned ours = LO_INDEX;
        _cleanup_close_ int fd = rtnl_monitor_open();

        assert_true(fd >= 0);
        assert_int_equal(rtnl_monitor_read(fd, NULL, 0), 0);
        assert_int_equal(rtnl_address_add(r, LO_INDEX, &v4, 24), 0);
        assert_true(readable(fd));
        assert_int_equal(rtnl_monitor_read(fd, NULL, 0), RTNL_CHANGED_OTHERS);
        assert_false(readable(fd));

        /* On our own interface it is told apart. IPv4 local routes have their oif too. */
        assert_int_equal(rtnl_address_remove(r, LO_INDEX, &v4, 24), 0);
        assert_true(readable(fd));
        assert_int_equal(rtnl_monitor_read(fd, &ours, 1), RTNL_CHANGED_OURS);
        assert_false(readable(fd));
        assert_int_equal(rtnl_monitor_read(fd, &ours, 1), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_link_index, setup, teardown),
                cmocka_unit_test_setup_teardown(test_link_configure, setup, teardown),
                cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
                cmocka_unit_test_setup_teardown(test_is_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_prefixes_on, setup, teardown),
                cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_local_endpoints, setup, teardown),
                cmocka_unit_test_setup_teardown(test_endpoints_in_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_default_router, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lans, setup, teardown),
                cmocka_unit_test_setup_teardown(test_monitor, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
