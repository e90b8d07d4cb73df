/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Replay window of one receiving key: 8192 counters, after RFC 6479 (a ring of words, so that
 * sliding clears words instead of shifting bits). Only the thread that decrypts uses it, and
 * only after the message was found authentic.
 */

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS 8192U
#define REPLAY_WORDS (REPLAY_BITS / 64U)
/* One word is always being filled, so this many counters below the highest are accepted. */
#define REPLAY_WINDOW (REPLAY_BITS - 64U)
/* 2^64 - 8193 (docs/protocol.md, "Timers"): no counter of a window ever overflows. */
#define REJECT_AFTER_MESSAGES (UINT64_MAX - REPLAY_BITS)

typedef struct ReplayWindow {
        uint64_t next; /* highest counter seen + 1 */
        uint64_t word[REPLAY_WORDS];
} ReplayWindow;

/* Return: true and marks @counter if it was not seen before and is not too old. */
bool replay_check_and_update(ReplayWindow *w, uint64_t counter);
