/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two machines of a network that nobody else can tell of each other: lines that people pass on. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/qr.h"
#include "cli/wait.h"
#include "dbus/names.h"

/* People take their time to pass a line on; an attempt of the daemon lasts 90 s, and what goes to
 * the machine begins another. */
#define CONNECT_USEC (5 * USEC_PER_MINUTE)
#define ASK_USEC (2 * USEC_PER_SEC)

typedef struct Meeting {
        char *path, *host_name, *address, *via; /* of the other machine */
        CliWait wait;
        bool answered, reached;
} Meeting;

static void meeting_done(Meeting *m) {
        cli_wait_done(&m->wait);
        g_free(m->path);
        g_free(m->host_name);
        g_free(m->address);
        g_free(m->via);
}

static CliExit get_line(Cli *cli, char **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *network = NULL;
        const char *line;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &network)) != CLI_OK ||
            (e = cli_bus_method(cli, network, OMERTA_IFACE_NETWORK, "Offer", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        r = sd_bus_message_read_basic(reply, 's', &line);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        *ret = g_strdup(line);
        return CLI_OK;
}

static void show_line(Cli *cli, const char *line) {
        if (cli->options.json)
                return;
        if (cli->options.qr && cli_qr_print(line, stdout, isatty(STDOUT_FILENO)) < 0)
                cli_note(_("There is no QR code: omerta was built without, or the line is too long."));
        puts(line);
        (void) fflush(stdout);
}

static CliExit take_line(Cli *cli, const char *line, char **ret_path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "TakeOffer", &m);
        int r;

        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append_basic(m, 's', line);
        return r < 0 ? cli_bus_failed(r, NULL) : cli_bus_call_path(cli, m, ret_path);
}

static char *property(Cli *cli, const char *path, const char *name) {
        char *value = NULL, *copy;

        if (sd_bus_get_property_string(
                            cli->bus, OMERTA_BUS_NAME, path, OMERTA_IFACE_MACHINE, name, NULL,
                            &value) < 0)
                return g_strdup("");
        copy = g_strdup(value);
        free(value);
        return copy;
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Meeting *m = userdata;

        m->answered = true;
        m->reached = !sd_bus_message_is_method_error(reply, NULL);
        return 0;
}

/* What is sent to it makes the daemon try. Return: CLI_OK also where it did not answer. */
static CliExit ask(Cli *cli, Meeting *meeting, bool *ret_end) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus_slot *slot = NULL;
        CliExit e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Ping", &m);
        int r;

        if (e != CLI_OK)
                return e;
        meeting->answered = false;
        r = sd_bus_message_append(m, "s", meeting->address);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_u64(m, "timeout", ASK_USEC);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call_async(cli->bus, &slot, m, on_answer, meeting, 0);
        if (r >= 0)
                r = cli_wait(&meeting->wait, cli->bus, USEC_INFINITY, &meeting->answered);
        sd_bus_slot_unref(slot);
        *ret_end = r == -EINTR;
        return r < 0 && r != -EINTR ? cli_bus_failed(r, NULL) : CLI_OK;
}

static CliExit wait_for_it(Cli *cli, Meeting *m) {
        usec_t end_at = now_usec(CLOCK_MONOTONIC) + CONNECT_USEC;
        bool end = false;
        CliExit e = CLI_OK;

        while (e == CLI_OK && !m->reached && !end && now_usec(CLOCK_MONOTONIC) < end_at) {
                usec_t begun = now_usec(CLOCK_MONOTONIC);

                e = ask(cli, m, &end);
                if (e == CLI_OK && !m->reached && !end)
                        end = cli_wait(&m->wait, cli->bus, begun + ASK_USEC, NULL) < 0;
        }
        return e;
}

static CliExit report(Cli *cli, Meeting *m, const char *line) {
        g_autofree char *name = cli_format_text(m->host_name), *address = cli_format_text(m->address);
        g_autofree char *via = NULL;

        m->via = property(cli, m->path, "Path");
        via = cli_format_text(m->via);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "line", line);
                cli_json_string(b, "host_name", m->host_name);
                cli_json_string(b, "address", m->address);
                cli_json_bool(b, "connected", m->reached);
                cli_json_string(b, "path", m->reached ? m->via : "");
                cli_json_print(b);
        } else if (m->reached)
                cli_hint(_("%s (%s) is reached, %s."), name, address, via);
        else
                cli_note(_("%s (%s) does not answer. Has the other side this machine's line?"),
                         name, address);
        return m->reached ? CLI_OK : CLI_TIMEOUT;
}

static CliExit offer(Cli *cli) {
        g_autofree char *line = NULL;
        CliExit e = get_line(cli, &line);

        if (e != CLI_OK)
                return e;
        show_line(cli, line);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "line", line);
                cli_json_print(b);
        }
        cli_hint(_("On the other machine: omerta connect --answer LINE"));
        return CLI_OK;
}

CliExit cli_connect(Cli *cli, char **args) {
        _cleanup_(meeting_done) Meeting m = { .wait.signal_fd = -EBADF };
        g_autofree char *line = NULL;
        CliExit e;

        if (cli->options.offer == (args[0] != NULL) || (cli->options.offer && cli->options.answer)) {
                cli_error(_("either --offer, or the line of the other machine"));
                return CLI_USAGE;
        }
        if (cli->options.offer)
                return offer(cli);
        e = take_line(cli, args[0], &m.path);
        if (e == CLI_OK && cli->options.answer)
                e = get_line(cli, &line);
        if (e != CLI_OK)
                return e;
        if (line)
                show_line(cli, line);
        m.host_name = property(cli, m.path, "HostName");
        m.address = property(cli, m.path, "Address");
        if (line)
                cli_hint(_("On %s: omerta connect LINE"), m.host_name);
        (void) cli_wait_init(&m.wait);
        e = wait_for_it(cli, &m);
        return e == CLI_OK ? report(cli, &m, line) : e;
}
