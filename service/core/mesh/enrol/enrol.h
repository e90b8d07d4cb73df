/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Letting machines in. EnrolService runs on an issuer: invites, approvals, certificates,
 * revocations. EnrolClient runs on a machine that has a link and wants to be a member.
 * (docs/protocol.md, "enrol", "cert", "Invites")
 */

#include "core/mesh/mesh.h"

typedef struct EnrolService EnrolService;

/* A gateway that is away for a season is no reason to part. */
#define ENROL_GRACE_DEFAULT (180 * USEC_PER_DAY)

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
        /* How long after its last renewal a machine is still renewed; 0: whenever it comes. */
        usec_t max_absence;
        /* How long beyond its end a certificate counts among members that reach no issuer. 0: the
         * default. */
        usec_t grace;
        /* A machine whose invite needs an approval asks (@pending) or has been answered. May be NULL. */
        void (*pending_changed)(void *userdata, const MachineId *machine, const char *name, bool pending);
        /* The root's key signs @body, a new certificate of ours, if it is here. Return: 0, -ENOENT:
         * it is not here, other negative errno. May be NULL: it is not here. */
        int (*sign_by_root)(void *userdata, const RecordBody *body, Record **ret);
        /* A machine became a member. May be NULL. */
        void (*enrolled)(void *userdata, const Record *certificate);
        void *userdata;
} EnrolServiceConfig;

int enrol_service_new(const EnrolServiceConfig *config, EnrolService **ret);
EnrolService *enrol_service_free(EnrolService *s);

/* Both count from the next signature on. */
void enrol_service_set_policy(EnrolService *s, usec_t max_absence, usec_t grace);

/* Of the network, for invites and whoever joins from now on; copied. */
void enrol_service_set_name(EnrolService *s, const char *name);

typedef struct EnrolRepair {
        unsigned certificates, invites;
} EnrolRepair;
/* The clock was set, or is known to be right now: what was signed by one that was ahead is signed
 * anew, our own certificate by the root, invites that would live longer than was promised end when
 * they should. Return: how many. */
EnrolRepair enrol_service_clock_changed(EnrolService *s);
/**
 * enrol_service_renew_own() - our own certificate, where it is time and the root's key is here
 *
 * It is time when it is from the future, by a clock that is right, or when less than a year of it
 * is left. To be called now and then. Return: 0: nothing is to be done, or it was; durable.
 * -ENOENT: the root's key is not here, other negative errno.
 */
int enrol_service_renew_own(EnrolService *s);

typedef struct InviteOptions {
        uint32_t uses;             /* 0: 1 */
        usec_t lifetime;           /* 0: one day */
        const char *name;          /* name of the joining machine, or NULL */
        bool needs_approval;       /* whoever has the link may ask; each approval is a use */
        const Endpoint *endpoints; /* hints to put in, besides the presence record's */
        unsigned n_endpoints;
        const HostPort *names; /* the issuer's, at most GATEWAY_NAMES_MAX */
        unsigned n_names;
} InviteOptions;

/* Durable before it returns. Return: 0 and a link (caller frees), -EUSERS: INVITES_MAX, -ETIME: our
 * clock cannot be right; errno of the store. */
int enrol_service_invite(
                EnrolService *s,
                const InviteOptions *options,
                char **ret_link,
                StoredInvite *ret_invite);
/* Who waits by it waits no more. -ENOENT. */
int enrol_service_delete_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]);
/* Without their psks. */
void enrol_service_foreach_invite(
                EnrolService *s,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata);
/* The invite @machine came by, if it lets others in still; @ret without its psk. */
bool enrol_service_open_invite_of(EnrolService *s, const MachineId *machine, StoredInvite *ret);
void enrol_service_foreach_pending(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata);
/* Who was refused in the last APPROVAL_KEEP_USEC, and is told so still; @at: monotonic. */
void enrol_service_foreach_refused(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t at),
                void *userdata);
/* -ENOENT: not waiting; -EDQUOT: its invite has let in as many as it may; -ETIME: our clock cannot
 * be right. */
int enrol_service_approve(EnrolService *s, const MachineId *machine);
/* Its place is free at once. -ENOENT: not waiting. */
int enrol_service_refuse(EnrolService *s, const MachineId *machine);
/* Durable, then told to everybody. -ENOENT: no such member, -EPERM: ourselves. */
int enrol_service_revoke(EnrolService *s, const MachineId *machine, RevocationReason reason);

/**
 * enrol_service_rename() - another name for a member, by a new certificate
 * @name: as of host_name_is_valid()
 *
 * Durable, then told to everybody. What the machine wished to be called when it joined is not asked
 * for again. Return: 0, also where it is called so; -ENOENT: no such member; -EPERM: the root named
 * it (the gateway); -EINVAL: no name; -EEXIST: another machine has it; -ETIME: our clock cannot be
 * right; other negative errno.
 */
int enrol_service_rename(EnrolService *s, const MachineId *machine, const char *name);
/* Whether a member is believed when it says that it is an exit, by a new certificate: durable, then
 * told to everybody. Return: 0, also where it is so; -ENOENT, -EPERM (the gateway always is),
 * -ETIME and others as before. */
int enrol_service_set_exit(EnrolService *s, const MachineId *machine, bool may);

typedef struct EnrolClient EnrolClient;

/* @error: WIRE_ERROR_NONE and the welcome, or what the other side said, TIMEOUT, or MALFORMED for
 * an answer that does not hold. @response with status ENROL_PENDING may come first, any number of
 * times.
 *
 * A welcome has been verified: certificate (ours, valid) and issuer's certificate lead to the
 * network of the invite, the gateway is certified as one in it or in @response->records, the
 * subnet is one that can be used. The records are not; directory_offer() judges them. */
typedef void (*EnrolDone)(void *userdata, WireError error, const EnrolResponse *response);

/**
 * enrol_client_start() - become a member
 * @timeout: give up after it, unless the issuer has said that a person must approve: then one
 *           waits, as long as the invite is good or the issuer answers
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

/* Renews our own certificate at an issuer when a third of its life is left, whenever an issuer is
 * there after it has ended; NULL-safe. */
typedef struct CertClient CertClient;
int cert_client_new(
                Mesh *mesh,
                Directory *directory,
                const MeshEnv *env,
                const MachineId *self,
                CertClient **ret);
CertClient *cert_client_free(CertClient *c);
/* The clock was set, or the machine woke up: ask now if it is time. */
void cert_client_kick(CertClient *c);
/* What the last question was answered with. */
WireError cert_client_error(const CertClient *c);
void cert_client_on_changed(CertClient *c, void (*changed)(void *userdata), void *userdata);
