/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/network.h"
#include "cli/table.h"
#include "dbus/names.h"

static void session_row(CliTable *t, const ClientNetwork *n, const ClientSession *s, usec_t now) {
        const ClientMachine *m = client_network_find_machine(n, s->machine);

        cli_table_take(t, cli_format_text(n->name));
        cli_table_take(t, cli_format_text(m ? m->host_name : ""));
        cli_table_take(t, cli_format_text(m ? m->address : ""));
        cli_table_take(t, cli_format_id(s->machine));
        cli_table_take(t, cli_format_text(s->channel));
        cli_table_take(t, cli_format_text(s->state));
        cli_table_take(t, *s->via ? cli_network_way(n, m) : cli_format_text(s->via));
        cli_table_take(t, cli_format_rtt(s->rtt));
        cli_table_take(t, cli_format_relative(s->established, now));
        cli_table_take(t, cli_format_relative(s->last_activity, now));
        cli_table_take(t, cli_format_bytes(s->bytes_received));
        cli_table_take(t, cli_format_bytes(s->bytes_sent));
}

CliExit cli_tunnel_sessions(Cli *cli, char **args) {
        g_autoptr(CliTable) t =
                        cli_table_new("NETWORK|HOST|ADDRESS|ID|CHANNEL|STATE|PATH|>RTT|"
                                      "ESTABLISHED|ACTIVE|>RECEIVED|>SENT");
        g_autoptr(ClientSnapshot) s = NULL;
        g_autoptr(JsonBuilder) b = NULL;
        CliExit e = cli_bus_snapshot(cli, &s);

        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "sessions");
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->sessions->len; k++) {
                        const ClientSession *session = g_ptr_array_index(n->sessions, k);

                        if (!b) {
                                session_row(t, n, session, cli->now);
                                continue;
                        }
                        json_builder_begin_object(b);
                        cli_json_session(b, n, session);
                        json_builder_end_object(b);
                }
        }
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
                return CLI_OK;
        }
        if (s->networks->len == 1)
                cli_table_hide(t, 0);
        cli_table_print(t, stdout);
        return CLI_OK;
}

/* Closing a session that has gone in the meantime is what was wanted. */
static CliExit session_close(Cli *cli, const ClientSession *s) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call_method(
                        cli->bus, OMERTA_BUS_NAME, s->path, OMERTA_IFACE_SESSION, "Close", &error,
                        NULL, NULL);
        if (r < 0 && !sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                return cli_bus_failed(r, &error);
        return CLI_OK;
}

CliExit cli_tunnel_close(Cli *cli, char **args) {
        const char *channel = args[1]; /* NULL: all */
        g_autofree char *network = NULL, *machine = NULL;
        g_autoptr(ClientSnapshot) s = NULL;
        const ClientNetwork *n;
        unsigned closed = 0;
        CliExit e;

        if ((e = cli_bus_network_path(cli, &network)) != CLI_OK ||
            (e = cli_bus_find_machine(cli, network, args[0], &machine)) != CLI_OK ||
            (e = cli_bus_snapshot(cli, &s)) != CLI_OK)
                return e;
        n = client_snapshot_find_network(s, network);
        for (unsigned i = 0; n && i < n->sessions->len; i++) {
                const ClientSession *session = g_ptr_array_index(n->sessions, i);
                const ClientMachine *m = client_network_find_machine(n, session->machine);

                if (!m || strcmp(m->path, machine) != 0 ||
                    (channel && strcmp(channel, session->channel) != 0))
                        continue;
                e = session_close(cli, session);
                if (e != CLI_OK)
                        return e;
                closed++;
        }
        if (closed > 0)
                return CLI_OK;
        if (channel)
                cli_error(_("there is no session '%s' with %s"), channel, args[0]);
        else
                cli_error(_("there is no session with %s"), args[0]);
        cli_note(_("'omerta tunnel sessions' lists those there are."));
        return CLI_NOT_FOUND;
}
