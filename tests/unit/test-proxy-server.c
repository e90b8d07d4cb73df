/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/macros.h"
#include "plain-dialer.h"
#include "proxy/listener.h"
#include "proxy/server.h"
#include "proxy/socks5-udp.h"

#define BYTES(...) { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* A proxy, and a service in "the network" that says back what it hears. */
typedef struct World {
        sd_event *event;
        PlainDialer *dialer;
        ProxyServer *server;
        Listener *service;
        uint16_t port, service_port, closed_port;
} World;

static unsigned open_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

/* --- the service --- */

static int on_service_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char buf[4096];
        ssize_t n = recv(fd, buf, sizeof buf, 0);

        if (n < 0 && errno == EAGAIN)
                return 0;
        if (n > 0 && send(fd, buf, (size_t) n, MSG_NOSIGNAL) == n)
                return 0;
        sd_event_source_disable_unref(source);
        close(fd);
        return 0;
}

static void on_service_accepted(void *userdata, int fd) {
        World *w = userdata;
        sd_event_source *source;

        assert_true(sd_event_add_io(w->event, &source, fd, EPOLLIN, on_service_io, w) >= 0);
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
        fd = listener_open(&local);
        assert_true(fd >= 0);
        local = listener_local(fd);
        w->service_port = endpoint_port(&local);
        assert_int_equal(listener_new(w->event, fd, on_service_accepted, w, &w->service), 0);
        /* A port nobody serves: it was ours a moment ago. */
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

        proxy_server_free(w->server);
        listener_free(w->service);
        plain_dialer_free(w->dialer);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static void serve(World *w, const ProxyServerOptions *options) {
        assert_int_equal(proxy_server_new(w->event, &w->dialer->ops, options, &w->server), 0);
        assert_int_equal(proxy_server_listen(w->server, 0, &w->port), 0);
        assert_int_not_equal(w->port, 0);
}

/* --- a client --- */

static int client(World *w) {
        Endpoint to = loopback(w->port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &to.sa, endpoint_len(&to)), 0);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fd;
}

static void say(int fd, const void *data, size_t len) {
        assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void say_text(int fd, const char *text) {
        say(fd, text, strlen(text));
}

static void turn(World *w) {
        assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
}

static void settle(World *w) {
        while (sd_event_run(w->event, 0) > 0)
                ;
}

/* Return: as recv(2), once there is something to return. */
static ssize_t hear(World *w, int fd, void *buf, size_t size) {
        ssize_t n;

        while ((n = recv(fd, buf, size, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
                struct pollfd p = { .fd = fd, .events = POLLIN };

                /* What is awaited may come from the kernel alone, after the loop's last turn. */
                if (poll(&p, 1, 0) == 0)
                        (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
        }
        return n;
}

static void hears(World *w, int fd, const void *data, size_t len) {
        uint8_t buf[512];

        for (size_t at = 0; at < len;) {
                ssize_t n = hear(w, fd, buf + at, len - at);

                assert_true(n > 0);
                at += (size_t) n;
        }
        assert_memory_equal(buf, data, len);
}

static void hears_end(World *w, int fd) {
        uint8_t c;

        assert_true(hear(w, fd, &c, 1) <= 0);
}

/* Until the proxy has nothing left of anybody. */
static void all_gone(World *w) {
        while (proxy_server_stats(w->server).active > 0)
                turn(w);
}

static size_t connect_request(uint8_t *buf, uint16_t port) {
        memcpy(buf, (const uint8_t[]){ 5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0 }, 13);
        write_be16(buf + 11, port);
        return 13;
}

/* The greeting's answer, and a success with the address the connection comes from. */
static void hears_connected(World *w, int fd) {
        uint8_t reply[12];
        size_t at = 0;

        while (at < sizeof reply) {
                ssize_t n = hear(w, fd, reply + at, sizeof reply - at);

                assert_true(n > 0);
                at += (size_t) n;
        }
        assert_memory_equal(reply, ((const uint8_t[]){ 5, 0, 5, 0, 0, 1, 127, 0, 0, 1 }), 10);
        assert_int_not_equal(read_be16(reply + 10), 0);
}

static void test_connect(void **state) {
        World *w = *state;
        uint8_t buf[64];
        size_t n;
        int fd;

        serve(w, &(ProxyServerOptions){});
        fd = client(w);
        say(fd, (const uint8_t[]){ 5, 1, 0 }, 3);
        hears(w, fd, (const uint8_t[]){ 5, 0 }, 2);
        n = connect_request(buf, w->service_port);
        say(fd, buf + 3, n - 3);
        hears(w, fd, (const uint8_t[]){ 5, 0, 0, 1, 127, 0, 0, 1 }, 8);
        assert_int_equal(hear(w, fd, buf, 2), 2);
        say_text(fd, "hello");
        hears(w, fd, "hello", 5);
        shutdown(fd, SHUT_WR);
        hears_end(w, fd);
        close(fd);
        all_gone(w);
        assert_int_equal(proxy_server_stats(w->server).connected, 1);
        assert_int_equal(proxy_server_stats(w->server).bytes.a_to_b, 5);
        assert_int_equal(proxy_server_stats(w->server).bytes.b_to_a, 5);
}

/* All at once, data for the other end included, and nothing more: half-closed at once. */
static void test_pipelined(void **state) {
        World *w = *state;
        uint8_t buf[64];
        size_t n;

        serve(w, &(ProxyServerOptions){});
        for (unsigned piece = 1; piece <= 64; piece *= 4) {
                int fd = client(w);

                n = connect_request(buf, w->service_port);
                memcpy(buf + n, "hello", 5);
                n += 5;
                for (size_t at = 0; at < n; at += piece) {
                        say(fd, buf + at, MIN(piece, n - at));
                        if (piece == 1)
                                (void) sd_event_run(w->event, 0);
                }
                shutdown(fd, SHUT_WR);
                hears_connected(w, fd);
                hears(w, fd, "hello", 5);
                hears_end(w, fd);
                close(fd);
        }
        all_gone(w);
}

static void test_names(void **state) {
        static const char *const names[] = { "nas", "nas.omerta", "127.0.0.1", "two" };
        World *w = *state;

        serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                uint8_t buf[64] = { 5, 1, 0, 5, 1, 0, 3, (uint8_t) strlen(names[i]) };
                size_t n = strlen(names[i]);
                int fd = client(w);

                w->dialer->dials = 0;
                memcpy(buf + 8, names[i], n);
                write_be16(buf + 8 + n, w->service_port);
                say(fd, buf, 8 + n + 2);
                hears_connected(w, fd);
                /* Nobody listens at 127.0.0.2, so the second address is taken. */
                assert_int_equal(w->dialer->dials, strcmp(names[i], "two") == 0 ? 2 : 1);
                close(fd);
        }
        all_gone(w);
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

        serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                const uint8_t expected[] = { 5, 0, 5, table[i].code, 0, 1, 0, 0, 0, 0, 0, 0 };
                int fd = client(w);

                print_message("%s\n", table[i].what);
                w->dialer->dial_error = table[i].error;
                say(fd, table[i].sent, table[i].sent_len);
                hears(w, fd, expected, sizeof expected);
                hears_end(w, fd);
                close(fd);
                all_gone(w);
        }
        assert_int_equal(proxy_server_stats(w->server).refused, ELEMENTSOF(table));
}

/* A real one: nobody serves that port. */
static void test_refused(void **state) {
        World *w = *state;
        uint8_t buf[64];
        int fd;

        serve(w, &(ProxyServerOptions){});
        fd = client(w);
        say(fd, buf, connect_request(buf, w->closed_port));
        hears(w, fd, (const uint8_t[]){ 5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0 }, 12);
        hears_end(w, fd);
        close(fd);
        all_gone(w);
}

static void test_garbage(void **state) {
        static const char *const table[] = { "\x04\x01", "\x16\x03\x01", "\n",
                                             "get / HTTP/1.1\r\n\r\n" };
        World *w = *state;

        serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                int fd = client(w);

                say_text(fd, table[i]);
                hears_end(w, fd);
                close(fd);
        }
        all_gone(w);
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

        serve(w, &(ProxyServerOptions){ .user = "anna", .password = "secret" });
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                const char *user = table[i].user, *password = table[i].password;
                g_autofree char *plain = g_strdup_printf("%s:%s", user, password);
                g_autofree char *base64 = g_base64_encode((const guchar *) plain, strlen(plain));
                g_autofree char *request = g_strdup_printf(
                                "CONNECT nas:%u HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n",
                                w->service_port, base64);
                g_autoptr(GByteArray) m = g_byte_array_new();
                uint8_t buf[64], length;
                int fd = client(w);

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
                hears(w, fd, (const uint8_t[]){ 5, 2, 1, table[i].good ? 0 : 1 }, 4);
                if (table[i].good) {
                        hears(w, fd, (const uint8_t[]){ 5, 0, 0, 1 }, 4);
                        assert_int_equal(hear(w, fd, buf, 6), 6);
                        say_text(fd, "hello");
                        hears(w, fd, "hello", 5);
                } else
                        hears_end(w, fd);
                close(fd);

                fd = client(w);
                say_text(fd, request);
                hears(w, fd, table[i].good ? "HTTP/1.1 200 " : "HTTP/1.1 407 ", 13);
                close(fd);
        }
        all_gone(w);
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
                { "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 405 " },
                { "POST / HTTP/1.1\r\n\r\nbody", "HTTP/1.1 405 " },
        };
        World *w = *state;
        g_autofree char *huge = g_strnfill(10000, 'X'), *request = NULL;
        int fd;

        serve(w, &(ProxyServerOptions){});
        request = g_strdup_printf("CONNECT nas:%u HTTP/1.1\r\n\r\nearly", w->service_port);
        fd = client(w);
        for (const char *p = request; *p != '\0'; p++) {
                say(fd, p, 1);
                (void) sd_event_run(w->event, 0);
        }
        hears(w, fd, ok, sizeof ok - 1);
        hears(w, fd, "early", 5);
        close(fd);
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                fd = client(w);
                w->dialer->dial_error = table[i].error;
                say_text(fd, table[i].request);
                hears(w, fd, table[i].status, strlen(table[i].status));
                close(fd);
        }
        fd = client(w);
        say_text(fd, huge);
        hears(w, fd, "HTTP/1.1 431 ", 13);
        close(fd);
        all_gone(w);
}

/* One who says nothing, one who never ends, one who does not go after a refusal: all have to. */
static void test_handshake_timeout(void **state) {
        static const char *const said[] = { "", "\x05", "\x05\x01", "CONNECT nas:1", "\x05\x01\x01" };
        World *w = *state;
        int fd[ELEMENTSOF(said)];
        unsigned before;

        serve(w, &(ProxyServerOptions){ .handshake_usec = 20 * USEC_PER_MSEC });
        before = open_fds();
        for (unsigned i = 0; i < ELEMENTSOF(said); i++) {
                fd[i] = client(w);
                say_text(fd[i], said[i]);
        }
        while (proxy_server_stats(w->server).accepted < ELEMENTSOF(said))
                turn(w);
        all_gone(w);
        assert_int_equal(proxy_server_stats(w->server).timed_out, ELEMENTSOF(said));
        for (unsigned i = 0; i < ELEMENTSOF(said); i++)
                close(fd[i]);
        assert_int_equal(open_fds(), before);

        /* Whoever is connected has all the time they want. */
        fd[0] = client(w);
        {
                uint8_t buf[64];

                say(fd[0], buf, connect_request(buf, w->service_port));
        }
        hears_connected(w, fd[0]);
        fd[1] = client(w);
        while (proxy_server_stats(w->server).timed_out == ELEMENTSOF(said))
                turn(w);
        say_text(fd[0], "still");
        hears(w, fd[0], "still", 5);
        close(fd[0]);
        close(fd[1]);
        all_gone(w);
}

/* A client that goes away while its dial is under way: the dial is given up. */
static void test_gone_while_dialing(void **state) {
        static const struct linger reset = { .l_onoff = 1 };
        World *w = *state;
        uint8_t buf[64];
        int fd;

        serve(w, &(ProxyServerOptions){});
        w->dialer->dial_hangs = true;
        fd = client(w);
        say(fd, buf, connect_request(buf, w->service_port));
        while (w->dialer->dials == 0)
                turn(w);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        all_gone(w);
        assert_int_equal(w->dialer->cancelled, 1);

        /* The same when the server ends. */
        fd = client(w);
        say(fd, buf, connect_request(buf, w->service_port));
        while (w->dialer->dials == 1)
                turn(w);
        w->server = proxy_server_free(w->server);
        assert_int_equal(w->dialer->cancelled, 2);
        hears(w, fd, (const uint8_t[]){ 5, 0 }, 2);
        hears_end(w, fd);
        close(fd);
}

static void test_limit(void **state) {
        World *w = *state;
        int fd[4];

        serve(w, &(ProxyServerOptions){ .connections_max = 2 });
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = client(w);
        hears_end(w, fd[2]);
        hears_end(w, fd[3]);
        assert_int_equal(proxy_server_stats(w->server).active, 2);
        assert_int_equal(proxy_server_stats(w->server).turned_away, 2);
        say(fd[1], (const uint8_t[]){ 5, 1, 0 }, 3);
        hears(w, fd[1], (const uint8_t[]){ 5, 0 }, 2);
        close(fd[0]);
        while (proxy_server_stats(w->server).active > 1)
                turn(w);
        fd[0] = client(w);
        say(fd[0], (const uint8_t[]){ 5, 1, 0 }, 3);
        hears(w, fd[0], (const uint8_t[]){ 5, 0 }, 2);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        all_gone(w);
}

/* No file descriptor left: callers are told at once, nothing spins, and it goes on afterwards. */
static void test_no_descriptors(void **state) {
        World *w = *state;
        struct rlimit old, tight;
        int fd[3];
        unsigned turns = 0;

        serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                fd[i] = client(w);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        tight = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        /* Not even the reserve can be had again: it was closed for the first of them. */
        while (sd_event_run(w->event, 0) > 0)
                assert_true(turns++ < 100);
        assert_int_equal(proxy_server_stats(w->server).accepted, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        while (proxy_server_stats(w->server).accepted + proxy_server_stats(w->server).turned_away < 3)
                turn(w);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        all_gone(w);
        fd[0] = client(w);
        say(fd[0], (const uint8_t[]){ 5, 1, 0 }, 3);
        hears(w, fd[0], (const uint8_t[]){ 5, 0 }, 2);
        close(fd[0]);
        all_gone(w);
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
        serve(w, &(ProxyServerOptions){});
        fd = listener_open_unix(path);
        assert_true(fd >= 0);
        assert_int_equal(listener_open_unix(path), -EADDRINUSE);
        assert_int_equal(proxy_server_add_fd(w->server, fd), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof sa), 0);
        say(fd, buf, connect_request(buf, w->service_port));
        hears_connected(w, fd);
        say_text(fd, "hello");
        hears(w, fd, "hello", 5);
        close(fd);
        all_gone(w);

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
        serve(w, &(ProxyServerOptions){});
        /* Others could reach it, and nothing is asked of them. */
        fd = listener_open(&any);
        assert_int_equal(proxy_server_add_fd(w->server, fd), -EPERM);
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(proxy_server_add_fd(w->server, pipe_fds[0]), -EINVAL);
        close(pipe_fds[1]);
        fd = socket(AF_INET, SOCK_STREAM, 0); /* does not listen */
        assert_true(proxy_server_add_fd(w->server, fd) < 0);
        proxy_server_free(w->server);
        serve(w, &(ProxyServerOptions){ .user = "a", .password = "b" });
        fd = listener_open(&any);
        assert_int_equal(proxy_server_add_fd(w->server, fd), 0);
}

/* --- datagrams --- */

static int udp_socket(uint16_t *ret_port) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        Endpoint local = loopback(0);

        assert_int_equal(bind(fd, &local.sa, endpoint_len(&local)), 0);
        local = listener_local(fd);
        *ret_port = endpoint_port(&local);
        return fd;
}

static void test_udp_associate(void **state) {
        World *w = *state;
        uint16_t client_port, service_port, stranger_port;
        int u = udp_socket(&client_port), service = udp_socket(&service_port);
        int stranger = udp_socket(&stranger_port);
        unsigned before;

        serve(w, &(ProxyServerOptions){});
        before = open_fds();
        for (unsigned known = 0; known < 2; known++) {
                uint8_t request[] = { 5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0 }, reply[12];
                uint8_t message[64] = { 0, 0, 0, 3, 3, 'n', 'a', 's', 0, 0, 'q' }, buf[64];
                struct sockaddr_in from;
                socklen_t from_len = sizeof from;
                Endpoint to;
                int fd = client(w);

                if (known)
                        write_be16(request + 11, client_port);
                say(fd, request, sizeof request);
                hears(w, fd, (const uint8_t[]){ 5, 0, 5, 0, 0, 1, 127, 0, 0, 1 }, 10);
                assert_int_equal(hear(w, fd, reply, 2), 2);
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
                assert_int_equal(hear(w, service, buf, sizeof buf), 1);
                assert_int_equal(buf[0], 'q');

                /* And the answer; asked again to learn where to. */
                (void) sendto(u, message, 11, 0, &to.sa, sizeof to.in);
                while (recvfrom(service, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *) &from,
                                &from_len) < 0)
                        turn(w);
                (void) sendto(service, "answer", 6, 0, (struct sockaddr *) &from, from_len);
                assert_int_equal(hear(w, u, buf, sizeof buf), 16);
                assert_memory_equal(buf, ((const uint8_t[]){ 0, 0, 0, 1, 127, 0, 0, 1 }), 8);
                assert_int_equal(read_be16(buf + 8), service_port);
                assert_memory_equal(buf + 10, "answer", 6);
                /* The stranger was neither heard nor answered. */
                assert_true(recv(service, buf, sizeof buf, MSG_DONTWAIT) < 0);
                assert_true(recv(stranger, buf, sizeof buf, MSG_DONTWAIT) < 0);

                /* Bytes on the connection mean nothing; its end ends the association. */
                say_text(fd, "?");
                close(fd);
                all_gone(w);
                while (open_fds() > before)
                        turn(w);
        }
        close(u);
        close(service);
        close(stranger);
}

/* --- many --- */

static void test_sequential(void **state) {
        World *w = *state;
        struct mallinfo2 start = {}, end;
        unsigned before = 0;
        uint8_t buf[64];

        serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < 10000; i++) {
                static const struct linger reset = { .l_onoff = 1 };
                unsigned what = i % 4;
                int fd;

                /* The first hundred fill caches. */
                if (i == 100) {
                        all_gone(w);
                        settle(w);
                        before = open_fds();
                        start = mallinfo2();
                }
                fd = client(w);
                if (what == 0)
                        say(fd, buf, connect_request(buf, w->closed_port));
                else
                        say(fd, buf, connect_request(buf, w->service_port));
                if (what == 0)
                        hears(w, fd, (const uint8_t[]){ 5, 0, 5, 5 }, 4);
                else if (what == 1) {
                        hears_connected(w, fd);
                        say_text(fd, "hello");
                        hears(w, fd, "hello", 5);
                } else if (what == 2) /* gone somewhere on the way */
                        (void) sd_event_run(w->event, 0);
                /* No TIME_WAIT: ten thousand would use up the ports. */
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(fd);
        }
        all_gone(w);
        settle(w);
        end = mallinfo2();
        assert_int_equal(open_fds(), before);
        print_message("memory in use: %zu before, %zu after\n", start.uordblks, end.uordblks);
        /* Under the sanitizer there are no figures: 0, and its own search for leaks. */
        assert_true(end.uordblks <= start.uordblks + 4096);
}

#define PARALLEL 1000U

static void test_parallel(void **state) {
        World *w = *state;
        g_autofree int *fd = g_new(int, PARALLEL);
        struct rlimit limit;
        struct mallinfo2 start, end;
        unsigned before;
        uint8_t buf[64];

        /* Client, proxy's two, service: four fds each in this one process. */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < 4 * PARALLEL + 100) {
                limit.rlim_cur = limit.rlim_max;
                if (limit.rlim_max < 4 * PARALLEL + 100 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        skip();
        }
        serve(w, &(ProxyServerOptions){});
        before = open_fds();
        start = mallinfo2();
        for (unsigned i = 0; i < PARALLEL; i++) {
                fd[i] = client(w);
                say(fd[i], buf, connect_request(buf, w->service_port));
                /* So that the queue of the listener never overflows. */
                if (i % 100 == 99)
                        while (proxy_server_stats(w->server).accepted <= i)
                                turn(w);
        }
        for (unsigned i = 0; i < PARALLEL; i++)
                hears_connected(w, fd[i]);
        for (unsigned i = 0; i < PARALLEL; i++)
                say(fd[i], &i, sizeof i);
        for (unsigned i = PARALLEL; i-- > 0;)
                hears(w, fd[i], &i, sizeof i);
        end = mallinfo2();
        assert_int_equal(proxy_server_stats(w->server).active, PARALLEL);
        assert_int_equal(open_fds(), before + 4 * PARALLEL);
        print_message("%zu bytes an idle connection, the service's part of it included\n",
                      (end.uordblks - start.uordblks) / PARALLEL);
        assert_true(end.uordblks - start.uordblks < PARALLEL * 4096);
        for (unsigned i = 0; i < PARALLEL; i++)
                close(fd[i]);
        all_gone(w);
        while (open_fds() > before)
                turn(w);
        assert_int_equal(open_fds(), before);
}

/* --- a real client --- */

static int on_web_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char buf[4096];
        ssize_t n = recv(fd, buf, sizeof buf - 1, 0);

        if (n < 0)
                return 0;
        buf[n] = '\0';
        if (strstr(buf, "\r\n\r\n"))
                say_text(fd, "HTTP/1.0 200 OK\r\n\r\nhello");
        sd_event_source_disable_unref(source);
        close(fd);
        return 0;
}

static void on_web_accepted(void *userdata, int fd) {
        World *w = userdata;
        sd_event_source *source;

        assert_true(sd_event_add_io(w->event, &source, fd, EPOLLIN, on_web_io, w) >= 0);
}

static void
run_curl(World *w, const char *option, const char *credentials, uint16_t port, int expected) {
        g_autofree char *proxy = g_strdup_printf("%s127.0.0.1:%u", credentials, w->port);
        g_autofree char *url = g_strdup_printf("http://nas.omerta:%u/", port);
        char buf[16] = {};
        int out[2], status;
        pid_t pid;

        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                dup2(out[1], STDOUT_FILENO);
                execlp("curl", "curl", "-s", "--noproxy", "", "--proxytunnel", option, proxy, url,
                       NULL);
                _exit(127);
        }
        close(out[1]);
        while (waitpid(pid, &status, WNOHANG) == 0)
                (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), expected);
        assert_int_equal(read(out[0], buf, sizeof buf), expected == 0 ? 5 : 0);
        assert_string_equal(buf, expected == 0 ? "hello" : "");
        close(out[0]);
}

static void test_curl(void **state) {
        World *w = *state;
        g_autofree char *curl = g_find_program_in_path("curl");
        Endpoint local = loopback(0);
        Listener *web;
        uint16_t port;
        int fd;

        if (!curl) {
                print_message("curl is not installed\n");
                skip();
        }
        fd = listener_open(&local);
        local = listener_local(fd);
        port = endpoint_port(&local);
        assert_int_equal(listener_new(w->event, fd, on_web_accepted, w, &web), 0);
        serve(w, &(ProxyServerOptions){});
        run_curl(w, "--socks5-hostname", "", port, 0);
        run_curl(w, "--proxy", "", port, 0);
        run_curl(w, "--socks5-hostname", "", w->closed_port, 97); /* CURLE_PROXY */
        proxy_server_free(w->server);
        serve(w, &(ProxyServerOptions){ .user = "anna", .password = "secret" });
        run_curl(w, "--socks5-hostname", "anna:secret@", port, 0);
        run_curl(w, "--proxy", "anna:secret@", port, 0);
        run_curl(w, "--socks5-hostname", "anna:wrong@", port, 97);
        run_curl(w, "--proxy", "anna:wrong@", port, 56); /* CURLE_RECV_ERROR: refused */
        listener_free(web);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pipelined, setup, teardown),
                cmocka_unit_test_setup_teardown(test_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replies, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
                cmocka_unit_test_setup_teardown(test_password, setup, teardown),
                cmocka_unit_test_setup_teardown(test_http, setup, teardown),
                cmocka_unit_test_setup_teardown(test_handshake_timeout, setup, teardown),
                cmocka_unit_test_setup_teardown(test_gone_while_dialing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sockets_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_udp_associate, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sequential, setup, teardown),
                cmocka_unit_test_setup_teardown(test_parallel, setup, teardown),
                cmocka_unit_test_setup_teardown(test_curl, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
