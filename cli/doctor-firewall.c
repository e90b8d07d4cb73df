/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whether a firewall of this machine lets nobody in. Rules are programs, and what they do to a
 * datagram is not computed here: a chain of the input hook that drops or rejects by default and in
 * which our port does not occur is worth a word, and that is all. It takes root to see them.
 */

#include <string.h>

#include "base/limits.h"
#include "cli/doctor.h"
#include "cli/i18n.h"

/* Return: its output; NULL: it is not there, or has no right to see. */
static char *output_of(const char *const *argv, bool *ret_there) {
        g_autofree char *out = NULL, *program = g_find_program_in_path(argv[0]);
        int status;

        *ret_there = program != NULL;
        if (!program || !g_spawn_sync(NULL, (char **) argv, NULL,
                                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                                      &out, NULL, &status, NULL))
                return NULL;
        return g_spawn_check_wait_status(status, NULL) ? g_steal_pointer(&out) : NULL;
}

/* A whole chain in the format of "nft list ruleset". */
static bool chain_is_closed(const char *chain, const char *hook, const char *word) {
        static const char *const ends[] = { "drop", "reject" };
        g_auto(GStrv) lines = g_strsplit(chain, "\n", 0);

        if (!strstr(chain, hook) || strstr(chain, word))
                return false;
        if (strstr(chain, "policy drop"))
                return true;
        for (unsigned i = 0; lines[i]; i++)
                for (unsigned k = 0; k < ELEMENTSOF(ends); k++)
                        if (g_str_has_prefix(g_strstrip(lines[i]), ends[k]))
                                return true;
        return false;
}

char *doctor_closed_chain(const char *ruleset, const char *hook, const char *word) {
        g_auto(GStrv) lines = g_strsplit(ruleset, "\n", 0);
        g_autofree char *table = NULL, *name = NULL;
        g_autoptr(GString) chain = g_string_new(NULL);

        for (unsigned i = 0; lines[i]; i++) {
                char *line = g_strstrip(lines[i]), *end = strchr(line, '{');

                if (g_str_has_prefix(line, "table ") && end) {
                        g_free(table);
                        table = g_strstrip(g_strndup(line + 6, (size_t) (end - line - 6)));
                } else if (g_str_has_prefix(line, "chain ") && end) {
                        g_free(name);
                        name = g_strstrip(g_strndup(line + 6, (size_t) (end - line - 6)));
                        g_string_truncate(chain, 0);
                } else if (strcmp(line, "}") == 0 && name) {
                        if (chain_is_closed(chain->str, hook, word))
                                return g_strdup_printf("%s %s", table ?: "?", name);
                        g_clear_pointer(&name, g_free);
                } else
                        g_string_append_printf(chain, "%s\n", line);
        }
        return NULL;
}

char *doctor_ruleset(void) {
        const char *const argv[] = { "nft", "list", "ruleset", NULL };
        bool there;

        return output_of(argv, &there);
}

/* What is to be let in. */
typedef struct Wanted {
        const char *name, *protocol; /* for people, and for rules */
        unsigned port;
} Wanted;

/* What is fine is said once, of the UDP port. */
static void take_fine(Doctor *d, const Wanted *w, char *text) {
        if (strcmp(w->protocol, "udp") == 0)
                doctor_take(d, "firewall", DOCTOR_FINE, text, NULL);
        else
                g_free(text);
}

/* Return: whether it was seen. */
static bool check_nft(Doctor *d, const Wanted *w) {
        g_autofree char *text = g_strdup_printf("%u", w->port), *rules = NULL, *chain = NULL;

        rules = doctor_ruleset();
        if (!rules)
                return false;
        chain = doctor_closed_chain(rules, "hook input", text);
        if (chain)
                doctor_take(d, "firewall", DOCTOR_WARNING,
                            g_strdup_printf(_("nftables: chain %s drops, and has no word of %s port %u"),
                                            chain, w->name, w->port),
                            g_strdup_printf("sudo nft insert rule %s %s dport %u accept", chain,
                                            w->protocol, w->port));
        else
                take_fine(d, w, g_strdup(_("nftables: no chain that drops all but what it names")));
        return true;
}

static bool check_iptables(Doctor *d, const Wanted *w) {
        const char *const argv[] = { "iptables", "-S", "INPUT", NULL };
        g_autofree char *text = g_strdup_printf("%u", w->port), *rules = NULL;
        bool there;

        rules = output_of(argv, &there);
        if (!rules)
                return false;
        if (g_str_has_prefix(rules, "-P INPUT DROP") && !strstr(rules, text))
                doctor_take(d, "firewall", DOCTOR_WARNING,
                            g_strdup_printf(_("iptables: INPUT drops, and has no word of %s port %u"),
                                            w->name, w->port),
                            g_strdup_printf("sudo iptables -I INPUT -p %s --dport %u -j ACCEPT",
                                            w->protocol, w->port));
        else
                take_fine(d, w, g_strdup(_("iptables: INPUT does not drop all but what it names")));
        return true;
}

/* Everybody may ask it. Return: whether it runs. */
static bool check_firewalld(Doctor *d, const Wanted *w) {
        g_autofree char *option = g_strdup_printf("--query-port=%u/%s", w->port, w->protocol);
        g_autofree char *answer = NULL;
        const char *const argv[] = { "firewall-cmd", option, NULL };
        g_auto(GStrv) names = NULL;
        bool there;

        if (!d->cli->bus || sd_bus_list_names(d->cli->bus, &names, NULL) < 0 ||
            !g_strv_contains((const char *const *) names, "org.fedoraproject.FirewallD1"))
                return false;
        answer = output_of(argv, &there);
        if (answer && g_str_has_prefix(answer, "yes"))
                take_fine(d, w, g_strdup_printf(_("firewalld lets %s port %u in"), w->name, w->port));
        else if (there)
                doctor_take(d, "firewall", DOCTOR_WARNING,
                            g_strdup_printf(_("firewalld does not let %s port %u in"), w->name,
                                            w->port),
                            g_strdup_printf("sudo firewall-cmd --permanent --add-port=%u/%s && sudo "
                                            "firewall-cmd --reload",
                                            w->port, w->protocol));
        else
                doctor_take(d, "firewall", DOCTOR_UNSEEN,
                            g_strdup(_("firewalld runs, and there is no firewall-cmd to ask it")),
                            NULL);
        return true;
}

static bool check(Doctor *d, const Wanted *w) {
        return check_firewalld(d, w) || check_nft(d, w) || check_iptables(d, w);
}

void doctor_check_firewall(Doctor *d) {
        const Wanted udp = { "UDP", "udp", d->all ? d->all->manager->port : OMERTA_PORT_DEFAULT };
        const Wanted tcp = { "TCP", "tcp", d->all ? d->all->manager->tcp_port : 0 };

        if (!check(d, &udp))
                doctor_take(d, "firewall", DOCTOR_UNSEEN,
                            g_strdup(_("its rules cannot be seen without root")),
                            g_strdup("sudo omerta doctor"));
        else if (tcp.port > 0)
                (void) check(d, &tcp);
}
