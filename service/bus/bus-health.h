/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

int bus_manager_get_health(sd_bus_message *call, void *userdata, sd_bus_error *error);
