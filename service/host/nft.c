/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_SIZE 32768U /* what the kernel fills at most, in a dump */
/* The kernel marks a dump during which the rules changed; it is asked again, but not for ever. */
#define DUMP_ATTEMPTS 5U

typedef struct KernelNft {
        Nft nft;
        struct mnl_socket *nl;
        unsigned port;
        uint32_t seq;
} KernelNft;

static KernelNft *kernel(Nft *n) {
        return (KernelNft *) n;
}

/* --- changes --- */

/* The kernel has done it all when sendmsg() returns, and left its complaints in the queue: one for
 * each command that failed, and nothing where none did. */
static int read_errors(KernelNft *k) {
        uint8_t buf[BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
        int first = 0;

        for (;;) {
                ssize_t n = recv(mnl_socket_get_fd(k->nl), buf, sizeof buf, MSG_DONTWAIT);
                const struct nlmsghdr *nlh = (const struct nlmsghdr *) buf;
                int left = (int) n;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? first : -errno;
                for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                        const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

                        if (nlh->nlmsg_type == NLMSG_ERROR &&
                            mnl_nlmsg_get_payload_len(nlh) >= sizeof *e && e->error != 0 &&
                            first == 0)
                                first = e->error;
                }
                /* What does not fit was a complaint as well. */
                if (left > 0 && first == 0)
                        first = -EIO;
        }
}

static int kernel_commit(Nft *n, NftBatch *b) {
        struct sockaddr_nl to = { .nl_family = AF_NETLINK };
        KernelNft *k = kernel(n);
        int size, fd = mnl_socket_get_fd(k->nl), r;

        nft_batch_end(b);
        if (b->n == 0)
                return 0;
        /* A batch is one message of the socket. Without CAP_NET_ADMIN there would be nothing to send. */
        size = (int) b->bytes->len * 2;
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        if (sendto(fd, b->bytes->data, b->bytes->len, 0, (struct sockaddr *) &to, sizeof to) < 0) {
                r = -errno;
                (void) read_errors(k);
                return r;
        }
        return read_errors(k);
}

/* --- looks --- */

typedef struct Looked {
        int family;
        bool is_there, is_ours;
        unsigned port;
        uint64_t packets;
        GArray *usage; /* of NftUsage */
} Looked;

static struct nlmsghdr *begin(KernelNft *k, void *buf, uint16_t command, uint16_t flags) {
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct nfgenmsg *nfg;

        nlh->nlmsg_type = (uint16_t) (NFNL_SUBSYS_NFTABLES << 8 | command);
        nlh->nlmsg_flags = (uint16_t) (NLM_F_REQUEST | flags);
        nlh->nlmsg_seq = ++k->seq;
        nfg = mnl_nlmsg_put_extra_header(nlh, sizeof *nfg);
        nfg->nfgen_family = NFPROTO_INET;
        nfg->version = NFNETLINK_V0;
        return nlh;
}

static int talk(KernelNft *k, struct nlmsghdr *nlh, mnl_cb_t callback, Looked *l) {
        uint8_t buf[BUFFER_SIZE];
        uint32_t seq = nlh->nlmsg_seq;
        int status;

        if (mnl_socket_sendto(k->nl, nlh, nlh->nlmsg_len) < 0)
                return -errno;
        do {
                ssize_t n = mnl_socket_recvfrom(k->nl, buf, sizeof buf);

                if (n < 0)
                        return -errno;
                status = mnl_cb_run(buf, (size_t) n, seq, k->port, callback, l);
                /* EPROTO: answer to an earlier request that failed half-way. */
                if (status < 0 && errno == EPROTO)
                        status = MNL_CB_OK;
        } while (status > MNL_CB_STOP);
        return status < 0 ? -errno : 0;
}

static int on_table(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr;
        Looked *l = userdata;

        l->is_there = true;
        mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
                if (mnl_attr_get_type(attr) == NFTA_TABLE_OWNER && mnl_attr_get_payload_len(attr) == 4)
                        l->is_ours = ntohl(mnl_attr_get_u32(attr)) == l->port;
        }
        return MNL_CB_OK;
}

static int kernel_is_there(Nft *n) {
        uint8_t buf[BUFFER_SIZE];
        KernelNft *k = kernel(n);
        struct nlmsghdr *nlh = begin(k, buf, NFT_MSG_GETTABLE, NLM_F_ACK);
        Looked l = { .port = k->port };
        int r;

        mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, n->table);
        r = talk(k, nlh, on_table, &l);
        return r < 0 && r != -ENOENT ? r : l.is_there && l.is_ours;
}

/* --- counters --- */

static uint64_t read_be64_of(const struct nlattr *attr) {
        return mnl_attr_get_payload_len(attr) == 8 ? read_be64(mnl_attr_get_payload(attr)) : 0;
}

static void read_count(const struct nlattr *data, uint64_t *ret_packets, uint64_t *ret_bytes) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, data) {
                if (mnl_attr_get_type(attr) == NFTA_COUNTER_PACKETS)
                        *ret_packets = read_be64_of(attr);
                if (mnl_attr_get_type(attr) == NFTA_COUNTER_BYTES)
                        *ret_bytes = read_be64_of(attr);
        }
}

static void read_expression(const struct nlattr *expr, NftUsage *u) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, expr) {
                if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
                        read_count(attr, &u->packets, &u->bytes);
        }
}

static void read_key(const struct nlattr *key, int family, NftUsage *u) {
        struct nlattr *attr;

        u->address.family = (uint8_t) family;
        mnl_attr_for_each_nested(attr, key) {
                if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE &&
                    mnl_attr_get_payload_len(attr) == ip_size(&u->address))
                        memcpy(u->address.bytes, mnl_attr_get_payload(attr), ip_size(&u->address));
        }
}

static void read_element(const struct nlattr *element, Looked *l) {
        struct nlattr *attr;
        NftUsage u = {};

        mnl_attr_for_each_nested(attr, element) {
                if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_KEY)
                        read_key(attr, l->family, &u);
                if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_EXPR)
                        read_expression(attr, &u);
        }
        g_array_append_val(l->usage, u);
}

static int on_elements(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr, *element;

        mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
                if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
                        continue;
                mnl_attr_for_each_nested(element, attr) read_element(element, userdata);
        }
        return MNL_CB_OK;
}

static int kernel_read_set(Nft *n, const char *set, int family, GArray **ret) {
        g_autoptr(GArray) usage = g_array_new(FALSE, FALSE, sizeof(NftUsage));
        Looked l = { .family = family, .usage = usage };
        KernelNft *k = kernel(n);
        int r = -EINTR;

        for (unsigned i = 0; i < DUMP_ATTEMPTS && r == -EINTR; i++) {
                uint8_t buf[BUFFER_SIZE];
                struct nlmsghdr *nlh = begin(k, buf, NFT_MSG_GETSETELEM, NLM_F_DUMP);

                g_array_set_size(usage, 0);
                mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, n->table);
                mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
                r = talk(k, nlh, on_elements, &l);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(usage);
        return 0;
}

static int on_counter(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr;
        Looked *l = userdata;
        uint64_t bytes;

        mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
                if (mnl_attr_get_type(attr) == NFTA_OBJ_DATA)
                        read_count(attr, &l->packets, &bytes);
        }
        return MNL_CB_OK;
}

static int kernel_read_counter(Nft *n, const char *name, uint64_t *ret) {
        uint8_t buf[BUFFER_SIZE];
        KernelNft *k = kernel(n);
        struct nlmsghdr *nlh = begin(k, buf, NFT_MSG_GETOBJ, NLM_F_ACK);
        Looked l = {};
        int r;

        mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, n->table);
        mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, name);
        mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
        r = talk(k, nlh, on_counter, &l);
        if (r >= 0)
                *ret = l.packets;
        return r;
}

/* --- life --- */

static void kernel_free(Nft *n) {
        KernelNft *k = kernel(n);

        if (k->nl)
                mnl_socket_close(k->nl);
        g_free(n->table);
        g_free(k);
}

static const NftOps kernel_ops = {
        .commit = kernel_commit,
        .is_there = kernel_is_there,
        .read_set = kernel_read_set,
        .read_counter = kernel_read_counter,
        .free = kernel_free,
};

int nft_open(const char *table, Nft **ret) {
        KernelNft *k = NEW(KernelNft);
        int r = 0, on = 1;

        k->nft = (Nft){ .ops = &kernel_ops, .table = g_strdup(table) };
        k->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
        if (!k->nl || mnl_socket_bind(k->nl, 0, MNL_SOCKET_AUTOPID) < 0)
                r = -errno;
        if (r < 0) {
                nft_free(&k->nft);
                return r;
        }
        /* A complaint need not bring the whole command back, which may be longer than our buffer. */
        (void) mnl_socket_setsockopt(k->nl, NETLINK_CAP_ACK, &on, sizeof on);
        k->port = mnl_socket_get_portid(k->nl);
        *ret = &k->nft;
        return 0;
}

Nft *nft_free(Nft *n) {
        if (n)
                n->ops->free(n);
        return NULL;
}
