/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's end of LAN discovery: sockets, and which interfaces they are in (host/); what is
 * said and believed is the core's (core/mesh/lan/). All networks share them. Without them
 * everything else works. */

#include "base/log.h"
#include "core/wire/messages.h"
#include "host/lan-socket.h"
#include "network/managed-network-internal.h"

/* Beacons handled in one turn of the loop, so that the bus stays alive. */
#define BEACONS_A_TURN 64U

struct ManagerLan {
        LanSockets *sockets; /* NULL: none can be had */
        char *reason;        /* why not; NULL: they are there */
        bool woke;           /* all is said again, also where nothing seems to have changed */
        sd_event_source *source4, *source6;
};

/* --- what comes --- */

void manager_handle_beacon(Manager *m, const uint8_t *data, size_t len, const Endpoint *from) {
        DropReason reason = DROP_BEACON_FOREIGN;

        for (unsigned i = 0; i < m->networks->len && reason == DROP_BEACON_FOREIGN; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        reason = mesh_handle_beacon(network_mesh(n->core), data, len, from);
        }
        if (reason == DROP_BEACON_FOREIGN)
                drop_count(&m->drops, reason);
}

static int on_beacons(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Manager *m = userdata;
        int family = s == m->lan->source6 ? AF_INET6 : AF_INET;

        for (unsigned i = 0; i < BEACONS_A_TURN; i++) {
                uint8_t data[BEACON_SIZE + 1]; /* so that a longer one is seen to be */
                Endpoint from;
                ssize_t n = lan_sockets_receive(m->lan->sockets, family, data, sizeof data, &from);

                if (n < 0)
                        break;
                if (n == 0)
                        drop_count(&m->drops, DROP_MALFORMED);
                else
                        manager_handle_beacon(m, data, (size_t) n, &from);
        }
        return 0;
}

int manager_multicast(void *userdata, unsigned way, const uint8_t *data, size_t len) {
        Manager *m = userdata;

        return m->lan && m->lan->sockets ? lan_sockets_send(m->lan->sockets, way, data, len)
                                         : -ENOENT;
}

/* --- where we are --- */

static bool is_wanted(const Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *n = m->networks->pdata[i];

                if (n->core && managed_network_lan_discovery(n))
                        return true;
        }
        return false;
}

void manager_refresh_lan(Manager *m) {
        unsigned own[NETWORKS_MAX];
        RtnlOurs ours = { .ifindex = own, .n_ifindex = manager_own_interfaces(m, own) };
        RtnlLan lans[LAN_INTERFACES_MAX];
        bool is_new;
        int n = 0;

        if (!m->lan || !m->lan->sockets)
                return;
        if (is_wanted(m))
                n = rtnl_lans(m->rtnl, &ours, lans, ELEMENTSOF(lans));
        if (n < 0) {
                (void) log_warning_errno(n, "cannot read the interfaces of this machine: %m");
                return;
        }
        is_new = lan_sockets_set(m->lan->sockets, lans, (unsigned) n) || m->lan->woke;
        m->lan->woke = false;
        for (unsigned i = 0; is_new && i < m->networks->len; i++) {
                ManagedNetwork *net = m->networks->pdata[i];

                if (net->core)
                        mesh_lan_changed(network_mesh(net->core));
        }
}

void manager_lan_woke(Manager *m) {
        if (m->lan)
                m->lan->woke = true;
}

/* --- life --- */

static int watch(Manager *m, int family, sd_event_source **ret) {
        int fd = lan_sockets_fd(m->lan->sockets, family);

        return fd < 0 ? 0 : sd_event_add_io(m->event, ret, fd, EPOLLIN, on_beacons, m);
}

int manager_open_lan(Manager *m) {
        int r;

        m->lan = NEW(ManagerLan);
        r = lan_sockets_new(&m->lan->sockets);
        if (r < 0) {
                m->lan->reason = g_strdup_printf(
                                r == -EADDRINUSE ? "UDP port %u is another program's: %s"
                                                 : "cannot listen at UDP port %u: %s",
                                BEACON_PORT, g_strerror(-r));
                log_warning("no LAN discovery: %s", m->lan->reason);
                return 0;
        }
        r = watch(m, AF_INET, &m->lan->source4);
        return r < 0 ? r : watch(m, AF_INET6, &m->lan->source6);
}

void manager_close_lan(Manager *m) {
        if (!m->lan)
                return;
        m->lan->source4 = sd_event_source_disable_unref(m->lan->source4);
        m->lan->source6 = sd_event_source_disable_unref(m->lan->source6);
        lan_sockets_free(m->lan->sockets);
        g_free(m->lan->reason);
        g_free(m->lan);
        m->lan = NULL;
}

/* --- looks --- */

const char *manager_lan_reason(const Manager *m) {
        unsigned n = 0;

        if (m->lan && m->lan->reason)
                return m->lan->reason;
        if (m->lan && m->lan->sockets)
                (void) lan_sockets_get(m->lan->sockets, &n);
        if (n > 0)
                return "";
        return is_wanted(m) ? "no interface leads to a LAN" : "switched off";
}

unsigned manager_lan_interfaces(const Manager *m, const char *ret[static LAN_INTERFACES_MAX]) {
        const RtnlLan *lans;
        unsigned n = 0;

        if (!m->lan || !m->lan->sockets)
                return 0;
        lans = lan_sockets_get(m->lan->sockets, &n);
        for (unsigned i = 0; i < n; i++)
                ret[i] = lans[i].name;
        return n;
}
