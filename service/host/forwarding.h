/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Forwarding of this machine's kernel, switched on for an exit and put back after it: on single
 * interfaces, IPv4 by rtnetlink, IPv6 by files below /proc/sys. What it was is noted in a file
 * before it is changed, so that it is put back after a kill too: by the next start, or by
 * forwarding_restore() alone. Control thread only.
 *
 * IPv6 is forwarded by single interfaces since Linux 6.17 (force_forwarding). Before, the machine
 * as a whole does or does not; then interfaces that take their routes from router advertisements
 * would not take them any more, so accept_ra is raised there too.
 */

#include "host/rtnl.h"

typedef struct Forwarding Forwarding;

/* The file in a directory. The caller frees. */
char *forwarding_note(const char *dir);
/* @note: the file; what it says is put back at once. @rtnl: borrowed. */
Forwarding *forwarding_new(Rtnl *rtnl, const char *note);
/* Puts all back. */
Forwarding *forwarding_free(Forwarding *f);

/**
 * forwarding_set() - forward what comes in there, and for @who nowhere else any more
 * @links: by the families each says it has
 * @ret6: 0, or why IPv6 is not: negative errno
 *
 * Return: 0, or negative errno: IPv4 is not forwarded everywhere.
 */
int forwarding_set(Forwarding *f, const void *who, const RtnlUplink *links, unsigned n_links, int *ret6);
/* Nothing for @who. */
void forwarding_clear(Forwarding *f, const void *who);

/* Whether it was switched on by this, and the machine was no router before. */
bool forwarding_is_ours(const Forwarding *f, const char *interface);
/* The same, of IPv6 on all interfaces. */
bool forwarding_is_ours_all6(const Forwarding *f);

/* What a daemon that was killed has left. Nothing there is no error. */
void forwarding_restore(Rtnl *rtnl, const char *note);
