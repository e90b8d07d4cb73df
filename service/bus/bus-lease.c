/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Lease */

#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"

bool bus_lease_lookup(Bus *b, const char *path) {
        g_autofree char *text = NULL;
        const char *rest;
        ManagedNetwork *n = bus_network_of_path(b, path, &rest);
        IpAddr address;
        Record *lease;

        if (!n || !managed_network_core(n) || !g_str_has_prefix(rest, "/lease/"))
                return false;
        text = g_strdelimit(g_strdup(rest + strlen("/lease/")), "_", '.');
        if (ip_parse(text, &address) < 0 || address.family != AF_INET)
                return false;
        lease = directory_lease_of_address(network_directory(managed_network_core(n)), &address);
        if (!lease)
                return false;
        b->lease = (LeaseRef){ n, lease };
        return true;
}

static int find(sd_bus *bus,
                const char *path,
                const char *interface,
                void *userdata,
                void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;

        if (!bus_lease_lookup(b, path))
                return 0;
        *ret_found = &b->lease;
        return 1;
}

static int
get_text(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        LeaseRef *ref = userdata;
        const RecordBody *l = &ref->lease->body;

        if (strcmp(property, "Address") == 0)
                return sd_bus_message_append(reply, "s", ip_format(&l->lease.address).text);
        if (strcmp(property, "Machine") == 0)
                return sd_bus_message_append(reply, "s", machine_id_format(&l->machine).text);
        if (strcmp(property, "HostName") == 0)
                return sd_bus_message_append(reply, "s", l->lease.name);
        return sd_bus_message_append(
                        reply, "s",
                        l->not_after > directory_realtime(network_directory(
                                                       managed_network_core(ref->network)))
                                        ? "bound"
                                        : "expired");
}

static int
get_number(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *reply,
           void *userdata,
           sd_bus_error *error) {
        LeaseRef *ref = userdata;

        return sd_bus_message_append(
                        reply, "t",
                        strcmp(property, "Granted") == 0 ? ref->lease->body.not_before
                                                         : ref->lease->body.not_after);
}

const sd_bus_vtable bus_lease_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Address", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Machine", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HostName", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Granted", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Expires", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int bus_add_lease(Bus *b) {
        return sd_bus_add_fallback_vtable(
                        b->bus, NULL, OMERTA_NETWORK_PATH, OMERTA_IFACE_LEASE, bus_lease_vtable,
                        find, b);
}
