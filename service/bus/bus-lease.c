/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Lease */

#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"
#include "bus/object.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        g_autofree char *text = g_strdelimit(g_strdup(name), "_", '.');
        Network *core = bus_network_members(n);
        IpAddr address;
        Record *lease;

        if (!core || strchr(name, '.') || ip_parse(text, &address) < 0 || address.family != AF_INET)
                return false;
        lease = directory_lease_of_address(network_directory(core), &address);
        if (!lease)
                return false;
        b->lease = (LeaseRef){ n, lease };
        *ret = &b->lease;
        return true;
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

static int get_machine_path(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        LeaseRef *ref = userdata;
        g_autofree char *p = bus_member_path(ref->network, &ref->lease->body.machine);

        return sd_bus_message_append(reply, "o", p);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Address", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Machine", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MachinePath", "o", get_machine_path, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HostName", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Granted", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Expires", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

typedef struct Enumeration {
        ManagedNetwork *network;
        Directory *directory;
        GPtrArray *paths;
        unsigned left;
} Enumeration;

static void add_lease(void *userdata, Record *lease) {
        Enumeration *e = userdata;

        /* A released lease, or one that lost its address, is no object. */
        if (e->left == 0 ||
            directory_lease_of_address(e->directory, &lease->body.lease.address) != lease)
                return;
        e->left--;
        g_ptr_array_add(e->paths, bus_lease_path(e->network, &lease->body.lease.address));
}

static void enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        Enumeration e = { .network = n, .paths = paths, .left = max };
        Network *core = bus_network_members(n);

        if (!core)
                return;
        e.directory = network_directory(core);
        directory_foreach(e.directory, RECORD_LEASE, add_lease, &e);
}

const BusKind bus_kind_lease = {
        .part = "lease",
        .interface = OMERTA_IFACE_LEASE,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
