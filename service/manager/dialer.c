/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The networks of this daemon as proxy and forwards see them: a ProxyDialer (proxy/proxy.h) of one
 * network, or of whichever a name or an address belongs to. */

#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

/* Whether manager_resolve() found no network at all: none is up, or we are in none. */
static bool is_down(int r) {
        return r == -ENETUNREACH || r == -ENOTCONN;
}

/* Where what lies outside all networks goes by an exit. NULL: nowhere. */
static ManagedNetwork *exit_network(const ManagerDialer *d) {
        for (unsigned i = 0; !d->only && i < d->manager->networks->len; i++) {
                ManagedNetwork *n = d->manager->networks->pdata[i];

                if (n->exit_wish.on && n->core && n->netstack)
                        return n;
        }
        return NULL;
}

/* manager_resolve(), or the way out. */
static int find(const ManagerDialer *d, const IpAddr *address, ManagedNetwork **ret) {
        ManagedNetwork *exit;
        MachineId machine;
        IpAddr a;
        int r;

        r = manager_resolve(d->manager, d->only, ip_format(address).text, ret, &machine, &a, NULL);
        if (r != -ENXIO || prefix_set_contains(&d->manager->inside, address))
                return r;
        exit = exit_network(d);
        if (!exit)
                return r;
        *ret = exit;
        return 0;
}

static int
dialer_dial(void *userdata,
            const IpAddr *address,
            uint16_t port,
            usec_t timeout,
            ProxyDialed done,
            void *done_userdata,
            ProxyCall **ret) {
        ManagerDialer *d = userdata;
        ManagerCall *c = NULL;
        ManagedNetwork *n;
        int r;

        r = find(d, address, &n);
        if (r < 0)
                return is_down(r) ? -ENETUNREACH : -EHOSTUNREACH;
        r = managed_network_dial(n, address, port, timeout, done, done_userdata, &c);
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

/* A port is one network's. */
static int
dialer_listen(void *userdata,
              uint16_t port,
              unsigned backlog,
              ProxyAccepted accepted,
              void *accepted_userdata,
              uint16_t *ret_port,
              ProxyCall **ret) {
        ManagerDialer *d = userdata;
        ManagerCall *c = NULL;
        int r;

        if (!d->only)
                return -EOPNOTSUPP;
        r = managed_network_listen(d->only, port, backlog, accepted, accepted_userdata, ret_port, &c);
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

static const void *dialer_network(void *userdata, const IpAddr *address) {
        ManagerDialer *d = userdata;
        GPtrArray *networks = d->manager->networks;
        ManagedNetwork *n;

        if (address)
                return find(d, address, &n) < 0 ? NULL : n;
        for (unsigned i = 0; i < networks->len; i++) {
                n = networks->pdata[i];
                if (n->netstack && (!d->only || d->only == n))
                        return n;
        }
        return NULL;
}

static int
dialer_udp(void *userdata, const void *network, ProxyDialed done, void *done_userdata, ProxyCall **ret) {
        ManagerDialer *d = userdata;
        ManagerCall *c = NULL;
        unsigned i;
        int r;

        if (!g_ptr_array_find(d->manager->networks, network, &i))
                return -ENETUNREACH;
        r = managed_network_udp(d->manager->networks->pdata[i], done, done_userdata, &c);
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

static int dialer_resolve(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        ManagerDialer *d = userdata;
        ManagedNetwork *n;
        MachineId machine;
        int r;

        r = manager_resolve(d->manager, d->only, name, &n, &machine, &ret[0], NULL);
        if (r < 0)
                return is_down(r) ? -ENETUNREACH : -ENXIO;
        return 1;
}

static void dialer_cancel(void *userdata, ProxyCall *call) {
        manager_call_cancel((ManagerCall *) call);
}

void manager_dialer_init(ManagerDialer *d, Manager *m, ManagedNetwork *only) {
        *d = (ManagerDialer){
                .ops = {
                        .dial = dialer_dial,
                        .listen = dialer_listen,
                        .network = dialer_network,
                        .udp = dialer_udp,
                        .resolve = dialer_resolve,
                        .cancel = dialer_cancel,
                        .userdata = d,
                },
                .manager = m,
                .only = only,
        };
}
