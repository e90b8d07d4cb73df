/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <string.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/options.h"

#define OPTION(name, letter, argument, kind, member, help)                                         \
        { name, letter, argument, kind, offsetof(CliOptions, member), help }

const CliOption cli_options[_CLI_OPTION_MAX] = {
        [OPTION_HELP] = OPTION("help", 'h', NULL, CLI_OPTION_TRUE, help, N_("Show this help")),
        [OPTION_VERSION] =
                        OPTION("version", 'V', NULL, CLI_OPTION_TRUE, version, N_("Show the version")),
        [OPTION_JSON] = OPTION("json", 0, NULL, CLI_OPTION_TRUE, json, N_("Print JSON, for programs")),
        [OPTION_NETWORK] =
                        OPTION("network",
                               'n',
                               "NAME",
                               CLI_OPTION_STRING,
                               network,
                               N_("Network: its name, id or beginning of the id")),
        [OPTION_SYSTEM] =
                        OPTION("system", 0, NULL, CLI_OPTION_FALSE, user, N_("Ask the system's omertad")),
        [OPTION_USER] = OPTION("user", 0, NULL, CLI_OPTION_TRUE, user, N_("Ask your own omertad")),
        [OPTION_SUBNET] =
                        OPTION("subnet",
                               0,
                               "CIDR",
                               CLI_OPTION_STRING,
                               subnet,
                               N_("Addresses of the network, 10.7.0.0/16")),
        [OPTION_ANY_SUBNET] =
                        OPTION("any-subnet",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               any_subnet,
                               N_("Root: even addresses that are not private")),
        [OPTION_HOST_NAME] =
                        OPTION("host-name",
                               0,
                               "NAME",
                               CLI_OPTION_STRING,
                               host_name,
                               N_("Name of this machine in the network")),
        [OPTION_OWNER] =
                        OPTION("owner",
                               0,
                               "OWNER",
                               CLI_OPTION_STRING,
                               owner,
                               N_("Whom this machine belongs to")),
        [OPTION_USES] =
                        OPTION("uses",
                               0,
                               "N",
                               CLI_OPTION_COUNT,
                               uses,
                               N_("How many machines may use it (1)")),
        [OPTION_EXPIRES] =
                        OPTION("expires",
                               0,
                               "TIME",
                               CLI_OPTION_DURATION,
                               expires,
                               N_("How long it is valid: 30min, 24h, 7d (24h)")),
        [OPTION_NAME] =
                        OPTION("name",
                               0,
                               "HOST",
                               CLI_OPTION_STRING,
                               name,
                               N_("Host name the joining machine gets")),
        [OPTION_APPROVAL] =
                        OPTION("approval",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               approval,
                               N_("Who joins with it waits for an approval")),
        [OPTION_ENDPOINT] =
                        OPTION("endpoint",
                               0,
                               "HOST:PORT",
                               CLI_OPTION_STRINGS,
                               endpoints,
                               N_("Where the gateway is reached, too")),
        [OPTION_QR] = OPTION("qr", 0, NULL, CLI_OPTION_TRUE, qr, N_("Show a QR code first")),
        [OPTION_OUTPUT] =
                        OPTION("output",
                               'o',
                               "FILE",
                               CLI_OPTION_STRING,
                               output,
                               N_("Write the link to a file only you can read")),
        [OPTION_FORCE] =
                        OPTION("force",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               force,
                               N_("On the gateway: end the network")),
        [OPTION_FDPASS] =
                        OPTION("fdpass",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               fdpass,
                               N_("Pass the connection to the calling program")),
        [OPTION_COUNT] = OPTION("count", 'c', "N", CLI_OPTION_COUNT, count, N_("How many packets are sent")),
        [OPTION_INTERVAL] =
                        OPTION("interval",
                               'i',
                               "TIME",
                               CLI_OPTION_DURATION,
                               interval,
                               N_("From one packet to the next: 200ms (1s)")),
        [OPTION_WATCH] = OPTION("watch", 0, NULL, CLI_OPTION_TRUE, watch, N_("Again whenever it changes")),
        [OPTION_REVERSE] =
                        OPTION("reverse",
                               'R',
                               NULL,
                               CLI_OPTION_TRUE,
                               reverse,
                               N_("From the network to this machine")),
        [OPTION_KEEP] = OPTION("keep", 0, NULL, CLI_OPTION_TRUE, keep, N_("Have it again after a restart")),
        [OPTION_YES] = OPTION("yes", 'y', NULL, CLI_OPTION_TRUE, yes, N_("Do not ask")),
        [OPTION_WITHDRAW_INVITE] =
                        OPTION("withdraw-invite",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               withdraw_invite,
                               N_("Withdraw the invite it came by, too")),
        [OPTION_KEEP_INVITE] =
                        OPTION("keep-invite",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               keep_invite,
                               N_("Leave the invite it came by as it is")),
        [OPTION_OFFER] = OPTION("offer", 0, NULL, CLI_OPTION_TRUE, offer, N_("Print this machine's line")),
        [OPTION_ANSWER] =
                        OPTION("answer",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               answer,
                               N_("Print this machine's line, too")),
        [OPTION_NO_LAN] =
                        OPTION("no-lan",
                               0,
                               NULL,
                               CLI_OPTION_TRUE,
                               no_lan,
                               N_("The LAN is not reached besides")),
        [OPTION_GATEWAY] =
                        OPTION("gateway",
                               0,
                               "MACHINE",
                               CLI_OPTION_STRING,
                               gateway,
                               N_("Leave by this exit: see 'gateway use'")),
};

/* What getopt_long() returns for an option without a letter. */
#define LONG_BASE 256

static int option_take(const CliOption *o, char *text, CliOptions *options) {
        void *p = (char *) options + o->offset;
        char ***list;
        unsigned n;

        switch (o->kind) {
        case CLI_OPTION_TRUE:
        case CLI_OPTION_FALSE:
                *(bool *) p = o->kind == CLI_OPTION_TRUE;
                return 0;
        case CLI_OPTION_STRING:
                if (!g_utf8_validate(text, -1, NULL)) {
                        cli_error(_("the value of --%s is not valid UTF-8"), o->name);
                        return -EINVAL;
                }
                *(const char **) p = text;
                return 0;
        case CLI_OPTION_STRINGS:
                list = p;
                n = *list ? g_strv_length(*list) : 0;
                *list = g_renew(char *, *list, n + 2);
                (*list)[n] = text;
                (*list)[n + 1] = NULL;
                return 0;
        case CLI_OPTION_COUNT:
                if (cli_parse_count(text, p) >= 0)
                        return 0;
                cli_error(_("--%s wants a number of 1 or more, not '%s'"), o->name, text);
                return -EINVAL;
        case CLI_OPTION_DURATION:
                if (cli_parse_duration(text, p) >= 0)
                        return 0;
                cli_error(_("--%s wants a time such as 30min, 24h or 7d, not '%s'"), o->name, text);
                return -EINVAL;
        }
        return -EINVAL;
}

/* Whether what follows the command is another program's.
 * @letters: with "+": the first word ends the options. */
static bool is_for_program(int argc, char **argv, const char *letters, const struct option *table) {
        int c, errors = opterr;

        optind = 0;
        opterr = 0; /* said when they are looked at again */
        while ((c = getopt_long(argc, argv, letters, table, NULL)) >= 0 && c != '?')
                ;
        opterr = errors;
        return c < 0 && optind < argc &&
               (strcmp(argv[optind], "ssh") == 0 || strcmp(argv[optind], "exec") == 0) &&
               !(optind + 2 == argc &&
                 (strcmp(argv[optind + 1], "--help") == 0 || strcmp(argv[optind + 1], "-h") == 0));
}

int cli_options_parse(int argc, char **argv, CliOptions *ret, int *ret_words) {
        struct option table[_CLI_OPTION_MAX + 1] = {};
        char letters[2 * _CLI_OPTION_MAX + 2] = "+";
        size_t n_letters = 1;
        bool ordered;
        int c, r;

        *ret = (CliOptions){};
        for (size_t i = 0; i < _CLI_OPTION_MAX; i++) {
                const CliOption *o = &cli_options[i];

                table[i] = (struct option){
                        .name = o->name,
                        .has_arg = o->argument ? required_argument : no_argument,
                        .val = LONG_BASE + (int) i,
                };
                if (!o->letter)
                        continue;
                letters[n_letters++] = o->letter;
                if (o->argument)
                        letters[n_letters++] = ':';
        }

        ordered = is_for_program(argc, argv, letters, table);
        optind = 0; /* start anew, also when called a second time */
        while ((c = getopt_long(argc, argv, ordered ? letters : letters + 1, table, NULL)) >= 0) {
                size_t i = 0;

                if (c == '?')
                        return -EINVAL;
                if (c >= LONG_BASE)
                        i = (size_t) (c - LONG_BASE);
                else
                        while (cli_options[i].letter != c)
                                i++;
                ret->given |= CLI_OPTION_BIT(i);
                r = option_take(&cli_options[i], optarg, ret);
                if (r < 0)
                        return r;
        }
        *ret_words = optind;
        return 0;
}

void cli_options_done(CliOptions *o) {
        /* The strings are argv's. */
        g_free(o->endpoints);
        o->endpoints = NULL;
}
