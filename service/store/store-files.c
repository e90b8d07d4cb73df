/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whose the files are. What somebody else owns they can read and change whenever they like,
 * whatever its mode says now, so it is refused, and so is a link to elsewhere. The directory is
 * looked at first: where it is ours and nobody else may write to it, nothing in it can be exchanged
 * behind our back.
 */

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store-internal.h"

/* Root may do anything here anyway. */
static bool is_ours(const struct stat *st) {
        return st->st_uid == geteuid() || st->st_uid == 0;
}

static char *user_name(uid_t uid) {
        const struct passwd *p = getpwuid(uid);

        return p ? g_strdup(p->pw_name) : g_strdup_printf("number %u", (unsigned) uid);
}

static int foreign(const char *what, const char *path, uid_t uid, char **ret_error) {
        g_autofree char *owner = user_name(uid), *self = user_name(geteuid());

        return store_fail(
                        ret_error, -EPERM,
                        "%s %s belongs to the user %s: start omertad as that user, choose another "
                        "directory with --state-dir, or, if nobody has changed it, 'chown %s' it",
                        what, path, owner, self);
}

int store_check_directory(const char *path, const struct stat *st, char **ret_error) {
        if (!S_ISDIR(st->st_mode))
                return store_fail(ret_error, -ENOTDIR, "%s is no directory", path);
        if (!is_ours(st))
                return foreign("the directory", path, st->st_uid, ret_error);
        if (st->st_mode & 0022)
                return store_fail(
                                ret_error, -EPERM,
                                "others may write to the directory %s: 'chmod 700 %s', and look "
                                "who changed what",
                                path, path);
        return 0;
}

int store_check_file(const char *dir, const char *name, const struct stat *st, char **ret_error) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (!S_ISREG(st->st_mode))
                return store_fail(
                                ret_error, -EUCLEAN,
                                "%s is no file, but %s: put a copy of the file there instead", path,
                                S_ISLNK(st->st_mode)   ? "a link to elsewhere"
                                : S_ISDIR(st->st_mode) ? "a directory"
                                                       : "something special");
        if (!is_ours(st))
                return foreign("the file", path, st->st_uid, ret_error);
        if (st->st_mode & 0022)
                return store_fail(
                                ret_error, -EPERM,
                                "others may write to %s: put a copy of it back that nobody has "
                                "changed, and 'chmod 600' it",
                                path);
        return 0;
}

/* What this daemon, or one before it, has put there. */
bool store_is_state(const char *name) {
        return strcmp(name, "lock") == 0 || g_str_has_prefix(name, "omerta.db") ||
               g_str_has_suffix(name, ".key");
}

/* For readdir(); @dir_fd stays where it is. NULL: errno. */
static DIR *open_again(int dir_fd) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

        if (!d && fd >= 0)
                close(fd);
        return d;
}

GPtrArray *store_find_files(int dir_fd, bool (*is_one)(const char *name)) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        DIR *d = open_again(dir_fd);
        const struct dirent *e;

        while (d && (e = readdir(d)))
                if (is_one(e->d_name))
                        g_ptr_array_add(names, g_strdup(e->d_name));
        if (d)
                closedir(d);
        return names;
}

int store_check_files(const char *dir, int dir_fd, char **ret_error) {
        DIR *d = open_again(dir_fd);
        const struct dirent *e;
        struct stat st;
        int r = 0;

        if (!d) {
                r = -errno;
                return store_fail(
                                ret_error, r, "cannot read the directory %s: %s", dir,
                                g_strerror(-r));
        }
        while (r >= 0 && (e = readdir(d)))
                if (store_is_state(e->d_name) &&
                    fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        r = store_check_file(dir, e->d_name, &st, ret_error);
        closedir(d);
        return r;
}
