/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Network.Offer and Manager.TakeOffer: two members, and no third. */

#include "bus/bus-network.h"
#include "bus/bus-offer.h"
#include "bus/object.h"
#include "network/offer.h"

int bus_network_offer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        g_autofree char *line = NULL;
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        r = managed_network_offer(n, &line, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, "s", line);
}

int bus_manager_take_offer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        g_autofree char *path = NULL;
        ManagedNetwork *n;
        ManagerError e = {};
        const char *line;
        MachineId machine;
        int r;

        r = sd_bus_message_read(call, "s", &line);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_take_offer(b->manager, line, &n, &machine, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        path = bus_machine_path(n, &machine);
        return sd_bus_reply_method_return(call, "o", path);
}
