/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/portmap.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/macros.h"
#include "config.h"
#include "portmap/upnp-process.h"

/* Datagrams of a router handled in one turn of the loop. */
#define DATAGRAMS_MAX 16U

typedef struct Side {
        PortMapper *owner;
        int family;
        Mapper *mapper;
        int fd, announcement_fd;
        sd_event_source *source, *announcement_source;
} Side;

struct PortMapper {
        PortMapperConfig config;
        Side side[2]; /* IPv4, IPv6 */
        UpnpProcess *upnp;
        Timer changed_timer;
};

static Side *side_of(const PortMapper *p, int family) {
        return (Side *) &p->side[family == AF_INET6];
}

/* --- what the mappers are handed --- */

static usec_t env_now(void *userdata) {
        return now_usec(CLOCK_BOOTTIME);
}

static void env_random(void *userdata, void *buf, size_t n) {
        randombytes_buf(buf, n);
}

static void env_send(void *userdata, const uint8_t *data, size_t len) {
        Side *s = userdata;

        /* A second try: the first may only have been told what became of the last datagram. */
        if (s->fd >= 0 && send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
            errno == ECONNREFUSED)
                (void) send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#if HAVE_UPNP
static int env_upnp(void *userdata, const UpnpRequest *q) {
        Side *s = userdata;

        return upnp_process_start(s->owner->upnp, q);
}

static void env_upnp_cancel(void *userdata) {
        Side *s = userdata;

        upnp_process_cancel(s->owner->upnp);
}

static void on_upnp(void *userdata, const UpnpAnswer *answer) {
        PortMapper *p = userdata;

        mapper_handle_upnp(side_of(p, AF_INET)->mapper, answer);
}
#endif

static bool env_is_inside(void *userdata, const IpAddr *a) {
        PortMapper *p = ((Side *) userdata)->owner;

        return p->config.is_inside(p->config.userdata, a);
}

static void on_changed(void *userdata) {
        PortMapper *p = userdata;

        p->config.changed(p->config.userdata);
}

static void env_changed(void *userdata) {
        PortMapper *p = ((Side *) userdata)->owner;

        timer_set(p->config.timers, &p->changed_timer, now_usec(CLOCK_BOOTTIME), on_changed, p);
}

static void env_ignored(void *userdata) {
        PortMapper *p = ((Side *) userdata)->owner;

        p->config.ignored(p->config.userdata);
}

/* --- sockets --- */

static struct sockaddr_storage
address_of(const IpAddr *a, unsigned ifindex, uint16_t port, socklen_t *ret_len) {
        struct sockaddr_storage ss = {};

        if (a->family == AF_INET) {
                struct sockaddr_in *in = (struct sockaddr_in *) &ss;

                in->sin_family = AF_INET;
                in->sin_port = htobe16(port);
                memcpy(&in->sin_addr, a->bytes, 4);
                *ret_len = sizeof *in;
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &ss;

                in6->sin6_family = AF_INET6;
                in6->sin6_port = htobe16(port);
                memcpy(&in6->sin6_addr, a->bytes, 16);
                if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6->sin6_addr))
                        in6->sin6_scope_id = ifindex;
                *ret_len = sizeof *in6;
        }
        return ss;
}

/* Connected, so that the kernel lets nobody but the router's port answer; on the router's way
 * alone, whatever other routes say. */
static int open_socket(const MapperTarget *t, int *ret) {
        struct sockaddr_storage local, remote;
        _cleanup_close_ int fd = -EBADF;
        int ifindex = (int) t->ifindex;
        socklen_t local_len, remote_len;

        local = address_of(&t->source, t->ifindex, 0, &local_len);
        remote = address_of(&t->router, t->ifindex, PORTMAP_SERVER_PORT, &remote_len);
        fd = socket(t->router.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (t->router.family == AF_INET)
                (void) setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &(uint32_t){ htobe32(t->ifindex) }, 4);
        else
                (void) setsockopt(
                                fd, IPPROTO_IPV6, IPV6_UNICAST_IF,
                                &(uint32_t){ htobe32(t->ifindex) }, 4);
        (void) setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof ifindex);
        if (bind(fd, (struct sockaddr *) &local, local_len) < 0 ||
            connect(fd, (struct sockaddr *) &remote, remote_len) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

/* 224.0.0.1 and ff02::1, which every machine listens to (RFC 6886 section 3.2.1, RFC 6887 section
 * 14.1.2); other programs that map ports do on the same port. */
static int open_announcements(const MapperTarget *t, int *ret) {
        const IpAddr all4 = { AF_INET, { 224, 0, 0, 1 } };
        const IpAddr all6 = { AF_INET6, { 0xff, 0x02, [15] = 1 } };
        _cleanup_close_ int fd = -EBADF;
        int ifindex = (int) t->ifindex, one = 1;
        struct sockaddr_storage local;
        socklen_t len;

        local =
                        address_of(t->router.family == AF_INET ? &all4 : &all6, t->ifindex,
                                   PORTMAP_CLIENT_PORT, &len);
        fd = socket(t->router.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void) setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof ifindex);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
            bind(fd, (struct sockaddr *) &local, len) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

static int on_datagram(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        uint8_t buf[PCP_MESSAGE_MAX + 1];
        Side *s = userdata;

        for (unsigned i = 0; i < DATAGRAMS_MAX && s->fd == fd; i++) {
                ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

                if (n >= 0)
                        mapper_handle_datagram(s->mapper, buf, (size_t) n);
                else if (errno == ECONNREFUSED)
                        mapper_handle_unreachable(s->mapper);
                else if (errno != EINTR)
                        break;
        }
        return 0;
}

static int on_announcement(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        uint8_t buf[PCP_MESSAGE_MAX + 1];
        Side *s = userdata;

        for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
                struct sockaddr_storage ss = {};
                socklen_t len = sizeof ss;
                Endpoint from;
                IpAddr address;
                ssize_t n = recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *) &ss, &len);

                if (n < 0)
                        break;
                if (endpoint_from_sockaddr((struct sockaddr *) &ss, len, &from) < 0)
                        continue;
                address = endpoint_address(&from);
                if (endpoint_port(&from) == PORTMAP_SERVER_PORT &&
                    ip_equal(&address, &mapper_target(s->mapper)->router))
                        mapper_handle_announcement(s->mapper, buf, (size_t) n);
                else
                        env_ignored(s);
        }
        return 0;
}

static void close_sockets(Side *s) {
        s->source = sd_event_source_disable_unref(s->source);
        s->announcement_source = sd_event_source_disable_unref(s->announcement_source);
        closep(&s->fd);
        closep(&s->announcement_fd);
        s->fd = s->announcement_fd = -EBADF;
}

static int open_sockets(Side *s, const MapperTarget *t) {
        sd_event *event = s->owner->config.event;
        int r;

        r = open_socket(t, &s->fd);
        if (r >= 0)
                r = sd_event_add_io(event, &s->source, s->fd, EPOLLIN, on_datagram, s);
        if (r < 0)
                return r;
        /* Without them it is found out at the next look. */
        r = open_announcements(t, &s->announcement_fd);
        if (r >= 0)
                r =
                                sd_event_add_io(event, &s->announcement_source, s->announcement_fd,
                                                EPOLLIN, on_announcement, s);
        if (r < 0)
                (void) log_debug_errno(r, "cannot hear what routers announce: %m");
        return 0;
}

/* --- life --- */

PortMapper *port_mapper_new(const PortMapperConfig *config) {
        PortMapper *p = NEW(PortMapper);

        p->config = *config;
#if HAVE_UPNP
        p->upnp = upnp_process_new(config->event, UPNP_LIFE_USEC, on_upnp, p);
#endif
        for (unsigned i = 0; i < ELEMENTSOF(p->side); i++) {
                MapperEnv env = {
                        .userdata = &p->side[i],
                        .timers = config->timers,
                        .now = env_now,
                        .random = env_random,
                        .send = env_send,
#if HAVE_UPNP
                        .upnp = env_upnp,
                        .upnp_cancel = env_upnp_cancel,
#endif
                        .is_inside = env_is_inside,
                        .changed = env_changed,
                        .ignored = env_ignored,
                };

                p->side[i] = (Side){
                        .owner = p,
                        .family = i == 0 ? AF_INET : AF_INET6,
                        .fd = -EBADF,
                        .announcement_fd = -EBADF,
                        .mapper = mapper_new(&env, config->nonce),
                };
        }
        return p;
}

PortMapper *port_mapper_free(PortMapper *p) {
        if (!p)
                return NULL;
        for (unsigned i = 0; i < ELEMENTSOF(p->side); i++) {
                mapper_release(p->side[i].mapper, "");
                close_sockets(&p->side[i]);
        }
        p->upnp = upnp_process_free(p->upnp);
        for (unsigned i = 0; i < ELEMENTSOF(p->side); i++)
                mapper_free(p->side[i].mapper);
        timer_clear(&p->changed_timer);
        g_free(p);
        return NULL;
}

static bool is_same(const Mapper *m, const MapperTarget *t) {
        const MapperTarget *now = mapper_target(m);

        return t && mapper_has_target(m) && ip_equal(&now->router, &t->router) &&
               ip_equal(&now->source, &t->source) && now->ifindex == t->ifindex &&
               now->port == t->port;
}

void port_mapper_set_target(PortMapper *p, int family, const MapperTarget *target, const char *reason) {
        Side *s = side_of(p, family);
        int r;

        if (is_same(s->mapper, target))
                return;
        mapper_release(s->mapper, reason ?: "");
        close_sockets(s);
        if (!target)
                return;
        r = open_sockets(s, target);
        if (r < 0) {
                g_autofree char *text =
                                g_strdup_printf("router %s cannot be asked: %s",
                                                ip_format(&target->router).text, g_strerror(-r));

                close_sockets(s);
                mapper_set_target(s->mapper, NULL, text);
                return;
        }
        mapper_set_target(s->mapper, target, NULL);
}

void port_mapper_look(PortMapper *p) {
        for (unsigned i = 0; i < ELEMENTSOF(p->side); i++)
                mapper_look(p->side[i].mapper);
}

const Mapper *port_mapper_get(const PortMapper *p, int family) {
        return side_of(p, family)->mapper;
}
