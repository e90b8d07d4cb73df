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
/* As ping(8) has it. */
#define PING_INTERVAL_USEC USEC_PER_SEC
#define PING_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define PING_COUNT 4U

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

/* --- ping --- */

typedef struct Ping {
        char *host, *address, *via; /* of the machine; NULL: not known */
        unsigned sent, received;
        usec_t min, max, sum;
} Ping;

static void ping_done(Ping *p) {
        g_free(p->host);
        g_free(p->address);
        g_free(p->via);
}

static char *machine_property(Cli *cli, const char *path, const char *name) {
        char *value = NULL, *copy;

        if (sd_bus_get_property_string(
                            cli->bus, OMERTA_BUS_NAME, path, OMERTA_IFACE_MACHINE, name, NULL,
                            &value) < 0)
                return g_strdup("");
        copy = g_strdup(value);
        free(value);
        return copy;
}

/* Return: CLI_TIMEOUT where it was lost, which is no error here and not said. */
static CliExit ping_once(Cli *cli, const char *host, Ping *p, usec_t *ret_rtt) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *machine;
        CliExit e;
        int r;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Ping", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "s", host);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = cli_bus_option_string(m, "network", cli->options.network);
        if (r >= 0)
                r = cli_bus_option_u64(m, "timeout", PING_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        r = sd_bus_call(cli->bus, m, 0, &error, &reply);
        if (r < 0 && sd_bus_error_has_name(&error, OMERTA_ERROR_TIMEOUT))
                return CLI_TIMEOUT;
        if (r >= 0)
                r = sd_bus_message_read(reply, "to", ret_rtt, &machine);
        if (r < 0)
                return cli_bus_failed(r, &error);
        /* Asked each time: the path may become a direct one meanwhile. */
        g_free(p->via);
        p->via = machine_property(cli, machine, "Path");
        if (!p->host) {
                p->host = machine_property(cli, machine, "HostName");
                p->address = machine_property(cli, machine, "Address");
        }
        return CLI_OK;
}

static void ping_print(const Ping *p, usec_t rtt) {
        g_autofree char *host = cli_format_text(p->host), *address = cli_format_text(p->address);
        g_autofree char *via = cli_format_text(p->via), *text = cli_format_rtt(rtt);

        printf(_("%s (%s): %s, %s\n"), host, address, text, via);
        (void) fflush(stdout);
}

static void ping_json(const Ping *p) {
        g_autoptr(JsonBuilder) b = cli_json_new();

        cli_json_string(b, "host_name", p->host);
        cli_json_string(b, "address", p->address);
        cli_json_string(b, "path", p->via);
        cli_json_count(b, "sent", p->sent);
        cli_json_count(b, "received", p->received);
        cli_json_usec(b, "rtt_min_usec", p->min);
        cli_json_usec(b, "rtt_avg_usec", p->received > 0 ? p->sum / p->received : 0);
        cli_json_usec(b, "rtt_max_usec", p->max);
        cli_json_print(b);
}

static void ping_summary(const Ping *p) {
        g_autofree char *min = cli_format_rtt(p->min), *max = cli_format_rtt(p->max);
        g_autofree char *avg = cli_format_rtt(p->received > 0 ? p->sum / p->received : 0);

        printf(_("%u sent, %u received, %u%% lost; round trip %s to %s, %s on average\n"), p->sent,
               p->received, (p->sent - p->received) * 100 / p->sent, min, max, avg);
}

CliExit cli_ping(Cli *cli, char **args) {
        unsigned count = cli->options.count > 0 ? cli->options.count : PING_COUNT;
        _cleanup_(ping_done) Ping p = {};

        for (; p.sent < count; p.sent++) {
                usec_t begin = now_usec(CLOCK_MONOTONIC), took, rtt = 0;
                CliExit e;

                e = ping_once(cli, args[0], &p, &rtt);
                if (e != CLI_OK && e != CLI_TIMEOUT)
                        return e;
                if (e == CLI_OK) {
                        p.min = p.received == 0 ? rtt : MIN(p.min, rtt);
                        p.max = MAX(p.max, rtt);
                        p.sum += rtt;
                        p.received++;
                }
                if (!cli->options.json && e == CLI_OK)
                        ping_print(&p, rtt);
                else if (!cli->options.json)
                        cli_note(_("%s does not answer"), args[0]);
                took = usec_sub(now_usec(CLOCK_MONOTONIC), begin);
                if (p.sent + 1 < count && took < PING_INTERVAL_USEC)
                        g_usleep(PING_INTERVAL_USEC - took);
        }
        if (cli->options.json)
                ping_json(&p);
        else
                ping_summary(&p);
        return p.received > 0 ? CLI_OK : CLI_TIMEOUT;
}
