/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The state directory while we run: the disk is full, or became read-only. What was acknowledged is
 * on it, and what cannot be written is not acknowledged (core/mesh/mesh-store.h): joins, invites
 * and changes fail with the reason. What others signed is kept in memory and tried again. All of
 * that is of no use to anybody who does not know why, so it is said, once, and it is looked whether
 * there is room again.
 */

#include "base/log-ids.h"
#include "base/log.h"
#include "core/mesh/directory/directory.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

#define STATE_LOOK_USEC (10 * USEC_PER_SEC)

static void on_look(void *userdata) {
        Manager *m = userdata;

        /* First what waits: where only a little fits nothing is well yet. */
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core && directory_flush(network_directory(n->core)) < 0)
                        goto again;
        }
        if (store_probe(m->store) >= 0)
                return;
again:
        timer_set(m->timers, &m->state_timer, now_usec(CLOCK_BOOTTIME) + STATE_LOOK_USEC, on_look, m);
}

static void tell(Manager *m, int error) {
        LogContext context = { .message_id = MESSAGE_ID_STATE_UNWRITABLE };

        g_clear_pointer(&m->state_trouble, g_free);
        if (error == 0) {
                log_notice("the state directory can be written again");
                return;
        }
        m->state_trouble = g_strdup_printf(
                        "cannot write the state directory: %s; until then nobody is let in and nothing "
                        "is changed",
                        g_strerror(-error));
        (void) log_full(LOG_ERR, error, &context,
                        "cannot write the state directory %s: %m; what was acknowledged is kept, nobody "
                        "is let in and nothing is changed until it can be written",
                        m->options.state_dir);
}

/* In a turn of its own: whoever wrote is in the middle of something. */
static void on_told(void *userdata) {
        Manager *m = userdata;
        int error = store_write_error(m->store);

        if ((error != 0) == (m->state_trouble != NULL))
                return;
        tell(m, error);
        for (unsigned i = 0; i < m->networks->len; i++)
                managed_network_note_status(m->networks->pdata[i]);
}

static void on_write_error(void *userdata, int error) {
        Manager *m = userdata;
        usec_t now = now_usec(CLOCK_BOOTTIME);

        timer_set(m->timers, &m->state_told_timer, now, on_told, m);
        if (error != 0)
                timer_set(m->timers, &m->state_timer, now + STATE_LOOK_USEC, on_look, m);
        else
                timer_clear(&m->state_timer);
}

void manager_watch_state(Manager *m) {
        store_on_write_error(m->store, on_write_error, m);
}

void manager_unwatch_state(Manager *m) {
        if (m->store)
                store_on_write_error(m->store, NULL, NULL);
        timer_clear(&m->state_timer);
        timer_clear(&m->state_told_timer);
        g_clear_pointer(&m->state_trouble, g_free);
}
