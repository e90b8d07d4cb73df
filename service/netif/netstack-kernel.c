/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kernel's TCP without privilege. Theory of operation: a child process, omerta-netns-helper,
 * enters a new user and network namespace, where it may do what needs CAP_NET_ADMIN elsewhere:
 * make a tun. It hands the tun's fd back, and then sockets made in that namespace; a socket stays
 * in the network namespace it was made in, whoever uses it. So connections are ordinary sockets
 * of omertad (netstack-sockets.c), whose packets come out of a tun only we read.
 *
 * Requests to the helper are answered at once by a process that does nothing else, so they are
 * synchronous, with a limit against a helper that was stopped.
 *
 * A helper may end alone: killed by a person, or by the kernel when memory is short. The namespaces
 * and the tun live as long as our descriptors of them, and so do all sockets in there: packets go
 * on. Only new sockets and addresses have to wait. Another helper is started, which enters what is
 * there; when it ends too, ever more slowly. One that does not answer is ended and taken for dead.
 */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "config.h"
#include "netif/netns-protocol.h"
#include "netif/netstack-sockets.h"
#include "netif/tun.h"

/* Making a network namespace waits for the kernel's teardown of others (RTNL): seconds at worst. */
#define HELPER_TIMEOUT_SEC 5
/* Before another helper is started. Nobody sees the first pause; at the last one, a helper that
 * can never start costs nothing. One that lived for so long begins with the first one again. */
#define PAUSE_MIN_USEC (200 * USEC_PER_MSEC)
#define PAUSE_MAX_USEC (30 * USEC_PER_SEC)
#define HELPER_GOOD_USEC (60 * USEC_PER_SEC)

/* Forwards packets to the tun, configuration to the helper. */
typedef struct KernelNetif {
        Netif netif;
        Netif *tun;
        struct KernelStack *stack;
} KernelNetif;

typedef struct KernelStack {
        NetstackSockets sockets;
        KernelNetif netif;
        int user_ns, net_ns;
        NetnsRequest configured; /* what a new helper has to set */

        /* the helper; pid 0: none */
        pid_t pid;
        int pidfd;
        int helper; /* socket */
        bool is_ready;
        usec_t pause, ready_at; /* CLOCK_MONOTONIC */
        sd_event_source *death;
        sd_event_source *first_reply;
        sd_event_source *timer; /* the next start, or the end of one that takes too long */
} KernelStack;

/* --- helper --- */

/* Return: how many fds, or negative errno. */
static int receive(int helper, NetnsReply *ret, int fds[static _NETNS_FDS_MAX]) {
        unsigned n_fds = 0;
        ssize_t n = netns_receive(helper, ret, sizeof *ret, fds, &n_fds);

        if (n < 0)
                return (int) n;
        if (n != sizeof *ret)
                return n == 0 ? -ECONNRESET : -EPROTO;
        return (int) n_fds;
}

/* -ENETDOWN: there is no helper now; on_death() sees to one that is of no use any more. */
static int request(KernelStack *s, const NetnsRequest *q, int *ret_fd) {
        int fds[_NETNS_FDS_MAX];
        NetnsReply p;
        int r;

        if (!s->is_ready)
                return -ENETDOWN;
        r = netns_send(s->helper, q, sizeof *q, NULL, 0);
        if (r >= 0)
                r = receive(s->helper, &p, fds);
        if (r < 0) {
                /* Not there, or a late answer would be taken for the next one's. Not yet waited
                 * for, so the number is still its. */
                s->is_ready = false;
                (void) kill(s->pid, SIGKILL);
                return -ENETDOWN;
        }
        if (p.error < 0)
                return p.error;
        if (ret_fd) {
                if (r != 1)
                        return -EPROTO;
                *ret_fd = fds[0];
        }
        return 0;
}

static int make_socket(NetstackSockets *sockets, int family, int type, int protocol) {
        const NetnsRequest q = {
                .kind = NETNS_SOCKET,
                .family = family,
                .type = type,
                .protocol = protocol,
        };
        int fd, r;

        r = request((KernelStack *) sockets, &q, &fd);
        return r < 0 ? r : fd;
}

static int spawn_helper(bool again, pid_t *ret_pid, int *ret_socket) {
        const char *path = secure_getenv("OMERTA_NETNS_HELPER");
        const struct timeval limit = { .tv_sec = HELPER_TIMEOUT_SEC };
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        char *const argv[] = { (char *) "omerta-netns-helper", again ? (char *) NETNS_AGAIN : NULL,
                               NULL };
        char *const envp[] = { NULL };
        sigset_t none, all;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        if (setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
                return -errno;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, theirs, NETNS_HELPER_FD);
        /* The event loop blocks signals; the helper must not inherit that. */
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        r =
                        -posix_spawn(ret_pid, path ? path : OMERTA_LIBEXECDIR "/omerta-netns-helper",
                                     &actions, &attr, argv, envp);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attr);
        if (r < 0)
                return r;
        *ret_socket = TAKE_FD(ours);
        return 0;
}

/* --- why not --- */

static bool proc_number_is(const char *proc, const char *name, char digit) {
        g_autofree char *path = g_build_filename(proc, name, NULL);
        g_autofree char *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return false;
        return text[0] == digit && !g_ascii_isdigit(text[1]);
}

char *netstack_userns_reason(int error, const char *proc) {
        static const struct {
                const char *file;
                char digit;
                const char *name;
        } known[] = {
                /* Debian, Arch; apparmor: Ubuntu 23.10. */
                { "sys/kernel/unprivileged_userns_clone", '0',
                  "kernel.unprivileged_userns_clone = 0" },
                { "sys/kernel/apparmor_restrict_unprivileged_userns", '1',
                  "kernel.apparmor_restrict_unprivileged_userns = 1" },
                { "sys/user/max_user_namespaces", '0', "user.max_user_namespaces = 0" },
                { "sys/user/max_net_namespaces", '0', "user.max_net_namespaces = 0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (proc_number_is(proc, known[i].file, known[i].digit))
                        return g_strdup_printf("user namespaces are forbidden: %s", known[i].name);
        if (error == -ENOSPC)
                return g_strdup("user namespaces are used up: see user.max_user_namespaces and "
                                "user.max_net_namespaces");
        if (error == -EPERM || error == -EACCES)
                return g_strdup("user namespaces are forbidden here: by a container, a sandbox "
                                "(RestrictNamespaces=) or a security module");
        if (error == -EINVAL || error == -ENOSYS)
                return g_strdup("the kernel has no user namespaces");
        return g_strdup_printf("a user namespace cannot be made: %s", g_strerror(-error));
}

/* --- interface --- */

static int kernel_read_batch(Netif *n, PacketIn *packets, unsigned max) {
        Netif *tun = ((KernelNetif *) n)->tun;

        return tun->ops->read_batch(tun, packets, max);
}

static int
kernel_write_batch(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        Netif *tun = ((KernelNetif *) n)->tun;

        return tun->ops->write_batch(tun, packets, count, ret_refused);
}

static int kernel_fd(Netif *n) {
        return tun_fd(((KernelNetif *) n)->tun);
}

static int kernel_configure(
                Netif *n,
                const IpAddr *address,
                uint8_t prefix_len,
                const IpAddr *address6,
                uint8_t prefix_len6,
                uint16_t mtu) {
        const NetnsRequest q = {
                .kind = NETNS_CONFIGURE,
                .address = *address,
                .prefix_len = prefix_len,
                .address6 = *address6,
                .prefix_len6 = prefix_len6,
                .mtu = mtu,
        };

        KernelStack *s = ((KernelNetif *) n)->stack;
        int r;

        s->configured = q;
        r = request(s, &q, NULL);
        /* Without a helper: when there is one. */
        return r == -ENETDOWN ? 0 : r;
}

/* The stack owns it. */
static void kernel_netif_free(Netif *n) {
}

static const NetifOps kernel_netif_ops = {
        .name = "kernel",
        .read_batch = kernel_read_batch,
        .write_batch = kernel_write_batch,
        .fd = kernel_fd,
        .configure = kernel_configure,
        .free = kernel_netif_free,
};

/* --- life --- */

static int kernel_namespaces(Netstack *n, int *ret_user_fd, int *ret_net_fd) {
        KernelStack *s = (KernelStack *) n;

        *ret_user_fd = s->user_ns;
        *ret_net_fd = s->net_ns;
        return 0;
}

/* The helper ends the connections that programs still hold, then itself; a receive has its limit. */
static void await_end(int helper) {
        ssize_t n;
        char byte;

        (void) shutdown(helper, SHUT_WR);
        do
                n = recv(helper, &byte, 1, 0);
        while (n > 0 || (n < 0 && errno == EINTR));
}

/* Of a helper that ends now, or never lived. */
static void forget_helper(KernelStack *s) {
        s->death = sd_event_source_disable_unref(s->death);
        s->first_reply = sd_event_source_disable_unref(s->first_reply);
        s->timer = sd_event_source_disable_unref(s->timer);
        closep(&s->helper);
        closep(&s->pidfd);
        if (s->pid > 0) {
                /* For one that was stopped. Not yet waited for, so the number is still its. */
                (void) kill(s->pid, SIGKILL);
                while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        s->pid = 0;
        s->is_ready = false;
}

static void kernel_free(Netstack *n) {
        KernelStack *s = (KernelStack *) n;

        netstack_sockets_done(&s->sockets);
        if (s->pid > 0)
                await_end(s->helper);
        netif_free(s->netif.tun);
        forget_helper(s);
        closep(&s->user_ns);
        closep(&s->net_ns);
        g_free(s);
}

static const NetstackOps kernel_ops = {
        .engine = NETSTACK_KERNEL,
        .dial = netstack_sockets_dial,
        .listen = netstack_sockets_listen,
        .udp = netstack_sockets_udp,
        .echo = netstack_sockets_echo,
        .forget = netstack_sockets_forget,
        .namespaces = kernel_namespaces,
        .free = kernel_free,
};

/* --- one helper after another --- */

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata);

/* The next start. @why: of the last one's end, a sentence's part. */
static int start_later(KernelStack *s, const char *why) {
        Netstack *n = &s->sockets.netstack;
        usec_t pause = s->pause;
        int r;

        s->pause = MIN(pause * 2, PAUSE_MAX_USEC);
        s->timer = sd_event_source_disable_unref(s->timer);
        r = sd_event_add_time_relative(
                        n->event, &s->timer, CLOCK_MONOTONIC, pause, USEC_PER_MSEC, on_pause_over, s);
        netstack_set_trouble(
                        n,
                        g_strdup_printf("the helper of the network stack %s and is started again: "
                                        "connections that are there go on, new ones fail until then",
                                        why));
        return r;
}

static int on_death(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        KernelStack *s = userdata;
        g_autofree char *why = NULL;
        siginfo_t info = {};

        if (waitid(P_PID, (id_t) s->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                return 0;
        if (info.si_code == CLD_EXITED)
                why = g_strdup_printf("ended with status %d", info.si_status);
        else
                why = g_strdup_printf("was ended by signal %d", info.si_status);
        s->pid = 0; /* waited for */
        if (s->ready_at > 0 && usec_sub(now_usec(CLOCK_MONOTONIC), s->ready_at) >= HELPER_GOOD_USEC)
                s->pause = PAUSE_MIN_USEC;
        s->ready_at = 0;
        forget_helper(s);
        return start_later(s, why);
}

static int on_start_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        KernelStack *s = userdata;

        (void) kill(s->pid, SIGKILL);
        return 0;
}

static int on_first_reply(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        KernelStack *s = userdata;
        int fds[_NETNS_FDS_MAX];
        NetnsReply p;
        int r;

        s->first_reply = sd_event_source_disable_unref(s->first_reply);
        r = receive(s->helper, &p, fds);
        for (int i = 0; i < r; i++)
                close(fds[i]);
        /* What cannot be used ends, and on_death() goes on. */
        if (r != 0 || p.error < 0) {
                (void) kill(s->pid, SIGKILL);
                return 0;
        }
        s->timer = sd_event_source_disable_unref(s->timer);
        s->is_ready = true;
        s->ready_at = now_usec(CLOCK_MONOTONIC);
        if (request(s, &s->configured, NULL) != -ENETDOWN)
                netstack_set_trouble(&s->sockets.netstack, NULL);
        return 0;
}

/* From now on its death is noticed. */
static int watch_helper(KernelStack *s) {
        s->pidfd = pidfd_open(s->pid, 0);
        if (s->pidfd < 0)
                return -errno;
        return sd_event_add_io(s->sockets.netstack.event, &s->death, s->pidfd, EPOLLIN, on_death, s);
}

static int start_again(KernelStack *s) {
        const int fds[_NETNS_FDS_MAX] = {
                [NETNS_FD_TUN] = tun_fd(s->netif.tun),
                [NETNS_FD_USER] = s->user_ns,
                [NETNS_FD_NET] = s->net_ns,
        };
        sd_event *event = s->sockets.netstack.event;
        int r;

        r = spawn_helper(true, &s->pid, &s->helper);
        if (r < 0) {
                s->pid = 0;
                return r;
        }
        r = watch_helper(s);
        if (r >= 0)
                r = sd_event_add_io(event, &s->first_reply, s->helper, EPOLLIN, on_first_reply, s);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                event, &s->timer, CLOCK_MONOTONIC,
                                HELPER_TIMEOUT_SEC * USEC_PER_SEC, 0, on_start_timeout, s);
        return r < 0 ? r : netns_send(s->helper, "", 1, fds, _NETNS_FDS_MAX);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        KernelStack *s = userdata;
        g_autofree char *why = NULL;
        int r;

        s->timer = sd_event_source_disable_unref(s->timer);
        r = start_again(s);
        if (r >= 0)
                return 0;
        forget_helper(s);
        why = g_strdup_printf("cannot be started (%s)", g_strerror(-r));
        return start_later(s, why);
}

/* --- the first --- */

/* Takes the helper's first reply. */
static int adopt(KernelStack *s, uint16_t mtu, char **ret_reason) {
        g_autofree char *error = NULL;
        int fds[_NETNS_FDS_MAX];
        TunOptions options = {};
        NetnsReply p;
        int r;

        r = receive(s->helper, &p, fds);
        if (r < 0) {
                *ret_reason = g_strdup_printf("omerta-netns-helper: %s", g_strerror(-r));
                return r;
        }
        if (p.error < 0) {
                *ret_reason = p.stage == NETNS_STAGE_TUN && p.error != -EPERM
                                              ? g_strndup(p.text, sizeof p.text)
                                              : netstack_userns_reason(p.error, "/proc");
                return p.error;
        }
        if (r != _NETNS_FDS_MAX)
                return -EPROTO;
        s->user_ns = fds[NETNS_FD_USER];
        s->net_ns = fds[NETNS_FD_NET];
        options.fd = fds[NETNS_FD_TUN];
        options.ifindex = p.ifindex;
        r = tun_new(&options, &s->netif.tun, &error);
        if (r < 0) {
                close(fds[NETNS_FD_TUN]);
                *ret_reason = g_steal_pointer(&error);
        }
        return r;
}

int netstack_kernel_new(sd_event *event, uint16_t mtu, Netstack **ret, Netif **ret_netif, char **ret_reason) {
        const IpAddr none = {};
        KernelStack *s = NEW(KernelStack);
        int r;

        *s = (KernelStack){
                .helper = -EBADF,
                .pidfd = -EBADF,
                .user_ns = -EBADF,
                .net_ns = -EBADF,
                .pause = PAUSE_MIN_USEC,
        };
        s->sockets.make = make_socket;
        netstack_sockets_init(&s->sockets, &kernel_ops, event);
        r = spawn_helper(false, &s->pid, &s->helper);
        if (r < 0) {
                s->pid = 0;
                *ret_reason = g_strdup_printf(
                                "omerta-netns-helper cannot be started: %s", g_strerror(-r));
        } else {
                r = adopt(s, mtu, ret_reason);
        }
        if (r >= 0) {
                s->netif.stack = s;
                s->netif.netif = (Netif){
                        .ops = &kernel_netif_ops,
                        .gso_tcp = s->netif.tun->gso_tcp,
                        .gso_udp = s->netif.tun->gso_udp,
                };
                g_strlcpy(s->netif.netif.name, NETNS_INTERFACE, sizeof s->netif.netif.name);
                s->is_ready = true;
                s->ready_at = now_usec(CLOCK_MONOTONIC);
                r = kernel_configure(&s->netif.netif, &none, 0, &none, 0, mtu);
                if (r >= 0)
                        r = watch_helper(s);
                if (r < 0)
                        *ret_reason = g_strdup_printf(
                                        "%s cannot be set up: %s", NETNS_INTERFACE, g_strerror(-r));
        }
        if (r < 0) {
                kernel_free(&s->sockets.netstack);
                return r;
        }
        *ret = &s->sockets.netstack;
        *ret_netif = &s->netif.netif;
        *ret_reason = g_strdup("user namespaces are allowed here");
        return 0;
}
