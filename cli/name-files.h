/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files by which programs find the address of a name, as 'omerta exec' gives them to one
 * program: text made of text. */

#include "dbus/client.h"

/**
 * cli_hosts_file() - hosts(5) with the machine's own loopback lines and every member
 * @machine: text of the machine's file
 *
 * A member's name is the member's, whatever the machine's file says: it often gives loopback the
 * name of the machine. Only localhost stays what it is. A name that two members have is nobody's.
 */
char *cli_hosts_file(const char *machine, const ClientNetwork *n);

/* nsswitch.conf(5): as @machine, but hosts come from hosts(5) alone, and with "myhostname", which
 * asks nobody, if it was there. */
char *cli_nsswitch_file(const char *machine);

/* resolv.conf(5): a name server that is not there, and refuses at once. */
extern const char cli_resolv_file[];
