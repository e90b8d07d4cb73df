/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/cli.h"

/* The link that a LINK|-|FILE argument stands for: newly allocated, without white space around
 * it. Only its beginning is checked; the daemon judges the rest. */
CliExit cli_invite_read(const char *argument, char **ret);

/* "HOST:PORT", "[IPv6]:PORT" or without a port: adds the numeric endpoints to @list, at most as
 * many as an invite can hold, and a name with a dot to @names. */
CliExit cli_invite_add_endpoints(const char *text, GPtrArray *list, GPtrArray *names);
