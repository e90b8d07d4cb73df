/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two members who find each other by lines that people pass on: where we are, and where another
 * one is. No third machine has a part in it. */

#include "core/network-internal.h"
#include "core/wire/offer.h"

int network_offer(Network *n, char **ret) {
        const Record *presence =
                        directory_get(n->directory, RECORD_PRESENCE, &n->config.identity->id);
        Offer offer = { .network = n->membership.id, .machine = n->config.identity->id };

        /* What we tell everybody: our addresses, and where we were seen last. */
        if (presence) {
                offer.n_endpoints = presence->body.presence.n_endpoints;
                for (unsigned i = 0; i < offer.n_endpoints; i++)
                        offer.endpoints[i] = presence->body.presence.endpoints[i];
        }
        *ret = offer_format(&offer);
        return *ret ? 0 : -ENODATA;
}

int network_take_offer(Network *n, const char *line, MachineId *ret) {
        ChannelProvider *p = mesh_channels(n->mesh);
        Offer offer;
        int r;

        r = offer_parse(line, &offer);
        if (r < 0)
                return r;
        if (!machine_id_equal(&offer.network, &n->membership.id))
                return -EXDEV;
        if (machine_id_equal(&offer.machine, &n->config.identity->id))
                return -ELOOP;
        if (directory_is_revoked(n->directory, &offer.machine))
                return -EKEYREVOKED;
        if (!directory_certificate(n->directory, &offer.machine))
                return -ENOENT;
        for (unsigned i = 0; i < offer.n_endpoints; i++)
                mesh_add_hint(n->mesh, &offer.machine, &offer.endpoints[i]);
        r = p->ops->connect(p->self, &offer.machine);
        if (r < 0)
                return r;
        *ret = offer.machine;
        return 0;
}
