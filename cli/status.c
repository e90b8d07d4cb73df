/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "base/drop-reason.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/status.h"
#include "cli/table.h"
#include "cli/wait.h"
#include "config.h"
#include "dbus/names.h"

/* A burst of signals is one change. */
#define WATCH_SETTLE_USEC (100 * USEC_PER_MSEC)

/* The longest label, "Certificate". */
#define LABEL_WIDTH 12

void cli_field_take(const char *label, char *value) {
        if (!value)
                return;
        printf("%*s%s: %s\n", MAX(0, LABEL_WIDTH - (int) cli_text_width(label)), "", label, value);
        g_free(value);
}

static char *text_or_null(const char *text) {
        return *text ? cli_escape(text) : NULL;
}

static char *short_id(const char *id) {
        return *id ? cli_format_id(id) : NULL;
}

static char *gateway_text(const ClientNetwork *n, bool full) {
        g_autofree char *id = full ? cli_format_text(n->gateway) : cli_format_id(n->gateway);
        g_autofree char *address = cli_format_text(n->gateway_address);

        if (n->is_gateway)
                return g_strdup(_("this machine"));
        if (!*n->gateway && !*n->gateway_address)
                return NULL;
        return g_strdup_printf(_("%s, machine %s"), address, id);
}

static char *interface_text(const ClientNetwork *n) {
        g_autofree char *name = cli_format_text(n->interface);

        if (!*n->interface)
                return NULL;
        return g_strdup_printf(
                        n->addresses_held ? _("%s, MTU %u, addresses set by another program")
                                          : _("%s, MTU %u"),
                        name, n->mtu);
}

static char *certificate_text(const ClientNetwork *n) {
        g_autofree char *t = cli_format_time(n->certificate_expires);

        return n->certificate_expires > 0 ? g_strdup_printf(_("valid until %s"), t) : NULL;
}

void cli_network_print(const ClientNetwork *n, bool full) {
        g_autofree char *name = cli_format_text(n->name), *state = cli_format_text(n->state);
        g_autofree char *reason = cli_escape(n->state_reason);

        printf("%s: %s%s%s\n", name, state, *reason ? ", " : "", reason);
        if (full)
                cli_field_take(_("Id"), text_or_null(n->id));
        cli_field_take(_("This machine"),
                       full ? text_or_null(n->machine_id) : short_id(n->machine_id));
        cli_field_take(_("Address"), text_or_null(n->address));
        cli_field_take(_("IPv6"), text_or_null(n->address6));
        cli_field_take(_("Subnet"), text_or_null(n->subnet));
        cli_field_take(_("Interface"), interface_text(n));
        cli_field_take(_("Host name"), text_or_null(n->host_name));
        cli_field_take(_("Gateway"), gateway_text(n, full));
        if (n->members > 0)
                cli_field_take(_("Machines"), g_strdup_printf("%u", n->members));
        if (n->pending > 0)
                cli_field_take(_("Ask to be let in"), g_strdup_printf("%u", n->pending));
        if (full && n->invites > 0)
                cli_field_take(_("Invites"), g_strdup_printf("%u", n->invites));
        if (full)
                cli_field_take(_("Certificate"), certificate_text(n));
}

static uint64_t drops_total(GArray *drops) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < drops->len; i++)
                sum += g_array_index(drops, CliDrop, i).count;
        return sum;
}

char *cli_drops_summary(GArray *drops) {
        GString *s;

        if (drops->len == 0)
                return NULL;
        s = g_string_new(NULL);
        g_string_append_printf(s, "%" PRIu64 " (", drops_total(drops));
        /* The rest is for `network show`. */
        for (unsigned i = 0; i < MIN(drops->len, 3U); i++) {
                const CliDrop *d = &g_array_index(drops, CliDrop, i);
                g_autofree char *reason = cli_format_text(d->reason);

                g_string_append_printf(s, "%s%s %" PRIu64, i > 0 ? ", " : "", reason, d->count);
        }
        g_string_append(s, drops->len > 3 ? ", ...)" : ")");
        return g_string_free(s, FALSE);
}

/* A daemon later than this program may have reasons it does not know. */
static const char *drop_describe(const char *reason) {
        for (DropReason r = DROP_NONE; r < _DROP_REASON_MAX; r++)
                if (strcmp(drop_reason_to_string(r), reason) == 0)
                        return drop_reason_describe(r);
        return "";
}

void cli_drops_print(GArray *drops) {
        g_autoptr(CliTable) t = NULL;

        if (drops->len == 0)
                return;
        t = cli_table_new("DROPPED|>COUNT|WHY");
        for (unsigned i = 0; i < drops->len; i++) {
                const CliDrop *d = &g_array_index(drops, CliDrop, i);

                cli_table_take(t, cli_format_text(d->reason));
                cli_table_take(t, g_strdup_printf("%" PRIu64, d->count));
                cli_table_take(t, g_strdup(drop_describe(d->reason)));
        }
        cli_table_take(t, g_strdup(_("in all")));
        cli_table_take(t, g_strdup_printf("%" PRIu64, drops_total(drops)));
        cli_table_take(t, g_strdup(""));
        putchar('\n');
        cli_table_print(t, stdout);
}

void cli_drops_json(JsonBuilder *b, GArray *drops) {
        json_builder_set_member_name(b, "drops");
        json_builder_begin_object(b);
        for (unsigned i = 0; i < drops->len; i++) {
                const CliDrop *d = &g_array_index(drops, CliDrop, i);

                cli_json_count(b, d->reason, d->count);
        }
        json_builder_end_object(b);
}

void cli_drops_json_explained(JsonBuilder *b, GArray *drops) {
        cli_json_count(b, "dropped", drops_total(drops));
        cli_json_begin_array(b, "drops");
        for (unsigned i = 0; i < drops->len; i++) {
                const CliDrop *d = &g_array_index(drops, CliDrop, i);

                json_builder_begin_object(b);
                cli_json_string(b, "reason", d->reason);
                cli_json_count(b, "count", d->count);
                cli_json_string(b, "text", drop_describe(d->reason));
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
}

void cli_json_daemon(JsonBuilder *b, const ClientManager *m, GArray *drops) {
        json_builder_set_member_name(b, "daemon");
        json_builder_begin_object(b);
        cli_json_string(b, "version", m->version);
        cli_json_string(b, "mode", m->mode);
        cli_json_string(b, "machine", m->machine_id);
        cli_json_count(b, "port", m->port);
        cli_json_string(b, "cipher", m->cipher);
        cli_json_string(b, "netstack", m->netstack);
        cli_json_string(b, "netstack_reason", m->netstack_reason);
        cli_json_bool(b, "port_mapping", m->port_mapping);
        cli_json_string(b, "mapped_endpoint", m->mapped_endpoint);
        cli_json_string(b, "mapping_protocol", m->mapping_protocol);
        cli_json_string(b, "mapping_router", m->mapping_router);
        cli_json_string(b, "mapping_reason", m->mapping_reason);
        cli_json_string(b, "mapped_endpoint6", m->mapped_endpoint6);
        cli_json_string(b, "mapping_router6", m->mapping_router6);
        cli_json_string(b, "mapping_reason6", m->mapping_reason6);
        cli_json_count(b, "tcp_port", m->tcp_port);
        cli_json_string(b, "tcp_reason", m->tcp_reason);
        cli_json_count(b, "tcp_connections", m->tcp_connections);
        cli_json_string(b, "relay", m->relay);
        cli_json_bool(b, "is_relay", m->is_relay);
        cli_json_count(b, "relay_pairs", m->relay_pairs);
        cli_json_count(b, "relayed_datagrams", m->relayed_datagrams);
        cli_json_count(b, "relayed_bytes", m->relayed_bytes);
        cli_json_strings(b, "lan_interfaces", m->lan_interfaces);
        cli_json_string(b, "lan_reason", m->lan_reason);
        cli_drops_json(b, drops);
        json_builder_end_object(b);
}

/* Of IPv6 nothing is said where there is no router to ask: most have none, and want none. */
static void print_mappings(const ClientManager *m) {
        g_autofree char *endpoint = cli_format_text(m->mapped_endpoint);
        g_autofree char *protocol = cli_format_text(m->mapping_protocol);
        g_autofree char *router = cli_format_text(m->mapping_router);
        g_autofree char *endpoint6 = cli_format_text(m->mapped_endpoint6);
        g_autofree char *router6 = cli_format_text(m->mapping_router6);

        cli_field_take(_("Port mapping"),
                       *m->mapped_endpoint ? g_strdup_printf(_("%s, router %s (%s)"), endpoint,
                                                             router, protocol)
                                           : text_or_null(m->mapping_reason));
        if (*m->mapping_router6)
                cli_field_take(_("IPv6"),
                               *m->mapped_endpoint6 ? g_strdup_printf(_("%s, opened by router %s"),
                                                                      endpoint6, router6)
                                                    : text_or_null(m->mapping_reason6));
}

/* One that is switched off is nothing to speak of, unless members are reached so all the same. */
static char *tcp_text(const ClientManager *m) {
        if (m->tcp_port > 0 && *m->tcp_reason)
                return cli_format_text(m->tcp_reason);
        if (m->tcp_port > 0)
                return g_strdup_printf(_("%u, %u connections"), m->tcp_port, m->tcp_connections);
        return m->tcp_connections > 0
                               ? g_strdup_printf(_("none, %u connections"), m->tcp_connections)
                               : NULL;
}

static char *relay_text(const ClientManager *m) {
        g_autofree char *bytes = NULL;

        if (!m->is_relay)
                return *m->relay ? g_strdup_printf(_("no (%s)"), m->relay) : NULL;
        if (m->relay_pairs == 0 && m->relayed_bytes == 0)
                return g_strdup_printf(_("yes (%s)"), m->relay);
        bytes = cli_format_bytes(m->relayed_bytes);
        return g_strdup_printf(
                        _("yes (%s), %u pairs now, %s passed on"), m->relay, m->relay_pairs, bytes);
}

void cli_daemon_print(const ClientManager *m) {
        g_autofree char *version = cli_format_text(m->version), *mode = cli_format_text(m->mode);
        g_autofree char *cipher = cli_format_text(m->cipher);
        g_autofree char *stack = cli_format_text(m->netstack);
        g_autofree char *reason = cli_format_text(m->netstack_reason);

        printf("omertad %s (%s)\n", version, mode);
        cli_field_take(_("Machine"), cli_format_text(m->machine_id));
        cli_field_take(_("UDP port"), g_strdup_printf("%u", m->port));
        cli_field_take(_("TCP port"), tcp_text(m));
        print_mappings(m);
        cli_field_take(_("Relays"), relay_text(m));
        cli_field_take(_("Cipher"), g_steal_pointer(&cipher));
        if (*m->netstack)
                cli_field_take(_("Stack"), *m->netstack_reason
                                                           ? g_strdup_printf("%s: %s", stack, reason)
                                                           : g_steal_pointer(&stack));
}

static CliExit status_network(Cli *cli, const ClientNetwork *n, JsonBuilder *b) {
        g_autoptr(GArray) drops = NULL;
        CliExit e = cli_bus_drops(cli, n->path, OMERTA_IFACE_NETWORK, &drops);

        if (e != CLI_OK)
                return e;
        if (b) {
                json_builder_begin_object(b);
                cli_json_network(b, n);
                cli_drops_json(b, drops);
                json_builder_end_object(b);
                return CLI_OK;
        }
        putchar('\n');
        cli_network_print(n, false);
        cli_field_take(_("Dropped"), cli_drops_summary(drops));
        return CLI_OK;
}

static CliExit status_once(Cli *cli) {
        g_autoptr(ClientSnapshot) s = NULL;
        g_autoptr(GArray) drops = NULL;
        g_autoptr(JsonBuilder) b = NULL;
        CliExit e;

        e = cli_bus_networks(cli, &s);
        if (e != CLI_OK)
                return e;
        e = cli_bus_drops(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, &drops);
        if (e != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_daemon(b, s->manager, drops);
                cli_json_begin_array(b, "networks");
        } else {
                cli_daemon_print(s->manager);
                cli_field_take(_("Dropped"), cli_drops_summary(drops));
                if (s->networks->len == 0)
                        cli_field_take(_("Networks"), g_strdup(_("none")));
        }
        for (unsigned i = 0; i < s->networks->len; i++) {
                e = status_network(cli, g_ptr_array_index(s->networks, i), b);
                if (e != CLI_OK)
                        return e;
        }
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        } else if (s->networks->len == 0)
                cli_hint("%s", _(client_error_text(OMERTA_ERROR_NOT_JOINED)->advice));
        return CLI_OK;
}

static int on_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        *(bool *) userdata = true;
        return 0;
}

/* Again after each signal of the daemon, which come in bursts: no more often than a person reads. */
static CliExit status_watch(Cli *cli) {
        bool changed = true, clear = isatty(STDOUT_FILENO) && !cli->options.json;
        CliWait wait;
        CliExit e;
        int r;

        e = cli_bus_open(cli);
        if (e != CLI_OK)
                return e;
        /* Before the first look, so that no change falls between. */
        r = sd_bus_match_signal(
                        cli->bus, NULL, OMERTA_BUS_NAME, NULL, NULL, NULL, on_change, &changed);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        (void) cli_wait_init(&wait);
        while (e == CLI_OK && r >= 0) {
                changed = false;
                if (clear)
                        fputs("\033[H\033[J", stdout);
                cli->now = now_usec(CLOCK_REALTIME);
                e = status_once(cli);
                if (!clear && !cli->options.json)
                        putchar('\n');
                (void) fflush(stdout);
                if (e == CLI_OK)
                        r = cli_wait(&wait, cli->bus, USEC_INFINITY, &changed);
                if (e == CLI_OK && r >= 0)
                        r = cli_wait(&wait, cli->bus, now_usec(CLOCK_MONOTONIC) + WATCH_SETTLE_USEC,
                                     NULL);
        }
        cli_wait_done(&wait);
        if (e == CLI_OK && r != -EINTR)
                e = cli_bus_failed(r, NULL);
        return e;
}

CliExit cli_status(Cli *cli, char **args) {
        return cli->options.watch ? status_watch(cli) : status_once(cli);
}

/* The daemon's version; NULL if it does not run. It is not started for this. */
static char *daemon_version(Cli *cli) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *version;

        if (cli_bus_open_quietly(cli) < 0)
                return NULL;
        if (sd_bus_message_new_method_call(
                            cli->bus, &m, OMERTA_BUS_NAME, OMERTA_PATH,
                            "org.freedesktop.DBus.Properties", "Get") < 0 ||
            sd_bus_message_append(m, "ss", OMERTA_IFACE_MANAGER, "Version") < 0 ||
            sd_bus_message_set_auto_start(m, false) < 0 ||
            sd_bus_call(cli->bus, m, 0, NULL, &reply) < 0 ||
            sd_bus_message_read(reply, "v", "s", &version) < 0)
                return NULL;
        return g_strdup(version);
}

CliExit cli_version(Cli *cli, char **args) {
        g_autofree char *daemon = daemon_version(cli);

        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "omerta", OMERTA_VERSION);
                cli_json_string(b, "omertad", daemon);
                cli_json_print(b);
                return CLI_OK;
        }
        printf("omerta %s\n", OMERTA_VERSION);
        if (daemon) {
                g_autofree char *text = cli_format_text(daemon);

                printf("omertad %s\n", text);
        } else
                cli_hint(_("omertad is not running."));
        return CLI_OK;
}
