/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/network.h"
#include "cli/status.h"
#include "cli/table.h"
#include "dbus/names.h"

CliExit cli_network_entered(Cli *cli, sd_bus_message *reply) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(ClientNetwork) n = NULL;
        const char *path;
        int r;

        r = sd_bus_message_read_basic(reply, 'o', &path);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        r = client_network_get(cli->bus, path, &error, &n);
        if (r < 0)
                return cli_bus_failed(r, &error);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_network(b, n);
                cli_json_print(b);
        }
        if (strcmp(n->state, "waiting") == 0)
                cli_note(_("Waiting to be let into %s: somebody must approve this machine on its "
                           "gateway."),
                         n->name);
        else if (n->is_gateway)
                cli_hint(_("Made %s; this machine is its gateway, %s. Let others in with 'omerta "
                           "network invite'."),
                         n->name, n->address);
        else
                cli_hint(_("Joined %s as %s."), n->name, n->address);
        return CLI_OK;
}

CliExit cli_network_create(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const CliOptions *o = &cli->options;
        CliExit e;
        int r;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "CreateNetwork", &m);
        if (e != CLI_OK)
                return e;
        if ((r = sd_bus_message_append_basic(m, 's', args[0])) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_string(m, "subnet", o->subnet)) < 0 ||
            (r = cli_bus_option_bool(m, "any-subnet", o->any_subnet)) < 0 ||
            (r = cli_bus_option_string(m, "host-name", o->host_name)) < 0 ||
            (r = cli_bus_option_string(m, "owner", o->owner)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        return e == CLI_OK ? cli_network_entered(cli, reply) : e;
}

/* Says how it was left. */
static CliExit left(Cli *cli, const ClientNetwork *n, sd_bus_message *reply) {
        g_autofree char *until = NULL;
        uint64_t listed_until;
        int told, r;

        r = sd_bus_message_read(reply, "bt", &told, &listed_until);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_bool(b, "told", told);
                cli_json_time(b, "listed_until", listed_until);
                cli_json_print(b);
        }
        until = cli_format_time(listed_until);
        if (listed_until > 0)
                cli_note(_("Left %s. Nobody was reachable: the network will list this machine until %s, "
                           "unless its gateway revokes it."),
                         n->name, until);
        else if (n->is_gateway)
                cli_note(_("Left %s, which has no gateway any more. Its machines reach each other until "
                           "their certificates end, in at most 30 days."),
                         n->name);
        else
                cli_hint(_("Left %s."), n->name);
        return CLI_OK;
}

CliExit cli_network_leave(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(ClientNetwork) n = NULL;
        CliExit e;
        int r;

        e = cli_bus_network(cli, &n);
        if (e != CLI_OK)
                return e;
        if (n->is_gateway && !cli->options.force) {
                cli_error(_("this machine is the gateway of %s: leaving ends the network for all "
                            "its machines"),
                          n->name);
                cli_note(_("If that is meant, say 'omerta network leave --force'."));
                return CLI_DENIED;
        }
        e = cli_bus_method(cli, n->path, OMERTA_IFACE_NETWORK, "Leave", &m);
        if (e != CLI_OK)
                return e;
        if ((r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_bool(m, "force", cli->options.force)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        return e == CLI_OK ? left(cli, n, reply) : e;
}

static CliExit switch_network(Cli *cli, const char *method) {
        g_autofree char *path = NULL;
        CliExit e = cli_bus_network_path(cli, &path);

        return e == CLI_OK ? cli_bus_simple(cli, path, OMERTA_IFACE_NETWORK, method, NULL) : e;
}

CliExit cli_up(Cli *cli, char **args) {
        char *exit[] = { (char *) cli->options.gateway, NULL };
        CliExit e;

        /* What is joined is up. */
        if (args[0]) {
                e = cli_network_join(cli, args);
                return e == CLI_OK && exit[0] ? cli_gateway_use(cli, exit) : e;
        }
        if (cli->options.given & (CLI_OPTION_BIT(OPTION_ANY_SUBNET) |
                                  CLI_OPTION_BIT(OPTION_HOST_NAME) | CLI_OPTION_BIT(OPTION_OWNER))) {
                cli_error(_("--any-subnet, --host-name and --owner are for joining: with a link"));
                return CLI_USAGE;
        }
        e = switch_network(cli, "Up");
        return e == CLI_OK && exit[0] ? cli_gateway_use(cli, exit) : e;
}

CliExit cli_down(Cli *cli, char **args) {
        return switch_network(cli, "Down");
}

static void list_print(const ClientSnapshot *s) {
        g_autoptr(CliTable) t =
                        cli_table_new("NETWORK|ID|STATE|ADDRESS|SUBNET|INTERFACE|GATEWAY|>MACHINES");

        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                cli_table_take(t, cli_format_text(n->name));
                cli_table_take(t, cli_format_id(n->id));
                cli_table_take(t, cli_format_text(n->state));
                cli_table_take(t, cli_format_text(n->address));
                cli_table_take(t, cli_format_text(n->subnet));
                cli_table_take(t, cli_format_text(n->interface));
                cli_table_take(t, cli_format_text(n->gateway_address));
                cli_table_take(t, g_strdup_printf("%u", n->members));
        }
        cli_table_print(t, stdout);
}

CliExit cli_network_list(Cli *cli, char **args) {
        g_autoptr(ClientSnapshot) s = NULL;
        CliExit e = cli_bus_networks(cli, &s);

        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_begin_array(b, "networks");
                for (unsigned i = 0; i < s->networks->len; i++) {
                        json_builder_begin_object(b);
                        cli_json_network(b, g_ptr_array_index(s->networks, i));
                        json_builder_end_object(b);
                }
                json_builder_end_array(b);
                cli_json_print(b);
                return CLI_OK;
        }
        list_print(s);
        if (s->networks->len == 0)
                cli_hint("%s", _(client_error_text(OMERTA_ERROR_NOT_JOINED)->advice));
        return CLI_OK;
}

CliExit cli_network_show(Cli *cli, char **args) {
        g_autoptr(ClientNetwork) n = NULL;
        g_autoptr(GArray) drops = NULL;
        CliExit e;

        e = cli_bus_network(cli, &n);
        if (e != CLI_OK)
                return e;
        e = cli_bus_drops(cli, n->path, OMERTA_IFACE_NETWORK, &drops);
        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_network(b, n);
                cli_drops_json(b, drops);
                cli_json_print(b);
                return CLI_OK;
        }
        cli_network_print(n, true);
        cli_drops_print(drops);
        return CLI_OK;
}

CliExit cli_network_address(Cli *cli, char **args) {
        g_autoptr(ClientNetwork) n = NULL;
        g_autofree char *address = NULL;
        CliExit e;

        e = cli_bus_network(cli, &n);
        if (e != CLI_OK)
                return e;
        if (!*n->address) {
                cli_error(_("no address in %s yet: it is %s%s%s"), n->name, n->state,
                          *n->state_reason ? ", " : "", n->state_reason);
                cli_note("%s", _(client_error_text(OMERTA_ERROR_NO_ADDRESS)->advice));
                return CLI_NOT_FOUND;
        }
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "network", n->name);
                cli_json_string(b, "address", n->address);
                cli_json_string(b, "address6", n->address6);
                cli_json_string(b, "subnet", n->subnet);
                cli_json_string(b, "interface", n->interface);
                cli_json_print(b);
                return CLI_OK;
        }
        address = cli_escape(n->address);
        puts(address);
        return CLI_OK;
}
