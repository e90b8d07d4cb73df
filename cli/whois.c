/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose an address, a name or an id is: in every network, by what the daemon takes for a machine. */

#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/status.h"
#include "dbus/names.h"

#define DOMAIN_SUFFIX ".omerta"

/* Return: the lease its address is by, or NULL. */
static const ClientLease *lease_of(const ClientNetwork *n, const ClientMachine *m) {
        for (unsigned i = 0; i < n->leases->len; i++) {
                const ClientLease *l = g_ptr_array_index(n->leases, i);

                if (strcmp(l->machine, m->id) == 0 && strcmp(l->address, m->address) == 0)
                        return l;
        }
        return NULL;
}

/* @ret: NULL: no machine of this network is called so. */
static CliExit find(Cli *cli, const ClientNetwork *n, const char *text, const ClientMachine **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        int r;

        *ret = NULL;
        r = sd_bus_call_method(
                        cli->bus, OMERTA_BUS_NAME, n->path, OMERTA_IFACE_NETWORK, "FindMachine",
                        &error, &reply, "s", text);
        if (sd_bus_error_has_name(&error, OMERTA_ERROR_NO_SUCH_MACHINE))
                return CLI_OK;
        if (r >= 0)
                r = sd_bus_message_read_basic(reply, 'o', &path);
        if (r < 0)
                return cli_bus_failed(r, &error);
        for (unsigned i = 0; i < n->machines->len; i++) {
                const ClientMachine *m = g_ptr_array_index(n->machines, i);

                if (strcmp(m->path, path) == 0)
                        *ret = m;
        }
        return CLI_OK;
}

static char *link_text(const ClientMachine *m) {
        g_autofree char *state = cli_format_text(m->link_state), *via = cli_format_text(m->via);
        g_autofree char *endpoint = cli_format_text(m->endpoint);

        if (m->is_self)
                return g_strdup(_("this machine"));
        return *m->via ? g_strdup_printf("%s, %s, %s", state, via, endpoint) : g_strdup(state);
}

static char *text_or_null(const char *text) {
        return *text ? cli_escape(text) : NULL;
}

static void print(const ClientNetwork *n, const ClientMachine *m, usec_t now) {
        g_autofree char *name = cli_format_text(m->host_name), *network = cli_format_text(n->name);
        g_autofree char *roles = g_strjoinv(", ", m->roles);
        const ClientLease *l = lease_of(n, m);

        printf(_("%s in %s\n"), name, network);
        cli_field_take(_("Machine"), cli_escape(m->id));
        cli_field_take(_("Owner"), text_or_null(m->owner));
        cli_field_take(_("Address"), text_or_null(m->address));
        cli_field_take(_("IPv6"), text_or_null(m->address6));
        cli_field_take(_("Roles"), text_or_null(roles));
        cli_field_take(_("Link"), link_text(m));
        if (m->last_received > 0)
                cli_field_take(_("Seen"), cli_format_relative(m->last_received, now));
        if (l) {
                g_autofree char *granted = cli_format_relative(l->granted, now);
                g_autofree char *expires = cli_format_relative(l->expires, now);
                g_autofree char *state = cli_format_text(l->state);

                cli_field_take(_("Lease"), g_strdup_printf(_("%s, signed %s, ends %s"), state,
                                                           granted, expires));
        }
        if (m->certificate_expires > 0)
                cli_field_take(_("Certificate"), cli_format_relative(m->certificate_expires, now));
}

static void json(JsonBuilder *b, const ClientNetwork *n, const ClientMachine *m) {
        const ClientLease *l = lease_of(n, m);

        json_builder_begin_object(b);
        cli_json_machine(b, n, m);
        cli_json_string(b, "lease", l ? l->state : "");
        cli_json_time(b, "lease_granted", l ? l->granted : 0);
        cli_json_time(b, "lease_expires", l ? l->expires : 0);
        json_builder_end_object(b);
}

/* "nas.omerta" and "nas.omerta." are "nas". */
static char *strip_domain(const char *text) {
        size_t len = strlen(text), suffix = strlen(DOMAIN_SUFFIX);

        if (len > 1 && text[len - 1] == '.')
                len--;
        if (len > suffix && g_ascii_strncasecmp(text + len - suffix, DOMAIN_SUFFIX, suffix) == 0)
                len -= suffix;
        return g_strndup(text, len);
}

CliExit cli_whois(Cli *cli, char **args) {
        g_autoptr(ClientSnapshot) s = NULL;
        g_autofree char *text = strip_domain(args[0]);
        g_autoptr(JsonBuilder) b = NULL;
        unsigned found = 0;
        CliExit e = cli_bus_snapshot(cli, &s);

        if (e != CLI_OK)
                return e;
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);
                const ClientMachine *m;

                e = find(cli, n, text, &m);
                if (e != CLI_OK)
                        return e;
                if (!m)
                        continue;
                if (cli->options.json) {
                        if (!b) {
                                b = cli_json_new();
                                cli_json_begin_array(b, "machines");
                        }
                        json(b, n, m);
                } else {
                        if (found > 0)
                                puts("");
                        print(n, m, cli->now);
                }
                found++;
        }
        if (found == 0) {
                cli_error(_("nobody has '%s'"), args[0]);
                cli_note("%s", _(client_error_text(OMERTA_ERROR_NO_SUCH_MACHINE)->advice));
                return CLI_NOT_FOUND;
        }
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        }
        return CLI_OK;
}
