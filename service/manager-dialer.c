/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The networks of this daemon as proxy and forwards see them: a ProxyDialer (proxy/proxy.h) of one
 * network, or of whichever a name or an address belongs to. */

#include "manager-internal.h"

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
        MachineId machine;
        IpAddr a;
        int r;

        r = manager_resolve(d->manager, d->only, ip_format(address).text, &n, &machine, &a, NULL);
        if (r < 0)
                return r == -ENETUNREACH ? r : -EHOSTUNREACH;
        r = managed_network_dial(n, &a, port, timeout, done, done_userdata, &c);
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

/* An association is of one network: of the first that is up. */
static int dialer_udp(void *userdata, ProxyDialed done, void *done_userdata, ProxyCall **ret) {
        ManagerDialer *d = userdata;
        ManagerCall *c = NULL;
        int r = -ENETUNREACH;

        for (unsigned i = 0; i < d->manager->networks->len && r == -ENETUNREACH; i++) {
                ManagedNetwork *n = d->manager->networks->pdata[i];

                if (!d->only || d->only == n)
                        r = managed_network_udp(n, done, done_userdata, &c);
        }
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

static int dialer_resolve(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        ManagerDialer *d = userdata;
        ManagedNetwork *n;
        MachineId machine;

        return manager_resolve(d->manager, d->only, name, &n, &machine, &ret[0], NULL) < 0 ? -ENXIO
                                                                                           : 1;
}

static void dialer_cancel(void *userdata, ProxyCall *call) {
        manager_call_cancel((ManagerCall *) call);
}

void manager_dialer_init(ManagerDialer *d, Manager *m, ManagedNetwork *only) {
        *d = (ManagerDialer){
                .ops = {
                        .dial = dialer_dial,
                        .listen = dialer_listen,
                        .udp = dialer_udp,
                        .resolve = dialer_resolve,
                        .cancel = dialer_cancel,
                        .userdata = d,
                },
                .manager = m,
                .only = only,
        };
}
