/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A gateway and its members on a simulated internet. */

#include "machine.h"

#define MACHINES_MANY 50U

typedef struct Lan {
        Sim *sim;
        Machine *gateway;
        Machine *member[MACHINES_MANY];
        unsigned n;
} Lan;

/* A network 10.0.0.0/16 with nobody in it but the gateway. */
Lan lan_new(uint64_t seed);
void lan_free(Lan *lan);
/* Another machine, no member yet: m1, m2, ... */
Machine *lan_machine(Lan *lan);
/* One more that has joined; the test fails if it does not. */
Machine *lan_join(Lan *lan);
