/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a SOCKS5 proxy does to TCP on this machine: connections a second and the throughput of one
 * stream, direct and through proxies, in one run.
 *
 *   socksload [-n CONNECTIONS] [-c CLIENTS] [-s SECONDS] [-m IDLE] [-p HOST:PORT]...
 *
 * Without -p the proxy of service/proxy is measured, in a process of its own, dialing with plain
 * sockets. Each -p adds another one that runs already (no password), for comparison. A connection
 * is: connect, handshake, one byte there and back, close. Prints one line for each contestant of
 * "name=value" words; memory is that of our own proxy with -m idle connections.
 *
 * Clients and service are one process each, the proxy another: with two cores they share them, as
 * they do in the daemon.
 */

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/macros.h"
#include "base/time.h"
#include "plain-dialer.h"
#include "proxy/listener.h"
#include "proxy/server.h"

#define CHUNK (128U * 1024U)
#define PROXIES_MAX 8U
/* What a connection to the service begins with says what it is. */
#define KIND_ECHO 'e'
#define KIND_SINK 's'

typedef struct Options {
        unsigned connections, clients, seconds, idle;
        Endpoint proxy[PROXIES_MAX];
        unsigned n_proxies;
} Options;

static int die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static Endpoint loopback(void) {
        return (Endpoint){ .in = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
}

/* Congestion control is the kernel's default else, and bbr paces even loopback. */
static void tune(int fd) {
        int one = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

static pid_t child(void) {
        pid_t pid = fork();

        if (pid < 0)
                die("fork");
        if (pid == 0)
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        return pid;
}

/* --- the service: echoes a byte, or swallows a stream and says how much it was --- */

static void serve_sink(int fd) {
        g_autofree char *buf = g_malloc(CHUNK);
        uint64_t bytes = 0;
        ssize_t n;

        while ((n = read(fd, buf, CHUNK)) > 0)
                bytes += (uint64_t) n;
        (void) !write(fd, &bytes, sizeof bytes);
}

static void serve_one(int epoll_fd, int fd) {
        char c[2];
        ssize_t n = recv(fd, c, sizeof c, 0);

        if (n > 0 && c[0] == KIND_SINK) {
                (void) fcntl(fd, F_SETFL, 0);
                serve_sink(fd);
                n = 0;
        }
        if (n > 0)
                (void) send(fd, c, 1, MSG_NOSIGNAL);
        else
                close(fd);
}

static void serve(int listen_fd) {
        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = { .events = EPOLLIN, .data.fd = listen_fd }, ready[64];

        (void) fcntl(listen_fd, F_SETFL, O_NONBLOCK);
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e);
        for (;;) {
                int n = epoll_wait(epoll_fd, ready, ELEMENTSOF(ready), -1);

                for (int i = 0; i < n; i++) {
                        int fd;

                        if (ready[i].data.fd != listen_fd) {
                                serve_one(epoll_fd, ready[i].data.fd);
                                continue;
                        }
                        while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                                tune(fd);
                                e = (struct epoll_event){ .events = EPOLLIN, .data.fd = fd };
                                (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
                        }
                }
        }
}

/* --- our proxy --- */

static void run_proxy(int listen_fd) {
        PlainDialer *dialer;
        ProxyServer *server;
        sd_event *event;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        if (sd_event_new(&event) < 0)
                exit(EXIT_FAILURE);
        dialer = plain_dialer_new(event);
        if (proxy_server_new(event, &dialer->ops, &(ProxyServerOptions){}, &server) < 0 ||
            proxy_server_add_fd(server, listen_fd) < 0)
                exit(EXIT_FAILURE);
        (void) sd_event_loop(event);
        exit(EXIT_FAILURE);
}

/* --- clients --- */

static int dial(const Endpoint *to) {
        int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, &to->sa, endpoint_len(to)) < 0)
                die("connect");
        tune(fd);
        return fd;
}

static void read_exactly(int fd, void *buf, size_t len) {
        if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t) len)
                die("short answer");
}

/* A connection to the service, through @proxy if there is one. Waits for every answer, as clients
 * do. */
static int open_through(const Endpoint *proxy, const Endpoint *service) {
        uint8_t request[] = { 5, 1, 0, 1, 127, 0, 0, 1, 0, 0 }, reply[10];
        int fd = dial(proxy ?: service);

        if (!proxy)
                return fd;
        write_be16(request + 8, endpoint_port(service));
        if (send(fd, (const uint8_t[]){ 5, 1, 0 }, 3, 0) != 3)
                die("greeting");
        read_exactly(fd, reply, 2);
        if (send(fd, request, sizeof request, 0) != sizeof request)
                die("request");
        read_exactly(fd, reply, sizeof reply);
        if (reply[1] != 0) {
                fprintf(stderr, "the proxy answers %u\n", reply[1]);
                exit(EXIT_FAILURE);
        }
        return fd;
}

static void
many_connections(const Options *o, const Endpoint *proxy, const Endpoint *service, unsigned n) {
        /* No TIME_WAIT, or the ports are used up. */
        static const struct linger reset = { .l_onoff = 1 };

        for (unsigned i = 0; i < n; i++) {
                int fd = open_through(proxy, service);
                char c = KIND_ECHO;

                if (send(fd, &c, 1, 0) != 1)
                        die("byte");
                read_exactly(fd, &c, 1);
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(fd);
        }
}

static double connections_per_second(const Options *o, const Endpoint *proxy, const Endpoint *service) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        g_autofree pid_t *pids = g_new0(pid_t, o->clients);
        bool good = true;

        for (unsigned i = 0; i < o->clients; i++) {
                pids[i] = child();
                if (pids[i] == 0) {
                        many_connections(o, proxy, service, o->connections / o->clients);
                        _exit(EXIT_SUCCESS);
                }
        }
        for (unsigned i = 0; i < o->clients; i++) {
                int status;

                good = waitpid(pids[i], &status, 0) == pids[i] && status == 0 && good;
        }
        if (!good)
                exit(EXIT_FAILURE);
        return (double) (o->connections / o->clients * o->clients) * USEC_PER_SEC /
               (double) (now_usec(CLOCK_MONOTONIC) - begin);
}

static double gbit_per_second(const Options *o, const Endpoint *proxy, const Endpoint *service) {
        int fd = open_through(proxy, service);
        usec_t begin = now_usec(CLOCK_MONOTONIC), end = begin + o->seconds * USEC_PER_SEC;
        g_autofree char *buf = g_malloc0(CHUNK);
        uint64_t bytes, sent = 0;

        buf[0] = KIND_SINK;
        if (send(fd, buf, 1, 0) != 1)
                die("byte");
        while (now_usec(CLOCK_MONOTONIC) < end)
                sent += (uint64_t) MAX(send(fd, buf, CHUNK, 0), 0);
        /* What the service has got; a proxy that cannot carry the end of one half alone takes the
         * answer away, then what was sent must do. */
        (void) shutdown(fd, SHUT_WR);
        if (recv(fd, &bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
                bytes = sent;
        close(fd);
        return (double) bytes * 8 / 1000 / (double) (now_usec(CLOCK_MONOTONIC) - begin);
}

/* --- memory --- */

static long resident_kib(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        const char *line;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return 0;
        line = strstr(text, "VmRSS:");
        return line ? strtol(line + strlen("VmRSS:"), NULL, 10) : 0;
}

static double idle_kib(const Options *o, const Endpoint *proxy, const Endpoint *service, pid_t pid) {
        g_autofree int *fds = g_new(int, o->idle);
        long before = resident_kib(pid), after;

        for (unsigned i = 0; i < o->idle; i++) {
                char c = KIND_ECHO;

                fds[i] = open_through(proxy, service);
                if (send(fds[i], &c, 1, 0) != 1)
                        die("byte");
                read_exactly(fds[i], &c, 1);
        }
        after = resident_kib(pid);
        for (unsigned i = 0; i < o->idle; i++)
                close(fds[i]);
        return o->idle > 0 ? (double) (after - before) / o->idle : 0;
}

/* Of a process, in all; 0: not known. */
static double cpu_seconds(pid_t pid) {
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

/* @pid: of the proxy, whose processor time is told too; 0: somebody else's. */
static void
measure(const Options *o, const char *name, const Endpoint *proxy, const Endpoint *service, pid_t pid) {
        double start = cpu_seconds(pid), per_second, middle, gbit;

        per_second = connections_per_second(o, proxy, service);
        middle = cpu_seconds(pid);
        gbit = gbit_per_second(o, proxy, service);
        printf("name=%s connections_per_second=%.0f gbit_per_second=%.1f", name, per_second, gbit);
        if (pid > 0)
                printf(" cpu_us_per_connection=%.0f cpu_s_per_gb=%.2f",
                       (middle - start) * USEC_PER_SEC / o->connections,
                       (cpu_seconds(pid) - middle) / (gbit / 8 * o->seconds));
}

static unsigned number(const char *text) {
        char *end;
        unsigned long v = strtoul(text, &end, 10);

        if (*text == '\0' || *end != '\0' || v > 1000000) {
                fprintf(stderr, "socksload: '%s' is no number\n", text);
                exit(EXIT_FAILURE);
        }
        return (unsigned) v;
}

static void parse_options(int argc, char **argv, Options *o) {
        int c;

        *o = (Options){ .connections = 20000, .clients = 32, .seconds = 3, .idle = 1000 };
        while ((c = getopt(argc, argv, "n:c:s:m:p:")) >= 0)
                switch (c) {
                case 'n':
                        o->connections = number(optarg);
                        break;
                case 'c':
                        o->clients = MAX(number(optarg), 1U);
                        break;
                case 's':
                        o->seconds = number(optarg);
                        break;
                case 'm':
                        o->idle = number(optarg);
                        break;
                case 'p':
                        if (o->n_proxies < PROXIES_MAX &&
                            endpoint_parse(optarg, 1080, &o->proxy[o->n_proxies]) >= 0) {
                                o->n_proxies++;
                                break;
                        }
                        fprintf(stderr, "socksload: '%s' is no address\n", optarg);
                        exit(EXIT_FAILURE);
                default:
                        fprintf(stderr,
                                "socksload [-n CONNECTIONS] [-c CLIENTS] [-s SECONDS] "
                                "[-m IDLE] [-p HOST:PORT]...\n");
                        exit(EXIT_FAILURE);
                }
}

int main(int argc, char **argv) {
        Endpoint service = loopback(), ours = loopback();
        int service_fd = listener_open(&service), proxy_fd = listener_open(&ours);
        pid_t service_pid, proxy_pid;
        Options o;

        parse_options(argc, argv, &o);
        if (service_fd < 0 || proxy_fd < 0)
                die("listen");
        tune(service_fd);
        tune(proxy_fd);
        service = listener_local(service_fd);
        ours = listener_local(proxy_fd);
        service_pid = child();
        if (service_pid == 0)
                serve(service_fd);
        proxy_pid = child();
        if (proxy_pid == 0)
                run_proxy(proxy_fd);
        close(service_fd);
        close(proxy_fd);

        measure(&o, "direct", NULL, &service, 0);
        printf("\n");
        fflush(stdout);
        for (unsigned i = 0; i < o.n_proxies; i++) {
                measure(&o, endpoint_format(&o.proxy[i]).text, &o.proxy[i], &service, 0);
                printf("\n");
                fflush(stdout);
        }
        measure(&o, "omerta", &ours, &service, proxy_pid);
        printf(" idle_kib=%.1f rss_kib=%ld\n", idle_kib(&o, &ours, &service, proxy_pid),
               resident_kib(proxy_pid));
        kill(proxy_pid, SIGTERM);
        kill(service_pid, SIGTERM);
        return EXIT_SUCCESS;
}
