/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A machine's id is its Ed25519 public key, a network's id the public key of its root. Written
 * as 52 characters of base32; a unique prefix is accepted wherever a person types one. */

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_ID_SIZE 32U
#define MACHINE_ID_TEXT_LEN 52U
/* What log lines and tables show; the full id is in the journal field and in --json. */
#define MACHINE_ID_SHORT_LEN 8U

typedef struct MachineId {
        uint8_t bytes[MACHINE_ID_SIZE];
} MachineId;

typedef MachineId NetworkId;

typedef struct MachineIdText {
        char text[MACHINE_ID_TEXT_LEN + 1];
} MachineIdText;

/* By value, so that it can stand in an argument list: machine_id_format(id).text */
MachineIdText machine_id_format(const MachineId *id);
MachineIdText machine_id_format_short(const MachineId *id);

/* Return: 0, or -EINVAL unless @text is exactly 52 valid characters. */
int machine_id_parse(const char *text, MachineId *ret);

bool machine_id_equal(const MachineId *a, const MachineId *b);
int machine_id_compare(const MachineId *a, const MachineId *b);
bool machine_id_is_null(const MachineId *id);
/* True if the text of @id starts with @prefix (either case, at least one character). */
bool machine_id_has_prefix(const MachineId *id, const char *prefix);

/* For GHashTable; keys are MachineId*. An id is a public key somebody may have searched for, so
 * the hash is keyed with a secret of this process. */
unsigned machine_id_hash(const void *id);
int machine_id_hash_equal(const void *a, const void *b);
