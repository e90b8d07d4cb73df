/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hole punching: two machines that have a link, be it through a relay, tell each other on the
 * channel `path` where they may be reached, and then both ask there at the same time, so that what
 * translates or filters between them lets the other's datagrams in (docs/protocol.md, "Paths").
 * Works by itself from new to free. Control thread only.
 */

#include "core/mesh/mesh.h"
#include "core/wire/control.h"

/* While two machines are relayed to each other, and have something to say, they try again after
 * 1, 2, 4 ... seconds, at most this. */
#define RENDEZVOUS_RETRY_MAX (60 * USEC_PER_SEC)
/* Questions to one place in one go: at 0, 200, 300, 500 ms, then each second. */
#define PUNCH_STEPS 12U
/* IPv4 comes so much later: whoever has both is to find IPv6 first. */
#define PUNCH_HEAD_START_USEC (100 * USEC_PER_MSEC)

typedef struct Link Link;
typedef struct Punch Punch;
typedef struct Rendezvous Rendezvous;

Rendezvous *rendezvous_new(Mesh *m);
Rendezvous *rendezvous_free(Rendezvous *r);
/* Our addresses changed: all that are talked to are told. */
void rendezvous_changed(Rendezvous *r);
/* A session begins on the link. */
void rendezvous_used(Link *link);
/* Why it is relayed, or by TCP, from what is known of both sides, and what would help: a sentence
 * without a full stop, a constant. NULL: it is direct. */
const char *rendezvous_why_relayed(const Link *link);
/* What translates the other side, as it has told. */
PathTranslation rendezvous_translation(const Link *link);
/* The link has no keys any more. May be NULL. */
Punch *punch_free(Punch *p);
