/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The contract of netif/netstack.h, for every engine against every other: two stacks joined back
 * to back, client and server. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "config.h"
#include "netif-wire.h"
#include "netif/netstack-internal.h"

#ifdef __SANITIZE_ADDRESS__
#        define LEAK_CONNECTIONS 2000U
#else
#        define LEAK_CONNECTIONS 10000U
#endif
#define MTU 1420
#define UDP_PORT 25353
#define MIB (1024U * 1024U)

typedef struct Params {
        const char *name;
        NetstackEngine client, server;
} Params;

typedef struct Pair {
        sd_event *event;
        Netstack *client, *server;
        Netif *netif[2];
        NetifWire *wire;
        IpAddr client4, client6, server4, server6;
        /* what callbacks found */
        int dialed; /* fd, or error; INT_MIN: not yet */
        int accepted[1100];
        unsigned n_accepted;
        IpAddr peer;
        uint16_t peer_port;
        int echo_error;
        usec_t rtt;
        unsigned called;
} Pair;

static const Params params[] = {
        { "tun", NETSTACK_TUN, NETSTACK_TUN },
        { "kernel-kernel", NETSTACK_KERNEL, NETSTACK_KERNEL },
        { "lwip-kernel", NETSTACK_LWIP, NETSTACK_KERNEL },
        { "kernel-lwip", NETSTACK_KERNEL, NETSTACK_LWIP },
};

/* --- fixture --- */

static IpAddr ip(const char *text) {
        IpAddr a;

        assert_int_equal(ip_parse(text, &a), 0);
        return a;
}

static int make(sd_event *event, NetstackEngine engine, Netstack **ret, Netif **ret_netif) {
        g_autofree char *reason = NULL;
        int r = netstack_new(event, engine, MTU, ret, ret_netif, &reason);

        if (r < 0)
                print_message("skipped: %s: %s\n", netstack_engine_to_string(engine), reason);
        assert_non_null(reason);
        return r;
}

static int setup(void **state) {
        const Params *q = *state;
        Pair *p = NEW(Pair);

        *state = p;
        assert_return_code(sd_event_new(&p->event), 0);
        if (make(p->event, q->client, &p->client, &p->netif[0]) < 0 ||
            make(p->event, q->server, &p->server, &p->netif[1]) < 0)
                return 0;
        if (q->client == NETSTACK_TUN) {
                p->client4 = p->server4 = ip("127.0.0.1");
                p->client6 = p->server6 = ip("::1");
                return 0;
        }
        p->client4 = ip("10.0.0.100");
        p->server4 = ip("10.0.0.101");
        p->client6 = ip("fd00:1::100");
        p->server6 = ip("fd00:1::101");
        assert_int_equal(
                        p->netif[0]->ops->configure(p->netif[0], &p->client4, 16, &p->client6, 64, MTU),
                        0);
        assert_int_equal(
                        p->netif[1]->ops->configure(p->netif[1], &p->server4, 16, &p->server6, 64, MTU),
                        0);
        p->wire = netif_wire_new(p->netif[0], p->netif[1]);
        return 0;
}

static int teardown(void **state) {
        Pair *p = *state;

        p->wire = netif_wire_free(p->wire);
        netstack_free(p->client);
        netstack_free(p->server);
        sd_event_unref(p->event);
        g_free(p);
        return 0;
}

static Pair *need(void **state) {
        Pair *p = *state;

        if (!p->client || !p->server)
                skip();
        return p;
}

static Pair *need_wire(void **state) {
        Pair *p = need(state);

        if (!p->wire)
                skip();
        return p;
}

static void on_dialed(void *userdata, int fd) {
        Pair *p = userdata;

        p->dialed = fd;
        p->called++;
}

static void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        Pair *p = userdata;

        assert_true(fd >= 0);
        p->accepted[p->n_accepted++] = fd;
        p->peer = *peer;
        p->peer_port = port;
}

static void on_echoed(void *userdata, int error, usec_t rtt) {
        Pair *p = userdata;

        p->echo_error = error;
        p->rtt = rtt;
        p->called++;
}

static void run_once(Pair *p) {
        assert_return_code(sd_event_run(p->event, UINT64_MAX), 0);
}

static int dial_at(Pair *p, const IpAddr *to, uint16_t port, usec_t timeout) {
        unsigned before = p->called;

        p->dialed = INT_MIN;
        assert_int_equal(netstack_dial(p->client, to, port, timeout, on_dialed, p, NULL), 0);
        /* Never from inside the call. */
        assert_int_equal(p->called, before);
        while (p->called == before)
                run_once(p);
        return p->dialed;
}

static uint16_t listen_at(Pair *p, NetstackCall **ret) {
        uint16_t port = 0;

        assert_int_equal(netstack_listen(p->server, 0, 128, on_accepted, p, &port, ret), 0);
        assert_int_not_equal(port, 0);
        return port;
}

/* A connection; @ret[0] is the client's. */
static void connect_pair(Pair *p, const IpAddr *to, int ret[2]) {
        NetstackCall *listener;
        uint16_t port = listen_at(p, &listener);

        p->n_accepted = 0;
        ret[0] = dial_at(p, to, port, 0);
        assert_true(ret[0] >= 0);
        while (p->n_accepted == 0)
                run_once(p);
        ret[1] = p->accepted[0];
        netstack_cancel(listener);
}

/* Waits for @events on an fd while the event loop runs. */
static void wait_fd(Pair *p, int fd, short events) {
        for (;;) {
                struct pollfd q[2] = { { .fd = fd, .events = events },
                                       { .fd = sd_event_get_fd(p->event), .events = POLLIN } };

                while (sd_event_run(p->event, 0) > 0)
                        ;
                if (sd_event_prepare(p->event) > 0) {
                        (void) sd_event_dispatch(p->event);
                        continue;
                }
                assert_return_code(poll(q, 2, -1), errno);
                if (sd_event_wait(p->event, 0) > 0)
                        (void) sd_event_dispatch(p->event);
                if (q[0].revents)
                        return;
        }
}

static void read_exactly(Pair *p, int fd, void *buf, size_t len) {
        for (size_t at = 0; at < len;) {
                ssize_t n;

                wait_fd(p, fd, POLLIN);
                n = read(fd, (uint8_t *) buf + at, len - at);
                assert_true(n > 0);
                at += (size_t) n;
        }
}

static int read_end(Pair *p, int fd) {
        uint8_t buf[4096];
        ssize_t n;

        do {
                wait_fd(p, fd, POLLIN);
                n = read(fd, buf, sizeof buf);
        } while (n > 0);
        return n < 0 ? -errno : 0;
}

/* --- transfers --- */

/* Bytes that say where they are, so that a swap or a gap is seen. */
static uint8_t byte_at(size_t i, unsigned salt) {
        uint32_t x = (uint32_t) (i >> 2) * 2654435761U + salt * 40503U;

        return (uint8_t) (x >> (8 * (i & 3)));
}

typedef struct Flow {
        int from, to;
        size_t len, written, checked;
        unsigned salt;
        bool shut, ended;
} Flow;

static void flow_write(Flow *f) {
        uint8_t buf[16384];
        size_t n = MIN(sizeof buf, f->len - f->written);
        ssize_t w;

        for (size_t i = 0; i < n; i++)
                buf[i] = byte_at(f->written + i, f->salt);
        w = n > 0 ? send(f->from, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (w < 0)
                assert_int_equal(errno, EAGAIN);
        else
                f->written += (size_t) w;
        if (f->written == f->len && !f->shut) {
                f->shut = true;
                assert_return_code(shutdown(f->from, SHUT_WR), errno);
        }
}

static void flow_read(Flow *f) {
        uint8_t buf[65536];
        ssize_t n = recv(f->to, buf, sizeof buf, MSG_DONTWAIT);

        if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                return;
        }
        if (n == 0)
                f->ended = true;
        for (ssize_t i = 0; i < n; i++)
                if (buf[i] != byte_at(f->checked + (size_t) i, f->salt))
                        fail_msg("byte %zu is wrong", f->checked + (size_t) i);
        f->checked += (size_t) n;
        assert_true(f->checked <= f->len);
}

static void transfer(int client, int server, size_t out, size_t in) {
        Flow flows[2] = { { .from = client, .to = server, .len = out, .salt = 1 },
                          { .from = server, .to = client, .len = in, .salt = 2 } };

        while (!flows[0].ended || !flows[1].ended) {
                struct pollfd q[2] = { { .fd = client }, { .fd = server } };

                for (unsigned i = 0; i < 2; i++) {
                        if (!flows[i].ended)
                                q[1 - i].events |= POLLIN;
                        if (!flows[i].shut)
                                q[i].events |= POLLOUT;
                }
                assert_return_code(poll(q, 2, -1), errno);
                for (unsigned i = 0; i < 2; i++) {
                        if (!flows[i].shut && (q[i].revents & POLLOUT))
                                flow_write(&flows[i]);
                        if (!flows[i].ended && (q[1 - i].revents & (POLLIN | POLLHUP | POLLERR)))
                                flow_read(&flows[i]);
                }
        }
        assert_int_equal(flows[0].checked, out);
        assert_int_equal(flows[1].checked, in);
}

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

/* A round trip of 10 ms, on which everybody paces. */
static void test_long_way(void **state) {
        Pair *p = need_wire(state);
        static uint8_t buf[256 * 1024];
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
        /* One that ends while it waits to send. */
        connect_pair(p, &p->server4, fd);
        while (send(fd[0], buf, sizeof buf, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                ;
        for (size_t got = 0; got < sizeof buf;) {
                struct pollfd q = { .fd = fd[1], .events = POLLIN };

                assert_int_equal(poll(&q, 1, -1), 1);
                got += (size_t) MAX(recv(fd[1], buf, sizeof buf, MSG_DONTWAIT), (ssize_t) 0);
        }
        close(fd[1]);
        close(fd[0]);
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

static unsigned count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

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

                /* Again, if it is lost: a kernel has a new IPv6 address only a moment later, when
                 * its work queue has run (addrconf_dad_work). */
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

/* --- without a pair --- */

static void test_names(void **state) {
        for (int i = 0; i < _NETSTACK_ENGINE_MAX; i++)
                assert_int_equal(netstack_engine_from_string(netstack_engine_to_string(i)), i);
        assert_int_equal(netstack_engine_from_string("gvisor"), _NETSTACK_ENGINE_INVALID);
        assert_null(netstack_engine_to_string(_NETSTACK_ENGINE_MAX));
}

static void test_reasons(void **state) {
        static const struct {
                const char *file, *text;
                int error;
                const char *expect;
        } cases[] = {
                { "sys/kernel/unprivileged_userns_clone", "0\n", -EPERM,
                  "unprivileged_userns_clone = 0" },
                { "sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", -EACCES,
                  "apparmor_restrict_unprivileged_userns = 1" },
                { "sys/user/max_user_namespaces", "0\n", -ENOSPC, "user.max_user_namespaces = 0" },
                { "sys/user/max_user_namespaces", "100\n", -ENOSPC, "used up" },
                { "sys/kernel/unprivileged_userns_clone", "1\n", -EPERM, "sandbox" },
                { "nothing", "", -ENOSYS, "kernel has no user namespaces" },
                { "nothing", "", -EIO, "Input/output error" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *proc = g_dir_make_tmp("omerta-XXXXXX", NULL);
                g_autofree char *file = g_build_filename(proc, cases[i].file, NULL);
                g_autofree char *dir = g_path_get_dirname(file);
                g_autofree char *remove = g_strdup_printf("rm -r '%s'", proc);
                g_autofree char *reason = NULL;

                assert_return_code(g_mkdir_with_parents(dir, 0700), errno);
                assert_true(g_file_set_contents(file, cases[i].text, -1, NULL));
                reason = netstack_userns_reason(cases[i].error, proc);
                if (!strstr(reason, cases[i].expect))
                        fail_msg("\"%s\" says nothing of \"%s\"", reason, cases[i].expect);
                assert_int_equal(system(remove), 0);
        }
}

/* Where namespaces are forbidden, for real: auto says so and takes lwIP. */
static void test_forbidden(void **state) {
        g_autofree char *uid_map = g_strdup_printf("%u %u 1", geteuid(), geteuid());
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                g_autofree char *reason = NULL;
                sd_event *event;
                Netstack *s;
                Netif *n;
                FILE *f;
                int r;

                if (unshare(CLONE_NEWUSER) < 0)
                        _exit(77);
                f = fopen("/proc/self/uid_map", "we");
                if (!f || fputs(uid_map, f) < 0 || fclose(f) != 0)
                        _exit(77);
                f = fopen("/proc/sys/user/max_user_namespaces", "we");
                if (!f || fputs("0", f) < 0 || fclose(f) != 0)
                        _exit(77);
                if (sd_event_new(&event) < 0)
                        _exit(1);
                r = netstack_new(event, NETSTACK_AUTO, MTU, &s, &n, &reason);
                printf("auto: %d, %s\n", r, reason);
                fflush(stdout);
                if (!strstr(reason, "user.max_user_namespaces = 0"))
                        _exit(2);
#if HAVE_LWIP
                _exit(r == 0 && netstack_engine(s) == NETSTACK_LWIP ? 0 : 3);
#else
                _exit(r == -EOPNOTSUPP ? 0 : 4);
#endif
        }
        assert_return_code(waitpid(pid, &status, 0), errno);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("skipped: no user namespace to forbid them in\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_one_lwip(void **state) {
        g_autofree char *reason = NULL, *reason2 = NULL;
        sd_event *event;
        Netstack *s, *t;
        Netif *n, *m;
        int user, net;

        assert_return_code(sd_event_new(&event), 0);
#if HAVE_LWIP
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, MTU, &s, &n, &reason), 0);
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, MTU, &t, &m, &reason2), -EBUSY);
        assert_non_null(reason2);
        assert_int_equal(netstack_namespaces(s, &user, &net), -EOPNOTSUPP);
        netstack_free(s);
        g_free(g_steal_pointer(&reason));
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, MTU, &s, &n, &reason), 0);
        netstack_free(s);
#else
        (void) t;
        (void) m;
        (void) user;
        (void) net;
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, MTU, &s, &n, &reason), -EOPNOTSUPP);
        print_message("lwip is not built: run tools/get-lwip\n");
#endif
        sd_event_unref(event);
}

#define PAIRED(f)                                                                                  \
        { #f, f }

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                CMUnitTestFunction function;
        } paired[] = {
                PAIRED(test_data_both_ways),
                PAIRED(test_data_ipv6),
                PAIRED(test_half_close),
                PAIRED(test_close_with_data),
                PAIRED(test_data_survives_close),
                PAIRED(test_reset),
                PAIRED(test_back_pressure),
                PAIRED(test_loss_and_disorder),
                PAIRED(test_long_way),
                PAIRED(test_mangled_packets),
                PAIRED(test_refused),
                PAIRED(test_silence),
                PAIRED(test_unreachable),
                PAIRED(test_cancel),
                PAIRED(test_bad_arguments),
                PAIRED(test_ports),
                PAIRED(test_own_address),
                PAIRED(test_thousand),
                PAIRED(test_no_leaks),
                PAIRED(test_udp),
                PAIRED(test_echo),
                PAIRED(test_freed_in_use),
                PAIRED(test_idle),
        };
        static const struct CMUnitTest single[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_reasons),
                cmocka_unit_test(test_forbidden),
                cmocka_unit_test(test_one_lwip),
        };
        struct CMUnitTest tests[ELEMENTSOF(single) + ELEMENTSOF(paired) * ELEMENTSOF(params)];
        struct rlimit files;
        size_t n = ELEMENTSOF(single);
        int failed;

        memcpy(tests, single, sizeof single);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &files);
        }
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        for (size_t i = 0; i < ELEMENTSOF(params); i++)
                for (size_t k = 0; k < ELEMENTSOF(paired); k++)
                        tests[n++] = (struct CMUnitTest){
                                .name = g_strdup_printf("%s %s", paired[k].name, params[i].name),
                                .test_func = paired[k].function,
                                .setup_func = setup,
                                .teardown_func = teardown,
                                .initial_state = (void *) &params[i],
                        };
        failed = _cmocka_run_group_tests("netstack", tests, n, NULL, NULL);
        for (size_t i = ELEMENTSOF(single); i < n; i++)
                g_free((char *) tests[i].name);
        return failed;
}
