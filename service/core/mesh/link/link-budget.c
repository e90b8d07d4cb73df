/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/link-budget.h"

/*
 * Theory of operation
 *
 * One thread serves all members, so what one of them may make it do is bounded: each has a budget
 * of that thread's time, BUDGET_BURST_USEC after a rest and one part in BUDGET_PART from then on.
 * Frames, messages and requests are charged where they are handled, by what they cost as a rule
 * (COST_*) and not by the clock, so that it can be repeated in tests and does not depend on what
 * else the machine does. Handlers that know more charge more (mesh_charge()).
 *
 * When it is used up frames of that machine are not read: they are dropped after one look at the
 * budget, by the packet thread already (PacketPeer.unread_until) and here those that wait, counted
 * (DROP_OVER_BUDGET), and charge nothing, so the budget always fills again. That
 * is all: reliable segments were not acknowledged and are sent again, by a sender who takes the
 * loss for a narrow path and slows down, so its stream is read later. Nothing waits here, and
 * nothing waits for anything else: no deadlock. The first message under new keys still confirms
 * them, and the machine still counts as heard of.
 *
 * The budget is the machine's (PacketPeer), not the link's: a new link, or new keys, do not
 * fill it. Machines that enrol have no such object, and can be as many as somebody likes to make,
 * so each has a small one on its link and all together one like a member's.
 */

/* Where there is no PacketPeer yet, as on a link that enrols. */
static bool is_member(const Link *link) {
        return link->peer && !link_is_enrol(link);
}

void link_charge(Link *link, usec_t cost) {
        Mesh *m = link->mesh;
        usec_t now;

        if (!m)
                return;
        now = env_now(m->env);
        if (is_member(link)) {
                budget_charge(&link->peer->budget, now, cost, BUDGET_PART);
                atomic_store_explicit(
                                &link->peer->unread_until,
                                budget_next(&link->peer->budget, BUDGET_BURST_USEC, BUDGET_PART),
                                memory_order_relaxed);
                return;
        }
        budget_charge(&link->budget, now, cost, STRANGER_BUDGET_PART);
        budget_charge(&m->strangers_budget, now, cost, BUDGET_PART);
}

bool link_has_budget(const Link *link) {
        const Mesh *m = link->mesh;
        usec_t now = env_now(m->env);

        if (is_member(link))
                return budget_has_left(&link->peer->budget, now, BUDGET_BURST_USEC, BUDGET_PART);
        return budget_has_left(&link->budget, now, STRANGER_BUDGET_BURST_USEC, STRANGER_BUDGET_PART) &&
               budget_has_left(&m->strangers_budget, now, BUDGET_BURST_USEC, BUDGET_PART);
}
