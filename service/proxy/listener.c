/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/macros.h"
#include "base/time.h"
#include "proxy/listener.h"

/* Of one wake-up, before others have their turn. */
#define ACCEPTS_MAX 64U
/* With no descriptor at all, not even the reserve: until one may have become free. */
#define PAUSE_USEC (100 * USEC_PER_MSEC)

struct Listener {
        sd_event *event;
        int fd, reserve_fd;
        bool local; /* AF_UNIX: the kernel knows who calls */
        sd_event_source *source, *pause;
        ListenerAccepted accepted;
        void *userdata;
        ListenerStats stats;
        Listener **freed; /* where accept loop looks whether we are still there */
};

static int listener_on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Listener *l = userdata;

        if (l->reserve_fd < 0)
                l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return sd_event_source_set_enabled(l->source, SD_EVENT_ON);
}

static void listener_pause(Listener *l) {
        (void) sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(l->pause, PAUSE_USEC);
        (void) sd_event_source_set_enabled(l->pause, SD_EVENT_ONESHOT);
}

/* Return: false: wait. */
static bool listener_turn_away(Listener *l) {
        int fd;

        if (l->reserve_fd < 0)
                return false;
        close(l->reserve_fd);
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
                close(fd);
                l->stats.turned_away++;
        }
        l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return fd >= 0;
}

static bool listener_may(const Listener *l, int fd) {
        struct ucred peer;
        socklen_t len = sizeof peer;

        if (!l->local)
                return true;
        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) >= 0 &&
               (peer.uid == 0 || peer.uid == geteuid());
}

static int listener_on_io(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata) {
        Listener *l = userdata, *here = l;

        l->freed = &here;
        for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
                int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
                        if (listener_turn_away(l))
                                continue;
                        listener_pause(l);
                        break;
                }
                if (fd < 0 && (errno == ENOBUFS || errno == ENOMEM)) {
                        listener_pause(l);
                        break;
                }
                /* accept(2) also reports what went wrong on the new connection. */
                if (fd < 0 && errno != EAGAIN)
                        continue;
                if (fd < 0)
                        break;
                if (!listener_may(l, fd)) {
                        l->stats.strangers++;
                        close(fd);
                        continue;
                }
                if (fd_admit(fd) < 0) {
                        l->stats.turned_away++;
                        continue;
                }
                l->stats.accepted++;
                l->accepted(l->userdata, fd);
                if (!here)
                        return 0;
        }
        l->freed = NULL;
        return 0;
}

int listener_new(sd_event *event, int fd, ListenerAccepted accepted, void *userdata, Listener **ret) {
        Listener *l = NEW(Listener);
        int r, flags;

        *l = (Listener){
                .event = sd_event_ref(event),
                .fd = fd,
                .reserve_fd = -EBADF,
                .accepted = accepted,
                .userdata = userdata,
        };
        r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);
        if (r == 0)
                r = -EINVAL;
        if (r < 0)
                goto fail;
        l->local = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, -1) > 0;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
                r = -errno;
                goto fail;
        }
        l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (l->reserve_fd < 0) {
                r = -errno;
                goto fail;
        }
        r = sd_event_add_time_relative(
                        event, &l->pause, CLOCK_MONOTONIC, 0, 0, listener_on_pause_over, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->pause, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(event, &l->source, fd, EPOLLIN, listener_on_io, l);
        if (r < 0)
                goto fail;
        *ret = l;
        return 0;
fail:
        listener_free(l);
        return r;
}

Listener *listener_free(Listener *l) {
        if (!l)
                return NULL;
        if (l->freed)
                *l->freed = NULL;
        sd_event_source_disable_unref(l->source);
        sd_event_source_disable_unref(l->pause);
        close(l->fd);
        if (l->reserve_fd >= 0)
                close(l->reserve_fd);
        sd_event_unref(l->event);
        g_free(l);
        return NULL;
}

const ListenerStats *listener_stats(const Listener *l) {
        return &l->stats;
}

int listener_open(const Endpoint *local) {
        _cleanup_close_ int fd = -EBADF;
        int one = 1;

        fd = socket(local->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* Connections of a former life in TIME_WAIT do not keep us from the port. */
        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (local->sa.sa_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0)
                return -errno;
        if (bind(fd, &local->sa, endpoint_len(local)) < 0 || listen(fd, LISTENER_BACKLOG) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* What a listener of a former life left behind refuses connections. */
static bool is_stale(const struct sockaddr_un *sa) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return false;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return fd >= 0 && connect(fd, (const struct sockaddr *) sa, sizeof *sa) < 0 &&
               errno == ECONNREFUSED;
}

int listener_open_unix(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (path[0] != '/' || strlen(path) >= sizeof sa.sun_path)
                return -EINVAL;
        strcpy(sa.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* The mode the file is made with: nobody can come between bind() and a chmod(). */
        if (fchmod(fd, 0600) < 0)
                return -errno;
        r = bind(fd, (const struct sockaddr *) &sa, sizeof sa) < 0 ? -errno : 0;
        if (r == -EADDRINUSE && is_stale(&sa) && unlink(path) >= 0)
                r = bind(fd, (const struct sockaddr *) &sa, sizeof sa) < 0 ? -errno : 0;
        if (r >= 0 && listen(fd, LISTENER_BACKLOG) < 0)
                r = -errno;
        return r < 0 ? r : TAKE_FD(fd);
}

Endpoint listener_local(int fd) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint e = {};

        if (getsockname(fd, (struct sockaddr *) &ss, &len) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &ss, len, &e) < 0)
                return (Endpoint){};
        return e;
}
