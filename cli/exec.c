/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A program in the namespace of the daemon's kernel stack. Theory of operation: the daemon hands
 * over two namespaces. This process enters the user namespace first, which it may because its user
 * owns it and it has one thread; there it has every capability, also over the network namespace,
 * which it enters next. In a mount namespace of its own it puts other files over those by which
 * programs look names up. execve() then takes the capabilities away again: who is not root (in the
 * namespace one user is mapped, onto themselves) has none after it.
 */

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/securebits.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "cli/bus.h"
#include "cli/i18n.h"
#include "cli/name-files.h"
#include "dbus/names.h"

/* nscd(8) answers glibc, and would for the machine's network. */
#define NSCD_DIRECTORY "/var/run/nscd"
/* Where the files are made; it is there when they have something to cover. */
#define SCRATCH_DIRECTORY "/etc"

/* What is put over a file of the machine. */
typedef struct Cover {
        const char *path;
        char *text;
        int target; /* the file, wherever symbolic links lead; -EBADF: there is none */
} Cover;

/* --- what the daemon says --- */

static CliExit get_namespaces(Cli *cli, const char *network, int *ret_user, int *ret_net) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_close_ int user = -EBADF, net = -EBADF;
        CliExit e;
        int r, fds[2];

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "GetNamespaces", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append(m, "a{sv}", 1, "network", "s", network);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read(reply, "hh", &fds[0], &fds[1]);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        /* The message's go with it. */
        user = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
        net = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
        if (user < 0 || net < 0)
                return cli_bus_failed(-errno, NULL);
        *ret_user = TAKE_FD(user);
        *ret_net = TAKE_FD(net);
        return CLI_OK;
}

/* --- names --- */

static int write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        size_t len = strlen(text);

        if (fd < 0)
                return -errno;
        while (len > 0) {
                ssize_t n = write(fd, text, len);

                if (n < 0)
                        return -errno;
                text += n;
                len -= (size_t) n;
        }
        return 0;
}

static int cover(const Cover *c) {
        g_autofree char *name = g_path_get_basename(c->path);
        g_autofree char *made = g_build_filename(SCRATCH_DIRECTORY, name, NULL);
        g_autofree char *target = g_strdup_printf("/proc/self/fd/%d", c->target);
        int r = write_file(made, c->text);

        if (r < 0)
                return r;
        return mount(made, target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* The files live on in what is mounted, their file system without a place. */
static int cover_all(const Cover *covers, size_t n) {
        const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
        int r = 0;

        if (mount("tmpfs", SCRATCH_DIRECTORY, "tmpfs", flags, "mode=0755") < 0)
                return -errno;
        for (size_t i = 0; i < n && r >= 0; i++)
                if (covers[i].target >= 0)
                        r = cover(&covers[i]);
        if (umount2(SCRATCH_DIRECTORY, MNT_DETACH) < 0)
                return -errno;
        if (r < 0)
                return r;
        if (mount("tmpfs", NSCD_DIRECTORY, "tmpfs", flags | MS_RDONLY, "mode=0755") < 0 &&
            errno != ENOENT)
                return -errno;
        return 0;
}

static char *read_text(const char *path) {
        char *text = NULL;

        return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static CliExit give_names(const ClientNetwork *n) {
        g_autofree char *hosts = read_text("/etc/hosts"), *nsswitch = read_text("/etc/nsswitch.conf");
        Cover covers[] = {
                { "/etc/hosts", cli_hosts_file(hosts, n), -EBADF },
                { "/etc/nsswitch.conf", cli_nsswitch_file(nsswitch), -EBADF },
                { "/etc/resolv.conf", g_strdup(cli_resolv_file), -EBADF },
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(covers); i++)
                covers[i].target = open(covers[i].path, O_PATH | O_CLOEXEC);
        /* Without the two others the C library does what they would say: files, then a name server
         * on loopback. */
        if (covers[0].target < 0)
                cli_note(_("The program does not know the names of machines: this one has no %s."),
                         covers[0].path);
        r = cover_all(covers, ELEMENTSOF(covers));
        for (size_t i = 0; i < ELEMENTSOF(covers); i++) {
                closep(&covers[i].target);
                g_free(covers[i].text);
        }
        if (r >= 0)
                return CLI_OK;
        cli_error(_("cannot give the program the names of machines: %s"), g_strerror(-r));
        return CLI_FAILED;
}

/* --- the namespace --- */

/* Where a user namespace is another's, root could enter it and would be nobody there. */
static bool is_own(int user_ns) {
        uid_t owner;

        return ioctl(user_ns, NS_GET_OWNER_UID, &owner) < 0 || owner == geteuid();
}

static CliExit enter(int user_ns, int net_ns) {
        gid_t gid = getegid();

        if (!is_own(user_ns)) {
                cli_error(_("this omertad is another user's: only their programs can live in its "
                            "network"));
                return CLI_DENIED;
        }
        if (setns(user_ns, CLONE_NEWUSER) < 0 || setns(net_ns, CLONE_NEWNET) < 0) {
                cli_error(_("cannot enter the network of omertad: %s"), g_strerror(errno));
                cli_note(_("omerta and omertad must run outside of containers and sandboxes, or in "
                           "the same one."));
                return CLI_FAILED;
        }
        if (getegid() != gid) {
                cli_error(_("omertad was started with another group than %u: see newgrp(1)"), gid);
                return CLI_FAILED;
        }
        /* A slave of the machine's, since the user namespace is another (mount_namespaces(7)): what
         * is mounted and unmounted there is so here, but not the other way round. */
        if (unshare(CLONE_NEWNS) < 0) {
                cli_error(_("cannot make a mount namespace: %s"), g_strerror(errno));
                return CLI_FAILED;
        }
        return CLI_OK;
}

/* For root's own daemon: user 0 has no capability by being user 0. */
static CliExit drop_privileges(void) {
        if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) >= 0)
                return CLI_OK;
        cli_error(_("cannot drop privileges: %s"), g_strerror(errno));
        return CLI_FAILED;
}

static CliExit find_network(Cli *cli, ClientSnapshot **ret_snapshot, const ClientNetwork **ret) {
        g_autofree char *path = NULL;
        CliExit e = cli_bus_network_path(cli, &path);

        if (e == CLI_OK)
                e = cli_bus_snapshot(cli, ret_snapshot);
        if (e != CLI_OK)
                return e;
        *ret = client_snapshot_find_network(*ret_snapshot, path);
        if (*ret)
                return CLI_OK;
        cli_error(_("the network has gone"));
        return CLI_NOT_FOUND;
}

/* As shells have it, also where execvp(3) says that a directory of $PATH may not be searched. */
static CliExit run(char **args) {
        g_autofree char *found = NULL;
        CliExit e = CLI_CANNOT_EXECUTE;

        if (!strchr(args[0], '/') && !(found = g_find_program_in_path(args[0])))
                errno = ENOENT;
        else
                (void) execvp(args[0], args);
        if (errno == ENOENT)
                e = CLI_NO_PROGRAM;
        cli_error(_("cannot run %s: %s"), args[0], g_strerror(errno));
        return e;
}

CliExit cli_exec(Cli *cli, char **args) {
        _cleanup_close_ int user_ns = -EBADF, net_ns = -EBADF;
        g_autoptr(ClientSnapshot) s = NULL;
        const ClientNetwork *n;
        CliExit e;

        if (strcmp(args[0], "--") == 0)
                args++;
        else if (args[0][0] == '-') {
                cli_error(_("'%s' is no program: options of omerta stand before 'exec'"), args[0]);
                return CLI_USAGE;
        }
        if (!args[0]) {
                cli_error(_("'exec' wants a program to run"));
                return CLI_USAGE;
        }
        if ((e = find_network(cli, &s, &n)) != CLI_OK ||
            (e = get_namespaces(cli, n->id, &user_ns, &net_ns)) != CLI_OK ||
            (e = enter(user_ns, net_ns)) != CLI_OK || (e = give_names(n)) != CLI_OK ||
            (e = drop_privileges()) != CLI_OK)
                return e;
        return run(args);
}
