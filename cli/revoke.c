/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose membership begins, and whose ends, and what it is called: decisions, each answered with a
 * line that names the machine. */

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* "phone (abcd1234)"; newly allocated. */
static char *machine_text(const char *id, const char *host_name) {
        g_autofree char *brief = cli_format_id(id), *name = cli_format_text(host_name);

        return *host_name ? g_strdup_printf("%s (%s)", name, brief) : g_strdup(brief);
}

/* --- who asks to be let in --- */

static CliExit answer(Cli *cli, const char *method, const char *machine, const char *said) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *path = NULL, *text = NULL;
        const char *id, *host_name;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, method, &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append_basic(m, 's', machine);
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
                cli_json_print(b);
        }
        text = machine_text(id, host_name);
        cli_hint("%s: %s", text, said);
        return CLI_OK;
}

CliExit cli_network_approve(Cli *cli, char **args) {
        return answer(cli, "Approve", args[0], _("let in"));
}

CliExit cli_network_rename(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *path = NULL, *text = NULL, *name = NULL;
        const char *id, *old_name;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "Rename", &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "ss", args[0], args[1]);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read(reply, "ss", &id, &old_name);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "machine", id);
                cli_json_string(b, "host_name", args[1]);
                cli_json_string(b, "old_name", old_name);
                cli_json_print(b);
        }
        text = machine_text(id, old_name);
        name = cli_format_text(args[1]);
        cli_hint(_("%s is called %s now."), text, name);
        return CLI_OK;
}

CliExit cli_network_refuse(Cli *cli, char **args) {
        return answer(cli, "Refuse", args[0], _("sent away"));
}

/* --- whose membership ends --- */

typedef struct Revoked {
        const char *id, *host_name, *invite;
        uint32_t uses_left;
        uint64_t expires;
} Revoked;

/* Return: whether the person there, if there is one, means it. */
static CliExit confirm(Cli *cli, const char *network, const char *machine) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autofree char *path = NULL, *id = NULL, *host_name = NULL, *text = NULL;
        CliExit e;
        int r;

        if (cli->options.yes || !cli_can_ask())
                return CLI_OK;
        e = cli_bus_find_machine(cli, network, machine, &path);
        if (e != CLI_OK)
                return e;
        r = sd_bus_get_property_string(
                        cli->bus, OMERTA_BUS_NAME, path, OMERTA_IFACE_MACHINE, "Id", &error, &id);
        if (r >= 0)
                r = sd_bus_get_property_string(
                                cli->bus, OMERTA_BUS_NAME, path, OMERTA_IFACE_MACHINE, "HostName",
                                &error, &host_name);
        if (r < 0)
                return cli_bus_failed(r, &error);
        text = machine_text(id, host_name);
        if (cli_ask(false, _("End the membership of %s, for good?"), text))
                return CLI_OK;
        cli_note(_("Nothing was changed."));
        return CLI_DENIED;
}

static CliExit
revoke_call(Cli *cli, const char *network, const char *machine, Revoked *ret, sd_bus_message **ret_reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e = cli_bus_method(cli, network, OMERTA_IFACE_NETWORK, "Revoke", &m);
        int r;

        if (e != CLI_OK)
                return e;
        if ((r = sd_bus_message_append_basic(m, 's', machine)) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_bool(m, "withdraw-invite", cli->options.withdraw_invite)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, ret_reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read(
                        *ret_reply, "sssut", &ret->id, &ret->host_name, &ret->invite,
                        &ret->uses_left, &ret->expires);
        return r < 0 ? cli_bus_failed(r, NULL) : CLI_OK;
}

/* The link it came by may let it in again, under another key. */
static CliExit settle_invite(Cli *cli, const char *network, Revoked *v) {
        g_autofree char *until = cli_format_time(v->expires);
        CliExit e;

        if (!*v->invite || v->uses_left == 0 || cli->options.keep_invite)
                return CLI_OK;
        if (cli->options.yes || !cli_can_ask()) {
                cli_note(_("It came by the invite %s, which lets %u more in until %s: 'omerta network "
                           "uninvite %s' withdraws it."),
                         v->invite, v->uses_left, until, v->invite);
                return CLI_OK;
        }
        if (!cli_ask(true,
                     _("It came by the invite %s, which lets %u more in until %s; withdraw it too?"),
                     v->invite, v->uses_left, until))
                return CLI_OK;
        e = cli_bus_simple(cli, network, OMERTA_IFACE_NETWORK, "DeleteInvite", v->invite);
        if (e == CLI_OK)
                v->uses_left = 0;
        return e;
}

CliExit cli_network_revoke(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autofree char *path = NULL, *text = NULL;
        Revoked v = {};
        CliExit e;

        if (cli->options.withdraw_invite && cli->options.keep_invite) {
                cli_error(_("--withdraw-invite and --keep-invite exclude each other"));
                return CLI_USAGE;
        }
        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = confirm(cli, path, args[0])) != CLI_OK ||
            (e = revoke_call(cli, path, args[0], &v, &reply)) != CLI_OK)
                return e;
        text = machine_text(v.id, v.host_name);
        cli_hint(_("%s is no member any more."), text);
        e = settle_invite(cli, path, &v);
        if (e == CLI_OK && *v.invite && v.uses_left == 0)
                cli_hint(_("The invite %s lets nobody in any more."), v.invite);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "machine", v.id);
                cli_json_string(b, "host_name", v.host_name);
                cli_json_string(b, "invite", v.invite);
                cli_json_count(b, "uses_left", v.uses_left);
                cli_json_time(b, "expires", v.expires);
                cli_json_print(b);
        }
        return e;
}

/* --- whose has ended --- */

static void
revoked_show(Cli *cli, JsonBuilder *b, CliTable *t, const char *machine, const char *reason, usec_t when) {
        if (b) {
                json_builder_begin_object(b);
                cli_json_string(b, "machine", machine);
                cli_json_string(b, "reason", reason);
                cli_json_time(b, "when", when);
                json_builder_end_object(b);
                return;
        }
        cli_table_take(t, cli_format_text(machine));
        cli_table_take(t, cli_format_text(reason));
        cli_table_take(t, cli_format_relative(when, cli->now));
}

CliExit cli_network_revoked(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(CliTable) t = cli_table_new("MACHINE|REASON|WHEN");
        g_autoptr(JsonBuilder) b = NULL;
        g_autofree char *path = NULL;
        const char *machine, *reason;
        uint64_t when;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "ListRevoked", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "revoked");
        }
        r = sd_bus_message_enter_container(reply, 'a', "(sst)");
        if (r < 0)
                return cli_bus_failed(r, NULL);
        while ((r = sd_bus_message_read(reply, "(sst)", &machine, &reason, &when)) > 0)
                revoked_show(cli, b, t, machine, reason, when);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        } else
                cli_table_print(t, stdout);
        return CLI_OK;
}

/* --- who was refused --- */

static void
refused_show(Cli *cli,
             JsonBuilder *b,
             CliTable *t,
             const char *machine,
             const char *host_name,
             const uint64_t times[static 2]) {
        if (b) {
                json_builder_begin_object(b);
                cli_json_string(b, "machine", machine);
                cli_json_string(b, "host_name", host_name);
                cli_json_time(b, "when", times[0]);
                cli_json_time(b, "until", times[1]);
                json_builder_end_object(b);
                return;
        }
        cli_table_take(t, cli_format_text(machine));
        cli_table_take(t, cli_format_text(host_name));
        cli_table_take(t, cli_format_relative(times[0], cli->now));
        cli_table_take(t, cli_format_time(times[1]));
}

CliExit cli_network_refused(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(CliTable) t = cli_table_new("MACHINE|HOST|WHEN|UNTIL");
        g_autoptr(JsonBuilder) b = NULL;
        const char *machine, *host_name;
        g_autofree char *path = NULL;
        uint64_t times[2];
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "ListRefused", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "refused");
        }
        r = sd_bus_message_enter_container(reply, 'a', "(sstt)");
        if (r < 0)
                return cli_bus_failed(r, NULL);
        while ((r = sd_bus_message_read(reply, "(sstt)", &machine, &host_name, &times[0], &times[1])) >
               0)
                refused_show(cli, b, t, machine, host_name, times);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        } else
                cli_table_print(t, stdout);
        return CLI_OK;
}
