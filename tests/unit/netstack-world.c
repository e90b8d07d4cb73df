/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netstack-world.h"

typedef struct Params {
        const char *name;
        NetstackEngine client, server;
} Params;

static const Params params[] = {
        { "tun", NETSTACK_TUN, NETSTACK_TUN },
        { "kernel-kernel", NETSTACK_KERNEL, NETSTACK_KERNEL },
        { "lwip-kernel", NETSTACK_LWIP, NETSTACK_KERNEL },
        { "kernel-lwip", NETSTACK_KERNEL, NETSTACK_LWIP },
};

static IpAddr ip(const char *text) {
        IpAddr a;

        assert_int_equal(ip_parse(text, &a), 0);
        return a;
}

static int make(sd_event *event, NetstackEngine engine, Netstack **ret, Netif **ret_netif) {
        g_autofree char *reason = NULL;
        int r = netstack_new(event, engine, "lo", MTU, ret, ret_netif, &reason);

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

Pair *need(void **state) {
        Pair *p = *state;

        if (!p->client || !p->server)
                skip();
        return p;
}

Pair *need_wire(void **state) {
        Pair *p = need(state);

        if (!p->wire)
                skip();
        return p;
}

void on_dialed(void *userdata, int fd) {
        Pair *p = userdata;

        p->dialed = fd;
        p->called++;
}

void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        Pair *p = userdata;

        assert_true(fd >= 0);
        p->accepted[p->n_accepted++] = fd;
        p->peer = *peer;
        p->peer_port = port;
}

void on_echoed(void *userdata, int error, usec_t rtt) {
        Pair *p = userdata;

        p->echo_error = error;
        p->rtt = rtt;
        p->called++;
}

void run_once(Pair *p) {
        assert_return_code(sd_event_run(p->event, UINT64_MAX), 0);
}

void await_ipv6(Pair *p) {
        /* Between addresses of loopback nothing is new, and an echo needs ping_group_range. */
        for (unsigned i = 0; p->wire && i < 1000; i++) {
                p->called = 0;
                assert_int_equal(
                                netstack_echo(p->client, &p->server6, 8, 20 * USEC_PER_MSEC,
                                              on_echoed, p, NULL),
                                0);
                while (p->called == 0)
                        run_once(p);
                if (p->echo_error == 0 && p->rtt < USEC_INFINITY)
                        return;
        }
        assert_null(p->wire);
}

int dial_at(Pair *p, const IpAddr *to, uint16_t port, usec_t timeout) {
        unsigned before = p->called;

        p->dialed = INT_MIN;
        assert_int_equal(netstack_dial(p->client, to, port, timeout, on_dialed, p, NULL), 0);
        /* Never from inside the call. */
        assert_int_equal(p->called, before);
        while (p->called == before)
                run_once(p);
        return p->dialed;
}

uint16_t listen_at(Pair *p, NetstackCall **ret) {
        uint16_t port = 0;

        assert_int_equal(netstack_listen(p->server, 0, 128, on_accepted, p, &port, ret), 0);
        assert_int_not_equal(port, 0);
        return port;
}

void connect_pair(Pair *p, const IpAddr *to, int ret[2]) {
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

void wait_fd(Pair *p, int fd, short events) {
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

void read_exactly(Pair *p, int fd, void *buf, size_t len) {
        for (size_t at = 0; at < len;) {
                ssize_t n;

                wait_fd(p, fd, POLLIN);
                n = read(fd, (uint8_t *) buf + at, len - at);
                assert_true(n > 0);
                at += (size_t) n;
        }
}

int read_end(Pair *p, int fd) {
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

void transfer(int client, int server, size_t out, size_t in) {
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

unsigned count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

int netstack_world_run(const char *name, const NetstackCase *cases, size_t n_cases, int argc, char **argv) {
        g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, n_cases * ELEMENTSOF(params));
        struct rlimit files;
        size_t n = 0;
        int failed;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &files);
        }
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        for (size_t i = 0; i < ELEMENTSOF(params); i++)
                for (size_t k = 0; k < n_cases; k++)
                        tests[n++] = (struct CMUnitTest){
                                .name = g_strdup_printf("%s %s", cases[k].name, params[i].name),
                                .test_func = cases[k].function,
                                .setup_func = setup,
                                .teardown_func = teardown,
                                .initial_state = (void *) &params[i],
                        };
        failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
        for (size_t i = 0; i < n; i++)
                g_free((char *) tests[i].name);
        return failed;
}
