/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/sock-diag.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/macros.h"

/* One page of a dump; what libmnl recommends (its macro is no constant). */
#define BUFFER_SIZE 8192U
/* Connections: what listens is its owner's to end, and of the others nothing is left. */
#define STATES (~((1U << TCP_LISTEN) | (1U << TCP_CLOSE) | (1U << TCP_TIME_WAIT)))

static int ask(struct mnl_socket *nl, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *q) {
        uint8_t buf[MNL_ALIGN(sizeof(struct nlmsghdr)) + MNL_ALIGN(sizeof *q)];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

        nlh->nlmsg_type = type;
        nlh->nlmsg_flags = NLM_F_REQUEST | flags;
        *(struct inet_diag_req_v2 *) mnl_nlmsg_put_extra_header(nlh, sizeof *q) = *q;
        return mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

/* One that has just ended by itself is no error. */
static int on_connection(const struct nlmsghdr *nlh, void *userdata) {
        const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
        const struct inet_diag_req_v2 q = {
                .sdiag_family = m->idiag_family,
                .sdiag_protocol = IPPROTO_TCP,
                .id = m->id,
        };

        (void) ask(userdata, SOCK_DESTROY, 0, &q);
        return MNL_CB_OK;
}

static int abort_family(struct mnl_socket *list, struct mnl_socket *destroy, uint8_t family) {
        const struct inet_diag_req_v2 q = {
                .sdiag_family = family,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_states = STATES,
        };
        uint8_t buf[BUFFER_SIZE];
        int r;

        r = ask(list, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q);
        if (r < 0)
                return r;
        do {
                ssize_t n = mnl_socket_recvfrom(list, buf, sizeof buf);

                if (n < 0)
                        return -errno;
                r = mnl_cb_run(buf, (size_t) n, 0, 0, on_connection, destroy);
        } while (r > 0);
        return r < 0 ? -errno : 0;
}

int sock_diag_abort_tcp(void) {
        /* Two: answers to the one must not get between the pages of the other. */
        struct mnl_socket *list = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
        struct mnl_socket *destroy = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
        int r;

        if (!list || !destroy)
                r = -errno;
        else {
                r = abort_family(list, destroy, AF_INET);
                if (r >= 0)
                        r = abort_family(list, destroy, AF_INET6);
        }
        if (list)
                mnl_socket_close(list);
        if (destroy)
                mnl_socket_close(destroy);
        return r;
}
