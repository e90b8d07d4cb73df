/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What NetworkManager's clients (nmcli, settings) load to know the VPN type: its names, and files
 * (nm-plugin/file.h). Without a toolkit; the editor is a module of its own (nm-plugin/editor.h).
 */

#include <NetworkManager.h>
#include <dlfcn.h>
#include <string.h>

#include "base/macros.h"
#include "config.h"
#include "nm-plugin/editor.h"
#include "nm-plugin/file.h"
#include "nm-plugin/i18n.h"
#include "nm-plugin/settings.h"

typedef struct OmertaEditorPlugin {
        GObject parent;
} OmertaEditorPlugin;

typedef struct OmertaEditorPluginClass {
        GObjectClass parent;
} OmertaEditorPluginClass;

enum {
        PROPERTY_NAME = 1,
        PROPERTY_DESCRIPTION,
        PROPERTY_SERVICE,
};

static GType omerta_editor_plugin_get_type(void);
static void interface_init(NMVpnEditorPluginInterface *interface);
G_DEFINE_TYPE_WITH_CODE(
                OmertaEditorPlugin,
                omerta_editor_plugin,
                G_TYPE_OBJECT,
                G_IMPLEMENT_INTERFACE(NM_TYPE_VPN_EDITOR_PLUGIN, interface_init))

static void fail(GError **error, const char *path, const char *why) {
        g_set_error(error, NM_CONNECTION_ERROR, NM_CONNECTION_ERROR_INVALID_SETTING, "%s: %s", path,
                    why);
}

/* --- files --- */

/* "/tmp/home.omerta": "home". */
static char *name_of(const char *path) {
        g_autofree char *name = g_path_get_basename(path);

        if (g_str_has_suffix(name, VPN_FILE_SUFFIX) && strlen(name) > strlen(VPN_FILE_SUFFIX))
                name[strlen(name) - strlen(VPN_FILE_SUFFIX)] = '\0';
        return g_utf8_make_valid(name, -1);
}

static NMConnection *profile_of(const VpnSettings *s, const char *path) {
        NMConnection *c = nm_simple_connection_new();
        NMSetting *vpn = nm_setting_vpn_new(), *connection = nm_setting_connection_new();
        g_autofree char *name = name_of(path);

        g_object_set(connection, NM_SETTING_CONNECTION_ID, name, NM_SETTING_CONNECTION_TYPE,
                     NM_SETTING_VPN_SETTING_NAME, NULL);
        g_object_set(vpn, NM_SETTING_VPN_SERVICE_TYPE, VPN_SERVICE, NULL);
        vpn_settings_write(s, NM_SETTING_VPN(vpn));
        nm_connection_add_setting(c, connection);
        nm_connection_add_setting(c, vpn);
        return c;
}

static NMConnection *import(NMVpnEditorPlugin *plugin, const char *path, GError **error) {
        g_autofree char *wrong = NULL;
        NMConnection *profile;
        VpnSettings s = {};

        if (vpn_file_read(path, &s, &wrong) < 0) {
                fail(error, path, wrong);
                return NULL;
        }
        profile = profile_of(&s, path);
        vpn_settings_clear(&s);
        return profile;
}

static gboolean export(NMVpnEditorPlugin *plugin, const char *path, NMConnection *profile, GError **error) {
        g_autofree char *wrong = NULL, *text = NULL;
        VpnSettings s;

        if (!vpn_settings_read(profile, &s, error))
                return FALSE;
        text = vpn_file_format(&s, &wrong);
        vpn_settings_clear(&s);
        if (text)
                return g_file_set_contents(path, text, -1, error);
        fail(error, path, wrong);
        return FALSE;
}

static char *suggest_file_name(NMVpnEditorPlugin *plugin, NMConnection *profile) {
        return g_strconcat(nm_connection_get_id(profile) ?: "omerta", VPN_FILE_SUFFIX, NULL);
}

/* --- what it is --- */

static NMVpnEditorPluginCapability capabilities(NMVpnEditorPlugin *plugin) {
        return NM_VPN_EDITOR_PLUGIN_CAPABILITY_IMPORT | NM_VPN_EDITOR_PLUGIN_CAPABILITY_EXPORT |
               NM_VPN_EDITOR_PLUGIN_CAPABILITY_IPV6;
}

/* Beside this module, and for the toolkit this program has. Never unloaded: it has types of GObject's. */
static void *open_editor(void) {
        const char *name = dlsym(RTLD_DEFAULT, "gtk_container_add") ? VPN_EDITOR_GTK3
                                                                    : VPN_EDITOR_GTK4;
        g_autofree char *directory = NULL, *path = NULL;
        Dl_info self;

        if (!dladdr(&open_editor, &self) || !self.dli_fname)
                return NULL;
        directory = g_path_get_dirname(self.dli_fname);
        path = g_build_filename(directory, name, NULL);
        return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static NMVpnEditor *get_editor(NMVpnEditorPlugin *plugin, NMConnection *profile, GError **error) {
        typeof(nm_omerta_editor_new) *editor_new;
        void *module = open_editor();

        editor_new = module ? dlsym(module, VPN_EDITOR_FACTORY) : NULL;
        if (module)
                dlclose(module);
        if (editor_new)
                return editor_new(profile);
        g_set_error_literal(
                        error, NM_CONNECTION_ERROR, NM_CONNECTION_ERROR_FAILED,
                        _("The editor of this type is not installed: nmcli edits its profiles"));
        return NULL;
}

static void interface_init(NMVpnEditorPluginInterface *interface) {
        interface->get_editor = get_editor;
        interface->get_capabilities = capabilities;
        interface->import_from_file = import;
        interface->export_to_file = export;
        interface->get_suggested_filename = suggest_file_name;
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec) {
        switch (id) {
        case PROPERTY_NAME:
                g_value_set_string(value, "omerta");
                break;
        case PROPERTY_DESCRIPTION:
                g_value_set_string(value, _("Private mesh network of your own machines"));
                break;
        case PROPERTY_SERVICE:
                g_value_set_string(value, VPN_SERVICE);
                break;
        default:
                G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
        }
}

static void omerta_editor_plugin_class_init(OmertaEditorPluginClass *class) {
        GObjectClass *object = G_OBJECT_CLASS(class);

        object->get_property = get_property;
        g_object_class_override_property(object, PROPERTY_NAME, NM_VPN_EDITOR_PLUGIN_NAME);
        g_object_class_override_property(
                        object, PROPERTY_DESCRIPTION, NM_VPN_EDITOR_PLUGIN_DESCRIPTION);
        g_object_class_override_property(object, PROPERTY_SERVICE, NM_VPN_EDITOR_PLUGIN_SERVICE);
}

static void omerta_editor_plugin_init(OmertaEditorPlugin *plugin) {
}

/* The one symbol there is; see the version script. */
__attribute__((visibility("default"))) NMVpnEditorPlugin *nm_vpn_editor_plugin_factory(GError **error) {
        bindtextdomain(GETTEXT_PACKAGE, OMERTA_LOCALEDIR);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        return g_object_new(omerta_editor_plugin_get_type(), NULL);
}
