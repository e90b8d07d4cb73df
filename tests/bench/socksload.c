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

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/macros.h"
#include "load.h"
#include "plain-dialer.h"
#include "proxy/listener.h"
#include "proxy/server.h"

#define PROXIES_MAX 8U

typedef struct Options {
        unsigned connections, clients, seconds, idle;
        Endpoint proxy[PROXIES_MAX];
        unsigned n_proxies;
} Options;

static Endpoint loopback(void) {
        return (Endpoint){ .in = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
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

/* --- figures --- */

/* @pid: of the proxy, whose processor time is told too; 0: somebody else's. */
static void measure(const Options *o, const char *name, const LoadWay *w, pid_t pid) {
        double start = load_cpu_seconds(pid), per_second, middle, gbit;

        per_second = load_connections_per_second(w, o->connections, o->clients);
        middle = load_cpu_seconds(pid);
        gbit = load_gbit_per_second(w, false, 0, o->seconds);
        printf("name=%s connections_per_second=%.0f gbit_per_second=%.1f", name, per_second, gbit);
        if (pid > 0)
                printf(" cpu_us_per_connection=%.0f cpu_s_per_gb=%.2f",
                       (middle - start) * USEC_PER_SEC / o->connections,
                       (load_cpu_seconds(pid) - middle) / (gbit / 8 * o->seconds));
}

static double idle_kib(const Options *o, const LoadWay *w, pid_t pid) {
        long before = load_resident_kib(pid), after;
        g_autofree int *fds = load_idle(w, o->idle);

        after = load_resident_kib(pid);
        for (unsigned i = 0; i < o->idle; i++)
                close(fds[i]);
        return o->idle > 0 ? (double) (after - before) / o->idle : 0;
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
        LoadWay way = {};
        pid_t service_pid, proxy_pid;
        Options o;

        parse_options(argc, argv, &o);
        if (service_fd < 0 || proxy_fd < 0)
                load_die("listen");
        load_tune(service_fd);
        load_tune(proxy_fd);
        service = listener_local(service_fd);
        ours = listener_local(proxy_fd);
        service_pid = load_child();
        if (service_pid == 0)
                load_serve(service_fd);
        proxy_pid = load_child();
        if (proxy_pid == 0)
                run_proxy(proxy_fd);
        close(service_fd);
        close(proxy_fd);

        way.service = service;
        measure(&o, "direct", &way, 0);
        printf("\n");
        fflush(stdout);
        for (unsigned i = 0; i < o.n_proxies; i++) {
                way.proxy = &o.proxy[i];
                measure(&o, endpoint_format(&o.proxy[i]).text, &way, 0);
                printf("\n");
                fflush(stdout);
        }
        way.proxy = &ours;
        measure(&o, "omerta", &way, proxy_pid);
        printf(" idle_kib=%.1f rss_kib=%ld\n", idle_kib(&o, &way, proxy_pid),
               load_resident_kib(proxy_pid));
        kill(proxy_pid, SIGTERM);
        kill(service_pid, SIGTERM);
        return EXIT_SUCCESS;
}
