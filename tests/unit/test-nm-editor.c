/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module that clients of NetworkManager load, as libnm loads it. OMERTA_NM_PLUGIN names it. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <NetworkManager.h>
#include <dlfcn.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "nm-plugin/fields.h"

#define LINK "omerta://join/veaqcasyealuhqqihly6"

typedef struct World {
        NMVpnEditorPlugin *plugin;
        char *directory, *path;
} World;

static int setup(void **state) {
        World *w = NEW(World);
        g_autoptr(GError) error = NULL;

        w->plugin = nm_vpn_editor_plugin_load_from_file(
                        getenv("OMERTA_NM_PLUGIN"), VPN_SERVICE, -1, NULL, NULL, &error);
        if (!w->plugin)
                print_error("%s\n", error->message);
        w->directory = g_dir_make_tmp("omerta-nm-XXXXXX", NULL);
        w->path = g_build_filename(w->directory, "club.omerta", NULL);
        *state = w;
        return w->plugin ? 0 : -1;
}

static int teardown(void **state) {
        World *w = *state;

        (void) g_unlink(w->path);
        (void) g_rmdir(w->directory);
        g_clear_object(&w->plugin);
        g_free(w->directory);
        g_free(w->path);
        g_free(w);
        return 0;
}

static NMConnection *import(World *w, const char *text, GError **error) {
        assert_true(g_file_set_contents(w->path, text, -1, NULL));
        return nm_vpn_editor_plugin_import(w->plugin, w->path, error);
}

static void test_what_it_is(void **state) {
        World *w = *state;
        g_autofree char *name = NULL, *description = NULL, *service = NULL;

        g_object_get(w->plugin, "name", &name, "description", &description, "service", &service,
                     NULL);
        assert_string_equal(name, "omerta");
        assert_true(*description);
        assert_string_equal(service, VPN_SERVICE);
        assert_int_equal(
                        nm_vpn_editor_plugin_get_capabilities(w->plugin),
                        NM_VPN_EDITOR_PLUGIN_CAPABILITY_IMPORT |
                                        NM_VPN_EDITOR_PLUGIN_CAPABILITY_EXPORT |
                                        NM_VPN_EDITOR_PLUGIN_CAPABILITY_IPV6);
}

/* It is loaded into programs that have libraries and functions of their own. */
static void test_symbols(void **state) {
        void *module = dlopen(getenv("OMERTA_NM_PLUGIN"), RTLD_LAZY | RTLD_LOCAL);

        assert_non_null(module);
        assert_non_null(dlsym(module, "nm_vpn_editor_plugin_factory"));
        assert_null(dlsym(module, "vpn_field_info"));
        assert_null(dlsym(module, "ip_parse"));
        assert_null(dlsym(module, "client_error_text"));
        dlclose(module);
}

static void test_round_trip(void **state) {
        World *w = *state;
        g_autoptr(NMConnection) c = import(w, "[omerta]\nnetwork=home\nhost-name=laptop\n", NULL);
        g_autoptr(NMConnection) again = NULL;
        g_autofree char *text = NULL, *name = NULL;
        NMSettingVpn *vpn;

        assert_non_null(c);
        assert_string_equal(nm_connection_get_id(c), "club");
        assert_true(nm_connection_is_type(c, NM_SETTING_VPN_SETTING_NAME));
        name = nm_vpn_editor_plugin_get_suggested_filename(w->plugin, c);
        assert_string_equal(name, "club.omerta");
        /* The secret is not written. */
        nm_setting_vpn_add_secret(nm_connection_get_setting_vpn(c), "invite", LINK);
        assert_true(nm_vpn_editor_plugin_export(w->plugin, w->path, c, NULL));
        assert_true(g_file_get_contents(w->path, &text, NULL, NULL));
        assert_null(strstr(text, "omerta://"));
        again = nm_vpn_editor_plugin_import(w->plugin, w->path, NULL);
        vpn = nm_connection_get_setting_vpn(again);
        assert_string_equal(nm_setting_vpn_get_service_type(vpn), VPN_SERVICE);
        assert_string_equal(nm_setting_vpn_get_data_item(vpn, "network"), "home");
        assert_string_equal(nm_setting_vpn_get_data_item(vpn, "host-name"), "laptop");
        assert_null(nm_setting_vpn_get_secret(vpn, "invite"));
}

static void test_invite(void **state) {
        World *w = *state;
        g_autoptr(NMConnection) c = import(w, "\n" LINK "\n", NULL);
        g_autoptr(GError) error = NULL;
        NMSettingVpn *vpn;

        assert_non_null(c);
        vpn = nm_connection_get_setting_vpn(c);
        assert_string_equal(nm_setting_vpn_get_secret(vpn, "invite"), LINK);
        assert_null(nm_setting_vpn_get_data_item(vpn, "invite"));
        assert_false(nm_vpn_editor_plugin_export(w->plugin, w->path, c, &error));
        assert_non_null(strstr(error->message, "secret"));
        assert_null(strstr(error->message, LINK));
}

static void test_refused(void **state) {
        World *w = *state;
        g_autoptr(GError) error = NULL, none = NULL;

        assert_null(import(w, "[omerta]\ncolour=blue\n", &error));
        assert_non_null(strstr(error->message, "colour"));
        assert_null(nm_vpn_editor_plugin_import(w->plugin, "/nonexistent.omerta", &none));
        assert_non_null(none);
        /* Clients may want no reason. */
        assert_null(nm_vpn_editor_plugin_import(w->plugin, "/nonexistent.omerta", NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_it_is, setup, teardown),
                cmocka_unit_test_setup_teardown(test_symbols, setup, teardown),
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_invite, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
