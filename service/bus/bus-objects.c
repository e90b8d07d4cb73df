/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.freedesktop.DBus.ObjectManager.GetManagedObjects, which everybody may call. The answer for a
 * network of ten thousand machines takes most of a second to write, in which nothing else would be
 * done if it were written at once: so it is written a few objects a turn of the event loop, one
 * answer at a time.
 *
 * Meanwhile signals wait (bus-signals.c): what the answer says and the signals after it are
 * together what there is, whatever came, changed or went while it was written. Between two answers
 * the signals are sent, so that nobody can hold them up by asking again and again.
 */

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-signals.h"
#include "bus/object.h"

/* About a millisecond. */
#define OBJECTS_A_TURN 32U

typedef struct Listing {
        sd_bus_message *call, *reply;
        uid_t uid;
        GPtrArray *paths; /* of the objects there were at the start; NULL: not begun */
        unsigned next;
} Listing;

static void listing_free(Listing *l) {
        g_clear_pointer(&l->paths, g_ptr_array_unref);
        sd_bus_message_unref(l->reply);
        sd_bus_message_unref(l->call);
        g_free(l);
}

static int
append_property(Bus *b,
                sd_bus_message *reply,
                const char *path,
                const char *interface,
                const sd_bus_vtable *v,
                void *userdata) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *name = v->x.property.member, *type = v->x.property.signature;
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', name);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', type);
        if (r >= 0)
                r = v->x.property.get(b->bus, path, interface, name, reply, userdata, &error);
        sd_bus_error_free(&error);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int
append_interface(Bus *b, sd_bus_message *reply, const char *path, const BusKind *kind, void *userdata) {
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', kind->interface);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        for (const sd_bus_vtable *v = kind->vtable; r >= 0 && v->type != _SD_BUS_VTABLE_END; v++)
                if (v->type == _SD_BUS_VTABLE_PROPERTY)
                        r = append_property(b, reply, path, kind->interface, v, userdata);
        /* Properties, interface. */
        for (unsigned i = 0; r >= 0 && i < 2; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

static int append_object(Bus *b, sd_bus_message *reply, const char *path) {
        const BusKind *kind;
        void *userdata;
        int r;

        kind = bus_object_find(b, path, &userdata);
        if (!kind)
                return 0;
        r = sd_bus_message_open_container(reply, 'e', "oa{sa{sv}}");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 'o', path);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sa{sv}}");
        for (; r >= 0 && kind; kind = kind->beside)
                r = append_interface(b, reply, path, kind, userdata);
        /* Interfaces, object. */
        for (unsigned i = 0; r >= 0 && i < 2; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

static int listing_begin(Bus *b, Listing *l) {
        int r;

        bus_signals_send(b->signals);
        l->paths = bus_object_paths(b);
        r = sd_bus_message_new_method_return(l->call, &l->reply);
        return r < 0 ? r : sd_bus_message_open_container(l->reply, 'a', "{oa{sa{sv}}}");
}

static int listing_end(Listing *l) {
        int r = sd_bus_message_close_container(l->reply);

        return r < 0 ? r : sd_bus_send(NULL, l->reply, NULL);
}

/* Return: 1 done, 0 there is more, negative errno. */
static int listing_go_on(Bus *b, Listing *l) {
        int r = l->paths ? 0 : listing_begin(b, l);

        for (unsigned i = 0; r >= 0 && i < OBJECTS_A_TURN && l->next < l->paths->len; i++)
                r = append_object(b, l->reply, l->paths->pdata[l->next++]);
        if (r < 0 || l->next < l->paths->len)
                return r < 0 ? r : 0;
        r = listing_end(l);
        return r < 0 ? r : 1;
}

static int on_turn(sd_event_source *s, void *userdata) {
        Bus *b = userdata;
        Listing *l = g_queue_peek_head(&b->listings);
        int r = listing_go_on(b, l);

        if (r == 0)
                return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) sd_bus_reply_method_errno(l->call, r, NULL);
        listing_free(g_queue_pop_head(&b->listings));
        bus_signals_send(b->signals);
        return g_queue_is_empty(&b->listings) ? 0 : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

bool bus_is_listing(const Bus *b) {
        const Listing *l = g_queue_peek_head((GQueue *) &b->listings);

        return l && l->paths;
}

static bool has_place(const Bus *b, uid_t uid) {
        unsigned own = 0;

        for (GList *i = b->listings.head; i; i = i->next)
                own += ((const Listing *) i->data)->uid == uid;
        return uid == 0 || (own < LISTINGS_PER_USER_MAX &&
                            g_queue_get_length((GQueue *) &b->listings) < LISTINGS_MAX);
}

/* Before sd-bus looks for the object. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        Listing *l;
        uid_t uid;
        int r;

        if (sd_bus_message_is_method_call(
                            m, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") <= 0 ||
            g_strcmp0(sd_bus_message_get_path(m), OMERTA_PATH) != 0)
                return 0;
        r = bus_sender_uid(m, &uid, error);
        if (r < 0)
                return r;
        if (!has_place(b, uid))
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_LIMIT_REACHED,
                                "too many lists of all objects are being made: wait for one");
        l = NEW(Listing);
        l->call = sd_bus_message_ref(m);
        l->uid = uid;
        g_queue_push_tail(&b->listings, l);
        (void) sd_event_source_set_enabled(b->listing_source, SD_EVENT_ONESHOT);
        return 1;
}

int bus_listings_init(Bus *b) {
        int r;

        g_queue_init(&b->listings);
        r = sd_event_add_defer(b->event, &b->listing_source, on_turn, b);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->listing_source, SD_EVENT_OFF);
        /* After all that waits for us: a source that is always pending goes before those of its own
         * priority (sd_event_source_set_priority(3)). */
        return r < 0 ? r
                     : sd_event_source_set_priority(b->listing_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

void bus_listings_done(Bus *b) {
        b->listing_source = sd_event_source_disable_unref(b->listing_source);
}

int bus_add_listings(Bus *b) {
        return sd_bus_add_filter(b->bus, NULL, on_message, b);
}

void bus_drop_listings(Bus *b) {
        g_queue_clear_full(&b->listings, (GDestroyNotify) listing_free);
        (void) sd_event_source_set_enabled(b->listing_source, SD_EVENT_OFF);
}
