/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a network's administrator has set for all members, what is set for this machine, and the
 * word of a person on the clock. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* The names are those of D-Bus, org.omerta.Mesh1.Network.SetOptions. */
static const struct {
        const char *name;
        const char *key; /* in JSON */
        size_t offset;   /* in ClientNetwork */
        bool is_number;  /* uint32_t, else usec_t */
        bool is_text;    /* char *, neither */
        bool is_switch;  /* bool: on, off */
        bool is_list;    /* char **, with commas between */
        bool none;       /* 0 is a value: no limit; an empty list */
        bool is_own; /* of this machine; the rest is the gateway's, and a member does not know it */
} settings[] = {
        { "max-absence", "max_absence_usec", offsetof(ClientNetwork, max_absence), .none = true },
        { "grace", "grace_usec", offsetof(ClientNetwork, grace) },
        { "mtu", "mtu", offsetof(ClientNetwork, mtu), .is_number = true, .is_own = true },
        { "name", "name", offsetof(ClientNetwork, name), .is_text = true, .is_own = true },
        { "lan-discovery", "lan_discovery", offsetof(ClientNetwork, lan_discovery),
          .is_switch = true, .is_own = true },
        { "endpoints", "endpoints", offsetof(ClientNetwork, endpoints), .is_list = true,
          .none = true, .is_own = true },
};

bool cli_network_has_setting(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (strcmp(settings[i].name, name) == 0)
                        return true;
        return false;
}

static CliExit find_setting(const char *name, size_t *ret) {
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (strcmp(settings[i].name, name) == 0) {
                        *ret = i;
                        return CLI_OK;
                }
        cli_error(_("there is no setting '%s': max-absence, grace, mtu, lan-discovery, "
                    "name, endpoints"),
                  name);
        return CLI_USAGE;
}

static uint64_t value_of(const ClientNetwork *n, size_t i) {
        const void *at = (const char *) n + settings[i].offset;

        if (settings[i].is_switch)
                return *(const bool *) at;
        return settings[i].is_number ? *(const uint32_t *) at : *(const uint64_t *) at;
}

static const char *text_of(const ClientNetwork *n, size_t i) {
        return *(char *const *) ((const char *) n + settings[i].offset);
}

static char **list_of(const ClientNetwork *n, size_t i) {
        return *(char **const *) ((const char *) n + settings[i].offset);
}

static char *format_value(const ClientNetwork *n, size_t i) {
        uint64_t v;

        if (settings[i].is_text)
                return cli_format_text(text_of(n, i));
        if (settings[i].is_list) {
                g_autofree char *text = g_strjoinv(",", list_of(n, i));

                return text[0] ? cli_format_text(text) : g_strdup(_("none"));
        }
        v = value_of(n, i);
        if (settings[i].is_switch)
                return g_strdup(v ? "on" : "off");
        if (settings[i].is_number)
                return g_strdup_printf("%" PRIu64, v);
        return v == 0 ? g_strdup(_("none")) : cli_format_duration(v);
}

static CliExit parse_value(const char *text, size_t i, uint64_t *ret) {
        if (settings[i].is_text || settings[i].is_list)
                return CLI_OK; /* as with numbers */
        if (settings[i].none && strcmp(text, "none") == 0) {
                *ret = 0;
                return CLI_OK;
        }
        if (settings[i].is_switch) {
                *ret = strcmp(text, "on") == 0;
                if (*ret || strcmp(text, "off") == 0)
                        return CLI_OK;
                cli_error(_("'%s' is neither on nor off"), text);
                return CLI_USAGE;
        }
        if (settings[i].is_number) {
                /* What it may be is for the daemon to say. */
                if (g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, ret, NULL))
                        return CLI_OK;
                cli_error(_("'%s' is no number of bytes"), text);
                return CLI_USAGE;
        }
        if (cli_parse_duration(text, ret) >= 0)
                return CLI_OK;
        cli_error(_("'%s' is no duration like 90d%s"), text, settings[i].none ? _(", nor none") : "");
        return CLI_USAGE;
}

static int append_list(sd_bus_message *m, const char *name, const char *text) {
        g_auto(GStrv) list = g_strsplit(strcmp(text, "none") == 0 ? "" : text, ",", -1);
        int r;

        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append_basic(m, 's', name)) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "as")) < 0 ||
            (r = sd_bus_message_append_strv(m, list)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* 0 is said too: cli_bus_option_u64() would leave it out, and "none" with it. */
static int append(sd_bus_message *m, size_t i, const char *text, uint64_t value) {
        if (settings[i].is_text)
                return sd_bus_message_append(m, "{sv}", settings[i].name, "s", text);
        if (settings[i].is_list)
                return append_list(m, settings[i].name, text);
        if (settings[i].is_switch)
                return sd_bus_message_append(m, "{sv}", settings[i].name, "b", (int) value);
        if (settings[i].is_number)
                return sd_bus_message_append(m, "{sv}", settings[i].name, "u", (uint32_t) value);
        return sd_bus_message_append(m, "{sv}", settings[i].name, "t", value);
}

CliExit cli_network_set(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        g_autofree char *path = NULL;
        uint64_t value = 0;
        size_t i;
        CliExit e;
        int r;

        e = find_setting(args[0], &i);
        if (e != CLI_OK)
                return e;
        e = parse_value(args[1], i, &value);
        if (e != CLI_OK)
                return e;
        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "SetOptions", &m)) != CLI_OK)
                return e;
        if ((r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = append(m, i, args[1], value)) < 0 || (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, NULL);
        if (e == CLI_OK)
                cli_hint(_("%s is %s now."), args[0], args[1]);
        return e;
}

static bool is_known(const ClientNetwork *n, size_t i) {
        return settings[i].is_own || n->is_gateway;
}

CliExit cli_network_get(Cli *cli, char **args) {
        g_autoptr(ClientNetwork) n = NULL;
        size_t first = 0, end = ELEMENTSOF(settings);
        CliExit e;

        if (args[0]) {
                e = find_setting(args[0], &first);
                if (e != CLI_OK)
                        return e;
                end = first + 1;
        }
        e = cli_bus_network(cli, &n);
        if (e != CLI_OK)
                return e;
        if (args[0] && !is_known(n, first)) {
                cli_error(_("only the gateway of %s knows that: ask there"), n->name);
                return CLI_FAILED;
        }
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                for (size_t i = first; i < end; i++)
                        if (is_known(n, i) && settings[i].is_text)
                                cli_json_string(b, settings[i].key, text_of(n, i));
                        else if (settings[i].is_list)
                                cli_json_strings(b, settings[i].key, list_of(n, i));
                        else if (settings[i].is_switch)
                                cli_json_bool(b, settings[i].key, value_of(n, i));
                        else if (is_known(n, i))
                                cli_json_count(b, settings[i].key, value_of(n, i));
                cli_json_print(b);
                return CLI_OK;
        }
        for (size_t i = first; i < end; i++) {
                g_autofree char *value = format_value(n, i);

                if (!is_known(n, i))
                        continue;
                if (args[0])
                        puts(value);
                else
                        printf("%-14s %s\n", settings[i].name, value);
        }
        return CLI_OK;
}

CliExit cli_network_repair_time(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *path = NULL;
        uint32_t certificates, leases, invites;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "RepairTime", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        r = sd_bus_message_read(reply, "uuu", &certificates, &leases, &invites);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_count(b, "certificates", certificates);
                cli_json_count(b, "leases", leases);
                cli_json_count(b, "invites", invites);
                cli_json_print(b);
                return CLI_OK;
        }
        printf(_("This machine's clock counts as right from now on, until it is set by more than a "
                 "day.\nSigned anew, because a clock ahead had signed it: %u certificates, %u leases, "
                 "%u invites.\n"),
               certificates, leases, invites);
        return CLI_OK;
}
