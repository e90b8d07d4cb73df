/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "host/rtnl.h"

#define BUFFER_SIZE 8192U

int rtnl_monitor_open(void) {
        const struct sockaddr_nl local = {
                .nl_family = AF_NETLINK,
                .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                             RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE |
                             1U << (RTNLGRP_IPV6_RULE - 1), /* has no RTMGRP of its own */
        };
        _cleanup_close_ int fd = -EBADF;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (fd < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *) &local, sizeof local) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* Return: the link it is about, 0 where it is not about one, or -1: nothing to report. */
static int64_t changed_link(const struct nlmsghdr *nlh) {
        size_t len = mnl_nlmsg_get_payload_len(nlh);
        const void *payload = mnl_nlmsg_get_payload(nlh);
        const struct rtmsg *rtm = payload;
        struct nlattr *attr;
        int64_t oif = 0;

        switch (nlh->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
                if (len < sizeof(struct ifinfomsg))
                        return -1;
                /* Scan results and signal strength of wireless drivers come as "new link". */
                mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg)) {
                        if (mnl_attr_get_type(attr) == IFLA_WIRELESS)
                                return -1;
                }
                return ((const struct ifinfomsg *) payload)->ifi_index;
        case RTM_NEWADDR:
        case RTM_DELADDR:
                if (len < sizeof(struct ifaddrmsg))
                        return -1;
                return ((const struct ifaddrmsg *) payload)->ifa_index;
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
                if (len < sizeof *rtm || (rtm->rtm_flags & RTM_F_CLONED))
                        return -1;
                mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                        if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) == 4)
                                oif = mnl_attr_get_u32(attr);
                }
                return oif;
        case RTM_NEWRULE:
        case RTM_DELRULE:
                return len < sizeof *rtm ? -1 : 0;
        }
        return -1;
}

int rtnl_monitor_read(int fd, const unsigned *ours, unsigned n_ours) {
        int changed = 0;

        for (;;) {
                uint8_t buf[BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
                struct sockaddr_nl from = {};
                socklen_t from_len = sizeof from;
                ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *) &from, &from_len);
                const struct nlmsghdr *nlh = (const struct nlmsghdr *) buf;
                int left = (int) n;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return changed;
                /* The kernel had more to say than fits: something did change. */
                if (n < 0 && errno == ENOBUFS) {
                        changed = RTNL_CHANGED_OTHERS | RTNL_CHANGED_OURS;
                        continue;
                }
                if (n < 0)
                        return -errno;
                /* Any process may send to a netlink socket; the kernel is port 0. */
                if (from.nl_pid != 0)
                        continue;
                for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                        int64_t ifindex = changed_link(nlh);
                        bool is_ours = false;

                        for (unsigned i = 0; i < n_ours; i++)
                                is_ours = is_ours || ifindex == (int64_t) ours[i];
                        if (ifindex >= 0)
                                changed |= is_ours ? RTNL_CHANGED_OURS : RTNL_CHANGED_OTHERS;
                }
        }
}
