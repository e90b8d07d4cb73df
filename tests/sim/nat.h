/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Translators, firewalls and the networks behind them, for the simulated internet (sim.h). The
 * words are those of RFC 4787.
 *
 * A router has one public IPv4 address in the network it stands in, which is the internet or the
 * inside of another router, and an inside with addresses of its own: nodes there reach each other
 * directly and everybody else through it. Two insides may use the same addresses. IPv6 is not
 * translated, only kept out unless somebody inside has asked.
 *
 *      SimNat *home = sim_nat_make(sim, "203.0.113.1", &SIM_NAT_EASY);
 *      SimNode *n = sim_node_new(sim, "anna", "192.168.1.2:18002");
 *      sim_node_set_nat(n, home);
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/time.h"

typedef struct Sim Sim;
typedef struct SimNode SimNode;
typedef struct SimNat SimNat;

/* What a mapping or a filter depends on, of the destination (RFC 4787, 4.1 and 5). */
typedef enum SimNatBy {
        SIM_BY_NOTHING, /* endpoint-independent */
        SIM_BY_ADDRESS,
        SIM_BY_ADDRESS_AND_PORT,
} SimNatBy;

typedef enum SimNatPorts {
        SIM_PORTS_PRESERVED, /* that of the inside, while it is free; else the next free one */
        SIM_PORTS_IN_SEQUENCE,
        SIM_PORTS_RANDOM,
} SimNatPorts;

typedef struct SimNatKind {
        SimNatBy mapping, filtering;
        SimNatPorts ports;
        bool hairpin;           /* the inside reaches the inside by the outside address */
        bool inbound_refreshes; /* what comes in keeps a mapping alive as well */
        bool maps_ports;        /* does as asked by sim_nat_map() */
        bool open6;             /* lets all of IPv6 in */
        bool blocks_udp;        /* lets nothing through; the inside is not affected */
        usec_t lifetime;        /* of a mapping and of a filter that are not refreshed */
} SimNatKind;

/* The shortest that RFC 4787, 4.3 sees in the wild. */
#define SIM_NAT_LIFETIME (30 * USEC_PER_SEC)
/* One inside takes so long, whatever the internet does. */
#define SIM_LAN_LATENCY (USEC_PER_MSEC / 2)

/* "Full cone": who finds the port gets in. */
extern const SimNatKind SIM_NAT_FULL_CONE;
/* What most homes have: one mapping for all destinations, a filter for each. */
extern const SimNatKind SIM_NAT_EASY;
/* A mapping for each destination, at the port after the last. */
extern const SimNatKind SIM_NAT_PREDICTABLE;
/* A mapping for each destination, anywhere. */
extern const SimNatKind SIM_NAT_RANDOM;

/* @address: outside. Lives as long as the simulation. */
SimNat *sim_nat_make(Sim *s, const char *address, const SimNatKind *kind);
/* Mappings do not depend on the destination unless @symmetric; ports in sequence. Who gets in are
 * addresses that the inside has sent to. */
SimNat *sim_nat_new(Sim *s, const char *address, bool symmetric, usec_t lifetime);
/* Stands inside @outer from now on, at its address there. NULL: on the internet again. */
void sim_nat_set_outer(SimNat *nat, SimNat *outer);
void sim_nat_set_kind(SimNat *nat, const SimNatKind *kind);
/* All it knew is gone, mapped ports too. @address: its new one; NULL: the same as before. */
void sim_nat_restart(SimNat *nat, const char *address);
IpAddr sim_nat_address(const SimNat *nat);

/**
 * sim_nat_map() - a port for @n's first IPv4 endpoint, for all comers, as by PCP
 * @port: outside, if it is free; 0: any
 * @lifetime: USEC_INFINITY: until the router restarts
 * @ret: as the router sees it, which is no public address if it stands behind another one
 * Return: 0, -EOPNOTSUPP: it does not do that.
 */
int sim_nat_map(SimNat *nat, const SimNode *n, uint16_t port, usec_t lifetime, Endpoint *ret);
/* Whether something sent to @n's public endpoint would get in now. */
bool sim_nat_is_open(const SimNat *nat, const SimNode *n);
/* Mappings that are alive. */
unsigned sim_nat_count(const SimNat *nat);

/* @n is reached through @nat only; its own address means nothing outside. NULL: no more. */
void sim_node_set_nat(SimNode *n, SimNat *nat);
/* A filter on the node itself: what was not asked for within @lifetime is not let in, wherever it
 * is from. 0: no more. */
void sim_node_set_firewall(SimNode *n, usec_t lifetime);
/* Whatever it sends is lost, and whatever is sent to it. */
void sim_node_block_udp(SimNode *n, bool blocked);
