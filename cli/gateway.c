/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* This machine as an exit of a network: on and off, who may use it, what goes by it. */

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* --- what it is --- */

typedef struct Shown {
        int enabled;
        char *state, *reason;
        char **families, **policy; /* NULL: nothing in them */
        uint64_t refused, too_many;
        sd_bus_message *members; /* a(ssbtttt) */
} Shown;

static void shown_clear(Shown *s) {
        free(s->state);
        free(s->reason);
        for (char **i = s->families; i && *i; i++)
                free(*i);
        for (char **i = s->policy; i && *i; i++)
                free(*i);
        free(s->families);
        free(s->policy);
        sd_bus_message_unref(s->members);
}

static CliExit read_shown(Cli *cli, const char *path, Shown *ret) {
        static const char iface[] = OMERTA_IFACE_GATEWAY;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus *bus = cli->bus;
        CliExit e;
        int r;

        r = sd_bus_get_property_trivial(
                        bus, OMERTA_BUS_NAME, path, iface, "Enabled", &error, 'b', &ret->enabled);
        if (r >= 0)
                r = sd_bus_get_property_string(
                                bus, OMERTA_BUS_NAME, path, iface, "State", &error, &ret->state);
        if (r >= 0)
                r = sd_bus_get_property_string(
                                bus, OMERTA_BUS_NAME, path, iface, "Reason", &error, &ret->reason);
        if (r >= 0)
                r = sd_bus_get_property_strv(
                                bus, OMERTA_BUS_NAME, path, iface, "Families", &error,
                                &ret->families);
        if (r >= 0)
                r = sd_bus_get_property_strv(
                                bus, OMERTA_BUS_NAME, path, iface, "Policy", &error, &ret->policy);
        if (r >= 0)
                r = sd_bus_get_property_trivial(
                                bus, OMERTA_BUS_NAME, path, iface, "Refused", &error, 't',
                                &ret->refused);
        if (r >= 0)
                r = sd_bus_get_property_trivial(
                                bus, OMERTA_BUS_NAME, path, iface, "TooMany", &error, 't',
                                &ret->too_many);
        if (r < 0)
                return cli_bus_failed(r, &error);
        e = cli_bus_method(cli, path, iface, "ListMembers", &m);
        return e == CLI_OK ? cli_bus_call(cli, m, &ret->members) : e;
}

typedef struct Member {
        const char *id, *name;
        int allowed;
        uint64_t packets_out, bytes_out, packets_in, bytes_in;
} Member;

static int next_member(sd_bus_message *m, Member *ret) {
        return sd_bus_message_read(
                        m, "(ssbtttt)", &ret->id, &ret->name, &ret->allowed, &ret->packets_out,
                        &ret->bytes_out, &ret->packets_in, &ret->bytes_in);
}

static char **list_of(char **strings) {
        static char *none[] = { NULL };

        return strings ?: none;
}

static int show_json(const Shown *s) {
        g_autoptr(JsonBuilder) b = cli_json_new();
        Member member;
        int r;

        cli_json_bool(b, "enabled", s->enabled);
        cli_json_string(b, "state", s->state);
        cli_json_string(b, "reason", s->reason);
        cli_json_strings(b, "families", list_of(s->families));
        cli_json_strings(b, "policy", list_of(s->policy));
        cli_json_count(b, "refused", s->refused);
        cli_json_count(b, "too_many", s->too_many);
        cli_json_begin_array(b, "members");
        while ((r = next_member(s->members, &member)) > 0) {
                json_builder_begin_object(b);
                cli_json_string(b, "id", member.id);
                cli_json_string(b, "host_name", member.name);
                cli_json_bool(b, "allowed", member.allowed);
                cli_json_count(b, "packets_out", member.packets_out);
                cli_json_count(b, "bytes_out", member.bytes_out);
                cli_json_count(b, "packets_in", member.packets_in);
                cli_json_count(b, "bytes_in", member.bytes_in);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
        if (r >= 0)
                cli_json_print(b);
        return r;
}

static int member_rows(sd_bus_message *members) {
        g_autoptr(CliTable) t = cli_table_new("MACHINE|ID|ALLOWED|>SENT|>RECEIVED");
        Member member;
        int r;

        while ((r = next_member(members, &member)) > 0) {
                cli_table_take(t, cli_format_text(member.name));
                cli_table_take(t, cli_format_id(member.id));
                cli_table_take(t, g_strdup(member.allowed ? _("yes") : _("no")));
                cli_table_take(t, cli_format_bytes(member.bytes_out));
                cli_table_take(t, cli_format_bytes(member.bytes_in));
        }
        if (r >= 0 && cli_table_rows(t) > 0) {
                putchar('\n');
                cli_table_print(t, stdout);
        }
        return r;
}

static int show_text(const Shown *s) {
        g_autofree char *families = g_strjoinv(" ", list_of(s->families)),
                        *state = cli_format_text(s->state);

        printf("%-10s %s%s%s%s\n", "exit", state, *families ? " (" : "", families,
               *families ? ")" : "");
        if (s->reason[0] != '\0') {
                g_autofree char *reason = cli_format_text(s->reason);

                printf("%-10s %s\n", "reason", reason);
        }
        for (char **i = list_of(s->policy); *i; i++) {
                g_autofree char *line = cli_format_text(*i);

                printf("%-10s %s\n", i == s->policy ? "policy" : "", line);
        }
        if (s->refused > 0)
                printf("%-10s %" PRIu64 "\n", "refused", s->refused);
        if (s->too_many > 0)
                printf("%-10s %" PRIu64 "\n", "too many", s->too_many);
        return member_rows(s->members);
}

CliExit cli_gateway_show(Cli *cli, char **args) {
        _cleanup_(shown_clear) Shown s = {};
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK)
                return e;
        e = read_shown(cli, path, &s);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_enter_container(s.members, 'a', "(ssbtttt)");
        if (r >= 0)
                r = cli->options.json ? show_json(&s) : show_text(&s);
        return r < 0 ? cli_bus_failed(r, NULL) : CLI_OK;
}

/* --- what is said --- */

static CliExit switch_exit(Cli *cli, bool on) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_GATEWAY, "SetEnabled", &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "b", (int) on);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, NULL);
        if (e == CLI_OK && on)
                cli_hint(_("Members may leave by this machine now; 'omerta gateway show' tells how it "
                           "is."));
        return e;
}

CliExit cli_gateway_on(Cli *cli, char **args) {
        return switch_exit(cli, true);
}

CliExit cli_gateway_off(Cli *cli, char **args) {
        return switch_exit(cli, false);
}

/* @args: WHO [PREFIX] */
static CliExit say(Cli *cli, char **args, bool allowed) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const char *method = args[1] ? "SetLan" : "SetAccess";
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_GATEWAY, method, &m)) != CLI_OK)
                return e;
        if (args[1])
                r = sd_bus_message_append(m, "ssb", args[1], args[0], (int) allowed);
        else
                r = sd_bus_message_append(m, "sb", args[0], (int) allowed);
        return r < 0 ? cli_bus_failed(r, NULL) : cli_bus_call(cli, m, NULL);
}

CliExit cli_gateway_allow(Cli *cli, char **args) {
        return say(cli, args, true);
}

CliExit cli_gateway_deny(Cli *cli, char **args) {
        return say(cli, args, false);
}

/* --- flows --- */

typedef struct Flow {
        const char *name, *source, *destination;
        uint8_t protocol;
        uint16_t source_port, destination_port;
        int is_answered;
        uint32_t timeout;
        uint64_t bytes_out, bytes_in;
} Flow;

static int next_flow(sd_bus_message *m, Flow *ret) {
        return sd_bus_message_read(
                        m, "(sysqsqbutt)", &ret->name, &ret->protocol, &ret->source,
                        &ret->source_port, &ret->destination, &ret->destination_port,
                        &ret->is_answered, &ret->timeout, &ret->bytes_out, &ret->bytes_in);
}

/* "tcp", "udp", "icmp", "132" */
static char *format_protocol(uint8_t protocol) {
        switch (protocol) {
        case IPPROTO_TCP:
                return g_strdup("tcp");
        case IPPROTO_UDP:
                return g_strdup("udp");
        case IPPROTO_ICMP:
        case IPPROTO_ICMPV6:
                return g_strdup("icmp");
        default:
                return g_strdup_printf("%u", protocol);
        }
}

static char *format_place(const char *address, uint16_t port) {
        g_autofree char *safe = cli_escape(address);

        return port == 0              ? TAKE_PTR(safe)
               : strchr(address, ':') ? g_strdup_printf("[%s]:%u", safe, port)
                                      : g_strdup_printf("%s:%u", safe, port);
}

static int flows_json(sd_bus_message *m, uint32_t *ret_total) {
        g_autoptr(JsonBuilder) b = cli_json_new();
        Flow f;
        int r;

        cli_json_begin_array(b, "flows");
        while ((r = next_flow(m, &f)) > 0) {
                g_autofree char *protocol = format_protocol(f.protocol);

                json_builder_begin_object(b);
                cli_json_string(b, "machine", f.name);
                cli_json_string(b, "protocol", protocol);
                cli_json_string(b, "source", f.source);
                cli_json_count(b, "source_port", f.source_port);
                cli_json_string(b, "destination", f.destination);
                cli_json_count(b, "destination_port", f.destination_port);
                cli_json_bool(b, "answered", f.is_answered);
                cli_json_usec(b, "timeout_usec", f.timeout * USEC_PER_SEC);
                cli_json_count(b, "bytes_out", f.bytes_out);
                cli_json_count(b, "bytes_in", f.bytes_in);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 'u', ret_total);
        if (r >= 0) {
                cli_json_count(b, "total", *ret_total);
                cli_json_print(b);
        }
        return r;
}

static int flows_text(sd_bus_message *m, uint32_t *ret_total) {
        g_autoptr(CliTable) t =
                        cli_table_new("MACHINE|PROTOCOL|SOURCE|DESTINATION|ANSWERED|>SENT|>RECEIVED");
        unsigned n = 0;
        Flow f;
        int r;

        for (; (r = next_flow(m, &f)) > 0; n++) {
                cli_table_take(t, cli_format_text(f.name));
                cli_table_take(t, format_protocol(f.protocol));
                cli_table_take(t, format_place(f.source, f.source_port));
                cli_table_take(t, format_place(f.destination, f.destination_port));
                cli_table_take(t, g_strdup(f.is_answered ? _("yes") : _("no")));
                cli_table_take(t, cli_format_bytes(f.bytes_out));
                cli_table_take(t, cli_format_bytes(f.bytes_in));
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 'u', ret_total);
        if (r < 0)
                return r;
        cli_table_print(t, stdout);
        if (*ret_total > n)
                cli_hint(_("%u more are not shown."), *ret_total - n);
        return r;
}

CliExit cli_gateway_flows(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autofree char *path = NULL;
        uint32_t total;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_GATEWAY, "ListFlows", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        r = sd_bus_message_enter_container(reply, 'a', "(sysqsqbutt)");
        if (r >= 0)
                r = cli->options.json ? flows_json(reply, &total) : flows_text(reply, &total);
        return r < 0 ? cli_bus_failed(r, NULL) : CLI_OK;
}
