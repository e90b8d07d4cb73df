/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long a start waits after others that did not last. systemd starts a daemon that ended by
 * itself again, always after the same time (RestartSec=), and forever, since a machine that has
 * left the mesh for good needs somebody who comes. That the time grows is our business: each start
 * leaves a line in the runtime directory, which systemd keeps while it starts the service again
 * and removes when somebody stops it.
 */

#include "base/time.h"

/**
 * start_delay_next() - note a start
 * @dir: of the service alone, gone when it is stopped; NULL: nobody restarts us
 * @now: CLOCK_BOOTTIME
 *
 * Return: how long to wait before serving. 0 as well where the note cannot be read or written: a
 * start goes before its delay.
 */
usec_t start_delay_next(const char *dir, usec_t now);

/* We are told to end: the next start owes nothing to this one. */
void start_delay_clear(const char *dir);
