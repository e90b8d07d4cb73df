/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting for the bus in commands that go on until somebody ends them: Ctrl-C is one more thing
 * that happens, after which there is still a summary to print. */

#include "cli/cli.h"

typedef struct CliWait {
        int signal_fd; /* SIGINT and SIGTERM, which are blocked meanwhile */
} CliWait;

int cli_wait_init(CliWait *w);
void cli_wait_done(CliWait *w);

/**
 * cli_wait() - handle what comes over the bus
 * @until: CLOCK_MONOTONIC; USEC_INFINITY: for ever
 * @done: set by a callback; may be NULL
 *
 * Return: 1 @done, 0 it is time, -EINTR somebody wants the end, or another negative errno: of the
 * bus.
 */
int cli_wait(CliWait *w, sd_bus *bus, usec_t until, const bool *done);
