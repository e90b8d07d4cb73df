/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim-internal.h"

/*
 * A datagram leaves its node, goes up through routers until it is where somebody has the address it
 * is for, takes its time there, and goes down through other routers to whoever that is. Routers on
 * the way up see it when it is sent, those on the way down when it arrives.
 */

/* Who stands at @place, not behind anything in it. */
static SimNode *find_node(const Sim *s, const SimNat *place, const Endpoint *to) {
        for (unsigned i = 0; i < s->nodes->len; i++) {
                SimNode *n = s->nodes->pdata[i];

                if (n->nat == place && sim_node_has(n, to))
                        return n;
        }
        return NULL;
}

/* IPv6 addresses are the same everywhere: somebody further inside has it. */
static SimNat *find_nat6(const Sim *s, const SimNat *place, const Endpoint *to) {
        for (unsigned i = 0; i < s->nodes->len; i++) {
                const SimNode *n = s->nodes->pdata[i];

                if (!n->nat || !sim_node_has(n, to))
                        continue;
                for (SimNat *nat = n->nat; nat; nat = nat->outer)
                        if (nat->outer == place)
                                return nat;
        }
        return NULL;
}

/* The router at @place that @to is behind. */
static SimNat *find_nat(const Sim *s, const SimNat *place, const Endpoint *to) {
        if (to->sa.sa_family == AF_INET6)
                return find_nat6(s, place, to);
        for (unsigned i = 0; i < s->nats->len; i++) {
                SimNat *nat = s->nats->pdata[i];

                if (nat->outer == place && endpoint_same_address(&nat->address, to))
                        return nat;
        }
        return NULL;
}

bool sim_route_up(SimNode *n, const Endpoint *from, const Endpoint *to, SimWay *ret) {
        SimWay way = { .place = n->nat, .from = *from, .to = *to };
        Sim *s = n->sim;

        if (n->udp_blocked)
                return false;
        if (n->firewall > 0)
                sim_flow_note(n->flows, from, to, s->now);
        while (way.place && !find_node(s, way.place, to) && !find_nat(s, way.place, to)) {
                if (!sim_nat_out(way.place, &way.from, to))
                        return false;
                way.via = way.place;
                way.place = way.place->outer;
        }
        *ret = way;
        return true;
}

SimNode *sim_route_down(Sim *s, SimWay *way, bool refresh) {
        SimNat *nat;
        SimNode *n;

        while (!(n = find_node(s, way->place, &way->to))) {
                nat = find_nat(s, way->place, &way->to);
                if (!nat || (nat == way->via && !nat->kind.hairpin) ||
                    !sim_nat_in(nat, &way->to, &way->from, refresh))
                        return NULL;
                way->place = nat;
        }
        if (n->udp_blocked)
                return NULL;
        if (n->firewall > 0 && !sim_flow_admits(
                                               n->flows, &way->to, &way->from,
                                               SIM_BY_ADDRESS_AND_PORT, s->now, n->firewall, refresh))
                return NULL;
        return n;
}
