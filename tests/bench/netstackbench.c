/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How fast one connection is between two engines joined back to back, without encryption: what the
 * engines themselves cost. Three threads: one pumps packets, as the packet thread does, one writes
 * and one reads, so on fewer cores they share.
 *
 *   netstackbench [--seconds N] [--mtu N]
 *
 * Prints one JSON object: Mbit/s of payload for each pair, microseconds of a dial, KiB of memory
 * for an idle connection (of this process; the kernel's sockets are not in it).
 */

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netif-wire.h"
#include "netif/netstack.h"

#define IDLE_CONNECTIONS 1000U
#define DIALS 1000U

typedef struct Bench {
        sd_event *event;
        Netstack *client, *server;
        NetifWire *wire;
        IpAddr to;
        uint16_t port;
        int dialed, accepted;
} Bench;

static void on_dialed(void *userdata, int fd) {
        ((Bench *) userdata)->dialed = fd;
}

static void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        ((Bench *) userdata)->accepted = fd;
}

static int connect_one(Bench *b) {
        int r;

        b->dialed = b->accepted = INT_MIN;
        r = netstack_dial(b->client, &b->to, b->port, 0, on_dialed, b, NULL);
        while (r >= 0 && (b->dialed == INT_MIN || (b->dialed >= 0 && b->accepted == INT_MIN)))
                r = sd_event_run(b->event, UINT64_MAX);
        return r < 0 ? r : MIN(b->dialed, 0);
}

typedef struct Reader {
        int fd;
        uint64_t bytes;
} Reader;

static void *reader_thread(void *data) {
        g_autofree uint8_t *buf = g_malloc(1 << 18);
        Reader *r = data;
        struct pollfd p = { .fd = r->fd, .events = POLLIN };

        for (;;) {
                ssize_t n = read(r->fd, buf, 1 << 18);

                if (n > 0)
                        r->bytes += (uint64_t) n;
                else if (n < 0 && errno == EAGAIN)
                        (void) poll(&p, 1, -1);
                else
                        return NULL;
        }
}

/* Return: Mbit/s. */
static double throughput(Bench *b, double seconds) {
        g_autofree uint8_t *buf = g_malloc0(1 << 18);
        struct pollfd p = { .events = POLLOUT };
        Reader reader = {};
        usec_t begin, end;
        GThread *thread;

        if (connect_one(b) < 0)
                return 0;
        reader.fd = b->accepted;
        p.fd = b->dialed;
        thread = g_thread_new("reader", reader_thread, &reader);
        begin = now_usec(CLOCK_MONOTONIC);
        end = begin + (usec_t) (seconds * USEC_PER_SEC);
        while (now_usec(CLOCK_MONOTONIC) < end)
                if (send(b->dialed, buf, 1 << 18, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        if (errno != EAGAIN)
                                break;
                        (void) poll(&p, 1, 100);
                }
        (void) shutdown(b->dialed, SHUT_WR);
        g_thread_join(thread);
        end = now_usec(CLOCK_MONOTONIC);
        close(b->dialed);
        close(b->accepted);
        return (double) reader.bytes * 8 / (double) (end - begin);
}

static double dial_usec(Bench *b) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        for (unsigned i = 0; i < DIALS; i++) {
                if (connect_one(b) < 0)
                        return 0;
                close(b->dialed);
                close(b->accepted);
        }
        return (double) (now_usec(CLOCK_MONOTONIC) - begin) / DIALS;
}

static double idle_kib(Bench *b) {
        static int fds[2 * IDLE_CONNECTIONS];
        size_t before = mallinfo2().uordblks, after;
        unsigned n = 0;

        for (; n < IDLE_CONNECTIONS && connect_one(b) >= 0; n++) {
                fds[2 * n] = b->dialed;
                fds[2 * n + 1] = b->accepted;
        }
        after = mallinfo2().uordblks;
        for (unsigned i = 0; i < 2 * n; i++)
                close(fds[i]);
        return n == IDLE_CONNECTIONS ? (double) (after - before) / 1024 / n : 0;
}

static int run(NetstackEngine client, NetstackEngine server, double seconds, uint16_t mtu, bool first) {
        g_autofree char *why = NULL, *why2 = NULL;
        const IpAddr a = ip_from_v4(0x0a000064), c = ip_from_v4(0x0a000065), none = {};
        Netif *na = NULL, *nb = NULL;
        NetstackCall *listener;
        Bench b = { .to = c };
        int r;

        r = sd_event_new(&b.event);
        if (r < 0)
                return r;
        r = netstack_new(b.event, client, NULL, mtu, &b.client, &na, &why);
        if (r >= 0)
                r = netstack_new(b.event, server, NULL, mtu, &b.server, &nb, &why2);
        if (r < 0) {
                fprintf(stderr, "%s to %s: %s\n", netstack_engine_to_string(client),
                        netstack_engine_to_string(server), why2 ? why2 : why);
        } else {
                struct rusage before, after;
                double rate;

                (void) na->ops->configure(na, &a, 16, &none, 0, mtu);
                (void) nb->ops->configure(nb, &c, 16, &none, 0, mtu);
                b.wire = netif_wire_new(na, nb);
                r = netstack_listen(b.server, 0, 128, on_accepted, &b, &b.port, &listener);
                if (r >= 0) {
                        (void) getrusage(RUSAGE_SELF, &before);
                        rate = throughput(&b, seconds);
                        (void) getrusage(RUSAGE_SELF, &after);
                        printf("%s  \"%s-%s\": { \"mbit_s\": %.0f, \"dial_usec\": %.0f, "
                               "\"idle_kib\": %.2f, \"cpu_s\": %.2f }",
                               first ? "" : ",\n", netstack_engine_to_string(client),
                               netstack_engine_to_string(server), rate, dial_usec(&b), idle_kib(&b),
                               (double) (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
                                         after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                                               (double) (after.ru_utime.tv_usec -
                                                         before.ru_utime.tv_usec +
                                                         after.ru_stime.tv_usec -
                                                         before.ru_stime.tv_usec) /
                                                               1e6);
                        fflush(stdout);
                }
                b.wire = netif_wire_free(b.wire);
        }
        netstack_free(b.client);
        netstack_free(b.server);
        sd_event_unref(b.event);
        return r;
}

int main(int argc, char **argv) {
        static const struct {
                NetstackEngine client, server;
        } pairs[] = {
                { NETSTACK_LWIP, NETSTACK_KERNEL },
                { NETSTACK_KERNEL, NETSTACK_LWIP },
                { NETSTACK_KERNEL, NETSTACK_KERNEL },
        };
        unsigned long mtu = 1420;
        double seconds = 2;
        struct rlimit files;
        bool first = true;

        for (int i = 1; i + 1 < argc; i += 2)
                if (strcmp(argv[i], "--seconds") == 0)
                        seconds = strtod(argv[i + 1], NULL);
                else if (strcmp(argv[i], "--mtu") == 0)
                        mtu = strtoul(argv[i + 1], NULL, 10);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &files);
        }
        puts("{");
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (run(pairs[i].client, pairs[i].server, seconds, (uint16_t) mtu, first) >= 0)
                        first = false;
        puts("\n}");
        return first ? 1 : 0;
}
