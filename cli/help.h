/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Help, made from the tables of verbs and options; at most 80 columns wide. */

#include <stdio.h>

#include "cli/cli.h"

/* All commands, or those of one noun. */
void cli_help_print(FILE *out, const char *noun);
void cli_help_print_verb(FILE *out, const CliVerb *verb);
/* "create, invite, ...": newly allocated. */
char *cli_help_verbs_of(const char *noun);
/* "network join": newly allocated. */
char *cli_help_command(const CliVerb *verb);
