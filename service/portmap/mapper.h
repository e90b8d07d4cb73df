/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Has one UDP port of this machine mapped by one router, in one family. Sans-I/O: it is handed what
 * the router sends, and answers with datagrams, questions to the UPnP helper and timers.
 *
 * Theory of operation
 *
 * A round asks by PCP, if nothing came within 250 ms by NAT-PMP too, after 250 ms more by UPnP.
 * All go on in the background, each at the pace of its RFC; who says yes first has it. A round that
 * was in vain ends after 64 s with a reason, and the next begins 10 minutes later, or when somebody
 * says that something changed.
 *
 * A mapping lives for two hours and is renewed at half. Every 10 minutes the router is looked at:
 * its epoch says whether it still knows of it. One that has begun anew is asked again at once, one
 * that does not answer for 64 s has lost it, and a round begins. A router's announcement that it
 * has begun anew may be anybody's: it is a reason to look, and nothing else.
 *
 * What is taken: answers to what was asked, from the router's own address and port (the socket is
 * connected), with our nonce (PCP) and our port, that name an address which can be reached from
 * outside. All else is ignored and counted.
 *
 *   IDLE     no router; the reason is the caller's
 *   ASKING   a round is on
 *   MAPPED   there is a mapping; it is renewed and looked at
 *   PAUSED   the round was in vain
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/timer.h"
#include "portmap/pcp.h"
#include "portmap/upnp.h"

/* In the order in which they are tried. */
typedef enum MapProtocol {
        MAP_PCP,
        MAP_NATPMP,
        MAP_UPNP,
        _MAP_PROTOCOL_MAX,
        _MAP_PROTOCOL_INVALID = -1,
} MapProtocol;
const char *map_protocol_to_string(MapProtocol p); /* "pcp", "nat-pmp", "upnp"; "": none */

typedef struct MapperTarget {
        IpAddr router;
        IpAddr source;    /* ours; what is mapped */
        unsigned ifindex; /* which way; a router of the same address elsewhere is another one */
        uint16_t port;
} MapperTarget;

/* What the outside is. Any but userdata, random and upnp must be set. */
typedef struct MapperEnv {
        void *userdata;
        TimerQueue *timers;
        usec_t (*now)(void *userdata); /* runs on while the machine sleeps */
        void (*random)(void *userdata, void *buf, size_t n);
        /* To port 5351 of the router. What fails is as good as lost. */
        void (*send)(void *userdata, const uint8_t *data, size_t len);
        /* Has the helper asked; its answer is mapper_handle_upnp(), not from here, once. NULL:
         * there is none. A removal is not answered. */
        int (*upnp)(void *userdata, const UpnpRequest *q);
        void (*upnp_cancel)(void *userdata);
        /* Whether an address lies inside a virtual network. */
        bool (*is_inside)(void *userdata, const IpAddr *a);
        /* What there is to see changed. Not to be freed from here. */
        void (*changed)(void *userdata);
        /* An answer that was not believed. */
        void (*ignored)(void *userdata);
} MapperEnv;

typedef struct Mapper Mapper;

/* @nonce: of this machine and nobody else's, the same in its next life: a router lets nobody change
 * a mapping who does not know it (RFC 6887 section 11.2). */
Mapper *mapper_new(const MapperEnv *env, const uint8_t nonce[static PCP_NONCE_SIZE]);
/* Without a word to the router: mapper_release() first. */
Mapper *mapper_free(Mapper *m);

/* From now on. The same again changes nothing. What another router has mapped must have been
 * released before. @target NULL: nobody, for @reason, a sentence. */
void mapper_set_target(Mapper *m, const MapperTarget *target, const char *reason);
/* Ends the mapping, at the router too. IDLE then. @reason: a sentence. */
void mapper_release(Mapper *m, const char *reason);
/* Something about the network changed, or the machine slept: looks now, but not all the time. */
void mapper_look(Mapper *m);

/* From the router's port 5351 to the socket that env.send() sends from. */
void mapper_handle_datagram(Mapper *m, const uint8_t *data, size_t len);
/* From the router's address to PORTMAP_CLIENT_PORT. */
void mapper_handle_announcement(Mapper *m, const uint8_t *data, size_t len);
/* There is nobody at port 5351 (ICMP). */
void mapper_handle_unreachable(Mapper *m);
/* NULL: the helper failed, or took too long. */
void mapper_handle_upnp(Mapper *m, const UpnpAnswer *answer);

bool mapper_has_target(const Mapper *m);
const MapperTarget *mapper_target(const Mapper *m);
/* Where our port is reached from outside; NULL: it is not mapped. Borrowed until the next turn. */
const Endpoint *mapper_endpoint(const Mapper *m);
MapProtocol mapper_protocol(const Mapper *m);
/* Why it is not mapped, a sentence without a full stop; "": it is. Borrowed until the next turn. */
const char *mapper_reason(const Mapper *m);
