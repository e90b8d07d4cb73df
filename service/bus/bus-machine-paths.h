/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

/* A method of org.omerta.Mesh1.Machine; @userdata is its MachineRef. */
int bus_machine_list_paths(sd_bus_message *call, void *userdata, sd_bus_error *error);
