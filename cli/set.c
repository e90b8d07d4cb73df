/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is set for this machine, whatever network it is in; what is set for a network too, since
 * people need not know which is which. */

#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "dbus/names.h"

/* The names are those of D-Bus, org.omerta.Mesh1.Manager.SetOptions. */
static const struct {
        const char *name;
        const char *key; /* in JSON */
        size_t offset;   /* in ClientManager */
        enum {
                SETTING_SWITCH, /* bool: on or off */
                SETTING_MODE,   /* a text: auto, on or off */
                SETTING_PORT,   /* uint32_t: a port, 0 for off */
        } kind;
} settings[] = {
        { "port-mapping", "port_mapping", offsetof(ClientManager, port_mapping), SETTING_SWITCH },
        { "relay", "relay", offsetof(ClientManager, relay), SETTING_MODE },
        { "tcp-port", "tcp_port", offsetof(ClientManager, tcp_port), SETTING_PORT },
};

/* Return: CLI_NOT_FOUND without a word: it is one of a network, perhaps. */
static CliExit find_setting(const char *name, size_t *ret) {
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (strcmp(settings[i].name, name) == 0) {
                        *ret = i;
                        return CLI_OK;
                }
        if (cli_network_has_setting(name))
                return CLI_NOT_FOUND;
        cli_error(_("there is no setting '%s': port-mapping, relay, tcp-port ('omerta network set' "
                    "has those of a network)"),
                  name);
        return CLI_USAGE;
}

/* Return: false: it is none. "off" is 0. */
static bool parse_port(const char *text, uint32_t *ret) {
        guint64 port;

        *ret = 0;
        if (strcmp(text, "off") == 0)
                return true;
        if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL))
                return false;
        *ret = (uint32_t) port;
        return true;
}

static CliExit check_value(size_t i, const char *text) {
        bool is_switch = strcmp(text, "on") == 0 || strcmp(text, "off") == 0;
        uint32_t port;

        switch (settings[i].kind) {
        case SETTING_SWITCH:
                if (is_switch)
                        return CLI_OK;
                cli_error(_("'%s' is neither on nor off"), text);
                break;
        case SETTING_MODE:
                if (is_switch || strcmp(text, "auto") == 0)
                        return CLI_OK;
                cli_error(_("'%s' is none of auto, on, off"), text);
                break;
        case SETTING_PORT:
                if (parse_port(text, &port))
                        return CLI_OK;
                cli_error(_("'%s' is neither a port nor off"), text);
                break;
        }
        return CLI_USAGE;
}

static int append_value(sd_bus_message *m, size_t i, const char *text) {
        const char *name = settings[i].name;
        uint32_t port = 0;

        switch (settings[i].kind) {
        case SETTING_SWITCH:
                return sd_bus_message_append(m, "a{sv}", 1, name, "b", strcmp(text, "on") == 0);
        case SETTING_MODE:
                return sd_bus_message_append(m, "a{sv}", 1, name, "s", text);
        case SETTING_PORT:
                (void) parse_port(text, &port);
                return sd_bus_message_append(m, "a{sv}", 1, name, "u", port);
        }
        return -EINVAL;
}

static const void *value_of(const ClientManager *m, size_t i) {
        return (const char *) m + settings[i].offset;
}

static void show_json(JsonBuilder *b, const ClientManager *m, size_t i) {
        const void *at = value_of(m, i);

        switch (settings[i].kind) {
        case SETTING_SWITCH:
                cli_json_bool(b, settings[i].key, *(const bool *) at);
                break;
        case SETTING_MODE:
                cli_json_string(b, settings[i].key, *(char *const *) at);
                break;
        case SETTING_PORT:
                cli_json_count(b, settings[i].key, *(const uint32_t *) at);
                break;
        }
}

static char *show_text(const ClientManager *m, size_t i) {
        const void *at = value_of(m, i);

        switch (settings[i].kind) {
        case SETTING_SWITCH:
                return g_strdup(*(const bool *) at ? "on" : "off");
        case SETTING_MODE:
                return g_strdup(*(char *const *) at);
        case SETTING_PORT:
                if (*(const uint32_t *) at > 0)
                        return g_strdup_printf("%u", *(const uint32_t *) at);
                break;
        }
        return g_strdup("off");
}

CliExit cli_set(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        size_t i;
        CliExit e;
        int r;

        e = find_setting(args[0], &i);
        if (e == CLI_NOT_FOUND)
                return cli_network_set(cli, args);
        if (e != CLI_OK || (e = check_value(i, args[1])) != CLI_OK ||
            (e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "SetOptions", &m)) != CLI_OK)
                return e;
        r = append_value(m, i, args[1]);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, NULL);
        if (e == CLI_OK)
                cli_hint(_("%s is %s now."), args[0], args[1]);
        return e;
}

CliExit cli_get(Cli *cli, char **args) {
        g_autoptr(ClientSnapshot) s = NULL;
        g_autoptr(JsonBuilder) b = NULL;
        size_t first = 0, end = ELEMENTSOF(settings);
        CliExit e;

        if (args[0]) {
                e = find_setting(args[0], &first);
                if (e == CLI_NOT_FOUND)
                        return cli_network_get(cli, args);
                if (e != CLI_OK)
                        return e;
                end = first + 1;
        }
        e = cli_bus_networks(cli, &s);
        if (e != CLI_OK)
                return e;
        if (cli->options.json)
                b = cli_json_new();
        for (size_t i = first; i < end; i++) {
                g_autofree char *text = show_text(s->manager, i);

                if (b)
                        show_json(b, s->manager, i);
                else if (args[0])
                        puts(text);
                else
                        printf("%-12s %s\n", settings[i].name, text);
        }
        if (b)
                cli_json_print(b);
        return CLI_OK;
}
