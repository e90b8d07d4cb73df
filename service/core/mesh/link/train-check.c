/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/train-check.h"

#include <assert.h>

#include "base/macros.h"

const char *train_verdict_to_string(TrainVerdict verdict) {
        static const char *const table[] = {
                [TRAINS_UNKNOWN] = "unknown",
                [TRAINS_PASS] = "pass",
                [TRAINS_LOST] = "lost",
        };
        static_assert(ELEMENTSOF(table) == _TRAIN_VERDICT_MAX, "");

        return table[verdict];
}

void train_check_count(TrainCheck *c, uint32_t n_probes, uint32_t n_lost, usec_t now) {
        uint32_t probes = n_probes - c->n_probes, lost = n_lost - c->n_lost;

        if (c->counted > 0 && now < c->counted + USEC_PER_MINUTE)
                return;
        if (c->counted > 0 && lost > 1 && lost > probes / TRAIN_LOSS_PART)
                c->is_lossy = true;
        c->counted = now;
        c->n_probes = n_probes;
        c->n_lost = n_lost;
}

bool train_check_is_due(const TrainCheck *c, usec_t changed, usec_t now) {
        if (c->waiting > 0)
                return false;
        if (c->asked == 0 || (c->lost_rounds > 0 && c->verdict != TRAINS_LOST))
                return true;
        if (now < c->asked + TRAIN_PAUSE_USEC)
                return false;
        /* Who loses trains once does so for a while, and loses nothing by not sending any. */
        return c->verdict == TRAINS_UNKNOWN || changed >= c->asked ||
               (c->verdict == TRAINS_PASS && c->is_lossy) || now >= c->asked + TRAIN_AGAIN_USEC;
}

void train_check_begin(TrainCheck *c, bool sent, usec_t now) {
        c->asked = now;
        c->waiting = sent ? 2 * TRAIN_PROBES : 0;
        c->trained = c->single = 0;
        c->is_lossy = false;
        if (!sent)
                c->lost_rounds = 0;
}

static void judge(TrainCheck *c) {
        if (c->single < TRAIN_SINGLES_MIN) {
                /* Ordinary loss: it says nothing, and the row is broken. */
                c->lost_rounds = 0;
        } else if (c->trained > TRAIN_ARRIVED_MAX) {
                c->lost_rounds = 0;
                c->verdict = TRAINS_PASS;
        } else if (c->verdict != TRAINS_LOST && ++c->lost_rounds == TRAIN_ROUNDS) {
                c->lost_rounds = 0;
                c->verdict = TRAINS_LOST;
        }
}

bool train_check_note(TrainCheck *c, bool in_train, bool answered) {
        if (c->waiting == 0)
                return false;
        if (answered)
                (*(in_train ? &c->trained : &c->single))++;
        if (--c->waiting > 0)
                return false;
        judge(c);
        return true;
}
