/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notify.h"

#include <string.h>
#include <systemd/sd-daemon.h>

#include "network/managed-network.h"

struct Notify {
        Manager *manager;
        sd_event_source *source;
        char *said;
};

static char *status_text(Manager *m) {
        GString *s = g_string_new(NULL);

        g_string_append_printf(s, "UDP port %u", manager_port(m));
        if (manager_n_networks(m) == 0)
                g_string_append(s, "; in no network");
        for (unsigned i = 0; i < manager_n_networks(m); i++) {
                ManagedNetwork *n = manager_network(m, i);

                g_string_append_printf(
                                s, "; %s: %s", managed_network_membership(n)->name,
                                managed_network_state(n));
        }
        return g_string_free(s, FALSE);
}

/* A network changes in many ways, and each ends with its turn of the loop. */
static int on_turn(sd_event_source *source, void *userdata) {
        Notify *n = userdata;
        g_autofree char *text = status_text(n->manager);

        if (n->said && strcmp(n->said, text) == 0)
                return 0;
        (void) sd_notifyf(false, "STATUS=%s", text);
        g_free(n->said);
        n->said = g_steal_pointer(&text);
        return 0;
}

int notify_new(sd_event *event, Manager *m, Notify **ret) {
        Notify *n;
        int r;

        if (!getenv("NOTIFY_SOCKET"))
                return 0;
        n = NEW(Notify);
        n->manager = m;
        r = sd_event_add_post(event, &n->source, on_turn, n);
        if (r < 0) {
                notify_free(n);
                return r;
        }
        (void) on_turn(n->source, n);
        *ret = n;
        return 0;
}

Notify *notify_free(Notify *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->source);
        g_free(n->said);
        g_free(n);
        return NULL;
}
