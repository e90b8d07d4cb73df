/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Has the UDP port of this machine mapped by its routers: sockets, the UPnP helper and the event
 * loop around portmap/mapper.h, one a family. Of IPv6 a router's firewall is opened ("pinhole").
 * Control thread only.
 */

#include <systemd/sd-event.h>

#include "portmap/mapper.h"

typedef struct PortMapper PortMapper;

typedef struct PortMapperConfig {
        sd_event *event;
        TimerQueue *timers; /* of CLOCK_BOOTTIME */
        uint8_t nonce[PCP_NONCE_SIZE];
        void *userdata;
        /* Endpoint, protocol or reason; not from within a call of ours. */
        void (*changed)(void *userdata);
        void (*ignored)(void *userdata); /* an answer that was not believed */
        bool (*is_inside)(void *userdata, const IpAddr *a);
} PortMapperConfig;

PortMapper *port_mapper_new(const PortMapperConfig *config);
/* Ends the mappings; where UPnP has one it takes up to three seconds. */
PortMapper *port_mapper_free(PortMapper *p);

/* @family: AF_INET, AF_INET6. As mapper_set_target(), and the former target's mapping is ended. */
void port_mapper_set_target(PortMapper *p, int family, const MapperTarget *target, const char *reason);
void port_mapper_look(PortMapper *p);

/* Borrowed until the next turn. */
const Mapper *port_mapper_get(const PortMapper *p, int family);
