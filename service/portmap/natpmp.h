/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The NAT Port Mapping Protocol, RFC 6886: bytes to structs and back, and what a router's epoch
 * says in it. IPv4 alone. Any thread.
 */

#include "portmap/pcp.h"

#define NATPMP_MAP_SIZE 12U
#define NATPMP_ADDRESS_SIZE 2U

typedef enum NatPmpOpcode {
        NATPMP_ADDRESS = 0,
        NATPMP_MAP_UDP = 1,
} NatPmpOpcode;

/* Section 3.5. */
typedef enum NatPmpResult {
        NATPMP_SUCCESS = 0,
        NATPMP_UNSUPP_VERSION = 1,
        NATPMP_NOT_AUTHORIZED = 2,
        NATPMP_NETWORK_FAILURE = 3,
        NATPMP_NO_RESOURCES = 4,
        NATPMP_UNSUPP_OPCODE = 5,
        _NATPMP_RESULT_MAX,
} NatPmpResult;
/* A part of a sentence, as pcp_result_to_string(). */
const char *natpmp_result_to_string(unsigned result);

/* Return: bytes written. */
size_t natpmp_encode_address(uint8_t buf[static NATPMP_ADDRESS_SIZE]);
/* @external_port: suggested. @lifetime: seconds; 0, with external_port 0: ends the mapping. */
size_t natpmp_encode_map(
                uint16_t internal_port,
                uint16_t external_port,
                uint32_t lifetime,
                uint8_t buf[static NATPMP_MAP_SIZE]);

typedef struct NatPmpResponse {
        uint8_t opcode;
        uint16_t result;
        uint32_t epoch;  /* s */
        IpAddr external; /* NATPMP_ADDRESS that succeeded */
        /* NATPMP_MAP_UDP that succeeded. */
        uint16_t internal_port, external_port;
        uint32_t lifetime; /* s */
} NatPmpResponse;
/* -EBADMSG: no response of this protocol. */
int natpmp_decode(const uint8_t *buf, size_t len, NatPmpResponse *ret);

/* Section 3.6; as pcp_epoch_holds(). */
bool natpmp_epoch_holds(const RouterEpoch *e, uint32_t server, usec_t now);
