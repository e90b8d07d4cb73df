/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which member of a network this machine's internet traffic leaves by, and who may be one. */

#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/status.h"
#include "cli/table.h"
#include "cli/wait.h"
#include "dbus/names.h"

/* A link is made, and keys. */
#define ANSWER_USEC (12 * USEC_PER_SEC)

/* --- which one is used --- */

static const char *name_of(const ClientNetwork *n, const char *id) {
        const ClientMachine *m = *id ? client_network_find_machine(n, id) : NULL;

        return m ? m->host_name : id;
}

static void exit_json(JsonBuilder *b, const ClientNetwork *n) {
        cli_json_string(b, "network", n->name);
        cli_json_string(b, "wanted", n->exit_wanted);
        cli_json_string(b, "exit", n->exit);
        cli_json_string(b, "host_name", name_of(n, n->exit));
        cli_json_string(b, "state", n->exit_state);
        cli_json_string(b, "state_reason", n->exit_reason);
        cli_json_bool(b, "lan", n->exit_lan);
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        *(bool *) userdata = true;
        return 0;
}

static CliExit find(Cli *cli, const char *path, ClientSnapshot **ret, ClientNetwork **ret_network) {
        CliExit e;

        g_clear_pointer(ret, client_snapshot_free);
        e = cli_bus_snapshot(cli, ret);
        *ret_network = e == CLI_OK ? client_snapshot_find_network(*ret, path) : NULL;
        if (e == CLI_OK && !*ret_network)
                e = CLI_NOT_FOUND;
        return e;
}

/* Until one answers, or it is clear that none will. */
static CliExit
wait_for_answer(Cli *cli, const char *path, bool *changed, ClientSnapshot **ret, ClientNetwork **ret_n) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + ANSWER_USEC;
        CliWait wait;
        CliExit e;
        int r = 1;

        (void) cli_wait_init(&wait);
        do {
                *changed = false;
                e = find(cli, path, ret, ret_n);
                if (e != CLI_OK || strcmp((*ret_n)->exit_state, "up") == 0 ||
                    strcmp((*ret_n)->exit_state, "unavailable") == 0)
                        break;
                r = cli_wait(&wait, cli->bus, end, changed);
        } while (r > 0);
        cli_wait_done(&wait);
        return e;
}

static CliExit report(Cli *cli, const ClientNetwork *n) {
        g_autofree char *name = cli_format_text(name_of(n, n->exit)), *reason = NULL;
        bool is_up = strcmp(n->exit_state, "up") == 0;

        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                exit_json(b, n);
                cli_json_print(b);
        }
        if (is_up) {
                cli_hint(_("This machine's internet traffic leaves by %s."), name);
                return CLI_OK;
        }
        reason = cli_format_text(*n->exit_reason ? n->exit_reason : _("it does not answer yet"));
        cli_note(_("There is no way out: %s. Until there is, the internet is unreachable; 'omerta "
                   "gateway use none' goes back to this machine's own way."),
                 reason);
        return CLI_UNREACHABLE;
}

CliExit cli_gateway_use(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        g_autoptr(ClientSnapshot) s = NULL;
        g_autofree char *path = NULL;
        ClientNetwork *n;
        bool changed = false;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK)
                return e;
        r = sd_bus_match_signal(
                        cli->bus, NULL, OMERTA_BUS_NAME, path, "org.freedesktop.DBus.Properties",
                        "PropertiesChanged", on_changed, &changed);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if ((e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "UseExit", &m)) != CLI_OK)
                return e;
        if ((r = sd_bus_message_append_basic(m, 's', args[0] ?: "auto")) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_bool(m, "no-lan", cli->options.no_lan)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, NULL);
        if (e != CLI_OK)
                return e;
        if (args[0] && strcmp(args[0], "none") == 0) {
                if (cli->options.json && (e = find(cli, path, &s, &n)) == CLI_OK) {
                        g_autoptr(JsonBuilder) b = cli_json_new();

                        exit_json(b, n);
                        cli_json_print(b);
                }
                cli_hint(_("This machine's internet traffic leaves by its own way."));
                return e;
        }
        e = wait_for_answer(cli, path, &changed, &s, &n);
        return e == CLI_OK ? report(cli, n) : e;
}

/* --- which there are --- */

static void exits_add(JsonBuilder *b, CliTable *t, const ClientNetwork *n) {
        for (unsigned i = 0; i < n->machines->len; i++) {
                const ClientMachine *m = g_ptr_array_index(n->machines, i);
                bool is_used = *n->exit && strcmp(n->exit, m->id) == 0;
                g_autofree char *families = NULL;

                if (!m->exit || !m->exit[0])
                        continue;
                if (b) {
                        json_builder_begin_object(b);
                        cli_json_string(b, "network", n->name);
                        cli_json_string(b, "id", m->id);
                        cli_json_string(b, "host_name", m->host_name);
                        cli_json_strings(b, "exit", m->exit);
                        cli_json_string(b, "link", m->link_state);
                        cli_json_usec(b, "rtt_usec", m->rtt);
                        cli_json_bool(b, "used", is_used);
                        json_builder_end_object(b);
                        continue;
                }
                families = g_strjoinv(" ", m->exit);
                cli_table_take(t, cli_format_text(n->name));
                cli_table_take(t, cli_format_text(m->host_name));
                cli_table_take(t, cli_format_text(m->address));
                cli_table_take(t, cli_format_text(families));
                cli_table_take(t, cli_format_text(m->link_state));
                cli_table_take(t, cli_format_rtt(m->rtt));
                cli_table_take(t, cli_format_text(is_used ? n->exit_state : ""));
        }
}

static void use_print(const ClientNetwork *n) {
        g_autofree char *reason = NULL, *network = NULL;

        if (strcmp(n->exit_wanted, "none") == 0 || strcmp(n->exit_state, "up") == 0)
                return;
        network = cli_format_text(n->name);
        reason = cli_format_text(n->exit_reason);
        printf(_("\n%s: no exit is used: %s\n"), network, reason);
}

CliExit cli_gateway_exits(Cli *cli, char **args) {
        g_autoptr(CliTable) t = cli_table_new("NETWORK|HOST|ADDRESS|EXIT|LINK|>RTT|USED");
        g_autoptr(JsonBuilder) b = NULL;
        g_autoptr(ClientSnapshot) s = NULL;
        CliExit e = cli_bus_snapshot(cli, &s);

        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "exits");
        }
        for (unsigned i = 0; i < s->networks->len; i++)
                exits_add(b, t, g_ptr_array_index(s->networks, i));
        if (b) {
                json_builder_end_array(b);
                cli_json_begin_array(b, "uses");
                for (unsigned i = 0; i < s->networks->len; i++) {
                        json_builder_begin_object(b);
                        exit_json(b, g_ptr_array_index(s->networks, i));
                        json_builder_end_object(b);
                }
                json_builder_end_array(b);
                cli_json_print(b);
                return CLI_OK;
        }
        if (s->networks->len == 1)
                cli_table_hide(t, 0);
        cli_table_print(t, stdout);
        for (unsigned i = 0; i < s->networks->len; i++)
                use_print(g_ptr_array_index(s->networks, i));
        return CLI_OK;
}

/* --- who may be one --- */

static CliExit appoint(Cli *cli, const char *machine, bool may) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *path = NULL, *name = NULL;
        const char *id, *host_name;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "AppointExit", &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "sb", machine, (int) may);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read(reply, "ss", &id, &host_name);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "machine", id);
                cli_json_string(b, "host_name", host_name);
                cli_json_bool(b, "appointed", may);
                cli_json_print(b);
        }
        name = cli_format_text(host_name);
        if (may)
                cli_hint(_("%s may be an exit now: 'omerta gateway on' there makes it one."), name);
        else
                cli_hint(_("%s is no exit any more."), name);
        return CLI_OK;
}

CliExit cli_gateway_appoint(Cli *cli, char **args) {
        return appoint(cli, args[0], true);
}

CliExit cli_gateway_dismiss(Cli *cli, char **args) {
        return appoint(cli, args[0], false);
}
