/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "portmap/mapper.h"
#include "portmap/natpmp.h"

typedef enum MapperState {
        MAPPER_IDLE,
        MAPPER_ASKING,
        MAPPER_MAPPED,
        MAPPER_PAUSED,
} MapperState;

/* A question that is repeated until it is answered; by UPnP the helper repeats it. */
typedef struct Attempt {
        bool is_open;
        bool is_look; /* whether it still has what it had; else for the mapping */
        usec_t pause; /* before the next copy */
        Timer timer;
} Attempt;

struct Mapper {
        MapperEnv env;
        uint8_t nonce[PCP_NONCE_SIZE];
        MapperState state;
        MapperTarget target;
        IpText router_text;
        char *reason;

        /* A round. */
        MapProtocol next;
        usec_t began;
        Attempt attempt[_MAP_PROTOCOL_MAX];
        char *failure[_MAP_PROTOCOL_MAX];        /* what came instead of a mapping */
        usec_t refused_until[_MAP_PROTOCOL_MAX]; /* not asked before */
        Timer step_timer; /* the next protocol, the end of the round; MAPPED: of our patience */
        usec_t pause;     /* after the next round that is in vain */
        IpAddr natpmp_external; /* the two halves of an answer */
        uint16_t natpmp_port;   /* 0: not there yet */
        uint32_t natpmp_lifetime;

        /* The mapping. */
        MapProtocol protocol;
        Endpoint endpoint;
        RouterEpoch router_epoch;
        char upnp_url[UPNP_URL_MAX];
        Timer renew_timer, expire_timer;

        Timer look_timer; /* to look, or to begin the next round */
        usec_t looked;
        usec_t quiet_until; /* announcements are not listened to */
};
