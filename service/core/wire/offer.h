/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The omerta://path/ line by which two members that no third one connects find each other
 * (docs/protocol.md, "Offers"). It holds no secret, and believing it costs datagrams only. */

#include "base/endpoint.h"
#include "base/limits.h"
#include "base/machine-id.h"

#define OFFER_SCHEME "omerta://path/"

typedef struct Offer {
        NetworkId network;
        MachineId machine;
        unsigned n_endpoints;
        Endpoint endpoints[ENDPOINTS_MAX];
} Offer;

/* Return: newly allocated line; NULL if there is no endpoint, or too many. */
char *offer_format(const Offer *offer);
/* White space around it is allowed. Return: 0, -EBADMSG for anything that is no whole offer,
 * -EPROTONOSUPPORT for a later version of it. */
int offer_parse(const char *line, Offer *ret);
