/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A member that asks its gateway for everything as fast as it can, on a real socket:
 *
 *      hostile-member INVITE-LINK requests|frames
 *
 * Says "joined", then floods until its standard input ends, and says how much it sent. It is made
 * of the daemon's core, so what it sends is authentic; only manners are missing.
 */

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "core/mesh/link/link.h"
#include "core/network.h"
#include "memory-store.h"

/* Between two looks at the socket: requests of each channel, or bare frames. */
#define REQUESTS 8U
#define FRAMES 64U

typedef struct Retired {
        void *object;
        void (*destroy)(void *object);
} Retired;

typedef struct Hostile {
        int fd;
        TimerQueue *timers;
        GArray *retired;
        Network *network;
        MachineId gateway;
        bool joined, failed, bare;
        uint64_t requests, frames, answers;
} Hostile;

static usec_t get_now(void *userdata) {
        return now_usec(CLOCK_BOOTTIME);
}

static usec_t get_realtime(void *userdata) {
        return now_usec(CLOCK_REALTIME);
}

static void get_random(void *userdata, void *buf, size_t n) {
        if (getrandom(buf, n, 0) != (ssize_t) n)
                g_error("no random numbers");
}

static int send_datagram(void *userdata, const Endpoint *to, const uint8_t *data, size_t len) {
        const Hostile *h = userdata;

        return sendto(h->fd, data, len, MSG_DONTWAIT, &to->sa, endpoint_len(to)) < 0 ? -errno : 0;
}

static void retire(void *userdata, void *object, void (*destroy)(void *object)) {
        Hostile *h = userdata;

        g_array_append_val(h->retired, ((Retired){ object, destroy }));
}

static void destroy_retired(Hostile *h) {
        for (unsigned i = 0; i < h->retired->len; i++) {
                Retired r = g_array_index(h->retired, Retired, i);

                r.destroy(r.object);
        }
        g_array_set_size(h->retired, 0);
}

static int on_member(void *userdata, Network *n, const Membership *m) {
        return 0;
}

static void on_joined(void *userdata, Network *n, WireError error, const char *detail) {
        Hostile *h = userdata;

        h->joined = !error;
        h->failed = error;
        if (error)
                fprintf(stderr, "cannot join: %s\n", wire_error_name(error));
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        ((Hostile *) userdata)->answers++;
}

/* What the gateway serves, each with something it has to look at. */
static void ask(Hostile *h) {
        static const struct {
                const char *channel;
                uint8_t data[16];
                size_t len;
        } requests[] = {
                { "enrol", { 0xa1, 1, 0x61, 'x' }, 4 },
                { "cert", { 0xa0 }, 1 },
                { "tunnel", { 0xa2, 1, 1, 2, 0x61, 'x' }, 6 },
                { "tunnel", { 0xa2, 1, 2, 2, 0x61, 'x' }, 6 },
                { "nobody", { 0 }, 1 },
        };
        ChannelProvider *p = mesh_channels(network_mesh(h->network));

        for (size_t i = 0; i < REQUESTS * ELEMENTSOF(requests); i++)
                h->requests += p->ops->request(p->self, &h->gateway,
                                               requests[i % ELEMENTSOF(requests)].channel,
                                               requests[i % ELEMENTSOF(requests)].data,
                                               requests[i % ELEMENTSOF(requests)].len, USEC_PER_SEC,
                                               on_answer, h, NULL) >= 0;
}

static void flood(Hostile *h) {
        static const uint8_t probe[9] = { FRAME_PROBE };
        Link *link = link_find(network_mesh(h->network), &h->gateway);

        /* The gateway may cost us what it likes. */
        if (link && link->peer)
                link->peer->budget = (Budget){};
        if (!h->bare) {
                ask(h);
                return;
        }
        for (unsigned i = 0; link && link_is_up(link) && i < FRAMES; i++)
                h->frames += link_send_frame(link, probe, sizeof probe);
}

static void turn(Hostile *h, int timeout) {
        struct pollfd p = { .fd = h->fd, .events = POLLIN };
        uint8_t data[2048];

        (void) poll(&p, 1, timeout);
        for (;;) {
                struct sockaddr_storage ss;
                socklen_t ss_len = sizeof ss;
                ssize_t n =
                                recvfrom(h->fd, data, sizeof data, MSG_DONTWAIT,
                                         (struct sockaddr *) &ss, &ss_len);
                Endpoint from;

                if (n < 0)
                        break;
                if (endpoint_from_sockaddr((struct sockaddr *) &ss, ss_len, &from) >= 0)
                        (void) mesh_handle_datagram(network_mesh(h->network), data, (size_t) n, &from);
        }
        timer_queue_run(h->timers, get_now(h));
        destroy_retired(h);
}

static bool input_ended(void) {
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

static void run(Hostile *h) {
        while (!h->joined && !h->failed)
                turn(h, 10);
        if (h->failed)
                return;
        puts("joined");
        fflush(stdout);
        while (!input_ended()) {
                flood(h);
                turn(h, 0);
        }
        printf("%" G_GUINT64_FORMAT " requests, %" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT
               " answers\n",
               h->requests, h->frames, h->answers);
}

int main(int argc, char **argv) {
        Hostile h = {
                .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
                .timers = timer_queue_new(),
                .retired = g_array_new(false, false, sizeof(Retired)),
        };
        const MeshEnv env = {
                .userdata = &h,
                .timers = h.timers,
                .now = get_now,
                .realtime = get_realtime,
                .random = get_random,
                .send = send_datagram,
                .retire = retire,
        };
        IndexTable *indices = index_table_new();
        MemoryStore *store = memory_store_new();
        NetworkConfig config = {
                .env = &env,
                .indices = indices,
                .store = memory_store_mesh(store),
                .ciphers = CIPHER_CHACHA20_POLY1305,
                .mtu = OMERTA_MTU_DEFAULT,
                .software = "hostile",
                .handler = { .userdata = &h, .joined = on_member },
        };
        uint8_t seed[IDENTITY_SEED_SIZE];
        Identity *identity;
        Invite invite;

        get_random(NULL, seed, sizeof seed);
        get_random(NULL, config.boot_id, sizeof config.boot_id);
        if (aead_setup() < 0 || argc != 3 || h.fd < 0 || invite_parse(argv[1], &invite) < 0 ||
            identity_new(seed, &identity) < 0)
                return 2;
        h.gateway = invite.issuer;
        h.bare = strcmp(argv[2], "frames") == 0;
        config.identity = identity;
        if (network_join(&config, &invite, "hostile", "", 20 * USEC_PER_SEC, on_joined, &h,
                         &h.network) < 0)
                return 2;
        run(&h);
        network_free(h.network);
        destroy_retired(&h);
        memory_store_free(store);
        index_table_free(indices);
        identity_free(identity);
        g_array_unref(h.retired);
        timer_queue_free(h.timers);
        close(h.fd);
        return h.failed;
}
