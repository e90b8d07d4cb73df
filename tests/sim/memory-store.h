/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A MeshStore in memory, for tests and the simulator: it keeps exactly what the contract in
 * core/mesh/mesh-store.h promises and not a bit more. Power can fail at any moment, any
 * operation can be made to fail.
 */

#include "core/mesh/mesh-store.h"

typedef struct MemoryStore MemoryStore;

MemoryStore *memory_store_new(void);
MemoryStore *memory_store_free(MemoryStore *s);
const MeshStore *memory_store_mesh(MemoryStore *s);

/* What was not committed is gone. The store can be used again at once. */
void memory_store_lose_power(MemoryStore *s);
/* The next @n operations that write (begin, put, delete, commit) work, all later ones return
 * @error; @error 0: everything works again. */
void memory_store_fail_after(MemoryStore *s, unsigned n, int error);
/* Successful commits so far, and writes outside of a transaction (each its own commit). */
unsigned memory_store_commits(const MemoryStore *s);
/* Committed rows of all kinds. */
unsigned memory_store_size(const MemoryStore *s);
