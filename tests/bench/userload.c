/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ends of the table "userspace" of tests/bench/run.
 *
 *   userload serve ADDRESS:PORT                            the service
 *   userload [WAY] stream|back ADDRESS:PORT OMIT SECONDS   one stream to it, or from it
 *   userload [WAY] connections ADDRESS:PORT COUNT CLIENTS
 *   userload [WAY] idle ADDRESS:PORT COUNT                 keeps them open until it is killed
 *
 * WAY: --proxy ADDRESS:PORT of a SOCKS5 proxy, or --dial, the method Dial of the omertad on the
 * session bus; without, the network. Results are one line of "name=value" words.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/macros.h"
#include "dbus/names.h"
#include "load.h"
#include "proxy/listener.h"

static int open_by_dial(void *userdata, const Endpoint *service) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autofree char *text = g_strdup(endpoint_format(service).text);
        sd_bus *bus = userdata;
        int fd, r;

        *strrchr(text, ':') = '\0';
        r = sd_bus_call_method(
                        bus, OMERTA_BUS_NAME, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Dial", &error,
                        &reply, "sqa{sv}", text, endpoint_port(service), 0);
        if (r >= 0)
                r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (r < 0) {
                fprintf(stderr, "Dial: %s\n", error.message ? error.message : strerror(-r));
                exit(EXIT_FAILURE);
        }
        return fd;
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        if (endpoint_parse(text, 0, &e) < 0 || e.sa.sa_family != AF_INET) {
                fprintf(stderr, "userload: '%s' is no IPv4 address and port\n", text);
                exit(EXIT_FAILURE);
        }
        return e;
}

static unsigned number(const char *text) {
        return (unsigned) strtoul(text, NULL, 10);
}

static void run_serve(LoadWay *w, char **argv) {
        int fd = listener_open(&w->service);

        if (fd < 0)
                load_die("listen");
        load_tune(fd);
        puts("ready");
        fflush(stdout);
        load_serve(fd);
}

static void run_stream(LoadWay *w, char **argv) {
        printf("gbit=%.3f\n", load_gbit_per_second(w, false, number(argv[0]), number(argv[1])));
}

static void run_back(LoadWay *w, char **argv) {
        printf("gbit=%.3f\n", load_gbit_per_second(w, true, number(argv[0]), number(argv[1])));
}

static void run_connections(LoadWay *w, char **argv) {
        printf("per_second=%.0f\n", load_connections_per_second(w, number(argv[0]), number(argv[1])));
}

static void run_idle(LoadWay *w, char **argv) {
        g_autofree int *fds = load_idle(w, number(argv[0]));

        puts("ready");
        fflush(stdout);
        (void) pause();
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                int arguments;
                void (*run)(LoadWay *w, char **argv);
        } verbs[] = {
                { "serve", 1, run_serve }, { "stream", 3, run_stream },
                { "back", 3, run_back },   { "connections", 3, run_connections },
                { "idle", 2, run_idle },
        };
        struct rlimit limit;
        Endpoint proxy;
        LoadWay w = {};
        sd_bus *bus;

        argv++;
        argc--;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        if (argc > 2 && strcmp(argv[0], "--proxy") == 0) {
                proxy = endpoint(argv[1]);
                w.proxy = &proxy;
                argv += 2;
                argc -= 2;
        } else if (argc > 1 && strcmp(argv[0], "--dial") == 0) {
                if (sd_bus_open_user(&bus) < 0)
                        load_die("session bus");
                w.open = open_by_dial;
                w.userdata = bus;
                argv++;
                argc--;
        }
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (argc == verbs[i].arguments + 1 && strcmp(argv[0], verbs[i].name) == 0) {
                        w.service = endpoint(argv[1]);
                        verbs[i].run(&w, argv + 2);
                        return EXIT_SUCCESS;
                }
        fprintf(stderr, "usage: see the head of userload.c\n");
        return EXIT_FAILURE;
}
