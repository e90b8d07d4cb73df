/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gateway/exit-policy.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"

#define OWNER "owner:"
#define MACHINE "machine:"

/* --- subjects --- */

int exit_subject_parse(const char *text, ExitSubject *ret) {
        ExitSubject s = {};

        if (strcmp(text, "*") == 0)
                s.kind = EXIT_ALL;
        else if (g_str_has_prefix(text, OWNER)) {
                s.kind = EXIT_OWNER;
                text += strlen(OWNER);
                if (*text == '\0' || strlen(text) > OWNER_MAX_LEN || !g_utf8_validate(text, -1, NULL))
                        return -EINVAL;
                for (const char *c = text; *c; c = g_utf8_next_char(c))
                        if (g_unichar_iscntrl(g_utf8_get_char(c)))
                                return -EINVAL;
                g_strlcpy(s.owner, text, sizeof s.owner);
        } else if (g_str_has_prefix(text, MACHINE)) {
                s.kind = EXIT_MACHINE;
                if (machine_id_parse(text + strlen(MACHINE), &s.machine) < 0)
                        return -EINVAL;
        } else
                return -ENOENT;
        *ret = s;
        return 0;
}

char *exit_subject_format(const ExitSubject *s) {
        switch (s->kind) {
        case EXIT_ALL:
                return g_strdup("*");
        case EXIT_OWNER:
                return g_strconcat(OWNER, s->owner, NULL);
        case EXIT_MACHINE:
                return g_strconcat(MACHINE, machine_id_format(&s->machine).text, NULL);
        }
        return NULL;
}

static bool subject_equal(const ExitSubject *a, const ExitSubject *b) {
        return a->kind == b->kind && strcmp(a->owner, b->owner) == 0 &&
               machine_id_equal(&a->machine, &b->machine);
}

static bool subject_is(const ExitSubject *s, const MachineId *machine, const char *owner) {
        switch (s->kind) {
        case EXIT_ALL:
                return true;
        case EXIT_OWNER:
                return strcmp(s->owner, owner) == 0;
        case EXIT_MACHINE:
                return machine_id_equal(&s->machine, machine);
        }
        return false;
}

/* --- said --- */

ExitPolicy *exit_policy_new(void) {
        ExitPolicy *p = NEW(ExitPolicy);

        p->access = g_array_new(FALSE, FALSE, sizeof(ExitAccess));
        p->lan = g_array_new(FALSE, FALSE, sizeof(ExitLan));
        return p;
}

ExitPolicy *exit_policy_free(ExitPolicy *p) {
        if (!p)
                return NULL;
        g_array_unref(p->access);
        g_array_unref(p->lan);
        g_free(p);
        return NULL;
}

static bool is_full(const ExitPolicy *p) {
        return p->access->len + p->lan->len >= EXIT_WORDS_MAX;
}

int exit_policy_set_access(ExitPolicy *p, const ExitSubject *subject, bool allowed) {
        ExitAccess new = { *subject, allowed };

        for (unsigned i = 0; i < p->access->len; i++) {
                ExitAccess *a = &g_array_index(p->access, ExitAccess, i);

                if (subject_equal(&a->subject, subject)) {
                        a->allowed = allowed;
                        return 0;
                }
        }
        if (is_full(p))
                return -ENOSPC;
        g_array_append_val(p->access, new);
        return 0;
}

int exit_policy_set_lan(ExitPolicy *p, const IpPrefix *prefix, const ExitSubject *subject, bool granted) {
        ExitLan new = { *subject, *prefix };

        for (unsigned i = 0; i < p->lan->len; i++) {
                const ExitLan *l = &g_array_index(p->lan, ExitLan, i);

                if (!subject_equal(&l->subject, subject) || l->prefix.len != prefix->len ||
                    !ip_equal(&l->prefix.addr, &prefix->addr))
                        continue;
                if (!granted)
                        g_array_remove_index(p->lan, i);
                return 0;
        }
        if (!granted)
                return -ENOENT;
        if (is_full(p))
                return -ENOSPC;
        g_array_append_val(p->lan, new);
        return 0;
}

/* --- stored --- */

static int parse_lan(char *text, ExitPolicy *p) {
        char *space = strchr(text, ' ');
        ExitSubject subject;
        IpPrefix prefix;

        if (!space)
                return -EINVAL;
        *space = '\0';
        if (ip_prefix_parse(text, &prefix) < 0 || exit_subject_parse(space + 1, &subject) < 0)
                return -EINVAL;
        return exit_policy_set_lan(p, &prefix, &subject, true);
}

static int parse_line(char *line, ExitPolicy *p) {
        ExitSubject subject;
        bool allowed = g_str_has_prefix(line, "allow ");

        if (g_str_has_prefix(line, "lan "))
                return parse_lan(line + strlen("lan "), p);
        if (!allowed && !g_str_has_prefix(line, "deny "))
                return -EINVAL;
        if (exit_subject_parse(strchr(line, ' ') + 1, &subject) < 0)
                return -EINVAL;
        return exit_policy_set_access(p, &subject, allowed);
}

int exit_policy_parse(const char *text, ExitPolicy **ret) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        ExitPolicy *p = exit_policy_new();

        for (unsigned i = 0; lines[i]; i++)
                if (lines[i][0] != '\0' && parse_line(lines[i], p) < 0) {
                        exit_policy_free(p);
                        return -EINVAL;
                }
        *ret = p;
        return 0;
}

char *exit_policy_format(const ExitPolicy *p) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < p->access->len; i++) {
                const ExitAccess *a = &g_array_index(p->access, ExitAccess, i);
                g_autofree char *subject = exit_subject_format(&a->subject);

                g_string_append_printf(text, "%s %s\n", a->allowed ? "allow" : "deny", subject);
        }
        for (unsigned i = 0; i < p->lan->len; i++) {
                const ExitLan *l = &g_array_index(p->lan, ExitLan, i);
                g_autofree char *subject = exit_subject_format(&l->subject);

                g_string_append_printf(
                                text, "lan %s %s\n", ip_prefix_format(&l->prefix).text, subject);
        }
        return g_string_free(text, FALSE);
}

/* --- what it means --- */

bool exit_policy_allows(const ExitPolicy *p, const MachineId *machine, const char *owner) {
        const ExitAccess *best = NULL;

        for (unsigned i = 0; i < p->access->len; i++) {
                const ExitAccess *a = &g_array_index(p->access, ExitAccess, i);

                if (subject_is(&a->subject, machine, owner) &&
                    (!best || a->subject.kind > best->subject.kind))
                        best = a;
        }
        return !best || best->allowed;
}

/* Those that lie in it make room for it. Return: whether it is to be there. */
static bool make_room(GArray *prefixes, unsigned first, const IpPrefix *prefix) {
        for (unsigned i = first; i < prefixes->len;) {
                const IpPrefix *o = &g_array_index(prefixes, IpPrefix, i);

                if (!ip_prefix_overlaps(o, prefix)) {
                        i++;
                        continue;
                }
                if (o->len <= prefix->len)
                        return false;
                g_array_remove_index(prefixes, i);
        }
        return true;
}

void exit_policy_granted(const ExitPolicy *p, const MachineId *machine, const char *owner, GArray *prefixes) {
        unsigned first = prefixes->len;

        for (unsigned i = 0; i < p->lan->len; i++) {
                const ExitLan *l = &g_array_index(p->lan, ExitLan, i);

                if (l->subject.kind != EXIT_ALL && subject_is(&l->subject, machine, owner) &&
                    make_room(prefixes, first, &l->prefix))
                        g_array_append_val(prefixes, l->prefix);
        }
}
