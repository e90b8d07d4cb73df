/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Deadlines for code that may not ask a clock: a queue of timers, run by whoever owns the clock
 * (sd-event in the daemon, a counter in the simulator). Timers due at the same instant run in
 * the order in which they were set, so that a simulation is reproducible.
 *
 * One thread only. A Timer is embedded in its owner and must be cleared (timer_clear) before
 * that memory goes.
 */

#include <stdbool.h>

#include "base/time.h"

typedef struct TimerQueue TimerQueue;
typedef struct Timer Timer;
typedef void (*TimerCallback)(void *userdata);

struct Timer {
        TimerQueue *queue; /* set while armed */
        usec_t due;
        uint64_t order;
        TimerCallback callback;
        void *userdata;
};

TimerQueue *timer_queue_new(void);
TimerQueue *timer_queue_free(TimerQueue *q);

/* Arms @t (again) for the absolute time @due. A callback may set, clear or free any timer,
 * its own included. */
void timer_set(TimerQueue *q, Timer *t, usec_t due, TimerCallback callback, void *userdata);
void timer_clear(Timer *t);
static inline bool timer_is_set(const Timer *t) {
        return t->queue != NULL;
}

/* Return: when timer_queue_run() has something to do; USEC_INFINITY: never. */
usec_t timer_queue_next(const TimerQueue *q);
/* Runs what is due at @now; what the callbacks add for @now or earlier runs in the next call. */
void timer_queue_run(TimerQueue *q, usec_t now);
