/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/network.h"
#include "cli/peers-watch.h"
#include "cli/table.h"
#include "dbus/names.h"

char *cli_network_way(const ClientNetwork *n, const ClientMachine *m) {
        const ClientMachine *relay = m && *m->relay ? client_network_find_machine(n, m->relay) : NULL;
        g_autofree char *name = NULL;

        if (!relay)
                return cli_format_text(m ? m->via : "");
        name = cli_format_text(relay->host_name);
        return g_strdup_printf(_("relayed by %s"), name);
}

/* "ipv4", "ipv6", "ipv4+6". */
static char *exit_text(const ClientMachine *m) {
        unsigned n = m->exit ? g_strv_length(m->exit) : 0;

        return n > 1 ? g_strdup("ipv4+6") : cli_format_text(n > 0 ? m->exit[0] : "");
}

/* Shown where there is one. */
#define EXIT_COLUMN 6U

static void peer_row(CliTable *t, const ClientNetwork *n, const ClientMachine *m, usec_t now) {
        cli_table_take(t, cli_format_text(n->name));
        cli_table_take(t, cli_format_text(m->host_name));
        cli_table_take(t, cli_format_text(m->address));
        cli_table_take(t, cli_format_id(m->id));
        cli_table_take(t, cli_format_text(m->owner));
        cli_table_take(t, cli_format_text(m->roles[0] ? m->roles[0] : ""));
        cli_table_take(t, exit_text(m));
        cli_table_take(t, cli_format_text(m->link_state));
        cli_table_take(t, cli_network_way(n, m));
        cli_table_take(t, cli_format_text(m->endpoint));
        cli_table_take(t, cli_format_rtt(m->rtt));
        cli_table_take(t, cli_format_relative(m->last_received, now));
        cli_table_take(t, cli_format_bytes(m->bytes_received));
        cli_table_take(t, cli_format_bytes(m->bytes_sent));
}

static void peers_print(Cli *cli, const ClientSnapshot *s) {
        g_autoptr(CliTable) t =
                        cli_table_new("NETWORK|HOST|ADDRESS|ID|OWNER|ROLE|EXIT|LINK|PATH|"
                                      "ENDPOINT|>RTT|SEEN|>RECEIVED|>SENT");
        g_autoptr(JsonBuilder) b = NULL;
        bool has_exit = false;

        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "machines");
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->machines->len; k++) {
                        const ClientMachine *m = g_ptr_array_index(n->machines, k);

                        has_exit = has_exit || (m->exit && m->exit[0]);
                        if (!b) {
                                peer_row(t, n, m, cli->now);
                                continue;
                        }
                        json_builder_begin_object(b);
                        cli_json_machine(b, n, m);
                        json_builder_end_object(b);
                }
        }
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
                return;
        }
        if (s->networks->len == 1)
                cli_table_hide(t, 0);
        if (!has_exit)
                cli_table_hide(t, EXIT_COLUMN);
        cli_table_print(t, stdout);
}

CliExit cli_network_peers(Cli *cli, char **args) {
        g_autoptr(ClientSnapshot) s = NULL;
        CliExit e;

        if (cli->options.watch)
                return cli_peers_watch(cli, peers_print);
        e = cli_bus_snapshot(cli, &s);
        if (e == CLI_OK)
                peers_print(cli, s);
        return e;
}

static void
pending_show(Cli *cli,
             JsonBuilder *b,
             CliTable *t,
             const char *machine,
             const char *host_name,
             usec_t since) {
        if (b) {
                json_builder_begin_object(b);
                cli_json_string(b, "machine", machine);
                cli_json_string(b, "host_name", host_name);
                cli_json_time(b, "since", since);
                json_builder_end_object(b);
                return;
        }
        /* In full: whoever approves compares it with what the other machine shows. */
        cli_table_take(t, cli_format_text(machine));
        cli_table_take(t, cli_format_text(host_name));
        cli_table_take(t, cli_format_relative(since, cli->now));
}

CliExit cli_network_pending(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(CliTable) t = cli_table_new("MACHINE|HOST|ASKED");
        g_autoptr(JsonBuilder) b = NULL;
        g_autofree char *path = NULL;
        const char *machine, *host_name;
        uint64_t since;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "ListPending", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "pending");
        }
        r = sd_bus_message_enter_container(reply, 'a', "(sst)");
        if (r < 0)
                return cli_bus_failed(r, NULL);
        while ((r = sd_bus_message_read(reply, "(sst)", &machine, &host_name, &since)) > 0)
                pending_show(cli, b, t, machine, host_name, since);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        } else
                cli_table_print(t, stdout);
        return CLI_OK;
}
