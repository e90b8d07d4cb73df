/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A machine that is an exit to the internet: whether it leads outside, and whether a firewall of
 * this machine is in the way. What our table lets pass has to pass every other chain of the forward
 * hook, too. As with the input hook (doctor-firewall.c), rules are not computed: a chain that drops
 * by default, in a table that has no word of our interface, is worth one.
 */

#include <string.h>

#include "cli/doctor.h"
#include "cli/i18n.h"
#include "dbus/names.h"

/* Return: whether the daemon knows, and it is on. */
static bool read_exit(sd_bus *bus, const ClientNetwork *n, char **ret_state, char **ret_reason) {
        int on = 0, r;

        r = sd_bus_get_property_trivial(
                        bus, OMERTA_BUS_NAME, n->path, OMERTA_IFACE_GATEWAY, "Enabled", NULL, 'b',
                        &on);
        if (r < 0 || !on)
                return false;
        r = sd_bus_get_property_string(
                        bus, OMERTA_BUS_NAME, n->path, OMERTA_IFACE_GATEWAY, "State", NULL,
                        ret_state);
        if (r >= 0)
                r = sd_bus_get_property_string(
                                bus, OMERTA_BUS_NAME, n->path, OMERTA_IFACE_GATEWAY, "Reason", NULL,
                                ret_reason);
        return r >= 0;
}

static void check_state(Doctor *d, const ClientNetwork *n, const char *state, const char *reason) {
        bool is_up = strcmp(state, "up") == 0;

        if (is_up && *reason == '\0')
                doctor_take(d, "exit", DOCTOR_FINE,
                            g_strdup_printf(_("%s: this machine leads members outside"), n->name),
                            NULL);
        else
                doctor_take(d, "exit", strcmp(state, "failed") == 0 ? DOCTOR_BROKEN : DOCTOR_WARNING,
                            g_strdup_printf(_("%s: the exit is %s: %s"), n->name, state, reason),
                            NULL);
}

/* "ip filter FORWARD": what lets the interface through. Docker has a chain for that. */
static char *mend(const char *chain, const char *table, const char *interface) {
        if (strstr(table, "chain DOCKER-USER"))
                return g_strdup_printf(
                                "sudo iptables -I DOCKER-USER -i %s -j ACCEPT && sudo iptables -I "
                                "DOCKER-USER -o %s -j ACCEPT",
                                interface, interface);
        return g_strdup_printf(
                        "sudo nft insert rule %s iifname %s accept && sudo nft insert rule %s oifname %s "
                        "accept",
                        chain, interface, chain, interface);
}

/* Return: whether a table was in the way. */
static bool check_tables(Doctor *d, const char *rules, const char *interface) {
        g_auto(GStrv) tables = g_strsplit(rules, "\ntable ", -1);
        g_autofree char *word = g_strdup_printf("\"%s\"", interface);
        bool found = false;

        for (unsigned i = 0; tables[i]; i++) {
                g_autofree char *table = g_strconcat(i == 0 ? "" : "table ", tables[i], NULL);
                g_autofree char *chain = doctor_closed_chain(table, "hook forward", word);

                /* It may be in a chain that the closed one jumps to. */
                if (!chain || strstr(table, word))
                        continue;
                found = true;
                doctor_take(d, "exit", DOCTOR_WARNING,
                            g_strdup_printf(_("nftables: chain %s drops what is forwarded, and has no "
                                              "word of %s"),
                                            chain, interface),
                            mend(chain, table, interface));
        }
        return found;
}

static void check_network(Doctor *d, const ClientNetwork *n) {
        char *state = NULL, *reason = NULL;
        g_autofree char *rules = NULL;

        if (read_exit(d->cli->bus, n, &state, &reason)) {
                check_state(d, n, state, reason);
                rules = doctor_ruleset();
                if (!rules)
                        doctor_take(d, "exit", DOCTOR_UNSEEN,
                                    g_strdup(_("whether a firewall is in the way cannot be seen without "
                                               "root")),
                                    g_strdup("sudo omerta doctor"));
                else if (!check_tables(d, rules, n->interface))
                        doctor_take(d, "exit", DOCTOR_FINE,
                                    g_strdup(_("nftables: no other chain drops what is forwarded")),
                                    NULL);
        }
        free(state);
        free(reason);
}

void doctor_check_exit(Doctor *d) {
        for (unsigned i = 0; d->all && i < d->all->networks->len; i++)
                check_network(d, g_ptr_array_index(d->all->networks, i));
}
