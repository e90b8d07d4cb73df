/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/bus.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/table.h"

static void lease_row(CliTable *t, const ClientNetwork *n, const ClientLease *l, usec_t now) {
        cli_table_take(t, cli_format_text(n->name));
        cli_table_take(t, cli_format_text(l->address));
        cli_table_take(t, cli_format_text(l->host_name));
        cli_table_take(t, cli_format_id(l->machine));
        cli_table_take(t, cli_format_text(l->state));
        cli_table_take(t, cli_format_relative(l->granted, now));
        cli_table_take(t, cli_format_relative(l->expires, now));
}

CliExit cli_dhcp_leases(Cli *cli, char **args) {
        g_autoptr(CliTable) t = cli_table_new("NETWORK|ADDRESS|HOST|MACHINE|STATE|GRANTED|EXPIRES");
        g_autoptr(ClientSnapshot) s = NULL;
        g_autoptr(JsonBuilder) b = NULL;
        CliExit e = cli_bus_snapshot(cli, &s);

        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "leases");
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->leases->len; k++) {
                        const ClientLease *l = g_ptr_array_index(n->leases, k);

                        if (!b) {
                                lease_row(t, n, l, cli->now);
                                continue;
                        }
                        json_builder_begin_object(b);
                        cli_json_lease(b, n, l);
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
