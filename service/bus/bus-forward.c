/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Forward */

#include <string.h>

#include "bus/bus-internal.h"
#include "bus/object.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        Forward *f;
        guint64 id;

        if (!managed_network_forwards(n))
                return false;
        /* One path an object: no leading zeros. */
        if (name[0] == '0' || !g_ascii_string_to_unsigned(name, 10, 1, UINT32_MAX, &id, NULL))
                return false;
        f = forwards_get(managed_network_forwards(n), (uint32_t) id);
        if (!f)
                return false;
        b->forward = (ForwardRef){ b, n, f };
        *ret = &b->forward;
        return true;
}

static int method_remove(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = ((ForwardRef *) userdata)->bus;
        ManagerError e = {};
        int r;

        r = bus_authorize(b, call, OMERTA_ACTION_FORWARD, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_remove_forward(b->forward.network, b->forward.forward, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
}

static int
get_text(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        const Forward *f = ((ForwardRef *) userdata)->forward;
        g_autofree char *text = NULL;

        if (strcmp(property, "Direction") == 0)
                text = g_strdup(forward_direction_to_string(forward_spec(f)->direction));
        else if (strcmp(property, "Listen") == 0)
                text = forward_spec_listen_format(forward_spec(f));
        else if (strcmp(property, "Target") == 0)
                text = proxy_target_format(&forward_spec(f)->target);
        else if (strcmp(property, "StateReason") == 0)
                text = managed_network_forward_reason(f);
        else
                text = g_strdup(forward_error(f) >= 0              ? "listening"
                                : forward_error(f) == -ENETUNREACH ? "waiting"
                                                                   : "failed");
        return sd_bus_message_append(reply, "s", text);
}

static int
get_persistent(sd_bus *bus,
               const char *path,
               const char *interface,
               const char *property,
               sd_bus_message *reply,
               void *userdata,
               sd_bus_error *error) {
        const Forward *f = ((ForwardRef *) userdata)->forward;

        return sd_bus_message_append(reply, "b", forward_spec(f)->persistent);
}

static int
get_number(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *reply,
           void *userdata,
           sd_bus_error *error) {
        const Forward *f = ((ForwardRef *) userdata)->forward;
        ForwardStats st = forward_stats(f);
        uint64_t v;

        if (strcmp(property, "Id") == 0)
                return sd_bus_message_append(reply, "u", forward_id(f));
        if (strcmp(property, "Active") == 0)
                return sd_bus_message_append(reply, "u", (uint32_t) st.active);
        if (strcmp(property, "Accepted") == 0)
                v = st.accepted;
        else if (strcmp(property, "Failed") == 0)
                v = st.failed;
        else if (strcmp(property, "TurnedAway") == 0)
                v = st.turned_away;
        else if (strcmp(property, "BytesToTarget") == 0)
                v = st.bytes.a_to_b;
        else
                v = st.bytes.b_to_a;
        return sd_bus_message_append(reply, "t", v);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "Remove",
                        SD_BUS_NO_ARGS,
                        SD_BUS_NO_RESULT,
                        method_remove,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", get_number, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Direction", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Listen", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Target", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Persistent", "b", get_persistent, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StateReason", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Active", "u", get_number, 0, 0),
        SD_BUS_PROPERTY("Accepted", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("Failed", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("TurnedAway", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesToTarget", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesFromTarget", "t", get_number, 0, 0),
        SD_BUS_VTABLE_END,
};

static void enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        Forwards *forwards = managed_network_forwards(n);

        for (unsigned i = 0; forwards && i < forwards_count(forwards); i++)
                g_ptr_array_add(paths, bus_forward_path(n, forward_id(forwards_at(forwards, i))));
}

const BusKind bus_kind_forward = {
        .part = "forward",
        .interface = OMERTA_IFACE_FORWARD,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
