/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/replay.h"

#include "base/macros.h"

/* docs/protocol.md, "Timers" */
static_assert(REJECT_AFTER_MESSAGES == UINT64_MAX - 8193 + 1, "2^64 - 8193");
static_assert((REPLAY_WORDS & (REPLAY_WORDS - 1)) == 0, "the ring is indexed with a mask");

#define WORD_MASK ((uint64_t) (REPLAY_WORDS - 1))

bool replay_check_and_update(ReplayWindow *w, uint64_t counter) {
        uint64_t block = counter / 64, bit = UINT64_C(1) << (counter % 64);
        uint64_t *word = &w->word[block & WORD_MASK];

        /* Nobody sends these; and next cannot overflow. */
        if (counter >= REJECT_AFTER_MESSAGES)
                return false;
        if (counter >= w->next) {
                /* The words between the former highest and this one belong to counters of a
                 * whole ring ago. Before the first counter all is clear. */
                uint64_t current = w->next > 0 ? (w->next - 1) / 64 : 0;
                uint64_t n = MIN(block - current, (uint64_t) REPLAY_WORDS);

                for (uint64_t i = 1; i <= n; i++)
                        w->word[(current + i) & WORD_MASK] = 0;
                w->next = counter + 1;
        } else if (w->next - 1 - counter > REPLAY_WINDOW)
                return false;
        if (*word & bit)
                return false;
        *word |= bit;
        return true;
}
