/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Against the real kernel, in a network namespace of our own, whose loopback is the interface:
 * needs root, or says that it did not run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl-detour.h"

#define LO_INDEX 1U

static IpAddr ip(const char *text) {
        IpAddr a;

        assert_return_code(ip_parse(text, &a), 0);
        return a;
}

static int setup(void **state) {
        static int done;
        Rtnl *r = NULL;
        IpAddr a, b;

        *state = NULL;
        if (done == 0)
                done = unshare(CLONE_NEWNET) == 0 ? 1 : -1;
        if (done < 0)
                return 0;
        if (rtnl_open(&r) < 0)
                return -1;
        a = ip("10.0.0.5");
        b = ip("fd00::5");
        if (rtnl_link_configure(r, LO_INDEX, 0, 0, true) < 0 ||
            rtnl_address_add(r, LO_INDEX, &a, 16) < 0 || rtnl_address_add(r, LO_INDEX, &b, 64) < 0)
                return -1;
        *state = r;
        return 0;
}

static int teardown(void **state) {
        if (*state)
                (void) rtnl_detour_clear(*state);
        rtnl_close(*state);
        return 0;
}

static Rtnl *need_root(void **state) {
        if (!*state) {
                print_message("skipped: a network namespace of our own needs root\n");
                skip();
        }
        return *state;
}

static RtnlDetour both(void) {
        return (RtnlDetour){
                .ifindex = LO_INDEX,
                .port = 18002,
                .source = ip("10.0.0.5"),
                .source6 = ip("fd00::5"),
                .lan = true,
        };
}

/* What a command prints. */
static char *say(const char *command) {
        GString *s = g_string_new(NULL);
        FILE *f = popen(command, "re");
        char line[512];

        assert_non_null(f);
        while (fgets(line, sizeof line, f))
                g_string_append(s, line);
        (void) pclose(f);
        return g_string_free(s, FALSE);
}

static void assert_rules(const char *family, const char *wanted) {
        g_autofree char *command = g_strdup_printf(
                        "ip -%s rule | grep proto | sed 's/ proto 182//; s/\t/ /g; s/ *$//' | sort",
                        family);
        g_autofree char *text = say(command);

        assert_string_equal(text, wanted);
}

#define RULES                                                                                      \
        "18000: from all fwmark 0x4652 lookup main\n"                                              \
        "18000: from all ipproto udp sport 18002 lookup main\n"                                    \
        "18001: from all lookup main suppress_prefixlength 0\n"                                    \
        "18002: from all lookup 18002\n"

static void test_set_and_clear(void **state) {
        Rtnl *r = need_root(state);
        RtnlDetour d = both();

        assert_int_equal(rtnl_detour_is_set(r, &d), 0);
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        assert_int_equal(rtnl_detour_is_set(r, &d), 1);
        assert_rules("4", RULES);
        assert_rules("6", RULES);
        /* Once more changes nothing. */
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        assert_rules("4", RULES);
        assert_int_equal(rtnl_detour_clear(r), 0);
        assert_int_equal(rtnl_detour_is_set(r, &d), 0);
        assert_rules("4", "");
        assert_rules("6", "");
        assert_int_equal(rtnl_detour_clear(r), 0);
}

static void test_one_family(void **state) {
        Rtnl *r = need_root(state);
        RtnlDetour d = both(), both_of_them = both();

        d.source6 = (IpAddr){};
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        assert_rules("4", RULES);
        assert_rules("6", "");
        assert_int_equal(rtnl_detour_is_set(r, &both_of_them), 0);
        assert_int_equal(rtnl_detour_set(r, &both_of_them), 0);
        assert_rules("6", RULES);
        assert_int_equal(rtnl_detour_is_set(r, &d), 0);
}

/* Another port, another address, without the LAN: what was there before goes. */
static void test_change(void **state) {
        Rtnl *r = need_root(state);
        RtnlDetour d = both(), changed = both();
        PrefixSet inside = {};
        IpAddr a = ip("10.0.0.0"), b = ip("10.9.0.0"), c = ip("fd00::");

        prefix_set_add(&inside, &a, 16);
        prefix_set_add(&inside, &b, 16);
        prefix_set_add(&inside, &c, 64);
        changed.lan = false;
        changed.inside = &inside;
        changed.port = 4711;
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        assert_int_equal(rtnl_detour_set(r, &changed), 0);
        assert_int_equal(rtnl_detour_is_set(r, &changed), 1);
        assert_int_equal(rtnl_detour_is_set(r, &d), 0);
        assert_rules("4",
                     "18000: from all fwmark 0x4652 lookup main\n"
                     "18000: from all ipproto udp sport 4711 lookup main\n"
                     "18001: from all to 10.0.0.0/16 lookup main\n"
                     "18001: from all to 10.9.0.0/16 lookup main\n"
                     "18002: from all lookup 18002\n");
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        assert_rules("4", RULES);
        assert_rules("6", RULES);
}

/* What somebody does to it, or in our name, is seen and mended; what is others' stays. */
static void test_tampering(void **state) {
        static const char *const commands[] = {
                "ip rule del pref 18002",
                "ip -6 rule del pref 18000",
                "ip rule add pref 18001 from 1.2.3.4 lookup main proto 182",
                "ip rule add pref 77 fwmark 9 lookup main proto 182",
                "ip route flush table 18002",
                "ip -6 route flush table 18002",
                "ip route add 1.2.3.0/24 dev lo table 18002 proto 182",
                "ip route replace default dev lo table 18002 proto 182 src 127.0.0.1",
        };
        Rtnl *r = need_root(state);
        RtnlDetour d = both();
        g_autofree char *foreign = NULL;

        assert_int_equal(system("ip rule add pref 18001 from 9.9.9.9 lookup main"), 0);
        assert_int_equal(rtnl_detour_set(r, &d), 0);
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                assert_int_equal(rtnl_detour_is_set(r, &d), 1);
                if (system(commands[i]) != 0)
                        fail_msg("%s", commands[i]);
                if (rtnl_detour_is_set(r, &d) != 0)
                        fail_msg("not seen: %s", commands[i]);
                assert_int_equal(rtnl_detour_set(r, &d), 0);
                if (rtnl_detour_is_set(r, &d) != 1)
                        fail_msg("not mended: %s", commands[i]);
        }
        assert_int_equal(rtnl_detour_clear(r), 0);
        assert_rules("4", "");
        foreign = say("ip rule | grep -c 9.9.9.9");
        assert_string_equal(foreign, "1\n");
        assert_int_equal(system("ip rule del from 9.9.9.9"), 0);
}

/* Half of it is worse than nothing: an interface that is not there. */
static void test_failure_leaves_nothing(void **state) {
        Rtnl *r = need_root(state);
        RtnlDetour d = both();

        d.ifindex = 4711;
        assert_true(rtnl_detour_set(r, &d) < 0);
        assert_rules("4", "");
        d = both();
        d.source6 = ip("fd00::77"); /* not ours */
        assert_true(rtnl_detour_set(r, &d) < 0);
        assert_rules("4", "");
        assert_rules("6", "");
}

static void test_default(void **state) {
        Rtnl *r = need_root(state);
        IpAddr a = ip("10.0.0.5");

        assert_int_equal(rtnl_has_default(r, AF_INET, 0), 0);
        assert_int_equal(rtnl_add_default(r, LO_INDEX, &a), 0);
        assert_int_equal(rtnl_has_default(r, AF_INET, 0), 1);
        assert_int_equal(rtnl_has_default(r, AF_INET, LO_INDEX), 0);
        assert_int_equal(rtnl_has_default(r, AF_INET6, 0), 0);
        assert_int_equal(system("ip route del default"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_set_and_clear, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_family, setup, teardown),
                cmocka_unit_test_setup_teardown(test_change, setup, teardown),
                cmocka_unit_test_setup_teardown(test_tampering, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failure_leaves_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_default, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
