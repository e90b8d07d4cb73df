/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is before this machine: how its datagrams are translated, what gets in, who could relay. */

#include <stdio.h>
#include <string.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "dbus/names.h"

/* Texts are the message's. */
typedef struct Nat {
        const char *translation, *mapping, *ports, *seen, *trouble;
        int32_t step;
        uint32_t members, dissenters;
} Nat;

typedef struct Found {
        Nat ipv4, ipv6;
        const char *udp, *hairpin, *filtering;
        uint32_t mtu;
        char **relays; /* object paths */
} Found;

#define NAT_EMPTY                                                                                  \
        (Nat) {                                                                                    \
                .translation = "", .mapping = "", .ports = "", .seen = "", .trouble = ""           \
        }

/* --- reading --- */

/* Calls @read for each entry of an a{sv}; it reads or skips the variant. */
static int
read_dictionary(sd_bus_message *m,
                int (*read)(sd_bus_message *m, const char *key, void *to),
                void *to) {
        const char *key;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &key);
                if (r >= 0)
                        r = read(m, key, to);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_nat_value(sd_bus_message *m, const char *key, void *to) {
        Nat *n = to;
        const struct {
                const char *key, *type;
                void *where;
        } table[] = {
                { "translation", "s", &n->translation },
                { "mapping", "s", &n->mapping },
                { "ports", "s", &n->ports },
                { "seen", "s", &n->seen },
                { "trouble", "s", &n->trouble },
                { "step", "i", &n->step },
                { "members", "u", &n->members },
                { "dissenters", "u", &n->dissenters },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(key, table[i].key) == 0)
                        return sd_bus_message_read(m, "v", table[i].type, table[i].where);
        return sd_bus_message_skip(m, "v"); /* of a later version */
}

static int read_value(sd_bus_message *m, const char *key, void *to) {
        Found *f = to;
        const struct {
                const char *key, *type;
                void *where;
        } table[] = {
                { "udp", "s", &f->udp },
                { "hairpin", "s", &f->hairpin },
                { "filtering", "s", &f->filtering },
                { "mtu", "u", &f->mtu },
        };
        bool is_4 = strcmp(key, "ipv4") == 0, is_relays = strcmp(key, "relays") == 0;
        int r;

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(key, table[i].key) == 0)
                        return sd_bus_message_read(m, "v", table[i].type, table[i].where);
        if (!is_4 && !is_relays && strcmp(key, "ipv6") != 0)
                return sd_bus_message_skip(m, "v");
        r = sd_bus_message_enter_container(m, 'v', is_relays ? "ao" : "a{sv}");
        if (r >= 0)
                r = is_relays ? sd_bus_message_read_strv(m, &f->relays)
                              : read_dictionary(m, read_nat_value, is_4 ? &f->ipv4 : &f->ipv6);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* --- showing --- */

static const char *name_of(const ClientSnapshot *s, const char *path) {
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                for (unsigned k = 0; k < n->machines->len; k++) {
                        const ClientMachine *m = g_ptr_array_index(n->machines, k);

                        if (strcmp(m->path, path) == 0)
                                return m->host_name;
                }
        }
        return NULL; /* it went meanwhile */
}

static bool is_ipv6(const char *endpoint) {
        return *endpoint == '[';
}

static char *addresses_text(const ClientManager *m, bool ipv6) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (char **e = m->endpoints; e && *e; e++)
                if (is_ipv6(*e) == ipv6)
                        g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", *e);
        return cli_format_text(text->len > 0 ? text->str : _("none"));
}

static const char *translation_text(const Nat *n) {
        if (strcmp(n->translation, "none") == 0)
                return _("not translated");
        if (strcmp(n->translation, "easy") == 0)
                return _("easy: one endpoint for everybody");
        if (strcmp(n->translation, "predictable") == 0)
                return _("predictable: a port for each destination, in sequence");
        if (strcmp(n->translation, "random") == 0)
                return _("random: a port for each destination, anywhere");
        return _("not known");
}

static void print_line(const char *title, const char *text) {
        g_autofree char *safe = cli_format_text(text);

        printf("%-16s %s\n", title, safe);
}

static void print_nat(const Nat *n) {
        g_autofree char *who = NULL, *mapping = NULL;

        print_line(_("  translated"), translation_text(n));
        if (*n->trouble)
                print_line("", n->trouble);
        if (*n->seen)
                print_line(_("  seen at"), n->seen);
        if (strcmp(n->mapping, "unknown") != 0) {
                mapping = n->step != 0 ? g_strdup_printf(_("%s, ports %s by %d"), n->mapping,
                                                         n->ports, n->step)
                                       : g_strdup_printf(_("%s, ports %s"), n->mapping, n->ports);
                print_line(_("  mapping"), mapping);
        }
        if (n->dissenters > 0) {
                who = g_strdup_printf(_("%u of %u members say otherwise"), n->dissenters, n->members);
                print_line("", who);
        }
}

static void print_mapped(const ClientManager *m) {
        g_autofree char *text = NULL;

        if (*m->mapped_endpoint)
                text = g_strdup_printf("%s (%s)", m->mapped_endpoint, m->mapping_protocol);
        else if (!*m->mapped_endpoint6)
                text = g_strdup_printf(_("none: %s"), m->mapping_reason);
        if (text)
                print_line(_("mapped port"), text);
        if (*m->mapped_endpoint6)
                print_line(_("mapped port"), m->mapped_endpoint6);
}

static const char *udp_text(const char *udp) {
        if (strcmp(udp, "works") == 0)
                return _("works");
        if (strcmp(udp, "silent") == 0)
                return _("no member was heard for two minutes: UDP is blocked, or all are away");
        if (strcmp(udp, "nobody") == 0)
                return _("not known: there is no other member to ask");
        return _("not known yet: the network began just now");
}

static const char *word_text(const char *word) {
        if (strcmp(word, "yes") == 0)
                return _("yes");
        if (strcmp(word, "no") == 0)
                return _("no");
        if (strcmp(word, "endpoint-independent") == 0)
                return _("lets in what was not asked for");
        return _("not known");
}

static void print_found(const ClientSnapshot *s, const Found *f) {
        g_autofree char *four = addresses_text(s->manager, false),
                        *six = addresses_text(s->manager, true);
        g_autofree char *mtu = f->mtu > 0 ? g_strdup_printf("%u", f->mtu) : g_strdup(_("not known"));
        g_autoptr(GString) relays = g_string_new(NULL);

        print_line("UDP", udp_text(f->udp));
        printf("%-16s %s\n", "IPv4", four);
        print_nat(&f->ipv4);
        printf("%-16s %s\n", "IPv6", six);
        print_nat(&f->ipv6);
        print_line(_("filtering"), word_text(f->filtering));
        print_line(_("hairpin"), word_text(f->hairpin));
        print_mapped(s->manager);
        print_line(_("largest packet"), mtu);
        for (char **p = f->relays; p && *p; p++) {
                const char *name = name_of(s, *p);

                if (name)
                        g_string_append_printf(relays, "%s%s", relays->len > 0 ? ", " : "", name);
        }
        print_line(_("can relay"), relays->len > 0 ? relays->str : _("nobody"));
}

static void nat_json(JsonBuilder *b, const char *key, const Nat *n) {
        json_builder_set_member_name(b, key);
        json_builder_begin_object(b);
        cli_json_string(b, "translation", n->translation);
        cli_json_string(b, "mapping", n->mapping);
        cli_json_string(b, "ports", n->ports);
        json_builder_set_member_name(b, "step");
        json_builder_add_int_value(b, n->step);
        cli_json_string(b, "seen", n->seen);
        cli_json_count(b, "members", n->members);
        cli_json_count(b, "dissenters", n->dissenters);
        cli_json_string(b, "trouble", n->trouble);
        json_builder_end_object(b);
}

static void found_json(const ClientSnapshot *s, const ClientNetwork *n, const Found *f) {
        g_autoptr(JsonBuilder) b = cli_json_new();
        const ClientManager *m = s->manager;

        cli_json_string(b, "network", n->name);
        cli_json_string(b, "udp", f->udp);
        cli_json_strings(b, "endpoints", m->endpoints);
        nat_json(b, "ipv4", &f->ipv4);
        nat_json(b, "ipv6", &f->ipv6);
        cli_json_string(b, "filtering", f->filtering);
        cli_json_string(b, "hairpin", f->hairpin);
        cli_json_string(b, "mapped_endpoint", m->mapped_endpoint);
        cli_json_string(b, "mapping_protocol", m->mapping_protocol);
        cli_json_string(b, "mapping_reason", m->mapping_reason);
        cli_json_string(b, "mapped_endpoint6", m->mapped_endpoint6);
        cli_json_string(b, "mapping_reason6", m->mapping_reason6);
        cli_json_usec(b, "mtu", f->mtu);
        cli_json_begin_array(b, "relays");
        for (char **p = f->relays; p && *p; p++) {
                const char *name = name_of(s, *p);

                if (name)
                        json_builder_add_string_value(b, name);
        }
        json_builder_end_array(b);
        cli_json_print(b);
}

static const ClientNetwork *find(const ClientSnapshot *s, const char *path) {
        for (unsigned i = 0; i < s->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i);

                if (strcmp(n->path, path) == 0)
                        return n;
        }
        return NULL;
}

CliExit cli_net_check(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        Found f = { .ipv4 = NAT_EMPTY, .ipv6 = NAT_EMPTY, .udp = "", .hairpin = "", .filtering = "" };
        g_autofree char *network = NULL;
        g_autoptr(ClientSnapshot) s = NULL;
        const ClientNetwork *n;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &network)) != CLI_OK ||
            (e = cli_bus_method(cli, network, OMERTA_IFACE_NETWORK, "NetCheck", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK || (e = cli_bus_snapshot(cli, &s)) != CLI_OK)
                return e;
        n = find(s, network);
        if (!n) {
                cli_error(_("this machine is no member of the network any more"));
                return CLI_NOT_FOUND;
        }
        r = read_dictionary(reply, read_value, &f);
        if (r < 0)
                e = cli_bus_failed(r, NULL);
        else if (cli->options.json)
                found_json(s, n, &f);
        else
                print_found(s, &f);
        g_strfreev(f.relays);
        return e;
}
