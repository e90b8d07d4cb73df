/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* Descriptors of programs' connections, of which there may be thousands: they leave FDS_RESERVED
 * (limits.h) below RLIMIT_NOFILE to the daemon itself. A new descriptor is the lowest free one, so
 * its number says how many there are at least. Any thread. */

/* Whether @more can be had beside @fd, the last one made, and the reserve. */
bool fd_leaves(int fd, unsigned more);
/* How many those are: 0 below the reserve, UINT_MAX without a limit. */
unsigned fd_left(int fd);
/* Admits a descriptor that was made for a connection. Return: @fd, which may be a negative errno;
 * -EMFILE: it would be one of the last, and is closed. */
int fd_admit(int fd);
/* socketpair(2) of AF_UNIX, CLOEXEC and non-blocking, admitted. Return: 0, or negative errno. */
int fd_pair(int type, int ret[static 2]);
