/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How many connections each address of the network has, so that one member cannot have them all:
 * nobody gets more than is left for everybody. One alone has half of all there may be, two a third
 * each; who comes then still finds room. A member has two addresses, so it can be two of them.
 * Addresses of the network are authentic. Control thread only.
 */

#include <stdbool.h>

#include "base/ip.h"

typedef struct Shares Shares;

Shares *shares_new(void);
Shares *shares_free(Shares *s);

/* Counts a connection of @address, @left being what everybody together could still have, this one
 * among it. Return: false: not counted, it has its share. */
bool shares_take(Shares *s, const IpAddr *address, unsigned left);
/* One that was counted has ended. */
void shares_give(Shares *s, const IpAddr *address);
