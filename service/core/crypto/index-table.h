/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Receiver index -> keypair, read by packet threads without waiting, written by the control
 * thread. The low 16 bits of an index are the slot, the high 16 are random, so that a look-up is
 * one array access and an old index is not mistaken for a new one. One table serves all networks
 * of a daemon.
 *
 * An index is reserved when a handshake starts (no keypair yet), bound when it has keys, and
 * released when they are retired. Index 0 is never given: it can stand for none.
 */

#include <stdint.h>

#include "core/crypto/keypair.h"

typedef struct IndexTable IndexTable;

IndexTable *index_table_new(void);
IndexTable *index_table_free(IndexTable *t);

/**
 * index_table_reserve() - an index nobody uses
 * @random: 16 random bits
 * @owner: returned by index_table_owner() until it is released; control thread only
 * Return: 0, or -ENOBUFS when all are in use.
 */
int index_table_reserve(IndexTable *t, uint16_t random, struct Mesh *owner, uint32_t *ret);
struct Mesh *index_table_owner(IndexTable *t, uint32_t index);
/* Publishes @kp under its local_index, which must be reserved. */
void index_table_bind(IndexTable *t, Keypair *kp);
/* Unpublishes; an index that is not reserved is ignored. The keypair itself stays the caller's. */
void index_table_release(IndexTable *t, uint32_t index);

/* Any thread. Return: keypair valid until the reader's next quiescent state, or NULL. */
Keypair *index_table_lookup(IndexTable *t, uint32_t index);
