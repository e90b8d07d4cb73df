/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections of every pair of engines: what they carry, how they end, and what is left of them. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netstack-world.h"

#ifdef __SANITIZE_ADDRESS__
#        define LEAK_CONNECTIONS 2000U
#else
#        define LEAK_CONNECTIONS 10000U
#endif

static void test_data_both_ways(void **state) {
        Pair *p = need(state);
        int fd[2];

        connect_pair(p, &p->server4, fd);
        assert_true(ip_equal(&p->peer, &p->client4));
        assert_int_not_equal(p->peer_port, 0);
        transfer(fd[0], fd[1], 8 * MIB, 8 * MIB);
        close(fd[0]);
        close(fd[1]);
}

static void test_data_ipv6(void **state) {
        Pair *p = need(state);
        int fd[2];

        connect_pair(p, &p->server6, fd);
        assert_true(ip_equal(&p->peer, &p->client6));
        transfer(fd[0], fd[1], 3 * MIB, MIB);
        close(fd[0]);
        close(fd[1]);
}

static void test_half_close(void **state) {
        Pair *p = need(state);
        char buf[8];
        int fd[2];

        connect_pair(p, &p->server4, fd);
        assert_int_equal(write(fd[0], "ask", 3), 3);
        assert_return_code(shutdown(fd[0], SHUT_WR), errno);
        read_exactly(p, fd[1], buf, 3);
        assert_memory_equal(buf, "ask", 3);
        assert_int_equal(read_end(p, fd[1]), 0);
        /* The other direction lives. */
        transfer(fd[0], fd[1], 0, MIB);
        close(fd[0]);
        close(fd[1]);
}

/* Both ends closed at once, with data under way: nothing hangs, nothing leaks (the fixture). */
static void test_close_with_data(void **state) {
        Pair *p = need(state);
        int fd[2];

        for (unsigned i = 0; i < 20; i++) {
                connect_pair(p, &p->server4, fd);
                for (unsigned k = 0; k < 2; k++)
                        assert_true(send(fd[k], p, sizeof *p, MSG_DONTWAIT) > 0);
                close(fd[i % 2]);
                assert_true(read_end(p, fd[1 - i % 2]) <= 0);
                close(fd[1 - i % 2]);
        }
}

static void test_data_survives_close(void **state) {
        Pair *p = need(state);
        uint8_t buf[100000];
        int fd[2];

        for (unsigned k = 0; k < 2; k++) {
                size_t sent = 0;
                ssize_t n;

                connect_pair(p, &p->server4, fd);
                memset(buf, (int) k + 7, sizeof buf);
                while ((n = send(fd[k], buf, sizeof buf, MSG_DONTWAIT)) > 0)
                        sent += (size_t) n;
                close(fd[k]);
                while (sent > 0) {
                        size_t part = MIN(sent, sizeof buf);

                        read_exactly(p, fd[1 - k], buf, part);
                        assert_int_equal(buf[part - 1], k + 7);
                        sent -= part;
                }
                assert_int_equal(read_end(p, fd[1 - k]), 0);
                close(fd[1 - k]);
        }
}

/* The peer closes without reading what it was sent. */
static void test_reset(void **state) {
        Pair *p = need(state);
        int fd[2];

        connect_pair(p, &p->server4, fd);
        assert_int_equal(write(fd[0], "never read", 10), 10);
        wait_fd(p, fd[1], POLLIN);
        close(fd[1]);
        wait_fd(p, fd[0], POLLIN);
        (void) read_end(p, fd[0]);
        /* Whatever the reading end saw, writing fails sooner or later. */
        while (send(fd[0], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                ;
        assert_true(errno == EPIPE || errno == ECONNRESET || errno == EAGAIN);
        close(fd[0]);
}

/* A peer that vanishes ends a connection in the time the contract says. lwIP's is its own
 * (TCP_MAXRTX); waiting for either takes minutes. */
static void test_vanishing_peer(void **state) {
        Pair *p = need(state);
        static const struct {
                int level, option, value;
        } expected[] = {
                { SOL_SOCKET, SO_KEEPALIVE, 1 },
                { IPPROTO_TCP, TCP_KEEPIDLE, NETSTACK_KEEPALIVE_IDLE_USEC / USEC_PER_SEC },
                { IPPROTO_TCP, TCP_KEEPINTVL, NETSTACK_KEEPALIVE_INTERVAL_USEC / USEC_PER_SEC },
                { IPPROTO_TCP, TCP_KEEPCNT, NETSTACK_KEEPALIVE_COUNT },
                { IPPROTO_TCP, TCP_USER_TIMEOUT, NETSTACK_UNANSWERED_USEC / USEC_PER_MSEC },
        };
        int fd[2];

        connect_pair(p, &p->server4, fd);
        for (unsigned k = 0; k < 2; k++) {
                if (netstack_engine(k == 0 ? p->client : p->server) != NETSTACK_LWIP)
                        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                                int value = -1;
                                socklen_t len = sizeof value;

                                assert_return_code(
                                                getsockopt(fd[k], expected[i].level,
                                                           expected[i].option, &value, &len),
                                                errno);
                                assert_int_equal(value, expected[i].value);
                        }
                close(fd[k]);
        }
}

static void test_back_pressure(void **state) {
        Pair *p = need(state);
        static uint8_t buf[65536];
        size_t written = 0, got = 0;
        int fd[2];

        connect_pair(p, &p->server4, fd);
        for (unsigned still = 0; still < 3;) {
                struct pollfd q = { .fd = fd[0], .events = POLLOUT };
                ssize_t n = send(fd[0], buf, sizeof buf, MSG_DONTWAIT);

                if (n > 0) {
                        written += (size_t) n;
                        still = 0;
                        continue;
                }
                assert_int_equal(errno, EAGAIN);
                if (poll(&q, 1, 50) == 0)
                        still++;
                /* Two windows and four socket buffers would be 3 MiB for lwIP; the kernel's
                 * buffers are up to tcp_rmem and tcp_wmem, 6 and 4 MiB, twice counted. */
                assert_true(written < 32 * MIB);
        }
        print_message("%zu KiB written before it stopped\n", written / 1024);
        assert_return_code(shutdown(fd[0], SHUT_WR), errno);
        while (got < written) {
                ssize_t n;

                wait_fd(p, fd[1], POLLIN);
                n = read(fd[1], buf, sizeof buf);
                assert_true(n > 0);
                got += (size_t) n;
        }
        assert_int_equal(read_end(p, fd[1]), 0);
        close(fd[0]);
        close(fd[1]);
}

static void test_loss_and_disorder(void **state) {
        Pair *p = need_wire(state);
        int fd[2];

        connect_pair(p, &p->server4, fd);
        netif_wire_set(p->wire, NETIF_WIRE_LOSSY);
        /* Each way apart: the slow sender (lwIP ignores SACK) gets little to send. */
        if (netstack_engine(p->client) == NETSTACK_KERNEL)
                transfer(fd[0], fd[1], 16 * MIB, 100000);
        else
                transfer(fd[0], fd[1], 100000, 16 * MIB);
        close(fd[0]);
        close(fd[1]);
}

/* A round trip of 10 ms, on which the kernel's sockets pace. */
static void test_long_way(void **state) {
        Pair *p = need_wire(state);
        socklen_t len = sizeof(uint64_t);
        uint64_t rate;
        int fd[2];

        netif_wire_set(p->wire, NETIF_WIRE_LONG);
        connect_pair(p, &p->server4, fd);
        transfer(fd[0], fd[1], 8 * MIB, 100000);
        if (netstack_engine(p->client) == NETSTACK_KERNEL) {
                assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len), 0);
                assert_true(rate < UINT64_MAX);
        }
        close(fd[0]);
        close(fd[1]);
}

/* Nothing foreign bytes can do but be dropped; good connections may be reset by a forged flag. */
static void test_mangled_packets(void **state) {
        Pair *p = need_wire(state);
        uint8_t buf[256] = {};
        int fd[2];

        netif_wire_set(p->wire, NETIF_WIRE_MANGLE);
        for (unsigned i = 0; i < 50; i++) {
                const IpAddr *to = i % 2 ? &p->server4 : &p->server6;
                NetstackCall *listener;
                uint16_t port = listen_at(p, &listener);

                p->n_accepted = 0;
                fd[0] = dial_at(p, to, port, 200 * USEC_PER_MSEC);
                if (fd[0] >= 0) {
                        (void) !send(fd[0], buf, sizeof buf, MSG_NOSIGNAL | MSG_DONTWAIT);
                        close(fd[0]);
                }
                p->called = 0;
                assert_int_equal(
                                netstack_echo(p->client, to, 100, 50 * USEC_PER_MSEC, on_echoed, p,
                                              NULL),
                                0);
                while (p->called == 0)
                        run_once(p);
                netstack_cancel(listener);
                for (unsigned k = 0; k < p->n_accepted; k++)
                        close(p->accepted[k]);
        }
        netif_wire_set(p->wire, NETIF_WIRE_GOOD);
        connect_pair(p, &p->server4, fd);
        transfer(fd[0], fd[1], MIB, MIB);
        close(fd[0]);
        close(fd[1]);
}

/* --- many --- */

/* With what the event loop opens for its first timer. */
static unsigned settled_fds(Pair *p) {
        assert_int_equal(dial_at(p, &p->server4, 1, 0), -ECONNREFUSED);
        return count_fds();
}

/* A thousand at once, each with its own bytes. */
static void test_thousand(void **state) {
        enum { N = 1000 };
        Pair *p = need(state);
        static int client[N];
        NetstackCall *listener;
        uint16_t port = listen_at(p, &listener);
        unsigned fds = settled_fds(p);
        unsigned seen_at[N];
        bool seen[N] = {};

        p->n_accepted = 0;
        for (unsigned i = 0; i < N; i++) {
                client[i] = dial_at(p, &p->server4, port, 0);
                assert_true(client[i] >= 0);
                assert_int_equal(write(client[i], &i, sizeof i), sizeof i);
                while (p->n_accepted <= i)
                        run_once(p);
        }
        for (unsigned i = 0; i < N; i++) {
                unsigned k = N;

                read_exactly(p, p->accepted[i], &k, sizeof k);
                assert_true(k < N && !seen[k]);
                seen[k] = true;
                assert_int_equal(write(p->accepted[i], &k, sizeof k), sizeof k);
                read_exactly(p, client[seen_at[i] = k], &k, sizeof k);
                assert_int_equal(k, seen_at[i]);
        }
        for (unsigned i = 0; i < N; i++) {
                close(client[seen_at[i]]);
                assert_int_equal(read_end(p, p->accepted[i]), 0);
                close(p->accepted[i]);
        }
        netstack_cancel(listener);
        /* lwIP's ends close when it has seen the others: that is when the dial after is done. */
        while (count_fds() > fds)
                assert_int_equal(dial_at(p, &p->server4, port, 0), -ECONNREFUSED);
}

static void test_no_leaks(void **state) {
        Pair *p = need(state);
        NetstackCall *listener;
        uint16_t port = listen_at(p, &listener);
        unsigned fds = settled_fds(p);
        bool lwip = netstack_engine(p->client) == NETSTACK_LWIP ||
                    netstack_engine(p->server) == NETSTACK_LWIP;
        /* Of a kernel's socket little is ours to leak. */
        unsigned n = lwip ? LEAK_CONNECTIONS : LEAK_CONNECTIONS / 10;
        size_t before = 0, after;

        for (unsigned i = 0; i < n; i++) {
                char c = 0;
                int fd;

                p->n_accepted = 0;
                fd = dial_at(p, i % 2 ? &p->server4 : &p->server6, port, 0);
                assert_true(fd >= 0);
                assert_int_equal(write(fd, "a", 1), 1);
                while (p->n_accepted == 0)
                        run_once(p);
                read_exactly(p, p->accepted[0], &c, 1);
                /* By turns: who closes first keeps TIME-WAIT, which is bounded. */
                close(i % 4 < 2 ? fd : p->accepted[0]);
                assert_true(read_end(p, i % 4 < 2 ? p->accepted[0] : fd) <= 0);
                close(i % 4 < 2 ? p->accepted[0] : fd);
                if (i == n / 2)
                        before = mallinfo2().uordblks;
        }
        while (count_fds() > fds)
                assert_int_equal(dial_at(p, &p->server4, 1, 0), -ECONNREFUSED);
        after = mallinfo2().uordblks;
        print_message("%u connections: %zd bytes more in the second half\n", n,
                      (ssize_t) (after - before));
        /* lwIP's TIME-WAIT: 2048 of about 300 bytes. */
        assert_true(after < before + MIB);
        netstack_cancel(listener);
}

/* --- life --- */

/* Freed in the middle of everything: no callback, and lwIP's connections end. */
static void test_freed_in_use(void **state) {
        Pair *p = need_wire(state);
        NetstackCall *call;
        int fd[2];

        connect_pair(p, &p->server4, fd);
        assert_true(send(fd[0], p, sizeof *p, MSG_DONTWAIT) > 0);
        p->called = 0;
        assert_int_equal(netstack_dial(p->client, &p->server4, 1, 0, on_dialed, p, &call), 0);
        assert_int_equal(netstack_udp(p->client, 0, on_dialed, p, &call), 0);
        (void) listen_at(p, &call);
        p->wire = netif_wire_free(p->wire);
        if (netstack_engine(p->client) == NETSTACK_LWIP) {
                p->client = netstack_free(p->client);
                (void) read_end(p, fd[0]);
        } else {
                p->client = netstack_free(p->client);
        }
        p->server = netstack_free(p->server);
        while (sd_event_run(p->event, 0) > 0)
                ;
        assert_int_equal(p->called, 0);
        close(fd[0]);
        close(fd[1]);
}

/* A connection that is merely open costs no wake-ups, and works after. */
static void test_idle(void **state) {
        Pair *p = need_wire(state);
        unsigned before;
        char c;
        int fd[2];

        connect_pair(p, &p->server4, fd);
        transfer(fd[0], fd[1], 10, 10);
        close(fd[0]);
        close(fd[1]);
        connect_pair(p, &p->server4, fd);
        /* Delayed acknowledgements and the like go first. */
        (void) poll(NULL, 0, 1200);
        before = netif_wire_wakeups(p->wire);
        (void) poll(NULL, 0, 1500);
        assert_int_equal(netif_wire_wakeups(p->wire) - before, 0);
        assert_int_equal(write(fd[0], "x", 1), 1);
        read_exactly(p, fd[1], &c, 1);
        close(fd[0]);
        close(fd[1]);
}

int main(int argc, char **argv) {
        static const NetstackCase cases[] = {
                NETSTACK_CASE(test_data_both_ways),
                NETSTACK_CASE(test_data_ipv6),
                NETSTACK_CASE(test_half_close),
                NETSTACK_CASE(test_close_with_data),
                NETSTACK_CASE(test_data_survives_close),
                NETSTACK_CASE(test_reset),
                NETSTACK_CASE(test_vanishing_peer),
                NETSTACK_CASE(test_back_pressure),
                NETSTACK_CASE(test_loss_and_disorder),
                NETSTACK_CASE(test_long_way),
                NETSTACK_CASE(test_mangled_packets),
                NETSTACK_CASE(test_thousand),
                NETSTACK_CASE(test_no_leaks),
                NETSTACK_CASE(test_freed_in_use),
                NETSTACK_CASE(test_idle),
        };

        return netstack_world_run("netstack-stream", cases, ELEMENTSOF(cases), argc, argv);
}
