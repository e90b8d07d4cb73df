/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a member knows of its network for good. The daemon stores it. */

#include <stdbool.h>

#include "base/host-port.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/machine-id.h"
#include "core/crypto/secret.h"
#include "core/wire/control.h"

typedef struct Membership {
        NetworkId id;
        char name[NETWORK_NAME_MAX_LEN + 1];
        IpPrefix subnet;
        MachineId gateway;
        Secret *secret;                        /* NULL: none yet */
        bool is_gateway;                       /* this machine is the gateway and an issuer */
        bool is_revoked;                       /* it is over, for good */
        char host_name[HOST_NAME_MAX_LEN + 1]; /* ours in this network */
        char owner[OWNER_MAX_LEN + 1];
        /* Of the gateway, what its administrator has set: see EnrolServiceConfig. */
        usec_t max_absence, grace;
        /* Where the gateway is found when its address changed; its own go into its invites. */
        HostPort names[GATEWAY_NAMES_MAX];
        unsigned n_names;
} Membership;

/* With a reference of its own to the secret; @to holds one already, or is empty. */
void membership_copy(Membership *to, const Membership *from);
void membership_clear(Membership *m);
