/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/wait.h"
#include "dbus/names.h"

/* As ping(8) has it. */
#define PING_INTERVAL_USEC USEC_PER_SEC
#define PING_TIMEOUT_USEC (2 * USEC_PER_SEC)
/* Where nobody is there to press Ctrl-C. */
#define PING_COUNT 4U

typedef struct Ping {
        char *host, *address, *via; /* of the machine; NULL: not known */
        unsigned sent, received;
        usec_t min, max, sum;
        CliWait wait;

        /* The one under way. */
        bool answered;
        usec_t rtt; /* USEC_INFINITY: lost */
        CliExit result;
} Ping;

static void ping_done(Ping *p) {
        cli_wait_done(&p->wait);
        g_free(p->host);
        g_free(p->address);
        g_free(p->via);
}

static char *machine_property(Cli *cli, const char *path, const char *name) {
        char *value = NULL, *copy;

        if (sd_bus_get_property_string(
                            cli->bus, OMERTA_BUS_NAME, path, OMERTA_IFACE_MACHINE, name, NULL,
                            &value) < 0)
                return g_strdup("");
        copy = g_strdup(value);
        free(value);
        return copy;
}

typedef struct Answer {
        Ping *ping;
        char *machine; /* object path */
} Answer;

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const char *machine;
        Answer *a = userdata;
        Ping *p = a->ping;
        int r;

        p->answered = true;
        p->rtt = USEC_INFINITY;
        if (error) {
                if (!sd_bus_error_has_name(error, OMERTA_ERROR_TIMEOUT))
                        p->result = cli_bus_failed(-EIO, error);
                return 0;
        }
        r = sd_bus_message_read(reply, "to", &p->rtt, &machine);
        if (r < 0)
                p->result = cli_bus_failed(r, NULL);
        else
                a->machine = g_strdup(machine);
        return 0;
}

static int ping_call(Cli *cli, const char *host, sd_bus_message *m) {
        int r = sd_bus_message_append(m, "s", host);

        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_string(m, "network", cli->options.network);
        if (r >= 0)
                r = cli_bus_option_u64(m, "timeout", PING_TIMEOUT_USEC);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Return: CLI_OK also where it was lost (@p->rtt) or somebody wants the end (@ret_end). */
static CliExit ping_once(Cli *cli, const char *host, Ping *p, bool *ret_end) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus_slot *slot = NULL;
        Answer answer = { .ping = p };
        CliExit e;
        int r;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Ping", &m);
        if (e != CLI_OK)
                return e;
        p->answered = false;
        p->result = CLI_OK;
        r = ping_call(cli, host, m);
        if (r >= 0)
                r = sd_bus_call_async(cli->bus, &slot, m, on_answer, &answer, 0);
        if (r >= 0)
                r = cli_wait(&p->wait, cli->bus, USEC_INFINITY, &p->answered);
        sd_bus_slot_unref(slot);
        *ret_end = r == -EINTR;
        if (r < 0)
                return r == -EINTR ? CLI_OK : cli_bus_failed(r, NULL);
        if (!answer.machine)
                return p->result;
        /* Asked each time: the path may become a direct one meanwhile. */
        g_free(p->via);
        p->via = machine_property(cli, answer.machine, "Path");
        if (!p->host) {
                p->host = machine_property(cli, answer.machine, "HostName");
                p->address = machine_property(cli, answer.machine, "Address");
        }
        g_free(answer.machine);
        return CLI_OK;
}

static void ping_count(Ping *p) {
        p->sent++;
        if (p->rtt == USEC_INFINITY)
                return;
        p->min = p->received == 0 ? p->rtt : MIN(p->min, p->rtt);
        p->max = MAX(p->max, p->rtt);
        p->sum += p->rtt;
        p->received++;
}

static void ping_print(const Ping *p, const char *host) {
        g_autofree char *name = cli_format_text(p->host ?: ""), *via = cli_format_text(p->via ?: "");
        g_autofree char *address = cli_format_text(p->address ?: "");
        g_autofree char *text = p->rtt == USEC_INFINITY ? NULL : cli_format_rtt(p->rtt);

        if (text)
                printf(_("%s (%s): %u: %s, %s\n"), name, address, p->sent, text, via);
        else
                cli_note(_("%u: %s does not answer"), p->sent, host);
        (void) fflush(stdout);
}

static void ping_json(const Ping *p) {
        g_autoptr(JsonBuilder) b = cli_json_new();

        cli_json_string(b, "host_name", p->host);
        cli_json_string(b, "address", p->address);
        cli_json_string(b, "path", p->via);
        cli_json_count(b, "sent", p->sent);
        cli_json_count(b, "received", p->received);
        cli_json_usec(b, "rtt_min_usec", p->min);
        cli_json_usec(b, "rtt_avg_usec", p->received > 0 ? p->sum / p->received : 0);
        cli_json_usec(b, "rtt_max_usec", p->max);
        cli_json_print(b);
}

static void ping_summary(const Ping *p) {
        g_autofree char *min = cli_format_rtt(p->min), *max = cli_format_rtt(p->max);
        g_autofree char *avg = cli_format_rtt(p->received > 0 ? p->sum / p->received : 0);

        printf(_("%u sent, %u received, %u%% lost; round trip %s to %s, %s on average\n"), p->sent,
               p->received, p->sent > 0 ? (p->sent - p->received) * 100 / p->sent : 0, min, max, avg);
}

CliExit cli_ping(Cli *cli, char **args) {
        bool watched = isatty(STDOUT_FILENO) && !cli->options.json, end = false;
        unsigned count = watched ? UINT_MAX : PING_COUNT;
        usec_t interval = cli->options.interval > 0 ? cli->options.interval : PING_INTERVAL_USEC;
        _cleanup_(ping_done) Ping p = {};
        CliExit e = CLI_OK;

        if (cli->options.count > 0)
                count = cli->options.count;
        (void) cli_wait_init(&p.wait);
        while (p.sent < count && !end) {
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                e = ping_once(cli, args[0], &p, &end);
                if (e != CLI_OK)
                        return e;
                if (end)
                        break;
                ping_count(&p);
                if (!cli->options.json)
                        ping_print(&p, args[0]);
                if (p.sent < count)
                        end = cli_wait(&p.wait, cli->bus, usec_add(begin, interval), NULL) < 0;
        }
        if (cli->options.json)
                ping_json(&p);
        else
                ping_summary(&p);
        return p.received > 0 ? CLI_OK : CLI_TIMEOUT;
}
