/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The editor of profiles, loaded as settings load it, in a program of GTK 3 and one of GTK 4: this file
 * is compiled for both. Needs a display, or says that it did not run. OMERTA_NM_PLUGIN names the module. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <gtk/gtk.h>
#include <stdlib.h>
#include <string.h>

#include "nm-plugin/settings.h"

#define LINK "omerta://join/veaqcasyealuhqqihly6"

typedef struct World {
        NMVpnEditorPlugin *plugin;
        NMVpnEditor *editor;
        NMConnection *profile;
        unsigned changes;
} World;

static bool start_gtk(void) {
#if GTK_MAJOR_VERSION == 3
        return gtk_init_check(NULL, NULL);
#else
        return gtk_init_check();
#endif
}

static void on_changed(NMVpnEditor *editor, gpointer world) {
        ((World *) world)->changes++;
}

static World *open_editor(const char *network, const char *invite, NMSettingSecretFlags flags) {
        World *w = g_new0(World, 1);
        NMSettingVpn *vpn = NM_SETTING_VPN(nm_setting_vpn_new());
        GError *error = NULL;

        g_object_set(vpn, NM_SETTING_VPN_SERVICE_TYPE, VPN_SERVICE, NULL);
        if (network)
                nm_setting_vpn_add_data_item(vpn, "network", network);
        if (invite)
                nm_setting_vpn_add_secret(vpn, "invite", invite);
        nm_setting_set_secret_flags(NM_SETTING(vpn), "invite", flags, NULL);
        w->profile = nm_simple_connection_new();
        nm_connection_add_setting(w->profile, NM_SETTING(vpn));
        w->plugin = nm_vpn_editor_plugin_load_from_file(
                        getenv("OMERTA_NM_PLUGIN"), VPN_SERVICE, -1, NULL, NULL, &error);
        assert_null(error);
        w->editor = nm_vpn_editor_plugin_get_editor(w->plugin, w->profile, &error);
        if (error)
                fail_msg("%s", error->message);
        g_signal_connect(w->editor, "changed", G_CALLBACK(on_changed), w);
        return w;
}

static void close_editor(World *w) {
        g_object_unref(w->editor);
        g_object_unref(w->plugin);
        g_object_unref(w->profile);
        g_free(w);
}

static GtkWidget *widget(World *w, int row) {
        GtkGrid *grid = GTK_GRID(nm_vpn_editor_get_widget(w->editor));
        GtkWidget *found = gtk_grid_get_child_at(grid, 1, row);

        assert_non_null(found);
        assert_true(gtk_widget_get_visible(found));
        return found;
}

static void type(World *w, VpnField field, const char *text) {
        GtkEditable *e = GTK_EDITABLE(widget(w, field));
        int at = 0;

        gtk_editable_delete_text(e, 0, -1);
        gtk_editable_insert_text(e, text, -1, &at);
}

static char *shown(World *w, VpnField field) {
        return gtk_editable_get_chars(GTK_EDITABLE(widget(w, field)), 0, -1);
}

static void save(World *w) {
        GError *error = NULL;

        if (!nm_vpn_editor_update_connection(w->editor, w->profile, &error))
                fail_msg("%s", error->message);
}

static void refuse(World *w, const char *says) {
        g_autoptr(GError) error = NULL;

        assert_false(nm_vpn_editor_update_connection(w->editor, w->profile, &error));
        assert_non_null(strstr(error->message, says));
        assert_false(nm_vpn_editor_update_connection(w->editor, w->profile, NULL));
}

static void test_each_field(void **state) {
        World *w = open_editor("home", NULL, 0);
        g_autofree char *network = shown(w, VPN_FIELD_NETWORK);
        NMSettingVpn *vpn;

        assert_string_equal(network, "home");
        assert_int_equal(w->changes, 0);
        type(w, VPN_FIELD_NETWORK, " work ");
        type(w, VPN_FIELD_INVITE, LINK);
        type(w, VPN_FIELD_HOST_NAME, "laptop");
        assert_true(w->changes >= 3);
        assert_false(gtk_entry_get_visibility(GTK_ENTRY(widget(w, VPN_FIELD_INVITE))));
        save(w);
        vpn = nm_connection_get_setting_vpn(w->profile);
        assert_string_equal(nm_setting_vpn_get_service_type(vpn), VPN_SERVICE);
        assert_string_equal(nm_setting_vpn_get_data_item(vpn, "network"), "work");
        assert_string_equal(nm_setting_vpn_get_data_item(vpn, "host-name"), "laptop");
        assert_string_equal(nm_setting_vpn_get_secret(vpn, "invite"), LINK);
        /* Taken away again. */
        type(w, VPN_FIELD_INVITE, "");
        save(w);
        vpn = nm_connection_get_setting_vpn(w->profile);
        assert_null(nm_setting_vpn_get_secret(vpn, "invite"));
        assert_null(nm_setting_vpn_get_data_item(vpn, "invite-flags"));
        close_editor(w);
}

static void test_asked_each_time(void **state) {
        World *w = open_editor(NULL, NULL, NM_SETTING_SECRET_FLAG_NOT_SAVED);
        GtkWidget *ask = widget(w, _VPN_FIELD_MAX);
        gboolean active;

        g_object_get(ask, "active", &active, NULL);
        assert_true(active);
        assert_false(gtk_widget_get_sensitive(widget(w, VPN_FIELD_INVITE)));
        save(w);
        assert_int_equal(
                        vpn_settings_flags(w->profile, VPN_FIELD_INVITE),
                        NM_SETTING_SECRET_FLAG_NOT_SAVED);
        g_object_set(ask, "active", FALSE, NULL);
        refuse(w, "neither");
        type(w, VPN_FIELD_INVITE, LINK);
        save(w);
        assert_int_equal(vpn_settings_flags(w->profile, VPN_FIELD_INVITE), NM_SETTING_SECRET_FLAG_NONE);
        /* What an agent keeps stays with it. */
        close_editor(w);
        w = open_editor("home", NULL, NM_SETTING_SECRET_FLAG_AGENT_OWNED);
        save(w);
        assert_int_equal(
                        vpn_settings_flags(w->profile, VPN_FIELD_INVITE),
                        NM_SETTING_SECRET_FLAG_AGENT_OWNED);
        close_editor(w);
}

static void test_refused(void **state) {
        World *w = open_editor("home", NULL, 0);

        type(w, VPN_FIELD_NETWORK, "two words");
        refuse(w, "spaces");
        type(w, VPN_FIELD_NETWORK, "");
        refuse(w, "neither");
        type(w, VPN_FIELD_INVITE, "https://example.org");
        refuse(w, "omerta://");
        /* Nothing was saved. */
        assert_string_equal(
                        nm_setting_vpn_get_data_item(
                                        nm_connection_get_setting_vpn(w->profile), "network"),
                        "home");
        close_editor(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_field),
                cmocka_unit_test(test_asked_each_time),
                cmocka_unit_test(test_refused),
        };

        if (!start_gtk()) {
                puts("skipped: there is no display");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
