/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/endpoint.h"
#include "base/macros.h"
#include "proxy/listener.h"
#include "proxy/relay.h"

/* Turns of the loop after which something must have stopped: more is a loop that spins. */
#define TURNS_MAX 100000U

/* left -- a [relay] b -- right */
typedef struct World {
        sd_event *event;
        RelayLoop *loop;
        Relay *relay;
        RelayCounters counters;
        int left, right;
        bool ended;
        int error;
} World;

static unsigned open_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void on_ended(void *userdata, int error) {
        World *w = userdata;

        assert_false(w->ended);
        w->ended = true;
        w->error = error;
        w->relay = relay_free(w->relay);
}

static void settle(World *w) {
        for (unsigned i = 0; i < TURNS_MAX; i++)
                if (sd_event_run(w->event, 0) == 0)
                        return;
        fail_msg("the loop spins");
}

/* Until something has happened: at @fd, or that the relay has to do with. */
static void wait_at(World *w, int fd) {
        struct pollfd p[] = {
                { .fd = fd, .events = POLLIN },
                { .fd = sd_event_get_fd(w->event), .events = POLLIN },
        };

        settle(w);
        (void) poll(p, ELEMENTSOF(p), -1);
}

static void run_until_ended(World *w) {
        while (!w->ended)
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
}

static void pair(bool tcp, int ret[2]) {
        Endpoint e = { .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
        int listening, one = 1;

        if (!tcp) {
                assert_int_equal(
                                socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                           ret),
                                0);
                return;
        }
        listening = listener_open(&e);
        assert_true(listening >= 0);
        e = listener_local(listening);
        ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(ret[0], &e.sa, endpoint_len(&e)), 0);
        ret[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(ret[1] >= 0);
        /* Else the last piece waits for an acknowledgement that takes its time. */
        (void) setsockopt(ret[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        close(listening);
}

static void world_open(World *w, bool tcp, const char *head) {
        int a[2], b[2];

        pair(tcp, a);
        pair(tcp, b);
        w->left = a[0];
        w->right = b[0];
        w->ended = false;
        assert_int_equal(
                        relay_new(w->loop, a[1], b[1], (const uint8_t *) head, strlen(head),
                                  &w->counters, on_ended, w, &w->relay),
                        0);
}

static void world_close(World *w) {
        w->relay = relay_free(w->relay);
        close(w->left);
        close(w->right);
}

static int setup(void **state) {
        World *w = NEW(World);

        assert_true(sd_event_new(&w->event) >= 0);
        assert_int_equal(relay_loop_new(w->event, &w->loop), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        relay_loop_free(w->loop);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static void say(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static ssize_t hear(World *w, int fd, char *buf, size_t size) {
        ssize_t n;

        settle(w);
        while ((n = recv(fd, buf, size, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
                wait_at(w, fd);
        return n;
}

static void hears(World *w, int fd, const char *text) {
        char buf[64] = {};

        for (size_t at = 0; at < strlen(text);) {
                ssize_t n = hear(w, fd, buf + at, sizeof buf - at);

                assert_true(n > 0);
                at += (size_t) n;
        }
        assert_string_equal(buf, text);
}

static void hears_end(World *w, int fd) {
        char c;

        assert_int_equal(hear(w, fd, &c, 1), 0);
}

static void test_both_ways(void **state) {
        World *w = *state;

        world_open(w, false, "head ");
        say(w->left, "there");
        hears(w, w->right, "head there");
        say(w->right, "and back");
        hears(w, w->left, "and back");
        assert_int_equal(w->counters.a_to_b, 10);
        assert_int_equal(w->counters.b_to_a, 8);
        assert_int_equal(relay_kept(w->relay), 0);
        assert_int_equal(relay_loop_pipes(w->loop), 0); /* little is copied */
        world_close(w);
}

/* RFC 9293 section 3.6: a half that has ended says nothing about the other. */
static void test_half_close(void **state) {
        World *w = *state;

        for (unsigned i = 0; i < 4; i++) {
                bool tcp = i & 1, left_first = i & 2;
                int first, second;

                world_open(w, tcp, "");
                first = left_first ? w->left : w->right;
                second = left_first ? w->right : w->left;
                say(first, "question");
                shutdown(first, SHUT_WR);
                hears(w, second, "question");
                hears_end(w, second);
                assert_false(w->ended);
                say(second, "answer");
                hears(w, first, "answer");
                say(second, "more");
                shutdown(second, SHUT_WR);
                hears(w, first, "more");
                hears_end(w, first);
                assert_true(w->ended);
                assert_int_equal(w->error, 0);
                world_close(w);
        }
}

/* One side closes at once after its last byte; nothing of it is lost. */
static void test_last_words(void **state) {
        World *w = *state;

        for (unsigned tcp = 0; tcp < 2; tcp++) {
                world_open(w, tcp, "");
                say(w->left, "last words");
                close(w->left);
                w->left = -EBADF;
                hears(w, w->right, "last words");
                hears_end(w, w->right);
                while (!w->ended) {
                        (void) send(w->right, "to nobody", 9, MSG_NOSIGNAL);
                        assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
                }
                assert_int_equal(w->error, 0);
                world_close(w);
        }
}

static uint8_t pattern(uint64_t at) {
        return (uint8_t) (at * 2654435761U >> 13);
}

static uint64_t write_pattern(int fd, uint64_t at, size_t piece) {
        g_autofree uint8_t *buf = g_malloc(piece);
        uint64_t n = 0;

        for (;;) {
                ssize_t sent;

                for (size_t i = 0; i < piece; i++)
                        buf[i] = pattern(at + n + i);
                sent = send(fd, buf, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent < 0)
                        return n;
                n += (uint64_t) sent;
        }
}

static uint64_t read_pattern(int fd, uint64_t at) {
        uint8_t buf[65536];
        uint64_t n = 0;
        ssize_t got;

        while ((got = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
                for (ssize_t i = 0; i < got; i++, n++)
                        if (buf[i] != pattern(at + n))
                                fail_msg("byte %" G_GUINT64_FORMAT " is wrong", at + n);
        return n;
}

/* Reads what comes at @fd until it is @all. */
static void read_all(World *w, int fd, uint64_t at, uint64_t all) {
        while (at < all) {
                uint64_t n = read_pattern(fd, at);

                at += n;
                if (n == 0)
                        wait_at(w, fd);
                else
                        settle(w);
        }
        assert_int_equal(at, all);
}

/* Nobody reads: the writer is stopped, we keep a bounded amount, the loop sleeps. */
static void test_slow_reader(void **state) {
        static const size_t pieces[] = { 100, 5000, 65536, 1024U * 1024U };
        World *w = *state;

        for (unsigned i = 0; i < 2 * ELEMENTSOF(pieces); i++) {
                uint64_t written = 0, n;

                world_open(w, i & 1, "");
                for (unsigned idle = 0; idle < 3;) {
                        n = write_pattern(w->left, written, pieces[i / 2]);
                        written += n;
                        settle(w);
                        idle = n > 0 ? 0 : idle + 1;
                }
                assert_true(relay_kept(w->relay) > 0);
                assert_true(relay_kept(w->relay) <= RELAY_PIPE_SIZE);
                assert_true(relay_loop_pipes(w->loop) <= 1);
                /* The other way is open meanwhile. */
                say(w->right, "hurry up");
                hears(w, w->left, "hurry up");

                shutdown(w->left, SHUT_WR);
                read_all(w, w->right, 0, written);
                hears_end(w, w->right);
                world_close(w);
        }
}

/* The writer has gone while its reader still does not read: what it said arrives, the loop sleeps
 * although the kernel says "hung up" all the time. */
static void test_gone_writer(void **state) {
        World *w = *state;

        for (unsigned tcp = 0; tcp < 2; tcp++) {
                uint64_t written = 0, n;

                world_open(w, tcp, "");
                shutdown(w->right, SHUT_WR);
                settle(w);
                while ((n = write_pattern(w->left, written, 65536)) > 0) {
                        written += n;
                        settle(w);
                }
                close(w->left);
                w->left = -EBADF;
                settle(w);
                assert_false(w->ended);
                read_all(w, w->right, 0, written);
                run_until_ended(w);
                assert_int_equal(w->error, 0);
                world_close(w);
        }
}

/* A reset is passed on: half a transfer is not taken for a whole one. */
static void test_reset(void **state) {
        static const struct linger reset = { .l_onoff = 1 };
        World *w = *state;

        for (unsigned blocked = 0; blocked < 2; blocked++) {
                uint64_t written = 0;
                ssize_t n;
                char c;

                world_open(w, true, "");
                while (blocked && (written = write_pattern(w->left, 0, 65536)) > 0)
                        settle(w);
                setsockopt(w->left, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(w->left);
                w->left = -EBADF;
                run_until_ended(w);
                assert_int_equal(w->error, -ECONNRESET);
                while ((n = hear(w, w->right, &c, 1)) == 1)
                        assert_true(blocked);
                assert_int_equal(n, -1);
                assert_int_equal(errno, ECONNRESET);
                world_close(w);
        }
}

/* Freed in the middle: the same. */
static void test_freed(void **state) {
        World *w = *state;
        char c;

        world_open(w, true, "");
        settle(w);
        w->relay = relay_free(w->relay);
        assert_int_equal(recv(w->left, &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(recv(w->right, &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_false(w->ended);
        world_close(w);
}

/* More relays want a pipe than there are: the rest copy, every byte arrives, and whatever a relay
 * held when it died is given back. */
static void test_pipes(void **state) {
        World *shared = *state;
        World *all = g_new0(World, RELAY_PIPES_MAX + 8);
        unsigned n = RELAY_PIPES_MAX + 8, before = open_fds();
        g_autofree uint64_t *written = g_new0(uint64_t, n), *got = g_new0(uint64_t, n);
        bool more = true;

        for (unsigned i = 0; i < n; i++) {
                all[i].event = shared->event;
                all[i].loop = shared->loop;
                world_open(&all[i], false, "");
        }
        while (more) {
                more = false;
                for (unsigned i = 0; i < n; i++) {
                        uint64_t k = write_pattern(all[i].left, written[i], 65536);

                        written[i] += k;
                        more = more || k > 0;
                }
                settle(shared);
        }
        assert_int_equal(relay_loop_pipes(shared->loop), RELAY_PIPES_MAX);
        for (unsigned i = 0; i < n; i++)
                assert_true(relay_kept(all[i].relay) > 0);
        /* Every other one dies with what it holds. */
        for (unsigned i = 0; i < n; i += 2)
                all[i].relay = relay_free(all[i].relay);
        assert_true(relay_loop_pipes(shared->loop) < RELAY_PIPES_MAX);
        for (more = true; more;) {
                more = false;
                for (unsigned i = 1; i < n; i += 2) {
                        uint64_t k = read_pattern(all[i].right, got[i]);

                        got[i] += k;
                        more = more || k > 0;
                }
                settle(shared);
        }
        for (unsigned i = 0; i < n; i++) {
                if (i & 1)
                        assert_int_equal(got[i], written[i]);
                world_close(&all[i]);
        }
        assert_int_equal(open_fds(), before + 2 * relay_loop_pipes(shared->loop));
        g_free(all);
}

/* Random pieces both ways, random readers. */
static void test_random(void **state) {
        World *w = *state;
        unsigned seed = g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        print_message("seed %u\n", seed);
        for (unsigned round = 0; round < 20; round++) {
                uint64_t sent[2] = {}, got[2] = {};
                uint8_t buf[100000];
                int fd[2];

                world_open(w, round & 1, "");
                fd[0] = w->left;
                fd[1] = w->right;
                for (unsigned step = 0; step < 400; step++) {
                        unsigned i = (unsigned) g_rand_int_range(rand, 0, 2);
                        size_t size = 1U << g_rand_int_range(rand, 0, 17);
                        ssize_t n;

                        size = MIN(size, sizeof buf);
                        if (g_rand_boolean(rand)) {
                                for (size_t k = 0; k < size; k++)
                                        buf[k] = pattern(sent[i] + k);
                                n = send(fd[i], buf, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                                sent[i] += (uint64_t) MAX(n, 0);
                        } else {
                                n = recv(fd[i], buf, size, MSG_DONTWAIT);
                                for (ssize_t k = 0; k < n; k++, got[!i]++)
                                        assert_int_equal(buf[k], pattern(got[!i]));
                        }
                        (void) sd_event_run(w->event, 0);
                }
                read_all(w, fd[1], got[0], sent[0]);
                read_all(w, fd[0], got[1], sent[1]);
                shutdown(fd[0], SHUT_WR);
                shutdown(fd[1], SHUT_WR);
                run_until_ended(w);
                assert_int_equal(w->error, 0);
                world_close(w);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
                cmocka_unit_test_setup_teardown(test_half_close, setup, teardown),
                cmocka_unit_test_setup_teardown(test_last_words, setup, teardown),
                cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
                cmocka_unit_test_setup_teardown(test_gone_writer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
                cmocka_unit_test_setup_teardown(test_freed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pipes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
