/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A cable between two network namespaces that takes its time, where the kernel has no netem.
 *
 *   delay-box [--delay-ms N] [--rate-mbit N] [--loss-permille N] [--queue-mib N]
 *             NAMESPACE NAMESPACE INTERFACE
 *
 * Makes a tap INTERFACE in both namespaces ("ip netns" names), prints "ready", and carries frames
 * from each to the other, in order, N ms later, until SIGTERM. Then it prints one line of
 * "name=value" words: frames and bytes carried, those lost on purpose, and those there was no room
 * for. With a rate frames also wait for those before them, as on a line of so many Mbit/s: without
 * one a flight of megabytes arrives in an instant, as it does nowhere.
 *
 * A frame may be a super-packet of up to 64 KiB, as on a veth: two system calls carry it. With
 * losses on purpose frames are single packets, so that one is lost and not fifty.
 *
 * Each direction has a ring of bytes, in which a frame stands behind its record. 64 MiB hold what
 * 20 Gbit/s are in 25 ms; pages that were never used cost nothing.
 */

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Linux 6.2; the headers of Debian 12 are older. */
#ifndef TUN_F_USO4
#        define TUN_F_USO4 0x20
#        define TUN_F_USO6 0x40
#endif

#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define FRAME_MAX (sizeof(struct virtio_net_hdr) + 14 + 65535)
#define QUEUE_MIB_DEFAULT 64U
/* Frames of one direction before the other has its turn. */
#define BURST 64U

typedef struct Record {
        uint64_t due;
        uint32_t len, skip; /* skip: to the beginning, nothing fits behind this */
} Record;

typedef struct Direction {
        int from, to;
        uint8_t *ring;
        size_t size, head, tail, used; /* head: the oldest */
        uint64_t idle;                 /* ns, when the line has carried all it took in */
        uint64_t frames, bytes, lost, overflown;
} Direction;

typedef struct Box {
        Direction direction[2];
        uint64_t delay; /* ns */
        unsigned rate;  /* Mbit/s; 0: any */
        unsigned loss;
        size_t queue;
} Box;

static volatile sig_atomic_t stopping;

static void on_signal(int number) {
        stopping = 1;
}

static void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static uint64_t now_nsec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * NSEC_PER_SEC + (uint64_t) t.tv_nsec;
}

/* --- ring --- */

static size_t record_size(size_t len) {
        return (sizeof(Record) + len + sizeof(Record) - 1) / sizeof(Record) * sizeof(Record);
}

/* Where a frame of any length fits, behind room for its record; NULL: nowhere. */
static uint8_t *ring_reserve(Direction *d) {
        size_t need = record_size(FRAME_MAX) + sizeof(Record);

        if (d->size - d->used < need)
                return NULL;
        if (d->tail >= d->head && d->size - d->tail < need) {
                Record skip = { .skip = 1 };

                if (d->head < need)
                        return NULL;
                memcpy(d->ring + d->tail, &skip, sizeof(skip));
                d->used += d->size - d->tail;
                d->tail = 0;
        }
        return d->ring + d->tail + sizeof(Record);
}

static void ring_push(Direction *d, uint64_t due, size_t len) {
        Record r = { .due = due, .len = (uint32_t) len };

        memcpy(d->ring + d->tail, &r, sizeof(r));
        d->tail += record_size(len);
        d->used += record_size(len);
}

/* Return: the oldest frame, if there is one. */
static bool ring_peek(Direction *d, Record *ret, uint8_t **ret_frame) {
        do {
                if (d->used == 0)
                        return false;
                memcpy(ret, d->ring + d->head, sizeof(*ret));
                if (ret->skip) {
                        d->used -= d->size - d->head;
                        d->head = 0;
                }
        } while (ret->skip);
        *ret_frame = d->ring + d->head + sizeof(*ret);
        return true;
}

static void ring_pop(Direction *d, const Record *r) {
        d->head += record_size(r->len);
        d->used -= record_size(r->len);
}

/* --- frames --- */

/* When a frame that is taken in now comes out. */
static uint64_t due(const Box *b, Direction *d, size_t len) {
        uint64_t now = now_nsec();

        if (b->rate == 0)
                return now + b->delay;
        /* bits / (Mbit/s) are us */
        d->idle = (d->idle > now ? d->idle : now) + len * 8 * 1000 / b->rate;
        return d->idle + b->delay;
}

static void take_in(Box *b, Direction *d) {
        static uint8_t scrap[FRAME_MAX];

        for (unsigned i = 0; i < BURST; i++) {
                uint8_t *room = ring_reserve(d);
                ssize_t n = read(d->from, room ? room : scrap, FRAME_MAX);

                if (n <= 0)
                        return;
                if (!room)
                        d->overflown++;
                else if (b->loss > 0 && (unsigned) (random() % 1000) < b->loss)
                        d->lost++;
                else
                        ring_push(d, due(b, d, (size_t) n), (size_t) n);
        }
}

/* Return: when the next frame is due; UINT64_MAX: there is none. */
static uint64_t give_out(Direction *d) {
        uint64_t now = now_nsec();
        uint8_t *frame;
        Record r;

        for (unsigned i = 0; ring_peek(d, &r, &frame); i++) {
                if (r.due > now)
                        return r.due;
                if (i == BURST)
                        return now;
                /* A frame the interface does not take is lost as on any cable. */
                (void) !write(d->to, frame, r.len);
                d->frames++;
                d->bytes += r.len;
                ring_pop(d, &r);
        }
        return UINT64_MAX;
}

static void run(Box *b, const sigset_t *unblocked) {
        struct pollfd p[2];

        for (unsigned i = 0; i < 2; i++)
                p[i] = (struct pollfd){ .fd = b->direction[i].from, .events = POLLIN };
        while (!stopping) {
                uint64_t wait = UINT64_MAX, now;
                struct timespec t;

                for (unsigned i = 0; i < 2; i++) {
                        uint64_t next = give_out(&b->direction[i]);

                        wait = next < wait ? next : wait;
                }
                now = now_nsec();
                wait = wait > now ? wait - now : 0;
                t.tv_sec = (time_t) (wait / NSEC_PER_SEC);
                t.tv_nsec = (long) (wait % NSEC_PER_SEC);
                if (ppoll(p, 2, wait > NSEC_PER_SEC * 3600 ? NULL : &t, unblocked) <= 0)
                        continue;
                for (unsigned i = 0; i < 2; i++)
                        if (p[i].revents)
                                take_in(b, &b->direction[i]);
        }
}

/* --- beginning and end --- */

static int open_tap(const char *ns, const char *name, bool offload) {
        char path[256];
        struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
        const unsigned basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
        int ns_fd, fd;

        (void) snprintf(path, sizeof(path), "/run/netns/%s", ns);
        ns_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (ns_fd < 0 || setns(ns_fd, CLONE_NEWNET) < 0)
                die(path);
        close(ns_fd);
        fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                die("/dev/net/tun");
        (void) snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        if (ioctl(fd, TUNSETIFF, &ifr) < 0)
                die(name);
        if (offload && ioctl(fd, TUNSETOFFLOAD, basic | TUN_F_USO4 | TUN_F_USO6) < 0 &&
            ioctl(fd, TUNSETOFFLOAD, basic) < 0)
                die("TUNSETOFFLOAD");
        return fd;
}

static void open_direction(Direction *d, int from, int to, size_t size) {
        *d = (Direction){ .from = from, .to = to, .size = size };
        d->ring = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (d->ring == MAP_FAILED)
                die("mmap");
}

static unsigned number(const char *text, unsigned max) {
        char *end;
        unsigned long v = strtoul(text, &end, 10);

        if (*text == '\0' || *end != '\0' || v > max) {
                fprintf(stderr, "delay-box: '%s' is no number up to %u\n", text, max);
                exit(EXIT_FAILURE);
        }
        return (unsigned) v;
}

static void parse_options(int argc, char **argv, Box *b) {
        static const struct option options[] = {
                { "delay-ms", required_argument, NULL, 'd' },
                { "rate-mbit", required_argument, NULL, 'r' },
                { "loss-permille", required_argument, NULL, 'l' },
                { "queue-mib", required_argument, NULL, 'q' },
                {},
        };
        int c;

        b->queue = QUEUE_MIB_DEFAULT;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'd':
                        b->delay = number(optarg, 60000) * NSEC_PER_MSEC;
                        break;
                case 'r':
                        b->rate = number(optarg, 1000000);
                        break;
                case 'l':
                        b->loss = number(optarg, 1000);
                        break;
                case 'q':
                        b->queue = number(optarg, 4096);
                        break;
                default:
                        exit(EXIT_FAILURE);
                }
        /* Below one MiB no frame would fit. */
        b->queue = (b->queue > 0 ? b->queue : 1) << 20;
        if (argc - optind != 3) {
                fprintf(stderr, "usage: see the head of delay-box.c\n");
                exit(EXIT_FAILURE);
        }
}

int main(int argc, char **argv) {
        struct sigaction stop = { .sa_handler = on_signal };
        sigset_t blocked, unblocked;
        Box b = {};
        int fd[2];

        parse_options(argc, argv, &b);
        for (unsigned i = 0; i < 2; i++)
                fd[i] = open_tap(argv[optind + (int) i], argv[optind + 2], b.loss == 0);
        for (unsigned i = 0; i < 2; i++)
                open_direction(&b.direction[i], fd[i], fd[!i], b.queue);
        /* Only while it waits: no signal comes between the look and the wait. */
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGINT);
        sigprocmask(SIG_BLOCK, &blocked, &unblocked);
        sigaction(SIGTERM, &stop, NULL);
        sigaction(SIGINT, &stop, NULL);
        /* 50 us late is what a process gets by default. */
        (void) prctl(PR_SET_TIMERSLACK, 1);
        puts("ready");
        fflush(stdout);
        run(&b, &unblocked);
        for (unsigned i = 0; i < 2; i++) {
                const Direction *d = &b.direction[i];

                printf("%sframes%u=%" PRIu64 " bytes%u=%" PRIu64 " lost%u=%" PRIu64
                       " overflown%u=%" PRIu64,
                       i > 0 ? " " : "", i, d->frames, i, d->bytes, i, d->lost, i, d->overflown);
        }
        puts("");
        return EXIT_SUCCESS;
}
