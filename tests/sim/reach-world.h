/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Machines of one network behind every kind of router there is, on the simulated internet: what
 * the tests of reaching each other share. The gateway can be reached by everybody, by IPv4,
 * IPv6 and TCP; its machines know of each other what the network tells them and nothing else.
 *
 * After cmocka.h and what it needs.
 */

#include "machine.h"

/* Where a machine stands. */
typedef enum End {
        END_OPEN,        /* a public IPv4 address */
        END_FIREWALL,    /* and a filter on the machine */
        END_CONE,        /* endpoint-independent mapping and filtering */
        END_EASY,        /* endpoint-independent mapping, a filter for each destination */
        END_PREDICTABLE, /* a mapping for each destination, ports in sequence */
        END_RANDOM,      /* a mapping for each destination, anywhere */
        END_MAPPED,      /* that, but its router gives it a port */
        END_DOUBLE,      /* easy behind easy */
        END_CARRIER,     /* easy, inside is the network's own range */
        END_DUAL,        /* easy, and IPv6 behind a firewall */
        END_ONLY6,       /* that IPv6 alone */
        END_BLOCKED,     /* a public IPv4 address, and UDP does not pass */
        _END_MAX,
} End;
const char *end_name(End end);

/* How two machines reach each other, from worse to better. */
typedef enum Kind {
        NONE,
        RELAYED,
        DIRECT,
        LAN,
} Kind;
const char *kind_name(Kind kind);

/* What the code does for those that cannot reach each other by themselves: RELAYED when members
 * relay, DIRECT when both sides punch; and where one has a mapping for each destination, DIRECT
 * when its next port is foretold. Nothing is asserted of NONE. */
#define RELAYS_NOW RELAYED
#define PUNCHED_NOW DIRECT
#define PREDICTED_NOW DIRECT

/* What a pair gets now at least, and what it is to get (reach-expected.c). */
typedef struct Expected {
        Kind now, goal;
} Expected;
/* @from speaks first. */
const Expected *reach_expected(End from, End to);

#define REACH_MACHINES_MAX 210U

typedef struct Reach {
        Sim *sim;
        Machine *gateway;
        Machine *machine[REACH_MACHINES_MAX];
        End end[REACH_MACHINES_MAX];
        unsigned n, n_sites;
} Reach;

Reach *reach_new(uint64_t seed);
Reach *reach_free(Reach *r);
static inline void reach_freep(Reach **r) {
        reach_free(*r);
}

/* A router of a site of its own, with a public address; @kind as it is for that end. */
SimNat *reach_router(Reach *r, End end);
/* A machine of that kind that has joined, at a site of its own; the test fails if it does not. */
Machine *reach_join(Reach *r, End end);
/* So many that join at once, at sites of their own; @draw says what each is. */
void reach_join_many(Reach *r, unsigned n, End (*draw)(Reach *r));
/* One that has joined inside @site (one that reach_router() made), with this address there. */
Machine *reach_join_inside(Reach *r, SimNat *site, const char *endpoint);
/* Somewhere else from now on, and it noticed. */
void reach_move(Reach *r, Machine *m, End end);

/* How @m sends to @to now. */
Kind reach_kind(Machine *m, Machine *to);
/* Packets one after the other, both ways, as many seconds. Return: how many of them arrived both
 * ways, of one each second. */
unsigned reach_talk(Machine *a, Machine *b, unsigned seconds);
