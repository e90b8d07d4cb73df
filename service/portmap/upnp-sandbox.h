/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What omerta-upnp-helper gives up before it reads what strangers write: all descriptors above the
 * standard error, opening files, starting programs, other processes, sockets of anything but IPv4,
 * more memory than it needs, and a life without its parent. Such calls fail with EACCES. Where the
 * machine is of a kind whose calls we do not know by number, only the first and the last two.
 * Return: 0, or negative errno. */
int upnp_sandbox_enter(void);
