/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The state directory: one SQLite file omerta.db (WAL, synchronous=FULL), the machine's key
 * machine.key, the roots of networks made here root-ID.key, a lock file. The keys of networks that
 * were joined are in the database. Everything is 0600; a
 * second daemon on the same directory is refused; a damaged database is reported, never made
 * anew; what belongs to another user than us and root, or is a link, is refused. Control thread
 * only.
 */

#include "base/limits.h"
#include "core/crypto/identity.h"
#include "core/mesh/membership.h"
#include "core/mesh/mesh-store.h"

/* EXITS_WANTED_MAX ids, each with a comma or the end behind it. */
#define EXIT_TEXT_SIZE ((MACHINE_ID_TEXT_LEN + 1) * EXITS_WANTED_MAX)

typedef struct Store Store;

/* A network this machine is a member of, and what the daemon adds to it. */
typedef struct StoredNetwork {
        Membership membership;
        char interface[16];        /* IFNAMSIZ; "": none yet */
        uint32_t mtu;              /* 0: not set */
        bool lan_off;              /* no beacons in LANs */
        char exit[EXIT_TEXT_SIZE]; /* that is used: "": none, "auto", or ids with commas */
        bool exit_lan_off;
        bool up;
        usec_t created; /* realtime */
} StoredNetwork;

/**
 * store_open() - take the state directory, made with mode 0700 if it does not exist
 * @ret_error: on failure a sentence for people: which file, what is wrong, what to do; the caller
 *             frees
 * Return: 0; -EBUSY: another daemon has it; -EPERM: somebody else's, or open to them; -EUCLEAN:
 * damaged; -EPROTO: written by a later version; other errno.
 */
int store_open(const char *dir, Store **ret, char **ret_error);
Store *store_close(Store *s);

/* The machine's key, from $CREDENTIALS_DIRECTORY/machine.key or the state directory; made if
 * there is none. Errors as store_open(); -ENOKEY: it is gone, though networks were joined with
 * it; -EPERM: others may read it, or it is theirs. */
int store_load_identity(Store *s, Identity **ret, char **ret_error);
/**
 * store_make_membership_key() - the key this machine joins @network with, and no other network
 *
 * The one of a try that did not come to an end, or a new one; durable before this returns, so that
 * the same key is there when an invite was used up and the answer got lost.
 */
int store_make_membership_key(Store *s, const NetworkId *network, Identity **ret);
/* -ENOENT: @network has none: it was made here, or joined with the machine's own key. */
int store_load_membership_key(Store *s, const NetworkId *network, Identity **ret);
/* Nothing there is no error. */
int store_delete_membership_key(Store *s, const NetworkId *network);
/* Durable before it returns. */
int store_save_root(Store *s, const NetworkId *network, const uint8_t seed[static IDENTITY_SEED_SIZE]);

/* Read for one signature, and freed after it. -ENOENT: it is kept elsewhere; else as
 * store_load_identity(), -EUCLEAN also for another network's key; with a sentence. */
int store_load_root(Store *s, const NetworkId *network, Identity **ret, char **ret_error);

/* In order of creation; what @network points to is borrowed. */
int store_foreach_network(
                Store *s,
                void (*callback)(void *userdata, const StoredNetwork *network),
                void *userdata);
/* Inserts or replaces, by id; durable before it returns. */
int store_put_network(Store *s, const StoredNetwork *network);
/* With all its records, invites, our key in it and its root key. Nothing there is no error. */
int store_delete_network(Store *s, const NetworkId *id);

/* What was set for this machine, whatever network it is in: a name and a text. Durable before it
 * returns. */
int store_put_setting(Store *s, const char *name, const char *value);
/* The caller frees. -ENOENT: it was never set. */
int store_get_setting(Store *s, const char *name, char **ret);
/* Nothing there is no error. */
int store_delete_setting(Store *s, const char *name);

/* A port forward, as proxy/forward.h writes and reads it; nothing of it is looked at here. */
typedef struct StoredForward {
        uint32_t id;
        char *direction, *listen, *target;
} StoredForward;
/* In the order of their numbers. */
int store_foreach_forward(
                Store *s,
                const NetworkId *network,
                void (*callback)(void *userdata, const StoredForward *forward),
                void *userdata);
/* Inserts or replaces, by number; durable before it returns. */
int store_put_forward(Store *s, const NetworkId *network, const StoredForward *forward);
/* Nothing there is no error. */
int store_delete_forward(Store *s, const NetworkId *network, uint32_t id);

/* Why the last that was to be kept could not be written: negative errno of the disk; 0: it was. */
int store_write_error(const Store *s);
/* When that changes between 0 and others. From within what writes: nothing may be written there. */
void store_on_write_error(Store *s, void (*changed)(void *userdata, int error), void *userdata);
/* Writes something that changes nothing, to see whether it can. Return: 0 or negative errno. */
int store_probe(Store *s);
/**
 * store_backup() - all of it, with the key files, as one SQLite file (store-backup.c)
 * @ret_fd: a sealed memfd, the caller's; it holds secrets
 *
 * Consistent: what was acknowledged is in it. A machine.key that is a credential is not.
 */
int store_backup(Store *s, int *ret_fd);
/**
 * store_restore() - make a state directory of a backup
 * @fd: read to its end; where it is and what it is does not matter
 *
 * All or nothing, and durable. @ret_error as of store_open().
 * Return: 0; -EBUSY: a daemon has @dir; -EEXIST: there is something in it; -EUCLEAN: no backup, or
 * damaged; -EPROTO: of a later version; other errno.
 */
int store_restore(const char *dir, int fd, char **ret_error);

/* The core's view of one network; store_mesh_done() frees what it holds. */
MeshStore store_mesh(Store *s, const NetworkId *network);
void store_mesh_done(MeshStore *m);
