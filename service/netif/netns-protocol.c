/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif/netns-protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union FdControl {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * _NETNS_FDS_MAX)];
} FdControl;

int netns_send(int fd, const void *data, size_t size, const int *fds, unsigned n_fds) {
        FdControl control = {};
        struct iovec iov = { (void *) data, size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *cm;

                m.msg_control = control.bytes;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                cm = CMSG_FIRSTHDR(&m);
                cm->cmsg_level = SOL_SOCKET;
                cm->cmsg_type = SCM_RIGHTS;
                cm->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(cm), fds, sizeof(int) * n_fds);
        }
        return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t
netns_receive(int fd, void *data, size_t size, int ret_fds[static _NETNS_FDS_MAX], unsigned *ret_n_fds) {
        FdControl control;
        struct iovec iov = { data, size };
        struct msghdr m = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control.bytes,
        };
        unsigned n_fds = 0;
        ssize_t n;

        do
                n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(&m); cm; cm = CMSG_NXTHDR(&m, cm))
                if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
                        n_fds = (unsigned) ((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                        memcpy(ret_fds, CMSG_DATA(cm), n_fds * sizeof(int));
                }
        /* The kernel drops fds there is no room for in our table. */
        if (m.msg_flags & MSG_CTRUNC) {
                for (unsigned i = 0; i < n_fds; i++)
                        close(ret_fds[i]);
                return -EMFILE;
        }
        *ret_n_fds = n_fds;
        return n;
}
