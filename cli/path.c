/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ways to a machine: which is used, and why the others are not. */

#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* A machine nobody talks to has no paths that were tried: it is asked once. */
#define ASK_TIMEOUT_USEC (2 * USEC_PER_SEC)

/* Texts are the message's. */
typedef struct PathInfo {
        const char *endpoint, *kind, *origin, *state, *reason, *mtu_state, *trains;
        int active;
        uint64_t rtt, rtt_min, since, last_received;
        uint32_t probes, lost, mtu;
} PathInfo;

static int read_value(sd_bus_message *m, const char *key, PathInfo *p) {
        const struct {
                const char *key, *type;
                void *where;
        } table[] = {
                { "endpoint", "s", &p->endpoint }, { "kind", "s", &p->kind },
                { "origin", "s", &p->origin },     { "state", "s", &p->state },
                { "reason", "s", &p->reason },     { "active", "b", &p->active },
                { "rtt", "t", &p->rtt },           { "rtt-min", "t", &p->rtt_min },
                { "since", "t", &p->since },       { "last-received", "t", &p->last_received },
                { "probes", "u", &p->probes },     { "lost", "u", &p->lost },
                { "mtu", "u", &p->mtu },           { "mtu-state", "s", &p->mtu_state },
                { "trains", "s", &p->trains },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(key, table[i].key) == 0)
                        return sd_bus_message_read(m, "v", table[i].type, table[i].where);
        /* Of a later version. */
        return sd_bus_message_skip(m, "v");
}

/* Return: 1, 0 at the end, or negative errno. */
static int read_path(sd_bus_message *m, PathInfo *ret) {
        PathInfo p = { .endpoint = "",
                       .kind = "",
                       .origin = "",
                       .state = "",
                       .reason = "",
                       .mtu_state = "",
                       .trains = "" };
        const char *key;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r <= 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &key);
                if (r >= 0)
                        r = read_value(m, key, &p);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        *ret = p;
        return r < 0 ? r : 1;
}

static void path_row(CliTable *t, const PathInfo *p, usec_t now) {
        cli_table_take(t, g_strdup(p->active ? "*" : ""));
        cli_table_take(t, cli_format_text(p->kind));
        cli_table_take(t, cli_format_text(p->endpoint));
        cli_table_take(t, cli_format_text(p->origin));
        cli_table_take(t, cli_format_rtt(p->rtt));
        cli_table_take(t, p->probes > 0 ? g_strdup_printf("%u%%",
                                                          (unsigned) (100ULL * p->lost / p->probes))
                                        : g_strdup("-"));
        cli_table_take(t, p->mtu > 0 ? g_strdup_printf("%u", p->mtu) : g_strdup("-"));
        cli_table_take(t, cli_format_relative(p->last_received, now));
        cli_table_take(t, cli_format_text(p->reason));
}

static void path_json(JsonBuilder *b, const PathInfo *p) {
        json_builder_begin_object(b);
        cli_json_bool(b, "active", p->active);
        cli_json_string(b, "kind", p->kind);
        cli_json_string(b, "endpoint", p->endpoint);
        cli_json_string(b, "origin", p->origin);
        cli_json_string(b, "state", p->state);
        cli_json_string(b, "reason", p->reason);
        cli_json_usec(b, "rtt_usec", p->rtt);
        cli_json_usec(b, "rtt_min_usec", p->rtt_min);
        cli_json_count(b, "probes", p->probes);
        cli_json_count(b, "lost", p->lost);
        cli_json_usec(b, "mtu", p->mtu);
        cli_json_string(b, "mtu_state", p->mtu_state);
        cli_json_string(b, "trains", p->trains);
        cli_json_time(b, "since", p->since);
        cli_json_time(b, "last_received", p->last_received);
        json_builder_end_object(b);
}

/* That there is something to see. Whether it answers is shown by what follows. */
static CliExit ask(Cli *cli, const char *host) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Ping", &m);
        int r;

        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append_basic(m, 's', host);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_string(m, "network", cli->options.network);
        if (r >= 0)
                r = cli_bus_option_u64(m, "timeout", ASK_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                (void) sd_bus_call(cli->bus, m, 2 * ASK_TIMEOUT_USEC, &error, NULL);
        return r < 0 ? cli_bus_failed(r, NULL) : CLI_OK;
}

/* Return: the machine at @path in what was asked just now, or NULL: it went meanwhile. */
static const ClientMachine *
find(const ClientSnapshot *s, const char *path, const ClientNetwork **ret_network) {
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->machines->len; k++) {
                        const ClientMachine *m = g_ptr_array_index(n->machines, k);

                        if (strcmp(m->path, path) == 0) {
                                *ret_network = n;
                                return m;
                        }
                }
        }
        return NULL;
}

static void print_machine(const ClientMachine *m) {
        g_autofree char *name = cli_format_text(m->host_name), *address = cli_format_text(m->address);
        g_autofree char *state = cli_format_text(m->link_state), *via = cli_format_text(m->via);

        if (m->is_self)
                printf(_("%s (%s) is this machine\n"), name, address);
        else if (*m->via)
                printf(_("%s (%s): link %s, %s\n"), name, address, state, via);
        else
                printf(_("%s (%s): link %s\n"), name, address, state);
        if (*m->translation && strcmp(m->translation, "unknown") != 0) {
                g_autofree char *translation = cli_format_text(m->translation);

                printf(_("translated: %s\n"), translation);
        }
        if (*m->why_relayed) {
                g_autofree char *why = cli_format_text(m->why_relayed);

                printf(_("relayed because %s\n"), why);
        }
}

/* Why it is slower than it could be. */
static void print_trains(const char *trains) {
        if (strcmp(trains, "lost") == 0)
                puts(_("datagrams leave one by one: trains of them are lost on the way"));
        else if (strcmp(trains, "suspected") == 0)
                puts(_("datagrams leave one by one: trains of them to other machines are lost on the "
                       "way"));
}

static CliExit show(Cli *cli, const ClientNetwork *n, const ClientMachine *m, sd_bus_message *reply) {
        g_autoptr(CliTable) t = cli_table_new("|PATH|ENDPOINT|FOUND|>RTT|>LOST|>MTU|SEEN|WHY");
        g_autoptr(JsonBuilder) b = NULL;
        const char *trains = ""; /* of the active path */
        PathInfo p;
        int r;

        if (cli->options.json) {
                b = cli_json_new();
                cli_json_machine(b, n, m);
                cli_json_string(b, "translation", m->translation);
                cli_json_string(b, "why_relayed", m->why_relayed);
                cli_json_begin_array(b, "paths");
        }
        r = sd_bus_message_enter_container(reply, 'a', "a{sv}");
        if (r < 0)
                return cli_bus_failed(r, NULL);
        while ((r = read_path(reply, &p)) > 0) {
                trains = p.active ? p.trains : trains;
                if (b)
                        path_json(b, &p);
                else
                        path_row(t, &p, cli->now);
        }
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
                return CLI_OK;
        }
        print_machine(m);
        print_trains(trains);
        if (cli_table_rows(t) > 0) {
                putchar('\n');
                cli_table_print(t, stdout);
        } else if (!m->is_self)
                puts(_("Nobody knows where it is: it was not heard of lately."));
        return CLI_OK;
}

CliExit cli_path(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *network = NULL, *machine = NULL;
        g_autoptr(ClientSnapshot) s = NULL;
        const ClientNetwork *n;
        const ClientMachine *about;
        CliExit e;

        if ((e = cli_bus_network_path(cli, &network)) != CLI_OK ||
            (e = cli_bus_find_machine(cli, network, args[0], &machine)) != CLI_OK ||
            (e = ask(cli, args[0])) != CLI_OK || (e = cli_bus_snapshot(cli, &s)) != CLI_OK ||
            (e = cli_bus_method(cli, machine, OMERTA_IFACE_MACHINE, "ListPaths", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        about = find(s, machine, &n);
        if (!about) {
                cli_error(_("'%s' is no member any more"), args[0]);
                return CLI_NOT_FOUND;
        }
        return show(cli, n, about, reply);
}
