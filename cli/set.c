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
        size_t offset;   /* in ClientManager: bool, or a text */
        bool is_text;    /* auto, on or off; else on or off */
} settings[] = {
        { "port-mapping", "port_mapping", offsetof(ClientManager, port_mapping) },
        { "relay", "relay", offsetof(ClientManager, relay), .is_text = true },
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
        cli_error(_("there is no setting '%s': port-mapping, relay ('omerta network set' has those "
                    "of a network)"),
                  name);
        return CLI_USAGE;
}

static CliExit check_value(size_t i, const char *text) {
        if (strcmp(text, "on") == 0 || strcmp(text, "off") == 0 ||
            (settings[i].is_text && strcmp(text, "auto") == 0))
                return CLI_OK;
        if (settings[i].is_text)
                cli_error(_("'%s' is none of auto, on, off"), text);
        else
                cli_error(_("'%s' is neither on nor off"), text);
        return CLI_USAGE;
}

static const char *value_of(const ClientManager *m, size_t i) {
        const void *at = (const char *) m + settings[i].offset;

        if (settings[i].is_text)
                return *(char *const *) at;
        return *(const bool *) at ? "on" : "off";
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
        if (settings[i].is_text)
                r = sd_bus_message_append(m, "a{sv}", 1, settings[i].name, "s", args[1]);
        else
                r = sd_bus_message_append(
                                m, "a{sv}", 1, settings[i].name, "b", strcmp(args[1], "on") == 0);
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
                const char *text = value_of(s->manager, i);

                if (b && settings[i].is_text)
                        cli_json_string(b, settings[i].key, text);
                else if (b)
                        cli_json_bool(b, settings[i].key, strcmp(text, "on") == 0);
                else if (args[0])
                        puts(text);
                else
                        printf("%-12s %s\n", settings[i].name, text);
        }
        if (b)
                cli_json_print(b);
        return CLI_OK;
}
