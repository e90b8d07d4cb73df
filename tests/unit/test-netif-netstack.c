/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Engines without connections: which one is taken, and why. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "config.h"
#include "netif/netstack-internal.h"

#define MTU 1420

static void test_names(void **state) {
        for (int i = 0; i < _NETSTACK_ENGINE_MAX; i++)
                assert_int_equal(netstack_engine_from_string(netstack_engine_to_string(i)), i);
        assert_int_equal(netstack_engine_from_string("gvisor"), _NETSTACK_ENGINE_INVALID);
        assert_null(netstack_engine_to_string(_NETSTACK_ENGINE_MAX));
}

static void test_reasons(void **state) {
        static const struct {
                const char *file, *text;
                int error;
                const char *expect;
        } cases[] = {
                { "sys/kernel/unprivileged_userns_clone", "0\n", -EPERM,
                  "unprivileged_userns_clone = 0" },
                { "sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", -EACCES,
                  "apparmor_restrict_unprivileged_userns = 1" },
                { "sys/user/max_user_namespaces", "0\n", -ENOSPC, "user.max_user_namespaces = 0" },
                { "sys/user/max_user_namespaces", "100\n", -ENOSPC, "used up" },
                { "sys/kernel/unprivileged_userns_clone", "1\n", -EPERM, "sandbox" },
                { "nothing", "", -ENOSYS, "kernel has no user namespaces" },
                { "nothing", "", -EIO, "Input/output error" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *proc = g_dir_make_tmp("omerta-XXXXXX", NULL);
                g_autofree char *file = g_build_filename(proc, cases[i].file, NULL);
                g_autofree char *dir = g_path_get_dirname(file);
                g_autofree char *remove = g_strdup_printf("rm -r '%s'", proc);
                g_autofree char *reason = NULL;

                assert_return_code(g_mkdir_with_parents(dir, 0700), errno);
                assert_true(g_file_set_contents(file, cases[i].text, -1, NULL));
                reason = netstack_userns_reason(cases[i].error, proc);
                if (!strstr(reason, cases[i].expect))
                        fail_msg("\"%s\" says nothing of \"%s\"", reason, cases[i].expect);
                assert_int_equal(system(remove), 0);
        }
}

/* Where namespaces are forbidden, for real: auto says so and takes lwIP. */
static void test_forbidden(void **state) {
        g_autofree char *uid_map = g_strdup_printf("%u %u 1", geteuid(), geteuid());
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                g_autofree char *reason = NULL;
                sd_event *event;
                Netstack *s;
                Netif *n;
                FILE *f;
                int r;

                if (unshare(CLONE_NEWUSER) < 0)
                        _exit(77);
                f = fopen("/proc/self/uid_map", "we");
                if (!f || fputs(uid_map, f) < 0 || fclose(f) != 0)
                        _exit(77);
                f = fopen("/proc/sys/user/max_user_namespaces", "we");
                if (!f || fputs("0", f) < 0 || fclose(f) != 0)
                        _exit(77);
                if (sd_event_new(&event) < 0)
                        _exit(1);
                r = netstack_new(event, NETSTACK_AUTO, NULL, MTU, &s, &n, &reason);
                printf("auto: %d, %s\n", r, reason);
                fflush(stdout);
                if (!strstr(reason, "user.max_user_namespaces = 0"))
                        _exit(2);
#if HAVE_LWIP
                _exit(r == 0 && netstack_engine(s) == NETSTACK_LWIP ? 0 : 3);
#else
                _exit(r == -EOPNOTSUPP ? 0 : 4);
#endif
        }
        assert_return_code(waitpid(pid, &status, 0), errno);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("skipped: no user namespace to forbid them in\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* In the kernel engine's namespace, as everywhere, a full backlog does not end the answers to SYNs. */
static void test_syn_cookies(void **state) {
        g_autofree char *reason = NULL;
        sd_event *event;
        Netstack *s;
        Netif *n;
        int user, net, status;
        pid_t pid;

        assert_return_code(sd_event_new(&event), 0);
        if (netstack_new(event, NETSTACK_KERNEL, NULL, MTU, &s, &n, &reason) < 0) {
                print_message("skipped: %s\n", reason);
                sd_event_unref(event);
                skip();
        }
        assert_int_equal(netstack_namespaces(s, &user, &net), 0);
        pid = fork();
        assert_return_code(pid, errno);
        if (pid == 0) {
                g_autofree char *text = NULL;

                if ((setns(user, CLONE_NEWUSER) < 0 && geteuid() != 0) ||
                    setns(net, CLONE_NEWNET) < 0 ||
                    !g_file_get_contents("/proc/sys/net/ipv4/tcp_syncookies", &text, NULL, NULL))
                        _exit(2);
                _exit(strcmp(text, "1\n") == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        netstack_free(s);
        sd_event_unref(event);
}

static void test_one_lwip(void **state) {
        g_autofree char *reason = NULL, *reason2 = NULL;
        sd_event *event;
        Netstack *s, *t;
        Netif *n, *m;
        int user, net;

        assert_return_code(sd_event_new(&event), 0);
#if HAVE_LWIP
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, NULL, MTU, &s, &n, &reason), 0);
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, NULL, MTU, &t, &m, &reason2), -EBUSY);
        assert_non_null(strstr(reason2, "another one has it"));
        assert_int_equal(netstack_namespaces(s, &user, &net), -EOPNOTSUPP);
        netstack_free(s);
        g_free(g_steal_pointer(&reason));
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, NULL, MTU, &s, &n, &reason), 0);
        netstack_free(s);
#else
        (void) t;
        (void) m;
        (void) user;
        (void) net;
        assert_int_equal(netstack_new(event, NETSTACK_LWIP, NULL, MTU, &s, &n, &reason), -EOPNOTSUPP);
        print_message("lwip is not built: run tools/get-lwip\n");
#endif
        sd_event_unref(event);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),     cmocka_unit_test(test_reasons),
                cmocka_unit_test(test_forbidden), cmocka_unit_test(test_syn_cookies),
                cmocka_unit_test(test_one_lwip),
        };

        return cmocka_run_group_tests_name("netstack", tests, NULL, NULL);
}
