/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network: the exit this machine uses, and who may be one. */

#include "bus/bus-use-exit.h"

#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-network.h"
#include "bus/bus-options.h"
#include "bus/object.h"
#include "network/admin.h"

int bus_network_use_exit(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = bus_network_of_call(userdata, call, error);
        int no_lan = 0, r;
        const BusOption table[] = { { "no-lan", "b", &no_lan }, {} };
        ManagerError e = {};
        const char *text;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_read(call, "s", &text);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(userdata, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_use_exit(n, text, !no_lan, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
}

int bus_network_appoint_exit(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagerError e = {};
        ManagedNetwork *n;
        AdminSubject s;
        const char *text;
        int may, r;

        r = sd_bus_message_read(call, "sb", &text, &may);
        if (r < 0)
                return r;
        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_appoint_exit(n, text, may, &s, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        bus_network_log_act_on(call, n, may ? "appointed as an exit" : "dismissed as an exit", &s);
        return sd_bus_reply_method_return(call, "ss", machine_id_format(&s.id).text, s.name);
}

int bus_network_get_exit(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        const Bus *b = userdata;
        ManagedWayOut e = managed_network_way_out(b->network);

        if (strcmp(property, "ExitLan") == 0)
                return sd_bus_message_append(reply, "b", e.lan);
        if (strcmp(property, "ExitWanted") == 0)
                return sd_bus_message_append(reply, "s", e.wanted);
        if (strcmp(property, "ExitState") == 0)
                return sd_bus_message_append(reply, "s", e.state);
        if (strcmp(property, "ExitReason") == 0)
                return sd_bus_message_append(reply, "s", e.reason);
        return sd_bus_message_append(
                        reply, "s", e.is_chosen ? machine_id_format(&e.machine).text : "");
}
