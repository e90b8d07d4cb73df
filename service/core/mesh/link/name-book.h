/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Machines that have a name in the DNS, since their addresses change: looked up when a machine is
 * not found where it was, and at no other time. Where a name leads to is a hint like those of an
 * invite (link/endpoint-book.h), and no more: a handshake tells who is there.
 */

#include "base/host-port.h"
#include "core/mesh/mesh.h"

typedef struct NameBook NameBook;

NameBook *name_book_new(Mesh *m);
/* What is being looked up ends without a word. */
NameBook *name_book_free(NameBook *b);

/* In place of those it had; @n: at most GATEWAY_NAMES_MAX, 0: none. More than NAMED_MACHINES_MAX
 * machines have none. */
void name_book_set(NameBook *b, const MachineId *machine, const HostPort *names, unsigned n);
bool name_book_has(const NameBook *b, const MachineId *machine);
/* It was asked, and does not answer. */
void name_book_want(NameBook *b, const MachineId *machine);
/* The network changed: what was in vain may not be any more. */
void name_book_changed(NameBook *b);
