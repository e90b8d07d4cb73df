/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Manager */

#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-options.h"
#include "config.h"

static int method_create_network(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        CreateOptions options = {};
        const BusOption table[] = {
                { "subnet", "s", &options.subnet },
                { "host-name", "s", &options.host_name },
                { "owner", "s", &options.owner },
                {},
        };
        g_autofree char *path = NULL;
        ManagerError e = {};
        ManagedNetwork *n;
        int r;

        r = sd_bus_message_read(call, "s", &options.name);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_create_network(b->manager, &options, &n, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        path = bus_network_path(n);
        return sd_bus_reply_method_return(call, "o", path);
}

static void on_joined(void *userdata, ManagedNetwork *n, const ManagerError *error) {
        sd_bus_message *call = userdata;
        g_autofree char *path = NULL, *name = NULL;
        int r;

        if (error) {
                name = g_strconcat(OMERTA_ERROR_PREFIX, error->name, NULL);
                r = sd_bus_reply_method_errorf(call, name, "%s", error->message);
        } else {
                path = bus_network_path(n);
                r = sd_bus_reply_method_return(call, "o", path);
        }
        if (r < 0)
                (void) log_debug_errno(r, "cannot answer Join: %m");
        sd_bus_message_unref(call);
}

static int method_join(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const char *link, *host_name = NULL, *owner = NULL;
        const BusOption table[] = {
                { "host-name", "s", &host_name },
                { "owner", "s", &owner },
                {},
        };
        ManagerError e = {};
        int r;

        r = sd_bus_message_read(call, "s", &link);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_join(b->manager, link, host_name, owner, on_joined, sd_bus_message_ref(call), &e);
        if (r < 0) {
                sd_bus_message_unref(call);
                return bus_set_error(error, &e);
        }
        return 1; /* answered by on_joined() */
}

static int method_get_network(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        g_autofree char *path = NULL;
        ManagedNetwork *n;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        r = manager_find_network(b->manager, name, &n);
        switch (r) {
        case 0:
                path = bus_network_path(n);
                return sd_bus_reply_method_return(call, "o", path);
        case -ENOTCONN:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_JOINED, "this machine is in no network");
        case -ENOTUNIQ:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_AMBIGUOUS,
                                *name ? "several networks match '%s'"
                                      : "this machine is in several networks: name "
                                        "one%s",
                                name);
        default:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_NETWORK,
                                "this machine is in no network '%s'", name);
        }
}

static int method_get_drops(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = bus_append_drops(reply, manager_drops(b->manager));
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int
get_property(sd_bus *bus,
             const char *path,
             const char *interface,
             const char *property,
             sd_bus_message *reply,
             void *userdata,
             sd_bus_error *error) {
        Bus *b = userdata;
        Manager *m = b->manager;
        int r;

        if (strcmp(property, "Version") == 0)
                return sd_bus_message_append(reply, "s", OMERTA_VERSION);
        if (strcmp(property, "MachineId") == 0)
                return sd_bus_message_append(
                                reply, "s", machine_id_format(manager_machine_id(m)).text);
        if (strcmp(property, "Mode") == 0)
                return sd_bus_message_append(
                                reply, "s", manager_options(m)->user_mode ? "user" : "system");
        if (strcmp(property, "Port") == 0)
                return sd_bus_message_append(reply, "q", manager_port(m));
        if (strcmp(property, "Cipher") == 0)
                return sd_bus_message_append(reply, "s", manager_cipher(m));

        r = sd_bus_message_open_container(reply, 'a', "o");
        for (unsigned i = 0; r >= 0 && i < manager_n_networks(m); i++) {
                g_autofree char *p = bus_network_path(manager_network(m, i));

                r = sd_bus_message_append(reply, "o", p);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "CreateNetwork",
                        SD_BUS_ARGS("s", name, "a{sv}", options),
                        SD_BUS_RESULT("o", network),
                        method_create_network,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        /* The link is a secret: not shown by debugging tools. */
        SD_BUS_METHOD_WITH_ARGS(
                        "Join",
                        SD_BUS_ARGS("s", link, "a{sv}", options),
                        SD_BUS_RESULT("o", network),
                        method_join,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetNetwork",
                        SD_BUS_ARGS("s", name),
                        SD_BUS_RESULT("o", network),
                        method_get_network,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetDrops",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{st}", drops),
                        method_get_drops,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MachineId", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Mode", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Port", "q", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Cipher", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Networks", "ao", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int bus_add_manager(Bus *b) {
        return sd_bus_add_object_vtable(b->bus, NULL, OMERTA_PATH, OMERTA_IFACE_MANAGER, vtable, b);
}
