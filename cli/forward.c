/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Port forwards: the daemon holds them, so every command returns at once. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* "2222:nas:22", "[::1]:2222:[fd00::1]:22", "/run/nas.sock:nas:22": the last two fields are the
 * target, whatever stands before them. Return: whether there are so many. */
static bool split_local(const char *text, char **ret_listen, char **ret_target) {
        const char *end = strrchr(text, ':'), *begin = end;

        if (!end || end == text)
                return false;
        if (end[-1] == ']') {
                begin = g_strrstr_len(text, end - text, "[");
                if (!begin || begin == text)
                        return false;
                begin--;
        } else
                begin = g_strrstr_len(text, end - text, ":");
        if (!begin || *begin != ':' || begin == text)
                return false;
        *ret_listen = g_strndup(text, (size_t) (begin - text));
        *ret_target = g_strdup(begin + 1);
        return true;
}

/* "22", "80:8080", "80:localhost:8080" */
static void split_reverse(const char *text, char **ret_listen, char **ret_target) {
        const char *colon = strchr(text, ':');

        *ret_listen = colon ? g_strndup(text, (size_t) (colon - text)) : g_strdup(text);
        *ret_target = g_strdup(colon ? colon + 1 : text);
}

static CliExit
add(Cli *cli, const char *direction, const char *listen, const char *target, char **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *network = NULL;
        const char *path;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &network)) != CLI_OK ||
            (e = cli_bus_method(cli, network, OMERTA_IFACE_NETWORK, "AddForward", &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "sss", direction, listen, target);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_bool(m, "persistent", cli->options.keep);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read_basic(reply, 'o', &path);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        *ret = g_strdup(path);
        return CLI_OK;
}

/* What was made: for scripts the place it listens at, alone. */
static CliExit show_one(Cli *cli, const char *path) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(ClientForward) f = NULL;
        g_autofree char *listen = NULL, *reason = NULL;
        g_autoptr(JsonBuilder) b = NULL;
        int r;

        r = client_forward_get(cli->bus, path, &error, &f);
        if (r < 0)
                return cli_bus_failed(r, &error);
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_forward(b, f);
                cli_json_print(b);
                return CLI_OK;
        }
        listen = cli_format_text(f->listen);
        printf("%s\n", listen);
        if (f->state_reason[0] != '\0') {
                reason = cli_format_text(f->state_reason);
                cli_note(_("It waits: %s."), reason);
        }
        cli_hint(_("'omerta unforward %u' ends it."), f->id);
        return CLI_OK;
}

static CliExit forward(Cli *cli, const char *direction, const char *listen, const char *target) {
        g_autofree char *path = NULL;
        CliExit e = add(cli, direction, listen, target, &path);

        return e == CLI_OK ? show_one(cli, path) : e;
}

CliExit cli_expose(Cli *cli, char **args) {
        g_autofree char *listen = NULL, *target = NULL;

        split_reverse(args[0], &listen, &target);
        return forward(cli, "reverse", listen, target);
}

CliExit cli_forward(Cli *cli, char **args) {
        g_autofree char *listen = NULL, *target = NULL;

        if (cli->options.reverse)
                return cli_expose(cli, args);
        if (!split_local(args[0], &listen, &target)) {
                cli_error(_("'%s' is not [ADDRESS:]PORT:MACHINE:PORT, like 2222:nas:22"), args[0]);
                return CLI_USAGE;
        }
        return forward(cli, "local", listen, target);
}

/* --- list, remove --- */

static void forward_row(CliTable *t, const ClientNetwork *n, const ClientForward *f) {
        cli_table_take(t, cli_format_text(n->name));
        cli_table_take(t, g_strdup_printf("%u", f->id));
        cli_table_take(t, cli_format_text(f->direction));
        cli_table_take(t, cli_format_text(f->listen));
        cli_table_take(t, cli_format_text(f->target));
        cli_table_take(t, g_strdup(f->persistent ? _("yes") : _("no")));
        cli_table_take(t, cli_format_text(f->state));
        cli_table_take(t, g_strdup_printf("%u", f->active));
        cli_table_take(t, g_strdup_printf("%" PRIu64, f->accepted));
        cli_table_take(t, g_strdup_printf("%" PRIu64, f->failed));
        cli_table_take(t, cli_format_bytes(f->bytes_to_target));
        cli_table_take(t, cli_format_bytes(f->bytes_from_target));
}

static void forwards_json(const ClientSnapshot *s) {
        g_autoptr(JsonBuilder) b = cli_json_new();

        cli_json_begin_array(b, "forwards");
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->forwards->len; k++) {
                        json_builder_begin_object(b);
                        cli_json_string(b, "network", n->name);
                        cli_json_forward(b, g_ptr_array_index(n->forwards, k));
                        json_builder_end_object(b);
                }
        }
        json_builder_end_array(b);
        cli_json_print(b);
}

CliExit cli_forwards(Cli *cli, char **args) {
        g_autoptr(CliTable) t =
                        cli_table_new("NETWORK|>ID|DIRECTION|LISTEN|TARGET|KEPT|STATE|"
                                      ">ACTIVE|>ACCEPTED|>FAILED|>TO TARGET|>FROM TARGET");
        g_autoptr(ClientSnapshot) s = NULL;
        CliExit e = cli_bus_snapshot(cli, &s);

        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                forwards_json(s);
                return CLI_OK;
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->forwards->len; k++)
                        forward_row(t, n, g_ptr_array_index(n->forwards, k));
        }
        if (s->networks->len == 1)
                cli_table_hide(t, 0);
        cli_table_print(t, stdout);
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->forwards->len; k++) {
                        const ClientForward *f = g_ptr_array_index(n->forwards, k);

                        if (f->state_reason[0] != '\0')
                                cli_hint("%u: %s", f->id, f->state_reason);
                }
        }
        return CLI_OK;
}

CliExit cli_unforward(Cli *cli, char **args) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        g_autofree char *network = NULL, *path = NULL;
        unsigned id;
        CliExit e;
        int r;

        if (cli_parse_count(args[0], &id) < 0) {
                cli_error(_("'%s' is no number of a forward"), args[0]);
                return CLI_USAGE;
        }
        e = cli_bus_network_path(cli, &network);
        if (e != CLI_OK)
                return e;
        path = g_strdup_printf("%s/forward/%u", network, id);
        e = cli_bus_method(cli, path, OMERTA_IFACE_FORWARD, "Remove", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_call(cli->bus, m, 0, &error, NULL);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT)) {
                cli_error(_("there is no forward %u"), id);
                cli_note(_("'omerta forwards' lists those there are."));
                return CLI_NOT_FOUND;
        }
        return r < 0 ? cli_bus_failed(r, &error) : CLI_OK;
}
