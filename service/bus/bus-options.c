/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/bus-options.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "dbus/names.h"

static int read_strv(sd_bus_message *call, char ***ret) {
        g_autoptr(GStrvBuilder) b = g_strv_builder_new();
        const char *s;
        int r;

        r = sd_bus_message_enter_container(call, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(call, "s", &s)) > 0)
                g_strv_builder_add(b, s);
        if (r >= 0)
                r = sd_bus_message_exit_container(call);
        if (r < 0)
                return r;
        g_strfreev(*ret);
        *ret = g_strv_builder_end(b);
        return 0;
}

static int read_one(sd_bus_message *call, const BusOption *table, unsigned *seen, sd_bus_error *error) {
        const char *name, *contents;
        unsigned i;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        for (i = 0; table[i].name; i++)
                if (strcmp(table[i].name, name) == 0)
                        break;
        if (!table[i].name)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "unknown option '%s'", name);
        if (*seen & 1U << i)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "option '%s' is given twice",
                                name);
        *seen |= 1U << i;
        r = sd_bus_message_peek_type(call, NULL, &contents);
        if (r < 0)
                return r;
        if (strcmp(contents, table[i].type) != 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT,
                                "option '%s' must be of type '%s'", name, table[i].type);
        r = sd_bus_message_enter_container(call, 'v', contents);
        if (r < 0)
                return r;
        if (strcmp(contents, "as") == 0)
                r = read_strv(call, table[i].ret);
        else
                r = sd_bus_message_read_basic(call, contents[0], table[i].ret);
        return r < 0 ? r : sd_bus_message_exit_container(call);
}

int bus_read_options(sd_bus_message *call, const BusOption *table, sd_bus_error *error) {
        unsigned seen = 0;
        int r;

        r = sd_bus_message_enter_container(call, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                r = read_one(call, table, &seen, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(call);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(call);
        return r < 0 ? r : 0;
}

int bus_read_names(char **texts, HostPort ret[static GATEWAY_NAMES_MAX], sd_bus_error *error) {
        unsigned n = 0;

        for (char **t = texts; t && *t; t++) {
                if (n == GATEWAY_NAMES_MAX)
                        return sd_bus_error_setf(
                                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                                        "a gateway has at most %u names", GATEWAY_NAMES_MAX);
                if (host_port_parse(*t, OMERTA_PORT_DEFAULT, &ret[n]) < 0)
                        return sd_bus_error_setf(
                                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                                        "'%s' is no name and port, like gw.example.org:18002", *t);
                n++;
        }
        return (int) n;
}
