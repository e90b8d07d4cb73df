/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Session */

#include <string.h>

#include "bus/bus-internal.h"

bool bus_session_lookup(Bus *b, const char *path) {
        g_autofree char *channel = NULL, *encoded = NULL;
        const char *rest;
        ManagedNetwork *n = bus_network_of_path(b, path, &rest);
        char id_text[MACHINE_ID_TEXT_LEN + 1];
        SessionPool *pool;
        MachineId id;
        Session *s;

        if (!n || !managed_network_core(n) || !g_str_has_prefix(rest, "/session/"))
                return false;
        rest += strlen("/session/");
        pool = network_sessions(managed_network_core(n));
        if (!pool || strlen(rest) < MACHINE_ID_TEXT_LEN + 2 || rest[MACHINE_ID_TEXT_LEN] != '_')
                return false;
        memcpy(id_text, rest, MACHINE_ID_TEXT_LEN);
        id_text[MACHINE_ID_TEXT_LEN] = '\0';
        encoded = g_strconcat("/", rest + MACHINE_ID_TEXT_LEN + 1, NULL);
        if (machine_id_parse(id_text, &id) < 0 || strchr(encoded + 1, '/') ||
            sd_bus_path_decode(encoded, "/", &channel) <= 0)
                return false;
        s = session_pool_get_existing(pool, &id, channel);
        if (!s)
                return false;
        b->session = (SessionRef){ b, n, s };
        return true;
}

static int find(sd_bus *bus,
                const char *path,
                const char *interface,
                void *userdata,
                void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;

        if (!bus_session_lookup(b, path))
                return 0;
        *ret_found = &b->session;
        return 1;
}

static int method_close(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        SessionRef *ref = userdata;
        int r;

        r = bus_authorize(ref->bus, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        session_pool_close(network_sessions(managed_network_core(ref->network)), ref->session);
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
        return sd_bus_message_append(reply, "s", info.is_relayed ? "relay" : "direct");
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

const sd_bus_vtable bus_session_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "Close",
                        SD_BUS_NO_ARGS,
                        SD_BUS_NO_RESULT,
                        method_close,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Machine", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
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

int bus_add_session(Bus *b) {
        return sd_bus_add_fallback_vtable(
                        b->bus, NULL, OMERTA_NETWORK_PATH, OMERTA_IFACE_SESSION, bus_session_vtable,
                        find, b);
}
