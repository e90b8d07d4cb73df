/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What time it is, and whether this machine's clock can be right (docs/protocol.md, "Clocks").
 *
 * A machine goes by its own clock. Only one that is earlier than it can be is not believed; then
 * the time is made up from what members say and from the time kept at the last stop. Who signs for
 * others asks wall_clock_state() first: a clock that was set by more than a day while we ran, is
 * years from where it stopped, or is contradicted by most of the members, signs nothing until
 * somebody confirms it: a member, the kernel (it is synchronised), or a person.
 *
 * One a network, since who is asked are its members. Control thread only.
 */

#include <stdbool.h>

#include "core/mesh/env.h"
#include "core/mesh/mesh-store.h"

/* How far apart clocks may be without anybody minding: docs/protocol.md, "Validity". */
#define WALL_CLOCK_TOLERANCE USEC_PER_DAY

typedef struct WallClock WallClock;

typedef enum WallClockState {
        WALL_CLOCK_FINE,
        WALL_CLOCK_BEHIND,   /* earlier than it can be: not believed at all */
        WALL_CLOCK_JUMPED,   /* was set while we ran; nobody has confirmed it yet */
        WALL_CLOCK_DOUBTFUL, /* far later than when it was last known to be right */
        WALL_CLOCK_DISPUTED, /* most members have another time */
        _WALL_CLOCK_STATE_MAX,
} WallClockState;

/* @store may be NULL. Return: 0 or the store's errno. */
int wall_clock_new(const MeshEnv *env, const MeshStore *store, WallClock **ret);
WallClock *wall_clock_free(WallClock *c);

/* Unix time, as well as it is known. May go back, like the clock itself. */
usec_t wall_clock_now(const WallClock *c);
WallClockState wall_clock_state(const WallClock *c);
/* Why it is not WALL_CLOCK_FINE, for people; the caller frees. */
char *wall_clock_explain(const WallClock *c);

/* An authenticated member has said what its clock shows. */
void wall_clock_hear(WallClock *c, const MachineId *machine, usec_t realtime);
/* It is no member any more. */
void wall_clock_forget(WallClock *c, const MachineId *machine);
/* An authority signed something at that time: it cannot be much earlier than this, if our own clock
 * says nothing. */
void wall_clock_hear_signed(WallClock *c, usec_t version);
/* Nobody else is a member: there is nobody to ask, nor to harm. */
void wall_clock_set_alone(WallClock *c, bool alone);
/* A person says that it is right, whatever we think. */
void wall_clock_trust(WallClock *c);

/* When the state changed, or the clock was set (by more than a second). */
typedef void (*WallClockChanged)(void *userdata);
void wall_clock_on_changed(WallClock *c, WallClockChanged changed, void *userdata);
/* The clock may have been set: look now. Else it is looked at once a minute. */
void wall_clock_look(WallClock *c);

/* The time to be kept until the next start; 0: none is known to be right. */
usec_t wall_clock_trusted(const WallClock *c);
