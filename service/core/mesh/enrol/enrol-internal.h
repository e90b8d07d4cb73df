/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the enrolment service share: enrol-invites.c has the invites,
 * enrol-approvals.c who waits for a person, enrol-certificates.c what is signed for members,
 * enrol-service.c the answers. */

#include "core/mesh/enrol/enrol.h"

/* docs/protocol.md, "Validity" */
#define CERTIFICATE_LIFETIME (30 * USEC_PER_DAY)
#define ISSUER_CERTIFICATE_LIFETIME (3650 * USEC_PER_DAY)
/* Where its key is kept elsewhere a person has to fetch it. */
#define ISSUER_RENEW_USEC (365 * USEC_PER_DAY)

#define INVITE_LIFETIME_DEFAULT USEC_PER_DAY
/* An invite that lets nobody in any more is kept, so that whoever comes too late is told why. */
#define INVITE_KEEP (7 * USEC_PER_DAY)

typedef struct Applicant {
        MachineId machine;
        char name[HOST_NAME_MAX_LEN + 1];
        char owner[OWNER_MAX_LEN + 1];
        uint8_t invite[INVITE_ID_SIZE]; /* that it has shown */
        Endpoint from;
        usec_t since;      /* realtime */
        usec_t last_asked; /* monotonic */
} Applicant;

typedef struct PskPool PskPool;

struct EnrolService {
        EnrolServiceConfig config;
        char *network_name;
        GTree *invites;    /* id -> Invitation, in order of id */
        PskPool *psks;     /* theirs */
        GTree *applicants; /* MachineId -> Applicant */
        GQueue refusals;   /* of who was refused, oldest first */
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
/* @from: where its link comes from; may be unset. Return: 0: waits; -EPERM: was refused; -ENOBUFS:
 * too many wait, in all, by this invite or from there. */
int enrol_apply(EnrolService *s,
                const uint8_t invite[static INVITE_ID_SIZE],
                const MachineId *machine,
                const Endpoint *from,
                const EnrolRequest *request);
bool enrol_is_waiting(const EnrolService *s, const MachineId *machine);
/* The invite was withdrawn. */
void enrol_forget_applicants_of(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]);
/* It has been let in. */
void enrol_forget_applicant(EnrolService *s, const MachineId *machine);

/* How many have another end now. */
unsigned enrol_set_invites_right(EnrolService *s);

/* enrol-certificates.c */
bool enrol_clock_is_right(const EnrolService *s);
/* A certificate for a new machine, signed, not stored yet; the name is @wanted or one like it that
 * is free. Return: 0, -ENOBUFS: the network is full, -ETIME: our clock cannot be right, other
 * negative errno. */
int enrol_make_certificate(
                EnrolService *s,
                const MachineId *machine,
                const char *wanted,
                const char *owner,
                Record **ret);
/* The certificate of a member: the one it has, or a new one where less than half of it is left.
 * Return: 0 and a reference, durable; -ENOENT: no member; -EKEYEXPIRED: was away for too long;
 * -ETIME: our clock cannot be right; other negative errno. */
int enrol_renew_certificate(EnrolService *s, const MachineId *machine, Record **ret);
/* Those we signed by a clock that was ahead. Return: how many. */
unsigned enrol_set_certificates_right(EnrolService *s);
/* Answers on the channel `cert`. */
void enrol_handle_cert(EnrolService *s, const MachineId *sender, ChannelRequest *request);

/* enrol-service.c */
/* Makes @machine a member by an invite that enrol_check_invite() found good; @again: it is charged
 * already. Return: 0 and the certificate, durable and in the directory, or negative errno. */
int enrol_let_in(
                EnrolService *s,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                const char *name,
                const char *owner,
                bool again,
                Record **ret);
/* After @certificate has been taken. */
void enrol_tell_enrolled(EnrolService *s, const Record *certificate);
