/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What --json prints; omerta(1), "JSON", documents the keys, which only ever get more. The value
 * of a key for which there is nothing ("" or 0 in the API) is null. A time is two keys: KEY, ISO
 * 8601 in UTC, and KEY_usec, an integer.
 */

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "dbus/client.h"

/* Begins the one object a command prints. */
JsonBuilder *cli_json_new(void);
/* Ends that object and prints it on stdout. */
void cli_json_print(JsonBuilder *b);
/* The text printed: newly allocated, without the final newline. */
char *cli_json_text(JsonNode *root);

void cli_json_string(JsonBuilder *b, const char *key, const char *value);
void cli_json_strings(JsonBuilder *b, const char *key, char *const *values);
void cli_json_bool(JsonBuilder *b, const char *key, bool value);
void cli_json_count(JsonBuilder *b, const char *key, uint64_t value);
/* null if 0 */
void cli_json_usec(JsonBuilder *b, const char *key, usec_t value);
void cli_json_time(JsonBuilder *b, const char *key, usec_t t);

/* Members of the object that is open. */
void cli_json_network(JsonBuilder *b, const ClientNetwork *n);
void cli_json_machine(JsonBuilder *b, const ClientNetwork *n, const ClientMachine *m);
void cli_json_session(JsonBuilder *b, const ClientNetwork *n, const ClientSession *s);
void cli_json_lease(JsonBuilder *b, const ClientNetwork *n, const ClientLease *l);

void cli_json_forward(JsonBuilder *b, const ClientForward *f);

void cli_json_begin_array(JsonBuilder *b, const char *key);
