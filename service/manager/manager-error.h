/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What managers and networks say when something cannot be done. Control thread only. */

#include "core/wire/error.h"

/* A failure for people. What is wrong is said by @wire (a machine of the network said so, or said
 * nothing) or else by @name, an error name of ours without its prefix ("PortInUse"); @message is a
 * sentence. Both texts are owned by the caller: manager_error_clear(). */
typedef struct ManagerError {
        WireError wire;
        char *name, *message;
} ManagerError;
void manager_error_clear(ManagerError *e);
