/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where machines may be found, besides what they say in their presence records: hints of people
 * (invites, --bootstrap) and where their names lead to (link/name-book.h), both forgotten with the
 * process, and the last endpoint each was reached at (kept in the store, written rarely). The last
 * of members only: there is no end of strangers.
 */

#include "core/mesh/directory/directory.h"
#include "core/mesh/env.h"
#include "core/mesh/mesh-store.h"
#include "core/mesh/link/path.h"

/* Hints for so many machines; more are not taken. */
#define HINTED_MACHINES_MAX 1024U
#define HINTS_PER_MACHINE_MAX (ENDPOINTS_MAX + STREAM_ENDPOINTS_MAX) /* those of an invite */

typedef struct EndpointBook EndpointBook;

/* @store may be NULL. Loads what it has of members; the rest is deleted there a minute later. */
EndpointBook *endpoint_book_new(const MeshEnv *env, const MeshStore *store, const Directory *members);
/* Writes what waits. */
EndpointBook *endpoint_book_free(EndpointBook *b);

void endpoint_book_add_hint(EndpointBook *b, const MachineId *machine, const Endpoint *endpoint);
/**
 * endpoint_book_set_resolved() - where the names of a machine lead to, in place of what they did
 * @n: at most RESOLVED_MAX
 * @ret_former, @ret_is_new: what they did; whether there is one now that was not
 *
 * Return: how many in @ret_former.
 */
unsigned endpoint_book_set_resolved(
                EndpointBook *b,
                const MachineId *machine,
                const Endpoint *endpoints,
                unsigned n,
                Endpoint ret_former[static RESOLVED_MAX],
                bool *ret_is_new);
bool endpoint_book_has_hint(const EndpointBook *b, const MachineId *machine);
/* Whether an endpoint of any kind is known. */
bool endpoint_book_knows(const EndpointBook *b, const MachineId *machine);
/* The machine was reached there; stored a minute later if it is news, and it is a member. */
void endpoint_book_reached(EndpointBook *b, const MachineId *machine, const Endpoint *endpoint);
/* It is a member no more: here at once, in the store a minute later. */
void endpoint_book_forget(EndpointBook *b, const MachineId *machine);
/* Adds all that is known of @machine to @paths; @streams: where it listens by TCP too. */
void endpoint_book_fill(
                const EndpointBook *b,
                const MachineId *machine,
                bool streams,
                PathSet *paths,
                usec_t now);
