/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* omertad: options, event loop, readiness; nothing else. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "bus/bus.h"
#include "config.h"
#include "host/forwarding.h"
#include "manager/manager.h"
#include "network/gateway.h"
#include "network/join.h"
#include "notify.h"
#include "restore.h"
#include "start-delay.h"

typedef struct Arguments {
        ManagerOptions manager;
        bool port_given;
        CreateOptions create;
        bool gateway;
        MachineId bootstrap;
        Endpoint bootstrap_endpoint; /* AF_UNSPEC: there is a name */
        HostPort bootstrap_name;
        bool has_bootstrap;
        int log_level;
        const char *restore; /* the backup; NULL: something else */
        bool tidy;           /* put back what a daemon that was killed has left */
} Arguments;

static const char usage[] =
                "omertad start [OPTION...]\n"
                "omertad restore FILE [--user] [--state-dir DIR]\n"
                "omertad tidy [--state-dir DIR]\n"
                "\n"
                "Joins this machine to its private networks. Normally systemd starts it:\n"
                "'systemctl start omertad'. With 'start' it runs in the foreground; 'restore'\n"
                "makes a state directory of what 'omerta backup' wrote; 'tidy' puts back what an\n"
                "exit has set in the kernel, after a daemon that was killed.\n"
                "\n"
                "  --user                   for one user, without privileges, on the session bus\n"
                "  --netstack ENGINE        with --user: auto, kernel, lwip (default: auto)\n"
                "  --socks-proxy PORT       a SOCKS5 and HTTP proxy on loopback\n"
                "  --socks-auth FILE        its USER:PASSWORD\n"
                "  --vpn                    make the interface omerta0 (needs CAP_NET_ADMIN)\n"
                "  --gateway                without a network: make one, with us as gateway\n"
                "  --network NAME           its name (default: omerta)\n"
                "  --subnet PREFIX          its addresses (default: 10.0.0.0/16 if free)\n"
                "  --host-name NAME         this machine's name in it\n"
                "  --port PORT              UDP port (default: 18002; any with --user)\n"
                "  --offload WHICH          of the kernel: all, send, interface, none (default: all)\n"
                "  --interface NAME         of the first network (default: omerta0)\n"
                "  --state-dir DIR          default: " OMERTA_STATE_DIR
                "\n"
                "                           with --user: ~/.local/state/omerta\n"
                "  --bootstrap ID@HOST:PORT where a member is reached\n"
                "  --log-level LEVEL        error, warning, notice, info, debug\n"
                "  -h, --help               this text\n"
                "      --version            version\n"
                "\n"
                "omertad(8) has the rest; 'omerta' is the command to talk to it.\n";

static int parse_log_level(const char *text, int *ret) {
        static const struct {
                const char *name;
                int level;
        } table[] = { { "error", LOG_ERR },
                      { "warning", LOG_WARNING },
                      { "notice", LOG_NOTICE },
                      { "info", LOG_INFO },
                      { "debug", LOG_DEBUG } };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].name, text) == 0) {
                        *ret = table[i].level;
                        return 0;
                }
        fprintf(stderr, "omertad: '%s' is no log level\n", text);
        return -EINVAL;
}

static int parse_port(const char *text, uint16_t *ret) {
        char *end;
        unsigned long v = strtoul(text, &end, 10);

        if (*text < '0' || *text > '9' || *end || v > UINT16_MAX) {
                fprintf(stderr, "omertad: '%s' is no port (0 to 65535)\n", text);
                return -EINVAL;
        }
        *ret = (uint16_t) v;
        return 0;
}

static int parse_bootstrap(char *text, Arguments *a) {
        char *at = strchr(text, '@');

        if (at) {
                *at = '\0';
                if (machine_id_parse(text, &a->bootstrap) >= 0 &&
                    (endpoint_parse(at + 1, OMERTA_PORT_DEFAULT, &a->bootstrap_endpoint) >= 0 ||
                     host_port_parse(at + 1, OMERTA_PORT_DEFAULT, &a->bootstrap_name) >= 0)) {
                        a->has_bootstrap = true;
                        return 0;
                }
        }
        fprintf(stderr,
                "omertad: --bootstrap wants ID@HOST:PORT with the whole id of a "
                "machine ('omerta network peers --json' shows it)\n");
        return -EINVAL;
}

static int parse_netstack(const char *text, NetstackEngine *ret) {
        NetstackEngine e = netstack_engine_from_string(text);

        if (e < 0 || e == NETSTACK_TUN) {
                fprintf(stderr, "omertad: --netstack is auto, kernel or lwip, not '%s'\n", text);
                return -EINVAL;
        }
        *ret = e;
        return 0;
}

static int parse_offload(const char *text, ManagerOptions *m) {
        static const struct {
                const char *name;
                bool send, interface;
        } table[] = {
                { "all", true, true },
                { "send", true, false },
                { "interface", false, true },
                { "none", false, false },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(text, table[i].name) == 0) {
                        m->no_trains = !table[i].send;
                        m->no_merging = !table[i].interface;
                        return 0;
                }
        fprintf(stderr, "omertad: --offload is all, send, interface or none, not '%s'\n", text);
        return -EINVAL;
}

/* What belongs to a daemon of the system or of a user, and its defaults. Return: 1, or -EINVAL. */
static int check_mode(Arguments *a) {
        ManagerOptions *m = &a->manager;

        if (!m->user_mode && m->netstack != NETSTACK_AUTO) {
                fprintf(stderr, "omertad: --netstack goes with --user\n");
                return -EINVAL;
        }
        if (m->user_mode && m->interface) {
                fprintf(stderr, "omertad: with --user there is no interface to name\n");
                return -EINVAL;
        }
        if (!m->user_mode)
                return 1;
        m->vpn = true;
        /* The system's daemon has the well-known one. */
        if (!a->port_given)
                m->port = 0;
        return 1;
}

enum {
        OPT_USER = 256,
        OPT_NETSTACK,
        OPT_SOCKS_PROXY,
        OPT_SOCKS_AUTH,
        OPT_VPN,
        OPT_GATEWAY,
        OPT_NETWORK,
        OPT_SUBNET,
        OPT_HOST_NAME,
        OPT_PORT,
        OPT_INTERFACE,
        OPT_OFFLOAD,
        OPT_STATE_DIR,
        OPT_BOOTSTRAP,
        OPT_LOG_LEVEL,
        OPT_VERSION,
};

#define OPTION_DONE 1

/* Return: 0, OPTION_DONE: there is nothing else to do, or negative errno. */
static int take_option(int c, Arguments *a) {
        switch (c) {
        case OPT_USER:
                a->manager.user_mode = true;
                return 0;
        case OPT_NETSTACK:
                return parse_netstack(optarg, &a->manager.netstack);
        case OPT_SOCKS_PROXY:
                a->manager.socks = true;
                return parse_port(optarg, &a->manager.socks_port);
        case OPT_SOCKS_AUTH:
                a->manager.socks_auth = optarg;
                return 0;
        case OPT_VPN:
                a->manager.vpn = true;
                return 0;
        case OPT_GATEWAY:
                a->gateway = true;
                return 0;
        case OPT_NETWORK:
                a->create.name = optarg;
                return 0;
        case OPT_SUBNET:
                a->create.subnet = optarg;
                return 0;
        case OPT_HOST_NAME:
                a->create.host_name = optarg;
                return 0;
        case OPT_PORT:
                a->port_given = true;
                return parse_port(optarg, &a->manager.port);
        case OPT_INTERFACE:
                a->manager.interface = optarg;
                return 0;
        case OPT_OFFLOAD:
                return parse_offload(optarg, &a->manager);
        case OPT_STATE_DIR:
                a->manager.state_dir = optarg;
                return 0;
        case OPT_BOOTSTRAP:
                return parse_bootstrap(optarg, a);
        case OPT_LOG_LEVEL:
                return parse_log_level(optarg, &a->log_level);
        case OPT_VERSION:
                puts("omertad " OMERTA_VERSION);
                return OPTION_DONE;
        case 'h':
                fputs(usage, stdout);
                return OPTION_DONE;
        default:
                return -EINVAL;
        }
}

/* What else is said is meant for a daemon that starts, and none does. Return: 1, or -EINVAL. */
static int check_alone(const char *verb, const Arguments *a) {
        const ManagerOptions *m = &a->manager;

        if (a->gateway || a->has_bootstrap || a->port_given || a->create.name || a->create.host_name ||
            m->vpn || m->socks || m->socks_auth || m->interface || m->netstack != NETSTACK_AUTO) {
                fprintf(stderr, "omertad: '%s' goes with --user and --state-dir alone\n", verb);
                return -EINVAL;
        }
        return 1;
}

static int take_restore(char *file, Arguments *a) {
        a->restore = file;
        return check_alone("restore", a);
}

static int take_tidy(Arguments *a) {
        a->tidy = true;
        return check_alone("tidy", a);
}

/* Return: 1 go on, 0 done, negative: bad arguments, said why. */
static int parse_arguments(int argc, char **argv, Arguments *a) {
        static const struct option options[] = {
                { "user", no_argument, NULL, OPT_USER },
                { "netstack", required_argument, NULL, OPT_NETSTACK },
                { "socks-proxy", required_argument, NULL, OPT_SOCKS_PROXY },
                { "socks-auth", required_argument, NULL, OPT_SOCKS_AUTH },
                { "vpn", no_argument, NULL, OPT_VPN },
                { "gateway", no_argument, NULL, OPT_GATEWAY },
                { "network", required_argument, NULL, OPT_NETWORK },
                { "subnet", required_argument, NULL, OPT_SUBNET },
                { "host-name", required_argument, NULL, OPT_HOST_NAME },
                { "port", required_argument, NULL, OPT_PORT },
                { "interface", required_argument, NULL, OPT_INTERFACE },
                { "offload", required_argument, NULL, OPT_OFFLOAD },
                { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "bootstrap", required_argument, NULL, OPT_BOOTSTRAP },
                { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPT_VERSION },
                {},
        };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                r = take_option(c, a);
                if (r != 0)
                        return r == OPTION_DONE ? 0 : r;
        }
        if (optind + 2 == argc && strcmp(argv[optind], "restore") == 0)
                return take_restore(argv[optind + 1], a);
        if (optind + 1 == argc && strcmp(argv[optind], "tidy") == 0)
                return take_tidy(a);
        if (optind + 1 != argc || strcmp(argv[optind], "start") != 0) {
                fprintf(stderr,
                        "omertad: say 'omertad start', 'omertad restore FILE' or 'omertad tidy'; "
                        "'omertad --help' tells more\n");
                return -EINVAL;
        }
        if (a->create.subnet && !a->gateway) {
                fprintf(stderr, "omertad: --subnet goes with --gateway\n");
                return -EINVAL;
        }
        return check_mode(a);
}

/* A gateway leads to the internet as well, where it has an interface and nobody has said otherwise. */
static int ensure_exit(const Manager *m, ManagedNetwork *n) {
        const ManagerOptions *o = manager_options(m);
        ManagerError error = {};
        int r = o->vpn && !o->user_mode ? managed_network_set_exit_by_default(n, &error) : 0;

        if (r < 0)
                log_error("cannot make this machine an exit: %s", error.message);
        manager_error_clear(&error);
        return r;
}

/* --gateway means: be one. On an empty state directory that makes a network. */
static int ensure_gateway(Manager *m, const Arguments *a) {
        ManagedNetwork *n;
        ManagerError error = {};
        CreateOptions create = a->create;
        int r;

        for (unsigned i = 0; i < manager_n_networks(m); i++) {
                const Membership *ms = managed_network_membership(manager_network(m, i));

                if (ms->is_gateway && (!create.name || strcmp(ms->name, create.name) == 0))
                        return ensure_exit(m, manager_network(m, i));
        }
        if (manager_n_networks(m) > 0 && !create.name) {
                log_error("this machine is a member of a network, not its gateway: start without "
                          "--gateway, or name a new network with --network");
                return -EEXIST;
        }
        if (!create.name)
                create.name = "omerta";
        create.usual_subnet = true;
        r = manager_create_network(m, &create, &n, &error);
        if (r < 0)
                log_error("cannot make the network: %s", error.message);
        manager_error_clear(&error);
        return r < 0 ? r : ensure_exit(m, n);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        (void) sd_notify(false, "STOPPING=1");
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

/* Nothing is read from files after the start; a reload confirms that we are well. */
static int on_hangup(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        (void) sd_notifyf(
                        false, "RELOADING=1\nMONOTONIC_USEC=%llu",
                        (unsigned long long) now_usec(CLOCK_MONOTONIC));
        manager_wake(userdata);
        (void) sd_notify(false, "READY=1");
        return 0;
}

static int add_signals(sd_event *event, Manager *m) {
        int r;

        r = sd_event_add_signal(event, NULL, SIGTERM, on_signal, NULL);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGINT, on_signal, NULL);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, m);
        return r;
}

/* After starts that did not last. Return: whether to go on; false: told to end meanwhile. */
static bool wait_for_turn(const char *runtime_dir, const sigset_t *end) {
        usec_t delay = start_delay_next(runtime_dir, now_usec(CLOCK_BOOTTIME));
        struct timespec t = { .tv_sec = (time_t) (delay / USEC_PER_SEC) };

        if (delay == 0)
                return true;
        log_warning("this daemon has ended by itself several times in short order: it waits %u s "
                    "before it serves again ('journalctl -u omertad' says why it ended)",
                    (unsigned) t.tv_sec);
        /* The time a start may take is meant for starting. */
        (void) sd_notifyf(
                        false,
                        "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=Ended by itself several times; waits %u s",
                        (unsigned long long) (delay + 2 * USEC_PER_MINUTE), (unsigned) t.tv_sec);
        return sigtimedwait(end, NULL, &t) < 0;
}

/* systemd's sockets have a port, which goes before ours: a packet for it may have started us. */
static void check_port(const Manager *m, const Arguments *a) {
        LogContext context = { .message_id = MESSAGE_ID_PORT_IGNORED };

        if (a->port_given && a->manager.port != 0 && a->manager.port != manager_port(m))
                (void) log_full(LOG_WARNING, 0, &context,
                                "--port %u is not used: systemd passes sockets of UDP port %u; "
                                "change it in omertad.socket and omertad6.socket (omertad(8))",
                                a->manager.port, manager_port(m));
}

/* Return: an exit status, omertad(8). */
static int run(Arguments *a) {
        sd_event *event = NULL;
        Notify *notify = NULL;
        Manager *m = NULL;
        Bus *bus = NULL;
        bool misconfigured = false;
        int r;

        r = sd_event_default(&event);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r < 0) {
                (void) log_error_errno(r, "cannot make an event loop: %m");
                goto finish;
        }
        r = manager_new(event, &a->manager, &m);
        if (r >= 0)
                r = add_signals(event, m);
        if (r >= 0)
                r = bus_new(event, m, &bus);
        if (r >= 0)
                r = manager_start(m);
        if (r >= 0 && a->gateway) {
                r = ensure_gateway(m, a);
                misconfigured = r == -EEXIST || r == -EINVAL;
        }
        if (r >= 0 && a->has_bootstrap && endpoint_is_set(&a->bootstrap_endpoint))
                manager_add_hint(m, &a->bootstrap, &a->bootstrap_endpoint);
        else if (r >= 0 && a->has_bootstrap)
                manager_add_name(m, &a->bootstrap, &a->bootstrap_name);
        if (r >= 0)
                r = bus_start(bus);
        if (r >= 0)
                r = notify_new(event, m, &notify);
        if (r < 0)
                goto finish;
        (void) sd_notify(false, "READY=1");
        check_port(m, a);
        log_info("omertad %s, machine %s, UDP port %u, %s", OMERTA_VERSION,
                 machine_id_format_short(manager_machine_id(m)).text, manager_port(m),
                 manager_cipher(m));
        r = sd_event_loop(event);
        if (r < 0)
                (void) log_error_errno(r, "event loop: %m");

finish:
        notify_free(notify);
        bus_free(bus);
        manager_free(m);
        sd_event_unref(event);
        if (misconfigured)
                return EX_CONFIG;
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Each connection through the proxy takes descriptors. The soft limit is low for the sake of programs
 * that use select(), whose sets end at 1024 (LimitNOFILE= in systemd.exec(5)): neither we nor the
 * functions of libraries that we call do. What we start sets its own (netif/netns-helper.c). */
static void raise_fd_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_debug_errno(-errno, "cannot raise the limit of descriptors: %m");
}

/* What is in this process's memory is in no file: keys would be in a core, and a program of the
 * same user could read them (prctl(2), PR_SET_DUMPABLE; ptrace(2)). */
static int close_memory(void) {
        const struct rlimit none = {};

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return -errno;
        return 0;
}

/* The table of nftables has gone with the daemon; this has not. */
static int tidy(const ManagerOptions *o) {
        g_autofree char *note = forwarding_note(o->runtime_dir ?: o->state_dir);
        _cleanup_(rtnl_closep) Rtnl *rtnl = NULL;
        int r = rtnl_open(&rtnl);

        if (r < 0)
                return log_error_errno(r, "cannot open rtnetlink: %m");
        forwarding_restore(rtnl, note);
        return 0;
}

int main(int argc, char **argv) {
        Arguments a = {
                .manager = { .port = OMERTA_PORT_DEFAULT },
                .log_level = LOG_INFO,
        };
        const char *runtime_dir = getenv("RUNTIME_DIRECTORY");
        g_autofree char *user_state = NULL;
        sigset_t signals, end;
        int r;

        r = parse_arguments(argc, argv, &a);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EXIT_SUCCESS;
        if (!a.manager.state_dir)
                a.manager.state_dir = getenv("STATE_DIRECTORY");
        if (!a.manager.state_dir && a.manager.user_mode)
                a.manager.state_dir = user_state =
                                g_build_filename(g_get_user_state_dir(), "omerta", NULL);
        if (!a.manager.state_dir)
                a.manager.state_dir = OMERTA_STATE_DIR;
        a.manager.runtime_dir = runtime_dir;
        log_setup(a.log_level);
        raise_fd_limit();
        r = close_memory();
        if (r < 0) {
                (void) log_error_errno(r, "cannot keep keys out of core files: %m");
                return EXIT_FAILURE;
        }
        if (a.tidy)
                return tidy(&a.manager) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (a.restore)
                return restore_run(a.restore, a.manager.state_dir) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        /* Blocked before any thread starts, so that sd-event gets them all. */
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        end = signals;
        sigaddset(&signals, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return EXIT_FAILURE;
        if (aead_setup() < 0) {
                log_error("libsodium does not work on this machine");
                return EXIT_FAILURE;
        }
        r = wait_for_turn(runtime_dir, &end) ? run(&a) : EXIT_SUCCESS;
        if (r == EXIT_SUCCESS)
                start_delay_clear(runtime_dir);
        return r;
}
