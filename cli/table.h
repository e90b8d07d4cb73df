/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Aligned columns with a header line. Columns with numbers are flush right. */

#include <glib.h>
#include <stdio.h>

typedef struct CliTable CliTable;

/* @header: column titles, separated by '|'; a title that begins with '>' is flush right. */
CliTable *cli_table_new(const char *header);
CliTable *cli_table_free(CliTable *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CliTable, cli_table_free)

/* Adds the next cell, row by row. Takes @text, which must be fit for a terminal already. */
void cli_table_take(CliTable *t, char *text);

/* Hides a column, counted from 0. */
void cli_table_hide(CliTable *t, unsigned column);

unsigned cli_table_rows(const CliTable *t);
/* Shortens the widest texts, with a mark at their end, until a row is at most @line columns, if
 * that can be done: columns of numbers stay, and a few characters of each. */
void cli_table_fit(CliTable *t, unsigned line);
/* On a terminal it is fitted to that; else nothing is left out. */
void cli_table_print(CliTable *t, FILE *out);
