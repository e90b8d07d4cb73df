/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/timer.h"

#include "base/macros.h"

struct TimerQueue {
        GTree *tree; /* of Timer, by (due, order) */
        uint64_t order;
};

static int compare(const void *a, const void *b, void *userdata) {
        const Timer *x = a, *y = b;

        if (x->due != y->due)
                return x->due < y->due ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

TimerQueue *timer_queue_new(void) {
        TimerQueue *q = NEW(TimerQueue);

        q->tree = g_tree_new_full(compare, NULL, NULL, NULL);
        return q;
}

TimerQueue *timer_queue_free(TimerQueue *q) {
        GTreeNode *n;

        if (!q)
                return NULL;
        while ((n = g_tree_node_first(q->tree)))
                timer_clear(g_tree_node_key(n));
        g_tree_unref(q->tree);
        g_free(q);
        return NULL;
}

void timer_set(TimerQueue *q, Timer *t, usec_t due, TimerCallback callback, void *userdata) {
        timer_clear(t);
        *t = (Timer){
                .queue = q,
                .due = due,
                .order = ++q->order,
                .callback = callback,
                .userdata = userdata,
        };
        g_tree_insert(q->tree, t, t);
}

void timer_clear(Timer *t) {
        if (!t->queue)
                return;
        g_tree_remove(t->queue->tree, t);
        t->queue = NULL;
}

usec_t timer_queue_next(const TimerQueue *q) {
        GTreeNode *n = g_tree_node_first(q->tree);

        return n ? ((Timer *) g_tree_node_key(n))->due : USEC_INFINITY;
}

void timer_queue_run(TimerQueue *q, usec_t now) {
        uint64_t last = q->order;
        GTreeNode *n;

        while ((n = g_tree_node_first(q->tree))) {
                Timer *t = g_tree_node_key(n);

                /* Timers set by a callback of this run wait for the next one: a callback that
                 * re-arms itself for "now" cannot keep us here. */
                while (t && t->due <= now && t->order > last) {
                        n = g_tree_node_next(n);
                        t = n ? g_tree_node_key(n) : NULL;
                }
                if (!t || t->due > now)
                        return;
                timer_clear(t);
                t->callback(t->userdata);
        }
}
