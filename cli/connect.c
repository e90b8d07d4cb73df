/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands that talk to a machine of a network, through the daemon: no interface is needed. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "dbus/names.h"

/* Bytes copied at once. */
#define COPY_SIZE (64U * 1024U)

/* --- nc --- */

static CliExit dial(Cli *cli, const char *host, uint16_t port, int *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        CliExit e;
        int r, fd;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Dial", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "sq", host, port);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_string(m, "network", cli->options.network);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read_basic(reply, 'h', &fd);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        /* The message's goes with it. */
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return cli_bus_failed(-errno, NULL);
        *ret = fd;
        return CLI_OK;
}

/* To the program that reads our standard output, ssh(1) with ProxyUseFdpass: one byte with the
 * socket. */
static CliExit pass_on(int fd) {
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        char byte = 0;
        struct iovec iov = { &byte, 1 };
        struct msghdr m = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control.bytes,
        };

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        if (sendmsg(STDOUT_FILENO, &m, MSG_NOSIGNAL) == 1)
                return CLI_OK;
        cli_error(_("cannot pass the connection on: %s"), g_strerror(errno));
        if (errno == ENOTSOCK)
                cli_note(_("--fdpass is for programs whose standard output is a unix socket, as "
                           "ssh's ProxyCommand with ProxyUseFdpass."));
        return CLI_FAILED;
}

/* Return: 0, or negative errno. */
static int write_all(int fd, const uint8_t *data, size_t len) {
        while (len > 0) {
                ssize_t n = write(fd, data, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                len -= (size_t) n;
        }
        return 0;
}

/* Standard input to the socket, in a thread of its own: a consumer of our output that waits for us
 * to take its input first must not stop both. */
static void *send_input(void *userdata) {
        int fd = GPOINTER_TO_INT(userdata), r = 0;
        g_autofree uint8_t *buf = g_malloc(COPY_SIZE);

        for (;;) {
                /* Also wakes when the connection breaks while nobody types. */
                struct pollfd p[] = { { STDIN_FILENO, POLLIN, 0 }, { fd, 0, 0 } };
                ssize_t n;

                if (poll(p, ELEMENTSOF(p), -1) < 0)
                        continue;
                if (!p[0].revents && p[1].revents)
                        break;
                n = read(STDIN_FILENO, buf, COPY_SIZE);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        break;
                r = write_all(fd, buf, (size_t) n);
                if (r < 0)
                        break;
        }
        (void) shutdown(fd, SHUT_WR);
        return GINT_TO_POINTER(r);
}

static CliExit copy_both_ways(int fd) {
        g_autofree uint8_t *buf = g_malloc(COPY_SIZE);
        GThread *input;
        ssize_t n;
        int r = 0;

        /* A connection that breaks is an error of write(), not the end of this program. */
        (void) signal(SIGPIPE, SIG_IGN);
        input = g_thread_new("input", send_input, GINT_TO_POINTER(fd));
        while (r >= 0 && (n = read(fd, buf, COPY_SIZE)) != 0) {
                if (n > 0)
                        r = write_all(STDOUT_FILENO, buf, (size_t) n);
                else if (errno != EINTR)
                        r = -errno;
        }
        /* The other side has nothing more to say; a person would not know that it still listens. */
        if (r >= 0 && !isatty(STDIN_FILENO))
                (void) g_thread_join(input);
        else
                g_thread_unref(input); /* ends with the process */
        if (r >= 0)
                return CLI_OK;
        if (r != -EPIPE)
                cli_error(_("connection lost: %s"), g_strerror(-r));
        return CLI_FAILED;
}

CliExit cli_nc(Cli *cli, char **args) {
        _cleanup_close_ int fd = -EBADF;
        unsigned port;
        CliExit e;

        if (cli_parse_count(args[1], &port) < 0 || port > UINT16_MAX) {
                cli_error(_("'%s' is no port (1 to 65535)"), args[1]);
                return CLI_USAGE;
        }
        e = dial(cli, args[0], (uint16_t) port, &fd);
        if (e != CLI_OK)
                return e;
        return cli->options.fdpass ? pass_on(fd) : copy_both_ways(fd);
}

/* --- ssh --- */

/* For the shell that runs a ProxyCommand, after ssh has replaced its tokens (%h). */
static void append_word(GString *command, const char *word) {
        g_autofree char *quoted = g_shell_quote(word);

        for (const char *p = quoted; *p; p++) {
                if (*p == '%')
                        g_string_append_c(command, '%');
                g_string_append_c(command, *p);
        }
        g_string_append_c(command, ' ');
}

/* The host key, and everything else about ssh, stays ssh's business. */
CliExit cli_ssh(Cli *cli, char **args) {
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
        g_autoptr(GString) command = g_string_new("ProxyCommand=");
        g_autoptr(GPtrArray) argv = g_ptr_array_new();

        append_word(command, self ?: "omerta");
        if (cli->options.given & CLI_OPTION_BIT(OPTION_USER))
                append_word(command, "--user");
        if (cli->options.given & CLI_OPTION_BIT(OPTION_SYSTEM))
                append_word(command, "--system");
        if (cli->options.network) {
                append_word(command, "--network");
                append_word(command, cli->options.network);
        }
        g_string_append(command, "nc --fdpass -- %h %p");

        g_ptr_array_add(argv, (char *) "ssh");
        g_ptr_array_add(argv, (char *) "-o");
        g_ptr_array_add(argv, command->str);
        g_ptr_array_add(argv, (char *) "-o");
        g_ptr_array_add(argv, (char *) "ProxyUseFdpass=yes");
        for (char **a = args; *a; a++)
                g_ptr_array_add(argv, *a);
        g_ptr_array_add(argv, NULL);
        (void) execvp("ssh", (char **) argv->pdata);
        cli_error(_("cannot run ssh: %s"), g_strerror(errno));
        return CLI_FAILED;
}
