/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two interfaces joined back to back: a thread that stands for both packet threads. What it does
 * to packets may be changed at any time, by any thread. */

#include "netif/netif.h"

typedef struct NetifWire NetifWire;

typedef enum NetifWireMode {
        NETIF_WIRE_GOOD,
        NETIF_WIRE_CUT,    /* silence */
        NETIF_WIRE_REJECT, /* IPv4: "host unreachable" comes back */
        NETIF_WIRE_LOSSY,  /* every 61st super-packet is lost, every 16th comes late */
        NETIF_WIRE_MANGLE, /* a good packet, and copies of it with bytes changed */
        NETIF_WIRE_LONG,   /* what @b sends arrives after 10 ms */
} NetifWireMode;

NetifWire *netif_wire_new(Netif *a, Netif *b);
/* The interfaces are nobody's after it. */
NetifWire *netif_wire_free(NetifWire *w);
void netif_wire_set(NetifWire *w, NetifWireMode mode);
/* Times the thread woke up. */
unsigned netif_wire_wakeups(NetifWire *w);
