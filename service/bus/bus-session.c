/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Session */

#include <string.h>

#include "bus/bus-internal.h"
#include "bus/object.h"
#include "network/admin.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        g_autofree char *channel = NULL, *encoded = NULL;
        Network *core = bus_network_members(n);
        char id_text[MACHINE_ID_TEXT_LEN + 1];
        SessionPool *pool;
        MachineId id;
        Session *s;

        pool = core ? network_sessions(core) : NULL;
        if (!pool || strlen(name) < MACHINE_ID_TEXT_LEN + 2 || name[MACHINE_ID_TEXT_LEN] != '_')
                return false;
        memcpy(id_text, name, MACHINE_ID_TEXT_LEN);
        id_text[MACHINE_ID_TEXT_LEN] = '\0';
        encoded = g_strconcat("/", name + MACHINE_ID_TEXT_LEN + 1, NULL);
        if (machine_id_parse(id_text, &id) < 0 || strchr(encoded + 1, '/') ||
            sd_bus_path_decode(encoded, "/", &channel) <= 0)
                return false;
        s = session_pool_get_existing(pool, &id, channel);
        if (!s)
                return false;
        b->session = (SessionRef){ b, n, s };
        *ret = &b->session;
        return true;
}

static int method_close(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        SessionRef *ref = userdata;
        int r;

        r = bus_authorize(ref->bus, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        managed_network_close_session(ref->network, ref->session);
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
        SessionRef *ref = userdata;
        Session *s = ref->session;
        MeshLinkInfo info;

        if (strcmp(property, "Machine") == 0)
                return sd_bus_message_append(reply, "s", machine_id_format(session_machine(s)).text);
        if (strcmp(property, "Channel") == 0)
                return sd_bus_message_append(reply, "s", session_channel(s));
        if (strcmp(property, "State") == 0)
                return sd_bus_message_append(reply, "s", session_state_to_string(session_state(s)));
        if (!mesh_link_info(network_mesh(managed_network_core(ref->network)), session_machine(s),
                            &info) ||
            info.state != LINK_UP)
                return sd_bus_message_append(reply, "s", "");
        return sd_bus_message_append(
                        reply, "s",
                        info.is_relayed  ? "relay"
                        : info.is_stream ? "tcp"
                                         : "direct");
}

static int
get_number(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *reply,
           void *userdata,
           sd_bus_error *error) {
        SessionRef *ref = userdata;
        SessionStats st = session_stats(ref->session);
        uint64_t v;

        if (strcmp(property, "Rtt") == 0)
                v = session_rtt(ref->session);
        else if (strcmp(property, "Established") == 0)
                v = bus_realtime(ref->bus, st.established);
        else if (strcmp(property, "LastActivity") == 0)
                v = bus_realtime(ref->bus, st.last_activity);
        else if (strcmp(property, "PacketsSent") == 0)
                v = st.packets_sent;
        else if (strcmp(property, "PacketsReceived") == 0)
                v = st.packets_received;
        else if (strcmp(property, "BytesSent") == 0)
                v = st.bytes_sent;
        else
                v = st.bytes_received;
        return sd_bus_message_append(reply, "t", v);
}

static int get_machine_path(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        SessionRef *ref = userdata;
        g_autofree char *p = bus_machine_path(ref->network, session_machine(ref->session));

        return sd_bus_message_append(reply, "o", p);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "Close",
                        SD_BUS_NO_ARGS,
                        SD_BUS_NO_RESULT,
                        method_close,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Machine", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MachinePath", "o", get_machine_path, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Channel", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Path", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("Rtt", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("Established", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("LastActivity", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("PacketsSent", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("PacketsReceived", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesSent", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesReceived", "t", get_number, 0, 0),
        SD_BUS_VTABLE_END,
};

typedef struct Enumeration {
        ManagedNetwork *network;
        GPtrArray *paths;
        unsigned left;
} Enumeration;

static void add_session(void *userdata, Session *s) {
        Enumeration *e = userdata;
        char *path = e->left > 0 ? bus_session_path(e->network, s) : NULL;

        if (!path)
                return;
        e->left--;
        g_ptr_array_add(e->paths, path);
}

static void enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        Enumeration e = { .network = n, .paths = paths, .left = max };
        Network *core = bus_network_members(n);

        if (core && network_sessions(core))
                session_pool_foreach(network_sessions(core), add_session, &e);
}

const BusKind bus_kind_session = {
        .part = "session",
        .interface = OMERTA_IFACE_SESSION,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
