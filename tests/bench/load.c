/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "load.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/time.h"

#define CHUNK (128U * 1024U)
/* What a connection to the service begins with says what it is; both streams' kinds are followed
 * by two bytes, seconds to leave out and to count. */
#define KIND_ECHO 'e'
#define KIND_SINK 's'
#define KIND_SOURCE 'b'

typedef struct Count {
        uint64_t bytes, usec;
} Count;

void load_die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

void load_tune(int fd) {
        int one = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

pid_t load_child(void) {
        pid_t pid = fork();

        if (pid < 0)
                load_die("fork");
        if (pid == 0)
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        return pid;
}

static void read_exactly(int fd, void *buf, size_t len) {
        if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t) len)
                load_die("short answer");
}

/* --- streams --- */

/* Reads until @seconds have been counted. Return: false if the stream ended before. */
static bool count_stream(int fd, unsigned omit, unsigned seconds, Count *ret) {
        g_autofree char *buf = g_malloc(CHUNK);
        usec_t begin = now_usec(CLOCK_MONOTONIC) + omit * USEC_PER_SEC, now;
        Count c = {};
        ssize_t n;

        while ((n = read(fd, buf, CHUNK)) > 0) {
                now = now_usec(CLOCK_MONOTONIC);
                if (now < begin)
                        continue;
                c.bytes += (uint64_t) n;
                if (now < begin + seconds * USEC_PER_SEC)
                        continue;
                c.usec = now - begin;
                *ret = c;
                return true;
        }
        return false;
}

/* Writes until the other side says something, or is gone. */
static void feed_stream(int fd) {
        g_autofree char *buf = g_malloc0(CHUNK);
        struct pollfd p = { .fd = fd, .events = POLLIN };

        while (poll(&p, 1, 0) == 0 && send(fd, buf, CHUNK, MSG_NOSIGNAL) > 0)
                ;
}

/* --- the service --- */

static void serve_stream(int fd, const uint8_t request[static 3]) {
        g_autofree char *rest = NULL;
        Count c;

        (void) fcntl(fd, F_SETFL, 0);
        if (request[0] == KIND_SOURCE) {
                feed_stream(fd);
                return;
        }
        if (!count_stream(fd, request[1], request[2], &c))
                return;
        (void) send(fd, &c, sizeof c, MSG_NOSIGNAL);
        /* A close with data unread would reset the connection, and the answer with it. */
        rest = g_malloc(CHUNK);
        while (read(fd, rest, CHUNK) > 0)
                ;
}

static void serve_one(int fd) {
        uint8_t request[3];
        ssize_t n = recv(fd, request, sizeof request, 0);

        if (n == sizeof request && (request[0] == KIND_SINK || request[0] == KIND_SOURCE)) {
                serve_stream(fd, request);
                n = 0;
        }
        if (n > 0)
                (void) send(fd, request, 1, MSG_NOSIGNAL);
        else
                close(fd);
}

void load_serve(int listen_fd) {
        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = { .events = EPOLLIN, .data.fd = listen_fd }, ready[64];

        (void) fcntl(listen_fd, F_SETFL, O_NONBLOCK);
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e);
        for (;;) {
                int n = epoll_wait(epoll_fd, ready, ELEMENTSOF(ready), -1);

                for (int i = 0; i < n; i++) {
                        int fd;

                        if (ready[i].data.fd != listen_fd) {
                                serve_one(ready[i].data.fd);
                                continue;
                        }
                        while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                                load_tune(fd);
                                e = (struct epoll_event){ .events = EPOLLIN, .data.fd = fd };
                                (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
                        }
                }
        }
}

/* --- clients --- */

static int dial(const Endpoint *to) {
        int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, &to->sa, endpoint_len(to)) < 0)
                load_die("connect");
        return fd;
}

/* Waits for every answer, as clients do. */
static void ask_proxy(int fd, const Endpoint *service) {
        uint8_t request[10] = { 5, 1, 0, 1 }, reply[10];

        memcpy(request + 4, &service->in.sin_addr, 4);
        write_be16(request + 8, endpoint_port(service));
        if (send(fd, (const uint8_t[]){ 5, 1, 0 }, 3, 0) != 3)
                load_die("greeting");
        read_exactly(fd, reply, 2);
        if (send(fd, request, sizeof request, 0) != sizeof request)
                load_die("request");
        read_exactly(fd, reply, sizeof reply);
        if (reply[1] != 0) {
                fprintf(stderr, "the proxy answers %u\n", reply[1]);
                exit(EXIT_FAILURE);
        }
}

int load_open(const LoadWay *w) {
        int fd;

        if (w->open)
                fd = w->open(w->userdata, &w->service);
        else
                fd = dial(w->proxy ? w->proxy : &w->service);
        load_tune(fd);
        if (!w->open && w->proxy)
                ask_proxy(fd, &w->service);
        return fd;
}

static void echo(int fd) {
        char c = KIND_ECHO;

        if (send(fd, &c, 1, 0) != 1)
                load_die("byte");
        read_exactly(fd, &c, 1);
}

static void many_connections(const LoadWay *w, unsigned n) {
        /* No TIME_WAIT, or the ports are used up. */
        static const struct linger reset = { .l_onoff = 1 };

        for (unsigned i = 0; i < n; i++) {
                int fd = load_open(w);

                echo(fd);
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(fd);
        }
}

double load_connections_per_second(const LoadWay *w, unsigned connections, unsigned clients) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        g_autofree pid_t *pids = g_new0(pid_t, clients);
        bool good = true;

        for (unsigned i = 0; i < clients; i++) {
                pids[i] = load_child();
                if (pids[i] == 0) {
                        many_connections(w, connections / clients);
                        _exit(EXIT_SUCCESS);
                }
        }
        for (unsigned i = 0; i < clients; i++) {
                int status;

                good = waitpid(pids[i], &status, 0) == pids[i] && status == 0 && good;
        }
        if (!good)
                exit(EXIT_FAILURE);
        return (double) (connections / clients * clients) * USEC_PER_SEC /
               (double) (now_usec(CLOCK_MONOTONIC) - begin);
}

double load_gbit_per_second(const LoadWay *w, bool back, unsigned omit, unsigned seconds) {
        const uint8_t request[3] = { back ? KIND_SOURCE : KIND_SINK, (uint8_t) omit,
                                     (uint8_t) seconds };
        int fd = load_open(w);
        Count c;

        if (send(fd, request, sizeof request, 0) != sizeof request)
                load_die("request");
        if (back) {
                if (!count_stream(fd, omit, seconds, &c))
                        load_die("the stream ends early");
        } else {
                feed_stream(fd);
                read_exactly(fd, &c, sizeof c);
        }
        close(fd);
        return (double) c.bytes * 8 / 1000 / (double) c.usec;
}

int *load_idle(const LoadWay *w, unsigned n) {
        int *fds = g_new(int, n);

        for (unsigned i = 0; i < n; i++) {
                fds[i] = load_open(w);
                echo(fds[i]);
        }
        return fds;
}

/* --- processes --- */

long load_resident_kib(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        const char *line;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return 0;
        line = strstr(text, "VmRSS:");
        return line ? strtol(line + strlen("VmRSS:"), NULL, 10) : 0;
}

double load_cpu_seconds(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) pid), *text = NULL;
        unsigned long user, system;
        const char *p;

        if (pid == 0 || !g_file_get_contents(path, &text, NULL, NULL))
                return 0;
        p = strrchr(text, ')'); /* the name may have anything in it */
        if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system) != 2)
                return 0;
        return (double) (user + system) / (double) sysconf(_SC_CLK_TCK);
}
