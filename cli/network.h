/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/bus.h"

/* Says what CreateNetwork or Join was about, from its reply: nothing on stdout unless --json, so
 * that scripts need not throw anything away. */
CliExit cli_network_entered(Cli *cli, sd_bus_message *reply);

/* How a machine is reached: "direct", "relayed by HOST", or what stands for nothing. @m: NULL: not
 * known. The caller frees. */
char *cli_network_way(const ClientNetwork *n, const ClientMachine *m);
