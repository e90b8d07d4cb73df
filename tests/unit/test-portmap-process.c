/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Helpers that say something, nothing, or too much; and what a helper can still do. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "portmap/upnp-process.h"
#include "portmap/upnp-sandbox.h"

typedef struct World {
        sd_event *event;
        UpnpProcess *process;
        unsigned n_answers;
        bool is_null;
        UpnpAnswer answer;
} World;

static void on_answered(void *userdata, const UpnpAnswer *answer) {
        World *w = userdata;

        w->n_answers++;
        w->is_null = answer == NULL;
        if (answer)
                w->answer = *answer;
        (void) sd_event_exit(w->event, 0);
}

static const UpnpRequest question = {
        .router = { AF_INET, { 192, 168, 1, 1 } },
        .source = { AF_INET, { 192, 168, 1, 7 } },
        .port = 18002,
        .external_port = 18002,
        .lifetime = 7200,
};

/* Asks a helper that is a script. */
static void ask(World *w, const char *script, usec_t life) {
        g_autofree char *path = g_strdup("/tmp/omerta-test-helper.XXXXXX");
        g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", script);
        int fd = mkstemp(path);

        assert_return_code(fd, 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_return_code(fchmod(fd, 0700), 0);
        close(fd);
        assert_return_code(setenv("OMERTA_UPNP_HELPER", path, 1), 0);
        *w = (World){};
        assert_return_code(sd_event_new(&w->event), 0);
        w->process = upnp_process_new(w->event, life, on_answered, w);
        assert_return_code(upnp_process_start(w->process, &question), 0);
        assert_return_code(sd_event_loop(w->event), 0);
        assert_int_equal(w->n_answers, 1);
        w->process = upnp_process_free(w->process);
        sd_event_unref(w->event);
        (void) unlink(path);
        /* Nobody is left behind. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_line(void **state) {
        World w;

        ask(&w, "echo mapped 203.0.113.9 18003 7200 http://192.168.1.1/$1/$3/$4", USEC_PER_HOUR);
        assert_false(w.is_null);
        assert_int_equal(w.answer.outcome, UPNP_MAPPED);
        assert_string_equal(w.answer.url, "http://192.168.1.1/add/192.168.1.7/18002");
        ask(&w, "echo none", USEC_PER_HOUR);
        assert_int_equal(w.answer.outcome, UPNP_NONE);
        ask(&w, "echo none; echo none", USEC_PER_HOUR);
        assert_true(w.is_null);
        ask(&w, "exit 1", USEC_PER_HOUR);
        assert_true(w.is_null);
        ask(&w, "kill -9 $$", USEC_PER_HOUR);
        assert_true(w.is_null);
}

static void test_silence(void **state) {
        World w;

        ask(&w, "printf mapped; exec sleep 3600", 50 * USEC_PER_MSEC);
        assert_true(w.is_null);
}

static void test_flood(void **state) {
        World w;

        ask(&w, "exec yes none", USEC_PER_HOUR);
        assert_true(w.is_null);
}

/* Return: the number of the first thing that went well, in a process of its own. */
static int in_sandbox(int leaked) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                char byte;

                if (upnp_sandbox_enter() < 0)
                        _exit(1);
                /* Before its number is another's. */
                if (read(leaked, &byte, 1) >= 0)
                        _exit(9);
                if (open("/dev/null", O_RDONLY) >= 0)
                        _exit(2);
                if (openat(AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0)
                        _exit(3);
                if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_NETLINK, SOCK_RAW, 0) >= 0)
                        _exit(4);
                if (socket(AF_INET, SOCK_DGRAM, 0) < 0 || socket(AF_INET, SOCK_STREAM, 0) < 0)
                        _exit(5);
                if (fork() >= 0)
                        _exit(6);
                if (execl("/bin/true", "true", NULL) == 0)
                        _exit(7);
                if (kill(getppid(), 0) == 0)
                        _exit(8);
                if (unlink("/tmp/omerta-test-none") == 0 || errno != EACCES)
                        _exit(10);
                _exit(0);
        }
        assert_return_code(pid, 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_nothing_to_reach(void **state) {
        int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

        assert_return_code(fd, 0);
        assert_int_equal(in_sandbox(fd), 0);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_line),
                cmocka_unit_test(test_silence),
                cmocka_unit_test(test_flood),
                cmocka_unit_test(test_nothing_to_reach),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
