/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Somebody polkit can ask for a password where there is no desktop: pkttyagent(1) on the terminal,
 * for the time of one command. */

#include "cli/cli.h"

/* For a command of the system's daemon that may need an authorization, typed by somebody who is
 * not root; else, and without pkttyagent, this does nothing. A desktop's agent goes before it. */
void cli_agent_open(Cli *cli);
/* Ends it and waits for that, so that the terminal is as it was. */
void cli_agent_close(Cli *cli);
