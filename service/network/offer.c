/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two members who find each other by lines that people pass on (core/network-offer.c), in words. */

#include "network/managed-network-internal.h"
#include "network/offer.h"

int managed_network_offer(ManagedNetwork *n, char **ret, ManagerError *error) {
        int r = n->core ? network_offer(n->core, ret) : -ENETDOWN;

        if (r == -ENETDOWN)
                return manager_fail(error, r, "NotJoined", "the network is down: 'omerta up' first");
        if (r < 0)
                return manager_fail(
                                error, r, "NoAddress",
                                "this machine does not know where it can be reached: connect it to a network");
        return 0;
}

static int offer_failed(int r, ManagerError *error) {
        switch (r) {
        case -EBADMSG:
                return manager_fail(
                                error, r, "InvalidArgument",
                                "that is no whole line of 'omerta connect': copy all of it");
        case -EPROTONOSUPPORT:
                return manager_fail(
                                error, r, "InvalidArgument",
                                "the line is of a later version of omerta than this one");
        case -EXDEV:
                return manager_fail(
                                error, r, "NoSuchNetwork",
                                "the line is of a network this machine is not in, or that is down");
        case -ELOOP:
                return manager_fail(
                                error, r, "InvalidArgument",
                                "that is this machine's own line: give it to the other one");
        case -ENOENT:
                return manager_fail(
                                error, r, "NoSuchMachine",
                                "the line is of a machine this one does not know as a member");
        case -EKEYREVOKED:
                return manager_fail(
                                error, r, "NoSuchMachine",
                                "the line is of a machine that is no member any more");
        default:
                return manager_fail(error, r, "Failed", "cannot do it: %s", g_strerror(-r));
        }
}

int manager_take_offer(
                Manager *m,
                const char *line,
                ManagedNetwork **ret_network,
                MachineId *ret_machine,
                ManagerError *error) {
        int r = -EXDEV;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (!n->core || !network_is_member(n->core))
                        continue;
                r = network_take_offer(n->core, line, ret_machine);
                if (r >= 0) {
                        *ret_network = n;
                        return 0;
                }
                if (r != -EXDEV)
                        break;
        }
        return offer_failed(r, error);
}
