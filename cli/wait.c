/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/wait.h"

static void end_signals(sigset_t *ret) {
        sigemptyset(ret);
        sigaddset(ret, SIGINT);
        sigaddset(ret, SIGTERM);
}

int cli_wait_init(CliWait *w) {
        sigset_t signals;

        end_signals(&signals);
        w->signal_fd = -EBADF;
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        w->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        return w->signal_fd < 0 ? -errno : 0;
}

void cli_wait_done(CliWait *w) {
        struct signalfd_siginfo taken;
        sigset_t signals;

        /* It was obeyed; unblocked it would end us a second time. */
        while (w->signal_fd >= 0 && read(w->signal_fd, &taken, sizeof taken) > 0)
                ;
        closep(&w->signal_fd);
        end_signals(&signals);
        (void) sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* When the next of @until and the bus' own time-outs is due, from now. */
static struct timespec time_left(sd_bus *bus, usec_t until) {
        usec_t left, bus_until = USEC_INFINITY;

        if (sd_bus_get_timeout(bus, &bus_until) < 0)
                bus_until = USEC_INFINITY;
        left = usec_sub(MIN(until, bus_until), now_usec(CLOCK_MONOTONIC));
        left = MIN(left, USEC_PER_DAY);
        return (struct timespec){ .tv_sec = (time_t) (left / USEC_PER_SEC),
                                  .tv_nsec = (long) (left % USEC_PER_SEC * NSEC_PER_USEC) };
}

int cli_wait(CliWait *w, sd_bus *bus, usec_t until, const bool *done) {
        for (;;) {
                struct pollfd p[] = { { .fd = w->signal_fd, .events = POLLIN }, { .fd = -1 } };
                struct timespec left;
                int r;

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (done && *done)
                        return 1;
                if (r > 0)
                        continue;
                if (now_usec(CLOCK_MONOTONIC) >= until)
                        return 0;
                p[1].fd = sd_bus_get_fd(bus);
                r = sd_bus_get_events(bus);
                if (p[1].fd < 0 || r < 0)
                        return p[1].fd < 0 ? p[1].fd : r;
                p[1].events = (short) r;
                left = time_left(bus, until);
                if (ppoll(p, ELEMENTSOF(p), &left, NULL) < 0 && errno != EINTR)
                        return -errno;
                if (p[0].revents)
                        return -EINTR;
        }
}
