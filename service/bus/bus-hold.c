/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who sets the addresses of an interface in the daemon's place: NetworkManager, by its plugin. One
 * program a network, until it says so or leaves the bus: a program that dies leaves no network
 * without an address. The bus's own end is the end of all.
 */

#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-network.h"

typedef struct Hold {
        Bus *bus;
        NetworkId network; /* by id: it may be gone by now */
        char *sender;
        sd_bus_slot *left_slot;
        GList link; /* in bus->holds */
} Hold;

static void hold_end(Hold *h) {
        ManagedNetwork *n = bus_find_network_by_id(h->bus, &h->network);

        g_queue_unlink(&h->bus->holds, &h->link);
        if (n)
                (void) managed_network_hold_addresses(n, false, NULL);
        sd_bus_slot_unref(h->left_slot);
        g_free(h->sender);
        g_free(h);
}

void bus_drop_holds(Bus *b) {
        while (b->holds.head)
                hold_end(b->holds.head->data);
}

static int on_holder_left(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        hold_end(userdata);
        return 0;
}

static Hold *find_hold(Bus *b, const NetworkId *network) {
        for (GList *i = b->holds.head; i; i = i->next) {
                Hold *h = i->data;

                if (machine_id_equal(&h->network, network))
                        return h;
        }
        return NULL;
}

static int hold(Bus *b, sd_bus_message *call, ManagedNetwork *n, sd_bus_error *error) {
        ManagerError e = {};
        Hold *h;
        int r;

        h = NEW(Hold);
        h->bus = b;
        h->network = managed_network_membership(n)->id;
        h->sender = g_strdup(sd_bus_message_get_sender(call));
        h->link.data = h;
        g_queue_push_tail_link(&b->holds, &h->link);
        r = bus_watch_sender(call, on_holder_left, h, &h->left_slot);
        if (r >= 0) {
                r = managed_network_hold_addresses(n, true, &e);
                if (r < 0)
                        r = bus_set_error(error, &e);
        }
        if (r < 0)
                hold_end(h);
        return r;
}

int bus_network_hold_addresses(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        Hold *h;
        int on, r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_read(call, "b", &on);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        h = find_hold(b, &managed_network_membership(n)->id);
        if (h && strcmp(h->sender, sd_bus_message_get_sender(call)) != 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_PERMITTED,
                                "another program sets the addresses of this network already");
        if (on && (!h || !managed_network_addresses_held(n))) {
                if (h)
                        hold_end(h); /* of a network that was left and joined again meanwhile */
                r = hold(b, call, n, error);
        } else if (!on && h)
                hold_end(h);
        return r < 0 ? r : sd_bus_reply_method_return(call, NULL);
}
