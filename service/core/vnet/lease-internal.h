/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the lease service share: lease-service.c decides who gets which address,
 * lease-channel.c answers on the channel, many requests with one commit. */

#include "core/vnet/address-pool.h"
#include "core/vnet/lease.h"

struct LeaseService {
        LeaseServiceConfig config;
        AddressPool *pool;
        GHashTable *holdings; /* MachineId -> Holding */
        GTree *by_expiry;     /* of Holding, by (not after, address) */
        Timer renew_timer;    /* of the gateway's own lease */
        char own_name[HOST_NAME_MAX_LEN + 1];

        /* lease-channel.c */
        GQueue pending;      /* of Pending, in order of arrival */
        Timer group_timer;   /* they are answered */
        GHashTable *budgets; /* MachineId -> LeaseBudget */
        Timer budgets_timer;
};

/* Leases that are signed but not committed: all of them will be, or none. No machine has two in it,
 * and the addresses in it are taken. */
typedef struct LeaseBatch {
        GPtrArray *records;         /* of Record */
        GHashTable *index;          /* MachineId, in a record -> its number in @records, plus 1 */
        DirectoryVerdict *verdicts; /* after the commit, one for each record */
} LeaseBatch;

/* lease-service.c */
void lease_batch_init(LeaseBatch *b);
void lease_batch_clear(LeaseBatch *b);
bool lease_batch_has(const LeaseBatch *b, const MachineId *machine);
/* Afterwards @b is only good for lease_batch_result(). Return: 0, negative errno: none is taken. */
int lease_batch_commit(LeaseService *s, LeaseBatch *b);
/* After the commit. Return: 0, -EBADMSG: another authority overtook us, or took our role. */
int lease_batch_result(const LeaseBatch *b, const MachineId *machine);
/**
 * lease_plan_request(), lease_plan_release() - put what is to be done into @b
 * @is_limited: it must be within the machine's budget if it needs a commit
 * @machine must not be in @b. As lease_service_request() and lease_service_release(); in @b after
 * it only if something is to be committed. Also LEASE_E_TOO_OFTEN.
 */
int lease_plan_request(
                LeaseService *s,
                LeaseBatch *b,
                const MachineId *machine,
                const IpAddr *wanted,
                const char *name,
                bool is_limited,
                Record **ret);
int lease_plan_release(LeaseService *s, LeaseBatch *b, const MachineId *machine, bool is_limited);

/* lease-channel.c */
int lease_channel_init(LeaseService *s);
void lease_channel_done(LeaseService *s);
/* Return: false if @machine has used up its commits. */
bool lease_take_budget(LeaseService *s, const MachineId *machine);
