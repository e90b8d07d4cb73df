/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nat.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "sim-internal.h"

/* Below are those of well-known services (RFC 4787, 4.2.2). */
#define PORT_FIRST 1024U
#define PORT_SEQUENCE_FIRST 40000U

const SimNatKind SIM_NAT_FULL_CONE = {
        .mapping = SIM_BY_NOTHING,
        .filtering = SIM_BY_NOTHING,
        .ports = SIM_PORTS_PRESERVED,
        .hairpin = true,
        .inbound_refreshes = true,
        .lifetime = SIM_NAT_LIFETIME,
};
const SimNatKind SIM_NAT_EASY = {
        .mapping = SIM_BY_NOTHING,
        .filtering = SIM_BY_ADDRESS_AND_PORT,
        .ports = SIM_PORTS_PRESERVED,
        .inbound_refreshes = true,
        .lifetime = SIM_NAT_LIFETIME,
};
const SimNatKind SIM_NAT_PREDICTABLE = {
        .mapping = SIM_BY_ADDRESS_AND_PORT,
        .filtering = SIM_BY_ADDRESS_AND_PORT,
        .ports = SIM_PORTS_IN_SEQUENCE,
        .inbound_refreshes = true,
        .lifetime = SIM_NAT_LIFETIME,
};
const SimNatKind SIM_NAT_RANDOM = {
        .mapping = SIM_BY_ADDRESS_AND_PORT,
        .filtering = SIM_BY_ADDRESS_AND_PORT,
        .ports = SIM_PORTS_RANDOM,
        .inbound_refreshes = true,
        .lifetime = SIM_NAT_LIFETIME,
};

static bool same_by(SimNatBy by, const Endpoint *a, const Endpoint *b) {
        switch (by) {
        case SIM_BY_NOTHING:
                return true;
        case SIM_BY_ADDRESS:
                return endpoint_same_address(a, b);
        case SIM_BY_ADDRESS_AND_PORT:
                return endpoint_equal(a, b);
        }
        return false;
}

/* --- flows --- */

void sim_flow_note(GArray *flows, const Endpoint *inside, const Endpoint *outside, usec_t now) {
        SimFlow f = { .inside = *inside, .outside = *outside, .used = now };

        for (unsigned i = 0; i < flows->len; i++) {
                SimFlow *x = &g_array_index(flows, SimFlow, i);

                if (endpoint_equal(&x->inside, inside) && endpoint_equal(&x->outside, outside)) {
                        x->used = now;
                        return;
                }
        }
        g_array_append_val(flows, f);
}

bool sim_flow_admits(
                GArray *flows,
                const Endpoint *inside,
                const Endpoint *outside,
                SimNatBy by,
                usec_t now,
                usec_t lifetime,
                bool refresh) {
        bool admits = false;

        for (unsigned i = flows->len; i > 0; i--) {
                SimFlow *f = &g_array_index(flows, SimFlow, i - 1);

                if (now >= usec_add(f->used, lifetime)) {
                        g_array_remove_index_fast(flows, i - 1);
                        continue;
                }
                if (!endpoint_equal(&f->inside, inside) || !same_by(by, &f->outside, outside))
                        continue;
                admits = true;
                if (refresh && endpoint_equal(&f->outside, outside))
                        f->used = now;
        }
        return admits;
}

/* --- mappings --- */

static bool is_mapped_port(const SimNat *nat, const SimMapping *m) {
        return m->until > nat->sim->now;
}

static bool is_alive(const SimNat *nat, const SimMapping *m) {
        return is_mapped_port(nat, m) || nat->sim->now < usec_add(m->used, nat->kind.lifetime);
}

static void mapping_free(void *data) {
        SimMapping *m = data;

        g_array_unref(m->flows);
        g_free(m);
}

static void forget_dead(SimNat *nat) {
        for (unsigned i = nat->mappings->len; i > 0; i--)
                if (!is_alive(nat, nat->mappings->pdata[i - 1]))
                        g_ptr_array_remove_index_fast(nat->mappings, i - 1);
}

static SimMapping *find_outside(const SimNat *nat, const Endpoint *outside) {
        for (unsigned i = 0; i < nat->mappings->len; i++) {
                SimMapping *m = nat->mappings->pdata[i];

                if (is_alive(nat, m) && endpoint_equal(&m->outside, outside))
                        return m;
        }
        return NULL;
}

static SimMapping *find_inside(const SimNat *nat, const Endpoint *inside, const Endpoint *to) {
        SimMapping *found = NULL;

        for (unsigned i = 0; i < nat->mappings->len; i++) {
                SimMapping *m = nat->mappings->pdata[i];

                if (!is_alive(nat, m) || !endpoint_equal(&m->inside, inside))
                        continue;
                /* A mapped port is used on the way out as well (RFC 6887, 11.1). */
                if (is_mapped_port(nat, m))
                        return m;
                if (!to || same_by(nat->kind.mapping, &m->to, to))
                        found = m;
        }
        return found;
}

static bool is_free(const SimNat *nat, uint16_t port) {
        Endpoint outside = nat->address;

        endpoint_set_port(&outside, port);
        return port >= PORT_FIRST && !find_outside(nat, &outside);
}

static uint16_t next_port(SimNat *nat) {
        uint16_t port;

        do {
                port = nat->next_port++;
                if (nat->next_port < PORT_FIRST)
                        nat->next_port = PORT_FIRST;
        } while (!is_free(nat, port));
        return port;
}

static uint16_t choose_port(SimNat *nat, uint16_t inside) {
        uint16_t port = inside;

        switch (nat->kind.ports) {
        case SIM_PORTS_PRESERVED:
                if (is_free(nat, inside))
                        return inside;
                return next_port(nat);
        case SIM_PORTS_IN_SEQUENCE:
                return next_port(nat);
        case SIM_PORTS_RANDOM:
                do
                        port =
                                        (uint16_t) (PORT_FIRST +
                                                    sim_random(nat->sim) %
                                                                    (UINT16_MAX + 1 - PORT_FIRST));
                while (!is_free(nat, port));
                break;
        }
        return port;
}

static SimMapping *add_mapping(SimNat *nat, const Endpoint *inside, uint16_t port) {
        SimMapping *m = NEW(SimMapping);

        m->inside = *inside;
        m->outside = nat->address;
        endpoint_set_port(&m->outside, port);
        m->flows = g_array_new(false, false, sizeof(SimFlow));
        g_ptr_array_add(nat->mappings, m);
        return m;
}

/* --- through it --- */

bool sim_nat_out(SimNat *nat, Endpoint *from, const Endpoint *to) {
        usec_t now = nat->sim->now;
        SimMapping *m;

        if (nat->kind.blocks_udp)
                return false;
        if (to->sa.sa_family == AF_INET6) {
                sim_flow_note(nat->flows6, from, to, now);
                return true;
        }
        m = find_inside(nat, from, to);
        if (!m) {
                forget_dead(nat);
                m = add_mapping(nat, from, choose_port(nat, endpoint_port(from)));
                m->to = *to;
        }
        m->used = now;
        sim_flow_note(m->flows, from, to, now);
        *from = m->outside;
        return true;
}

bool sim_nat_in(SimNat *nat, Endpoint *to, const Endpoint *from, bool refresh) {
        usec_t now = nat->sim->now;
        SimMapping *m;
        bool admits;

        if (nat->kind.blocks_udp)
                return false;
        refresh = refresh && nat->kind.inbound_refreshes;
        if (to->sa.sa_family == AF_INET6)
                return nat->kind.open6 ||
                       sim_flow_admits(nat->flows6, to, from, SIM_BY_ADDRESS_AND_PORT, now,
                                       nat->kind.lifetime, refresh);
        m = find_outside(nat, to);
        if (!m)
                return false;
        admits =
                        sim_flow_admits(m->flows, &m->inside, from, nat->kind.filtering, now,
                                        nat->kind.lifetime, refresh);
        if (!admits && !is_mapped_port(nat, m) && nat->kind.filtering != SIM_BY_NOTHING)
                return false;
        if (refresh)
                m->used = now;
        *to = m->inside;
        return true;
}

/* --- the router itself --- */

static void set_address(SimNat *nat, const char *address) {
        if (endpoint_parse(address, 1, &nat->address) < 0 || nat->address.sa.sa_family != AF_INET)
                abort();
}

SimNat *sim_nat_make(Sim *s, const char *address, const SimNatKind *kind) {
        SimNat *nat = NEW(SimNat);

        nat->sim = s;
        nat->kind = *kind;
        set_address(nat, address);
        nat->next_port = PORT_SEQUENCE_FIRST;
        nat->mappings = g_ptr_array_new_with_free_func(mapping_free);
        nat->flows6 = g_array_new(false, false, sizeof(SimFlow));
        g_ptr_array_add(s->nats, nat);
        return nat;
}

SimNat *sim_nat_new(Sim *s, const char *address, bool symmetric, usec_t lifetime) {
        const SimNatKind kind = {
                .mapping = symmetric ? SIM_BY_ADDRESS_AND_PORT : SIM_BY_NOTHING,
                .filtering = SIM_BY_ADDRESS,
                .ports = SIM_PORTS_IN_SEQUENCE,
                .lifetime = lifetime,
        };

        return sim_nat_make(s, address, &kind);
}

SimNat *sim_nat_free(SimNat *nat) {
        g_ptr_array_unref(nat->mappings);
        g_array_unref(nat->flows6);
        g_free(nat);
        return NULL;
}

void sim_nat_set_outer(SimNat *nat, SimNat *outer) {
        for (const SimNat *x = outer; x; x = x->outer)
                if (x == nat)
                        abort();
        nat->outer = outer;
}

void sim_nat_set_kind(SimNat *nat, const SimNatKind *kind) {
        nat->kind = *kind;
}

void sim_nat_restart(SimNat *nat, const char *address) {
        g_ptr_array_set_size(nat->mappings, 0);
        g_array_set_size(nat->flows6, 0);
        if (address)
                set_address(nat, address);
        /* Not where it began the last time. */
        nat->next_port = (uint16_t) (PORT_SEQUENCE_FIRST + sim_random(nat->sim) % 20000);
}

IpAddr sim_nat_address(const SimNat *nat) {
        return endpoint_address(&nat->address);
}

int sim_nat_map(SimNat *nat, const SimNode *n, uint16_t port, usec_t lifetime, Endpoint *ret) {
        const Endpoint *inside = sim_node_of_family(n, AF_INET);
        SimMapping *m;

        if (!nat->kind.maps_ports || !inside || n->nat != nat)
                return -EOPNOTSUPP;
        m = find_inside(nat, inside, NULL);
        if (!m || !is_mapped_port(nat, m)) {
                forget_dead(nat);
                m = add_mapping(nat, inside,
                                is_free(nat, port) ? port : choose_port(nat, endpoint_port(inside)));
        }
        m->until = usec_add(nat->sim->now, lifetime);
        *ret = m->outside;
        return 0;
}

bool sim_nat_is_open(const SimNat *nat, const SimNode *n) {
        const Endpoint *inside = sim_node_of_family(n, AF_INET);

        return inside && find_inside(nat, inside, NULL);
}

unsigned sim_nat_count(const SimNat *nat) {
        unsigned n = 0;

        for (unsigned i = 0; i < nat->mappings->len; i++)
                n += is_alive(nat, nat->mappings->pdata[i]);
        return n;
}
