/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The passive half of the directory: which records there are, with everything that is derived
 * from them and must never disagree with them: order, counts, digest, who holds an address, who
 * has a name. It believes whatever it is given; directory.c decides what that is.
 *
 * Several machines may hold a lease of the same address (two issuers that could not see each
 * other; an expired lease whose address was given away). All of them are kept, so that the
 * directories of all members become alike whatever arrived first, and the holder is computed
 * from the set (docs/protocol.md, "Conflicts").
 */

#include "core/wire/record.h"

typedef struct DirectoryMachine DirectoryMachine;
struct DirectoryMachine {
        MachineId id;
        Record *record[_RECORD_KIND_MAX]; /* by kind; NULL: none. [0] is not used */
        DirectoryMachine *next_claim;     /* of the same address, in order of (not before, id) */
        DirectoryMachine *next_name;      /* of the same host name, no order */
        uint8_t dirty;                    /* bit i: the store does not know record[i] yet */
};

typedef struct DirectoryTable {
        GTree *machines;    /* MachineId -> DirectoryMachine */
        GHashTable *names;  /* host name -> DirectoryMachine; both of the certificate */
        GHashTable *claims; /* IPv4 address -> DirectoryMachine */
        GHashTable *hashes; /* the 8 bytes of a record's hash -> Record */
        unsigned count[_RECORD_KIND_MAX];
        uint64_t digest[256];
        uint64_t revocations[32]; /* the same of revocations alone, by 5 bits */
} DirectoryTable;

void directory_table_init(DirectoryTable *t);
void directory_table_done(DirectoryTable *t);

DirectoryMachine *directory_table_find(const DirectoryTable *t, const MachineId *id);
/* Finds or makes. */
DirectoryMachine *directory_table_get(DirectoryTable *t, const MachineId *id);
/* Frees it if it has no records and is not dirty. */
void directory_table_drop_if_empty(DirectoryTable *t, DirectoryMachine *m);

/* Replaces the record of @kind; takes a reference. NULL: none. */
void directory_table_set(DirectoryTable *t, DirectoryMachine *m, RecordKind kind, Record *record);

/* The host order address a lease claims; 0: none, since it is released (or there is no lease). */
uint32_t lease_claim(const Record *lease);
/* NULL: nobody. */
DirectoryMachine *directory_table_holder(const DirectoryTable *t, uint32_t address);
/* The lease of @m, unless another machine has the better claim to its address. */
Record *directory_table_lease(const DirectoryTable *t, const DirectoryMachine *m);
DirectoryMachine *directory_table_by_name(const DirectoryTable *t, const char *name);

Record *directory_table_by_hash(const DirectoryTable *t, uint64_t hash);

/* docs/protocol.md, "gossip": 8 bytes, little-endian. */
uint64_t record_hash_value(const Record *record);
