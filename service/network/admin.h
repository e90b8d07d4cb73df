/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an administrator does in a network of this daemon: lets machines in, names them, sends them
 * away. The only way from bus/ to what the core does of it; making, joining and leaving are in
 * network/join.h. Who may ask for it is known by then. Control thread only.
 *
 * A function that returns an int returns 0, or negative errno and @error. But for
 * managed_network_close_session() they are a gateway's, and fail elsewhere with NotGateway.
 * @text: whom a person means: a name, an id or its unique beginning of four characters at least.
 */

#include "core/wire/invite.h"
#include "network/managed-network.h"

/* Is this machine the gateway, and the network up? */
int managed_network_check_gateway(ManagedNetwork *n, ManagerError *error);

/* --- invites --- */

typedef struct InviteRequest {
        uint32_t uses;             /* 0: 1 */
        usec_t lifetime;           /* 0: one day */
        const char *name;          /* of the joining machine, valid; or NULL */
        bool needs_approval;       /* whoever has the link may ask; each approval is a use */
        const Endpoint *endpoints; /* besides those this machine knows of itself; at most ENDPOINTS_MAX */
        unsigned n_endpoints;
        const HostPort *names; /* before those this machine has; at most GATEWAY_NAMES_MAX */
        unsigned n_names;
} InviteRequest;
/* Durable before it returns. The caller frees the link, which is a secret. */
int managed_network_invite(
                ManagedNetwork *n,
                const InviteRequest *request,
                char **ret_link,
                ManagerError *error);

/* One that is open; nothing secret of it. */
typedef struct InviteInfo {
        uint8_t id[INVITE_ID_SIZE];
        usec_t created, not_after; /* realtime */
        uint32_t uses, uses_max;
        bool needs_approval;
        const char *name; /* of the joining machine; "": its own */
} InviteInfo;
/* None where managed_network_check_gateway() fails. */
void managed_network_foreach_invite(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const InviteInfo *invite),
                void *userdata);
unsigned managed_network_count_invites(ManagedNetwork *n);
/* Who waits by it waits no more. */
int managed_network_delete_invite(
                ManagedNetwork *n,
                const uint8_t id[static INVITE_ID_SIZE],
                ManagerError *error);

/* --- approvals --- */

/* Who waits for one; @since: realtime. None where managed_network_check_gateway() fails. */
void managed_network_foreach_pending(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata);
unsigned managed_network_count_pending(ManagedNetwork *n);

/* Who was refused in the last APPROVAL_KEEP_USEC; @at: monotonic. As above. */
void managed_network_foreach_refused(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t at),
                void *userdata);

/* Whom something was done to. @name: as it is called now, by which others know it. */
typedef struct AdminSubject {
        MachineId id;
        char name[HOST_NAME_MAX_LEN + 1]; /* "": not known */
} AdminSubject;
int managed_network_approve(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error);
int managed_network_refuse(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error);

/* --- members --- */

/* @ret: with the name it had. */
int managed_network_rename_machine(
                ManagedNetwork *n,
                const char *text,
                const char *name,
                AdminSubject *ret,
                ManagerError *error);
/* Whether a member is believed when it says that it is an exit to the internet. As before. */
int managed_network_appoint_exit(
                ManagedNetwork *n,
                const char *text,
                bool may,
                AdminSubject *ret,
                ManagerError *error);

typedef struct RevokeResult {
        AdminSubject machine;
        /* The invite it came by, where that lets others in still. */
        bool has_invite, withdrawn;
        uint8_t invite[INVITE_ID_SIZE];
        uint32_t uses_left; /* 0: withdrawn */
        usec_t not_after;   /* of the invite; realtime */
} RevokeResult;
/* Durable, then told to everybody. @withdraw: its invite ends too. */
int managed_network_revoke(
                ManagedNetwork *n,
                const char *text,
                bool withdraw,
                RevokeResult *ret,
                ManagerError *error);

/* --- sessions --- */

/* @s: of @n, which is up. */
void managed_network_close_session(ManagedNetwork *n, Session *s);
