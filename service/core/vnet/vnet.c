/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vnet/vnet.h"

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/vnet/lease.h"

/*
 * The directory is the truth and is asked anew at every event, so that the order in which the
 * events of one change come does not matter: an address may have been taken from one machine
 * and given to another before we hear of either.
 */

typedef struct Member {
        MachineId id;
        PacketPeer *peer; /* borrowed from the mesh until the machine is revoked */
} Member;

struct Vnet {
        VnetConfig config;
        RouteTable *routes;
        GHashTable *members;  /* MachineId -> Member: certified machines other than us */
        GHashTable *gateways; /* set of MachineId with the role */
};

static IpPrefix host_prefix(const IpAddr *a) {
        return (IpPrefix){ .addr = *a, .len = (uint8_t) (ip_size(a) * 8) };
}

static bool is_self(const Vnet *v, const MachineId *machine) {
        return machine_id_equal(machine, &v->config.self);
}

static PacketPeer *peer_of(Vnet *v, const MachineId *machine) {
        Member *m = g_hash_table_lookup(v->members, machine);

        if (!m)
                return NULL;
        if (!m->peer)
                m->peer = v->config.packet_peer(v->config.userdata, machine);
        return m->peer;
}

/* Gives @address to @machine, or, NULL, to nobody. */
static void route_address(Vnet *v, const IpAddr *address, const MachineId *machine) {
        IpPrefix p = host_prefix(address);
        PacketPeer *peer;

        if (machine && is_self(v, machine)) {
                (void) route_table_set_local(v->routes, &p);
                return;
        }
        peer = machine ? peer_of(v, machine) : NULL;
        if (peer)
                (void) route_table_set(v->routes, &p, peer);
        else
                route_table_remove(v->routes, &p);
}

/* An authority may err, too: what lies outside the subnet is nobody's to lease. */
static void update_lease(Vnet *v, const Record *lease) {
        const IpAddr *address;
        const Record *holder;

        if (!lease || !ip_prefix_contains(&v->config.subnet, &lease->body.lease.address))
                return;
        address = &lease->body.lease.address;
        holder = directory_lease_of_address(v->config.directory, address);
        route_address(v, address, holder ? &holder->body.machine : NULL);
}

static void update_ula(Vnet *v, const MachineId *machine, bool is_member) {
        IpAddr address = ula_address(&v->config.network, machine);

        route_address(v, &address, is_member ? machine : NULL);
}

bool vnet_gateway(const Vnet *v, MachineId *ret) {
        const Record *best = NULL;
        GHashTableIter i;
        void *id;

        if (g_hash_table_contains(v->gateways, &v->config.self)) {
                *ret = v->config.self;
                return true;
        }
        g_hash_table_iter_init(&i, v->gateways);
        while (g_hash_table_iter_next(&i, &id, NULL)) {
                const Record *c = directory_certificate(v->config.directory, id);

                if (!c)
                        continue;
                if (!best || c->body.not_before < best->body.not_before ||
                    (c->body.not_before == best->body.not_before &&
                     machine_id_compare(&c->body.machine, &best->body.machine) < 0))
                        best = c;
        }
        if (!best)
                return false;
        *ret = best->body.machine;
        return true;
}

static void update_roles(Vnet *v, const MachineId *machine, const Record *certificate) {
        bool was = g_hash_table_contains(v->gateways, machine);
        bool is = certificate && (certificate->body.certificate.roles & ROLE_GATEWAY);

        if (is && !was)
                g_hash_table_add(v->gateways, g_memdup2(machine, sizeof *machine));
        else if (!is && was)
                g_hash_table_remove(v->gateways, machine);
}

static void add_member(Vnet *v, const Record *certificate) {
        const MachineId *machine = &certificate->body.machine;
        Member *m;

        if (is_self(v, machine))
                return;
        if (!g_hash_table_contains(v->members, machine)) {
                m = NEW(Member);
                m->id = *machine;
                g_hash_table_insert(v->members, &m->id, m);
        }
        update_ula(v, machine, true);
        update_lease(v, directory_get(v->config.directory, RECORD_LEASE, machine));
}

/* Its routes vanish before the mesh can let go of the peer. */
static void remove_member(Vnet *v, const MachineId *machine) {
        Member *m = g_hash_table_lookup(v->members, machine);

        if (!m)
                return;
        if (m->peer)
                route_table_remove_peer(v->routes, m->peer);
        g_hash_table_remove(v->members, machine);
}

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        Vnet *v = userdata;

        switch (kind) {

        case RECORD_CERTIFICATE:
                if (record)
                        add_member(v, record);
                else
                        remove_member(v, machine);
                update_roles(v, machine, record);
                break;

        case RECORD_LEASE:
                update_lease(v, old);
                update_lease(v, record);
                break;

        case RECORD_REVOCATION:
                if (!record)
                        break;
                remove_member(v, machine);
                update_roles(v, machine, NULL);
                break;

        case RECORD_PRESENCE:
        case _RECORD_KIND_MAX:
                break;
        }
}

static void load_certificate(void *userdata, Record *record) {
        add_member(userdata, record);
        update_roles(userdata, &record->body.machine, record);
}

static void load_lease(void *userdata, Record *record) {
        update_lease(userdata, record);
}

int vnet_new(const VnetConfig *config, Vnet **ret) {
        IpPrefix ula = ula_prefix(&config->network);
        RouteTable *routes;
        Vnet *v;
        int r;

        r = route_table_new(config->env, &config->subnet, &routes);
        if (r < 0)
                return r;
        v = NEW(Vnet);
        *v = (Vnet){
                .config = *config,
                .routes = routes,
                .members = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free),
                .gateways = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, g_free, NULL),
        };
        (void) route_table_set(routes, &ula, NULL);
        update_ula(v, &config->self, true);
        directory_foreach(config->directory, RECORD_CERTIFICATE, load_certificate, v);
        directory_foreach(config->directory, RECORD_LEASE, load_lease, v);
        route_table_flush(routes);
        directory_observe(config->directory, on_record, v);
        *ret = v;
        return 0;
}

Vnet *vnet_free(Vnet *v) {
        if (!v)
                return NULL;
        directory_unobserve(v->config.directory, on_record, v);
        route_table_free(v->routes);
        g_hash_table_unref(v->members);
        g_hash_table_unref(v->gateways);
        g_free(v);
        return NULL;
}

RouteTable *vnet_routes(Vnet *v) {
        return v->routes;
}

bool vnet_lookup_address(const Vnet *v, const MachineId *machine, IpAddr *ret) {
        const Record *lease = directory_get(v->config.directory, RECORD_LEASE, machine);

        if (!lease || lease_is_released(lease) ||
            !ip_prefix_contains(&v->config.subnet, &lease->body.lease.address))
                return false;
        *ret = lease->body.lease.address;
        return true;
}

IpAddr vnet_local_address(const Vnet *v) {
        IpAddr a = {};

        (void) vnet_lookup_address(v, &v->config.self, &a);
        return a;
}

IpAddr vnet_local_address6(const Vnet *v) {
        return ula_address(&v->config.network, &v->config.self);
}

IpAddr vnet_gateway_address(const Vnet *v) {
        MachineId gateway;
        IpAddr a;

        if (vnet_gateway(v, &gateway) && vnet_lookup_address(v, &gateway, &a))
                return a;
        return vnet_plan_gateway(&v->config.subnet);
}

VnetDecision vnet_route(Vnet *v, const IpAddr *destination) {
        VnetDecision decision = { .verdict = ROUTE_DROP, .reason = DROP_NO_ADDRESS };
        IpAddr local = vnet_local_address(v);
        RouteDecision d;

        if (destination->family == AF_INET && !ip_is_set(&local))
                return decision;
        route_table_flush(v->routes);
        d = route_table_lookup(v->routes, destination);
        decision.verdict = d.verdict;
        decision.reason = d.reason;
        if (d.peer)
                decision.machine = d.peer->id;
        return decision;
}

bool vnet_lookup_machine(const Vnet *v, const IpAddr *address, MachineId *ret) {
        const Record *lease;
        RouteDecision d;

        if (address->family == AF_INET) {
                lease = directory_lease_of_address(v->config.directory, address);
                if (!lease)
                        return false;
                *ret = lease->body.machine;
                return true;
        }
        route_table_flush(v->routes);
        d = route_table_lookup(v->routes, address);
        if (d.verdict != ROUTE_PEER && d.verdict != ROUTE_LOCAL)
                return false;
        *ret = d.peer ? d.peer->id : v->config.self;
        return true;
}
