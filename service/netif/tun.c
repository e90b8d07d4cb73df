/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/macros.h"
#include "host/rtnl.h"

/*
 * A read gives one packet, up to 64 KiB of one TCP or UDP flow, behind a struct virtio_net_hdr
 * that says what was left to "hardware". Reads go one behind the other into one arena, so that a
 * batch is either a few super-packets or many small packets, and neither touches more cache than
 * it fills.
 */

/* Linux 6.2; the headers of Debian 12 are older than the kernels it is run on. */
#ifndef TUN_F_USO4
#        define TUN_F_USO4 0x20
#        define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#        define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Packets. A burst of small ones must fit; what a TCP flow can queue here is bounded by losses at
 * the next full buffer (dataplane/udp-socket.c). */
#define QUEUE_LEN_DEFAULT 100U
#define HEADER_SIZE sizeof(struct virtio_net_hdr)
#define PACKET_MAX 65535U
/* What a read must find room for, rounded so that every header is aligned. */
#define READ_ALIGN 64U
#define READ_MAX ((HEADER_SIZE + PACKET_MAX + READ_ALIGN - 1) / READ_ALIGN * READ_ALIGN)
#define ARENA_SIZE (2 * READ_MAX)

typedef struct TunNetif {
        Netif netif;
        int fd;
        unsigned queue_len;
        bool is_elsewhere; /* in another network namespace */
        bool adopted;      /* may have addresses that somebody else gave it, or a former life */
        bool lacks_ipv6;   /* this machine has it switched off there */
        IpAddr address, address6;
        uint8_t prefix_len, prefix_len6;
        uint8_t *arena; /* ARENA_SIZE */
} TunNetif;

static TunNetif *tun(Netif *n) {
        return (TunNetif *) n;
}

/* --- packets --- */

/* Return: false for offloads we never asked for. */
static bool offload_from_header(const struct virtio_net_hdr *h, OffloadInfo *ret) {
        OffloadInfo o = {
                .needs_csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
                .gso_size = h->gso_size,
                .hdr_len = h->hdr_len,
                .ecn = h->gso_type & VIRTIO_NET_HDR_GSO_ECN,
        };

        if (o.needs_csum) {
                o.csum_start = h->csum_start;
                o.csum_offset = h->csum_offset;
        }
        switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
        case VIRTIO_NET_HDR_GSO_NONE:
                o.gso_type = GSO_NONE;
                break;
        case VIRTIO_NET_HDR_GSO_TCPV4:
                o.gso_type = GSO_TCPV4;
                break;
        case VIRTIO_NET_HDR_GSO_TCPV6:
                o.gso_type = GSO_TCPV6;
                break;
        case VIRTIO_NET_HDR_GSO_UDP_L4:
                o.gso_type = GSO_UDP;
                break;
        default:
                return false;
        }
        *ret = o;
        return true;
}

static struct virtio_net_hdr header_from_offload(const OffloadInfo *o) {
        static const uint8_t types[] = {
                [GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
                [GSO_TCPV4] = VIRTIO_NET_HDR_GSO_TCPV4,
                [GSO_TCPV6] = VIRTIO_NET_HDR_GSO_TCPV6,
                [GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
        };
        struct virtio_net_hdr h = {};

        if (o->needs_csum) {
                h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
                h.csum_start = o->csum_start;
                h.csum_offset = o->csum_offset;
        }
        if (o->gso_type != GSO_NONE) {
                h.gso_type = types[o->gso_type];
                if (o->ecn)
                        h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
                h.gso_size = o->gso_size;
                h.hdr_len = o->hdr_len;
        }
        return h;
}

static int tun_read_batch(Netif *n, PacketIn *packets, unsigned max) {
        TunNetif *t = tun(n);
        size_t at = 0;
        unsigned k = 0;

        while (k < max && ARENA_SIZE - at >= READ_MAX) {
                uint8_t *buf = t->arena + at;
                ssize_t len = read(t->fd, buf, READ_MAX);
                struct virtio_net_hdr h;

                if (len < 0) {
                        /* EIO: the interface is down just now. */
                        if (errno == EAGAIN || errno == EINTR || errno == EIO)
                                break;
                        return k > 0 ? (int) k : -errno;
                }
                /* What cannot be read is handed on as nothing: no packet, and counted as such. */
                if ((size_t) len > HEADER_SIZE)
                        memcpy(&h, buf, HEADER_SIZE);
                if ((size_t) len <= HEADER_SIZE || !offload_from_header(&h, &packets[k].offload)) {
                        packets[k].offload = (OffloadInfo){};
                        len = HEADER_SIZE;
                }
                packets[k].data = buf + HEADER_SIZE;
                packets[k].len = (size_t) len - HEADER_SIZE;
                k++;
                at += ((size_t) len + READ_ALIGN - 1) / READ_ALIGN * READ_ALIGN;
        }
        return (int) k;
}

static int tun_write_batch(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        TunNetif *t = tun(n);
        unsigned taken = 0;

        *ret_refused = count;

        for (unsigned i = 0; i < count; i++) {
                const PacketOut *p = &packets[i];
                struct virtio_net_hdr h = header_from_offload(&p->offload);
                struct iovec iov[1 + PACKET_OUT_IOV_MAX];

                iov[0] = (struct iovec){ &h, sizeof h };
                memcpy(iov + 1, p->iov, p->n_iov * sizeof iov[0]);
                if (writev(t->fd, iov, (int) p->n_iov + 1) >= 0)
                        taken++;
                else if (errno == EBADFD || errno == ENODEV)
                        return -errno;
                /* Some kernels (a few of 6.6) refuse what TUNSETOFFLOAD has promised. */
                else if (errno == EINVAL && p->offload.gso_type != GSO_NONE) {
                        *ret_refused = i;
                        break;
                }
        }
        return (int) taken;
}

/* --- control --- */

int tun_fd(Netif *n) {
        return tun(n)->fd;
}

static bool has_route(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t len) {
        IpPrefix p = { .addr = *address, .len = len };

        return rtnl_route_is_there(r, ifindex, &p) != 0;
}

/* Puts @wanted in the place of @current, which is updated. */
static int
change_address(Rtnl *r,
               unsigned ifindex,
               IpAddr *current,
               uint8_t *current_len,
               const IpAddr *wanted,
               uint8_t wanted_len) {
        int status;

        if (ip_is_set(current) && (current->family != wanted->family ||
                                   !ip_equal(current, wanted) || *current_len != wanted_len)) {
                status = rtnl_address_remove(r, ifindex, current, *current_len);
                if (status < 0)
                        return status;
                *current = (IpAddr){};
        }
        if (!ip_is_set(wanted))
                return 0;
        /* Also where it is there already: somebody may have taken it away by hand, or its route,
         * which comes with a new address only. */
        if (!has_route(r, ifindex, wanted, wanted_len))
                (void) rtnl_address_remove(r, ifindex, wanted, wanted_len);
        status = rtnl_address_add(r, ifindex, wanted, wanted_len);
        if (status < 0)
                return status;
        *current = *wanted;
        *current_len = wanted_len;
        return 0;
}

/* What the kernel says where there is no IPv6, or it is switched off for the interface. */
static bool is_without_ipv6(int status) {
        return status == -EACCES || status == -EPERM || status == -EAFNOSUPPORT ||
               status == -EOPNOTSUPP;
}

static int
tun_configure(Netif *n,
              const IpAddr *address,
              uint8_t prefix_len,
              const IpAddr *address6,
              uint8_t prefix_len6,
              uint16_t mtu) {
        TunNetif *t = tun(n);
        _cleanup_(rtnl_closep) Rtnl *r = NULL;
        int status;

        status = rtnl_open(&r);
        if (status < 0)
                return status;
        /* Up first: addresses of a link that is down get no routes. */
        status = rtnl_link_configure(r, n->ifindex, mtu, t->queue_len, true);
        if (status < 0)
                return status;
        if (!address) {
                t->address = t->address6 = (IpAddr){};
                t->adopted = true;
                return t->lacks_ipv6;
        }
        if (t->adopted) {
                const IpAddr keep[] = { *address, *address6 };

                status = rtnl_address_keep_only(r, n->ifindex, keep, ELEMENTSOF(keep));
                if (status < 0)
                        return status;
                t->adopted = false;
        }
        status = change_address(r, n->ifindex, &t->address, &t->prefix_len, address, prefix_len);
        if (status < 0)
                return status;
        status = change_address(r, n->ifindex, &t->address6, &t->prefix_len6, address6, prefix_len6);
        t->lacks_ipv6 = is_without_ipv6(status) && !t->is_elsewhere;
        if (t->lacks_ipv6) {
                t->address6 = (IpAddr){};
                return 1;
        }
        return status;
}

/* Return: 0, or negative errno and @ret_reason. */
static int
check_address(const Netif *n, Rtnl *r, const IpAddr *address, uint8_t len, char **ret_reason) {
        if (!ip_is_set(address))
                return 0;
        if (rtnl_address_is_there(r, n->ifindex, address, len) == 0) {
                *ret_reason = g_strdup_printf(
                                "%s has lost the address %s", n->name, ip_format(address).text);
                return -EADDRNOTAVAIL;
        }
        if (!has_route(r, n->ifindex, address, len)) {
                *ret_reason =
                                g_strdup_printf("%s has lost the route that goes with %s", n->name,
                                                ip_format(address).text);
                return -ENETUNREACH;
        }
        return 0;
}

static int tun_check(Netif *n, char **ret_reason) {
        TunNetif *t = tun(n);
        _cleanup_(rtnl_closep) Rtnl *r = NULL;
        struct ifreq ifr = {};
        int status, up;

        if (t->is_elsewhere)
                return 0;
        status = rtnl_open(&r);
        if (status < 0) {
                *ret_reason = g_strdup_printf(
                                "nobody can look at %s: %s", n->name, g_strerror(-status));
                return status;
        }
        up = rtnl_link_is_up(r, n->ifindex);
        if (up == -ENODEV || ioctl(t->fd, TUNGETIFF, &ifr) < 0) {
                *ret_reason = g_strdup_printf("%s is gone", n->name);
                return -ENODEV;
        }
        /* Forwards are bound to the name, and people know it. */
        if (strcmp(ifr.ifr_name, n->name) != 0) {
                *ret_reason = g_strdup_printf("%s is called %.15s now", n->name, ifr.ifr_name);
                return -ENODEV;
        }
        if (up == 0) {
                *ret_reason = g_strdup_printf("%s was switched off", n->name);
                return -ENETDOWN;
        }
        status = check_address(n, r, &t->address, t->prefix_len, ret_reason);
        if (status < 0)
                return status;
        return check_address(n, r, &t->address6, t->prefix_len6, ret_reason);
}

static void tun_free(Netif *n) {
        TunNetif *t = tun(n);

        if (!t)
                return;
        closep(&t->fd);
        g_aligned_free(t->arena);
        g_free(t);
}

static void tun_freep(TunNetif **t) {
        if (*t)
                tun_free(&(*t)->netif);
}

static const NetifOps tun_ops = {
        .name = "tun",
        .read_batch = tun_read_batch,
        .write_batch = tun_write_batch,
        .fd = tun_fd,
        .check = tun_check,
        .configure = tun_configure,
        .free = tun_free,
};

/* "omerta0", or "omerta%d"; the kernel's own rules (dev_valid_name) and one %d at most. */
static bool name_is_valid(const char *name) {
        const char *percent = strchr(name, '%');
        size_t len = strlen(name);

        if (len == 0 || len >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return false;
        for (const char *p = name; *p; p++)
                if (*p == '/' || *p == ':' || g_ascii_isspace(*p) || !g_ascii_isprint(*p))
                        return false;
        return !percent || (percent[1] == 'd' && !strchr(percent + 1, '%'));
}

static int open_new(const TunOptions *options, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        struct ifreq ifr = {};
        int r;

        fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
                r = -errno;
                if (r == -ENOENT || r == -ENODEV || r == -ENXIO)
                        *ret_error =
                                        g_strdup("/dev/net/tun does not exist: load the kernel's "
                                                 "module with \"modprobe tun\".");
                else
                        *ret_error = g_strdup_printf(
                                        "/dev/net/tun cannot be opened: %s.", g_strerror(-r));
                return r;
        }
        g_strlcpy(ifr.ifr_name, options->name, sizeof ifr.ifr_name);
        ifr.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
        if (!options->single_queue)
                ifr.ifr_flags |= IFF_MULTI_QUEUE;
        if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
                r = -errno;
                if (r == -EPERM)
                        *ret_error = g_strdup_printf(
                                        "The interface %s cannot be made: it needs the capability "
                                        "CAP_NET_ADMIN; run omertad as the system service or as "
                                        "root, or use the user daemon, which needs no interface.",
                                        options->name);
                else if (r == -EBUSY)
                        *ret_error = g_strdup_printf(
                                        "The interface %s is used by another program.",
                                        options->name);
                else if (r == -EINVAL)
                        *ret_error = g_strdup_printf(
                                        "An interface %s exists that is no tun interface of this "
                                        "kind; remove it with \"ip link delete %s\".",
                                        options->name, options->name);
                else
                        *ret_error =
                                        g_strdup_printf("The interface %s cannot be made: %s.",
                                                        options->name, g_strerror(-r));
                return r;
        }
        return TAKE_FD(fd);
}

/* Checks that the fd of a former life is what open_new() makes. */
static int check_adopted(int fd, char **ret_error) {
        const short needed = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
        struct ifreq ifr = {};

        if (ioctl(fd, TUNGETIFF, &ifr) < 0) {
                int r = -errno;

                *ret_error = g_strdup_printf(
                                "The interface kept from before the restart is gone: %s.",
                                g_strerror(-r));
                return r;
        }
        if ((ifr.ifr_flags & needed) != needed) {
                *ret_error = g_strdup_printf(
                                "The interface %.15s kept from before the restart is not of the "
                                "kind this version makes.",
                                ifr.ifr_name);
                return -EINVAL;
        }
        return 0;
}

static int set_options(TunNetif *t) {
        /* From all we can use down to none; each kernel takes what it knows. */
        static const struct {
                unsigned flags;
                bool tcp, udp;
        } offloads[] = {
                { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
                  true, true },
                { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, true, false },
                { 0, false, false },
        };
        int header_size = HEADER_SIZE;

        if (ioctl(t->fd, TUNSETVNETHDRSZ, &header_size) < 0)
                return -errno;
        for (unsigned i = 0; i < ELEMENTSOF(offloads); i++) {
                if (ioctl(t->fd, TUNSETOFFLOAD, offloads[i].flags) >= 0) {
                        t->netif.gso_tcp = offloads[i].tcp;
                        t->netif.gso_udp = offloads[i].udp;
                        return 0;
                }
                if (errno != EINVAL)
                        return -errno;
        }
        return -EINVAL;
}

int tun_new(const TunOptions *options, Netif **ret, char **ret_error) {
        _cleanup_(tun_freep) TunNetif *t = NULL;
        _cleanup_(rtnl_closep) Rtnl *rtnl = NULL;
        struct ifreq ifr = {};
        bool adopt = options->fd >= 0;
        int r;

        if (!adopt && !name_is_valid(options->name)) {
                *ret_error = g_strdup_printf(
                                "\"%s\" is not a name an interface can have: up to 15 letters and "
                                "digits, without space, slash and colon.",
                                options->name);
                return -EINVAL;
        }
        t = NEW(TunNetif);
        *t = (TunNetif){ .netif.ops = &tun_ops, .fd = -EBADF };
        t->arena = g_aligned_alloc(1, ARENA_SIZE, READ_ALIGN);
        t->queue_len = options->queue_len > 0 ? options->queue_len : QUEUE_LEN_DEFAULT;
        t->adopted = adopt;
        r = adopt ? check_adopted(options->fd, ret_error) : open_new(options, ret_error);
        if (r < 0)
                return r;
        /* From here on every failure would be the kernel's or ours, not the administrator's. */
        t->fd = adopt ? options->fd : r;
        r = fcntl(t->fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ? -errno : set_options(t);
        if (r >= 0)
                r = ioctl(t->fd, TUNGETIFF, &ifr) < 0 ? -errno : 0;
        t->netif.ifindex = options->ifindex;
        t->is_elsewhere = options->ifindex != 0;
        if (r >= 0 && options->ifindex == 0)
                r = rtnl_open(&rtnl);
        if (r >= 0 && options->ifindex == 0)
                r = rtnl_link_index(rtnl, ifr.ifr_name, &t->netif.ifindex);
        if (r < 0) {
                *ret_error =
                                g_strdup_printf("The interface %.15s cannot be set up: %s.",
                                                ifr.ifr_name, g_strerror(-r));
                /* The caller keeps what is not taken over. */
                if (adopt)
                        t->fd = -EBADF;
                return r;
        }
        g_strlcpy(t->netif.name, ifr.ifr_name, sizeof t->netif.name);
        *ret = &TAKE_PTR(t)->netif;
        return 0;
}
