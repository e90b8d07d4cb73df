/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "store/store.h"

/* The files must be the daemon's: root makes them as the user whose directory it is. Where there is
 * none yet it is root's, and systemd gives it to the user of the unit (systemd.exec(5),
 * StateDirectory=). */
static int become_owner(const char *dir) {
        struct stat st;

        if (geteuid() != 0 || stat(dir, &st) < 0 || st.st_uid == 0)
                return 0;
        if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
            setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
                return -errno;
        return 0;
}

int restore_run(const char *file, const char *state_dir) {
        _cleanup_close_ int opened = -EBADF;
        g_autofree char *error = NULL;
        int fd = STDIN_FILENO, r;

        if (strcmp(file, "-") != 0) {
                fd = opened = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (fd < 0) {
                        r = -errno;
                        fprintf(stderr, "omertad: cannot open %s: %s\n", file, g_strerror(-r));
                        return r;
                }
        }
        r = become_owner(state_dir);
        if (r < 0) {
                fprintf(stderr, "omertad: cannot become the user who owns %s: %s\n", state_dir,
                        g_strerror(-r));
                return r;
        }
        r = store_restore(state_dir, fd, &error);
        if (r < 0) {
                fprintf(stderr, "omertad: %s is not restored: %s\n", file, error ?: g_strerror(-r));
                return r;
        }
        printf("%s is restored to %s.\n"
               "Start it on one machine only: the one the backup was made of must be off for good.\n",
               file, state_dir);
        return 0;
}
