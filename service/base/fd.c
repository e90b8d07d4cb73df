/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/macros.h"

unsigned fd_left(int fd) {
        struct rlimit limit;
        rlim_t used = (rlim_t) fd + 1 + FDS_RESERVED;

        /* Asked each time: prlimit(1) may change it, and it costs less than the socket did. */
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
                return UINT_MAX;
        return limit.rlim_cur > used ? (unsigned) MIN(limit.rlim_cur - used, (rlim_t) UINT_MAX) : 0;
}

bool fd_leaves(int fd, unsigned more) {
        struct rlimit limit;

        return getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
               (rlim_t) fd + more + FDS_RESERVED < limit.rlim_cur;
}

int fd_admit(int fd) {
        if (fd < 0 || fd_leaves(fd, 0))
                return fd;
        close(fd);
        return -EMFILE;
}

int fd_pair(int type, int ret[static 2]) {
        int pair[2];

        if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        if (fd_admit(pair[0]) < 0) {
                close(pair[1]);
                return -EMFILE;
        }
        if (fd_admit(pair[1]) < 0) {
                close(pair[0]);
                return -EMFILE;
        }
        ret[0] = pair[0];
        ret[1] = pair[1];
        return 0;
}
