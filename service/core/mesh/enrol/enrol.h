/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Letting machines in. EnrolService runs on an issuer: invites, approvals, certificates,
 * revocations. EnrolClient runs on a machine that has a link and wants to be a member.
 * (docs/protocol.md, "enrol", "cert", "Invites")
 */

#include "core/mesh/mesh.h"

typedef struct EnrolService EnrolService;

typedef struct EnrolServiceConfig {
        Mesh *mesh;
        Directory *directory;
        const MeshEnv *env;
        const MeshStore *store;
        const Identity *issuer; /* signs; has a root-signed certificate with role issuer */
        NetworkId network;
        const char *network_name;
        IpPrefix subnet;
        Secret *secret; /* borrowed, outlives the service */
        /* A machine without an invite asks (@pending) or has been answered. May be NULL. */
        void (*pending_changed)(void *userdata, const MachineId *machine, const char *name, bool pending);
        /* A machine became a member. May be NULL. */
        void (*enrolled)(void *userdata, const Record *certificate);
        void *userdata;
} EnrolServiceConfig;

int enrol_service_new(const EnrolServiceConfig *config, EnrolService **ret);
EnrolService *enrol_service_free(EnrolService *s);

typedef struct InviteOptions {
        uint32_t uses;             /* 0: 1 */
        usec_t lifetime;           /* 0: one day */
        const char *name;          /* name of the joining machine, or NULL */
        bool needs_approval;       /* no token: whoever has the link may ask */
        const Endpoint *endpoints; /* hints to put in, besides the presence record's */
        unsigned n_endpoints;
} InviteOptions;

/* Durable before it returns. Return: 0 and a link (caller frees), -ENOSPC: INVITES_MAX. */
int enrol_service_invite(
                EnrolService *s,
                const InviteOptions *options,
                char **ret_link,
                StoredInvite *ret_invite);
/* -ENOENT. */
int enrol_service_delete_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]);
/* Without their psks. */
void enrol_service_foreach_invite(
                EnrolService *s,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata);
void enrol_service_foreach_pending(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata);
/* -ENOENT: not waiting. */
int enrol_service_approve(EnrolService *s, const MachineId *machine);
int enrol_service_refuse(EnrolService *s, const MachineId *machine);
/* Durable, then told to everybody. -ENOENT: no such member, -EPERM: ourselves. */
int enrol_service_revoke(EnrolService *s, const MachineId *machine, RevocationReason reason);

typedef struct EnrolClient EnrolClient;

/* @error: NULL and the welcome, or the other side's error name, "Timeout", or "Malformed" for an
 * answer that does not hold. @response with status ENROL_PENDING may come first, any number of
 * times.
 *
 * A welcome has been verified: certificate (ours, valid) and issuer's certificate lead to the
 * network of the invite, the gateway is certified as one in it or in @response->records, the
 * subnet is one that can be used. The records are not; directory_offer() judges them. */
typedef void (*EnrolDone)(void *userdata, const char *error, const EnrolResponse *response);

/**
 * enrol_client_start() - become a member
 * @timeout: give up after it; USEC_INFINITY while waiting for an approval
 * The caller frees the client, from the callback too.
 */
int enrol_client_start(
                Mesh *mesh,
                const MeshEnv *env,
                const Identity *identity,
                const Invite *invite,
                const char *name,
                const char *owner,
                usec_t timeout,
                EnrolDone done,
                void *userdata,
                EnrolClient **ret);
EnrolClient *enrol_client_free(EnrolClient *c);

/* A network's first certificate: the gateway's, signed by the root. */
int enrol_make_gateway_certificate(
                const Identity *root,
                const MachineId *machine,
                const char *name,
                const char *owner,
                usec_t realtime,
                Record **ret);

/* Renews our own certificate at an issuer when a third of its life is left; NULL-safe. */
typedef struct CertClient CertClient;
int cert_client_new(
                Mesh *mesh,
                Directory *directory,
                const MeshEnv *env,
                const MachineId *self,
                CertClient **ret);
CertClient *cert_client_free(CertClient *c);
