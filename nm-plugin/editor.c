/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/editor.h"

#include <gtk/gtk.h>

#include "base/macros.h"
#include "dbus/names.h"
#include "nm-plugin/i18n.h"
#include "nm-plugin/settings.h"

#define SPACING 12 /* pixels */

typedef struct OmertaEditor {
        GObject parent;
        GtkWidget *grid;
        GtkWidget *entry[_VPN_FIELD_MAX];
        GtkWidget *ask; /* "active": the invite is not stored */
} OmertaEditor;

typedef struct OmertaEditorClass {
        GObjectClass parent;
} OmertaEditorClass;

static GType omerta_editor_get_type(void);
static void interface_init(NMVpnEditorInterface *interface);
G_DEFINE_TYPE_WITH_CODE(
                OmertaEditor,
                omerta_editor,
                G_TYPE_OBJECT,
                G_IMPLEMENT_INTERFACE(NM_TYPE_VPN_EDITOR, interface_init))

static OmertaEditor *editor_of(void *object) {
        return G_TYPE_CHECK_INSTANCE_CAST(object, omerta_editor_get_type(), OmertaEditor);
}

/* --- networks of this machine --- */

static void on_name(GObject *bus, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GVariant) reply =
                        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);
        g_autoptr(GtkListStore) networks = userdata;
        g_autoptr(GVariant) value = NULL;
        GtkTreeIter row;

        if (!reply)
                return;
        g_variant_get(reply, "(v)", &value);
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
                gtk_list_store_insert_with_values(
                                networks, &row, -1, 0, g_variant_get_string(value, NULL), -1);
}

static void
get_property(GDBusConnection *bus,
             const char *path,
             const char *interface,
             const char *property,
             GAsyncReadyCallback answered,
             gpointer userdata) {
        /* Who only looks starts no daemon. */
        g_dbus_connection_call(
                        bus, OMERTA_BUS_NAME, path, "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", interface, property), G_VARIANT_TYPE("(v)"),
                        G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, answered, userdata);
}

static void on_networks(GObject *bus, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GVariant) reply =
                        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);
        g_autoptr(GtkListStore) networks = userdata;
        g_autoptr(GVariant) value = NULL;
        const char *path;
        GVariantIter i;

        if (!reply)
                return;
        g_variant_get(reply, "(v)", &value);
        if (!g_variant_is_of_type(value, G_VARIANT_TYPE_OBJECT_PATH_ARRAY))
                return;
        g_variant_iter_init(&i, value);
        while (g_variant_iter_next(&i, "&o", &path))
                get_property(G_DBUS_CONNECTION(bus), path, OMERTA_IFACE_NETWORK, "Name", on_name,
                             g_object_ref(networks));
}

static void on_bus(GObject *object, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GDBusConnection) bus = g_bus_get_finish(result, NULL);
        g_autoptr(GtkListStore) networks = userdata;

        if (bus)
                get_property(bus, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Networks", on_networks,
                             g_object_ref(networks));
}

/* A text of one's own is as good: the network may be none of this machine's yet. */
/* What is found later goes into the list, which outlives the editor. */
static void complete_network(OmertaEditor *e) {
        g_autoptr(GtkEntryCompletion) completion = gtk_entry_completion_new();
        g_autoptr(GtkListStore) networks = gtk_list_store_new(1, G_TYPE_STRING);

        gtk_entry_completion_set_model(completion, GTK_TREE_MODEL(networks));
        gtk_entry_completion_set_text_column(completion, 0);
        gtk_entry_completion_set_minimum_key_length(completion, 0);
        gtk_entry_set_completion(GTK_ENTRY(e->entry[VPN_FIELD_NETWORK]), completion);
        g_bus_get(G_BUS_TYPE_SYSTEM, NULL, on_bus, g_steal_pointer(&networks));
}

/* --- widgets --- */

static void on_changed(GtkWidget *widget, gpointer editor) {
        g_signal_emit_by_name(editor, "changed");
}

static void on_ask(GObject *ask, GParamSpec *spec, gpointer editor) {
        OmertaEditor *e = editor_of(editor);
        gboolean active;

        g_object_get(ask, "active", &active, NULL);
        gtk_widget_set_sensitive(e->entry[VPN_FIELD_INVITE], !active);
        g_signal_emit_by_name(e, "changed");
}

static void add_row(OmertaEditor *e, VpnField field) {
        const VpnFieldInfo *info = vpn_field_info(field);
        GtkWidget *label = gtk_label_new(_(info->label)), *entry = gtk_entry_new();

        gtk_label_set_xalign(GTK_LABEL(label), 1);
        gtk_label_set_mnemonic_widget(GTK_LABEL(label), entry);
        gtk_entry_set_visibility(GTK_ENTRY(entry), !info->is_secret);
        if (info->is_secret)
                gtk_entry_set_input_purpose(GTK_ENTRY(entry), GTK_INPUT_PURPOSE_PASSWORD);
        gtk_widget_set_tooltip_text(entry, _(info->hint));
        gtk_widget_set_hexpand(entry, TRUE);
        gtk_grid_attach(GTK_GRID(e->grid), label, 0, (int) field, 1, 1);
        gtk_grid_attach(GTK_GRID(e->grid), entry, 1, (int) field, 1, 1);
        gtk_widget_set_visible(label, TRUE);
        gtk_widget_set_visible(entry, TRUE);
        e->entry[field] = entry;
}

static void add_widgets(OmertaEditor *e) {
        e->grid = g_object_ref_sink(gtk_grid_new());
        gtk_grid_set_row_spacing(GTK_GRID(e->grid), SPACING / 2);
        gtk_grid_set_column_spacing(GTK_GRID(e->grid), SPACING);
        g_object_set(e->grid, "margin-start", SPACING, "margin-end", SPACING, "margin-top", SPACING,
                     "margin-bottom", SPACING, "visible", TRUE, NULL);
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                add_row(e, f);
        e->ask = gtk_check_button_new_with_label(_("Ask for the invite link each time"));
        gtk_grid_attach(GTK_GRID(e->grid), e->ask, 1, _VPN_FIELD_MAX, 1, 1);
        gtk_widget_set_visible(e->ask, TRUE);
}

static void fill(OmertaEditor *e, NMConnection *profile) {
        VpnSettings s = {};

        /* What cannot be read is shown as nothing, and refused when it is saved. */
        if (profile && vpn_settings_read(profile, &s, NULL)) {
                NMSettingSecretFlags flags = vpn_settings_flags(profile, VPN_FIELD_INVITE);
                int at = 0;

                for (VpnField f = 0; f < _VPN_FIELD_MAX; f++, at = 0)
                        gtk_editable_insert_text(GTK_EDITABLE(e->entry[f]), s.value[f] ?: "", -1, &at);
                g_object_set(e->ask, "active", !!(flags & NM_SETTING_SECRET_FLAG_NOT_SAVED), NULL);
        }
        vpn_settings_clear(&s);
}

/* --- the profile --- */

static bool read_entries(OmertaEditor *e, VpnSettings *ret, GError **error) {
        g_autofree char *wrong = NULL;

        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++) {
                g_autofree char *text = gtk_editable_get_chars(GTK_EDITABLE(e->entry[f]), 0, -1);

                if (gtk_widget_get_sensitive(e->entry[f]) &&
                    vpn_settings_set(ret, f, g_strstrip(text), &wrong) < 0) {
                        g_set_error_literal(
                                        error, NM_CONNECTION_ERROR,
                                        NM_CONNECTION_ERROR_INVALID_PROPERTY, wrong);
                        return false;
                }
        }
        return true;
}

static gboolean update_connection(NMVpnEditor *editor, NMConnection *profile, GError **error) {
        OmertaEditor *e = editor_of(editor);
        NMSettingVpn *vpn = NM_SETTING_VPN(nm_setting_vpn_new());
        NMSettingSecretFlags flags;
        g_autofree char *wrong = NULL;
        VpnSettings s = {};
        gboolean ask, good;

        g_object_get(e->ask, "active", &ask, NULL);
        flags = vpn_settings_flags(profile, VPN_FIELD_INVITE) & ~NM_SETTING_SECRET_FLAG_NOT_SAVED;
        if (ask)
                flags = NM_SETTING_SECRET_FLAG_NOT_SAVED;
        good = read_entries(e, &s, error);
        if (good && !ask && vpn_settings_check(&s, &wrong) < 0) {
                g_set_error_literal(
                                error, NM_CONNECTION_ERROR, NM_CONNECTION_ERROR_MISSING_PROPERTY,
                                wrong);
                good = FALSE;
        }
        if (good) {
                g_object_set(vpn, NM_SETTING_VPN_SERVICE_TYPE, VPN_SERVICE, NULL);
                vpn_settings_write(&s, vpn);
                if (flags != NM_SETTING_SECRET_FLAG_NONE)
                        (void) nm_setting_set_secret_flags(
                                        NM_SETTING(vpn), vpn_field_info(VPN_FIELD_INVITE)->key,
                                        flags, NULL);
                nm_connection_add_setting(profile, NM_SETTING(g_steal_pointer(&vpn)));
        }
        g_clear_object(&vpn);
        vpn_settings_clear(&s);
        return good;
}

static GObject *get_widget(NMVpnEditor *editor) {
        return G_OBJECT(editor_of(editor)->grid);
}

static void interface_init(NMVpnEditorInterface *interface) {
        interface->get_widget = get_widget;
        interface->update_connection = update_connection;
}

/* --- life --- */

static void omerta_editor_dispose(GObject *object) {
        OmertaEditor *e = editor_of(object);

        /* Its host may keep the widgets. */
        if (e->grid) {
                for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                        g_signal_handlers_disconnect_by_data(e->entry[f], e);
                g_signal_handlers_disconnect_by_data(e->ask, e);
        }
        g_clear_object(&e->grid);
        G_OBJECT_CLASS(omerta_editor_parent_class)->dispose(object);
}

static void omerta_editor_class_init(OmertaEditorClass *class) {
        G_OBJECT_CLASS(class)->dispose = omerta_editor_dispose;
}

static void omerta_editor_init(OmertaEditor *e) {
}

__attribute__((visibility("default"))) NMVpnEditor *nm_omerta_editor_new(NMConnection *profile) {
        OmertaEditor *e = g_object_new(omerta_editor_get_type(), NULL);

        add_widgets(e);
        fill(e, profile);
        complete_network(e);
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                g_signal_connect(e->entry[f], "changed", G_CALLBACK(on_changed), e);
        g_signal_connect(e->ask, "notify::active", G_CALLBACK(on_ask), e);
        on_ask(G_OBJECT(e->ask), NULL, e);
        return NM_VPN_EDITOR(e);
}
