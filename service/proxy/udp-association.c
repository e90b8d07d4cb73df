/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macros.h"
#include "proxy/listener.h"
#include "proxy/socks5-udp.h"
#include "proxy/udp-association.h"

/* Datagrams of one wake-up, before others have their turn. */
#define DATAGRAMS_MAX 64U
/* Where in the buffer a datagram is received, so that either header fits before what it carries,
 * whichever header it came with. */
#define HEADROOM 32U
static_assert(HEADROOM >= PROXY_UDP_HEADER_SIZE && HEADROOM >= SOCKS5_UDP_REPLY_HEADER_MAX, "");

struct UdpAssociation {
        sd_event *event;
        const ProxyDialer *dialer;
        int client_fd;
        sd_event_source *client_source;
        Endpoint local, client;
        bool any_address; /* until one is understood: of whatever address of this machine */
        uint8_t *buffer;
        GPtrArray *ways; /* Way, owned: as many as there are networks, one or two */
};

/* Into one network. */
typedef struct Way {
        UdpAssociation *association;
        const void *network;
        ProxyCall *call; /* under way: there is no fd yet */
        int fd;
        sd_event_source *source;
        GBytes *first; /* what it is made for, to be sent when it is there */
} Way;

static void way_free(void *data) {
        Way *w = data;
        const ProxyDialer *dialer = w->association->dialer;

        if (w->call)
                dialer->cancel(dialer->userdata, w->call);
        sd_event_source_disable_unref(w->source);
        closep(&w->fd);
        g_clear_pointer(&w->first, g_bytes_unref);
        g_free(w);
}

static void way_remove(Way *w) {
        g_ptr_array_remove_fast(w->association->ways, w);
}

static void way_send(Way *w, const uint8_t *message, size_t len) {
        /* While the way is being made, further ones are lost. */
        if (w->fd >= 0)
                (void) send(w->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (!w->first)
                w->first = g_bytes_new(message, len);
}

static int on_network(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static void on_way(void *userdata, int fd) {
        Way *w = userdata;
        g_autoptr(GBytes) first = g_steal_pointer(&w->first);

        w->call = NULL;
        w->fd = fd;
        if (fd < 0 ||
            sd_event_add_io(w->association->event, &w->source, fd, EPOLLIN, on_network, w) < 0)
                way_remove(w);
        else if (first)
                way_send(w, g_bytes_get_data(first, NULL), g_bytes_get_size(first));
}

/* Return: the way to the network that has the address, perhaps not there yet; or NULL. */
static Way *way_to(UdpAssociation *a, const IpAddr *address) {
        const void *network = a->dialer->network(a->dialer->userdata, address);
        Way *w;

        if (!network)
                return NULL;
        for (unsigned i = 0; i < a->ways->len; i++) {
                w = a->ways->pdata[i];
                if (w->network == network)
                        return w;
        }
        w = NEW(Way);
        *w = (Way){ .association = a, .network = network, .fd = -EBADF };
        g_ptr_array_add(a->ways, w);
        if (a->dialer->udp(a->dialer->userdata, network, on_way, w, &w->call) < 0) {
                way_remove(w);
                return NULL;
        }
        return w;
}

static void to_network(UdpAssociation *a, const Endpoint *from, size_t len) {
        uint8_t *data = a->buffer + HEADROOM;
        IpAddr addresses[PROXY_ADDRESSES_MAX];
        ProxyTarget target;
        int header;
        Way *w;

        if ((!a->any_address && !endpoint_same_address(from, &a->client)) ||
            (endpoint_port(&a->client) != 0 && endpoint_port(from) != endpoint_port(&a->client)))
                return;
        header = socks5_udp_header_decode(data, len, &target);
        if (header < 0 || target.port == 0 || proxy_resolve(a->dialer, &target, addresses) < 0)
                return;
        a->client = *from;
        a->any_address = false;
        w = way_to(a, &addresses[0]);
        if (!w)
                return;
        data += header;
        len -= (size_t) header;
        data -= PROXY_UDP_HEADER_SIZE;
        proxy_udp_header_encode(&addresses[0], target.port, data);
        way_send(w, data, PROXY_UDP_HEADER_SIZE + len);
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        UdpAssociation *a = userdata;

        for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
                struct sockaddr_storage ss;
                socklen_t ss_len = sizeof ss;
                Endpoint from;
                ssize_t n = recvfrom(
                                fd, a->buffer + HEADROOM, UDP_ASSOCIATION_BUFFER_SIZE - HEADROOM, 0,
                                (struct sockaddr *) &ss, &ss_len);

                if (n < 0 && errno == EAGAIN)
                        break;
                /* A port unreachable that an earlier answer met. */
                if (n < 0)
                        continue;
                if (endpoint_from_sockaddr((struct sockaddr *) &ss, ss_len, &from) >= 0)
                        to_network(a, &from, (size_t) n);
        }
        return 0;
}

static void to_client(UdpAssociation *a, size_t len) {
        uint8_t header[SOCKS5_UDP_REPLY_HEADER_MAX], *data = a->buffer + HEADROOM;
        IpAddr from;
        uint16_t port;
        size_t n;

        /* Nobody to tell it to as long as the client has not sent. */
        if (endpoint_port(&a->client) == 0 || proxy_udp_header_decode(data, len, &from, &port) < 0)
                return;
        data += PROXY_UDP_HEADER_SIZE;
        len -= PROXY_UDP_HEADER_SIZE;
        n = socks5_udp_header_encode(&from, port, header);
        memcpy(data - n, header, n);
        (void) sendto(a->client_fd, data - n, n + len, MSG_DONTWAIT | MSG_NOSIGNAL, &a->client.sa,
                      endpoint_len(&a->client));
}

static int on_network(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Way *w = userdata;
        UdpAssociation *a = w->association;

        for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
                ssize_t n = recv(fd, a->buffer + HEADROOM, UDP_ASSOCIATION_BUFFER_SIZE - HEADROOM, 0);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        break;
                /* The network is gone. */
                if (n <= 0) {
                        way_remove(w);
                        return 0;
                }
                to_client(a, (size_t) n);
        }
        return 0;
}

int udp_association_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const Endpoint *local,
                const Endpoint *client,
                bool any_address,
                uint8_t buffer[static UDP_ASSOCIATION_BUFFER_SIZE],
                UdpAssociation **ret) {
        UdpAssociation *a = NEW(UdpAssociation);
        int r = 0;

        *a = (UdpAssociation){
                .event = sd_event_ref(event),
                .dialer = dialer,
                .client_fd = -EBADF,
                .local = *local,
                .client = *client,
                .any_address = any_address,
                .buffer = buffer,
                .ways = g_ptr_array_new_with_free_func(way_free),
        };
        endpoint_set_port(&a->local, 0);
        a->client_fd = socket(local->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (a->client_fd < 0)
                r = -errno;
        else
                r = a->client_fd = fd_admit(a->client_fd);
        if (r >= 0 && bind(a->client_fd, &a->local.sa, endpoint_len(&a->local)) < 0)
                r = -errno;
        if (r >= 0)
                r = sd_event_add_io(event, &a->client_source, a->client_fd, EPOLLIN, on_client, a);
        if (r < 0) {
                udp_association_free(a);
                return r;
        }
        a->local = listener_local(a->client_fd);
        *ret = a;
        return 0;
}

UdpAssociation *udp_association_free(UdpAssociation *a) {
        if (!a)
                return NULL;
        sd_event_source_disable_unref(a->client_source);
        g_ptr_array_unref(a->ways);
        closep(&a->client_fd);
        sd_event_unref(a->event);
        g_free(a);
        return NULL;
}

const Endpoint *udp_association_local(const UdpAssociation *a) {
        return &a->local;
}
