/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the enrolment service share: enrol-invites.c has the invites,
 * enrol-approvals.c who waits for a person, enrol-service.c the answers and certificates. */

#include "core/mesh/enrol/enrol.h"

/* docs/protocol.md, "Validity" */
#define CERTIFICATE_LIFETIME (30 * USEC_PER_DAY)
#define ISSUER_CERTIFICATE_LIFETIME (3650 * USEC_PER_DAY)

#define INVITE_LIFETIME_DEFAULT USEC_PER_DAY
/* An invite that lets nobody in any more is kept, so that whoever comes too late is told why. */
#define INVITE_KEEP (7 * USEC_PER_DAY)
/* Who waits for an approval asks every 5 s; who has stopped asking has gone. */
#define APPROVAL_KEEP (10 * USEC_PER_MINUTE)

typedef struct Applicant {
        MachineId machine;
        char name[HOST_NAME_MAX_LEN + 1];
        char owner[OWNER_MAX_LEN + 1];
        usec_t since;      /* realtime */
        usec_t last_asked; /* monotonic */
        bool is_refused;   /* not shown any more, told so when it asks */
} Applicant;

typedef struct PskPool PskPool;

struct EnrolService {
        EnrolServiceConfig config;
        char *network_name;
        GTree *invites;    /* id -> Invitation, in order of id */
        PskPool *psks;     /* theirs */
        GTree *applicants; /* MachineId -> Applicant */
        Timer applicants_timer;
};

typedef enum InviteVerdict {
        INVITE_OK,
        INVITE_OK_AGAIN, /* this machine has used it before */
        INVITE_UNKNOWN,
        INVITE_EXPIRED,
        INVITE_USED_UP,
} InviteVerdict;

/* enrol-invites.c */
int enrol_load_invites(EnrolService *s);
void enrol_free_invites(EnrolService *s);
/* Borrowed; without its psk, which enrol_invite_psk() has. */
const StoredInvite *enrol_find_invite(const EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]);
/* Borrowed from locked memory: SECRET_SIZE bytes; NULL: there is no such invite. */
const uint8_t *enrol_invite_psk(const EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]);
/* Negative errno if the store failed. */
int enrol_check_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine);
/* In one transaction: one use of @id is @machine's, which has @certificate. */
int enrol_burn_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE], const Record *certificate);

/* enrol-approvals.c */
void enrol_init_applicants(EnrolService *s);
void enrol_free_applicants(EnrolService *s);
/* Return: 0: waits; -EPERM: was refused; -ENOBUFS: too many wait. */
int enrol_apply(EnrolService *s, const MachineId *machine, const EnrolRequest *request);
/* It has been let in. */
void enrol_forget_applicant(EnrolService *s, const MachineId *machine);

/* enrol-service.c */
/* A certificate for a new machine, signed, not stored yet; the name is @wanted or one like it that
 * is free. Return: 0, -ENOBUFS: the network is full, other negative errno. */
int enrol_make_certificate(
                EnrolService *s,
                const MachineId *machine,
                const char *wanted,
                const char *owner,
                Record **ret);
/* After @certificate has been taken. */
void enrol_tell_enrolled(EnrolService *s, const Record *certificate);
