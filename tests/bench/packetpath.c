/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The packet path alone, point to point with fixed keys: to measure and try it without the rest
 * of the daemon. No handshake, so no security: both ends derive their keys from nothing.
 *
 *   packetpath -i DEV -e LOCAL:PORT -E REMOTE:PORT -n 1|2 [-b BACKEND] [-c CIPHER] [-m MTU]
 *
 * End 1 has the addresses 10.99.0.1 and fd00:99::1, end 2 those ending in 2. Runs until SIGTERM or
 * SIGINT and then prints its counters as one line of "name=value" words.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <poll.h>
#include <unistd.h>

#include "base/macros.h"
#include "dataplane/dataplane.h"
#include "netif/tun.h"

#define INDEX_HIGH 1U /* the same at both ends, so each knows the other's index */

typedef struct Options {
        const char *device, *backend;
        Cipher cipher;
        unsigned end;
        uint16_t mtu;
        Endpoint local, remote;
} Options;

static int fail(const char *what, int r) {
        fprintf(stderr, "%s: %s\n", what, strerror(-r));
        return r;
}

/* Messages nobody asked for: the instrument has one peer and one key. */
static void on_datagram(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
}
static void
on_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
}
static void on_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
}
static void on_want_session(void *userdata, PacketPeer *peer) {
}
static void on_failed(void *userdata, Netif *netif, int error) {
        fail("interface or socket", error);
        exit(EXIT_FAILURE);
}

static int parse_options(int argc, char **argv, Options *o) {
        int c;

        *o = (Options){ .device = "omerta0", .cipher = CIPHER_AES_256_GCM, .mtu = OMERTA_MTU_DEFAULT };
        while ((c = getopt(argc, argv, "i:e:E:n:b:c:m:")) >= 0)
                switch (c) {
                case 'i':
                        o->device = optarg;
                        break;
                case 'e':
                case 'E':
                        if (endpoint_parse(optarg, OMERTA_PORT_DEFAULT,
                                           c == 'e' ? &o->local : &o->remote) < 0)
                                return fail(optarg, -EINVAL);
                        break;
                case 'n':
                        o->end = (unsigned) atoi(optarg);
                        break;
                case 'b':
                        o->backend = optarg;
                        break;
                case 'c':
                        o->cipher = strcmp(optarg, "chacha20-poly1305") == 0
                                                    ? CIPHER_CHACHA20_POLY1305
                                                    : CIPHER_AES_256_GCM;
                        break;
                case 'm':
                        o->mtu = (uint16_t) atoi(optarg);
                        break;
                default:
                        return -EINVAL;
                }
        if ((o->end != 1 && o->end != 2) || !endpoint_is_set(&o->local) ||
            !endpoint_is_set(&o->remote)) {
                fprintf(stderr,
                        "usage: packetpath -i DEV -e LOCAL:PORT -E REMOTE:PORT -n 1|2 "
                        "[-b BACKEND] [-c CIPHER] [-m MTU]\n");
                return -EINVAL;
        }
        return 0;
}

static Keypair *make_keypair(const Options *o, IndexTable *indices) {
        uint8_t key[2][32];
        Keypair *kp;
        uint32_t index;

        memset(key[0], 1, 32);
        memset(key[1], 2, 32);
        /* Made a day from now: it does not expire. */
        kp =
                        keypair_new(o->cipher, key[o->end - 1], key[2 - o->end], o->end == 1,
                                    now_usec(CLOCK_BOOTTIME) + USEC_PER_DAY);
        if (!kp)
                return NULL;
        for (const AeadBackend *const *b = aead_backends(); o->backend && *b; b++)
                if (strcmp((*b)->name, o->backend) == 0 && (*b)->cipher == o->cipher) {
                        aead_key_init(&kp->send, *b, key[o->end - 1]);
                        aead_key_init(&kp->receive, *b, key[2 - o->end]);
                }
        if (index_table_reserve(indices, INDEX_HIGH, NULL, &index) < 0)
                return NULL;
        kp->local_index = kp->remote_index = index;
        return kp;
}

static void retire_now(void *userdata, void *object, void (*destroy)(void *object)) {
        destroy(object);
}

static usec_t env_now_usec(void *userdata) {
        return now_usec(CLOCK_BOOTTIME);
}

static RouteTable *make_routes(const Options *o, PacketPeer *peer, IpAddr *ret4, IpAddr *ret6) {
        static MeshEnv env = { .now = env_now_usec, .retire = retire_now };
        const unsigned other = 3 - o->end;
        IpPrefix subnet, p4 = { .len = 32 }, p6 = { .len = 128 };
        RouteTable *t;
        IpAddr base6;

        env.timers = timer_queue_new();
        if (ip_prefix_parse("10.99.0.0/24", &subnet) < 0 || ip_parse("fd00:99::", &base6) < 0 ||
            route_table_new(&env, &subnet, &t) < 0)
                return NULL;
        p6.addr = base6;
        p4.addr = *ret4 = ip_from_v4(0x0a630000 + o->end);
        p6.addr.bytes[15] = (uint8_t) o->end;
        *ret6 = p6.addr;
        (void) route_table_set_local(t, &p4);
        (void) route_table_set_local(t, &p6);
        p4.addr = ip_from_v4(0x0a630000 + other);
        p6.addr.bytes[15] = (uint8_t) other;
        (void) route_table_set(t, &p4, peer);
        (void) route_table_set(t, &p6, peer);
        route_table_flush(t);
        return t;
}

/* Peak resident memory; getrusage() would report that of the shell that started us. */
static unsigned long peak_kib(void) {
        g_autofree char *status = NULL;
        const char *p;

        if (!g_file_get_contents("/proc/self/status", &status, NULL, NULL))
                return 0;
        p = strstr(status, "VmHWM:");
        return p ? strtoul(p + strlen("VmHWM:"), NULL, 10) : 0;
}

static void print_stats(Dataplane *d, const DropCounters *drops) {
        DataplaneStats s = dataplane_stats(d);
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        printf("wakeups=%" G_GUINT64_FORMAT " tun_reads=%" G_GUINT64_FORMAT
               " tun_writes=%" G_GUINT64_FORMAT " udp_receives=%" G_GUINT64_FORMAT
               " udp_sends=%" G_GUINT64_FORMAT " packets_out=%" G_GUINT64_FORMAT
               " packets_in=%" G_GUINT64_FORMAT " cpu_ms=%ld peak_kib=%lu",
               s.wakeups, s.tun_reads, s.tun_writes, s.udp_receives, s.udp_sends, s.packets_out,
               s.packets_in,
               u.ru_utime.tv_sec * 1000 + u.ru_utime.tv_usec / 1000 + u.ru_stime.tv_sec * 1000 +
                               u.ru_stime.tv_usec / 1000,
               peak_kib());
        for (DropReason i = 1; i < _DROP_REASON_MAX; i++)
                if (drop_counter(drops, i) > 0)
                        printf(" %s=%" G_GUINT64_FORMAT, drop_reason_to_string(i),
                               drop_counter(drops, i));
        printf("\n");
}

static void wait_for_end(Dataplane *d, const sigset_t *signals) {
        struct pollfd p[2] = { { .fd = signalfd(-1, signals, SFD_CLOEXEC), .events = POLLIN },
                               { .fd = dataplane_fd(d), .events = POLLIN } };

        while (poll(p, 2, -1) >= 0 || errno == EINTR) {
                if (p[0].revents)
                        break;
                (void) dataplane_dispatch(d, 64);
        }
        close(p[0].fd);
}

static int run(const Options *o, const sigset_t *signals) {
        static DropCounters drops;
        static PacketPeer peer;
        const DataplaneConfig config = {
                .indices = index_table_new(),
                .drops = &drops,
                .handler = { NULL, on_datagram, on_frame, on_arrival, on_want_session, on_failed },
        };
        TunOptions tun = { .name = o->device, .fd = -EBADF };
        DataplaneNetwork network = { .mesh = (struct Mesh *) &peer, .drops = &drops };
        PacketTx tx = { .endpoint = o->remote, .mtu = o->mtu };
        g_autofree char *error = NULL;
        IpAddr a4, a6;
        Dataplane *d;
        int r, fd;

        tx.keypair = make_keypair(o, config.indices);
        if (!tx.keypair)
                return fail("keypair", -ENOSYS);
        tx.keypair->peer = &peer;
        peer.mesh = network.mesh;
        peer.accept = true;
        peer.tx = &tx;
        index_table_bind(config.indices, tx.keypair);
        network.routes = make_routes(o, &peer, &a4, &a6);

        r = tun_new(&tun, &network.netif, &error);
        if (r < 0)
                return fail(error, r);
        r = network.netif->ops->configure(network.netif, &a4, 24, &a6, 64, o->mtu);
        if (r < 0)
                return fail("configure", r);
        fd = socket(o->local.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, &o->local.sa, endpoint_len(&o->local)) < 0)
                return fail("socket", -errno);
        r = dataplane_new(&config, &d);
        if (r < 0)
                return fail("dataplane", r);
        r = dataplane_add_socket(d, fd);
        if (r >= 0)
                r = dataplane_add_network(d, &network);
        if (r < 0)
                return fail("dataplane", r);
        fprintf(stderr, "ready: %s, %s\n", network.netif->name, tx.keypair->send.backend->name);
        wait_for_end(d, signals);
        print_stats(d, &drops);
        (void) dataplane_remove_network(d, network.mesh);
        (void) dataplane_remove_socket(d, fd);
        dataplane_free(d);
        netif_free(network.netif);
        close(fd);
        keypair_free(tx.keypair);
        index_table_free(config.indices);
        route_table_free((RouteTable *) network.routes);
        return 0;
}

int main(int argc, char **argv) {
        sigset_t signals;
        Options o;

        if (parse_options(argc, argv, &o) < 0)
                return EXIT_FAILURE;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return run(&o, &signals) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
