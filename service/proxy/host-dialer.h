/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A ProxyDialer of this machine's own sockets: how a reverse forward reaches a port here. Names:
 * "localhost" alone, since asking a resolver would block. No datagrams. Control thread only.
 */

#include <systemd/sd-event.h>

#include "proxy/proxy.h"

typedef struct HostDialer HostDialer;

HostDialer *host_dialer_new(sd_event *event);
/* Calls under way are cancelled; the handles their callers have must not be used any more. */
HostDialer *host_dialer_free(HostDialer *h);
/* Valid as long as @h. */
const ProxyDialer *host_dialer(const HostDialer *h);
