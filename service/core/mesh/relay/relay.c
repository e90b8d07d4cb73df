/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/relay/relay.h"

#include <string.h>

#include "core/mesh/gossip/neighbours.h"

static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        MeshRelay *r = userdata;

        relay_service_link_event(r->service, link, event);
        relay_client_link_event(r->client, link, event);
}

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        MeshRelay *r = userdata;
        RelayMessage message;

        if (relay_message_decode(data, len, &message) < 0) {
                drop_count(r->mesh->config.drops, DROP_FRAME_MALFORMED);
                return;
        }
        relay_client_heard(r->client, sender, &message);
}

static void
on_request(void *userdata,
           const MachineId *sender,
           ChannelRequest *request,
           const uint8_t *data,
           size_t len) {
        MeshRelay *r = userdata;
        ChannelProvider *p = &r->mesh->provider;
        RelayMessage message;

        if (relay_message_decode(data, len, &message) < 0 ||
            (message.op != RELAY_ALLOCATE && message.op != RELAY_RELEASE))
                p->ops->fail(p->self, request, WIRE_ERROR_MALFORMED);
        else
                relay_service_request(r->service, sender, request, &message);
}

MeshRelay *mesh_relay_new(Mesh *m) {
        MeshRelay *r = NEW(MeshRelay);

        r->mesh = m;
        r->service = relay_service_new(m);
        r->client = relay_client_new(m);
        r->observer = (LinkObserver){ .userdata = r, .event = on_link_event };
        mesh_observe_links(m, &r->observer);
        (void) m->provider.ops->on_channel(m, RELAY_CHANNEL, on_data, on_request, r);
        return r;
}

MeshRelay *mesh_relay_free(MeshRelay *r) {
        if (!r)
                return NULL;
        (void) r->mesh->provider.ops->off_channel(r->mesh, RELAY_CHANNEL);
        mesh_unobserve_links(r->mesh, &r->observer);
        relay_client_free(r->client);
        relay_service_free(r->service);
        g_free(r);
        return NULL;
}

void mesh_relay_machine_gone(MeshRelay *r, const MachineId *machine) {
        relay_service_forget(r->service, machine);
        relay_client_forget(r->client, machine);
}

void mesh_relay_offer_changed(MeshRelay *r, const MachineId *machine) {
        if (mesh_relay_offers(r->mesh, machine))
                relay_client_welcome(r->client, machine);
}

void mesh_relay_used(Mesh *m, const Link *link) {
        if (m->relay)
                relay_client_used(m->relay->client, link);
}

bool mesh_relay_find(const Mesh *m, const Endpoint *endpoint, MachineId *ret) {
        return m->relay && endpoint_is_relayed(endpoint) &&
               relay_client_find(m->relay->client, endpoint, ret);
}

bool mesh_relay_offers(const Mesh *m, const MachineId *machine) {
        const Record *presence = directory_get(m->config.directory, RECORD_PRESENCE, machine);

        return presence && presence->body.presence.flags & PRESENCE_RELAYS;
}

typedef struct Kept {
        const Mesh *mesh;
        unsigned n;
        MachineId *machine;
        bool preferred;
} Kept;

static void consider(void *userdata, const MachineId *machine) {
        Kept *k = userdata;

        if (k->n < RELAYS_MAX && directory_certificate(k->mesh->config.directory, machine) &&
            relay_is_preferred(k->mesh, machine) == k->preferred &&
            mesh_relay_offers(k->mesh, machine))
                k->machine[k->n++] = *machine;
}

unsigned mesh_relay_kept(const Mesh *m, MachineId ret[static RELAYS_MAX]) {
        Kept k = { .mesh = m, .machine = ret, .preferred = true };

        neighbours_foreach(m->neighbours, consider, &k);
        k.preferred = false;
        neighbours_foreach(m->neighbours, consider, &k);
        return k.n;
}

/* --- of mesh.h --- */

static const char *const modes[] = {
        [RELAY_AUTO] = "auto",
        [RELAY_ON] = "on",
        [RELAY_OFF] = "off",
};
static_assert(ELEMENTSOF(modes) == _RELAY_MODE_MAX, "a name for every mode");

const char *relay_mode_to_string(RelayMode mode) {
        assert((unsigned) mode < _RELAY_MODE_MAX);
        return modes[mode];
}

int relay_mode_from_string(const char *text, RelayMode *ret) {
        for (unsigned i = 0; i < ELEMENTSOF(modes); i++)
                if (strcmp(modes[i], text) == 0) {
                        *ret = (RelayMode) i;
                        return 0;
                }
        return -EINVAL;
}

void mesh_set_relay(Mesh *m, RelayMode mode) {
        relay_service_set_mode(m->relay->service, mode);
}

bool mesh_relays(const Mesh *m) {
        return m->relay && relay_service_is_open(m->relay->service);
}

void mesh_relay_stats(const Mesh *m, MeshRelayStats *ret) {
        relay_service_stats(m->relay->service, ret);
}

bool mesh_relay_unknown(Mesh *m, const Endpoint *from) {
        Endpoint plain = *from;

        plain.relay = 0;
        for (GList *l = m->lru.head; l; l = l->next) {
                Link *link = l->data;
                RelayMessage message = { .op = RELAY_UNKNOWN, .allocation = from->relay };
                g_autoptr(GBytes) bytes = NULL;
                const Path *path = path_set_find(&link->paths, &plain);

                if (!path || path->last_received == 0 || !link_is_up(link) ||
                    link_is_limited(link) || link->dismissed)
                        continue;
                bytes = relay_message_encode(&message);
                (void) m->provider.ops->send(
                                m, &link->machine, RELAY_CHANNEL, g_bytes_get_data(bytes, NULL),
                                g_bytes_get_size(bytes));
                return true;
        }
        return false;
}
