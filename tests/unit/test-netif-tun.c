/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real tun in a network namespace of our own: needs root, or says that it did not run. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "netif/tun.h"

static int setup(void **state) {
        static int done;

        if (done == 0)
                done = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 ? 1
                                                                                              : -1;
        *state = done > 0 ? GINT_TO_POINTER(1) : NULL;
        return 0;
}

static void need_root(void **state) {
        if (!*state) {
                print_message("skipped: making a tun interface needs root and /dev/net/tun\n");
                skip();
        }
}

static Netif *make(const char *name, int fd) {
        const TunOptions options = { .name = name, .fd = fd };
        g_autofree char *error = NULL;
        Netif *n = NULL;
        int r = tun_new(&options, &n, &error);

        if (r < 0)
                print_error("%s\n", error);
        assert_int_equal(r, 0);
        assert_null(error);
        return n;
}

static void test_tun_creation(void **state) {
        IpAddr v4 = ip_from_v4(0x0a630001), v6, none = {};
        Netif *n;

        need_root(state);
        assert_int_equal(ip_parse("fd00:99::1", &v6), 0);
        n = make("omerta%d", -EBADF);
        assert_string_equal(n->name, "omerta0");
        assert_int_not_equal(n->ifindex, 0);
        assert_true(n->gso_tcp);
        assert_int_equal(n->ops->configure(n, &v4, 16, &v6, 64, 1420), 0);
        assert_int_equal(
                        system("ip -j addr show dev omerta0 | grep -q '\"mtu\":1420.*10.99.0.1.*fd00:99::1'"),
                        0);
        assert_int_equal(system("ip -j link show dev omerta0 | grep -q '\"txqlen\":100'"), 0);
        /* No address the network did not give. */
        assert_int_not_equal(system("ip -6 -o addr show dev omerta0 | grep -q fe80"), 0);
        assert_int_equal(n->ops->configure(n, &none, 0, &v6, 64, 1400), 0);
        assert_int_not_equal(system("ip -4 -o addr show dev omerta0 | grep -q 10.99"), 0);
        netif_free(n);
        assert_int_not_equal(system("ip link show dev omerta0 2>/dev/null"), 0);
}

/* A restart: the fd survives, the object does not; addresses of before go. */
static void test_tun_adopted(void **state) {
        IpAddr before = ip_from_v4(0x0a630001), after = ip_from_v4(0x0a630002), none = {};
        unsigned ifindex;
        Netif *n;
        int fd;

        need_root(state);
        n = make("omerta7", -EBADF);
        assert_int_equal(n->ops->configure(n, &before, 16, &none, 0, 1420), 0);
        fd = dup(tun_fd(n));
        ifindex = n->ifindex;
        netif_free(n);
        n = make(NULL, fd);
        assert_string_equal(n->name, "omerta7");
        assert_int_equal(n->ifindex, ifindex);
        assert_int_equal(n->ops->configure(n, &after, 16, &none, 0, 1420), 0);
        assert_int_equal(system("ip -4 -o addr show dev omerta7 | grep -q 10.99.0.2"), 0);
        assert_int_not_equal(system("ip -4 -o addr show dev omerta7 | grep -q 10.99.0.1"), 0);
        netif_free(n);
}

static void test_tun_errors(void **state) {
        static const char *const bad[] = { "",   "a/b",   "with space", "sixteen-letters0",
                                           "%s", "x%d%d", "." };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Netif *n = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const TunOptions options = { .name = bad[i], .fd = -EBADF };
                g_autofree char *error = NULL;

                assert_int_equal(tun_new(&options, &n, &error), -EINVAL);
                assert_non_null(error);
                assert_null(n);
        }
        {
                const TunOptions options = { .fd = null };
                g_autofree char *error = NULL;

                assert_true(tun_new(&options, &n, &error) < 0);
                assert_non_null(error);
                /* Not taken over, so not closed. */
                assert_return_code(fcntl(null, F_GETFD), errno);
        }
        need_root(state);
        {
                const TunOptions options = { .name = "lo", .fd = -EBADF };
                g_autofree char *error = NULL;

                assert_true(tun_new(&options, &n, &error) < 0);
                assert_non_null(strstr(error, "lo"));
        }
}

/* A UDP datagram of the kernel comes out with its checksum left to us, and what is written goes
 * in again. */
static void test_tun_packets(void **state) {
        IpAddr v4 = ip_from_v4(0x0a630001), none = {};
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(9),
                                  .sin_addr.s_addr = htonl(0x0a630005) };
        struct pollfd p = { .events = POLLIN };
        PacketOut out = { .n_iov = 1 };
        _cleanup_close_ int s = -EBADF;
        struct sockaddr_in local;
        socklen_t len = sizeof local;
        PacketIn in[8];
        char buf[16];
        Netif *n;
        int k, found = -1;

        need_root(state);
        n = make("omerta3", -EBADF);
        assert_int_equal(n->ops->configure(n, &v4, 16, &none, 0, 1420), 0);
        s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(s, (struct sockaddr *) &to, sizeof to), 0);
        assert_int_equal(getsockname(s, (struct sockaddr *) &local, &len), 0);
        assert_int_equal(send(s, "hello", 5, 0), 5);
        p.fd = n->ops->fd(n);
        assert_int_equal(poll(&p, 1, 5000), 1);
        k = n->ops->read_batch(n, in, ELEMENTSOF(in));
        assert_true(k >= 1);
        for (int i = 0; i < k; i++)
                if (in[i].data[0] == 0x45 && in[i].data[9] == IPPROTO_UDP)
                        found = i;
        assert_true(found >= 0);
        assert_int_equal(in[found].len, 20 + 8 + 5);
        assert_true(in[found].offload.needs_csum);
        assert_int_equal(in[found].offload.csum_start, 20);
        assert_int_equal(in[found].offload.csum_offset, 6);
        /* Turned round it is an answer: the sums stay right. */
        {
                uint8_t *q = in[found].data, swap[4];

                memcpy(swap, q + 12, 4);
                memcpy(q + 12, q + 16, 4);
                memcpy(q + 16, swap, 4);
                memcpy(swap, q + 20, 2);
                memcpy(q + 20, q + 22, 2);
                memcpy(q + 22, swap, 2);
                out.iov[0] = (struct iovec){ q, in[found].len };
                out.offload = in[found].offload;
        }
        assert_int_equal(n->ops->write_batch(n, &out, 1, &(unsigned){ 0 }), 1);
        p.fd = s;
        assert_int_equal(poll(&p, 1, 5000), 1);
        assert_int_equal(recv(s, buf, sizeof buf, 0), 5);
        assert_memory_equal(buf, "hello", 5);
        /* What the kernel will not take is not counted as taken. */
        out.iov[0].iov_len = 1;
        assert_int_equal(n->ops->write_batch(n, &out, 1, &(unsigned){ 0 }), 0);
        /* Somebody deletes the interface. */
        assert_int_equal(system("ip link del omerta3"), 0);
        assert_true(n->ops->read_batch(n, in, ELEMENTSOF(in)) < 0);
        assert_true(n->ops->write_batch(n, &out, 1, &(unsigned){ 0 }) < 0);
        netif_free(n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_tun_creation, setup),
                cmocka_unit_test_setup(test_tun_adopted, setup),
                cmocka_unit_test_setup(test_tun_errors, setup),
                cmocka_unit_test_setup(test_tun_packets, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
