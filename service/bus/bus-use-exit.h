/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* Methods UseExit and AppointExit of org.omerta.Mesh1.Network. */
int bus_network_use_exit(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_appoint_exit(sd_bus_message *call, void *userdata, sd_bus_error *error);
/* Its properties Exit, ExitWanted, ExitState, ExitReason and ExitLan. */
int bus_network_get_exit(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error);
