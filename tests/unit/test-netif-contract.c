/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The contract of netif/netif.h, the same for everything that fulfils it: the mock, a tun, and the
 * interfaces of the two userspace stacks. What they have in common is that who sends an echo
 * request to the interface's address gets an answer; for the mock, which has no stack, the test
 * answers. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "netif/mock.h"
#include "netif/netstack.h"
#include "netif/tun.h"
#include "packet-build.h"

#define MTU 1420
#define PAYLOAD 1000U
#define ECHO_HEADER 8U
#define LOCAL4 0x0a000064U /* 10.0.0.100 */
#define OTHER4 0x0a000065U
#define REMOTE4 0x0a000001U
#define LOCAL6 0x64U /* fd00::64 */
#define REMOTE6 0x1U

typedef struct World {
        sd_event *event;
        Netstack *stack;
        Netif *netif;
        bool is_mock;
} World;

typedef struct Kind {
        const char *name;
        int (*make)(World *w);
} Kind;

/* --- the four --- */

static int make_mock(World *w) {
        w->netif = mock_netif_new("mock0");
        w->is_mock = true;
        return 0;
}

static int make_tun(World *w) {
        const TunOptions options = { .name = "contract0", .fd = -EBADF };
        g_autofree char *error = NULL;
        static bool alone;
        int r;

        alone = alone || unshare(CLONE_NEWNET) == 0;
        r = alone ? tun_new(&options, &w->netif, &error) : -EPERM;
        if (r < 0)
                print_message("skipped: %s\n", error ?: "a network namespace needs root");
        return r;
}

static int make_stack(World *w, NetstackEngine engine) {
        g_autofree char *reason = NULL;
        int r = netstack_new(w->event, engine, NULL, MTU, &w->stack, &w->netif, &reason);

        if (r < 0)
                print_message("skipped: %s\n", reason);
        return r;
}

static int make_kernel(World *w) {
        return make_stack(w, NETSTACK_KERNEL);
}

static int make_lwip(World *w) {
        return make_stack(w, NETSTACK_LWIP);
}

static const Kind kinds[] = {
        { "mock", make_mock },
        { "tun", make_tun },
        { "kernel", make_kernel },
        { "lwip", make_lwip },
};

/* --- fixture --- */

static IpAddr local6(void) {
        IpAddr a = { .family = AF_INET6 };

        build_address6(a.bytes, LOCAL6);
        return a;
}

static void configure(World *w, uint32_t v4, bool v6) {
        IpAddr address = {}, address6 = {};

        if (v4 != 0)
                address = ip_from_v4(v4);
        if (v6)
                address6 = local6();
        assert_int_equal(w->netif->ops->configure(w->netif, &address, 16, &address6, 64, MTU), 0);
}

static int setup(void **state) {
        const Kind *kind = *state;
        World *w = NEW(World);

        *state = w;
        assert_return_code(sd_event_new(&w->event), 0);
        if (kind->make(w) >= 0)
                configure(w, LOCAL4, true);
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        if (w->stack)
                netstack_free(w->stack);
        else
                netif_free(w->netif);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static World *need(void **state) {
        World *w = *state;

        if (!w->netif)
                skip();
        return w;
}

/* --- echo requests --- */

static void fill(uint8_t *payload, unsigned number) {
        for (unsigned i = 0; i < PAYLOAD; i++)
                payload[i] = (uint8_t) (i * 7 + number);
}

/* RFC 792; RFC 4443 section 4.1, whose sum begins with a pseudo header. */
static size_t echo_request(uint8_t *p, bool v6, uint32_t to, unsigned number) {
        size_t ip = v6 ? 40 : 20, len = ECHO_HEADER + PAYLOAD;
        uint8_t *icmp = p + ip;
        uint16_t sum = 0;

        memset(p, 0, ip + ECHO_HEADER);
        if (v6) {
                uint8_t pseudo[40] = {};

                p[0] = 0x60;
                build16(p + 4, (unsigned) len);
                p[6] = 58;
                p[7] = 64;
                build_address6(p + 8, REMOTE6);
                build_address6(p + 24, to);
                memcpy(pseudo, p + 8, 32);
                build32(pseudo + 32, (uint32_t) len);
                pseudo[39] = 58;
                sum = slow_sum(pseudo, sizeof pseudo, 0);
        } else {
                p[0] = 0x45;
                build16(p + 2, (unsigned) (ip + len));
                p[8] = 64;
                p[9] = 1;
                build32(p + 12, REMOTE4);
                build32(p + 16, to);
                build16(p + 10, (uint16_t) ~slow_sum(p, ip, 0));
        }
        icmp[0] = v6 ? 128 : 8;
        build16(icmp + 6, number);
        fill(icmp + ECHO_HEADER, number);
        build16(icmp + 2, (uint16_t) ~slow_sum(icmp, len, sum));
        return ip + len;
}

/* Return: the number of the request @p answers, or -1: it is something else. */
static int echo_reply(const uint8_t *p, size_t len, bool v6) {
        size_t ip = v6 ? 40 : 20;
        uint8_t wanted[PAYLOAD];
        unsigned number;

        if (len != ip + ECHO_HEADER + PAYLOAD || p[0] >> 4 != (v6 ? 6 : 4) ||
            p[v6 ? 6 : 9] != (v6 ? 58 : 1) || p[ip] != (v6 ? 129 : 0))
                return -1;
        number = (unsigned) (p[ip + 6] << 8 | p[ip + 7]);
        fill(wanted, number);
        assert_memory_equal(p + ip + ECHO_HEADER, wanted, PAYLOAD);
        return (int) number;
}

/* What a stack would do with what the mock was given. */
static void mock_answers(Netif *n) {
        IpAddr local = mock_netif_address(n);
        GBytes *g;

        while ((g = mock_netif_app_received(n, NULL))) {
                g_autofree uint8_t *p = g_memdup2(g_bytes_get_data(g, NULL), g_bytes_get_size(g));
                size_t len = g_bytes_get_size(g);

                g_bytes_unref(g);
                if (len < 28 || p[0] != 0x45 || !ip_is_set(&local) ||
                    memcmp(p + 16, local.bytes, 4) != 0)
                        continue;
                memcpy(p + 16, p + 12, 4);
                memcpy(p + 12, local.bytes, 4);
                p[20] = 0;
                mock_netif_app_send(n, p, len, NULL);
        }
}

static void write_all(World *w, const PacketOut *packets, unsigned count) {
        assert_int_equal(w->netif->ops->write_batch(w->netif, packets, count, &(unsigned){ 0 }), count);
        if (w->is_mock)
                mock_answers(w->netif);
}

/* The next batch, of at most @max; waits for it. */
static unsigned read_some(World *w, PacketIn *in, unsigned max) {
        struct pollfd p = { .fd = w->netif->ops->fd(w->netif), .events = POLLIN };
        int k;

        assert_true(p.fd >= 0);
        do {
                assert_int_equal(poll(&p, 1, 10000), 1);
                k = w->netif->ops->read_batch(w->netif, in, max);
                assert_in_range(k, 0, max);
        } while (k == 0);
        return (unsigned) k;
}

/* The number of the next answer; what else the stack says is passed over. */
static int next_reply(World *w, bool v6) {
        for (;;) {
                PacketIn in;
                int number;

                (void) read_some(w, &in, 1);
                number = echo_reply(in.data, in.len, v6);
                if (number >= 0)
                        return number;
        }
}

static void ask(World *w, bool v6, uint32_t to, unsigned number, unsigned pieces) {
        uint8_t packet[40 + ECHO_HEADER + PAYLOAD];
        size_t len = echo_request(packet, v6, to, number), done;
        PacketOut out = { .n_iov = pieces };

        /* The first has all headers, the rest is gathered. */
        done = pieces == 1 ? len : len - PAYLOAD + 1;
        out.iov[0] = (struct iovec){ packet, done };
        for (unsigned i = 1; i < pieces; i++) {
                size_t piece = i + 1 < pieces ? 7 : len - done;

                out.iov[i] = (struct iovec){ packet + done, piece };
                done += piece;
        }
        write_all(w, &out, 1);
}

/* A kernel takes nothing for a new IPv6 address before a work queue of its own has run. */
static void answers6(World *w, unsigned number) {
        struct pollfd p = { .fd = w->netif->ops->fd(w->netif), .events = POLLIN };

        for (unsigned tries = 0; tries < 1000; tries++) {
                ask(w, true, LOCAL6, number, 1);
                while (poll(&p, 1, 10) == 1) {
                        PacketIn in;

                        (void) read_some(w, &in, 1);
                        if (echo_reply(in.data, in.len, true) == (int) number)
                                return;
                }
        }
        fail_msg("no answer");
}

/* --- the contract --- */

static void test_description(void **state) {
        World *w = need(state);
        int fd = w->netif->ops->fd(w->netif);

        assert_true(w->netif->ops->name[0] != '\0');
        assert_true(w->netif->name[0] != '\0' && memchr(w->netif->name, '\0', sizeof w->netif->name));
        assert_true(fd >= 0);
        ask(w, false, LOCAL4, 1, 1);
        assert_int_equal(next_reply(w, false), 1);
        assert_int_equal(w->netif->ops->fd(w->netif), fd);
}

static void test_gathers(void **state) {
        World *w = need(state);

        for (unsigned pieces = 1; pieces <= PACKET_OUT_IOV_MAX; pieces++) {
                ask(w, false, LOCAL4, pieces, pieces);
                assert_int_equal(next_reply(w, false), pieces);
        }
}

static void test_ipv6(void **state) {
        World *w = need(state);

        if (w->is_mock)
                skip(); /* nobody answers in its place */
        answers6(w, 6);
}

/* One batch in; out it comes in batches that are no larger than was asked for, each packet once and
 * in order. */
static void test_batches(void **state) {
        enum { COUNT = 10, MAX = 3 };
        World *w = need(state);
        uint8_t packets[COUNT][20 + ECHO_HEADER + PAYLOAD];
        g_autofree PacketOut *out = g_new0(PacketOut, COUNT);
        unsigned next = 0;

        for (unsigned i = 0; i < COUNT; i++) {
                out[i].n_iov = 1;
                out[i].iov[0] = (struct iovec){ packets[i],
                                                echo_request(packets[i], false, LOCAL4, i) };
        }
        write_all(w, out, COUNT);
        while (next < COUNT) {
                PacketIn in[MAX];
                unsigned k = read_some(w, in, MAX);

                for (unsigned i = 0; i < k; i++)
                        if (echo_reply(in[i].data, in[i].len, false) >= 0)
                                assert_int_equal(echo_reply(in[i].data, in[i].len, false), next++);
        }
        /* Nothing more, and no wait for it. */
        for (unsigned tries = 0; tries < 2;) {
                PacketIn in;
                int k = w->netif->ops->read_batch(w->netif, &in, 1);

                assert_in_range(k, 0, 1);
                if (k == 0)
                        tries++;
                else
                        assert_int_equal(echo_reply(in.data, in.len, false), -1);
        }
}

/* Addresses are replaced and taken away: what was asked last is what is answered first. */
static void test_configure(void **state) {
        World *w = need(state);

        configure(w, OTHER4, true);
        ask(w, false, LOCAL4, 1, 1);
        ask(w, false, OTHER4, 2, 1);
        assert_int_equal(next_reply(w, false), 2);
        configure(w, LOCAL4, true);
        ask(w, false, OTHER4, 3, 1);
        ask(w, false, LOCAL4, 4, 1);
        assert_int_equal(next_reply(w, false), 4);
        configure(w, 0, true);
        ask(w, false, LOCAL4, 5, 1);
        if (!w->is_mock)
                answers6(w, 6);
        configure(w, LOCAL4, false);
        ask(w, false, LOCAL4, 7, 1);
        assert_int_equal(next_reply(w, false), 7);
}

/* Nothing that looks like a packet and is none does harm, or is in the way of the next. */
static void test_garbage(void **state) {
        static const size_t lengths[] = { 1, 19, 20, 27, 39, 47, 1047 };
        World *w = need(state);
        uint8_t packet[40 + ECHO_HEADER + PAYLOAD];

        for (unsigned i = 0; i < ELEMENTSOF(lengths); i++)
                for (unsigned byte = 0; byte < 20; byte++)
                        for (unsigned v6 = 0; v6 < 2; v6++) {
                                PacketOut out = { .n_iov = 1, .iov[0] = { packet, lengths[i] } };
                                int k;

                                (void) echo_request(packet, v6, v6 ? LOCAL6 : LOCAL4, 99);
                                packet[byte] ^= 0xff;
                                k = w->netif->ops->write_batch(w->netif, &out, 1, &(unsigned){ 0 });
                                assert_in_range(k, 0, 1);
                        }
        if (w->is_mock)
                mock_answers(w->netif);
        ask(w, false, LOCAL4, 5, 1);
        while (next_reply(w, false) != 5)
                ;
}

#define CASE(f)                                                                                    \
        { #f, f }

int main(void) {
        static const struct {
                const char *name;
                CMUnitTestFunction function;
        } cases[] = {
                CASE(test_description), CASE(test_gathers),   CASE(test_ipv6),
                CASE(test_batches),     CASE(test_configure), CASE(test_garbage),
        };
        struct CMUnitTest tests[ELEMENTSOF(cases) * ELEMENTSOF(kinds)];
        size_t n = 0;
        int failed;

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                for (size_t k = 0; k < ELEMENTSOF(cases); k++)
                        tests[n++] = (struct CMUnitTest){
                                .name = g_strdup_printf("%s %s", cases[k].name, kinds[i].name),
                                .test_func = cases[k].function,
                                .setup_func = setup,
                                .teardown_func = teardown,
                                .initial_state = (void *) &kinds[i],
                        };
        failed = _cmocka_run_group_tests("netif-contract", tests, n, NULL, NULL);
        for (size_t i = 0; i < n; i++)
                g_free((char *) tests[i].name);
        return failed;
}
