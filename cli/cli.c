/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/bus.h"
#include "cli/format.h"
#include "cli/help.h"
#include "cli/i18n.h"
#include "config.h"

static void line_print(const char *prefix, const char *format, va_list ap) {
        g_autofree char *text = g_strdup_vprintf(format, ap), *safe = cli_escape(text);

        fprintf(stderr, "%s%s\n", prefix, safe);
}

void cli_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        line_print("omerta: ", format, ap);
        va_end(ap);
}

void cli_note(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        line_print("", format, ap);
        va_end(ap);
}

void cli_hint(const char *format, ...) {
        va_list ap;

        if (!isatty(STDERR_FILENO))
                return;
        va_start(ap, format);
        line_print("", format, ap);
        va_end(ap);
}

bool cli_can_ask(void) {
        return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool cli_ask(bool by_default, const char *format, ...) {
        g_autofree char *text = NULL, *safe = NULL;
        char line[64];
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        safe = cli_escape(text);
        fprintf(stderr, "%s [%s] ", safe, by_default ? _("Y/n") : _("y/N"));
        fflush(stderr);
        if (!fgets(line, sizeof line, stdin))
                return false;
        g_strstrip(line);
        if (!*line)
                return by_default;
        /* TRANSLATORS: what an answer that agrees begins with. */
        return g_ascii_tolower(line[0]) == _("y")[0];
}

/* Finds what the first words mean. Return: NULL after saying what is wrong with them. */
static const CliVerb *verb_find(char **words, unsigned *ret_n) {
        g_autofree char *verbs = NULL;
        bool noun_known = false;

        for (const CliVerb *v = cli_verbs; v->noun; v++) {
                if (strcmp(v->noun, words[0]) != 0)
                        continue;
                noun_known = true;
                if (v->verb && (!words[1] || strcmp(v->verb, words[1]) != 0))
                        continue;
                *ret_n = v->verb ? 2 : 1;
                return v;
        }
        if (!noun_known) {
                cli_error(_("there is no command '%s'"), words[0]);
                cli_note(_("'omerta --help' lists the commands."));
                return NULL;
        }
        verbs = cli_help_verbs_of(words[0]);
        if (words[1])
                cli_error(_("there is no command '%s %s', only: %s"), words[0], words[1], verbs);
        else
                cli_error(_("'%s' wants one of: %s"), words[0], verbs);
        return NULL;
}

/* Return: whether the command takes these options and this many arguments; else says so. */
static bool verb_fits(const CliVerb *v, const CliOptions *options, char **args) {
        unsigned own = options->given & ~(CLI_OPTION_BIT(CLI_OPTION_FIRST_OWN) - 1);
        unsigned n = g_strv_length(args);
        g_autofree char *command = cli_help_command(v);

        for (size_t i = 0; i < _CLI_OPTION_MAX; i++)
                if (own & ~v->options & CLI_OPTION_BIT(i)) {
                        cli_error(_("'%s' has no option --%s"), command, cli_options[i].name);
                        return false;
                }
        if (n < v->min)
                cli_error(_("'%s' wants %s"), command, v->arguments);
        else if (n > v->max)
                cli_error(_("'%s': what is '%s' for?"), command, args[v->max]);
        else
                return true;
        cli_note(_("'omerta %s --help' explains the command."), command);
        return false;
}

static bool noun_exists(const char *noun) {
        for (const CliVerb *v = cli_verbs; v->noun; v++)
                if (v->verb && strcmp(v->noun, noun) == 0)
                        return true;
        return false;
}

static CliExit run(Cli *cli, char **words) {
        static char status[] = "status", *just_status[] = { status, NULL };
        const CliVerb *v;
        unsigned n;

        if (cli->options.version) {
                printf("omerta %s\n", OMERTA_VERSION);
                return CLI_OK;
        }
        if (!words[0]) {
                if (cli->options.help) {
                        cli_help_print(stdout, NULL);
                        return CLI_OK;
                }
                words = just_status;
        }
        if (cli->options.help && !words[1] && noun_exists(words[0])) {
                cli_help_print(stdout, words[0]);
                return CLI_OK;
        }
        v = verb_find(words, &n);
        if (!v)
                return CLI_USAGE;
        if (cli->options.help) {
                cli_help_print_verb(stdout, v);
                return CLI_OK;
        }
        for (unsigned i = 0; words[i]; i++)
                /* File names and words of programs may be anything; all else goes over the bus, which is UTF-8. */
                if (!g_utf8_validate(words[i], -1, NULL) && v->run != cli_network_join &&
                    v->run != cli_ssh && v->run != cli_exec) {
                        cli_error(_("'%s' is not valid UTF-8"), words[i]);
                        return CLI_USAGE;
                }
        if (!verb_fits(v, &cli->options, words + n))
                return CLI_USAGE;
        cli->verb = v;
        return v->run(cli, words + n);
}

CliExit cli_help(Cli *cli, char **args) {
        cli->options.help = true;
        return run(cli, args);
}

CliExit cli_main(int argc, char **argv) {
        Cli cli = { .now = now_usec(CLOCK_REALTIME) };
        CliExit e = CLI_USAGE;
        int words;

        if (cli_options_parse(argc, argv, &cli.options, &words) >= 0)
                e = run(&cli, argv + words);
        cli_options_done(&cli.options);
        cli_agent_close(&cli);
        sd_bus_flush_close_unref(cli.bus);
        /* A link or a table that did not reach its file is a failure. */
        if ((fflush(stdout) != 0 || ferror(stdout)) && e == CLI_OK) {
                cli_error(_("cannot write: %s"), g_strerror(errno));
                e = CLI_FAILED;
        }
        return e;
}
