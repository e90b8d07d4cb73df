/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fds a daemon starts with: what systemd passes (sd_listen_fds(3), the fd store), else
 * sockets of our own; and where this machine can be reached. */

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "core/crypto/kdf.h"
#include "dataplane/udp-socket.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

/* How the interfaces of every daemon are called that was not told otherwise: omerta0, omerta1. */
#define INTERFACE_NAME "omerta"

int manager_take_passed_fds(Manager *m) {
        char **names = NULL;
        int n;

        n = sd_listen_fds_with_names(true, &names);
        if (n < 0)
                return log_error_errno(n, "cannot take the sockets systemd passes: %m");
        for (int i = 0; i < n; i++) {
                PassedFd p = { .name = names[i], .fd = SD_LISTEN_FDS_START + i };

                g_array_append_val(m->passed, p);
        }
        free(names); /* the strings are ours now; libsystemd made them with malloc() */
        return 0;
}

int manager_claim_fd(Manager *m, const char *name) {
        for (unsigned i = 0; i < m->passed->len; i++) {
                PassedFd *p = &g_array_index(m->passed, PassedFd, i);
                int fd = p->fd;

                if (strcmp(p->name, name) != 0)
                        continue;
                free(p->name);
                g_array_remove_index_fast(m->passed, i);
                return fd;
        }
        return -EBADF;
}

void manager_close_passed_fds(Manager *m) {
        for (unsigned i = 0; i < m->passed->len; i++) {
                PassedFd *p = &g_array_index(m->passed, PassedFd, i);

                log_debug("closing fd \"%s\", which nobody uses", p->name);
                /* Else a dead interface would come back with every restart. */
                (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", p->name);
                close(p->fd);
                free(p->name);
        }
        g_array_set_size(m->passed, 0);
}

static int bind_socket(int family, uint16_t port, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        Endpoint e = { .sa.sa_family = (sa_family_t) family };
        int one = 1;

        fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0)
                return -errno;
        endpoint_set_port(&e, port);
        if (bind(fd, &e.sa, endpoint_len(&e)) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

static uint16_t port_of(int fd) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e;

        if (getsockname(fd, (struct sockaddr *) &ss, &len) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) < 0)
                return 0;
        return endpoint_port(&e);
}

static int claim_socket(Manager *m, const char *name, int family) {
        int fd = manager_claim_fd(m, name);

        if (fd < 0)
                return -EBADF;
        if (sd_is_socket(fd, family, SOCK_DGRAM, -1) <= 0) {
                log_warning("fd \"%s\" is no UDP socket: not used; see omertad.socket", name);
                close(fd);
                return -EBADF;
        }
        return fd;
}

static int port_taken(Manager *m, int r) {
        LogContext context = { .message_id = MESSAGE_ID_PORT_TAKEN };

        if (r == -EADDRINUSE)
                return log_full(LOG_ERR, r, &context,
                                "UDP port %u is taken: another omertad, or another program, uses "
                                "it ('ss -lunp' tells which); choose another with --port",
                                m->options.port);
        return log_full(LOG_ERR, r, &context, "cannot bind UDP port %u: %m", m->options.port);
}

int manager_open_sockets(Manager *m) {
        int r;

        m->socket4 = claim_socket(m, "mesh4", AF_INET);
        m->socket6 = claim_socket(m, "mesh6", AF_INET6);
        if (m->socket4 < 0) {
                uint16_t port = m->socket6 >= 0 ? port_of(m->socket6) : m->options.port;

                r = bind_socket(AF_INET, port, &m->socket4);
                if (r < 0)
                        return port_taken(m, r);
        }
        m->port = port_of(m->socket4);
        if (m->socket6 < 0) {
                /* A kernel without IPv6 is no reason not to work; a taken port is. */
                r = bind_socket(AF_INET6, m->port, &m->socket6);
                if (r == -EADDRINUSE)
                        return port_taken(m, r);
                if (r < 0)
                        log_debug_errno(r, "no IPv6: %m");
        }
        /* A socket that systemd keeps has a life before ours. */
        m->socket_drops[0] = udp_socket_kernel_drops(m->socket4);
        m->socket_drops[1] = m->socket6 >= 0 ? udp_socket_kernel_drops(m->socket6) : 0;
        r = dataplane_add_socket(m->dataplane, m->socket4);
        if (r >= 0 && m->socket6 >= 0)
                r = dataplane_add_socket(m->dataplane, m->socket6);
        if (r < 0)
                return log_error_errno(r, "cannot use the UDP sockets: %m");
        return 0;
}

uint64_t manager_socket_drops(const Manager *m) {
        uint32_t four = udp_socket_kernel_drops(m->socket4) - m->socket_drops[0], six = 0;

        if (m->socket6 >= 0)
                six = udp_socket_kernel_drops(m->socket6) - m->socket_drops[1];
        return (uint64_t) four + six;
}

static unsigned own_interfaces(const Manager *m, unsigned ret[static NETWORKS_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->netif && net->netif->ifindex > 0)
                        ret[n++] = net->netif->ifindex;
        }
        return n;
}

unsigned manager_local_endpoints(Manager *m, Endpoint *ret, unsigned max) {
        unsigned ifindex[NETWORKS_MAX];
        IpPrefix prefix[NETWORKS_MAX];
        RtnlOurs ours = {
                .ifindex = ifindex,
                .n_ifindex = own_interfaces(m, ifindex),
                .prefix = prefix,
        };
        int n;

        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *net = m->networks->pdata[i];

                prefix[ours.n_prefixes++] = ula_prefix(&net->id);
        }
        n = rtnl_local_endpoints(m->rtnl, &ours, ret, max);
        if (n < 0) {
                (void) log_warning_errno(n, "cannot read the addresses of this machine: %m");
                return 0;
        }
        for (unsigned i = 0; i < MIN((unsigned) n, max); i++)
                endpoint_set_port(&ret[i], m->port);
        return (unsigned) n;
}

/* What lies inside a virtual network of this machine: of ours, and of another daemon's as far as
 * its interfaces have our name. */
static void find_inside(Manager *m, PrefixSet *ret) {
        unsigned own[NETWORKS_MAX], n_own = own_interfaces(m, own);
        int r;

        *ret = (PrefixSet){};
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *net = m->networks->pdata[i];
                IpPrefix ula = ula_prefix(&net->id);
                IpPrefix subnet = managed_network_membership(net)->subnet;

                if (!net->core)
                        continue;
                prefix_set_add(ret, &ula.addr, ula.len);
                prefix_set_add(ret, &subnet.addr, subnet.len);
        }
        r = rtnl_prefixes_on(m->rtnl, INTERFACE_NAME, own, n_own, ret);
        if (r < 0)
                (void) log_warning_errno(r, "cannot read the interfaces of this machine: %m");
}

void manager_publish_endpoints(Manager *m) {
        Endpoint endpoints[ENDPOINTS_MAX];
        PrefixSet inside;
        unsigned n;

        find_inside(m, &inside);
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->core)
                        network_set_inside(net->core, &inside);
        }
        n = manager_local_endpoints(m, endpoints, ELEMENTSOF(endpoints));

        n = MIN(n, (unsigned) ELEMENTSOF(endpoints));
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->core)
                        network_set_endpoints(net->core, endpoints, n);
        }
}
