/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The UDP sockets, one for each family, each a part that can fail while the other goes on: somebody
 * shuts it down or has the kernel end it ("ss -K"), or closes it behind our back. It is opened anew
 * on the same port, at once and then after growing pauses.
 *
 * One from systemd is held there too, so the port is not free when we have closed ours. Both
 * sockets say SO_REUSEADDR while the new one is bound, which Linux takes for leave to share, and
 * the one bound last gets what arrives; without it from then on, so that nobody else may come after
 * us. systemd passes the broken one at the next start again, where it is not taken.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "dataplane/udp-socket.h"
#include "manager/manager-internal.h"

static const char *name_of(const MeshSocket *s) {
        return s->family == AF_INET ? "IPv4" : "IPv6";
}

/* --- looked at --- */

static uint16_t port_of(int fd) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e;

        if (getsockname(fd, (struct sockaddr *) &ss, &len) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) < 0)
                return 0;
        return endpoint_port(&e);
}

/* Not what somebody opened in its place. */
static bool is_ours(const MeshSocket *s) {
        struct stat st;

        return s->fd >= 0 && fstat(s->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == s->inode;
}

/* The kernel takes the port away from one it ends, unless the port was asked for by number, and
 * gives it another when something is sent. @port 0: any. */
static bool is_whole(int fd, uint16_t port) {
        struct pollfd p = { .fd = fd, .events = POLLRDHUP };
        uint16_t has = port_of(fd);

        return has != 0 && (port == 0 || has == port) && poll(&p, 1, 0) >= 0 &&
               !(p.revents & (POLLHUP | POLLRDHUP | POLLNVAL));
}

static int socket_check(void *userdata, char **ret_reason) {
        MeshSocket *s = userdata;
        int r = s->error;

        if (r >= 0 && (!is_ours(s) || !is_whole(s->fd, s->manager->port)))
                r = -EBADF;
        if (r >= 0)
                return 0;
        *ret_reason = g_strdup_printf(
                        "the socket of UDP port %u (%s) was closed or shut down by somebody",
                        s->manager->port, name_of(s));
        return r;
}

/* --- opened and closed --- */

static int set_reuse(int fd, int on) {
        return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ? -errno : 0;
}

static int bind_socket(const MeshSocket *s, uint16_t port, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        Endpoint e = { .sa.sa_family = (sa_family_t) s->family };
        int one = 1, r;

        fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (s->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0)
                return -errno;
        endpoint_set_port(&e, port);
        r = s->is_shared ? set_reuse(fd, 1) : 0;
        if (r < 0)
                return r;
        if (bind(fd, &e.sa, endpoint_len(&e)) < 0)
                return -errno;
        r = s->is_shared ? set_reuse(fd, 0) : 0;
        if (r < 0)
                return r;
        *ret = TAKE_FD(fd);
        return 0;
}

static void take(MeshSocket *s, int fd) {
        struct stat st = {};

        (void) fstat(fd, &st);
        s->fd = fd;
        s->inode = st.st_ino;
        s->error = 0;
        /* One that systemd keeps has a life before ours. */
        s->drops = udp_socket_kernel_drops(fd);
}

static uint32_t drops_of(const MeshSocket *s) {
        return is_ours(s) ? udp_socket_kernel_drops(s->fd) - s->drops : 0;
}

static void let_go(MeshSocket *s) {
        Manager *m = s->manager;

        if (s->fd < 0)
                return;
        drop_count_n(&m->drops, DROP_SOCKET_FULL, drops_of(s));
        (void) dataplane_remove_socket(m->dataplane, s->fd);
        if (is_ours(s))
                close(s->fd);
        s->fd = -EBADF;
}

static int socket_repair(void *userdata, char **ret_reason) {
        MeshSocket *s = userdata;
        Manager *m = s->manager;
        int fd, r;

        /* "ss -K" leaves one that was bound to a port by its number as good as it was. */
        if (s->error == -ECONNABORTED && is_ours(s) && is_whole(s->fd, m->port))
                (void) dataplane_remove_socket(m->dataplane, s->fd);
        else {
                if (s->is_shared && is_ours(s))
                        (void) set_reuse(s->fd, 1);
                let_go(s);
                r = bind_socket(s, m->port, &fd);
                if (r < 0) {
                        *ret_reason = g_strdup_printf(
                                        "cannot open UDP port %u (%s): %s", m->port, name_of(s),
                                        r == -EADDRINUSE ? "another program has it now"
                                                         : g_strerror(-r));
                        return r;
                }
                take(s, fd);
        }
        s->error = 0;
        r = dataplane_add_socket(m->dataplane, s->fd);
        if (r < 0) {
                *ret_reason =
                                g_strdup_printf("cannot use UDP port %u (%s): %s", m->port,
                                                name_of(s), g_strerror(-r));
                s->error = r;
        }
        return r;
}

/* --- told --- */

static void tell(MeshSocket *s, int level, const char *text, const char *what) {
        LogContext context = { .message_id = MESSAGE_ID_SOCKET_FAILED };

        (void) log_full(level, 0, &context, "%s; %s%s", text, what,
                        s->is_shared ? ". systemd holds the broken one: 'systemctl restart "
                                       "omertad.socket omertad6.socket' makes it anew"
                                     : "");
}

static void socket_reported(void *userdata, PartState old, const char *why) {
        static const char *const properties[] = { "State", "StateReason", NULL };
        MeshSocket *s = userdata;
        Manager *m = s->manager;

        if (s->part.state == PART_UP && !why && old != PART_FAILED)
                return;
        if (s->part.state == PART_UP && why)
                tell(s, LOG_WARNING, why, "it was opened anew");
        else if (s->part.state == PART_FAILED)
                tell(s, LOG_ERR, s->part.reason, "it is tried again");
        for (unsigned i = 0; i < m->networks->len; i++)
                OBSERVE(m, network_changed, m->networks->pdata[i], properties);
        /* Whoever was not reached meanwhile is asked at once. */
        if (s->part.state == PART_UP)
                manager_wake(m);
}

static void on_look(void *userdata) {
        Manager *m = userdata;

        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++)
                part_check(&m->sockets[i].part);
}

static void look_later(Manager *m) {
        timer_set(m->timers, &m->sockets_timer, now_usec(CLOCK_BOOTTIME), on_look, m);
}

void manager_socket_failed(Manager *m, int fd, int error) {
        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++) {
                MeshSocket *s = &m->sockets[i];

                /* It may be about the one before, whose number this one has. */
                if (s->fd != fd || (error == -ESHUTDOWN && is_ours(s) && is_whole(fd, m->port)))
                        continue;
                s->error = error;
                look_later(m);
        }
}

void manager_socket_send_failed(Manager *m, int family, int error) {
        MeshSocket *s = &m->sockets[family == AF_INET ? 0 : 1];

        /* All else is about the way, or passes. */
        if (s->fd < 0 || !udp_socket_is_broken(-error))
                return;
        s->error = error;
        look_later(m);
}

static bool is_absent(int r) {
        return r == -EAFNOSUPPORT;
}

/* @r, @reason: of a repair. */
static void begin(MeshSocket *s, int r, char *reason) {
        part_start(&s->part);
        if (r < 0)
                part_done(&s->part, r, reason);
}

void manager_retry_sockets(Manager *m) {
        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++) {
                MeshSocket *s = &m->sockets[i];
                char *reason = NULL;
                int r;

                if (s->part.state != PART_STOPPED) {
                        part_hint(&s->part);
                        continue;
                }
                /* The module was loaded meanwhile. */
                r = socket_repair(s, &reason);
                if (is_absent(r))
                        g_free(reason);
                else
                        begin(s, r, reason);
        }
}

const char *manager_sockets_trouble(const Manager *m) {
        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++)
                if (m->sockets[i].part.state == PART_FAILED)
                        return m->sockets[i].part.reason;
        return NULL;
}

bool manager_is_without_sockets(const Manager *m) {
        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++)
                if (m->sockets[i].part.state == PART_UP)
                        return false;
        return true;
}

uint64_t manager_socket_drops(const Manager *m) {
        return (uint64_t) drops_of(&m->sockets[0]) + drops_of(&m->sockets[1]);
}

/* --- life --- */

void manager_init_sockets(Manager *m) {
        static const PartOps ops = {
                .check = socket_check,
                .repair = socket_repair,
                .reported = socket_reported,
        };
        static const int family[] = { AF_INET, AF_INET6 };

        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++) {
                MeshSocket *s = &m->sockets[i];

                *s = (MeshSocket){ .manager = m, .family = family[i], .fd = -EBADF };
                part_init(&s->part, &ops, s, &m->env);
        }
}

/* Return: whether it is used. */
static bool claim_socket(MeshSocket *s, const char *name) {
        int fd = manager_claim_fd(s->manager, name);

        if (fd < 0)
                return false;
        if (sd_is_socket(fd, s->family, SOCK_DGRAM, -1) <= 0) {
                log_warning("fd \"%s\" is no UDP socket: not used; see omertad.socket", name);
                close(fd);
                return false;
        }
        s->is_shared = true;
        if (is_whole(fd, 0)) {
                /* systemd sets it: any user of this machine could come after us. */
                (void) set_reuse(fd, 0);
                take(s, fd);
                return true;
        }
        if (s->manager->port == 0)
                s->manager->port = port_of(fd);
        (void) set_reuse(fd, 1);
        close(fd);
        tell(s, LOG_WARNING, "the socket that systemd passes was shut down by somebody",
             "its port is opened anew");
        return false;
}

static int port_taken(const Manager *m, int r) {
        LogContext context = { .message_id = MESSAGE_ID_PORT_TAKEN };

        if (r == -EADDRINUSE)
                return log_full(LOG_ERR, r, &context,
                                "UDP port %u is taken: another omertad, or another program, uses "
                                "it ('ss -lunp' tells which); choose another with --port",
                                m->port);
        return log_full(LOG_ERR, r, &context, "cannot bind UDP port %u: %m", m->port);
}

/* As PartOps.repair(). */
static int start_socket(MeshSocket *s, char **ret_reason) {
        int fd, r;

        if (s->fd < 0) {
                r = bind_socket(s, s->manager->port, &fd);
                if (r < 0) {
                        *ret_reason =
                                        g_strdup_printf("cannot open UDP port %u (%s): %s",
                                                        s->manager->port, name_of(s), g_strerror(-r));
                        return r;
                }
                take(s, fd);
        }
        r = dataplane_add_socket(s->manager->dataplane, s->fd);
        if (r < 0)
                *ret_reason =
                                g_strdup_printf("cannot use UDP port %u (%s): %s", s->manager->port,
                                                name_of(s), g_strerror(-r));
        return r;
}

int manager_open_sockets(Manager *m) {
        MeshSocket *four = &m->sockets[0], *six = &m->sockets[1];
        char *reason = NULL;
        int r;

        if (claim_socket(four, "mesh4"))
                m->port = port_of(four->fd);
        if (claim_socket(six, "mesh6") && m->port == 0)
                m->port = port_of(six->fd);
        if (m->port == 0)
                m->port = m->options.port;
        r = start_socket(four, &reason);
        if (r < 0) {
                g_free(reason);
                return port_taken(m, r);
        }
        m->port = port_of(four->fd);
        part_start(&four->part);
        r = start_socket(six, &reason);
        if (r == -EADDRINUSE) {
                g_free(reason);
                return port_taken(m, r);
        }
        if (is_absent(r)) {
                log_debug("this kernel has no IPv6");
                g_free(reason);
                return 0;
        }
        begin(six, r, reason);
        return 0;
}

void manager_close_sockets(Manager *m) {
        timer_clear(&m->sockets_timer);
        for (size_t i = 0; i < ELEMENTSOF(m->sockets); i++) {
                part_stop(&m->sockets[i].part, true);
                let_go(&m->sockets[i]);
        }
}
