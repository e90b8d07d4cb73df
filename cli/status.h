/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How networks and refused packets are shown; used by several commands. */

#include "cli/bus.h"
#include "cli/json.h"

void cli_daemon_print(const ClientManager *m);
/* Member "daemon" of the object that is open. */
void cli_json_daemon(JsonBuilder *b, const ClientManager *m, GArray *drops);

/* "Name: value" lines. @full: ids whole, and all there is to say. */
void cli_network_print(const ClientNetwork *n, bool full);

/* "Label: value", labels flush right. Takes @value, which must be fit for a terminal; nothing is
 * printed for NULL. */
void cli_field_take(const char *label, char *value);

/* Reason, number and explanation; nothing if nothing was dropped. */
void cli_drops_print(GArray *drops);
/* "12 (mac1 10, malformed 2)", newly allocated; NULL: none. */
char *cli_drops_summary(GArray *drops);
void cli_drops_json(JsonBuilder *b, GArray *drops);
/* The sum, and each with its sentence. */
void cli_drops_json_explained(JsonBuilder *b, GArray *drops);
