/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/macros.h"
#include "proxy-world.h"

#define BYTES(...) { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void test_connect(void **state) {
        World *w = *state;
        uint8_t buf[64];
        size_t n;
        int fd;

        world_serve(w, &(ProxyServerOptions){});
        fd = world_client(w);
        say(fd, (const uint8_t[]){ 5, 1, 0 }, 3);
        world_hears(w, fd, (const uint8_t[]){ 5, 0 }, 2);
        n = connect_request(buf, w->service_port);
        say(fd, buf + 3, n - 3);
        world_hears(w, fd, (const uint8_t[]){ 5, 0, 0, 1, 127, 0, 0, 1 }, 8);
        assert_int_equal(world_hear(w, fd, buf, 2), 2);
        say_text(fd, "hello");
        world_hears(w, fd, "hello", 5);
        shutdown(fd, SHUT_WR);
        world_hears_end(w, fd);
        close(fd);
        world_all_gone(w);
        assert_int_equal(proxy_server_stats(w->server).connected, 1);
        assert_int_equal(proxy_server_stats(w->server).bytes.a_to_b, 5);
        assert_int_equal(proxy_server_stats(w->server).bytes.b_to_a, 5);
}

/* All at once, data for the other end included, and nothing more: half-closed at once. */
static void test_pipelined(void **state) {
        World *w = *state;
        uint8_t buf[64];
        size_t n;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned piece = 1; piece <= 64; piece *= 4) {
                int fd = world_client(w);

                n = connect_request(buf, w->service_port);
                memcpy(buf + n, "hello", 5);
                n += 5;
                for (size_t at = 0; at < n; at += piece) {
                        say(fd, buf + at, MIN(piece, n - at));
                        if (piece == 1)
                                (void) sd_event_run(w->event, 0);
                }
                shutdown(fd, SHUT_WR);
                world_hears_connected(w, fd);
                world_hears(w, fd, "hello", 5);
                world_hears_end(w, fd);
                close(fd);
        }
        world_all_gone(w);
}

static void test_names(void **state) {
        static const char *const names[] = { "nas", "nas.omerta", "127.0.0.1", "two" };
        World *w = *state;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                uint8_t buf[64] = { 5, 1, 0, 5, 1, 0, 3, (uint8_t) strlen(names[i]) };
                size_t n = strlen(names[i]);
                int fd = world_client(w);

                w->dialer->dials = 0;
                memcpy(buf + 8, names[i], n);
                write_be16(buf + 8 + n, w->service_port);
                say(fd, buf, 8 + n + 2);
                world_hears_connected(w, fd);
                /* Nobody listens at 127.0.0.2, so the second address is taken. */
                assert_int_equal(w->dialer->dials, strcmp(names[i], "two") == 0 ? 2 : 1);
                close(fd);
        }
        world_all_gone(w);
}

static void test_replies(void **state) {
        static const struct {
                const char *what;
                uint8_t sent[64];
                size_t sent_len;
                int error; /* of the dial */
                uint8_t code;
        } table[] = {
                { "general", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -EIO, 1 },
                { "no fd", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -EMFILE, 1 },
                { "forbidden", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -EACCES, 2 },
                { "no network", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -ENETUNREACH, 3 },
                { "no host", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -EHOSTUNREACH, 4 },
                { "no name", BYTES(5, 1, 0, 5, 1, 0, 3, 4, 'n', 'o', 'n', 'e', 0, 22), 0, 4 },
                { "bad name", BYTES(5, 1, 0, 5, 1, 0, 3, 4, 'n', 0, 'n', 'e', 0, 22), 0, 4 },
                { "refused", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -ECONNREFUSED, 5 },
                { "port 0", BYTES(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0), 0, 5 },
                { "no answer", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -ETIMEDOUT, 6 },
                { "BIND", BYTES(5, 1, 0, 5, 2, 0, 1, 10, 0, 0, 1, 0, 22), 0, 7 },
                { "command", BYTES(5, 1, 0, 5, 9, 0, 1, 10, 0, 0, 1, 0, 22), 0, 7 },
                { "address type", BYTES(5, 1, 0, 5, 1, 0, 9, 10, 0, 0, 1, 0, 22, 0), 0, 8 },
                { "IPv6", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 22), -EAFNOSUPPORT, 8 },
        };
        World *w = *state;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                const uint8_t expected[] = { 5, 0, 5, table[i].code, 0, 1, 0, 0, 0, 0, 0, 0 };
                int fd = world_client(w);

                print_message("%s\n", table[i].what);
                w->dialer->dial_error = table[i].error;
                say(fd, table[i].sent, table[i].sent_len);
                world_hears(w, fd, expected, sizeof expected);
                world_hears_end(w, fd);
                close(fd);
                world_all_gone(w);
        }
        assert_int_equal(proxy_server_stats(w->server).refused, ELEMENTSOF(table));
}

/* A real one: nobody serves that port. */
static void test_refused(void **state) {
        World *w = *state;
        uint8_t buf[64];
        int fd;

        world_serve(w, &(ProxyServerOptions){});
        fd = world_client(w);
        say(fd, buf, connect_request(buf, w->closed_port));
        world_hears(w, fd, (const uint8_t[]){ 5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0 }, 12);
        world_hears_end(w, fd);
        close(fd);
        world_all_gone(w);
}

static void test_garbage(void **state) {
        static const char *const table[] = { "\x04\x01", "\x16\x03\x01", "\n",
                                             "get / HTTP/1.1\r\n\r\n" };
        World *w = *state;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                int fd = world_client(w);

                say_text(fd, table[i]);
                world_hears_end(w, fd);
                close(fd);
        }
        world_all_gone(w);
        assert_int_equal(proxy_server_stats(w->server).refused, ELEMENTSOF(table));
}

static void test_password(void **state) {
        static const struct {
                const char *user, *password;
                bool good;
        } table[] = {
                { "anna", "secret", true }, { "anna", "secreu", false },
                { "anna", "secre", false }, { "bert", "secret", false },
                { "anna", "", false },      { "", "", false },
        };
        World *w = *state;

        world_serve(w, &(ProxyServerOptions){ .user = "anna", .password = "secret" });
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                const char *user = table[i].user, *password = table[i].password;
                g_autofree char *plain = g_strdup_printf("%s:%s", user, password);
                g_autofree char *base64 = g_base64_encode((const guchar *) plain, strlen(plain));
                g_autofree char *request = g_strdup_printf(
                                "CONNECT nas:%u HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n",
                                w->service_port, base64);
                g_autoptr(GByteArray) m = g_byte_array_new();
                uint8_t buf[64], length;
                int fd = world_client(w);

                g_byte_array_append(m, (const uint8_t[]){ 5, 2, 0, 2, 1 }, 5);
                length = (uint8_t) strlen(user);
                g_byte_array_append(m, &length, 1);
                g_byte_array_append(m, (const uint8_t *) user, length);
                length = (uint8_t) strlen(password);
                g_byte_array_append(m, &length, 1);
                g_byte_array_append(m, (const uint8_t *) password, length);
                (void) connect_request(buf, w->service_port);
                g_byte_array_append(m, buf + 3, 10);
                say(fd, m->data, m->len);
                world_hears(w, fd, (const uint8_t[]){ 5, 2, 1, table[i].good ? 0 : 1 }, 4);
                if (table[i].good) {
                        world_hears(w, fd, (const uint8_t[]){ 5, 0, 0, 1 }, 4);
                        assert_int_equal(world_hear(w, fd, buf, 6), 6);
                        say_text(fd, "hello");
                        world_hears(w, fd, "hello", 5);
                } else
                        world_hears_end(w, fd);
                close(fd);

                fd = world_client(w);
                say_text(fd, request);
                world_hears(w, fd, table[i].good ? "HTTP/1.1 200 " : "HTTP/1.1 407 ", 13);
                close(fd);
        }
        world_all_gone(w);
}

static void test_http(void **state) {
        static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
        static const struct {
                const char *request, *status;
                int error;
        } table[] = {
                { "CONNECT none:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 502 " },
                { "CONNECT nas:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 504 ", -ETIMEDOUT },
                { "CONNECT nas:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ", -EACCES },
                { "CONNECT nas HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " },
                { "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " },
                { "POST / HTTP/1.1\r\n\r\nbody", "HTTP/1.1 400 " },
                { "TRACE http://nas/ HTTP/1.1\r\n\r\n", "HTTP/1.1 405 " },
                { "GET http://none/ HTTP/1.1\r\n\r\n", "HTTP/1.1 502 " },
                { "GET http://nas/ HTTP/1.1\r\n\r\n", "HTTP/1.1 504 ", -ETIMEDOUT },
        };
        World *w = *state;
        g_autofree char *huge = g_strnfill(10000, 'X'), *request = NULL;
        int fd;

        world_serve(w, &(ProxyServerOptions){});
        request = g_strdup_printf("CONNECT nas:%u HTTP/1.1\r\n\r\nearly", w->service_port);
        fd = world_client(w);
        for (const char *p = request; *p != '\0'; p++) {
                say(fd, p, 1);
                (void) sd_event_run(w->event, 0);
        }
        world_hears(w, fd, ok, sizeof ok - 1);
        world_hears(w, fd, "early", 5);
        close(fd);
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                fd = world_client(w);
                w->dialer->dial_error = table[i].error;
                say_text(fd, table[i].request);
                world_hears(w, fd, table[i].status, strlen(table[i].status));
                close(fd);
        }
        fd = world_client(w);
        say_text(fd, huge);
        world_hears(w, fd, "HTTP/1.1 431 ", 13);
        close(fd);
        world_all_gone(w);
}

/* The server hears one request and its body, and nothing of the next, which could be for another
 * one and has our password in it. This one says what it hears. */
static void test_http_forward(void **state) {
        enum { PART = 40000, PARTS = 5, LEN = PART * PARTS };
        World *w = *state;
        g_autofree char *body = g_strnfill(LEN, 'b'), *request = NULL, *wanted = NULL;
        int fd;

        world_serve(w, &(ProxyServerOptions){ .user = "u", .password = "pw" });
        request =
                        g_strdup_printf("POST http://nas:%u/x HTTP/1.1\r\nContent-Length: %d\r\n"
                                        "Proxy-Authorization: Basic dTpwdw==\r\n\r\n",
                                        w->service_port, LEN);
        wanted =
                        g_strdup_printf("POST /x HTTP/1.1\r\nHost: nas:%u\r\nContent-Length: %d\r\n"
                                        "Via: 1.1 omerta\r\nConnection: close\r\n\r\n",
                                        w->service_port, LEN);
        for (size_t early = 0; early <= 400; early += 200) {
                fd = world_client(w);
                say_text(fd, request);
                say(fd, body, early);
                world_hears(w, fd, wanted, strlen(wanted));
                world_hears(w, fd, body, early);
                for (size_t at = early; at < LEN; at += MIN(PART, LEN - at)) {
                        say(fd, body + at, MIN(PART, LEN - at));
                        if (at + PART >= LEN)
                                say_text(fd, request);
                        for (size_t i = at; i < MIN(at + PART, LEN); i += MIN(500, LEN - i))
                                world_hears(w, fd, body + i, MIN(500, MIN(at + PART, LEN) - i));
                }
                say_text(fd, request);
                shutdown(fd, SHUT_WR);
                world_hears_end(w, fd);
                close(fd);
                world_all_gone(w);
        }
        fd = world_client(w);
        say_text(fd, "GET http://nas/ HTTP/1.1\r\n\r\n");
        world_hears(w, fd, "HTTP/1.1 407 ", 13);
        close(fd);
        world_all_gone(w);
}

/* One who says nothing, one who never ends, one who does not go after a refusal: all have to. */
static void test_handshake_timeout(void **state) {
        static const char *const said[] = { "", "\x05", "\x05\x01", "CONNECT nas:1", "\x05\x01\x01" };
        World *w = *state;
        int fd[ELEMENTSOF(said)];
        unsigned before;

        world_serve(w, &(ProxyServerOptions){ .handshake_usec = 20 * USEC_PER_MSEC });
        before = count_fds();
        for (unsigned i = 0; i < ELEMENTSOF(said); i++) {
                fd[i] = world_client(w);
                say_text(fd[i], said[i]);
        }
        while (proxy_server_stats(w->server).accepted < ELEMENTSOF(said))
                world_turn(w);
        world_all_gone(w);
        assert_int_equal(proxy_server_stats(w->server).timed_out, ELEMENTSOF(said));
        for (unsigned i = 0; i < ELEMENTSOF(said); i++)
                close(fd[i]);
        assert_int_equal(count_fds(), before);

        /* Whoever is connected has all the time they want. */
        fd[0] = world_client(w);
        {
                uint8_t buf[64];

                say(fd[0], buf, connect_request(buf, w->service_port));
        }
        world_hears_connected(w, fd[0]);
        fd[1] = world_client(w);
        while (proxy_server_stats(w->server).timed_out == ELEMENTSOF(said))
                world_turn(w);
        say_text(fd[0], "still");
        world_hears(w, fd[0], "still", 5);
        close(fd[0]);
        close(fd[1]);
        world_all_gone(w);
}

/* A client that goes away while its dial is under way: the dial is given up. */
static void test_gone_while_dialing(void **state) {
        static const struct linger reset = { .l_onoff = 1 };
        World *w = *state;
        uint8_t buf[64];
        int fd;

        world_serve(w, &(ProxyServerOptions){});
        w->dialer->dial_hangs = true;
        fd = world_client(w);
        say(fd, buf, connect_request(buf, w->service_port));
        while (w->dialer->dials == 0)
                world_turn(w);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        world_all_gone(w);
        assert_int_equal(w->dialer->cancelled, 1);

        /* The same when the server ends. */
        fd = world_client(w);
        say(fd, buf, connect_request(buf, w->service_port));
        while (w->dialer->dials == 1)
                world_turn(w);
        w->server = proxy_server_free(w->server);
        assert_int_equal(w->dialer->cancelled, 2);
        world_hears(w, fd, (const uint8_t[]){ 5, 0 }, 2);
        world_hears_end(w, fd);
        close(fd);
}

static void test_limit(void **state) {
        World *w = *state;
        int fd[4];

        world_serve(w, &(ProxyServerOptions){ .connections_max = 2 });
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = world_client(w);
        world_hears_end(w, fd[2]);
        world_hears_end(w, fd[3]);
        assert_int_equal(proxy_server_stats(w->server).active, 2);
        assert_int_equal(proxy_server_stats(w->server).turned_away, 2);
        say(fd[1], (const uint8_t[]){ 5, 1, 0 }, 3);
        world_hears(w, fd[1], (const uint8_t[]){ 5, 0 }, 2);
        close(fd[0]);
        while (proxy_server_stats(w->server).active > 1)
                world_turn(w);
        fd[0] = world_client(w);
        say(fd[0], (const uint8_t[]){ 5, 1, 0 }, 3);
        world_hears(w, fd[0], (const uint8_t[]){ 5, 0 }, 2);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        world_all_gone(w);
}

/* Clients of loopback, who may be anybody, leave room to those of the unix socket. */
static void test_unix_share(void **state) {
        World *w = *state;
        g_autofree char *dir = g_dir_make_tmp("omerta-test-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "socks", NULL);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd[10], own;

        world_serve(w, &(ProxyServerOptions){ .connections_max = PROXY_UNIX_SHARE });
        assert_int_equal(proxy_server_add_fd(w->server, listener_open_unix(path)), 0);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = world_client(w);
        world_hears_end(w, fd[ELEMENTSOF(fd) - 1]);
        assert_int_equal(proxy_server_stats(w->server).active, PROXY_UNIX_SHARE - 1);
        own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        strcpy(sa.sun_path, path);
        assert_int_equal(connect(own, (struct sockaddr *) &sa, sizeof sa), 0);
        say(own, (const uint8_t[]){ 5, 1, 0 }, 3);
        world_hears(w, own, (const uint8_t[]){ 5, 0 }, 2);
        close(own);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        world_all_gone(w);
        (void) unlink(path);
        rmdir(dir);
}

/* No file descriptor left: callers are told at once, nothing spins, and it goes on afterwards. */
static void test_no_descriptors(void **state) {
        World *w = *state;
        struct rlimit old, tight;
        int fd[3];
        unsigned turns = 0;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = world_client(w);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        tight = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        /* Not even the reserve can be had again: it was closed for the first of them. */
        while (sd_event_run(w->event, 0) > 0)
                assert_true(turns++ < 100);
        assert_int_equal(proxy_server_stats(w->server).accepted, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        while (proxy_server_stats(w->server).accepted + proxy_server_stats(w->server).turned_away < 3)
                world_turn(w);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        world_all_gone(w);
        fd[0] = world_client(w);
        say(fd[0], (const uint8_t[]){ 5, 1, 0 }, 3);
        world_hears(w, fd[0], (const uint8_t[]){ 5, 0 }, 2);
        close(fd[0]);
        world_all_gone(w);
}

/* Only so many are let in as can all be served: those who come at once do not take each other's
 * descriptors. */
static void test_few_descriptors(void **state) {
        World *w = *state;
        struct rlimit old, tight;
        uint8_t buf[64];
        int fd[4], next;

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = world_client(w);
        next = dup(STDERR_FILENO);
        close(next);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        /* The first needs one and two more, the second has those of the first before it. */
        tight = (struct rlimit){ .rlim_cur = (rlim_t) next + FDS_RESERVED + 6,
                                 .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        while (proxy_server_stats(w->server).turned_away < 2)
                world_turn(w);
        assert_int_equal(proxy_server_stats(w->server).accepted, 2);
        for (unsigned i = 0; i < 2; i++) {
                say(fd[i], buf, connect_request(buf, w->service_port));
                world_hears_connected(w, fd[i]);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        world_all_gone(w);
}

static void test_unix_socket(void **state) {
        World *w = *state;
        g_autofree char *dir = g_dir_make_tmp("omerta-test-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "proxy", NULL);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd, status;
        uint8_t buf[64];
        pid_t pid;

        strcpy(sa.sun_path, path);
        world_serve(w, &(ProxyServerOptions){});
        fd = listener_open_unix(path);
        assert_true(fd >= 0);
        assert_int_equal(listener_open_unix(path), -EADDRINUSE);
        assert_int_equal(proxy_server_add_fd(w->server, fd), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof sa), 0);
        say(fd, buf, connect_request(buf, w->service_port));
        world_hears_connected(w, fd);
        say_text(fd, "hello");
        world_hears(w, fd, "hello", 5);
        close(fd);
        world_all_gone(w);

        if (geteuid() == 0) { /* another user, whatever the mode of the file says */
                assert_int_equal(chmod(path, 0666), 0);
                assert_int_equal(chmod(dir, 0755), 0);
                pid = fork();
                if (pid == 0) {
                        char c;

                        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                        if (setuid(65534) < 0 || connect(fd, (struct sockaddr *) &sa, sizeof sa) < 0)
                                _exit(2);
                        (void) !write(fd, "\x05\x01\x00", 3);
                        _exit(read(fd, &c, 1) <= 0 ? 0 : 1);
                }
                while (waitpid(pid, &status, WNOHANG) == 0)
                        (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
                assert_int_equal(proxy_server_stats(w->server).turned_away, 1);
        }
        w->server = proxy_server_free(w->server);
        /* What is left behind is replaced. */
        fd = listener_open_unix(path);
        assert_true(fd >= 0);
        close(fd);
        unlink(path);
        rmdir(dir);
}

static void test_sockets_taken(void **state) {
        World *w = *state;
        Endpoint any = { .in.sin_family = AF_INET };
        int fd, pipe_fds[2];

        assert_int_equal(
                        proxy_server_new(
                                        w->event, &w->dialer->ops,
                                        &(ProxyServerOptions){ .user = "anna" }, &w->server),
                        -EINVAL);
        assert_int_equal(
                        proxy_server_new(
                                        w->event, &w->dialer->ops,
                                        &(ProxyServerOptions){ .user = "a", .password = "" },
                                        &w->server),
                        -EINVAL);
        world_serve(w, &(ProxyServerOptions){});
        /* Others could reach it, and nothing is asked of them. */
        fd = listener_open(&any);
        assert_int_equal(proxy_server_add_fd(w->server, fd), -EPERM);
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(proxy_server_add_fd(w->server, pipe_fds[0]), -EINVAL);
        close(pipe_fds[1]);
        fd = socket(AF_INET, SOCK_STREAM, 0); /* does not listen */
        assert_true(proxy_server_add_fd(w->server, fd) < 0);
        proxy_server_free(w->server);
        world_serve(w, &(ProxyServerOptions){ .user = "a", .password = "b" });
        fd = listener_open(&any);
        assert_int_equal(proxy_server_add_fd(w->server, fd), 0);
}

/* --- datagrams --- */

static int udp_socket_at(uint32_t address, uint16_t *ret_port) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        Endpoint local = loopback(0);

        local.in.sin_addr.s_addr = htonl(address);
        assert_int_equal(bind(fd, &local.sa, endpoint_len(&local)), 0);
        local = listener_local(fd);
        *ret_port = endpoint_port(&local);
        return fd;
}

static int udp_socket(uint16_t *ret_port) {
        return udp_socket_at(INADDR_LOOPBACK, ret_port);
}

static void test_udp_associate(void **state) {
        World *w = *state;
        uint16_t client_port, service_port, stranger_port;
        int u = udp_socket(&client_port), service = udp_socket(&service_port);
        int stranger = udp_socket(&stranger_port);
        unsigned before;

        world_serve(w, &(ProxyServerOptions){});
        before = count_fds();
        for (unsigned known = 0; known < 2; known++) {
                uint8_t request[] = { 5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0 }, reply[12];
                uint8_t message[64] = { 0, 0, 0, 3, 3, 'n', 'a', 's', 0, 0, 'q' }, buf[64];
                struct sockaddr_in from;
                socklen_t from_len = sizeof from;
                Endpoint to;
                int fd = world_client(w);

                if (known)
                        write_be16(request + 11, client_port);
                say(fd, request, sizeof request);
                world_hears(w, fd, (const uint8_t[]){ 5, 0, 5, 0, 0, 1, 127, 0, 0, 1 }, 10);
                assert_int_equal(world_hear(w, fd, reply, 2), 2);
                to = loopback(read_be16(reply));

                /* Not for us: fragments, garbage, an unknown name, port 0. */
                write_be16(message + 8, service_port);
                message[2] = 1;
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                message[2] = 0;
                (void) sendto(u, message, 3, 0, &to.sa, sizeof to.in);
                (void) sendto(u, message, 0, 0, &to.sa, sizeof to.in);
                message[5] = 'N';
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                message[5] = 'n';
                /* Before the port is known anybody of this machine might be the client. */
                if (known)
                        (void) sendto(stranger, message, 11, 0, &to.sa, sizeof to.in);
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                if (!known)
                        (void) sendto(stranger, message, 11, 0, &to.sa, sizeof to.in);
                assert_int_equal(world_hear(w, service, buf, sizeof buf), 1);
                assert_int_equal(buf[0], 'q');

                /* And the answer; asked again to learn where to. */
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                while (recvfrom(service, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *) &from,
                                &from_len) < 0)
                        world_turn(w);
                (void) sendto(service, "answer", 6, 0, (struct sockaddr *) &from, from_len);
                assert_int_equal(world_hear(w, u, buf, sizeof buf), 16);
                assert_memory_equal(buf, ((const uint8_t[]){ 0, 0, 0, 1, 127, 0, 0, 1 }), 8);
                assert_int_equal(read_be16(buf + 8), service_port);
                assert_memory_equal(buf + 10, "answer", 6);
                /* The stranger was neither heard nor answered. */
                assert_true(recv(service, buf, sizeof buf, MSG_DONTWAIT) < 0);
                assert_true(recv(stranger, buf, sizeof buf, MSG_DONTWAIT) < 0);

                /* Bytes on the connection mean nothing; its end ends the association. */
                say_text(fd, "?");
                close(fd);
                world_all_gone(w);
                while (count_fds() > before)
                        world_turn(w);
        }
        close(u);
        close(service);
        close(stranger);
}

/* What a request says that cannot be the sender's (RFC 1928 section 7) says nothing about the port
 * either. A client on loopback may send from any address of its machine, and the first one that
 * is understood stays the only one. */
static void test_udp_associate_elsewhere(void **state) {
        static const struct {
                uint8_t request[25];
                size_t len;
                uint32_t from;
        } cases[] = {
                { { 5, 1, 0, 5, 3, 0, 1, 192, 0, 2, 7, 0, 9 }, 13, INADDR_LOOPBACK },
                { { 5, 1, 0, 5, 3, 0, 1, 255, 255, 255, 255, 255, 255 }, 13, INADDR_LOOPBACK },
                { { 5, 1, 0, 5, 3, 0, 3, 3, 'n', 'a', 's', 0, 9 }, 13, INADDR_LOOPBACK },
                { { 5, 1, 0, 5, 3, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0,
                    0, 0, 0, 0, 0, 0, 0, 0,    0, 1,   0,    9 },
                  25,
                  INADDR_LOOPBACK },
                { { 5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0 }, 13, INADDR_LOOPBACK + 1 },
                { { 5, 1, 0, 5, 3, 0, 1, 127, 0, 0, 2, 0, 9 }, 13, INADDR_LOOPBACK + 1 },
        };
        World *w = *state;
        uint16_t service_port, port;
        unsigned before;
        int service = udp_socket(&service_port), stranger = udp_socket(&port);

        world_serve(w, &(ProxyServerOptions){});
        before = count_fds();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t message[] = { 0, 0, 0, 3, 3, 'n', 'a', 's', 0, 0, 'q' }, reply[12], buf[64];
                int u = udp_socket_at(cases[i].from, &port), fd = world_client(w);
                struct sockaddr_in from;
                socklen_t from_len = sizeof from;
                Endpoint to;

                say(fd, cases[i].request, cases[i].len);
                world_hears(w, fd, (const uint8_t[]){ 5, 0, 5, 0, 0, 1, 127, 0, 0, 1 }, 10);
                assert_int_equal(world_hear(w, fd, reply, 2), 2);
                to = loopback(read_be16(reply));
                write_be16(message + 8, service_port);
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                while (recvfrom(service, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *) &from,
                                &from_len) < 0)
                        world_turn(w);
                message[10] = 's';
                (void) sendto(stranger, message, 11, 0, &to.sa, sizeof to.in);
                (void) sendto(service, "answer", 6, 0, (struct sockaddr *) &from, from_len);
                assert_int_equal(world_hear(w, u, buf, sizeof buf), 16);
                assert_memory_equal(buf + 10, "answer", 6);
                assert_true(recv(service, buf, sizeof buf, MSG_DONTWAIT) < 0);
                close(fd);
                close(u);
                world_all_gone(w);
                while (count_fds() > before)
                        world_turn(w);
        }
        close(service);
        close(stranger);
}

/* One association into several networks: each has its own fd, made for the first datagram, which
 * is not lost; an address of no network makes none. */
static void test_udp_networks(void **state) {
        World *w = *state;
        uint8_t request[] = { 5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0 }, reply[12], buf[64];
        uint16_t client_port, port[2];
        int u = udp_socket(&client_port), service[2], fd;
        unsigned before;
        Endpoint to;

        service[0] = udp_socket(&port[0]);
        service[1] = udp_socket_at(INADDR_LOOPBACK + 1, &port[1]);
        world_serve(w, &(ProxyServerOptions){});
        before = count_fds();
        fd = world_client(w);
        say(fd, request, sizeof request);
        assert_int_equal(world_hear(w, fd, reply, 2), 2);
        world_hears(w, fd, (const uint8_t[]){ 5, 0, 0, 1, 127, 0, 0, 1 }, 8);
        assert_int_equal(world_hear(w, fd, reply, 2), 2);
        to = loopback(read_be16(reply));
        assert_int_equal(w->dialer->udps, 0);
        for (unsigned i = 0; i < 4; i++) {
                uint8_t message[] = { 0, 0, 0,          1, 127, 0, 0, (uint8_t) (1 + i % 2),
                                      0, 0, (uint8_t) i };
                const uint8_t outside[] = { 0, 0, 0, 1, 192, 0, 2, 1, 0, 53, 'x' };

                write_be16(message + 8, port[i % 2]);
                (void) sendto(u, outside, sizeof outside, 0, &to.sa, sizeof to.in);
                (void) sendto(u, message, sizeof message, 0, &to.sa, sizeof to.in);
                assert_int_equal(world_hear(w, service[i % 2], buf, sizeof buf), 1);
                assert_int_equal(buf[0], i);
        }
        assert_int_equal(w->dialer->udps, 2);
        /* Ended while a third is being made. */
        (void) sendto(u, (const uint8_t[]){ 0, 0, 0, 1, 127, 0, 0, 3, 0, 53, 'x' }, 11, 0, &to.sa,
                      sizeof to.in);
        while (w->dialer->udps < 3)
                world_turn(w);
        close(fd);
        world_all_gone(w);
        while (count_fds() > before)
                world_turn(w);
        close(u);
        close(service[0]);
        close(service[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connect, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_pipelined, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_names, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_replies, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_refused, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_garbage, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_password, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_http, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_http_forward, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_handshake_timeout, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_gone_while_dialing, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_limit, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_unix_share, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptors, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_few_descriptors, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_unix_socket, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_sockets_taken, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_udp_associate, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(
                                test_udp_associate_elsewhere, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_udp_networks, world_setup, world_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
