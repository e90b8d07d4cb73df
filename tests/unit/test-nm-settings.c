/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Profiles of NetworkManager, and what it is told of a network. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "nm-plugin/report.h"
#include "nm-plugin/settings.h"

#define LINK "omerta://join/veaqcasyealuhqqihly6"

static NMConnection *profile_new(void) {
        NMConnection *c = nm_simple_connection_new();

        nm_connection_add_setting(
                        c, g_object_new(NM_TYPE_SETTING_VPN, NM_SETTING_VPN_SERVICE_TYPE,
                                        VPN_SERVICE, NULL));
        return c;
}

/* --- fields --- */

static void test_fields(void **state) {
        assert_int_equal(vpn_field_from_key("network"), VPN_FIELD_NETWORK);
        assert_int_equal(vpn_field_from_key("invite"), VPN_FIELD_INVITE);
        assert_int_equal(vpn_field_from_key("host-name"), VPN_FIELD_HOST_NAME);
        assert_int_equal(vpn_field_from_key(""), _VPN_FIELD_INVALID);
        assert_int_equal(vpn_field_from_key("Network"), _VPN_FIELD_INVALID);
        assert_true(vpn_field_is_flags("invite-flags"));
        assert_false(vpn_field_is_flags("network-flags"));
        assert_false(vpn_field_is_flags("invite"));
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++) {
                const VpnFieldInfo *i = vpn_field_info(f);

                assert_true(*i->key && *i->label && *i->hint && i->len_max > 0);
        }
}

static void test_values(void **state) {
        g_autofree char *longest = g_strnfill(63, 'a'), *too_long = g_strnfill(64, 'a');
        g_autofree char *pad = g_strnfill(1024 - strlen("omerta://"), 'a');
        g_autofree char *link = g_strconcat("omerta://", pad, NULL);
        g_autofree char *long_link = g_strconcat(link, "a", NULL);
        const struct {
                VpnField field;
                const char *value;
                bool good;
        } cases[] = {
                { VPN_FIELD_NETWORK, "home", true },
                { VPN_FIELD_NETWORK, "häuschen", true },
                { VPN_FIELD_NETWORK, longest, true },
                { VPN_FIELD_NETWORK, too_long, false },
                { VPN_FIELD_NETWORK, "two words", false },
                { VPN_FIELD_NETWORK, "a\nb", false },
                { VPN_FIELD_NETWORK, "a\x1b[2J", false },
                { VPN_FIELD_NETWORK, "\xff\xfe", false },
                { VPN_FIELD_INVITE, LINK, true },
                { VPN_FIELD_INVITE, "OMERTA://JOIN/VEAQ", true },
                { VPN_FIELD_INVITE, "https://example.org", false },
                { VPN_FIELD_INVITE, "omerta;//join/", false },
                { VPN_FIELD_INVITE, link, true },
                { VPN_FIELD_INVITE, long_link, false },
                { VPN_FIELD_HOST_NAME, "laptop", true },
                { VPN_FIELD_HOST_NAME, too_long, false },
        };
        VpnSettings s = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *error = NULL;
                int r = vpn_settings_set(&s, cases[i].field, cases[i].value, &error);

                assert_int_equal(r, cases[i].good ? 0 : -EINVAL);
                assert_int_equal(!error, cases[i].good);
                /* What is refused is not shown. */
                assert_true(!error || !strstr(error, cases[i].value));
                if (cases[i].good)
                        assert_string_equal(s.value[cases[i].field], cases[i].value);
        }
        assert_int_equal(vpn_settings_set(&s, VPN_FIELD_NETWORK, "", NULL), 0);
        assert_null(s.value[VPN_FIELD_NETWORK]);
        assert_int_equal(vpn_settings_set(&s, VPN_FIELD_INVITE, NULL, NULL), 0);
        {
                g_autofree char *error = NULL;

                assert_int_equal(vpn_settings_check(&s, &error), -EINVAL);
                assert_non_null(error);
        }
        vpn_settings_clear(&s);
}

/* --- profiles --- */

static void test_profile(void **state) {
        g_autoptr(NMConnection) c = profile_new(), copy = profile_new();
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(c);
        VpnSettings s;

        nm_setting_vpn_add_data_item(vpn, "network", "home");
        nm_setting_vpn_add_data_item(vpn, "host-name", "laptop");
        nm_setting_vpn_add_data_item(vpn, "invite-flags", "1");
        nm_setting_vpn_add_secret(vpn, "invite", LINK);
        assert_true(vpn_settings_read(c, &s, NULL));
        assert_string_equal(s.value[VPN_FIELD_NETWORK], "home");
        assert_string_equal(s.value[VPN_FIELD_HOST_NAME], "laptop");
        assert_string_equal(s.value[VPN_FIELD_INVITE], LINK);
        assert_int_equal(vpn_settings_flags(c, VPN_FIELD_INVITE), NM_SETTING_SECRET_FLAG_AGENT_OWNED);
        assert_int_equal(vpn_settings_flags(copy, VPN_FIELD_INVITE), NM_SETTING_SECRET_FLAG_NONE);

        /* And back: the secret is one, and what was there before is gone. */
        nm_setting_vpn_add_data_item(nm_connection_get_setting_vpn(copy), "invite", LINK);
        vpn_settings_write(&s, nm_connection_get_setting_vpn(copy));
        vpn = nm_connection_get_setting_vpn(copy);
        assert_null(nm_setting_vpn_get_data_item(vpn, "invite"));
        assert_string_equal(nm_setting_vpn_get_secret(vpn, "invite"), LINK);
        assert_string_equal(nm_setting_vpn_get_data_item(vpn, "network"), "home");
        vpn_settings_clear(&s);
        assert_null(s.value[VPN_FIELD_INVITE]);
}

static void refuse(bool secret, const char *key, const char *value, const char *says) {
        g_autoptr(NMConnection) c = profile_new();
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(c);
        g_autoptr(GError) error = NULL;
        VpnSettings s;

        nm_setting_vpn_add_data_item(vpn, "network", "home");
        if (secret)
                nm_setting_vpn_add_secret(vpn, key, value);
        else
                nm_setting_vpn_add_data_item(vpn, key, value);
        assert_false(vpn_settings_read(c, &s, &error));
        assert_true(g_error_matches(error, NM_VPN_PLUGIN_ERROR, NM_VPN_PLUGIN_ERROR_BAD_ARGUMENTS));
        assert_non_null(strstr(error->message, says));
        assert_true(g_utf8_validate(error->message, -1, NULL));
}

static void test_hostile_profiles(void **state) {
        g_autoptr(NMConnection) empty = nm_simple_connection_new();
        g_autofree char *huge = g_strnfill(1 << 20, 'x'), *start = g_strnfill(39, 'x');
        g_autofree char *long_key = g_strconcat(start, "ää", NULL);
        VpnSettings s;

        refuse(false, "colour", "blue", "colour");
        refuse(false, huge, "1", "xxxx");
        refuse(false, long_key, "1", "xxxä");
        refuse(true, "a\nb", "1", "a?b");
        refuse(false, "host-name", huge, "longer");
        refuse(true, "password", "hunter2", "password");
        refuse(true, "network", "home", "network");
        refuse(true, "invite", "not a link", "spaces");
        refuse(false, "invite", "nolink", "omerta://");
        assert_false(vpn_settings_read(empty, &s, NULL));
}

/* --- reports --- */

static VpnNetwork network_of(const char *address, const char *address6, const char *subnet) {
        VpnNetwork n;
        GVariantDict d;

        vpn_network_init(&n);
        g_variant_dict_init(&d, NULL);
        g_variant_dict_insert(&d, "Interface", "s", "omerta0");
        g_variant_dict_insert(&d, "Address", "s", address);
        g_variant_dict_insert(&d, "Address6", "s", address6);
        g_variant_dict_insert(&d, "Subnet", "s", subnet);
        g_variant_dict_insert(&d, "Mtu", "u", 1420);
        /* Passed over. */
        g_variant_dict_insert(&d, "State", "u", 7);
        g_variant_dict_insert(&d, "Colour", "s", "blue");
        {
                g_autoptr(GVariant) v = g_variant_ref_sink(g_variant_dict_end(&d));

                vpn_network_update(&n, v);
        }
        assert_string_equal(n.state, "");
        return n;
}

static guint32 number(GVariant *v, const char *key) {
        guint32 n;

        assert_true(g_variant_lookup(v, key, "u", &n));
        return n;
}

static gboolean flag(GVariant *v, const char *key) {
        gboolean b;

        assert_true(g_variant_lookup(v, key, "b", &b));
        return b;
}

static void test_report(void **state) {
        VpnNetwork n = network_of("10.77.0.100", "fd00:99::1", "10.77.0.0/16"), copy;
        IpAddr gateway = ip_from_v4(0xc000020b);
        g_autoptr(GVariant) config = g_variant_ref_sink(vpn_report_config(&n, &gateway));
        g_autoptr(GVariant) ip4 = g_variant_ref_sink(vpn_report_ip4(&n));
        g_autoptr(GVariant) ip6 = g_variant_ref_sink(vpn_report_ip6(&n));
        g_autoptr(GVariant) address6 = NULL;
        const char *device;

        assert_null(vpn_network_lacks(&n));
        assert_true(g_variant_lookup(config, "tundev", "&s", &device));
        assert_string_equal(device, "omerta0");
        assert_int_equal(number(config, "mtu"), 1420);
        assert_int_equal(number(config, "gateway"), htonl(0xc000020b));
        assert_true(flag(config, "has-ip4") && flag(config, "has-ip6") && flag(config, "can-persist"));
        assert_int_equal(number(ip4, "address"), htonl(0x0a4d0064));
        assert_int_equal(number(ip4, "prefix"), 16);
        assert_true(flag(ip4, "never-default") && flag(ip6, "never-default"));
        assert_int_equal(number(ip6, "prefix"), 64);
        address6 = g_variant_lookup_value(ip6, "address", G_VARIANT_TYPE_BYTESTRING);
        assert_int_equal(g_variant_get_size(address6), 16);

        vpn_network_copy(&n, &copy);
        assert_true(vpn_network_is_same(&n, &copy));
        copy.mtu = 1300;
        assert_false(vpn_network_is_same(&n, &copy));
        vpn_network_clear(&copy);
        vpn_network_clear(&n);
}

static void test_report_of_less(void **state) {
        static const struct {
                const char *address, *address6, *subnet;
                bool lacks, has6;
        } cases[] = {
                { "", "fd00:99::1", "10.77.0.0/16", true, true },
                { "10.77.0.100", "", "10.77.0.0/16", false, false },
                { "10.77.0.100", "10.77.0.100", "10.77.0.0/16", false, false },
                { "fd00:99::1", "", "10.77.0.0/16", true, false },
                { "10.77.0.100", "", "", true, false },
                { "10.77.0.100", "", "10.77.0.0/99", true, false },
                { "10.77.0.100", "", "fd00::/64", true, false },
                { "10.77.0.1000", "x", "10.77.0.0/16", true, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VpnNetwork n = network_of(cases[i].address, cases[i].address6, cases[i].subnet);
                IpAddr gateway = { .family = AF_INET6, .bytes = { [15] = 1 } };
                g_autoptr(GVariant) config = g_variant_ref_sink(vpn_report_config(&n, &gateway));
                g_autoptr(GVariant) ip6 = vpn_report_ip6(&n), at = NULL;

                assert_int_equal(vpn_network_lacks(&n) != NULL, cases[i].lacks);
                assert_int_equal(flag(config, "has-ip6"), cases[i].has6);
                assert_int_equal(ip6 != NULL, cases[i].has6);
                at = g_variant_lookup_value(config, "gateway", G_VARIANT_TYPE_BYTESTRING);
                assert_int_equal(g_variant_get_size(at), 16);
                if (ip6)
                        g_variant_ref_sink(ip6);
                vpn_network_clear(&n);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields),  cmocka_unit_test(test_values),
                cmocka_unit_test(test_profile), cmocka_unit_test(test_hostile_profiles),
                cmocka_unit_test(test_report),  cmocka_unit_test(test_report_of_less),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
