/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What translates between this machine and the others, in the words of RFC 4787 and RFC 5780, from
 * what members say where they see us. A value: nothing is sent, no clock is read.
 *
 * A member can lie. Each counts once, whatever endpoints it has; what more than half of those say
 * is believed, and how many say otherwise is told. A member that is alone is not believed but for
 * one thing, that we are seen where we are. Members in the LAN say nothing of the world outside.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/machine-id.h"
#include "base/time.h"
#include "core/wire/control.h"

/* On which of a datagram's destination a mapping depends (RFC 4787, 4.1). */
typedef enum NatMapping {
        NAT_MAPPING_UNKNOWN,
        NAT_MAPPING_NONE, /* we are seen where we are */
        NAT_MAPPING_INDEPENDENT,
        NAT_MAPPING_BY_ADDRESS,
        NAT_MAPPING_BY_PORT,   /* address and port */
        NAT_MAPPING_DEPENDENT, /* on one of these two: nobody was asked at two ports */
        _NAT_MAPPING_MAX,
} NatMapping;
const char *nat_mapping_to_string(NatMapping mapping);

/* Which ports mappings get. */
typedef enum NatPorts {
        NAT_PORTS_UNKNOWN,
        NAT_PORTS_PRESERVED, /* that of the inside */
        NAT_PORTS_CHANGED,   /* another; which is not known */
        NAT_PORTS_STEADY,    /* the next is so many after the last */
        NAT_PORTS_RANDOM,    /* none can be foretold */
        _NAT_PORTS_MAX,
} NatPorts;
const char *nat_ports_to_string(NatPorts ports);

/* What is not known yet, and what is needed for it. */
typedef enum NatTrouble {
        NAT_TROUBLE_NONE,
        NAT_TROUBLE_NOBODY,   /* no member outside said anything */
        NAT_TROUBLE_ONE,      /* one did */
        NAT_TROUBLE_CONFLICT, /* no address that more than half of them say */
        _NAT_TROUBLE_MAX,
} NatTrouble;
/* A sentence without a full stop; "": there is none. */
const char *nat_trouble_to_string(NatTrouble trouble);

/* What a member said about one of the ways to it. */
typedef struct NatView {
        MachineId machine;
        Endpoint to; /* where it was asked; to.local: our address it left from, if known */
        Endpoint seen;
        usec_t since, last; /* monotonic: it says so */
} NatView;

/* So many are kept, the newest; and of one member, who could name any number. */
#define NAT_VIEWS_MAX 16U
#define NAT_VIEWS_PER_MEMBER_MAX 4U
/* What was said longer ago does not count: links that are kept are asked each minute. */
#define NAT_VIEW_USEC (10 * USEC_PER_MINUTE)

typedef struct NatCheck {
        NatView view[NAT_VIEWS_MAX];
        unsigned n;
} NatCheck;

typedef struct NatVerdict {
        NatMapping mapping;
        NatPorts ports;
        int step;      /* NAT_PORTS_STEADY: from one port to the next; may be negative */
        Endpoint seen; /* us: where most see us, or the mapping that was made last; unset: unknown */
        unsigned n_members;    /* who were heard */
        unsigned n_dissenters; /* of them: who say otherwise than most */
        NatTrouble trouble;
} NatVerdict;

/* @machine, asked at @to, sees us at @seen. What it said of @to before is forgotten. */
void nat_check_note(
                NatCheck *c,
                const MachineId *machine,
                const Endpoint *to,
                const Endpoint *seen,
                usec_t now);
/* Nothing is known any more: we are somewhere else. */
void nat_check_forget(NatCheck *c);
/* @local: our @n_local own endpoints. */
NatVerdict
nat_check_judge(const NatCheck *c, int family, const Endpoint *local, unsigned n_local, usec_t now);

/* What the other side is told of it. */
PathTranslation nat_verdict_translation(const NatVerdict *v);
const char *path_translation_to_string(PathTranslation translation);
/* Whether somebody who wants to reach us should try the ports after v->seen: the next ones are
 * known to be there, or nothing speaks against it and there is only one to ask.
 * @ret_step: from one to the next. */
bool nat_verdict_is_guessable(const NatVerdict *v, int *ret_step);

/* Ports tried after the last one known: EasyTier's 20. */
#define NAT_GUESSES_MAX 20U
/**
 * nat_guess_ports() - where a translator may have put what comes next
 * @last: the mapping it has made last; @step: from one to the next
 * @every_other: see below
 *
 * Between two translators that give each destination a port, the i-th guess of each side leaves from
 * the i-th port after its last. Both may have made other mappings meanwhile, a and b of them; if both
 * went through the ports one by one their guesses would meet only where a + b = 0. If one side takes
 * every other port, the guesses meet at the (a + b)-th of it, whatever a and b are, up to the end.
 *
 * Return: how many; those that are no ports of mappings are left out.
 */
unsigned
nat_guess_ports(const Endpoint *last, int step, bool every_other, Endpoint ret[static NAT_GUESSES_MAX]);
