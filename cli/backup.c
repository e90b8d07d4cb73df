/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bus.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "dbus/names.h"

/* Asked for before the daemon is: what has no place needs no answer. */
static CliExit open_output(const char *file, int *ret) {
        if (strcmp(file, "-") == 0) {
                if (isatty(STDOUT_FILENO)) {
                        cli_error(_("a backup is no text: name a file, or lead it into a program"));
                        return CLI_USAGE;
                }
                *ret = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        } else
                *ret = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*ret >= 0)
                return CLI_OK;
        cli_error(_("cannot write %s: %s"), file, g_strerror(errno));
        return CLI_FAILED;
}

static CliExit fetch(Cli *cli, int *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        CliExit e;
        int r, fd;

        if ((e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Backup", &m)) != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if ((e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        /* The message's goes with it. */
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *ret < 0 ? cli_bus_failed(-errno, NULL) : CLI_OK;
}

/* Return: 0 or negative errno. */
static int copy(int from, int to, uint64_t *ret_size) {
        struct stat st;
        uint8_t buf[65536];
        uint64_t size = 0;
        ssize_t n;

        while ((n = pread(from, buf, sizeof buf, (off_t) size)) > 0) {
                for (ssize_t at = 0, w; at < n; at += w)
                        if ((w = write(to, buf + at, (size_t) (n - at))) < 0)
                                return -errno;
                size += (uint64_t) n;
        }
        explicit_bzero(buf, sizeof buf);
        if (n < 0 || fstat(to, &st) < 0)
                return -errno;
        /* A pipe cannot be synced. */
        if (S_ISREG(st.st_mode) && fsync(to) < 0)
                return -errno;
        *ret_size = size;
        return 0;
}

CliExit cli_backup(Cli *cli, char **args) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        const char *file = args[0];
        uint64_t size = 0;
        CliExit e;
        int r;

        if (cli->options.json && strcmp(file, "-") == 0) {
                cli_error(_("--json and the backup cannot both be printed"));
                return CLI_USAGE;
        }
        if ((e = open_output(file, &to)) != CLI_OK)
                return e;
        e = fetch(cli, &from);
        if (e == CLI_OK && (r = copy(from, to, &size)) < 0) {
                cli_error(_("cannot write %s: %s"), file, g_strerror(-r));
                e = CLI_FAILED;
        }
        if (e != CLI_OK) {
                if (strcmp(file, "-") != 0)
                        (void) unlink(file);
                return e;
        }
        if (cli->options.json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "file", file);
                cli_json_count(b, "bytes", size);
                cli_json_print(b);
        }
        cli_hint(_("It holds the keys of this machine and of its networks: whoever has it is this "
                   "machine.\n'omertad restore' makes a state directory of it."));
        return CLI_OK;
}
