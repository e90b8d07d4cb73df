/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif/mock.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/macros.h"

/*
 * Two queues. The test stands for the local programs and, in most tests, is the packet thread as
 * well; in those that run a real one the lock keeps the two apart.
 */

#define READ_MAX 64U

typedef struct MockPacket {
        GBytes *bytes;
        OffloadInfo offload;
} MockPacket;

typedef struct MockNetif {
        Netif netif;
        pthread_mutex_t lock;
        GQueue from_app, to_app; /* MockPacket */
        uint8_t *read[READ_MAX]; /* given out by the last read_batch() */
        unsigned n_read;
        int fd; /* eventfd, readable while from_app has something */
        bool refuses_gso;
        IpAddr address;
} MockNetif;

static MockNetif *mock(Netif *n) {
        return (MockNetif *) n;
}

static void packet_free(void *data) {
        MockPacket *p = data;

        g_bytes_unref(p->bytes);
        g_free(p);
}

static void release_read(MockNetif *m) {
        while (m->n_read > 0)
                g_free(m->read[--m->n_read]);
}

static int mock_read_batch(Netif *n, PacketIn *packets, unsigned max) {
        MockNetif *m = mock(n);
        unsigned k;

        release_read(m);
        pthread_mutex_lock(&m->lock);
        for (k = 0; k < MIN(max, READ_MAX) && !g_queue_is_empty(&m->from_app); k++) {
                MockPacket *p = g_queue_pop_head(&m->from_app);
                size_t len;
                const void *data = g_bytes_get_data(p->bytes, &len);

                m->read[m->n_read] = g_memdup2(data, len);
                packets[k] = (PacketIn){ m->read[m->n_read++], len, p->offload };
                packet_free(p);
        }
        if (g_queue_is_empty(&m->from_app)) {
                eventfd_t ignored;

                (void) eventfd_read(m->fd, &ignored);
        }
        pthread_mutex_unlock(&m->lock);
        return (int) k;
}

static int mock_write_batch(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        MockNetif *m = mock(n);
        unsigned taken = 0;

        pthread_mutex_lock(&m->lock);
        *ret_refused = count;
        for (unsigned i = 0; i < count; i++) {
                g_autoptr(GByteArray) whole = g_byte_array_new();
                MockPacket *p;

                if (m->refuses_gso && packets[i].offload.gso_type != GSO_NONE) {
                        *ret_refused = i;
                        break;
                }
                p = NEW(MockPacket);
                for (unsigned k = 0; k < packets[i].n_iov; k++)
                        g_byte_array_append(
                                        whole, packets[i].iov[k].iov_base,
                                        (guint) packets[i].iov[k].iov_len);
                p->bytes = g_byte_array_free_to_bytes(g_steal_pointer(&whole));
                p->offload = packets[i].offload;
                g_queue_push_tail(&m->to_app, p);
                taken++;
        }
        pthread_mutex_unlock(&m->lock);
        return (int) taken;
}

static int mock_fd(Netif *n) {
        return mock(n)->fd;
}

static int
mock_configure(Netif *n,
               const IpAddr *address,
               uint8_t prefix_len,
               const IpAddr *address6,
               uint8_t prefix_len6,
               uint16_t mtu) {
        mock(n)->address = address ? *address : (IpAddr){};
        return 0;
}

static void mock_free(Netif *n) {
        MockNetif *m = mock(n);

        release_read(m);
        g_queue_clear_full(&m->from_app, packet_free);
        g_queue_clear_full(&m->to_app, packet_free);
        pthread_mutex_destroy(&m->lock);
        closep(&m->fd);
        g_free(m);
}

static const NetifOps mock_ops = {
        .name = "mock",
        .read_batch = mock_read_batch,
        .write_batch = mock_write_batch,
        .fd = mock_fd,
        .configure = mock_configure,
        .free = mock_free,
};

Netif *mock_netif_new(const char *name) {
        MockNetif *m = NEW(MockNetif);

        m->netif = (Netif){ .ops = &mock_ops, .gso_tcp = true, .gso_udp = true };
        g_strlcpy(m->netif.name, name, sizeof m->netif.name);
        m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        pthread_mutex_init(&m->lock, NULL);
        return &m->netif;
}

void mock_netif_app_send(Netif *n, const void *packet, size_t len, const OffloadInfo *offload) {
        MockNetif *m = mock(n);
        MockPacket *p = NEW(MockPacket);

        p->bytes = g_bytes_new(packet, len);
        if (offload)
                p->offload = *offload;
        pthread_mutex_lock(&m->lock);
        g_queue_push_tail(&m->from_app, p);
        (void) eventfd_write(m->fd, 1);
        pthread_mutex_unlock(&m->lock);
}

GBytes *mock_netif_app_received(Netif *n, OffloadInfo *ret_offload) {
        MockNetif *m = mock(n);
        g_autofree MockPacket *p = NULL;

        pthread_mutex_lock(&m->lock);
        p = g_queue_pop_head(&m->to_app);
        pthread_mutex_unlock(&m->lock);
        if (!p)
                return NULL;
        if (ret_offload)
                *ret_offload = p->offload;
        return p->bytes;
}

void mock_netif_refuse_gso(Netif *n, bool refuse) {
        MockNetif *m = mock(n);

        pthread_mutex_lock(&m->lock);
        m->refuses_gso = refuse;
        pthread_mutex_unlock(&m->lock);
}

IpAddr mock_netif_address(Netif *n) {
        return mock(n)->address;
}
