/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* a{sv} arguments: every method that takes options says which keys it knows. */

#include <systemd/sd-bus.h>

#include "base/host-port.h"
#include "base/limits.h"

typedef struct BusOption {
        const char *name; /* NULL ends the table */
        const char *type; /* "s", "u", "t", "b" (int), "as" (char ***, free with g_strfreev) */
        void *ret;
} BusOption;

/* Unknown keys and wrong types are errors, keys at most once. Return: 0, or negative with @error
 * set. Strings are borrowed from @call. */
int bus_read_options(sd_bus_message *call, const BusOption *table, sd_bus_error *error);

/* @texts: of type "as", or NULL: none. Return: how many, or negative with @error set. */
int bus_read_names(char **texts, HostPort ret[static GATEWAY_NAMES_MAX], sd_bus_error *error);
