/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fds a daemon starts with: what systemd passes (sd_listen_fds(3), the fd store); and where
 * this machine can be reached. */

#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "core/crypto/kdf.h"
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

unsigned manager_own_interfaces(const Manager *m, unsigned ret[static NETWORKS_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->netif && net->netif->ifindex > 0)
                        ret[n++] = net->netif->ifindex;
        }
        return n;
}

typedef struct OwnLinks {
        unsigned ifindex[NETWORKS_MAX];
        IpPrefix prefix[NETWORKS_MAX];
        RtnlOurs ours;
} OwnLinks;

static void find_own_links(const Manager *m, OwnLinks *ret) {
        ret->ours = (RtnlOurs){
                .ifindex = ret->ifindex,
                .n_ifindex = manager_own_interfaces(m, ret->ifindex),
                .prefix = ret->prefix,
        };
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *net = m->networks->pdata[i];

                ret->prefix[ret->ours.n_prefixes++] = ula_prefix(&net->id);
        }
}

int manager_default_router(Manager *m, int family, RtnlRouter *ret) {
        OwnLinks own;

        find_own_links(m, &own);
        return rtnl_default_router(m->rtnl, family, &own.ours, ret);
}

unsigned manager_local_endpoints(Manager *m, Endpoint *ret, unsigned max) {
        OwnLinks own;
        int n;

        find_own_links(m, &own);
        n = rtnl_local_endpoints(m->rtnl, &own.ours, ret, max);
        if (n < 0) {
                (void) log_warning_errno(n, "cannot read the addresses of this machine: %m");
                return 0;
        }
        for (unsigned i = 0; i < MIN((unsigned) n, max); i++)
                endpoint_set_port(&ret[i], m->port);
        return manager_add_mapped(m, ret, (unsigned) n, max);
}

/* What lies inside a virtual network of this machine: of ours, and of another daemon's as far as
 * its interfaces have our name. */
static void find_inside(Manager *m, PrefixSet *ret) {
        unsigned own[NETWORKS_MAX], n_own = manager_own_interfaces(m, own);
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
        Endpoint endpoints[ENDPOINTS_MAX], mapped[2]; /* of a family each */
        unsigned n, n_mapped;

        find_inside(m, &m->inside);
        manager_refresh_lan(m);
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->core)
                        network_set_inside(net->core, &m->inside);
        }
        manager_update_port_mapping(m);
        manager_publish_tcp_port(m);
        n = manager_local_endpoints(m, endpoints, ELEMENTSOF(endpoints));

        n = MIN(n, (unsigned) ELEMENTSOF(endpoints));
        n_mapped = MIN(manager_add_mapped(m, mapped, 0, ELEMENTSOF(mapped)), ELEMENTSOF(mapped));
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (!net->core)
                        continue;
                network_set_mapped(net->core, mapped, n_mapped);
                network_set_endpoints(net->core, endpoints, n);
        }
}
