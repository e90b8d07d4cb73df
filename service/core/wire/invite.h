/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The omerta:// link (docs/protocol.md, "Invites"). */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/host-port.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/machine-id.h"
#include "base/time.h"
#include "core/wire/link-text.h"

#define INVITE_SCHEME "omerta://join/"
#define INVITE_TOKEN_SIZE 16U
#define NETWORK_NAME_MAX_LEN 63U
#define INVITE_LINK_MAX LINK_TEXT_MAX

typedef struct Invite {
        NetworkId network;
        MachineId issuer;
        unsigned n_endpoints;
        Endpoint endpoints[ENDPOINTS_MAX];
        unsigned n_streams;
        Endpoint streams[STREAM_ENDPOINTS_MAX]; /* ENDPOINT_TCP */
        uint8_t token[INVITE_TOKEN_SIZE];       /* secret */
        usec_t not_after;                       /* realtime */
        char network_name[NETWORK_NAME_MAX_LEN + 1];
        IpPrefix subnet; /* IPv4; AF_UNSPEC: the link does not say */
        unsigned n_names;
        HostPort names[GATEWAY_NAMES_MAX]; /* where the issuer is found by UDP */
} Invite;

/* Return: newly allocated link; NULL if the name is not valid or there are too many endpoints. */
char *invite_format(const Invite *invite);

/* Surrounding white space is allowed (people paste). Return: 0, -EBADMSG for anything that is no
 * whole link, -EPROTONOSUPPORT for a later version of it. */
int invite_parse(const char *link, Invite *ret);

/* 1 to 63 bytes, no control characters, valid UTF-8. */
bool network_name_is_valid(const char *name);
