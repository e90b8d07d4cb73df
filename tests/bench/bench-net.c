/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The measuring ends of tests/bench/run.
 *
 *   bench-net awake                              keeps every CPU from sleeping, until killed
 *   bench-net ping ADDRESS COUNT USEC            ICMP round trips, one each USEC
 *   bench-net recv ADDRESS PORT                  counts what one "send" sends
 *   bench-net send ADDRESS PORT SIZE RATE MSEC   SIZE bytes of UDP payload, RATE a second, for MSEC
 *
 * Results are one line of "name=value" words on standard output.
 *
 * ICMP, because the other end's kernel answers it at once: what is left is the path. Sleeping CPUs
 * make idle round trips bimodal: waking one takes longer than the trip. "awake" spins on each with
 * SCHED_IDLE, which any other thread pre-empts at once. The sender uses sendmmsg but no
 * segmentation offload: what is measured is the price of a packet.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32U
#define PAYLOAD_MAX 1400U
#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
/* Marks the end of a stream; sent a few times, because it may be lost as well. */
#define END_SEQUENCE UINT64_MAX
#define END_REPEATS 20U

typedef struct Header {
        uint64_t sequence;
        uint64_t sent; /* CLOCK_MONOTONIC, ns */
} Header;

static uint64_t now_nsec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * NSEC_PER_SEC + (uint64_t) t.tv_nsec;
}

static int fail(const char *what) {
        perror(what);
        return EXIT_FAILURE;
}

static int udp_socket(const char *address, const char *port, struct sockaddr_in *ret) {
        /* The measuring ends must not be what loses packets. */
        int fd, buffer = 8 << 20;

        *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t) atoi(port)) };
        if (inet_pton(AF_INET, address, &ret->sin_addr) != 1)
                return -1;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
        return fd;
}

static int run_awake(char **argv) {
        struct sched_param p = { 0 };
        long n = sysconf(_SC_NPROCESSORS_ONLN);

        for (long i = 1; i < n; i++)
                if (fork() == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        break;
                }
        if (sched_setscheduler(0, SCHED_IDLE, &p) < 0)
                return fail("SCHED_IDLE");
        for (;;)
                __asm__ volatile("" ::: "memory");
}

static int compare_u64(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

/* Waits for the answer with @sequence until @deadline. Return: true if it came. */
static bool ping_wait(int fd, uint16_t sequence, uint64_t deadline) {
        for (;;) {
                uint64_t now = now_nsec();
                struct pollfd p = { .fd = fd, .events = POLLIN };
                struct timespec t;
                struct icmphdr h;

                if (now >= deadline)
                        return false;
                t.tv_sec = (time_t) ((deadline - now) / NSEC_PER_SEC);
                t.tv_nsec = (long) ((deadline - now) % NSEC_PER_SEC);
                if (ppoll(&p, 1, &t, NULL) > 0 && recv(fd, &h, sizeof(h), 0) == (ssize_t) sizeof(h) &&
                    h.type == ICMP_ECHOREPLY && ntohs(h.un.echo.sequence) == sequence)
                        return true;
        }
}

static int run_ping(char **argv) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        size_t count = (size_t) atol(argv[1]), got = 0;
        uint64_t interval = (uint64_t) atol(argv[2]) * NSEC_PER_USEC, start;
        uint64_t *trips = calloc(count + 1, sizeof(*trips));
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

        if (!trips || fd < 0 || inet_pton(AF_INET, argv[0], &address.sin_addr) != 1 ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return fail("ping");
        start = now_nsec();
        for (size_t i = 0; i < count; i++) {
                uint64_t due = start + i * interval, sent;
                struct icmphdr h = { .type = ICMP_ECHO };
                struct timespec t = { (time_t) (due / NSEC_PER_SEC), (long) (due % NSEC_PER_SEC) };

                h.un.echo.sequence = htons((uint16_t) i);
                (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
                sent = now_nsec();
                if (send(fd, &h, sizeof(h), 0) < 0)
                        continue;
                if (ping_wait(fd, (uint16_t) i, sent + NSEC_PER_SEC))
                        trips[got++] = now_nsec() - sent;
        }
        qsort(trips, got, sizeof(*trips), compare_u64);
        printf("sent=%zu received=%zu p50_us=%.1f p99_us=%.1f max_us=%.1f\n", count, got,
               got ? (double) trips[got / 2] / 1e3 : 0,
               got ? (double) trips[got * 99 / 100] / 1e3 : 0,
               got ? (double) trips[got - 1] / 1e3 : 0);
        free(trips);
        return EXIT_SUCCESS;
}

static int run_recv(char **argv) {
        static uint8_t data[BATCH][PAYLOAD_MAX];
        struct mmsghdr m[BATCH] = { 0 };
        struct iovec iov[BATCH];
        struct sockaddr_in address;
        struct timeval patience = { .tv_sec = 5 };
        uint64_t received = 0, first = 0, last = 0;
        int fd = udp_socket(argv[0], argv[1], &address);

        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return fail("recv");
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        for (size_t i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
                m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
        }
        puts("ready");
        fflush(stdout);
        for (bool end = false; !end;) {
                int n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
                uint64_t now = now_nsec();

                if (n < 0)
                        break;
                for (int i = 0; i < n; i++) {
                        Header h;

                        memcpy(&h, data[i], sizeof(h));
                        if (h.sequence == END_SEQUENCE) {
                                end = true;
                                continue;
                        }
                        received++;
                        first = first ?: now;
                        last = now;
                }
        }
        printf("received=%llu nsec=%llu\n", (unsigned long long) received,
               (unsigned long long) (last - first));
        return EXIT_SUCCESS;
}

static void send_end(int fd, const uint8_t *data, size_t size) {
        struct timespec pause = { .tv_nsec = 20 * (long) NSEC_PER_MSEC };
        uint8_t last[PAYLOAD_MAX];
        Header h = { .sequence = END_SEQUENCE };

        memcpy(last, data, size);
        memcpy(last, &h, sizeof(h));
        for (size_t i = 0; i < END_REPEATS; i++) {
                (void) nanosleep(&pause, NULL);
                /* Refused: the receiver has had it and is gone. */
                if (send(fd, last, size, 0) < 0 && errno == ECONNREFUSED)
                        break;
        }
}

static int run_send(char **argv) {
        static uint8_t data[BATCH][PAYLOAD_MAX];
        struct mmsghdr m[BATCH] = { 0 };
        struct iovec iov[BATCH];
        struct sockaddr_in address;
        size_t size = (size_t) atol(argv[2]);
        double rate = atof(argv[3]);
        uint64_t end, start, sent = 0, now;
        int fd = udp_socket(argv[0], argv[1], &address);

        if (fd < 0 || size < sizeof(Header) || size > PAYLOAD_MAX ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return fail("send");
        for (size_t i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){ data[i], size };
                m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
        }
        start = now_nsec();
        end = start + (uint64_t) atol(argv[4]) * NSEC_PER_MSEC;
        while ((now = now_nsec()) < end) {
                uint64_t due = (uint64_t) ((double) (now - start) * rate / (double) NSEC_PER_SEC);
                unsigned n = due > sent + BATCH ? BATCH : (unsigned) (due - sent);
                int r;

                if (n == 0) {
                        /* Not a busy wait: on two CPUs it would take one from the daemons. */
                        struct timespec t = { .tv_nsec = 20 * (long) NSEC_PER_USEC };

                        (void) nanosleep(&t, NULL);
                        continue;
                }
                for (unsigned i = 0; i < n; i++) {
                        Header h = { .sequence = sent + i, .sent = now };

                        memcpy(data[i], &h, sizeof(h));
                }
                r = sendmmsg(fd, m, n, 0);
                if (r > 0)
                        sent += (uint64_t) r;
                else if (r < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
                        return fail("sendmmsg");
        }
        printf("sent=%llu nsec=%llu\n", (unsigned long long) sent,
               (unsigned long long) (now - start));
        send_end(fd, data[0], size);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                int arguments;
                int (*run)(char **argv);
        } verbs[] = {
                { "awake", 0, run_awake },
                { "ping", 3, run_ping },
                { "recv", 2, run_recv },
                { "send", 5, run_send },
        };

        for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
                if (argc == verbs[i].arguments + 2 && strcmp(argv[1], verbs[i].name) == 0)
                        return verbs[i].run(argv + 2);
        fprintf(stderr, "usage: see the head of bench-net.c\n");
        return EXIT_FAILURE;
}
