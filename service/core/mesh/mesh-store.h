/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the core asks of a disk, for one network. service/store implements it with SQLite; the
 * simulator and the unit tests with memory that can lose what was not committed.
 *
 * Durability: what was put between begin() and a commit() that returned 0 survives a power loss.
 * Nothing is acknowledged to anybody before that.
 */

#include <stdbool.h>

#include "base/machine-id.h"
#include "base/time.h"
#include "core/wire/handshake-payload.h"
#include "core/wire/record.h"

typedef struct StoredInvite {
        uint8_t id[INVITE_ID_SIZE];
        uint8_t psk[32];           /* derived from the token, which is not stored */
        usec_t created, not_after; /* realtime */
        uint32_t uses_max, uses;
        bool needs_approval;              /* a person lets in who has shown it */
        char name[HOST_NAME_MAX_LEN + 1]; /* the joining machine's name, or empty: its own */
} StoredInvite;

typedef struct MeshStoreOps {
        /* Transactions do not nest. A failed commit() leaves the state before begin(). */
        int (*begin)(void *self);
        int (*commit)(void *self);
        void (*rollback)(void *self);

        /* Replaces the record of the same kind and machine. */
        int (*put_record)(void *self, const Record *record);
        /* Forgets certificate, lease and presence of a machine; revocations stay. */
        int (*delete_record)(void *self, RecordKind kind, const MachineId *machine);
        int (*foreach_record)(void *self, void (*callback)(void *userdata, Record *record), void *userdata);

        int (*put_invite)(void *self, const StoredInvite *invite); /* by id */
        /* Also forgets who used it. */
        int (*delete_invite)(void *self, const uint8_t id[static INVITE_ID_SIZE]);
        int (*foreach_invite)(
                        void *self,
                        void (*callback)(void *userdata, const StoredInvite *invite),
                        void *userdata);
        /* Who used an invite: so that a lost answer can be given again. */
        int (*put_invite_use)(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine);
        /* Return: 1 yes, 0 no, negative errno. */
        int (*invite_used_by)(void *self, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine);

        /* Last endpoint a machine was reached at, so that a restart finds it again. */
        int (*put_endpoint)(void *self, const MachineId *machine, const Endpoint *endpoint);
        int (*delete_endpoint)(void *self, const MachineId *machine);
        int (*foreach_endpoint)(
                        void *self,
                        void (*callback)(void *userdata, const MachineId *machine, const Endpoint *endpoint),
                        void *userdata);
        /* When this machine's clock was last known to be right (directory/wall-clock.h). */
        int (*put_trusted_time)(void *self, usec_t realtime);
        int (*get_trusted_time)(void *self, usec_t *ret); /* 0: never */
} MeshStoreOps;

typedef struct MeshStore {
        const MeshStoreOps *ops;
        void *self;
} MeshStore;
