/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the administrator of an exit has said: who may use it, and which prefixes beside the
 * internet are granted to whom. A word for a machine goes before one for its owner, and that before
 * the one for all; where nothing is said everybody may. Without I/O.
 */

#include <glib.h>

#include "base/ip.h"
#include "base/machine-id.h"
#include "core/wire/record.h"

typedef enum ExitSubjectKind {
        EXIT_ALL,     /* "*" */
        EXIT_OWNER,   /* "owner:anna" */
        EXIT_MACHINE, /* "machine:ID"; people name it */
} ExitSubjectKind;

typedef struct ExitSubject {
        ExitSubjectKind kind;
        char owner[OWNER_MAX_LEN + 1];
        MachineId machine;
} ExitSubject;

/* Return: 0; -ENOENT: neither "*" nor "owner:" nor "machine:"; -EINVAL. */
int exit_subject_parse(const char *text, ExitSubject *ret);
char *exit_subject_format(const ExitSubject *s);

typedef struct ExitAccess {
        ExitSubject subject;
        bool allowed;
} ExitAccess;

typedef struct ExitLan {
        ExitSubject subject;
        IpPrefix prefix;
} ExitLan;

typedef struct ExitPolicy {
        GArray *access; /* of ExitAccess, no two of one subject */
        GArray *lan;    /* of ExitLan */
} ExitPolicy;

ExitPolicy *exit_policy_new(void);
ExitPolicy *exit_policy_free(ExitPolicy *p);

/* As it is stored: a line for each word. Return: 0, or -EINVAL, and nothing of it counts. */
int exit_policy_parse(const char *text, ExitPolicy **ret);
char *exit_policy_format(const ExitPolicy *p);

/* Return: 0, or -ENOSPC: EXIT_WORDS_MAX are said. */
int exit_policy_set_access(ExitPolicy *p, const ExitSubject *subject, bool allowed);
/* Return: 0; -ENOSPC; -ENOENT: what is to be taken back was not granted. */
int exit_policy_set_lan(ExitPolicy *p, const IpPrefix *prefix, const ExitSubject *subject, bool granted);

bool exit_policy_allows(const ExitPolicy *p, const MachineId *machine, const char *owner);
/* What is granted to a machine by its name or its owner's, not to all; of IpPrefix, appended. None
 * lies in another. */
void exit_policy_granted(const ExitPolicy *p, const MachineId *machine, const char *owner, GArray *prefixes);
