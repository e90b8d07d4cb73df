/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "network/managed-network.h"

/* Where this machine is, as a line for another member; the caller frees. It holds no secret.
 * Return: 0, or negative errno and @error. */
int managed_network_offer(ManagedNetwork *n, char **ret, ManagerError *error);
/* What another member's line says: tries to reach it there, for as long as any other attempt.
 * Return: 0, and whose it is, or negative errno and @error. */
int manager_take_offer(
                Manager *m,
                const char *line,
                ManagedNetwork **ret_network,
                MachineId *ret_machine,
                ManagerError *error);
