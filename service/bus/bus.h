/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The D-Bus face of the manager: org.omerta.Mesh1 as the XML in dbus/ says. One file per interface;
 * objects are not kept, they are found when somebody asks for them.
 */

#include <systemd/sd-event.h>

#include "manager/manager.h"
#include "network/join.h"

typedef struct Bus Bus;

/* Connects (system bus, or the session bus in user mode), adds the objects, observes the
 * manager. Logs what is wrong. */
int bus_new(sd_event *event, Manager *manager, Bus **ret);
Bus *bus_free(Bus *b);
/* Takes the name: from now on clients find us. */
int bus_start(Bus *b);
