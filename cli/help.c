/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/help.h"
#include "cli/i18n.h"

/* Columns before the explanations. */
#define LEFT 34

char *cli_help_command(const CliVerb *verb) {
        return g_strconcat(verb->noun, verb->verb ? " " : "", verb->verb ? verb->verb : "", NULL);
}

char *cli_help_verbs_of(const char *noun) {
        GString *s = g_string_new(NULL);

        for (const CliVerb *v = cli_verbs; v->noun; v++)
                if (v->verb && strcmp(v->noun, noun) == 0)
                        g_string_append_printf(s, "%s%s", s->len > 0 ? ", " : "", v->verb);
        return g_string_free(s, FALSE);
}

static void options_print(FILE *out, unsigned options) {
        for (size_t i = 0; i < _CLI_OPTION_MAX; i++) {
                const CliOption *o = &cli_options[i];
                g_autofree char *left = NULL;

                if (!(options & CLI_OPTION_BIT(i)))
                        continue;
                left = o->letter ? g_strdup_printf("  -%c, --%s%s%s", o->letter, o->name,
                                                   o->argument ? "=" : "",
                                                   o->argument ? o->argument : "")
                                 : g_strdup_printf("      --%s%s%s", o->name, o->argument ? "=" : "",
                                                   o->argument ? o->argument : "");
                fprintf(out, "%-*s%s\n", LEFT, left, _(o->help));
        }
}

void cli_help_print(FILE *out, const char *noun) {
        fprintf(out, _("Usage: omerta [OPTION...] %s%sCOMMAND\n\n"), noun ? noun : "",
                noun ? " " : "");
        if (!noun)
                fputs(_("Private mesh networks: create, join and look at them.\n\n"), out);
        fputs(_("Commands:\n"), out);
        for (const CliVerb *v = cli_verbs; v->noun; v++) {
                g_autofree char *command = NULL, *left = NULL;

                if (noun && strcmp(noun, v->noun) != 0)
                        continue;
                command = cli_help_command(v);
                left = g_strdup_printf("  %s%s%s", command, *v->arguments ? " " : "", v->arguments);
                fprintf(out, "%-*s%s\n", LEFT, left, _(v->summary));
        }
        fputs(_("\nOptions:\n"), out);
        options_print(out, CLI_OPTION_BIT(CLI_OPTION_FIRST_OWN) - 1);
        fputs(_("\n'omerta COMMAND --help' explains a command, omerta(1) everything.\n"), out);
}

void cli_help_print_verb(FILE *out, const CliVerb *v) {
        g_autofree char *command = cli_help_command(v);

        fprintf(out, _("Usage: omerta %s [OPTION...]%s%s\n\n%s\n\nOptions:\n"), command,
                *v->arguments ? " " : "", v->arguments, _(v->help));
        options_print(out, v->options);
        options_print(out, CLI_OPTION_BIT(CLI_OPTION_FIRST_OWN) - 1);
}
