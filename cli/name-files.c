/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/ip.h"
#include "base/macros.h"
#include "cli/name-files.h"

#define HEAD "# Made by 'omerta exec' for one program, see omerta(1).\n"
#define DOMAIN_SUFFIX ".omerta"
#define BLANK " \t\r"

/* Nothing is at port 53 of the namespace's loopback, and without privilege nothing can be. The
 * limits are for resolvers that do not see a refusal. */
const char cli_resolv_file[] = HEAD "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

static bool is_loopback(const char *text) {
        IpAddr a;

        if (ip_parse(text, &a) < 0)
                return false;
        return a.family == AF_INET ? a.bytes[0] == IN_LOOPBACKNET
                                   : memcmp(a.bytes, &in6addr_loopback, sizeof a.bytes) == 0;
}

/* Programs trust these to be this machine. */
static bool is_localhost(const char *name) {
        static const char *const names[] = { "localhost", "ip6-localhost", "ip6-loopback" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (g_ascii_strcasecmp(name, names[i]) == 0)
                        return true;
        return false;
}

/* Host names to the machine that has it, NULL: several have. What is no host name, or of a machine
 * without an address, is left out. Both are borrowed. */
static GHashTable *members_by_name(const ClientNetwork *n) {
        GHashTable *t = g_hash_table_new(g_str_hash, g_str_equal);

        for (unsigned i = 0; i < n->machines->len; i++) {
                ClientMachine *m = g_ptr_array_index(n->machines, i);
                bool valid = *m->host_name && (*m->address || *m->address6);

                for (const char *p = m->host_name; *p; p++)
                        valid = valid && (g_ascii_islower(*p) || g_ascii_isdigit(*p) || *p == '-');
                if (valid)
                        g_hash_table_replace(
                                        t, m->host_name,
                                        g_hash_table_contains(t, m->host_name) ? NULL : m);
        }
        return t;
}

static bool is_taken(GHashTable *members, const char *name) {
        g_autofree char *lower = g_ascii_strdown(name, -1);

        return !is_localhost(name) &&
               (g_str_has_suffix(lower, DOMAIN_SUFFIX) || g_hash_table_contains(members, lower));
}

/* The names one line of the machine's file leaves to loopback. */
static void add_own_line(GString *out, GHashTable *members, char *line, bool *has_localhost) {
        char *rest = NULL, *address, *name;
        bool any = false;

        line[strcspn(line, "#")] = '\0';
        address = strtok_r(line, BLANK, &rest);
        if (!address || !is_loopback(address))
                return;
        while ((name = strtok_r(NULL, BLANK, &rest))) {
                if (is_taken(members, name))
                        continue;
                if (!any)
                        g_string_append(out, address);
                g_string_append_printf(out, " %s", name);
                any = true;
                *has_localhost = *has_localhost || g_ascii_strcasecmp(name, "localhost") == 0;
        }
        if (any)
                g_string_append_c(out, '\n');
}

char *cli_hosts_file(const char *machine, const ClientNetwork *n) {
        g_autoptr(GHashTable) members = members_by_name(n);
        g_auto(GStrv) lines = g_strsplit(machine, "\n", -1);
        GString *out = g_string_new(HEAD);
        bool has_localhost = false;

        for (char **l = lines; *l; l++)
                add_own_line(out, members, *l, &has_localhost);
        if (!has_localhost)
                g_string_append(out, "127.0.0.1 localhost\n");
        for (unsigned i = 0; i < n->machines->len; i++) {
                const ClientMachine *m = g_ptr_array_index(n->machines, i);

                if (g_hash_table_lookup(members, m->host_name) != m)
                        continue;
                g_string_append_printf(
                                out, "%s %s" DOMAIN_SUFFIX, *m->address ? m->address : m->address6,
                                m->host_name);
                if (!is_localhost(m->host_name))
                        g_string_append_printf(out, " %s", m->host_name);
                g_string_append_c(out, '\n');
        }
        return g_string_free(out, FALSE);
}

char *cli_nsswitch_file(const char *machine) {
        g_auto(GStrv) lines = g_strsplit(machine, "\n", -1);
        GString *out = g_string_new(HEAD);
        bool own_name = false;

        for (char **l = lines; *l; l++) {
                const char *line = *l + strspn(*l, BLANK);

                if (g_str_has_prefix(line, "hosts:"))
                        own_name = strstr(line, "myhostname") != NULL;
                else if (*line && *line != '#')
                        g_string_append_printf(out, "%s\n", line);
        }
        g_string_append_printf(out, "hosts: files%s\n", own_name ? " myhostname" : "");
        return g_string_free(out, FALSE);
}
