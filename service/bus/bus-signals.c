/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/bus-signals.h"

#include <limits.h>
#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "bus/object.h"
#include "network/admin.h"

/* Of a value: what clients were told last, in eight bytes. Keyed, so that nobody whose name or
 * address it is can make a change that looks like none. */
typedef uint64_t Digest;
static_assert(sizeof(Digest) == crypto_shorthash_BYTES, "a digest is one of libsodium's");

/* An object clients know of. */
typedef struct Told {
        const BusKind *kind;
        Digest *values;     /* of the properties that are signalled, in the order of the vtables */
        bool shows_members; /* of a network: bus_network_members() */
        Digest invites;     /* of a network */
} Told;

struct BusSignals {
        Bus *bus;
        sd_event_source *source;
        GHashTable *touched; /* path -> bool: it has gone, whatever is there now */
        GHashTable *told;    /* path -> Told */
        GString *text;       /* of the value that is looked at */
        uint8_t key[crypto_shorthash_KEYBYTES];
        bool is_started;
};

static void told_free(Told *t) {
        g_free(t->values);
        g_free(t);
}

/* --- values --- */

static Digest digest(const BusSignals *s, const void *data, size_t len) {
        Digest d;

        crypto_shorthash((uint8_t *) &d, data, len, s->key);
        return d;
}

/* What is left of @m, each value in a form that is no other's of the same type. */
static int append_values(sd_bus_message *m, GString *text) {
        union {
                const char *string;
                uint64_t number;
        } v;
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                if (type == SD_BUS_TYPE_ARRAY) {
                        r = sd_bus_message_enter_container(m, type, contents);
                        if (r >= 0)
                                r = append_values(m, text);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                        if (r < 0)
                                return r;
                        continue;
                }
                v.number = 0;
                r = sd_bus_message_read_basic(m, type, &v);
                if (r < 0)
                        return r;
                if (type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH)
                        g_string_append_len(text, v.string, (gssize) strlen(v.string) + 1);
                else
                        g_string_append_len(text, (const char *) &v.number, sizeof v.number);
        }
        return r;
}

static int
digest_property(BusSignals *s,
                const char *path,
                const BusKind *kind,
                const sd_bus_vtable *v,
                void *userdata,
                Digest *ret) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus *bus = s->bus->bus;
        sd_bus_message *m = NULL;
        int r;

        /* Never sent: the getters write into messages. */
        r = sd_bus_message_new_signal(bus, &m, path, kind->interface, v->x.property.member);
        if (r >= 0)
                r = v->x.property.get(
                                bus, path, kind->interface, v->x.property.member, m, userdata,
                                &error);
        if (r >= 0)
                r = sd_bus_message_seal(m, 1, 0);
        if (r >= 0)
                r = sd_bus_message_rewind(m, true);
        g_string_truncate(s->text, 0);
        if (r >= 0)
                r = append_values(m, s->text);
        if (r >= 0)
                *ret = digest(s, s->text->str, s->text->len);
        sd_bus_error_free(&error);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}

static bool is_signalled(const sd_bus_vtable *v) {
        return v->type == _SD_BUS_VTABLE_PROPERTY && (v->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
}

static unsigned count_signalled(const BusKind *kind) {
        unsigned n = 0;

        for (const sd_bus_vtable *v = kind->vtable; v->type != _SD_BUS_VTABLE_END; v++)
                n += is_signalled(v);
        return n;
}

/* Looks at all of one interface, and keeps what it sees in @values. @changed: gets the names of
 * those that clients know otherwise, or may. */
static void
look(BusSignals *s,
     const char *path,
     const BusKind *kind,
     void *userdata,
     Digest *values,
     GPtrArray *changed) {
        unsigned n = 0;

        for (const sd_bus_vtable *v = kind->vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                Digest d = 0;

                if (!is_signalled(v))
                        continue;
                if (digest_property(s, path, kind, v, userdata, &d) < 0 || d != values[n])
                        g_ptr_array_add(changed, (char *) v->x.property.member);
                values[n++] = d;
        }
}

/* NULL-terminated; the caller frees the array alone. */
static char **interfaces_of(const BusKind *kind) {
        GPtrArray *names = g_ptr_array_new();

        for (const BusKind *k = kind; k; k = k->beside)
                g_ptr_array_add(names, (char *) k->interface);
        g_ptr_array_add(names, NULL);
        return (char **) g_ptr_array_free(names, FALSE);
}

/* --- invites, which are no property as a whole --- */

static void append_invite(void *userdata, const InviteInfo *i) {
        g_string_append_len(userdata, (const char *) i->id, sizeof i->id);
        g_string_append_len(userdata, (const char *) &i->uses, sizeof i->uses);
        g_string_append_len(userdata, (const char *) &i->not_after, sizeof i->not_after);
}

static Digest digest_invites(BusSignals *s, ManagedNetwork *n) {
        g_string_truncate(s->text, 0);
        managed_network_foreach_invite(n, append_invite, s->text);
        return digest(s, s->text->str, s->text->len);
}

/* --- telling --- */

/* Clients see the object as it is now. */
static void told_add(BusSignals *s, const char *path, const BusKind *kind, void *userdata) {
        g_autoptr(GPtrArray) all = g_ptr_array_new();
        Told *t = NEW(Told);
        unsigned n = 0;

        t->kind = kind;
        for (const BusKind *k = kind; k; k = k->beside)
                n += count_signalled(k);
        t->values = g_new0(Digest, n);
        n = 0;
        for (const BusKind *k = kind; k; k = k->beside) {
                look(s, path, k, userdata, t->values + n, all);
                n += count_signalled(k);
        }
        if (kind == &bus_kind_network) {
                t->shows_members = bus_network_members(s->bus->network);
                t->invites = digest_invites(s, s->bus->network);
        }
        g_hash_table_insert(s->told, g_strdup(path), t);
}

/* Those of one interface. @values: of them. */
static int
tell_interface(BusSignals *s, const char *path, const BusKind *kind, void *userdata, Digest *values) {
        g_autoptr(GPtrArray) changed = g_ptr_array_new();

        look(s, path, kind, userdata, values, changed);
        if (changed->len == 0)
                return 0;
        g_ptr_array_add(changed, NULL);
        return sd_bus_emit_properties_changed_strv(
                        s->bus->bus, path, kind->interface, (char **) changed->pdata);
}

static int tell_changes(BusSignals *s, const char *path, Told *t, void *userdata) {
        ManagedNetwork *n = s->bus->network;
        Digest *values = t->values, invites;
        int r = 0;

        for (const BusKind *k = t->kind; r >= 0 && k; k = k->beside) {
                r = tell_interface(s, path, k, userdata, values);
                values += count_signalled(k);
        }
        if (t->kind != &bus_kind_network)
                return r;
        invites = digest_invites(s, n);
        if (invites != t->invites && r >= 0)
                r = sd_bus_emit_signal(
                                s->bus->bus, path, OMERTA_IFACE_NETWORK, "InvitesChanged", NULL);
        t->invites = invites;
        return r;
}

static void tell(BusSignals *s, const char *path, bool gone) {
        Told *t = g_hash_table_lookup(s->told, path);
        const BusKind *kind;
        void *userdata;
        int r = 0;

        kind = bus_object_find(s->bus, path, &userdata);
        if (t && (gone || !kind)) {
                g_autofree char **interfaces = interfaces_of(t->kind);

                r = sd_bus_emit_interfaces_removed_strv(s->bus->bus, path, interfaces);
                g_hash_table_remove(s->told, path);
                t = NULL;
        }
        if (kind && t) {
                r = tell_changes(s, path, t, userdata);
        } else if (kind) {
                g_autofree char **interfaces = interfaces_of(kind);

                told_add(s, path, kind, userdata);
                r = sd_bus_emit_interfaces_added_strv(s->bus->bus, path, interfaces);
        }
        if (r < 0)
                (void) log_debug_errno(r, "cannot signal a change of %s: %m", path);
}

void bus_signals_send(BusSignals *s) {
        g_autoptr(GHashTable) touched = s->touched;
        GHashTableIter i;
        void *path, *gone;

        s->touched = g_hash_table_new_similar(touched);
        g_hash_table_iter_init(&i, touched);
        while (g_hash_table_iter_next(&i, &path, &gone))
                tell(s, path, GPOINTER_TO_INT(gone));
}

static int on_turn(sd_event_source *source, void *userdata) {
        BusSignals *s = userdata;

        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        /* The end of the answer sends them. */
        if (!bus_is_listing(s->bus))
                bus_signals_send(s);
        return 0;
}

/* --- touching --- */

static void touch(BusSignals *s, const char *path, bool gone) {
        if (!s->is_started)
                return;
        if (g_hash_table_lookup(s->touched, path))
                gone = true;
        g_hash_table_replace(s->touched, g_strdup(path), GINT_TO_POINTER(gone));
        (void) sd_event_source_set_enabled(s->source, SD_EVENT_ONESHOT);
}

void bus_signals_touch(BusSignals *s, const char *path) {
        touch(s, path, false);
}

void bus_signals_touch_network(BusSignals *s, ManagedNetwork *n, bool gone) {
        g_autoptr(GPtrArray) paths = NULL;
        g_autofree char *parent = NULL;
        GHashTableIter i;
        void *path;

        if (!s->is_started)
                return;
        paths = g_ptr_array_new_with_free_func(g_free);
        parent = bus_network_path(n);
        bus_object_enumerate(n, UINT_MAX, paths);
        for (unsigned k = 0; k < paths->len; k++)
                touch(s, paths->pdata[k], gone);
        g_hash_table_iter_init(&i, s->told);
        while (g_hash_table_iter_next(&i, &path, NULL))
                if (g_str_has_prefix(path, parent))
                        touch(s, path, gone);
}

/* --- what the manager reports --- */

static void on_network_added(void *userdata, ManagedNetwork *n) {
        bus_signals_touch_network(userdata, n, false);
        touch(userdata, OMERTA_PATH, false);
}

static void on_network_removed(void *userdata, ManagedNetwork *n) {
        /* It and everything below it is gone when the signals are sent; unless it is joined anew in
         * the same turn, and then it is another machine's. */
        bus_signals_touch_network(userdata, n, true);
        touch(userdata, OMERTA_PATH, false);
}

static void on_network_changed(void *userdata, ManagedNetwork *n, const char *const *properties) {
        g_autofree char *path = bus_network_path(n);
        BusSignals *s = userdata;
        bool shows = bus_network_members(n);
        Told *t = g_hash_table_lookup(s->told, path);

        /* Up and Down show and hide all of them at once. */
        if (t && t->shows_members != shows) {
                t->shows_members = shows;
                bus_signals_touch_network(s, n, false);
        }
        touch(s, path, false);
}

static void touch_machine(BusSignals *s, ManagedNetwork *n, const MachineId *machine) {
        g_autofree char *path = bus_machine_path(n, machine);

        touch(s, path, false);
}

static void touch_lease(BusSignals *s, ManagedNetwork *n, const IpAddr *address) {
        g_autofree char *path = bus_lease_path(n, address);

        touch(s, path, false);
}

static void on_machine_changed(void *userdata, ManagedNetwork *n, const MachineId *machine, bool gone) {
        Network *core = managed_network_core(n);
        Vnet *v = core ? network_vnet(core) : NULL;
        IpAddr address = {};

        touch_machine(userdata, n, machine);
        /* Which says where its machine is. */
        if (v && vnet_lookup_address(v, machine, &address))
                touch_lease(userdata, n, &address);
}

static void on_lease_changed(
                void *userdata,
                ManagedNetwork *n,
                const MachineId *machine,
                const Record *lease,
                const Record *old) {
        const Record *both[] = { lease, old };

        touch_machine(userdata, n, machine);
        for (size_t i = 0; i < ELEMENTSOF(both); i++) {
                if (!both[i])
                        continue;
                touch_machine(userdata, n, &both[i]->body.machine);
                touch_lease(userdata, n, &both[i]->body.lease.address);
        }
}

static void on_session_changed(void *userdata, ManagedNetwork *n, Session *session) {
        g_autofree char *path = bus_session_path(n, session);

        if (path)
                touch(userdata, path, false);
}

static void on_approval_requested(
                void *userdata,
                ManagedNetwork *n,
                const MachineId *machine,
                const char *name,
                bool pending) {
        g_autofree char *path = bus_network_path(n);
        BusSignals *s = userdata;
        int r;

        touch(s, path, false);
        if (!s->is_started)
                return;
        r = sd_bus_emit_signal(
                        s->bus->bus, path, OMERTA_IFACE_NETWORK, "ApprovalRequested", "ssb",
                        machine_id_format(machine).text, name, pending);
        if (r < 0)
                (void) log_debug_errno(r, "cannot signal a request: %m");
}

static void on_forward_changed(void *userdata, ManagedNetwork *n, uint32_t id) {
        g_autofree char *path = bus_forward_path(n, id);

        touch(userdata, path, false);
}

static void on_netstack_changed(void *userdata) {
        touch(userdata, OMERTA_PATH, false);
}

static void on_port_mapping_changed(void *userdata) {
        touch(userdata, OMERTA_PATH, false);
}

static void on_relay_changed(void *userdata) {
        touch(userdata, OMERTA_PATH, false);
}

static void on_tcp_port_changed(void *userdata) {
        touch(userdata, OMERTA_PATH, false);
}

ManagerObserver bus_signals_observer(BusSignals *s) {
        return (ManagerObserver){
                .userdata = s,
                .network_added = on_network_added,
                .network_removed = on_network_removed,
                .network_changed = on_network_changed,
                .machine_changed = on_machine_changed,
                .lease_changed = on_lease_changed,
                .session_changed = on_session_changed,
                .approval_requested = on_approval_requested,
                .forward_changed = on_forward_changed,
                .netstack_changed = on_netstack_changed,
                .port_mapping_changed = on_port_mapping_changed,
                .relay_changed = on_relay_changed,
                .tcp_port_changed = on_tcp_port_changed,
        };
}

/* --- life --- */

int bus_signals_new(Bus *b, BusSignals **ret) {
        BusSignals *s = NEW(BusSignals);
        int r;

        s->bus = b;
        s->touched = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        s->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) told_free);
        s->text = g_string_new(NULL);
        crypto_shorthash_keygen(s->key);
        r = sd_event_add_defer(b->event, &s->source, on_turn, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
        if (r < 0) {
                bus_signals_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

BusSignals *bus_signals_free(BusSignals *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->source);
        g_hash_table_unref(s->touched);
        g_hash_table_unref(s->told);
        g_string_free(s->text, TRUE);
        g_free(s);
        return NULL;
}

/* A third of a second for a network of ten thousand machines, while which packets are carried. */
void bus_signals_start(BusSignals *s) {
        g_autoptr(GPtrArray) paths = bus_object_paths(s->bus);

        g_ptr_array_add(paths, g_strdup(OMERTA_PATH));
        bus_signals_stop(s);
        for (unsigned i = 0; i < paths->len; i++) {
                void *userdata;
                const BusKind *kind = bus_object_find(s->bus, paths->pdata[i], &userdata);

                if (kind)
                        told_add(s, paths->pdata[i], kind, userdata);
        }
        s->is_started = true;
}

void bus_signals_stop(BusSignals *s) {
        s->is_started = false;
        g_hash_table_remove_all(s->touched);
        g_hash_table_remove_all(s->told);
        (void) sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
}
