/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/mesh.h"

#include <net/if.h>
#include <string.h>

#include "base/macros.h"
#include "dbus/client.h"
#include "dbus/names.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"

/* NetworkManager gives up after 60 s ("vpn.timeout"), without a reason; this is told before. */
#define READY_TIMEOUT_SEC 50U
/* As long as systemd may take to start omertad again (RestartSec=, and what follows). */
#define RETURN_TIMEOUT_SEC 10U
/* For omertad to stop what it does; it takes milliseconds. */
#define DOWN_TIMEOUT_MSEC 5000
/* Joining is answered within 10 s; for a start of omertad before. */
#define CALL_TIMEOUT_MSEC 30000

struct VpnMesh {
        GDBusConnection *bus;
        VpnSettings settings;
        VpnMeshHandler handler;

        GCancellable *calls; /* those under way */
        char *path;          /* of the network; NULL: not found yet */
        VpnNetwork network, reported;
        unsigned ifindex; /* of what was reported */
        bool is_held;     /* by us: the addresses */
        bool is_ready;    /* was reported */

        guint name_watch, changed_id, removed_id;
        guint ready_timer, return_timer;

        void (*down_done)(void *userdata);
        void *down_userdata;
};

/* --- the end --- */

static void end(VpnMesh *m, VpnMeshEnd how, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void end(VpnMesh *m, VpnMeshEnd how, const char *format, ...) {
        VpnMeshHandler handler = m->handler;
        g_autofree char *reason = NULL;
        va_list args;

        if (!handler.ended)
                return;
        va_start(args, format);
        reason = g_strdup_vprintf(format, args);
        va_end(args);
        m->handler.ended = NULL;
        handler.ended(handler.userdata, how, reason);
}

static bool is_named(const GError *error, const char *name) {
        g_autofree char *remote = g_dbus_error_get_remote_error(error);

        return g_strcmp0(remote, name) == 0;
}

static bool is_about_invite(const GError *error) {
        return is_named(error, OMERTA_ERROR_INVITE_INVALID) ||
               is_named(error, OMERTA_ERROR_INVITE_EXPIRED) ||
               is_named(error, OMERTA_ERROR_INVITE_USED);
}

static void end_by(VpnMesh *m, const GError *error) {
        g_autofree char *remote = g_dbus_error_get_remote_error(error);
        g_autoptr(GError) plain = g_error_copy(error);
        VpnMeshEnd how = VPN_MESH_END_FAILED;

        /* It went while it was asked: on_name_vanished() says what is to become of that. */
        if (m->is_ready && remote && client_error_text(remote)->kind == CLIENT_ERROR_UNREACHABLE)
                return;
        (void) g_dbus_error_strip_remote_error(plain);
        if (is_about_invite(error))
                how = VPN_MESH_END_INVITE;
        else if (is_named(error, OMERTA_ERROR_SUBNET_REFUSED))
                how = VPN_MESH_END_ADDRESS;
        if (!remote || client_error_is_ours(remote, plain->message))
                end(m, how, "%s", plain->message);
        else
                end(m, how, "%s (%s)", client_error_text(remote)->what, plain->message);
}

/* --- calls --- */

typedef void (*Answered)(VpnMesh *m, GVariant *reply, GError *error);

typedef struct Call {
        VpnMesh *mesh;
        Answered answered;
} Call;

/* One that was called off finds no mesh any more. */
static void on_reply(GObject *bus, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GError) error = NULL;
        g_autofree Call *call = userdata;
        g_autoptr(GVariant) reply =
                        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);

        if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
                call->answered(call->mesh, reply, error);
}

static void
make_call(VpnMesh *m,
          const char *path,
          const char *interface,
          const char *method,
          GVariant *arguments,
          Answered answered) {
        Call *call = NEW(Call);
        /* Who was stopped by the administrator is not started from here: only while connecting. */
        GDBusCallFlags flags = m->is_ready ? G_DBUS_CALL_FLAGS_NO_AUTO_START : G_DBUS_CALL_FLAGS_NONE;

        *call = (Call){ m, answered };
        g_dbus_connection_call(
                        m->bus, OMERTA_BUS_NAME, path, interface, method, arguments, NULL, flags,
                        CALL_TIMEOUT_MSEC, m->calls, on_reply, call);
}

static void call_off(VpnMesh *m) {
        g_cancellable_cancel(m->calls);
        g_object_unref(m->calls);
        m->calls = g_cancellable_new();
}

/* --- what the network is like --- */

static bool is_state(const VpnMesh *m, const char *state) {
        return strcmp(m->network.state, state) == 0;
}

/* Return: whether there is nothing to wait for any more. */
static bool end_by_state(VpnMesh *m) {
        const char *reason = *m->network.reason ? m->network.reason : m->network.state;

        if (is_state(m, "down"))
                end(m, VPN_MESH_END_FAILED, "the network was switched off");
        else if (is_state(m, "revoked"))
                end(m, VPN_MESH_END_FAILED, "this machine is no member any more: %s", reason);
        else if (is_state(m, "conflict"))
                end(m, VPN_MESH_END_ADDRESS, "%s", reason);
        else if (is_state(m, "failed"))
                end(m, VPN_MESH_END_FAILED, "%s", reason);
        else
                return false;
        return true;
}

static void look(VpnMesh *m) {
        const char *lacks = vpn_network_lacks(&m->network);
        unsigned ifindex;

        if (!m->is_held || end_by_state(m))
                return;
        if (lacks) {
                if (m->is_ready)
                        end(m, VPN_MESH_END_FAILED, "%s", lacks);
                return;
        }
        ifindex = if_nametoindex(m->network.interface);
        /* NetworkManager cannot change over to another device. */
        if (m->is_ready && ifindex != m->ifindex) {
                end(m, VPN_MESH_END_FAILED, "the interface was made anew");
                return;
        }
        if (m->is_ready && vpn_network_is_same(&m->network, &m->reported))
                return;
        g_clear_handle_id(&m->ready_timer, g_source_remove);
        m->is_ready = true;
        m->ifindex = ifindex;
        vpn_network_clear(&m->reported);
        vpn_network_copy(&m->network, &m->reported);
        m->handler.changed(m->handler.userdata, &m->network);
}

static void on_properties_changed(
                GDBusConnection *bus,
                const char *sender,
                const char *path,
                const char *interface,
                const char *signal,
                GVariant *arguments,
                gpointer userdata) {
        g_autoptr(GVariant) properties = NULL;
        VpnMesh *m = userdata;

        if (!g_variant_is_of_type(arguments, G_VARIANT_TYPE("(sa{sv}as)")))
                return;
        properties = g_variant_get_child_value(arguments, 1);
        vpn_network_update(&m->network, properties);
        look(m);
}

static void
on_removed(GDBusConnection *bus,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *arguments,
           gpointer userdata) {
        VpnMesh *m = userdata;
        const char *gone;

        if (!g_variant_is_of_type(arguments, G_VARIANT_TYPE("(oas)")))
                return;
        g_variant_get_child(arguments, 0, "&o", &gone);
        if (strcmp(gone, m->path) == 0)
                end(m, VPN_MESH_END_FAILED, "this machine has left the network");
}

static void listen_to_network(VpnMesh *m) {
        m->changed_id = g_dbus_connection_signal_subscribe(
                        m->bus, OMERTA_BUS_NAME, PROPERTIES, "PropertiesChanged", m->path,
                        OMERTA_IFACE_NETWORK, G_DBUS_SIGNAL_FLAGS_NONE, on_properties_changed, m,
                        NULL);
        m->removed_id = g_dbus_connection_signal_subscribe(
                        m->bus, OMERTA_BUS_NAME, "org.freedesktop.DBus.ObjectManager",
                        "InterfacesRemoved", OMERTA_PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE,
                        on_removed, m, NULL);
}

/* --- from the beginning to its address --- */

static void on_properties(VpnMesh *m, GVariant *reply, GError *error) {
        g_autoptr(GVariant) properties = NULL;

        if (error) {
                end_by(m, error);
                return;
        }
        if (!g_variant_is_of_type(reply, G_VARIANT_TYPE("(a{sv})")))
                return;
        properties = g_variant_get_child_value(reply, 0);
        vpn_network_update(&m->network, properties);
        look(m);
}

static void on_held(VpnMesh *m, GVariant *reply, GError *error) {
        if (error) {
                end_by(m, error);
                return;
        }
        m->is_held = true;
        make_call(m, m->path, PROPERTIES, "GetAll", g_variant_new("(s)", OMERTA_IFACE_NETWORK),
                  on_properties);
}

static void hold(VpnMesh *m) {
        make_call(m, m->path, OMERTA_IFACE_NETWORK, "HoldAddresses", g_variant_new("(b)", TRUE),
                  on_held);
}

static void on_up(VpnMesh *m, GVariant *reply, GError *error) {
        if (error)
                end_by(m, error);
        else
                hold(m);
}

static void take_network(VpnMesh *m, GVariant *reply) {
        if (!g_variant_is_of_type(reply, G_VARIANT_TYPE("(o)"))) {
                end(m, VPN_MESH_END_FAILED, "omertad is of another version");
                return;
        }
        g_variant_get(reply, "(o)", &m->path);
        listen_to_network(m);
        make_call(m, m->path, OMERTA_IFACE_NETWORK, "Up", NULL, on_up);
}

static void on_joined(VpnMesh *m, GVariant *reply, GError *error) {
        if (error)
                end_by(m, error);
        else
                take_network(m, reply);
}

static void join(VpnMesh *m) {
        const char *host_name = m->settings.value[VPN_FIELD_HOST_NAME];
        GVariantBuilder options;

        g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&options, "{sv}", "member-ok", g_variant_new_boolean(TRUE));
        if (host_name)
                g_variant_builder_add(&options, "{sv}", "host-name", g_variant_new_string(host_name));
        make_call(m, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Join",
                  g_variant_new("(sa{sv})", m->settings.value[VPN_FIELD_INVITE], &options),
                  on_joined);
}

static void on_found(VpnMesh *m, GVariant *reply, GError *error) {
        if (!error)
                take_network(m, reply);
        else if (!is_named(error, OMERTA_ERROR_NO_SUCH_NETWORK) &&
                 !is_named(error, OMERTA_ERROR_NOT_JOINED))
                end_by(m, error);
        else if (m->settings.value[VPN_FIELD_INVITE])
                join(m);
        else
                end(m, VPN_MESH_END_INVITE,
                    "this machine is not in the network %s, and there is no invite",
                    m->settings.value[VPN_FIELD_NETWORK]);
}

static gboolean on_ready_timeout(gpointer userdata) {
        VpnMesh *m = userdata;

        m->ready_timer = 0;
        if (!m->path)
                end(m, VPN_MESH_END_FAILED, "omertad does not answer");
        else if (is_state(m, "waiting"))
                end(m, VPN_MESH_END_FAILED, "nobody has let this machine into the network yet");
        else
                end(m, VPN_MESH_END_FAILED, "%s%s%s",
                    vpn_network_lacks(&m->network) ?: "it is not ready",
                    *m->network.reason ? ": " : "", m->network.reason);
        return G_SOURCE_REMOVE;
}

/* --- omertad goes and comes --- */

static gboolean on_return_timeout(gpointer userdata) {
        VpnMesh *m = userdata;

        m->return_timer = 0;
        end(m, VPN_MESH_END_FAILED, "omertad has ended");
        return G_SOURCE_REMOVE;
}

/* Also at first, where it has to be started, and while it is asked for a network: a call fails then. */
static void on_name_vanished(GDBusConnection *bus, const char *name, gpointer userdata) {
        VpnMesh *m = userdata;

        if (!(m->is_held || m->is_ready) || m->return_timer || m->down_done)
                return;
        call_off(m);
        m->is_held = false;
        m->return_timer = g_timeout_add_seconds(RETURN_TIMEOUT_SEC, on_return_timeout, m);
}

static void
on_name_appeared(GDBusConnection *bus, const char *name, const char *owner, gpointer userdata) {
        VpnMesh *m = userdata;

        if (!m->return_timer)
                return;
        g_clear_handle_id(&m->return_timer, g_source_remove);
        hold(m);
}

/* --- life --- */

VpnMesh *
vpn_mesh_new(GDBusConnection *bus, const VpnSettings *settings, const VpnMeshHandler *handler) {
        VpnMesh *m = NEW(VpnMesh);

        m->bus = g_object_ref(bus);
        m->handler = *handler;
        m->calls = g_cancellable_new();
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                m->settings.value[f] = g_strdup(settings->value[f]);
        vpn_network_init(&m->network);
        vpn_network_init(&m->reported);
        m->ready_timer = g_timeout_add_seconds(READY_TIMEOUT_SEC, on_ready_timeout, m);
        m->name_watch = g_bus_watch_name_on_connection(
                        bus, OMERTA_BUS_NAME, G_BUS_NAME_WATCHER_FLAGS_NONE, on_name_appeared,
                        on_name_vanished, m, NULL);
        if (m->settings.value[VPN_FIELD_NETWORK])
                make_call(m, OMERTA_PATH, OMERTA_IFACE_MANAGER, "GetNetwork",
                          g_variant_new("(s)", m->settings.value[VPN_FIELD_NETWORK]), on_found);
        else
                join(m);
        return m;
}

VpnMesh *vpn_mesh_free(VpnMesh *m) {
        if (!m)
                return NULL;
        g_clear_handle_id(&m->ready_timer, g_source_remove);
        g_clear_handle_id(&m->return_timer, g_source_remove);
        g_bus_unwatch_name(m->name_watch);
        if (m->changed_id)
                g_dbus_connection_signal_unsubscribe(m->bus, m->changed_id);
        if (m->removed_id)
                g_dbus_connection_signal_unsubscribe(m->bus, m->removed_id);
        g_cancellable_cancel(m->calls);
        g_object_unref(m->calls);
        g_object_unref(m->bus);
        vpn_settings_clear(&m->settings);
        vpn_network_clear(&m->network);
        vpn_network_clear(&m->reported);
        g_free(m->path);
        g_free(m);
        return NULL;
}

static void on_down(VpnMesh *m, GVariant *reply, GError *error) {
        if (error)
                g_message("%s: cannot be switched off: %s", m->network.name, error->message);
        m->down_done(m->down_userdata);
}

void vpn_mesh_down(VpnMesh *m, void (*done)(void *userdata), void *userdata) {
        Call *call;

        m->handler.ended = NULL;
        g_clear_handle_id(&m->ready_timer, g_source_remove);
        g_clear_handle_id(&m->return_timer, g_source_remove);
        call_off(m);
        if (!m->is_held) {
                done(userdata);
                return;
        }
        m->down_done = done;
        m->down_userdata = userdata;
        m->is_held = false; /* nothing is looked at any more */
        call = NEW(Call);
        *call = (Call){ m, on_down };
        g_dbus_connection_call(
                        m->bus, OMERTA_BUS_NAME, m->path, OMERTA_IFACE_NETWORK, "Down", NULL, NULL,
                        G_DBUS_CALL_FLAGS_NO_AUTO_START, DOWN_TIMEOUT_MSEC, m->calls, on_reply, call);
}
