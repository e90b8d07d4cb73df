/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * omerta-netns-helper: lives in a user and network namespace of its own and makes sockets in it
 * for omertad, which started it (netif/netstack-kernel.c); or in those of one before it, which ended
 * alone. A program of its own because only a
 * process with one thread may enter a new user namespace, and because nothing of omertad's memory,
 * keys above all, should be in a process that lives where other programs may enter.
 *
 * It ends when its socket does. Before that it aborts the connections that programs still hold:
 * nobody carries their packets any more, and TCP would hope for a quarter of an hour.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "host/rtnl-detour.h"
#include "host/sock-diag.h"
#include "netif/netns-protocol.h"
#include "netif/tun.h"

/* Packets. A flow holds few of them by itself (TCP small queues); a proxy's thousand flows that
 * speak at once should not lose most of what they say. */
#define QUEUE_LEN 256U
#define FDS_MAX 64U
#define LOOPBACK_IFINDEX 1U /* of every network namespace */

static int write_text(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        size_t len = strlen(text);

        if (fd < 0 || write(fd, text, len) != (ssize_t) len)
                return -errno;
        return 0;
}

/* --- namespace --- */

static int enter(void) {
        uid_t uid = geteuid();
        gid_t gid = getegid();
        char map[64];
        int r;

        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                return -errno;
        /* One person stays who they are: programs run in here later see their own files. Before a
         * group can be mapped, setgroups() must be given up (user_namespaces(7)). */
        r = write_text("/proc/self/setgroups", "deny");
        if (r < 0 && r != -ENOENT)
                return r;
        g_snprintf(map, sizeof map, "%u %u 1", uid, uid);
        r = write_text("/proc/self/uid_map", map);
        if (r < 0)
                return r;
        g_snprintf(map, sizeof map, "%u %u 1", gid, gid);
        return write_text("/proc/self/gid_map", map);
}

/* Echo without CAP_NET_RAW (icmp(7)); where /proc/sys is read-only there is no ping, all else
 * works. */
static void allow_echo(void) {
        char range[32];

        g_snprintf(range, sizeof range, "%u %u", getegid(), getegid());
        (void) write_text("/proc/sys/net/ipv4/ping_group_range", range);
}

static int loopback_up(void) {
        _cleanup_(rtnl_closep) Rtnl *r = NULL;
        int status = rtnl_open(&r);

        return status < 0 ? status : rtnl_link_configure(r, LOOPBACK_IFINDEX, 0, 0, true);
}

/* --- requests --- */

/* A handful at a time, whatever its parent was allowed. */
static void limit_fds(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = MIN(limit.rlim_cur, FDS_MAX);
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int reply(const NetnsReply *p, const int *fds, unsigned n_fds) {
        return netns_send(NETNS_HELPER_FD, p, sizeof *p, fds, n_fds);
}

/* What is not in the network goes to it all the same: by the exit, where one is used, and else
 * programs are told at once that there is no route. */
static void add_defaults(const Netif *tun, const NetnsRequest *q) {
        _cleanup_(rtnl_closep) Rtnl *r = NULL;

        if (rtnl_open(&r) < 0)
                return;
        if (ip_is_set(&q->address))
                (void) rtnl_add_default(r, tun->ifindex, &q->address);
        if (ip_is_set(&q->address6))
                (void) rtnl_add_default(r, tun->ifindex, &q->address6);
}

static int serve(Netif *tun) {
        for (;;) {
                _cleanup_close_ int fd = -EBADF;
                NetnsReply p = {};
                NetnsRequest q;
                ssize_t n;
                int r;

                n = recv(NETNS_HELPER_FD, &q, sizeof q, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n != sizeof q)
                        return n == 0 ? 0 : -EPROTO;
                switch (q.kind) {
                case NETNS_SOCKET:
                        fd = socket(q.family, q.type | SOCK_CLOEXEC | SOCK_NONBLOCK, q.protocol);
                        p.error = fd < 0 ? -errno : 0;
                        break;
                case NETNS_CONFIGURE:
                        p.error = tun->ops->configure(
                                        tun, &q.address, q.prefix_len, &q.address6, q.prefix_len6,
                                        q.mtu);
                        if (p.error >= 0)
                                add_defaults(tun, &q);
                        break;
                }
                r = reply(&p, &fd, fd >= 0 ? 1 : 0);
                if (r < 0)
                        return r;
        }
}

static int fail(NetnsStage stage, int error, const char *text) {
        NetnsReply p = { .error = error, .stage = stage };

        g_strlcpy(p.text, text ? text : "", sizeof p.text);
        (void) reply(&p, NULL, 0);
        return 1;
}

/* --- start --- */

/* Return: 0, or the exit status of a failure that was told. */
static int start_new(Netif **ret) {
        const TunOptions options = {
                .name = NETNS_INTERFACE,
                .fd = -EBADF,
                .queue_len = QUEUE_LEN,
                .single_queue = true,
        };
        _cleanup_close_ int user = -EBADF, net = -EBADF;
        g_autofree char *error = NULL;
        NetnsReply ready = { .stage = NETNS_STAGE_READY };
        int fds[_NETNS_FDS_MAX], r;
        Netif *tun;

        r = enter();
        if (r < 0)
                return fail(NETNS_STAGE_UNSHARE, r, NULL);
        allow_echo();
        r = loopback_up();
        if (r < 0)
                return fail(NETNS_STAGE_UNSHARE, r, NULL);
        r = tun_new(&options, &tun, &error);
        if (r < 0)
                return fail(NETNS_STAGE_TUN, r, error);
        user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
        net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (user < 0 || net < 0) {
                r = fail(NETNS_STAGE_UNSHARE, -errno, NULL);
                netif_free(tun);
                return r;
        }
        ready.ifindex = tun->ifindex;
        fds[NETNS_FD_TUN] = tun_fd(tun);
        fds[NETNS_FD_USER] = user;
        fds[NETNS_FD_NET] = net;
        *ret = tun;
        return reply(&ready, fds, _NETNS_FDS_MAX) < 0 ? 1 : 0;
}

/* The namespaces and the tun of a helper that ended: omertad kept them, and in them lives all that
 * was made there. As start_new(). */
static int start_again(Netif **ret) {
        const NetnsReply ready = { .stage = NETNS_STAGE_READY };
        int fds[_NETNS_FDS_MAX];
        g_autofree char *error = NULL;
        TunOptions options = {};
        unsigned n_fds = 0;
        char byte;
        int r;

        if (netns_receive(NETNS_HELPER_FD, &byte, 1, fds, &n_fds) != 1 || n_fds != _NETNS_FDS_MAX)
                return 1;
        /* Whose user namespace it is has every capability in it (user_namespaces(7)). */
        if (setns(fds[NETNS_FD_USER], CLONE_NEWUSER) < 0 || setns(fds[NETNS_FD_NET], CLONE_NEWNET) < 0)
                return fail(NETNS_STAGE_UNSHARE, -errno, NULL);
        close(fds[NETNS_FD_USER]);
        close(fds[NETNS_FD_NET]);
        options.fd = fds[NETNS_FD_TUN];
        r = tun_new(&options, ret, &error);
        if (r < 0)
                return fail(NETNS_STAGE_TUN, r, error);
        return reply(&ready, NULL, 0) < 0 ? 1 : 0;
}

int main(int argc, char **argv) {
        bool again = argc > 1 && strcmp(argv[1], NETNS_AGAIN) == 0;
        Netif *tun = NULL;
        int r, type;
        socklen_t len = sizeof type;

        if (getsockopt(NETNS_HELPER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
            type != SOCK_SEQPACKET) {
                fputs("omerta-netns-helper is started by omertad, not by hand.\n", stderr);
                return 2;
        }
        (void) fcntl(NETNS_HELPER_FD, F_SETFD, FD_CLOEXEC);
        /* systemd tells every process of a service to end; ours is told by omertad's end. */
        (void) signal(SIGTERM, SIG_IGN);
        /* Not a child of the terminal's: ^C is for omertad, which then ends us. */
        (void) setsid();
        limit_fds();

        r = again ? start_again(&tun) : start_new(&tun);
        if (r == 0) {
                (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                r = serve(tun) < 0 ? 1 : 0;
                (void) sock_diag_abort_tcp();
        }
        netif_free(tun);
        return r;
}
