/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whom a name means, in which network that is, and what it means when a connection fails. */

#include <string.h>

#include "core/crypto/kdf.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

#define DOMAIN_SUFFIX ".omerta"

/* "nas.omerta" and "nas.omerta." are "nas". */
static char *strip_domain(const char *host) {
        size_t len = strlen(host), suffix = strlen(DOMAIN_SUFFIX);

        if (len > 1 && host[len - 1] == '.')
                len--;
        if (len > suffix && g_ascii_strncasecmp(host + len - suffix, DOMAIN_SUFFIX, suffix) == 0)
                len -= suffix;
        return g_strndup(host, len);
}

static IpAddr address_of(ManagedNetwork *n, const char *name, const MachineId *id) {
        IpAddr a;

        if (ip_parse(name, &a) >= 0 || vnet_lookup_address(network_vnet(n->core), id, &a))
                return a;
        /* Computed from the id: every member has it. */
        return ula_address(&n->id, id);
}

int manager_resolve(
                Manager *m,
                ManagedNetwork *only,
                const char *host,
                ManagedNetwork **ret_network,
                MachineId *ret_machine,
                IpAddr *ret_address,
                ManagerError *error) {
        g_autofree char *name = strip_domain(host);
        ManagedNetwork *found = NULL;
        bool any_up = false;
        MachineId id, last;

        if (m->networks->len == 0)
                return manager_fail(error, -ENOTCONN, "NotJoined", "this machine is in no network");
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];
                int r;

                if ((only && n != only) || !n->core || !network_is_member(n->core) || !n->netstack)
                        continue;
                any_up = true;
                r = directory_find(network_directory(n->core), name, &last);
                if (r == -ENOTUNIQ)
                        return manager_fail(
                                        error, r, "Ambiguous",
                                        "several machines match '%s': give more of the id", host);
                if (r < 0)
                        continue;
                if (found)
                        return manager_fail(
                                        error, -ENOTUNIQ, "Ambiguous",
                                        "several networks have a machine '%s': name one", host);
                found = n;
                id = last;
        }
        if (!any_up)
                return manager_fail(
                                error, -ENETUNREACH, "Unreachable",
                                m->options.vpn ? "no network is up: 'omerta status' says why"
                                               : "omertad runs without an interface (--vpn)");
        if (!found)
                return manager_fail(
                                error, -ENXIO, "NoSuchMachine",
                                "no machine of the network is called '%s'", host);
        *ret_network = found;
        *ret_machine = id;
        *ret_address = address_of(found, name, &id);
        return 0;
}

int manager_call_error(int r, const char *host, uint16_t port, ManagerError *error) {
        switch (r) {
        case -ECONNREFUSED:
                return manager_fail(
                                error, r, "Refused", "nothing on %s takes connections at port %u",
                                host, port);
        case -ETIMEDOUT:
                return manager_fail(error, r, "Timeout", "%s does not answer", host);
        case -ENETUNREACH:
        case -EHOSTUNREACH:
                return manager_fail(error, r, "Unreachable", "%s cannot be reached now", host);
        case -ENETDOWN:
                return manager_fail(
                                error, r, "Unreachable",
                                "%s cannot be reached: the network stack is being started again",
                                host);
        case -EMFILE:
        case -ENFILE:
        case -ENOBUFS:
        case -ENOSPC:
                return manager_fail(error, r, "LimitReached", "omertad has too many connections open");
        default:
                return manager_fail(error, r, "Failed", "cannot reach %s: %s", host, g_strerror(-r));
        }
}
