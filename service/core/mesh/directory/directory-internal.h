/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the three files of the directory share: directory.c decides what is believed,
 * directory-store.c keeps it, directory-look.c shows it. */

#include "core/mesh/directory/directory-table.h"
#include "core/mesh/directory/directory.h"

/* What is not durable at once is written after this: one commit for a burst of gossip. */
#define DIRECTORY_FLUSH_DELAY (2 * USEC_PER_SEC)
#define DIRECTORY_FLUSH_RETRY (30 * USEC_PER_SEC)
/* Records whose issuer's or machine's certificate has not arrived yet. */
#define DIRECTORY_WAITING_MAX 1024U

typedef struct DirectoryObserverEntry {
        DirectoryObserver callback; /* NULL: left while observers were called */
        void *userdata;
} DirectoryObserverEntry;

struct Directory {
        NetworkId network;
        const MeshEnv *env;
        const MeshStore *store; /* may be NULL */
        DirectoryTable table;
        WallClock *clock;

        GQueue waiting; /* of Record, oldest first */

        GArray *observers; /* of DirectoryObserverEntry */
        GQueue events;     /* of Event, see directory.c */
        bool notifying;
        void (*taken)(void *userdata, Record *record); /* gossip; may be NULL */
        void *taken_userdata;

        /* Not in the store yet. */
        GHashTable *dirty; /* set of DirectoryMachine; which kinds: its .dirty */
        Timer flush_timer;
};

/* directory-store.c */
int directory_load(Directory *d);
void directory_mark_dirty(Directory *d, DirectoryMachine *m, RecordKind kind);
/* Commits @n records before they are taken, all or none. Revocation: also that the machine's others
 * are void. */
int directory_commit_records(Directory *d, Record *const *records, unsigned n);

/* directory.c */
/* The same key for X25519, the other sign bit (docs/protocol.md, "Identities"). */
MachineId directory_twin(const MachineId *id);
/* Puts a record in its place without a look at it; tells nobody yet. NULL: none. */
void directory_change(Directory *d, DirectoryMachine *m, RecordKind kind, Record *record);
/* Whether @a should replace @b, two records of one kind about one machine. */
bool directory_is_newer(const Directory *d, const Record *a, const Record *b);
