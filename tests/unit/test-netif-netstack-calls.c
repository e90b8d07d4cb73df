/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls of every pair of engines: dials that fail, listeners, datagrams, echo. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netstack-world.h"

#define UDP_PORT 25353

/* --- dials that fail --- */

static void test_refused(void **state) {
        Pair *p = need(state);

        assert_int_equal(dial_at(p, &p->server4, 1, 0), -ECONNREFUSED);
        assert_int_equal(dial_at(p, &p->server6, 1, 0), -ECONNREFUSED);
}

static void test_silence(void **state) {
        Pair *p = need_wire(state);

        netif_wire_set(p->wire, NETIF_WIRE_CUT);
        assert_int_equal(dial_at(p, &p->server4, 80, 30 * USEC_PER_MSEC), -ETIMEDOUT);
        /* A while of it: the SYN is sent again. */
        assert_int_equal(dial_at(p, &p->server6, 80, 1200 * USEC_PER_MSEC), -ETIMEDOUT);
}

static void test_unreachable(void **state) {
        Pair *p = need_wire(state);

        netif_wire_set(p->wire, NETIF_WIRE_REJECT);
        assert_int_equal(dial_at(p, &p->server4, 80, 0), -EHOSTUNREACH);
        p->called = 0;
        assert_int_equal(netstack_echo(p->client, &p->server4, 0, 0, on_echoed, p, NULL), 0);
        while (p->called == 0)
                run_once(p);
        assert_int_equal(p->echo_error, -EHOSTUNREACH);
        assert_true(p->rtt == USEC_INFINITY);
}

static void test_cancel(void **state) {
        Pair *p = need_wire(state);
        NetstackCall *call[3];
        int fd[2];

        netif_wire_set(p->wire, NETIF_WIRE_CUT);
        p->called = 0;
        assert_int_equal(
                        netstack_dial(p->client, &p->server4, 80, 20 * USEC_PER_MSEC, on_dialed, p,
                                      &call[0]),
                        0);
        assert_int_equal(
                        netstack_echo(p->client, &p->server4, 0, 20 * USEC_PER_MSEC, on_echoed, p,
                                      &call[1]),
                        0);
        assert_int_equal(netstack_udp(p->client, 0, on_dialed, p, &call[2]), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_null(netstack_cancel(call[i]));
        assert_null(netstack_cancel(NULL));
        /* A later one passes all that was before it. */
        assert_int_equal(dial_at(p, &p->server4, 80, 60 * USEC_PER_MSEC), -ETIMEDOUT);
        assert_int_equal(p->called, 1);
        netif_wire_set(p->wire, NETIF_WIRE_GOOD);
        connect_pair(p, &p->server4, fd);
        transfer(fd[0], fd[1], 1000, 1000);
        close(fd[0]);
        close(fd[1]);
}

static void test_bad_arguments(void **state) {
        Pair *p = need(state);
        const IpAddr none = {};

        assert_int_equal(netstack_dial(p->client, &none, 80, 0, on_dialed, p, NULL), -EINVAL);
        assert_int_equal(netstack_dial(p->client, &p->server4, 0, 0, on_dialed, p, NULL), -EINVAL);
        assert_int_equal(
                        netstack_echo(p->client, &p->server4, NETSTACK_ECHO_MAX + 1, 0, on_echoed,
                                      p, NULL),
                        -EINVAL);
}

/* --- listeners --- */

static void test_ports(void **state) {
        Pair *p = need(state);
        NetstackCall *a, *b = NULL;
        uint16_t port = listen_at(p, &a), other = 0;

        assert_int_equal(netstack_listen(p->server, port, 8, on_accepted, p, &other, &b), -EADDRINUSE);
        assert_null(b);
        assert_int_not_equal(listen_at(p, &b), port);
        netstack_cancel(a);
        /* Nobody there any more, then somebody again. */
        assert_int_equal(dial_at(p, &p->server4, port, 0), -ECONNREFUSED);
        assert_int_equal(netstack_listen(p->server, port, 8, on_accepted, p, &other, &a), 0);
        assert_int_equal(other, port);
        netstack_cancel(a);
        netstack_cancel(b);
}

static void test_own_address(void **state) {
        Pair *p = need(state);
        NetstackCall *listener;
        uint16_t port;
        int fd;

        assert_int_equal(netstack_listen(p->client, 0, 8, on_accepted, p, &port, &listener), 0);
        for (unsigned i = 0; i < 2; i++) {
                p->n_accepted = 0;
                fd = dial_at(p, i == 0 ? &p->client4 : &p->client6, port, 0);
                assert_true(fd >= 0);
                while (p->n_accepted == 0)
                        run_once(p);
                transfer(fd, p->accepted[0], MIB, MIB);
                close(fd);
                close(p->accepted[0]);
        }
        netstack_cancel(listener);
}

/* --- UDP and echo --- */

static int udp_open(Pair *p, Netstack *s, uint16_t port) {
        p->dialed = INT_MIN;
        assert_int_equal(netstack_udp(s, port, on_dialed, p, NULL), 0);
        while (p->dialed == INT_MIN)
                run_once(p);
        assert_true(p->dialed >= 0);
        return p->dialed;
}

static void udp_send(int fd, const IpAddr *to, uint16_t port, const void *data, size_t len) {
        uint8_t b[NETSTACK_UDP_HEADER_SIZE + 9000] = { to->family == AF_INET6 ? 6 : 4 };

        write_be16(b + 2, port);
        memcpy(b + 4, to->bytes, sizeof to->bytes);
        memcpy(b + NETSTACK_UDP_HEADER_SIZE, data, len);
        assert_int_equal(send(fd, b, NETSTACK_UDP_HEADER_SIZE + len, 0), NETSTACK_UDP_HEADER_SIZE + len);
}

static void
udp_receive(Pair *p, int fd, IpAddr *ret_from, uint16_t *ret_port, const void *data, size_t len) {
        uint8_t b[NETSTACK_UDP_HEADER_SIZE + 9000];

        wait_fd(p, fd, POLLIN);
        assert_int_equal(recv(fd, b, sizeof b, 0), NETSTACK_UDP_HEADER_SIZE + len);
        *ret_from = (IpAddr){ .family = b[0] == 6 ? AF_INET6 : AF_INET };
        assert_true(b[0] == 4 || b[0] == 6);
        memcpy(ret_from->bytes, b + 4, 16);
        *ret_port = read_be16(b + 2);
        assert_memory_equal(b + NETSTACK_UDP_HEADER_SIZE, data, len);
}

static void test_udp(void **state) {
        Pair *p = need(state);
        static const size_t sizes[] = { 0, 1, 1200, 1392, 1393, 8000 };
        int a = udp_open(p, p->client, 0), b = udp_open(p, p->server, UDP_PORT);
        uint8_t data[9000];
        uint16_t port_a, port;
        IpAddr from;

        memset(data, 0x5a, sizeof data);
        for (unsigned family = 0; family < 2; family++) {
                const IpAddr *client = family ? &p->client6 : &p->client4;
                const IpAddr *server = family ? &p->server6 : &p->server4;

                /* A kernel has a new IPv6 address only a moment later, when its work queue has run
                 * (addrconf_dad_work): a datagram is lost till then, a dial says so or asks again. */
                while (dial_at(p, server, 1, 0) != -ECONNREFUSED)
                        ;
                for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                        udp_send(a, server, UDP_PORT, data, sizes[i]);
                        udp_receive(p, b, &from, &port_a, data, sizes[i]);
                        assert_true(ip_equal(&from, client));
                        udp_send(b, &from, port_a, data, sizes[i]);
                        udp_receive(p, a, &from, &port, data, sizes[i]);
                        assert_true(ip_equal(&from, server));
                        assert_int_equal(port, UDP_PORT);
                }
        }
        /* Too short, of no family: dropped. */
        assert_int_equal(send(a, data, 5, 0), 5);
        assert_int_equal(send(a, data, 30, 0), 30);
        udp_send(a, &p->server4, UDP_PORT, "on", 2);
        udp_receive(p, b, &from, &port, "on", 2);
        close(a);
        close(b);
}

static void test_echo(void **state) {
        Pair *p = need(state);
        static const size_t sizes[] = { 0, 56, NETSTACK_ECHO_MAX };

        for (size_t i = 0; i < ELEMENTSOF(sizes) * 2; i++) {
                const IpAddr *to = i % 2 ? &p->server6 : &p->server4;

                int r;

                /* Again, if it is lost; see above. */
                for (unsigned k = 0; k < 5; k++) {
                        p->called = 0;
                        r =
                                        netstack_echo(p->client, to, sizes[i / 2], USEC_PER_SEC,
                                                      on_echoed, p, NULL);
                        if (r == -EACCES && !p->wire) {
                                print_message("skipped: net.ipv4.ping_group_range allows no ping\n");
                                skip();
                        }
                        assert_int_equal(r, 0);
                        while (p->called == 0)
                                run_once(p);
                        assert_int_equal(p->echo_error, 0);
                        if (p->rtt < USEC_INFINITY)
                                break;
                        print_message("echo %zu: lost\n", i);
                }
                assert_true(p->rtt < USEC_PER_SEC);
        }
        if (!p->wire)
                return;
        netif_wire_set(p->wire, NETIF_WIRE_CUT);
        p->called = 0;
        assert_int_equal(
                        netstack_echo(p->client, &p->server4, 8, 30 * USEC_PER_MSEC, on_echoed, p,
                                      NULL),
                        0);
        while (p->called == 0)
                run_once(p);
        assert_int_equal(p->echo_error, 0);
        assert_true(p->rtt == USEC_INFINITY);
}

int main(int argc, char **argv) {
        static const NetstackCase cases[] = {
                NETSTACK_CASE(test_refused),       NETSTACK_CASE(test_silence),
                NETSTACK_CASE(test_unreachable),   NETSTACK_CASE(test_cancel),
                NETSTACK_CASE(test_bad_arguments), NETSTACK_CASE(test_ports),
                NETSTACK_CASE(test_own_address),   NETSTACK_CASE(test_udp),
                NETSTACK_CASE(test_echo),
        };

        return netstack_world_run("netstack-calls", cases, ELEMENTSOF(cases), argc, argv);
}
