/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * 32 secret bytes, once in memory: locked, read-only, wiped when the last who needs them lets go
 * (sodium_malloc). What works with a secret borrows the pointer and makes no copy. Each takes a
 * page of RLIMIT_MEMLOCK: for the few that live long. Control thread only.
 */

#include <stddef.h>
#include <stdint.h>

#define SECRET_SIZE 32U

typedef struct Secret Secret;

/* A copy of @bytes, which the caller wipes. Ends the process where there is no memory. */
Secret *secret_new(const uint8_t bytes[static SECRET_SIZE]);
Secret *secret_ref(Secret *s);
/* Accepts NULL. Return: NULL */
Secret *secret_unref(Secret *s);
static inline void secret_unrefp(Secret **s) {
        secret_unref(*s);
}
/* Borrowed from @s: SECRET_SIZE bytes. */
const uint8_t *secret_bytes(const Secret *s);
