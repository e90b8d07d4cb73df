/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/network.h"
#include "cli/status.h"
#include "cli/table.h"
#include "dbus/names.h"

static void link_row(CliTable *t, const ClientNetwork *n, const ClientMachine *m, usec_t now) {
        cli_table_take(t, cli_format_text(n->name));
        cli_table_take(t, cli_format_text(m->host_name));
        cli_table_take(t, cli_format_id(m->id));
        cli_table_take(t, cli_format_text(m->link_state));
        cli_table_take(t, cli_network_way(n, m));
        cli_table_take(t, cli_format_text(m->endpoint));
        cli_table_take(t, cli_format_rtt(m->rtt));
        cli_table_take(t, cli_format_relative(m->last_received, now));
        cli_table_take(t, cli_format_relative(m->last_handshake, now));
        cli_table_take(t, cli_format_text(m->cipher));
        cli_table_take(t, cli_format_text(m->software));
}

/* Where members in the same LAN are looked for, and how many were heard. */
static void lan_print(const ClientSnapshot *s) {
        g_autoptr(GString) text = g_string_new(NULL);
        bool any = false;

        for (char *const *i = s->manager->lan_interfaces; i && *i; i++) {
                g_autofree char *name = cli_format_text(*i);

                g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : _("on "), name);
        }
        if (text->len == 0) {
                g_autofree char *reason = cli_escape(s->manager->lan_reason);

                if (*reason)
                        cli_field_take("LAN", g_steal_pointer(&reason));
                return;
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);
                g_autofree char *name = cli_format_text(n->name);

                g_string_append_printf(text, "%s%s: ", any ? ", " : "; ", name);
                if (n->lan_discovery)
                        g_string_append_printf(
                                        text, ngettext("%u machine", "%u machines", n->lan_machines),
                                        n->lan_machines);
                else
                        g_string_append(text, _("switched off"));
                any = true;
        }
        cli_field_take("LAN", g_string_free(g_steal_pointer(&text), FALSE));
}

static void mesh_print(Cli *cli, const ClientSnapshot *s) {
        g_autoptr(CliTable) t =
                        cli_table_new("NETWORK|HOST|ID|LINK|PATH|ENDPOINT|>RTT|SEEN|"
                                      "HANDSHAKE|CIPHER|SOFTWARE");

        cli_daemon_print(s->manager);
        lan_print(s);
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->machines->len; k++) {
                        const ClientMachine *m = g_ptr_array_index(n->machines, k);

                        if (!m->is_self)
                                link_row(t, n, m, cli->now);
                }
        }
        if (s->networks->len == 1)
                cli_table_hide(t, 0);
        putchar('\n');
        if (cli_table_rows(t) > 0)
                cli_table_print(t, stdout);
        else
                puts(_("No other machines yet."));
}

static void mesh_json(const ClientSnapshot *s, GArray *drops) {
        g_autoptr(JsonBuilder) b = cli_json_new();

        cli_json_daemon(b, s->manager, drops);
        cli_json_begin_array(b, "links");
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->machines->len; k++) {
                        const ClientMachine *m = g_ptr_array_index(n->machines, k);

                        if (m->is_self)
                                continue;
                        json_builder_begin_object(b);
                        cli_json_machine(b, n, m);
                        json_builder_end_object(b);
                }
        }
        json_builder_end_array(b);
        cli_drops_json_explained(b, drops);
        cli_json_print(b);
}

CliExit cli_mesh_status(Cli *cli, char **args) {
        g_autoptr(ClientSnapshot) s = NULL;
        g_autoptr(GArray) drops = NULL;
        CliExit e;

        if ((e = cli_bus_snapshot(cli, &s)) != CLI_OK ||
            (e = cli_bus_drops(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, &drops)) != CLI_OK)
                return e;
        if (cli->options.json)
                mesh_json(s, drops);
        else {
                mesh_print(cli, s);
                cli_drops_print(drops);
        }
        return CLI_OK;
}
