/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/service.h"

#include "base/macros.h"
#include "nm-plugin/mesh.h"
#include "nm-plugin/settings.h"

struct OmertaVpn {
        NMVpnServicePlugin parent;
        VpnMesh *mesh; /* NULL: not connected */
        char *profile; /* its name */
        bool is_going_down, has_quit, has_failed;
        NMVpnPluginFailure failure;
        void (*done)(void *userdata);
        void *done_userdata;
};

typedef struct OmertaVpnClass {
        NMVpnServicePluginClass parent;
} OmertaVpnClass;

static GType omerta_vpn_get_type(void);
G_DEFINE_TYPE(OmertaVpn, omerta_vpn, NM_TYPE_VPN_SERVICE_PLUGIN)

static OmertaVpn *vpn_of(NMVpnServicePlugin *plugin) {
        return G_TYPE_CHECK_INSTANCE_CAST(plugin, omerta_vpn_get_type(), OmertaVpn);
}

/* --- what the network says --- */

static void on_changed(void *userdata, const VpnNetwork *n) {
        NMVpnServicePlugin *plugin = userdata;
        IpAddr gateway = vpn_own_address();
        GVariant *ip4 = vpn_report_ip4(n), *ip6 = vpn_report_ip6(n);

        g_message("%s: %s has the address %s in %s", vpn_of(plugin)->profile, n->interface,
                  n->address, n->name);
        nm_vpn_service_plugin_set_config(plugin, vpn_report_config(n, &gateway));
        if (ip4)
                nm_vpn_service_plugin_set_ip4_config(plugin, ip4);
        if (ip6)
                nm_vpn_service_plugin_set_ip6_config(plugin, ip6);
}

static NMVpnPluginFailure failure_of(VpnMeshEnd end) {
        switch (end) {
        case VPN_MESH_END_FAILED:
                return NM_VPN_PLUGIN_FAILURE_CONNECT_FAILED;
        case VPN_MESH_END_INVITE:
                return NM_VPN_PLUGIN_FAILURE_LOGIN_FAILED;
        case VPN_MESH_END_ADDRESS:
                return NM_VPN_PLUGIN_FAILURE_BAD_IP_CONFIG;
        }
        g_assert_not_reached();
}

/* NetworkManager hears of three kinds of failure and of no words: those are for the journal. */
static void on_ended(void *userdata, VpnMeshEnd end, const char *reason) {
        NMVpnServicePlugin *plugin = userdata;
        OmertaVpn *vpn = vpn_of(plugin);

        g_warning("%s: the connection ends: %s", vpn->profile, reason);
        /* It is not ours to switch off: it ended by itself, or never was. */
        vpn->mesh = vpn_mesh_free(vpn->mesh);
        vpn->has_failed = true;
        vpn->failure = failure_of(end);
        (void) nm_vpn_service_plugin_disconnect(plugin, NULL);
}

/* --- what NetworkManager says --- */

static gboolean omerta_vpn_connect(NMVpnServicePlugin *plugin, NMConnection *profile, GError **error) {
        const VpnMeshHandler handler = { .changed = on_changed, .ended = on_ended, .userdata = plugin };
        g_autoptr(GDBusConnection) bus = nm_vpn_service_plugin_get_connection(plugin);
        OmertaVpn *vpn = vpn_of(plugin);
        g_autofree char *wrong = NULL;
        VpnSettings settings;

        if (vpn->mesh || vpn->is_going_down) {
                g_set_error_literal(
                                error, NM_VPN_PLUGIN_ERROR, NM_VPN_PLUGIN_ERROR_ALREADY_STARTED,
                                "this process has a connection already");
                return FALSE;
        }
        if (!vpn_settings_read(profile, &settings, error))
                return FALSE;
        if (vpn_settings_check(&settings, &wrong) < 0)
                g_set_error_literal(
                                error, NM_VPN_PLUGIN_ERROR, NM_VPN_PLUGIN_ERROR_BAD_ARGUMENTS, wrong);
        else {
                g_free(vpn->profile);
                vpn->profile = vpn_text_show(nm_connection_get_id(profile) ?: "");
                vpn->mesh = vpn_mesh_new(bus, &settings, &handler);
        }
        vpn_settings_clear(&settings);
        return vpn->mesh != NULL;
}

/* A network by name may be one this machine is in, which needs no invite. */
static gboolean omerta_vpn_need_secrets(
                NMVpnServicePlugin *plugin,
                NMConnection *profile,
                const char **setting,
                GError **error) {
        VpnSettings settings;
        bool needs;

        if (!vpn_settings_read(profile, &settings, error))
                return FALSE;
        needs = !settings.value[VPN_FIELD_NETWORK] && !settings.value[VPN_FIELD_INVITE];
        vpn_settings_clear(&settings);
        if (needs)
                *setting = NM_SETTING_VPN_SETTING_NAME;
        return needs;
}

static void finish(OmertaVpn *vpn) {
        if (vpn->has_quit && !vpn->is_going_down && vpn->done)
                vpn->done(vpn->done_userdata);
}

static void on_down(void *userdata) {
        OmertaVpn *vpn = userdata;

        vpn->is_going_down = false;
        finish(vpn);
}

static gboolean omerta_vpn_disconnect(NMVpnServicePlugin *plugin, GError **error) {
        OmertaVpn *vpn = vpn_of(plugin);

        /* From here, because libnm says of one that was starting that it could not connect, and
         * NetworkManager takes what was said last before it has stopped. */
        if (vpn->has_failed)
                nm_vpn_service_plugin_failure(plugin, vpn->failure);
        if (vpn->mesh && !vpn->is_going_down) {
                vpn->is_going_down = true;
                vpn_mesh_down(vpn->mesh, on_down, vpn);
        }
        return TRUE;
}

static void omerta_vpn_quit(NMVpnServicePlugin *plugin) {
        OmertaVpn *vpn = vpn_of(plugin);

        vpn->has_quit = true;
        finish(vpn);
}

/* --- life --- */

static void omerta_vpn_finalize(GObject *object) {
        OmertaVpn *vpn = G_TYPE_CHECK_INSTANCE_CAST(object, omerta_vpn_get_type(), OmertaVpn);

        vpn->mesh = vpn_mesh_free(vpn->mesh);
        g_clear_pointer(&vpn->profile, g_free);
        G_OBJECT_CLASS(omerta_vpn_parent_class)->finalize(object);
}

static void omerta_vpn_class_init(OmertaVpnClass *class) {
        NMVpnServicePluginClass *plugin = NM_VPN_SERVICE_PLUGIN_CLASS(class);

        G_OBJECT_CLASS(class)->finalize = omerta_vpn_finalize;
        plugin->connect = omerta_vpn_connect;
        plugin->need_secrets = omerta_vpn_need_secrets;
        plugin->disconnect = omerta_vpn_disconnect;
        plugin->quit = omerta_vpn_quit;
}

static void omerta_vpn_init(OmertaVpn *vpn) {
}

OmertaVpn *omerta_vpn_new(const char *bus_name, GError **error) {
        return g_initable_new(
                        omerta_vpn_get_type(), NULL, error, NM_VPN_SERVICE_PLUGIN_DBUS_SERVICE_NAME,
                        bus_name, NM_VPN_SERVICE_PLUGIN_DBUS_WATCH_PEER, TRUE, NULL);
}

void omerta_vpn_set_done(OmertaVpn *vpn, void (*done)(void *userdata), void *userdata) {
        vpn->done = done;
        vpn->done_userdata = userdata;
}

void omerta_vpn_stop(OmertaVpn *vpn) {
        NMVpnServicePlugin *plugin = &vpn->parent;

        (void) nm_vpn_service_plugin_disconnect(plugin, NULL);
        omerta_vpn_quit(plugin);
}
