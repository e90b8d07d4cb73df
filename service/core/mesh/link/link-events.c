/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happens to links, told to those who have asked for it: nobody else is called from here
 * upward. */

#include "core/mesh/link/link.h"

void mesh_observe_links(Mesh *m, const LinkObserver *o) {
        g_ptr_array_add(m->observers, (gpointer) o);
}

void mesh_unobserve_links(Mesh *m, const LinkObserver *o) {
        (void) g_ptr_array_remove(m->observers, (gpointer) o);
}

void link_tell(Link *link, LinkEvent event) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Mesh *m = link->mesh;
        unsigned serial = link->events;

        for (unsigned i = 0; m && i < m->observers->len; i++) {
                const LinkObserver *o = m->observers->pdata[i];

                o->event(o->userdata, link, event);
                /* Somebody's answer to it has made it untrue; the rest was told of that. */
                if (link->events != serial)
                        return;
        }
}

static LinkEvent event_of(LinkState state, bool restarted) {
        switch (state) {
        case LINK_DOWN:
                return LINK_EVENT_DOWN;
        case LINK_CONNECTING:
                return LINK_EVENT_CONNECTING;
        case LINK_UP:
                break;
        }
        return restarted ? LINK_EVENT_RESTARTED : LINK_EVENT_UP;
}

void link_announce(Link *link, bool restarted) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        /* Links that only enrol or renew, or end, are nobody's business. */
        LinkState state = link_is_limited(link) || link->dismissed ? LINK_DOWN : link->state;

        if (link->announced != state || restarted) {
                link->announced = state;
                link->events++;
                link_tell(link, event_of(state, restarted));
        }
        if (link->mesh)
                link_tell(link, LINK_EVENT_CHANGED);
}
