/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of NetworkManager profiles: an invite, or settings. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "nm-plugin/file.h"

#define LINK "omerta://join/veaqcasyealuhqqihly6"

static void good(const char *text, const char *network, const char *invite, const char *host_name) {
        g_autofree char *error = NULL;
        VpnSettings s = {};
        int r = vpn_file_parse(text, strlen(text), &s, &error);

        if (r < 0)
                print_error("%s: %s\n", text, error);
        assert_int_equal(r, 0);
        assert_null(error);
        assert_int_equal(g_strcmp0(s.value[VPN_FIELD_NETWORK], network), 0);
        assert_int_equal(g_strcmp0(s.value[VPN_FIELD_INVITE], invite), 0);
        assert_int_equal(g_strcmp0(s.value[VPN_FIELD_HOST_NAME], host_name), 0);
        vpn_settings_clear(&s);
}

static void bad_bytes(const char *data, size_t len, const char *says) {
        g_autofree char *error = NULL;
        VpnSettings s = {};

        if (vpn_file_parse(data, len, &s, &error) >= 0)
                fail_msg("this is taken: %.*s", (int) len, data);
        assert_non_null(error);
        if (!strstr(error, says))
                print_error("'%s' does not say '%s'\n", error, says);
        assert_non_null(strstr(error, says));
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                assert_null(s.value[f]);
}

static void bad(const char *text, const char *says) {
        bad_bytes(text, strlen(text), says);
}

static void test_good(void **state) {
        good(LINK, NULL, LINK, NULL);
        good("\n\t " LINK " \r\n\n", NULL, LINK, NULL);
        good("[omerta]\nnetwork=home\n", "home", NULL, NULL);
        good("# of the club\r\n\n[omerta]\r\nnetwork = home\r\nhost-name=laptop", "home", NULL,
             "laptop");
        good("[omerta]\nhost-name=laptop\ninvite=" LINK "\n", NULL, LINK, "laptop");
        good("[omerta]\nnetwork=one\nnetwork=two\n", "two", NULL, NULL);
}

static void test_hostile(void **state) {
        g_autofree char *spaces = g_strnfill(VPN_FILE_MAX, ' ');
        g_autofree char *huge = g_strconcat(spaces, LINK, NULL);
        g_autofree char *name = g_strnfill(1000, 'a');
        g_autofree char *long_name = g_strconcat("[omerta]\nnetwork=", name, NULL);

        bad("", "empty");
        bad(" \n", "empty");
        bad(spaces, "empty");
        bad(huge, "too long");
        bad(long_name, "longer");
        bad("\xff\xfe\x00", "no text");
        bad_bytes("omerta://join/a\0b", 17, "no text");
        bad_bytes("\0\0\0\0", 4, "no text");
        bad("https://example.org/", "omerta://");
        bad(LINK "\n" LINK, "spaces");
        bad("[omerta]\n", "neither a network nor an invite");
        bad("[omerta]\nnetwork=\n", "neither a network nor an invite");
        bad("[omerta]\nnetwork=home\ncolour=blue\n", "colour");
        bad("[omerta]\nnetwork=home\nnetwork[de]=heim\n", "network[de]");
        bad("[omerta]\nnetwork=home\n[vpn]\nscript=/bin/sh\n", "one group");
        bad("[wireguard]\nnetwork=home\n", "one group");
        bad("# nothing\n", "one group");
        bad("[omerta]\nnetwork=a\\nb\n", "spaces");
        bad("[omerta]\nnetwork=a\\q\n", "cannot be read");
        bad("[omerta]\ninvite=ftp://x\n", "omerta://");
        bad("[omerta\nnetwork=home\n", "key file");
        bad("[omerta]\nnetwork\n", "key file");
}

static void test_format(void **state) {
        g_autofree char *text = NULL, *error = NULL;
        VpnSettings s = {};

        (void) vpn_settings_set(&s, VPN_FIELD_INVITE, LINK, &error);
        assert_null(vpn_file_format(&s, &error));
        assert_non_null(error);
        (void) vpn_settings_set(&s, VPN_FIELD_NETWORK, "häuschen", NULL);
        (void) vpn_settings_set(&s, VPN_FIELD_HOST_NAME, "laptop", NULL);
        text = vpn_file_format(&s, NULL);
        assert_null(strstr(text, "omerta://"));
        good(text, "häuschen", NULL, "laptop");
        vpn_settings_clear(&s);
}

static int read_file(const char *path, VpnSettings *s, char **ret_error) {
        *s = (VpnSettings){};
        return vpn_file_read(path, s, ret_error);
}

static void test_files(void **state) {
        g_autofree char *directory = g_dir_make_tmp("omerta-nm-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(directory, "home.omerta", NULL);
        g_autofree char *pipe = g_build_filename(directory, "pipe.omerta", NULL);
        g_autofree char *megabyte = g_strnfill(1 << 20, '#');
        VpnSettings s;

        assert_true(g_file_set_contents(path, "[omerta]\nnetwork=home\n", -1, NULL));
        assert_int_equal(read_file(path, &s, NULL), 0);
        assert_string_equal(s.value[VPN_FIELD_NETWORK], "home");
        vpn_settings_clear(&s);
        assert_true(g_file_set_contents(path, megabyte, 1 << 20, NULL));
        assert_int_equal(mkfifo(pipe, 0600), 0);
        {
                g_autofree char *e1 = NULL, *e2 = NULL, *e3 = NULL, *e4 = NULL;

                assert_int_equal(read_file(path, &s, &e1), -EINVAL);
                assert_non_null(strstr(e1, "too long"));
                assert_int_equal(read_file(pipe, &s, &e2), -EINVAL);
                assert_non_null(strstr(e2, "ordinary"));
                assert_int_equal(read_file(directory, &s, &e3), -EINVAL);
                (void) g_unlink(path);
                assert_int_equal(read_file(path, &s, &e4), -ENOENT);
                assert_non_null(e4);
        }
        (void) g_unlink(pipe);
        (void) g_rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_files),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
