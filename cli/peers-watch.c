/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/peers-watch.h"

#include <string.h>
#include <unistd.h>

#include "cli/wait.h"
#include "dbus/names.h"

#define INTERVAL_MSEC 1000U
/* A burst of signals is one change. */
#define SETTLE_USEC (100 * USEC_PER_MSEC)

typedef struct Watch {
        Cli *cli;
        ClientSnapshot *snapshot;
        bool outdated; /* more than counters changed */
        bool wake;     /* there is something to print */
} Watch;

static void take_counters(ClientMachine *m, const uint64_t counters[static 5]) {
        m->packets_sent = counters[0];
        m->bytes_sent = counters[1];
        m->packets_received = counters[2];
        m->bytes_received = counters[3];
        m->rtt = counters[4];
}

/* What is not as it should be is what a later version says. */
static void read_counters(Watch *w, sd_bus_message *m) {
        ClientNetwork *n = client_snapshot_find_network(w->snapshot, sd_bus_message_get_path(m));
        uint64_t c[5];
        const char *id;

        if (!n || sd_bus_message_enter_container(m, 'a', "(sttttt)") < 0)
                return;
        while (sd_bus_message_read(m, "(sttttt)", &id, &c[0], &c[1], &c[2], &c[3], &c[4]) > 0) {
                ClientMachine *machine = client_network_find_machine(n, id);

                if (machine)
                        take_counters(machine, c);
        }
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;

        if (sd_bus_message_is_signal(m, OMERTA_IFACE_NETWORK, "Counters") <= 0)
                w->outdated = true;
        else if (w->snapshot)
                read_counters(w, m);
        w->wake = true;
        return 0;
}

/* In all networks that are shown; to ask again changes nothing. */
static CliExit ask_for_counters(Watch *w) {
        CliExit e = CLI_OK;

        for (unsigned i = 0; i < w->snapshot->networks->len && e == CLI_OK; i++) {
                const ClientNetwork *n = w->snapshot->networks->pdata[i];
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                int r;

                e = cli_bus_method(w->cli, n->path, OMERTA_IFACE_NETWORK, "WatchCounters", &m);
                if (e != CLI_OK)
                        return e;
                r = sd_bus_message_append(m, "u", INTERVAL_MSEC);
                e = r < 0 ? cli_bus_failed(r, NULL) : cli_bus_call(w->cli, m, NULL);
        }
        return e;
}

static CliExit look(Watch *w) {
        CliExit e;

        w->outdated = false;
        g_clear_pointer(&w->snapshot, client_snapshot_free);
        e = cli_bus_snapshot(w->cli, &w->snapshot);
        return e == CLI_OK ? ask_for_counters(w) : e;
}

CliExit cli_peers_watch(Cli *cli, void (*print)(Cli *cli, const ClientSnapshot *s)) {
        bool clear = isatty(STDOUT_FILENO) && !cli->options.json;
        Watch w = { .cli = cli, .outdated = true };
        CliWait wait;
        CliExit e;
        int r;

        e = cli_bus_open(cli);
        if (e != CLI_OK)
                return e;
        /* Before the first look, so that no change falls between. */
        r = sd_bus_match_signal(cli->bus, NULL, OMERTA_BUS_NAME, NULL, NULL, NULL, on_signal, &w);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        (void) cli_wait_init(&wait);
        while (e == CLI_OK && r >= 0) {
                w.wake = false;
                e = w.outdated ? look(&w) : CLI_OK;
                if (e != CLI_OK)
                        break;
                cli->now = now_usec(CLOCK_REALTIME);
                if (clear)
                        fputs("\033[H\033[J", stdout);
                print(cli, w.snapshot);
                if (!clear && !cli->options.json)
                        putchar('\n');
                (void) fflush(stdout);
                r = cli_wait(&wait, cli->bus, USEC_INFINITY, &w.wake);
                if (r >= 0)
                        r = cli_wait(&wait, cli->bus, now_usec(CLOCK_MONOTONIC) + SETTLE_USEC, NULL);
        }
        cli_wait_done(&wait);
        g_clear_pointer(&w.snapshot, client_snapshot_free);
        if (e == CLI_OK && r != -EINTR)
                e = cli_bus_failed(r, NULL);
        return e;
}
