/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Where members whose UDP is blocked may connect: a TCP port that is set, or that systemd passes
 * (omertad-tcp.socket), which alone may be below 1024. What comes by it is the packet thread's
 * (dataplane/stream.h).
 *
 * Once it was set it is wanted until it is switched off: what cannot be opened, since another
 * program has it, is tried again.
 */

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

#define SETTING "tcp-port"
#define SOCKET_NAME "tcp"
/* Connections that wait to be accepted: those of a second, when everybody comes back at once. */
#define BACKLOG 128
#define RETRY_USEC (30 * USEC_PER_SEC)

static const int families[] = { AF_INET, AF_INET6 };
static_assert(ELEMENTSOF(families) == TCP_LISTENERS_MAX, "a place for each family");

static int bind_listener(int family, uint16_t port, int *ret) {
        _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        Endpoint e = { .sa.sa_family = (sa_family_t) family };
        int one = 1;

        if (fd < 0)
                return -errno;
        if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0)
                return -errno;
        /* For TCP this only means that connections of a former life are no obstacle. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
                return -errno;
        endpoint_set_port(&e, port);
        if (bind(fd, &e.sa, endpoint_len(&e)) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

static void close_listeners(Manager *m) {
        for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++) {
                if (m->tcp_fd[i] < 0)
                        continue;
                (void) dataplane_remove_listener(m->dataplane, m->tcp_fd[i]);
                close(m->tcp_fd[i]);
                m->tcp_fd[i] = -EBADF;
        }
}

/* Takes @fd over. */
static int use(Manager *m, unsigned i, int fd) {
        int one = 1, r = ioctl(fd, FIONBIO, &one) < 0 ? -errno : 0;

        if (r >= 0)
                r = dataplane_add_listener(m->dataplane, fd);
        if (r < 0) {
                close(fd);
                return r;
        }
        m->tcp_fd[i] = fd;
        return 0;
}

/* Both families, or IPv4 where there is no other. */
static int open_listeners(Manager *m, uint16_t port) {
        int r = 0, fd = -EBADF;

        for (unsigned i = 0; i < ELEMENTSOF(families) && r >= 0; i++) {
                r = bind_listener(families[i], port, &fd);
                if (r >= 0)
                        r = use(m, i, fd);
                else if (families[i] == AF_INET6 && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
                        r = 0;
        }
        if (r < 0)
                close_listeners(m);
        return r;
}

static char *explain(uint16_t port, int r) {
        if (r == -EACCES)
                return g_strdup_printf(
                                "TCP port %u is not for an ordinary user: enable omertad-tcp.socket, "
                                "or take one from 1024 up",
                                port);
        if (r == -EADDRINUSE)
                return g_strdup_printf(
                                "TCP port %u is taken by another program ('ss -lntp' tells which)",
                                port);
        return g_strdup_printf("cannot listen at TCP port %u: %s", port, g_strerror(-r));
}

static bool is_listening(const Manager *m) {
        for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++)
                if (m->tcp_fd[i] >= 0)
                        return true;
        return false;
}

uint16_t manager_tcp_port(const Manager *m) {
        return m->tcp_port;
}

const char *manager_tcp_reason(const Manager *m) {
        if (m->tcp_trouble)
                return m->tcp_trouble;
        return m->tcp_port > 0 ? "" : "switched off; 'omerta set tcp-port PORT' has it listen";
}

unsigned manager_tcp_connections(const Manager *m) {
        return dataplane_stats(m->dataplane).streams;
}

void manager_publish_tcp_port(Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);

                if (core)
                        network_set_stream_port(core, is_listening(m) ? m->tcp_port : 0);
        }
}

/* --- tried again --- */

static void on_retry(void *userdata);

static void try_again(Manager *m) {
        timer_set(m->timers, &m->tcp_timer, now_usec(CLOCK_BOOTTIME) + RETRY_USEC, on_retry, m);
}

static void on_retry(void *userdata) {
        Manager *m = userdata;
        int r = open_listeners(m, m->tcp_port);

        if (r < 0) {
                try_again(m);
                return;
        }
        g_clear_pointer(&m->tcp_trouble, g_free);
        log_notice("TCP port %u is open now", m->tcp_port);
        manager_publish_tcp_port(m);
        OBSERVE(m, tcp_port_changed);
}

/* --- at the start --- */

static uint16_t port_of(int fd) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e;

        if (getsockname(fd, (struct sockaddr *) &ss, &len) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) < 0)
                return 0;
        return endpoint_port(&e);
}

/* What systemd passes: one for both families, or one for each, of the same port. */
static void claim(Manager *m) {
        int fd;

        for (unsigned i = 0; (fd = manager_claim_fd(m, SOCKET_NAME)) >= 0;) {
                uint16_t port = port_of(fd);

                if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0 || port == 0 ||
                    i == TCP_LISTENERS_MAX || (i > 0 && port != m->tcp_port)) {
                        log_warning("fd \"%s\" is no listening TCP socket, or one too many: not "
                                    "used; see omertad-tcp.socket",
                                    SOCKET_NAME);
                        close(fd);
                        continue;
                }
                if (use(m, i, fd) < 0)
                        continue;
                m->tcp_is_passed = true;
                m->tcp_port = port;
                i++;
        }
}

int manager_open_tcp_port(Manager *m) {
        g_autofree char *text = NULL;
        int r;

        claim(m);
        if (m->tcp_is_passed)
                return 0;
        r = store_get_setting(m->store, SETTING, &text);
        if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "cannot read the settings: %m");
        m->tcp_port = r < 0 ? 0 : (uint16_t) strtoul(text, NULL, 10);
        if (m->tcp_port == 0)
                return 0;
        /* It is a spare way: the daemon starts without. */
        r = open_listeners(m, m->tcp_port);
        if (r < 0) {
                m->tcp_trouble = explain(m->tcp_port, r);
                log_warning("%s; it is tried again", m->tcp_trouble);
                try_again(m);
        }
        return 0;
}

void manager_close_tcp_port(Manager *m) {
        timer_clear(&m->tcp_timer);
        close_listeners(m);
        g_clear_pointer(&m->tcp_trouble, g_free);
}

/* --- set --- */

int manager_set_tcp_port(Manager *m, uint16_t port, ManagerError *error) {
        g_autofree char *text = g_strdup_printf("%u", port), *trouble = NULL;
        uint16_t old = m->tcp_port;
        int r;

        if (m->tcp_is_passed)
                return manager_fail(
                                error, -EBUSY, "Failed",
                                "systemd opens TCP port %u: set another one in omertad-tcp.socket, or "
                                "disable that",
                                old);
        if (port == old && (port == 0 || is_listening(m)))
                return 0;
        close_listeners(m);
        r = port > 0 ? open_listeners(m, port) : 0;
        if (r < 0)
                trouble = explain(port, r);
        if (r >= 0) {
                r = store_put_setting(m->store, SETTING, text);
                if (r < 0)
                        trouble = g_strdup_printf("cannot store it: %s", g_strerror(-r));
        }
        if (r < 0) {
                /* As it was. */
                close_listeners(m);
                if (old > 0 && open_listeners(m, old) < 0)
                        try_again(m);
                return manager_fail(error, r, "Failed", "%s", trouble);
        }
        timer_clear(&m->tcp_timer);
        g_clear_pointer(&m->tcp_trouble, g_free);
        m->tcp_port = port;
        log_notice(port > 0 ? "members may connect to TCP port %u" : "no TCP port is open any more",
                   port);
        manager_publish_tcp_port(m);
        OBSERVE(m, tcp_port_changed);
        return 0;
}

void manager_stream_ended(Manager *m, const Endpoint *peer) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);

                if (core)
                        mesh_stream_ended(network_mesh(core), peer);
        }
}
