/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The Port Control Protocol, RFC 6887: bytes to structs and back, and what a router's epoch says.
 * Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"
#include "base/time.h"

/* Of NAT-PMP too (RFC 6886 section 3.1, RFC 6887 section 19.1). */
#define PORTMAP_SERVER_PORT 5351
#define PORTMAP_CLIENT_PORT 5350 /* where routers announce that they have begun anew */

#define PCP_VERSION 2
#define PCP_NONCE_SIZE 12U
#define PCP_HEADER_SIZE 24U
#define PCP_MAP_SIZE 60U      /* with the header */
#define PCP_MESSAGE_MAX 1100U /* section 7 */

typedef enum PcpOpcode {
        PCP_ANNOUNCE = 0,
        PCP_MAP = 1,
} PcpOpcode;

/* Section 7.4. */
typedef enum PcpResult {
        PCP_SUCCESS = 0,
        PCP_UNSUPP_VERSION = 1,
        PCP_NOT_AUTHORIZED = 2,
        PCP_MALFORMED_REQUEST = 3,
        PCP_UNSUPP_OPCODE = 4,
        PCP_UNSUPP_OPTION = 5,
        PCP_MALFORMED_OPTION = 6,
        PCP_NETWORK_FAILURE = 7,
        PCP_NO_RESOURCES = 8,
        PCP_UNSUPP_PROTOCOL = 9,
        PCP_USER_EX_QUOTA = 10,
        PCP_CANNOT_PROVIDE_EXTERNAL = 11,
        PCP_ADDRESS_MISMATCH = 12,
        PCP_EXCESSIVE_REMOTE_PEERS = 13,
        _PCP_RESULT_MAX,
} PcpResult;
/* A part of a sentence: "it is not allowed". */
const char *pcp_result_to_string(unsigned result);

/* A mapping of a UDP port, section 11.1. */
typedef struct PcpMap {
        uint8_t nonce[PCP_NONCE_SIZE];
        uint16_t internal_port;
        uint16_t external_port; /* request: suggested; 0: any */
        IpAddr external;        /* request: suggested; unset: any of the client's family */
} PcpMap;

/* @client: the address the request leaves from. @lifetime: seconds; 0 ends the mapping.
 * Return: bytes written. */
size_t
pcp_encode_map(const IpAddr *client,
               const PcpMap *map,
               uint32_t lifetime,
               uint8_t buf[static PCP_MAP_SIZE]);
size_t pcp_encode_announce(const IpAddr *client, uint8_t buf[static PCP_HEADER_SIZE]);

typedef struct PcpResponse {
        uint8_t version; /* with PCP_UNSUPP_VERSION: what the router speaks instead */
        uint8_t opcode;
        uint8_t result;
        uint32_t lifetime; /* s; of the mapping, or of the error */
        uint32_t epoch;    /* s */
        PcpMap map;        /* PCP_MAP alone */
} PcpResponse;
/* -EBADMSG: no response of this protocol. An opcode or a result we do not know is none of its
 * business. */
int pcp_decode(const uint8_t *buf, size_t len, PcpResponse *ret);

/* When the router began to keep the mappings it has, as far as its answers tell. */
typedef struct RouterEpoch {
        bool is_known;
        uint32_t server; /* s, as it was said last */
        usec_t at;       /* and when, on a clock that runs on while we sleep */
} RouterEpoch;
/* Section 8.5. Return: false: the router has lost what it knew since @e, which is not changed. */
bool pcp_epoch_holds(const RouterEpoch *e, uint32_t server, usec_t now);
static inline void router_epoch_note(RouterEpoch *e, uint32_t server, usec_t now) {
        *e = (RouterEpoch){ .is_known = true, .server = server, .at = now };
}
