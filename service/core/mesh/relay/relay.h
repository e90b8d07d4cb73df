/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Relaying, of one network: what this machine carries for two others (relay-service.c), and what
 * others carry for it (relay-client.c). docs/protocol.md, "relay" and "Type 5". Datagrams pass in
 * the packet thread (relay-table.h); here it is decided whose.
 *
 * Control thread only.
 */

#include "core/mesh/link/link.h"
#include "core/mesh/relay/relay-table.h"

#define RELAY_CHANNEL "relay"

/* A pair both sides of which have not sent yet, and one that has been silent. */
#define RELAY_UNBOUND_USEC (30 * USEC_PER_SEC)
#define RELAY_IDLE_USEC (5 * USEC_PER_MINUTE)

typedef struct RelayService RelayService;
typedef struct RelayClient RelayClient;

struct MeshRelay {
        Mesh *mesh;
        RelayService *service;
        RelayClient *client;
        LinkObserver observer;
};

MeshRelay *mesh_relay_new(Mesh *m);
MeshRelay *mesh_relay_free(MeshRelay *r);
/* Whether @machine says that it relays. */
bool mesh_relay_offers(const Mesh *m, const MachineId *machine);
/* Members this machine keeps a link with that relay, those first that an administrator prefers.
 * Return: how many. */
unsigned mesh_relay_kept(const Mesh *m, MachineId ret[static RELAYS_MAX]);

/* --- relay-service.c --- */

RelayService *relay_service_new(Mesh *m);
RelayService *relay_service_free(RelayService *s);
void relay_service_set_mode(RelayService *s, RelayMode mode);
bool relay_service_is_open(const RelayService *s);
/* Somebody came who had not been asked, within a day. */
bool relay_service_was_reached(const RelayService *s);
void relay_service_request(
                RelayService *s,
                const MachineId *sender,
                ChannelRequest *request,
                const RelayMessage *message);
void relay_service_link_event(RelayService *s, Link *link, LinkEvent event);
/* It is no member any more. */
void relay_service_forget(RelayService *s, const MachineId *machine);
void relay_service_stats(const RelayService *s, MeshRelayStats *ret);

/* --- relay-client.c --- */

RelayClient *relay_client_new(Mesh *m);
RelayClient *relay_client_free(RelayClient *c);
void relay_client_link_event(RelayClient *c, Link *link, LinkEvent event);
/* A relay says so: ANNOUNCED or UNKNOWN. */
void relay_client_heard(RelayClient *c, const MachineId *relay, const RelayMessage *message);
/* @relay is there, or relays, again. */
void relay_client_welcome(RelayClient *c, const MachineId *relay);
/* Packets go to the other side of @link: about once a minute one relay is tried that could be a
 * better way there. */
void relay_client_used(RelayClient *c, const Link *link);
/* It is no member any more. */
void relay_client_forget(RelayClient *c, const MachineId *machine);
/* Whose allocation @endpoint is. Return: false: not known. */
bool relay_client_find(const RelayClient *c, const Endpoint *endpoint, MachineId *ret);

/* --- relay-choice.c --- */

/* Whether datagrams of type 5 can be exchanged with @machine: a link, and not by a relay. */
bool relay_is_near(Mesh *m, const MachineId *machine, Endpoint *ret);
/* By an administrator, to other relays. */
bool relay_is_preferred(const Mesh *m, const MachineId *machine);
/**
 * relay_choose() - the best relay for @target
 * @is_bad: which not to take
 * @is_spare: there is one already
 *
 * Machines @target says it is reached through are connected to, where no relay is at hand, for the
 * next time.
 * Return: false: there is none now.
 */
bool relay_choose(
                Mesh *m,
                const MachineId *target,
                bool (*is_bad)(const void *userdata, const MachineId *relay),
                const void *userdata,
                bool is_spare,
                MachineId *ret);
