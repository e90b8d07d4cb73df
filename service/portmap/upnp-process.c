/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/upnp-process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/macros.h"
#include "config.h"

#define HELPER "omerta-upnp-helper"
/* Of a removal, when we end: a few requests in the LAN, by a program that has to be loaded first. */
#define END_MSEC 3000

struct UpnpProcess {
        sd_event *event;
        usec_t life;
        void (*answered)(void *userdata, const UpnpAnswer *answer);
        void *userdata;
        pid_t pid; /* 0: none */
        int fd;    /* what it says */
        bool is_removal;
        sd_event_source *source, *timer;
        char line[UPNP_LINE_MAX];
        size_t len;
};

UpnpProcess *upnp_process_new(
                sd_event *event,
                usec_t life,
                void (*answered)(void *userdata, const UpnpAnswer *answer),
                void *userdata) {
        UpnpProcess *p = NEW(UpnpProcess);

        p->event = event;
        p->life = life;
        p->answered = answered;
        p->userdata = userdata;
        p->fd = -EBADF;
        return p;
}

static void end(UpnpProcess *p) {
        p->source = sd_event_source_disable_unref(p->source);
        p->timer = sd_event_source_disable_unref(p->timer);
        closep(&p->fd);
        p->fd = -EBADF;
        p->len = 0;
        if (p->pid > 0) {
                /* Not yet waited for, so the number is still its; with this the wait is none. */
                (void) kill(p->pid, SIGKILL);
                while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        p->pid = 0;
}

UpnpProcess *upnp_process_free(UpnpProcess *p) {
        if (!p)
                return NULL;
        if (p->pid > 0 && p->is_removal) {
                struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

                (void) poll(&pfd, 1, END_MSEC);
        }
        end(p);
        g_free(p);
        return NULL;
}

static void answer(UpnpProcess *p, bool is_whole) {
        UpnpAnswer a;
        bool is_good = is_whole && upnp_answer_parse(p->line, p->len, &a) >= 0,
             is_wanted = !p->is_removal;

        end(p);
        if (is_wanted)
                p->answered(p->userdata, is_good ? &a : NULL);
}

static int on_said(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        UpnpProcess *p = userdata;
        ssize_t n = read(fd, p->line + p->len, sizeof p->line - p->len);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0) {
                p->len += (size_t) n;
                if (p->len < sizeof p->line)
                        return 0;
        }
        answer(p, n == 0);
        return 0;
}

static int on_too_long(sd_event_source *source, uint64_t usec, void *userdata) {
        answer(userdata, false);
        return 0;
}

static int spawn(const UpnpRequest *q, int out, pid_t *ret) {
        const char *path = secure_getenv("OMERTA_UPNP_HELPER") ?: OMERTA_LIBEXECDIR "/" HELPER;
        g_autofree UpnpArguments *arguments = NEW(UpnpArguments);
        char *argv[UPNP_ARGUMENTS + 2] = { (char *) path };
        char *const envp[] = { NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, all;
        int r;

        upnp_request_to_arguments(q, arguments);
        memcpy(argv + 1, arguments->argv, sizeof arguments->argv);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        /* What a library says of a stranger's mistakes is nobody's journal entry. */
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        /* The event loop blocks signals; the helper must not inherit that. */
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        r = -posix_spawn(ret, path, &actions, &attr, argv, envp);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attr);
        return r;
}

int upnp_process_start(UpnpProcess *p, const UpnpRequest *q) {
        int pair[2], r;

        end(p);
        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        p->fd = pair[0];
        p->is_removal = q->operation == UPNP_REMOVE;
        r = fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : spawn(q, pair[1], &p->pid);
        close(pair[1]);
        if (r >= 0)
                r = sd_event_add_io(p->event, &p->source, p->fd, EPOLLIN, on_said, p);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                p->event, &p->timer, CLOCK_MONOTONIC, p->life, USEC_PER_MSEC,
                                on_too_long, p);
        /* The loop has ended, and omertad is about to: upnp_process_free() waits for it. */
        if (r == -ESTALE && p->is_removal)
                return 0;
        if (r < 0) {
                (void) log_debug_errno(r, "cannot start " HELPER ": %m");
                end(p);
        }
        return r;
}

void upnp_process_cancel(UpnpProcess *p) {
        if (!p->is_removal)
                end(p);
}
