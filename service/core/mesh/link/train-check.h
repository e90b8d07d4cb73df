/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether trains of datagrams (UDP_SEGMENT) pass, found out by asking. Kernels, drivers and
 * hypervisors are known that lose or spoil them and say nothing, while datagrams sent one by one
 * arrive. A round is as many equal probes in one train as singly. Here is when to ask and what the
 * answers mean, without clocks, timers or sending: that is link/trains.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

/* Of each kind. */
#define TRAIN_PROBES 4U
/* Bytes of the frame: short enough to pass everywhere, and a train of them is longer than any one
 * packet of Ethernet, so somebody has to cut it. */
#define TRAIN_PROBE_SIZE 512U
/* Of the single ones so many must arrive for a round to say anything, and of those in the train at
 * most so few for it to be lost: the rest is ordinary loss. */
#define TRAIN_SINGLES_MIN 3U
#define TRAIN_ARRIVED_MAX 1U
/* So many rounds in a row must say that trains are lost: one may be a burst of loss. */
#define TRAIN_ROUNDS 2U
/* Pause between two looks, whatever the reason, and where there is none. */
#define TRAIN_PAUSE_USEC USEC_PER_MINUTE
#define TRAIN_AGAIN_USEC USEC_PER_HOUR
/* Looked at again when more than one in so many of the path's probes was lost within a minute, and
 * more than one in all. */
#define TRAIN_LOSS_PART 20U

typedef enum TrainVerdict {
        TRAINS_UNKNOWN,
        TRAINS_PASS,
        TRAINS_LOST,
        _TRAIN_VERDICT_MAX,
} TrainVerdict;
const char *train_verdict_to_string(TrainVerdict verdict);

/* All zeros: nothing was ever asked. */
typedef struct TrainCheck {
        TrainVerdict verdict;
        usec_t asked;              /* monotonic: the last round began; 0: never */
        unsigned waiting;          /* of its probes, neither answered nor missed */
        unsigned trained, single;  /* of its probes, answered */
        unsigned lost_rounds;      /* in a row, up to TRAIN_ROUNDS */
        usec_t counted;            /* monotonic: since when loss is counted; 0: not */
        uint32_t n_probes, n_lost; /* of the path at that time */
        bool is_lossy;             /* in the last minute that was counted, and not asked since */
} TrainCheck;

/* @n_probes, @n_lost: of the path, so far. */
void train_check_count(TrainCheck *c, uint32_t n_probes, uint32_t n_lost, usec_t now);
/* @changed: monotonic: when the network changed last; 0: never. */
bool train_check_is_due(const TrainCheck *c, usec_t changed, usec_t now);
/* Both kinds were sent, or could not be: @sent false. */
void train_check_begin(TrainCheck *c, bool sent, usec_t now);
/* One of the probes was @answered, or was not in time. Return: whether it was the last one. */
bool train_check_note(TrainCheck *c, bool in_train, bool answered);
