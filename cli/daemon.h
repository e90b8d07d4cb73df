/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether there is an omertad on the bus, and what a person does if there is none. */

#include "cli/cli.h"

/* What systemd says of omertad.service; all NULL where there is no systemd on the bus. */
typedef struct CliUnit {
        char *load, *active, *file, *result, *status;
        int exit_status;
} CliUnit;
/* @u: zeroed, or read before. */
void cli_unit_read(sd_bus *bus, CliUnit *u);
void cli_unit_done(CliUnit *u);

/**
 * cli_daemon_find() - before the first call to the daemon
 *
 * The system's daemon is started for a command that changes something, if it is enabled; looking
 * starts nothing, else it would undo "systemctl stop". A user's own is started by whoever asks.
 * Never waits for a daemon that cannot come: systemd is asked how its unit is.
 *
 * Return: CLI_OK, or CLI_UNREACHABLE after saying what to do.
 */
CliExit cli_daemon_find(Cli *cli);
