/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a member knows of its network for good. The daemon stores it. */

#include <stdbool.h>

#include "base/ip.h"
#include "base/machine-id.h"
#include "core/wire/control.h"

typedef struct Membership {
        NetworkId id;
        char name[NETWORK_NAME_MAX_LEN + 1];
        IpPrefix subnet;
        MachineId gateway;
        uint8_t secret[ENROL_SECRET_SIZE];
        bool is_gateway;                       /* this machine is the gateway and an issuer */
        bool is_revoked;                       /* it is over, for good */
        char host_name[HOST_NAME_MAX_LEN + 1]; /* ours in this network */
        char owner[OWNER_MAX_LEN + 1];
        /* Of the gateway, what its administrator has set: see EnrolServiceConfig. */
        usec_t max_absence, grace;
} Membership;
