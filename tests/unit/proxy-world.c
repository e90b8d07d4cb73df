/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "proxy-world.h"

unsigned count_fds(void) {
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

Endpoint loopback(uint16_t port) {
        return (Endpoint){ .in = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
}

int world_setup(void **state) {
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

int world_teardown(void **state) {
        World *w = *state;

        proxy_server_free(w->server);
        listener_free(w->service);
        plain_dialer_free(w->dialer);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

void world_serve(World *w, const ProxyServerOptions *options) {
        assert_int_equal(proxy_server_new(w->event, &w->dialer->ops, options, &w->server), 0);
        assert_int_equal(proxy_server_listen(w->server, 0, &w->port), 0);
        assert_int_not_equal(w->port, 0);
}

/* --- a client --- */

int world_client(World *w) {
        Endpoint to = loopback(w->port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &to.sa, endpoint_len(&to)), 0);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fd;
}

void say(int fd, const void *data, size_t len) {
        assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

void say_text(int fd, const char *text) {
        say(fd, text, strlen(text));
}

void world_turn(World *w) {
        assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
}

void world_settle(World *w) {
        while (sd_event_run(w->event, 0) > 0)
                ;
}

/* Return: as recv(2), once there is something to return. */
ssize_t world_hear(World *w, int fd, void *buf, size_t size) {
        ssize_t n;

        while ((n = recv(fd, buf, size, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
                struct pollfd p = { .fd = fd, .events = POLLIN };

                /* What is awaited may come from the kernel alone, after the loop's last turn. */
                if (poll(&p, 1, 0) == 0)
                        (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
        }
        return n;
}

void world_hears(World *w, int fd, const void *data, size_t len) {
        uint8_t buf[512];

        for (size_t at = 0; at < len;) {
                ssize_t n = world_hear(w, fd, buf + at, len - at);

                assert_true(n > 0);
                at += (size_t) n;
        }
        assert_memory_equal(buf, data, len);
}

void world_hears_end(World *w, int fd) {
        uint8_t c;

        assert_true(world_hear(w, fd, &c, 1) <= 0);
}

/* Until the proxy has nothing left of anybody. */
void world_all_gone(World *w) {
        while (proxy_server_stats(w->server).active > 0)
                world_turn(w);
}

size_t connect_request(uint8_t *buf, uint16_t port) {
        memcpy(buf, (const uint8_t[]){ 5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0 }, 13);
        write_be16(buf + 11, port);
        return 13;
}

/* The greeting's answer, and a success with the address the connection comes from. */
void world_hears_connected(World *w, int fd) {
        uint8_t reply[12];
        size_t at = 0;

        while (at < sizeof reply) {
                ssize_t n = world_hear(w, fd, reply + at, sizeof reply - at);

                assert_true(n > 0);
                at += (size_t) n;
        }
        assert_memory_equal(reply, ((const uint8_t[]){ 5, 0, 5, 0, 0, 1, 127, 0, 0, 1 }), 10);
        assert_int_not_equal(read_be16(reply + 10), 0);
}
