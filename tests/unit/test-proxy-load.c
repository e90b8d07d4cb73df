/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "proxy-world.h"

/* --- many --- */

static void test_sequential(void **state) {
        World *w = *state;
        struct mallinfo2 start = {}, end;
        unsigned before = 0;
        uint8_t buf[64];

        world_serve(w, &(ProxyServerOptions){});
        for (unsigned i = 0; i < 10000; i++) {
                static const struct linger reset = { .l_onoff = 1 };
                unsigned what = i % 4;
                int fd;

                /* The first hundred fill caches. */
                if (i == 100) {
                        world_all_gone(w);
                        world_settle(w);
                        before = count_fds();
                        start = mallinfo2();
                }
                fd = world_client(w);
                if (what == 0)
                        say(fd, buf, connect_request(buf, w->closed_port));
                else
                        say(fd, buf, connect_request(buf, w->service_port));
                if (what == 0)
                        world_hears(w, fd, (const uint8_t[]){ 5, 0, 5, 5 }, 4);
                else if (what == 1) {
                        world_hears_connected(w, fd);
                        say_text(fd, "hello");
                        world_hears(w, fd, "hello", 5);
                } else if (what == 2) /* gone somewhere on the way */
                        (void) sd_event_run(w->event, 0);
                /* No TIME_WAIT: ten thousand would use up the ports. */
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(fd);
        }
        world_all_gone(w);
        world_settle(w);
        end = mallinfo2();
        assert_int_equal(count_fds(), before);
        print_message("memory in use: %zu before, %zu after\n", start.uordblks, end.uordblks);
        /* Under the sanitizer there are no figures: 0, and its own search for leaks. */
        assert_true(end.uordblks <= start.uordblks + 4096);
}

#define PARALLEL 1000U

static void test_parallel(void **state) {
        World *w = *state;
        g_autofree int *fd = g_new(int, PARALLEL);
        struct rlimit limit;
        struct mallinfo2 start, end;
        unsigned before;
        uint8_t buf[64];

        /* Client, proxy's two, service: four fds each in this one process. */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < 4 * PARALLEL + 100) {
                limit.rlim_cur = limit.rlim_max;
                if (limit.rlim_max < 4 * PARALLEL + 100 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        skip();
        }
        world_serve(w, &(ProxyServerOptions){});
        before = count_fds();
        start = mallinfo2();
        for (unsigned i = 0; i < PARALLEL; i++) {
                fd[i] = world_client(w);
                say(fd[i], buf, connect_request(buf, w->service_port));
                /* So that the queue of the listener never overflows. */
                if (i % 100 == 99)
                        while (proxy_server_stats(w->server).accepted <= i)
                                world_turn(w);
        }
        for (unsigned i = 0; i < PARALLEL; i++)
                world_hears_connected(w, fd[i]);
        for (unsigned i = 0; i < PARALLEL; i++)
                say(fd[i], &i, sizeof i);
        for (unsigned i = PARALLEL; i-- > 0;)
                world_hears(w, fd[i], &i, sizeof i);
        end = mallinfo2();
        assert_int_equal(proxy_server_stats(w->server).active, PARALLEL);
        assert_int_equal(count_fds(), before + 4 * PARALLEL);
        print_message("%zu bytes an idle connection, the service's part of it included\n",
                      (end.uordblks - start.uordblks) / PARALLEL);
        assert_true(end.uordblks - start.uordblks < PARALLEL * 4096);
        for (unsigned i = 0; i < PARALLEL; i++)
                close(fd[i]);
        world_all_gone(w);
        while (count_fds() > before)
                world_turn(w);
        assert_int_equal(count_fds(), before);
}

/* --- a real client --- */

static int on_web_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char buf[4096];
        ssize_t n = recv(fd, buf, sizeof buf - 1, 0);

        if (n < 0)
                return 0;
        buf[n] = '\0';
        if (strstr(buf, "\r\n\r\n"))
                say_text(fd, "HTTP/1.0 200 OK\r\n\r\nhello");
        sd_event_source_disable_unref(source);
        close(fd);
        return 0;
}

static void on_web_accepted(void *userdata, int fd) {
        World *w = userdata;
        sd_event_source *source;

        assert_true(sd_event_add_io(w->event, &source, fd, EPOLLIN, on_web_io, w) >= 0);
}

static void
run_curl(World *w, const char *option, const char *credentials, uint16_t port, int expected) {
        g_autofree char *proxy = g_strdup_printf("%s127.0.0.1:%u", credentials, w->port);
        g_autofree char *url = g_strdup_printf("http://nas.omerta:%u/", port);
        char buf[16] = {};
        int out[2], status;
        pid_t pid;

        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                dup2(out[1], STDOUT_FILENO);
                execlp("curl", "curl", "-s", "--noproxy", "", "--proxytunnel", option, proxy, url,
                       NULL);
                _exit(127);
        }
        close(out[1]);
        while (waitpid(pid, &status, WNOHANG) == 0)
                (void) sd_event_run(w->event, 10 * USEC_PER_MSEC);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), expected);
        assert_int_equal(read(out[0], buf, sizeof buf), expected == 0 ? 5 : 0);
        assert_string_equal(buf, expected == 0 ? "hello" : "");
        close(out[0]);
}

static void test_curl(void **state) {
        World *w = *state;
        g_autofree char *curl = g_find_program_in_path("curl");
        Endpoint local = loopback(0);
        Listener *web;
        uint16_t port;
        int fd;

        if (!curl) {
                print_message("curl is not installed\n");
                skip();
        }
        fd = listener_open(&local);
        local = listener_local(fd);
        port = endpoint_port(&local);
        assert_int_equal(listener_new(w->event, fd, on_web_accepted, w, &web), 0);
        world_serve(w, &(ProxyServerOptions){});
        run_curl(w, "--socks5-hostname", "", port, 0);
        run_curl(w, "--proxy", "", port, 0);
        run_curl(w, "--socks5-hostname", "", w->closed_port, 97); /* CURLE_PROXY */
        proxy_server_free(w->server);
        world_serve(w, &(ProxyServerOptions){ .user = "anna", .password = "secret" });
        run_curl(w, "--socks5-hostname", "anna:secret@", port, 0);
        run_curl(w, "--proxy", "anna:secret@", port, 0);
        run_curl(w, "--socks5-hostname", "anna:wrong@", port, 97);
        run_curl(w, "--proxy", "anna:wrong@", port, 56); /* CURLE_RECV_ERROR: refused */
        listener_free(web);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_sequential, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_parallel, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(test_curl, world_setup, world_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
