/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counters, to who wants to see them move. They are properties that change with every packet, so no
 * change of theirs is signalled; a client that asks gets them at an interval of its own, a signal
 * to it alone, until it asks for no more or leaves the bus. What a signal holds is bounded by the
 * links there may be, and nothing is sent to who does not read.
 */

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-network.h"
#include "bus/object.h"

typedef struct Watcher {
        Bus *bus;
        NetworkId network;
        char *sender;
        uid_t uid;
        usec_t interval;
        sd_event_source *timer;
        sd_bus_slot *left_slot;
        GList link; /* in bus->watchers */
} Watcher;

static void watcher_free(Watcher *w) {
        g_queue_unlink(&w->bus->watchers, &w->link);
        w->timer = sd_event_source_disable_unref(w->timer);
        w->left_slot = sd_bus_slot_unref(w->left_slot);
        g_free(w->sender);
        g_free(w);
}

void bus_drop_watchers(Bus *b) {
        while (b->watchers.head)
                watcher_free(b->watchers.head->data);
}

static void append_link(void *userdata, const MeshLinkInfo *info) {
        sd_bus_message *m = userdata;

        (void) sd_bus_message_append(
                        m, "(sttttt)", machine_id_format(&info->machine).text, info->tx_packets,
                        info->tx_bytes, info->rx_packets, info->rx_bytes, info->rtt);
}

static int send_counters(Watcher *w, ManagedNetwork *n) {
        g_autofree char *path = bus_network_path(n);
        Network *core = managed_network_core(n);
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(w->bus->bus, &m, path, OMERTA_IFACE_NETWORK, "Counters");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sttttt)");
        if (r >= 0 && core)
                mesh_foreach_link(network_mesh(core), append_link, m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_send_to(w->bus->bus, m, w->sender, NULL);
        sd_bus_message_unref(m);
        return r;
}

static int on_interval(sd_event_source *s, uint64_t usec, void *userdata) {
        Watcher *w = userdata;
        ManagedNetwork *n = bus_find_network_by_id(w->bus, &w->network);
        uint64_t waiting = 0;
        int r;

        if (!n) {
                watcher_free(w);
                return 0;
        }
        /* The bus is slow: what it has not taken yet is old when it does. */
        (void) sd_bus_get_n_queued_write(w->bus->bus, &waiting);
        r = waiting == 0 ? send_counters(w, n) : 0;
        if (r < 0)
                (void) log_debug_errno(r, "cannot send counters: %m");
        (void) sd_event_source_set_time(s, now_usec(CLOCK_MONOTONIC) + w->interval);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_watcher_left(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        watcher_free(userdata);
        return 0;
}

static Watcher *find_watcher(Bus *b, const NetworkId *network, const char *sender) {
        for (GList *i = b->watchers.head; i; i = i->next) {
                Watcher *w = i->data;

                if (machine_id_equal(&w->network, network) && strcmp(w->sender, sender) == 0)
                        return w;
        }
        return NULL;
}

static bool has_place(const Bus *b, uid_t uid) {
        unsigned own = 0;

        for (const GList *i = b->watchers.head; i; i = i->next)
                own += ((const Watcher *) i->data)->uid == uid;
        return uid == 0 || (own < WATCHERS_PER_USER_MAX && b->watchers.length < WATCHERS_MAX);
}

static int
watch(Bus *b, sd_bus_message *call, const NetworkId *network, Watcher **ret, sd_bus_error *error) {
        Watcher *w;
        uid_t uid;
        int r;

        r = bus_sender_uid(call, &uid, error);
        if (r < 0)
                return r;
        if (!has_place(b, uid))
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_LIMIT_REACHED,
                                "too many programs watch the counters already");
        w = NEW(Watcher);
        w->bus = b;
        w->network = *network;
        w->sender = g_strdup(sd_bus_message_get_sender(call));
        w->uid = uid;
        w->link.data = w;
        g_queue_push_tail_link(&b->watchers, &w->link);
        r = bus_watch_sender(call, on_watcher_left, w, &w->left_slot);
        if (r >= 0)
                r = sd_event_add_time(b->event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_interval, w);
        if (r < 0) {
                watcher_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

int bus_network_watch_counters(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        const NetworkId *id;
        uint32_t interval;
        Watcher *w;
        int r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_read(call, "u", &interval);
        if (r < 0)
                return r;
        if (interval != 0 && interval < WATCH_INTERVAL_MIN_MSEC)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT,
                                "counters come every %u ms at most", WATCH_INTERVAL_MIN_MSEC);
        id = &managed_network_membership(n)->id;
        w = find_watcher(b, id, sd_bus_message_get_sender(call));
        if (interval == 0) {
                if (w)
                        watcher_free(w);
                return sd_bus_reply_method_return(call, NULL);
        }
        r = w ? 0 : watch(b, call, id, &w, error);
        if (r < 0)
                return r;
        w->interval = interval * USEC_PER_MSEC;
        /* The first at once, behind the answer. */
        r = sd_event_source_set_time(w->timer, 0);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        return r < 0 ? r : sd_bus_reply_method_return(call, NULL);
}
