/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/macros.h"
#include "plain-dialer.h"
#include "proxy/forward.h"
#include "proxy/listener.h"

#define BANNER "SSH-2.0-OpenSSH"

/* Forwards, and a service that says its name to everybody and keeps the connection. */
typedef struct World {
        sd_event *event;
        PlainDialer *dialer;
        Forwards *forwards;
        Listener *service;
        uint16_t service_port, closed_port;
        GArray *served; /* int: fds */
} World;

static unsigned open_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void on_service_accepted(void *userdata, int fd) {
        World *w = userdata;

        assert_int_equal(send(fd, BANNER, strlen(BANNER), MSG_NOSIGNAL), strlen(BANNER));
        g_array_append_val(w->served, fd);
}

static Endpoint loopback(uint16_t port) {
        return (Endpoint){ .in = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
}

static int setup(void **state) {
        World *w = NEW(World);
        Endpoint local = loopback(0);
        int fd;

        assert_true(sd_event_new(&w->event) >= 0);
        w->dialer = plain_dialer_new(w->event);
        assert_int_equal(
                        forwards_new(w->event, &w->dialer->ops,
                                     &(ForwardsOptions){ .connections_max = 8 }, &w->forwards),
                        0);
        w->served = g_array_new(false, false, sizeof(int));
        fd = listener_open(&local);
        local = listener_local(fd);
        w->service_port = endpoint_port(&local);
        assert_int_equal(listener_new(w->event, fd, on_service_accepted, w, &w->service), 0);
        local = loopback(0);
        fd = listener_open(&local);
        local = listener_local(fd);
        w->closed_port = endpoint_port(&local);
        close(fd);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        for (unsigned i = 0; i < w->served->len; i++)
                close(g_array_index(w->served, int, i));
        g_array_unref(w->served);
        listener_free(w->service);
        forwards_free(w->forwards);
        plain_dialer_free(w->dialer);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static Forward *
add(World *w, ForwardDirection direction, const char *listen, const char *host, uint16_t port) {
        g_autofree char *target = g_strdup_printf("%s:%u", host, port);
        ForwardSpec spec;
        Forward *f;

        assert_int_equal(forward_spec_parse(direction, listen, target, &spec), 0);
        assert_int_equal(forwards_add(w->forwards, &spec, &f), 0);
        return f;
}

static int client(uint16_t port) {
        Endpoint to = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, &to.sa, endpoint_len(&to)), 0);
        return fd;
}

static ssize_t hear(World *w, int fd, void *buf, size_t size) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        while (poll(&p, 1, 0) == 0)
                (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
        return recv(fd, buf, size, 0);
}

static void hears_banner(World *w, int fd) {
        char buf[16] = {};

        assert_int_equal(hear(w, fd, buf, 15), 15);
        assert_string_equal(buf, BANNER);
}

/* The original specification's: what a member says arrives at the local port. */
static void test_port_forward(void **state) {
        World *w = *state;
        Forward *f = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        unsigned before = open_fds();
        int fd;
        char c;

        assert_int_not_equal(forward_port(f), 0);
        fd = client(forward_port(f));
        hears_banner(w, fd);
        assert_int_equal(forward_stats(f).active, 1);
        assert_int_equal(forward_stats(f).accepted, 1);
        assert_int_equal(send(fd, "SSH-2.0-us", 10, 0), 10);
        shutdown(fd, SHUT_WR);
        close(g_array_index(w->served, int, 0));
        g_array_set_size(w->served, 0);
        while (hear(w, fd, &c, 1) > 0)
                ;
        close(fd);
        while (forward_stats(f).active > 0)
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
        assert_int_equal(forward_stats(f).bytes.b_to_a, 15);
        assert_int_equal(forward_stats(f).failed, 0);
        assert_int_equal(open_fds(), before);
}

static void test_reverse(void **state) {
        World *w = *state;
        static const char *const hosts[] = { "127.0.0.1", "localhost" };

        for (unsigned i = 0; i < ELEMENTSOF(hosts); i++) {
                Forward *f = add(w, FORWARD_REVERSE, "0", hosts[i], w->service_port);
                int fd;

                assert_int_not_equal(forward_port(f), 0);
                fd = client(forward_port(f));
                hears_banner(w, fd);
                assert_int_equal(forward_stats(f).active, 1);
                assert_int_equal(w->dialer->dials, 0); /* not into the network */
                close(fd);
                forward_free(f);
        }
        assert_int_equal(w->dialer->cancelled, 2);
}

/* A target that cannot be reached: the caller is reset, at once. */
static void test_unreachable(void **state) {
        World *w = *state;
        Forward *all[] = {
                add(w, FORWARD_LOCAL, "0", "nas", w->closed_port),
                add(w, FORWARD_LOCAL, "0", "none", 22),
                add(w, FORWARD_REVERSE, "0", "127.0.0.1", w->closed_port),
        };

        for (unsigned i = 0; i < ELEMENTSOF(all); i++) {
                int fd = client(forward_port(all[i]));
                char c;

                assert_int_equal(hear(w, fd, &c, 1), -1);
                assert_int_equal(errno, ECONNRESET);
                assert_int_equal(forward_stats(all[i]).failed, 1);
                assert_int_equal(forward_stats(all[i]).active, 0);
                close(fd);
        }
}

static void test_objects(void **state) {
        World *w = *state;
        Forward *a = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        Forward *b = add(w, FORWARD_REVERSE, "0", "localhost", w->service_port), *c;
        g_autofree char *taken = g_strdup_printf("%u", forward_port(a));
        uint32_t id = forward_id(b);
        ForwardSpec spec;
        int fd = client(forward_port(b));
        char byte;

        assert_int_equal(forward_id(a), 1);
        assert_int_equal(id, 2);
        assert_ptr_equal(forwards_get(w->forwards, id), b);
        assert_null(forwards_get(w->forwards, 3));
        assert_int_equal(forwards_count(w->forwards), 2);
        assert_ptr_equal(forwards_at(w->forwards, 1), b);

        assert_int_equal(forward_spec_parse(FORWARD_LOCAL, taken, "nas:22", &spec), 0);
        assert_int_equal(forwards_add(w->forwards, &spec, &c), -EADDRINUSE);
        spec.direction = FORWARD_REVERSE;
        assert_int_equal(forwards_add(w->forwards, &spec, &c), -EADDRINUSE);
        assert_int_equal(forwards_count(w->forwards), 2);

        /* Removed: its connections go, its port is free, its number is not used again. */
        hears_banner(w, fd);
        forward_free(b);
        assert_int_equal(hear(w, fd, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        close(fd);
        c = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        assert_int_equal(forward_id(c), 3);
        assert_null(forwards_get(w->forwards, id));
        assert_ptr_equal(forwards_at(w->forwards, 1), c);
        assert_false(forward_spec(c)->persistent);

        assert_int_equal(forward_spec_parse(FORWARD_LOCAL, "0", "nas:22", &spec), 0);
        while (forwards_count(w->forwards) < FORWARDS_MAX)
                assert_int_equal(forwards_add(w->forwards, &spec, &c), 0);
        assert_int_equal(forwards_add(w->forwards, &spec, &c), -ENOSPC);
}

/* Freed while dials are under way, with a limit on all of them together. */
static void test_limit(void **state) {
        World *w = *state;
        Forward *f = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        Forward *g = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        int fd[10];

        w->dialer->dial_hangs = true;
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = client(forward_port(i & 1 ? f : g));
        while (forward_stats(f).accepted + forward_stats(g).accepted < ELEMENTSOF(fd))
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
        assert_int_equal(forward_stats(f).active + forward_stats(g).active, 8);
        assert_int_equal(forward_stats(f).turned_away + forward_stats(g).turned_away, 2);
        forward_free(f);
        forward_free(g);
        assert_int_equal(w->dialer->cancelled, 8);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
}

static int client_from(uint32_t source, uint16_t port) {
        Endpoint to = loopback(port), from = loopback(0);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        from.in.sin_addr.s_addr = htonl(source);
        assert_int_equal(bind(fd, &from.sa, endpoint_len(&from)), 0);
        assert_int_equal(connect(fd, &to.sa, endpoint_len(&to)), 0);
        return fd;
}

/* One member opens all it can, at every exposed port: others are served, and this machine too. */
static void test_shares(void **state) {
        World *w = *state;
        Forward *f = add(w, FORWARD_REVERSE, "0", "127.0.0.1", w->service_port);
        Forward *g = add(w, FORWARD_REVERSE, "0", "127.0.0.1", w->service_port);
        Forward *local = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        static const struct linger reset = { .l_onoff = 1 };
        int hostile[20], others[3];
        char byte;

        for (unsigned i = 0; i < ELEMENTSOF(hostile); i++)
                hostile[i] = client_from(0x7f000042, forward_port(i & 1 ? f : g));
        while (forward_stats(f).accepted + forward_stats(g).accepted < ELEMENTSOF(hostile))
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
        /* Of 8. */
        assert_int_equal(forward_stats(f).active + forward_stats(g).active, 4);
        assert_int_equal(forward_stats(f).turned_away + forward_stats(g).turned_away, 16);
        others[0] = client_from(0x7f000043, forward_port(f));
        hears_banner(w, others[0]);
        others[1] = client_from(0x7f000044, forward_port(f));
        hears_banner(w, others[1]);
        others[2] = client(forward_port(local));
        hears_banner(w, others[2]);
        /* Whose share has room again is let in again. */
        for (unsigned i = 0; i < ELEMENTSOF(hostile); i++) {
                (void) setsockopt(hostile[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(hostile[i]);
        }
        while (forward_stats(f).active + forward_stats(g).active > 2)
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
        for (unsigned i = 0; i < 3; i++) {
                hostile[i] = client_from(0x7f000042, forward_port(f));
                hears_banner(w, hostile[i]);
        }
        /* Three of the five that were left. */
        hostile[3] = client_from(0x7f000042, forward_port(f));
        assert_true(hear(w, hostile[3], &byte, 1) <= 0);
        for (unsigned i = 0; i < 4; i++)
                close(hostile[i]);
        for (unsigned i = 0; i < ELEMENTSOF(others); i++)
                close(others[i]);
}

static void test_unix_socket(void **state) {
        World *w = *state;
        g_autofree char *dir = g_dir_make_tmp("omerta-test-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "nas", NULL);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        Forward *f = add(w, FORWARD_LOCAL, path, "nas", w->service_port);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct stat st;

        strcpy(sa.sun_path, path);
        assert_int_equal(forward_port(f), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof sa), 0);
        hears_banner(w, fd);
        close(fd);
        forward_free(f);
        assert_int_equal(stat(path, &st), -1);
        rmdir(dir);
}

/* A network that is switched off and on again: whoever is connected is reset, a local forward
 * resets who comes, a reverse one waits and is there again at the same port. */
static void test_network_down(void **state) {
        World *w = *state;
        Forward *local = add(w, FORWARD_LOCAL, "0", "nas", w->service_port);
        Forward *reverse = add(w, FORWARD_REVERSE, "0", "127.0.0.1", w->service_port), *late;
        uint16_t port = forward_port(local), reverse_port = forward_port(reverse);
        int a = client(port), b = client(reverse_port), c;
        ForwardSpec spec;
        char byte;

        hears_banner(w, a);
        hears_banner(w, b);
        w->dialer->is_down = true;
        forwards_suspend(w->forwards);
        assert_int_equal(hear(w, a, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(hear(w, b, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(forward_error(local), 0);
        assert_int_equal(forward_error(reverse), -ENETUNREACH);
        assert_int_equal(forward_port(reverse), 0);

        c = client(port);
        assert_int_equal(hear(w, c, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(forward_stats(local).failed, 1);
        /* One that is added now waits with the others. */
        assert_int_equal(forward_spec_parse(FORWARD_REVERSE, "0", "22", &spec), 0);
        assert_int_equal(forwards_add(w->forwards, &spec, &late), 0);
        assert_int_equal(forward_error(late), -ENETUNREACH);
        forwards_resume(w->forwards);
        assert_int_equal(forward_error(reverse), -ENETUNREACH);

        w->dialer->is_down = false;
        forwards_resume(w->forwards);
        assert_int_equal(forward_error(reverse), 0);
        assert_int_equal(forward_error(late), 0);
        assert_int_equal(forward_port(reverse), reverse_port);
        close(b);
        b = client(reverse_port);
        hears_banner(w, b);
        close(a);
        close(b);
        close(c);
}

/* Kept forwards come back under their numbers, also when their port is taken meanwhile. */
static void test_restore(void **state) {
        World *w = *state;
        Forward *holder = add(w, FORWARD_LOCAL, "0", "nas", w->service_port), *f, *g;
        g_autofree char *taken = forward_spec_listen_format(forward_spec(holder)), *shown = NULL;
        ForwardSpec spec;
        int fd;

        assert_int_equal(forward_spec_parse(FORWARD_LOCAL, taken, "nas:22", &spec), 0);
        assert_int_equal(forwards_restore(w->forwards, &spec, 7, &f), 0);
        assert_int_equal(forward_id(f), 7);
        assert_int_equal(forward_error(f), -EADDRINUSE);
        shown = forward_spec_listen_format(forward_spec(f));
        assert_string_equal(shown, taken);
        assert_int_equal(forwards_restore(w->forwards, &spec, 7, &g), -EEXIST);
        assert_int_equal(forwards_restore(w->forwards, &spec, 0, &g), -EEXIST);
        assert_int_equal(forward_id(add(w, FORWARD_LOCAL, "0", "nas", 22)), 8);
        forward_free(holder);
        forwards_resume(w->forwards);
        assert_int_equal(forward_error(f), 0);
        fd = client(forward_port(f));
        close(fd);
        while (forwards_count(w->forwards) < FORWARDS_MAX) {
                spec.listen = loopback(0);
                assert_int_equal(
                                forwards_restore(
                                                w->forwards, &spec,
                                                forwards_count(w->forwards) + 100, &g),
                                0);
        }
        assert_int_equal(forwards_restore(w->forwards, &spec, 1, &g), -ENOSPC);
}

static void test_listen_format(void **state) {
        static const struct {
                ForwardDirection direction;
                const char *listen, *shown;
        } table[] = {
                { FORWARD_REVERSE, "47", "47" },
                { FORWARD_LOCAL, "[::1]:47", "[::1]:47" },
                { FORWARD_LOCAL, "127.0.0.9:47", "127.0.0.9:47" },
                { FORWARD_LOCAL, "/nowhere/nas", "/nowhere/nas" },
        };
        World *w = *state;

        w->dialer->is_down = true;
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *shown = NULL;
                ForwardSpec spec;
                Forward *f;

                assert_int_equal(
                                forward_spec_parse(
                                                table[i].direction, table[i].listen, "localhost:22",
                                                &spec),
                                0);
                assert_int_equal(forwards_restore(w->forwards, &spec, i + 1, &f), 0);
                shown = forward_spec_listen_format(forward_spec(f));
                assert_string_equal(shown, table[i].shown);
                /* What is shown means the same again. */
                assert_int_equal(
                                forward_spec_parse(table[i].direction, shown, "localhost:22", &spec),
                                0);
        }
}

static void test_spec(void **state) {
        static const struct {
                ForwardDirection direction;
                const char *listen, *target, *shown;
        } table[] = {
                { FORWARD_LOCAL, "2222", "10.0.0.100:22", "127.0.0.1:2222 10.0.0.100:22" },
                { FORWARD_LOCAL, "0", "nas.omerta:22", "127.0.0.1:0 nas.omerta:22" },
                { FORWARD_LOCAL, "0.0.0.0:80", "[fd00::1]:80", "0.0.0.0:80 [fd00::1]:80" },
                { FORWARD_LOCAL, "[::1]:80", "nas:80", "[::1]:80 nas:80" },
                { FORWARD_LOCAL, "[::1]:0", "nas:80", "[::1]:0 nas:80" },
                { FORWARD_LOCAL, "192.0.2.1:0", "nas:80", "192.0.2.1:0 nas:80" },
                { FORWARD_REVERSE, "22", "22", "127.0.0.1:22 127.0.0.1:22" },
                { FORWARD_REVERSE, "80", "localhost:8080", "127.0.0.1:80 localhost:8080" },
                { FORWARD_REVERSE, "80", "192.0.2.1:8080", "127.0.0.1:80 192.0.2.1:8080" },
                { FORWARD_LOCAL, "", "nas:22" },
                { FORWARD_LOCAL, "65536", "nas:22" },
                { FORWARD_LOCAL, "-1", "nas:22" },
                { FORWARD_LOCAL, "127.0.0.1", "nas:22" },
                { FORWARD_LOCAL, "[::1]", "nas:22" },
                { FORWARD_LOCAL, "::1:22", "nas:22" },
                { FORWARD_LOCAL, "[::1]:80:1", "nas:22" },
                { FORWARD_LOCAL, "127.0.0.1:", "nas:22" },
                { FORWARD_LOCAL, ":22", "nas:22" },
                { FORWARD_LOCAL, "somewhere:22", "nas:22" },
                { FORWARD_LOCAL, "2222", "22" },
                { FORWARD_LOCAL, "2222", "nas" },
                { FORWARD_LOCAL, "2222", "nas:0" },
                { FORWARD_LOCAL, "2222", ":22" },
                { FORWARD_REVERSE, "127.0.0.1:22", "22" },
                { FORWARD_REVERSE, "/run/x", "22" },
                { FORWARD_REVERSE, "22", "nas:22" }, /* no resolver is asked */
                { FORWARD_REVERSE, "22", "0" },
        };
        g_autofree char *too_long = g_strnfill(108, '/');
        ForwardSpec spec;

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *target = NULL, *shown = NULL;
                int r = forward_spec_parse(
                                table[i].direction, table[i].listen, table[i].target, &spec);

                print_message("%s %s\n", table[i].listen, table[i].target);
                assert_int_equal(r, table[i].shown ? 0 : -EINVAL);
                if (r < 0)
                        continue;
                target = proxy_target_format(&spec.target);
                shown = g_strdup_printf("%s %s", endpoint_format(&spec.listen).text, target);
                assert_string_equal(shown, table[i].shown);
        }
        assert_int_equal(forward_spec_parse(FORWARD_LOCAL, too_long, "nas:22", &spec), -EINVAL);
        assert_int_equal(forward_spec_parse(FORWARD_LOCAL, too_long + 1, "nas:22", &spec), 0);
        for (int d = 0; d < _FORWARD_DIRECTION_MAX; d++)
                assert_int_equal(forward_direction_from_string(forward_direction_to_string(d)), d);
        assert_int_equal(forward_direction_from_string("sideways"), _FORWARD_DIRECTION_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_port_forward, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reverse, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unreachable, setup, teardown),
                cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
                cmocka_unit_test_setup_teardown(test_network_down, setup, teardown),
                cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
                cmocka_unit_test_setup_teardown(test_listen_format, setup, teardown),
                cmocka_unit_test(test_spec),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
