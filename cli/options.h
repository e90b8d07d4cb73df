/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line: what was asked for. One table describes every option; parsing, help and the
 * tests of manual and completions all read it. */

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"

typedef enum CliOptionId {
        /* Of every command. */
        OPTION_HELP,
        OPTION_VERSION,
        OPTION_JSON,
        OPTION_NETWORK,
        OPTION_SYSTEM,
        OPTION_USER,
        /* Of some; CliVerb.options says which. */
        OPTION_SUBNET,
        OPTION_ANY_SUBNET,
        OPTION_HOST_NAME,
        OPTION_OWNER,
        OPTION_USES,
        OPTION_EXPIRES,
        OPTION_NAME,
        OPTION_APPROVAL,
        OPTION_ENDPOINT,
        OPTION_QR,
        OPTION_OUTPUT,
        OPTION_FORCE,
        OPTION_FDPASS,
        OPTION_COUNT,
        OPTION_INTERVAL,
        OPTION_WATCH,
        OPTION_REVERSE,
        OPTION_KEEP,
        OPTION_YES,
        OPTION_WITHDRAW_INVITE,
        OPTION_KEEP_INVITE,
        OPTION_OFFER,
        OPTION_ANSWER,
        OPTION_NO_LAN,
        OPTION_GATEWAY,
        _CLI_OPTION_MAX,
} CliOptionId;

#define CLI_OPTION_FIRST_OWN OPTION_SUBNET
#define CLI_OPTION_BIT(id) (1U << (id))

typedef enum CliOptionKind {
        CLI_OPTION_TRUE,
        CLI_OPTION_FALSE,
        CLI_OPTION_STRING,
        CLI_OPTION_STRINGS, /* may be given several times */
        CLI_OPTION_COUNT,
        CLI_OPTION_DURATION,
} CliOptionKind;

typedef struct CliOption {
        const char *name;     /* without the dashes */
        char letter;          /* 0: none */
        const char *argument; /* NULL: takes none */
        CliOptionKind kind;
        size_t offset; /* in CliOptions */
        const char *help;
} CliOption;

extern const CliOption cli_options[_CLI_OPTION_MAX];

/* Strings are borrowed from argv. */
typedef struct CliOptions {
        bool help, version, json, user;
        const char *network;

        const char *subnet, *host_name, *owner, *name, *output;
        char **endpoints; /* NULL: none */
        unsigned uses;    /* 0: not given */
        usec_t expires;   /* 0: not given */
        unsigned count;   /* 0: not given */
        usec_t interval;  /* 0: not given */
        bool any_subnet, approval, qr, force, fdpass, reverse, keep, watch, yes, withdraw_invite;
        bool keep_invite, offer, answer, no_lan;
        const char *gateway;

        unsigned given; /* CLI_OPTION_BITs */
} CliOptions;

/**
 * cli_options_parse() - sort options from words, wherever they stand
 * @argv: reordered: words come last
 * @ret_words: index of the first word in @argv
 *
 * Words after "ssh" and "exec" are another program's, with their options, and stay as they are.
 * Says on stderr what is wrong. Return: 0, or -EINVAL. Either way cli_options_done() frees.
 */
int cli_options_parse(int argc, char **argv, CliOptions *ret, int *ret_words);
void cli_options_done(CliOptions *o);
