/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A ProxyDialer of the machine's own sockets, with a table of names and datagrams: the virtual
 * network of tests, and of programs that measure the proxy alone.
 */

#include "proxy/host-dialer.h"

typedef struct PlainDialer {
        ProxyDialer ops; /* give this one to the proxy */
        HostDialer *host;
        sd_event *event;
        unsigned cancelled; /* calls */
        /* Answers of the next dials, one each, instead of dialing; 0: dial. */
        int dial_error;
        bool dial_hangs; /* no answer ever */
        bool is_down;    /* the network: -ENETUNREACH for whatever begins */
        unsigned dials;
} PlainDialer;

/* Known names: "nas", "nas.omerta" -> 127.0.0.1; "two" -> 127.0.0.2 then 127.0.0.1. */
PlainDialer *plain_dialer_new(sd_event *event);
PlainDialer *plain_dialer_free(PlainDialer *d);
