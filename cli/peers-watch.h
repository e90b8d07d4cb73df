/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Members with counters that move. */

#include "cli/bus.h"

/* Prints with @print, again whenever something changed, and once a second with the counters that
 * the daemon sends (WatchCounters), until somebody ends it. */
CliExit cli_peers_watch(Cli *cli, void (*print)(Cli *cli, const ClientSnapshot *s));
