/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lwIP engine and one member who wants it all. The test is its packet thread: packets are made
 * by hand, so the hostile one answers nothing. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netif/netstack.h"
#include "packet-build.h"

#define MTU 1420
#define HOSTILE 0x0a000042U
#define HONEST 0x0a000043U
#define SERVER 0x0a000064U
#define PORT 7
#define BACKLOG 256

enum {
        FIN = 1,
        SYN = 2,
        RST = 4,
        ACK = 16,
};

typedef struct World {
        sd_event *event;
        Netstack *stack;
        Netif *netif;
        NetstackCall *listener;
        GArray *accepted; /* fds */
        unsigned n_hostile;
        unsigned answered; /* SYN-ACKs read */
        uint32_t sequence; /* of the last one */
} World;

static void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        World *w = userdata;

        g_array_append_val(w->accepted, fd);
        w->n_hostile += read_be32(peer->bytes) == HOSTILE;
}

static void send_tcp(World *w, uint32_t from, uint16_t port, uint8_t flags, uint32_t ack) {
        uint8_t packet[128];
        PacketOut out = { .n_iov = 1 };
        Build b = {
                .source = from,
                .destination = SERVER,
                .sport = port,
                .dport = PORT,
                .ttl = 64,
                .seq = flags & SYN ? 1000 : 1001,
                .ack = ack,
                .flags = flags,
                .window = 65535,
                .payload = packet,
        };

        out.iov[0] = (struct iovec){ packet, build_packet(&b, packet) };
        assert_int_equal(w->netif->ops->write_batch(w->netif, &out, 1, &(unsigned){ 0 }), 1);
}

/* What the stack has to say, SYN-ACKs to @to counted. */
static void receive(World *w, uint32_t to, uint16_t port) {
        PacketIn packets[64];
        int n;

        w->answered = 0;
        while ((n = w->netif->ops->read_batch(w->netif, packets, ELEMENTSOF(packets))) > 0)
                for (int i = 0; i < n; i++) {
                        const uint8_t *p = packets[i].data;

                        if (p[33] != (SYN | ACK) || read_be32(p + 16) != to ||
                            (port != 0 && read_be16(p + 22) != port))
                                continue;
                        w->answered++;
                        w->sequence = read_be32(p + 24);
                }
        assert_int_equal(n, 0);
}

/* Return: whether the three packets made a connection, or at least the first was answered. */
static bool connect_from(World *w, uint32_t from, uint16_t port) {
        send_tcp(w, from, port, SYN, 0);
        receive(w, from, port);
        if (w->answered == 0)
                return false;
        send_tcp(w, from, port, ACK, w->sequence + 1);
        receive(w, from, port);
        return true;
}

static int setup(void **state) {
        g_autofree char *reason = NULL;
        World *w = NEW(World);
        IpAddr address = ip_from_v4(SERVER), none = {};
        uint16_t port;

        *state = w;
        w->accepted = g_array_new(false, false, sizeof(int));
        assert_return_code(sd_event_new(&w->event), 0);
        if (netstack_new(w->event, NETSTACK_LWIP, NULL, MTU, &w->stack, &w->netif, &reason) < 0) {
                print_message("skipped: %s\n", reason);
                return 0;
        }
        assert_int_equal(w->netif->ops->configure(w->netif, &address, 16, &none, 0, MTU), 0);
        assert_int_equal(
                        netstack_listen(w->stack, PORT, BACKLOG, on_accepted, w, &port, &w->listener),
                        0);
        receive(w, 0, 0);
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        for (unsigned i = 0; i < w->accepted->len; i++)
                close(g_array_index(w->accepted, int, i));
        g_array_unref(w->accepted);
        netstack_free(w->stack);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static World *need(void **state) {
        World *w = *state;

        if (!w->stack)
                skip();
        return w;
}

static void await_accepted(World *w, unsigned n) {
        while (w->accepted->len < n) {
                assert_return_code(sd_event_run(w->event, UINT64_MAX), 0);
                /* What the control thread says about it. */
                receive(w, 0, 0);
        }
}

/* SYNs from every port of one address: half the backlog is its, and the others are let in. */
static void test_syn_flood(void **state) {
        World *w = need(state);

        for (unsigned round = 0; round < 3; round++) {
                for (unsigned port = 1024; port < 3024; port++)
                        send_tcp(w, HOSTILE, (uint16_t) port, SYN, 0);
                receive(w, HOSTILE, 0);
                if (round == 0)
                        assert_in_range(w->answered, 100, 128);
                for (unsigned i = 0; i < 20; i++) {
                        assert_true(connect_from(w, HONEST, (uint16_t) (5000 + 100 * round + i)));
                        await_accepted(w, round * 20 + i + 1);
                }
        }
        /* Half-open ones that are given up make room for those that are meant. */
        for (unsigned port = 1024; port < 3024; port++)
                send_tcp(w, HOSTILE, (uint16_t) port, RST, 0);
        receive(w, HOSTILE, 0);
}

/* Over many listeners, too, most of what may wait is not one's. */
static void test_syn_flood_everywhere(void **state) {
        World *w = need(state);
        unsigned answered = 0;

        for (unsigned i = 0; i < 20; i++) {
                NetstackCall *listener;
                uint16_t port;
                uint8_t packet[128];

                assert_int_equal(
                                netstack_listen(w->stack, 0, BACKLOG, on_accepted, w, &port,
                                                &listener),
                                0);
                receive(w, 0, 0);
                for (unsigned k = 0; k < 500; k++) {
                        PacketOut out = { .n_iov = 1 };
                        Build b = {
                                .source = HOSTILE,
                                .destination = SERVER,
                                .sport = (uint16_t) (1024 + k),
                                .dport = port,
                                .ttl = 64,
                                .flags = SYN,
                                .window = 65535,
                                .payload = packet,
                        };

                        out.iov[0] = (struct iovec){ packet, build_packet(&b, packet) };
                        assert_int_equal(
                                        w->netif->ops->write_batch(w->netif, &out, 1, &(unsigned){ 0 }),
                                        1);
                }
                receive(w, HOSTILE, 0);
                answered += w->answered;
        }
        assert_in_range(answered, 256, 512);
        assert_true(connect_from(w, HONEST, 5000));
        await_accepted(w, 1);
}

/* Connections that are made and then say nothing: half of all there may be. */
static void test_idle_connections(void **state) {
        World *w = need(state);
        struct rlimit limit;
        unsigned n = 0;

        /* Two each, and what the daemon keeps. */
        assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
        limit.rlim_cur = limit.rlim_max;
        assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
        if (limit.rlim_cur < 2 * NETSTACK_STREAMS_MAX) {
                print_message("skipped: too few descriptors\n");
                skip();
        }
        for (; n < NETSTACK_STREAMS_MAX / 2; n++) {
                assert_true(connect_from(w, HOSTILE, (uint16_t) (1024 + n)));
                await_accepted(w, n + 1);
        }
        assert_true(connect_from(w, HOSTILE, 1000));
        for (unsigned i = 0; i < 100; i++) {
                assert_true(connect_from(w, HONEST, (uint16_t) (1024 + i)));
                await_accepted(w, n + i + 1);
        }
        assert_int_equal(w->n_hostile, n);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_syn_flood, setup, teardown),
                cmocka_unit_test_setup_teardown(test_syn_flood_everywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(test_idle_connections, setup, teardown),
        };

        return cmocka_run_group_tests_name("netstack-flood", tests, NULL, NULL);
}
