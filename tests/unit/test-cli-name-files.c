/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "cli/name-files.h"

typedef struct Member {
        const char *host_name, *address, *address6;
} Member;

/* What follows the first line, which says who made it. */
static char *hosts(const char *machine, const Member *members) {
        ClientNetwork n = { .machines = g_ptr_array_new_with_free_func(g_free) };
        char *text;

        for (const Member *m = members; m->host_name; m++) {
                ClientMachine *c = NEW(ClientMachine);

                c->host_name = (char *) m->host_name;
                c->address = (char *) (m->address ?: "");
                c->address6 = (char *) (m->address6 ?: "");
                g_ptr_array_add(n.machines, c);
        }
        text = cli_hosts_file(machine, &n);
        g_ptr_array_unref(n.machines);
        assert_int_equal(text[0], '#');
        memmove(text, strchr(text, '\n') + 1, strlen(strchr(text, '\n')));
        return text;
}

static void test_hosts(void **state) {
        static const struct {
                const char *machine;
                Member members[4];
                const char *result;
        } cases[] = {
                { "", { {} }, "127.0.0.1 localhost\n" },
                /* loopback alone is kept, without comments, however it is written */
                { "# 127.0.0.1 no\n\n  127.0.0.1\tlocalhost  # ten\n127.0.1.1 me me.lan\r\n"
                  "192.0.2.1 router\n::1 localhost ip6-localhost\nfe80::1%eth0 x\n127.0.0.1\nrubbish\n"
                  "10.0.0.1 localhost\n::2 y\n127.0.0.9 last",
                  { {} },
                  "127.0.0.1 localhost\n127.0.1.1 me me.lan\n::1 localhost ip6-localhost\n"
                  "127.0.0.9 last\n" },
                /* members, IPv4 first; without an address they have no name */
                { "127.0.0.1 localhost\n",
                  { { "nas", "10.0.0.1", "fd00::1" }, { "six", NULL, "fd00::2" }, { "none" } },
                  "127.0.0.1 localhost\n10.0.0.1 nas.omerta nas\nfd00::2 six.omerta six\n" },
                /* a member's name is the member's */
                { "127.0.0.1 localhost nas\n127.0.1.1 NAS\n127.0.1.1 nas.lan x.OMERTA nas me\n",
                  { { "nas", "10.0.0.1" } },
                  "127.0.0.1 localhost\n127.0.1.1 nas.lan me\n10.0.0.1 nas.omerta nas\n" },
                /* but for localhost */
                { "127.0.0.1 LocalHost\n",
                  { { "localhost", "10.0.0.1" }, { "ip6-loopback", "10.0.0.2" } },
                  "127.0.0.1 LocalHost\n10.0.0.1 localhost.omerta\n10.0.0.2 ip6-loopback.omerta\n" },
                /* two members with one name */
                { "127.0.1.1 nas localhost\n",
                  { { "nas", "10.0.0.1" }, { "nas", "10.0.0.2" }, { "b", "10.0.0.3" } },
                  "127.0.1.1 localhost\n10.0.0.3 b.omerta b\n" },
                /* what is no host name writes no line */
                { "",
                  { { "a\n127.0.0.1 b", "10.0.0.1" }, { "a b", "10.0.0.2" }, { "", "10.0.0.3" } },
                  "127.0.0.1 localhost\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = hosts(cases[i].machine, cases[i].members);

                assert_string_equal(text, cases[i].result);
        }
}

static void test_nsswitch(void **state) {
        static const struct {
                const char *machine, *result;
        } cases[] = {
                { "", "hosts: files\n" },
                { "# hosts: x\npasswd: files systemd\n hosts:  mymachines resolve [!UNAVAIL=return] files "
                  "myhostname dns\ngroup: files",
                  "passwd: files systemd\ngroup: files\nhosts: files myhostname\n" },
                { "hosts: files mdns4_minimal [NOTFOUND=return] dns\n", "hosts: files\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = cli_nsswitch_file(cases[i].machine);

                assert_string_equal(strchr(text, '\n') + 1, cases[i].result);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_nsswitch),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
