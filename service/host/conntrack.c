/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "base/macros.h"

#define BUFFER_SIZE 32768U

typedef struct Listing {
        const IpPrefix *from;
        unsigned max;
        int n;
        GArray *flows; /* of ConntrackFlow */
} Listing;

static void read_addresses(const struct nlattr *ip, ConntrackFlow *f) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, ip) {
                uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);
                bool is_source = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC;
                IpAddr *a = is_source ? &f->source : &f->destination;

                if (len != 4 && len != 16)
                        continue;
                a->family = len == 4 ? AF_INET : AF_INET6;
                memcpy(a->bytes, mnl_attr_get_payload(attr), len);
        }
}

static void read_protocol(const struct nlattr *proto, ConntrackFlow *f) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, proto) {
                uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

                if (type == CTA_PROTO_NUM && len == 1)
                        f->protocol = mnl_attr_get_u8(attr);
                if (type == CTA_PROTO_SRC_PORT && len == 2)
                        f->source_port = ntohs(mnl_attr_get_u16(attr));
                if (type == CTA_PROTO_DST_PORT && len == 2)
                        f->destination_port = ntohs(mnl_attr_get_u16(attr));
        }
}

static void read_tuple(const struct nlattr *tuple, ConntrackFlow *f) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, tuple) {
                if (mnl_attr_get_type(attr) == CTA_TUPLE_IP)
                        read_addresses(attr, f);
                if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO)
                        read_protocol(attr, f);
        }
}

static uint64_t read_bytes(const struct nlattr *counters) {
        struct nlattr *attr;
        uint64_t bytes = 0;

        mnl_attr_for_each_nested(attr, counters) {
                if (mnl_attr_get_type(attr) == CTA_COUNTERS_BYTES &&
                    mnl_attr_get_payload_len(attr) == 8)
                        bytes = read_be64(mnl_attr_get_payload(attr));
        }
        return bytes;
}

static int on_flow(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr;
        Listing *l = userdata;
        ConntrackFlow f = {};

        mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
                uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

                if (type == CTA_TUPLE_ORIG)
                        read_tuple(attr, &f);
                else if (type == CTA_COUNTERS_ORIG)
                        f.bytes_out = read_bytes(attr);
                else if (type == CTA_COUNTERS_REPLY)
                        f.bytes_in = read_bytes(attr);
                else if (type == CTA_TIMEOUT && len == 4)
                        f.timeout = ntohl(mnl_attr_get_u32(attr));
                else if (type == CTA_STATUS && len == 4)
                        f.is_answered = ntohl(mnl_attr_get_u32(attr)) & IPS_SEEN_REPLY;
        }
        if (f.source.family != l->from->addr.family || !ip_prefix_contains(l->from, &f.source) ||
            ip_prefix_contains(l->from, &f.destination))
                return MNL_CB_OK;
        if (l->n < INT_MAX)
                l->n++;
        if (l->flows->len < l->max)
                g_array_append_val(l->flows, f);
        return MNL_CB_OK;
}

static int list(struct mnl_socket *nl, Listing *l) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct nfgenmsg *nfg;
        int status;

        nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
        nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        nlh->nlmsg_seq = 1;
        nfg = mnl_nlmsg_put_extra_header(nlh, sizeof *nfg);
        nfg->nfgen_family = l->from->addr.family;
        nfg->version = NFNETLINK_V0;
        if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
                return -errno;
        do {
                ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof buf);

                if (n < 0)
                        return -errno;
                status = mnl_cb_run(buf, (size_t) n, 1, mnl_socket_get_portid(nl), on_flow, l);
        } while (status > MNL_CB_STOP);
        return status < 0 ? -errno : 0;
}

int conntrack_list(const IpPrefix *from, unsigned max, GArray **ret) {
        g_autoptr(GArray) flows = g_array_new(FALSE, FALSE, sizeof(ConntrackFlow));
        struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
        Listing l = { .from = from, .max = max, .flows = flows };
        int r;

        if (!nl)
                return -errno;
        r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : list(nl, &l);
        mnl_socket_close(nl);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(flows);
        return l.n;
}
