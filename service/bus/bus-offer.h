/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* Methods of org.omerta.Mesh1.Network and .Manager; @userdata is the Bus. */
int bus_network_offer(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_manager_take_offer(sd_bus_message *call, void *userdata, sd_bus_error *error);
