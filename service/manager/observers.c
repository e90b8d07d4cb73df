/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who hears what happens to networks. An observer may come and go while one is told: places are
 * emptied and used again, never moved. */

#include "manager/manager-internal.h"

void manager_observe(Manager *m, const ManagerObserver *observer) {
        for (unsigned i = 0; i < m->observers->len; i++) {
                ManagerObserver *o = &g_array_index(m->observers, ManagerObserver, i);

                if (!o->userdata) {
                        *o = *observer;
                        return;
                }
        }
        g_array_append_val(m->observers, *observer);
}

void manager_unobserve(Manager *m, const void *userdata) {
        for (unsigned i = 0; i < m->observers->len; i++) {
                ManagerObserver *o = &g_array_index(m->observers, ManagerObserver, i);

                if (o->userdata == userdata)
                        *o = (ManagerObserver){};
        }
}
