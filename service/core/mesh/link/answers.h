/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Answers to the initiations of the last seconds. A copy of one, which came by another path or was
 * sent again because the answer got lost, is known by its mac1 before anything is computed with
 * curves. One of each machine is kept, the newest.
 */

#include <glib.h>

#include "base/machine-id.h"
#include "base/time.h"

typedef struct Answers Answers;

typedef struct HandshakeAnswer {
        MachineId machine;
        uint32_t index;    /* ours, of the keys that were made */
        unsigned n_copies; /* answered already; the caller counts */
        GBytes *message;
} HandshakeAnswer;

/* So many copies of one are answered: those a machine sends by all its paths. */
#define ANSWER_COPIES_MAX 8U

Answers *answers_new(void);
Answers *answers_free(Answers *a);
/* @initiation was answered by @message, and has a valid mac1. */
void answers_add(
                Answers *a,
                const uint8_t *initiation,
                size_t initiation_len,
                const MachineId *machine,
                uint32_t index,
                const uint8_t *message,
                size_t len,
                usec_t now);
/* Borrowed, until the next one is added; NULL: @initiation is no copy of what is kept. */
HandshakeAnswer *answers_find(Answers *a, const uint8_t *initiation, size_t len, usec_t now);
