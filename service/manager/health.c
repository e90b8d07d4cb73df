/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What only the daemon knows of how this machine is, for 'omerta doctor'. */

#include <sys/socket.h>

#include "core/mesh/directory/wall-clock.h"
#include "dataplane/udp-socket.h"
#include "network/managed-network-internal.h"

/* The first network whose clock is not fine; the caller frees. */
static char *clock_trouble(Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *n = m->networks->pdata[i];
                WallClock *c = n->core ? directory_clock(network_directory(n->core)) : NULL;

                if (c && wall_clock_state(c) != WALL_CLOCK_FINE)
                        return wall_clock_explain(c);
        }
        return NULL;
}

/* The kernel doubles what it is asked for, for its own bookkeeping (socket(7)). */
static unsigned receive_buffer(int fd) {
        int value = 0;
        socklen_t len = sizeof value;

        return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len) < 0 ? 0 : (unsigned) value / 2;
}

void manager_health(Manager *m, ManagerHealth *ret) {
        *ret = (ManagerHealth){
                .state_dir = m->options.state_dir,
                .state_trouble = m->state_trouble ?: "",
                .clock_trouble = clock_trouble(m),
                .clock_synchronised = m->env.is_synchronised(m->env.userdata),
                .ipv6 = m->sockets[1].fd >= 0,
                .receive_buffer = receive_buffer(m->sockets[0].fd),
                .receive_buffer_wanted = UDP_RECEIVE_BUFFER,
                .started = m->started,
        };
}

void manager_health_clear(ManagerHealth *h) {
        g_clear_pointer(&h->clock_trouble, g_free);
}
