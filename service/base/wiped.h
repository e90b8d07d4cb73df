/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Byte arrays for messages in which a secret may be: nothing of them stays in freed memory. */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

GByteArray *wiped_new(void);
/* As g_byte_array_append(); the array may become another, and *a with it. */
void wiped_append(GByteArray **a, const void *data, size_t len);
/* Return: NULL */
GByteArray *wiped_free(GByteArray *a);
/* Consumes @a. Wiped when the last reference goes. */
GBytes *wiped_to_bytes(GByteArray *a);
