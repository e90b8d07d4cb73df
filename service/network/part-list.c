/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/part-list.h"

#include "base/macros.h"

void part_list_init(PartList *l, void (*reported)(void *userdata, const Part *p), void *userdata) {
        *l = (PartList){ .parts = g_ptr_array_new(), .reported = reported, .userdata = userdata };
}

void part_list_done(PartList *l) {
        g_clear_pointer(&l->parts, g_ptr_array_unref);
}

void part_list_add(PartList *l, Part *p) {
        p->list = l;
        g_ptr_array_add(l->parts, p);
}

/* --- looks --- */

static Part *at(const PartList *l, unsigned i) {
        return l->parts->pdata[i];
}

static unsigned place_above(const Part *p) {
        unsigned i = 0;

        while (at(p->list, i) != p)
                i++;
        return i + 1;
}

const Part *part_list_find(const PartList *l, PartState state, bool only_with_word) {
        for (unsigned i = 0; i < l->parts->len; i++) {
                const Part *p = at(l, i);

                if (p->state == state && (!only_with_word || p->ops->word))
                        return p;
        }
        return NULL;
}

/* --- acts --- */

static void tell(Part *p, unsigned what) {
        if (p->state <= PART_STARTING)
                return;
        if (what & PART_CHANGED_ROUTES)
                part_hint(p);
        if (p->ops->changed)
                p->ops->changed(p->userdata, what);
}

static void tell_from(PartList *l, unsigned first, unsigned what) {
        for (unsigned i = first; i < l->parts->len; i++)
                tell(at(l, i), what);
}

static void stop_from(PartList *l, unsigned first, bool for_good) {
        for (unsigned i = l->parts->len; i > first; i--)
                part_stop(at(l, i - 1), for_good);
}

int part_list_start(PartList *l, bool insist, char **ret_reason) {
        for (unsigned i = 0; i < l->parts->len; i++) {
                Part *p = at(l, i);
                int r = 0;

                if (p->state != PART_STOPPED)
                        continue;
                if (p->ops->is_needed && !insist)
                        r = part_try_start(p, ret_reason);
                else
                        part_start(p);
                /* What stands on it is started by its repair. */
                if (p->ops->is_needed && p->state == PART_FAILED)
                        break;
                if (r < 0) {
                        stop_from(l, 0, true);
                        return r;
                }
        }
        return 0;
}

void part_list_stop(PartList *l, bool for_good) {
        stop_from(l, 0, for_good);
}

void part_list_changed(PartList *l, unsigned what) {
        tell_from(l, 0, what);
}

void part_stop_above(Part *p, bool for_good) {
        if (p->list)
                stop_from(p->list, place_above(p), for_good);
}

void part_start_above(Part *p) {
        if (!p->list)
                return;
        for (unsigned i = place_above(p); i < p->list->parts->len; i++) {
                Part *above = at(p->list, i);

                if (above->state != PART_STOPPED)
                        continue;
                part_start(above);
                tell(above, PART_CHANGED_ADDRESS);
        }
}

void part_tell_above(Part *p, unsigned what) {
        if (p->list)
                tell_from(p->list, place_above(p), what);
}

void part_list_reported(PartList *l, Part *p) {
        if (l->reported)
                l->reported(l->userdata, p);
        part_tell_above(p, PART_CHANGED_BELOW);
}
