/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Key files: 32 secret bytes each, 0600, in the state directory: machine.key, and root-ID.key for
 * each network made here, which may be moved away to be kept offline. They are written beside,
 * synced and renamed, so that there is never half a key.
 *
 * The keys of networks that were joined are rows of the database, so that a key and what was
 * promised to it come and go together.
 */

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "store/store-internal.h"

#define MACHINE_KEY "machine.key"

int store_read_key(
                const char *dir,
                int dir_fd,
                const char *name,
                bool is_private,
                uint8_t ret[static IDENTITY_SEED_SIZE],
                char **ret_error) {
        uint8_t buf[IDENTITY_SEED_SIZE + 1];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        r = store_check_file(dir, name, &st, ret_error);
        if (r < 0)
                return r;
        if (is_private && (st.st_mode & 0077) != 0)
                return -EPERM;
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = read(fd, buf, sizeof buf);
        if (n == IDENTITY_SEED_SIZE)
                memcpy(ret, buf, IDENTITY_SEED_SIZE);
        sodium_memzero(buf, sizeof buf);
        if (n < 0)
                return -errno;
        return n == IDENTITY_SEED_SIZE ? 0 : -EUCLEAN;
}

int store_write_key(int dir_fd, const char *name, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        g_autofree char *temporary = g_strconcat(".", name, ".new", NULL);
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        (void) unlinkat(dir_fd, temporary, 0); /* of an attempt that ended half way */
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, seed, IDENTITY_SEED_SIZE) != IDENTITY_SEED_SIZE)
                r = errno != 0 ? -errno : -EIO;
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r >= 0 && fsync(dir_fd) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

/* From systemd, LoadCredential=machine.key:... (systemd.exec(5)). Return: as store_read_key(). */
static int read_credential(const char *dir, uint8_t ret[static IDENTITY_SEED_SIZE], char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = store_check_directory(dir, &st, ret_error);
        if (r < 0)
                return r;
        /* systemd guards it by the directory and by access lists: the mode of the file says
         * nothing about who reads it. */
        return store_read_key(dir, fd, MACHINE_KEY, false, ret, ret_error);
}

static char *explain(const char *path, int r) {
        switch (r) {
        case -EPERM:
                return g_strdup_printf(
                                "others may read %s: 'chmod 600' it; if somebody has, remove it and "
                                "join again, this machine is then a new one",
                                path);
        case -EUCLEAN:
                return g_strdup_printf(
                                "%s is damaged: it must hold exactly %u bytes; put a copy of it back",
                                path, IDENTITY_SEED_SIZE);
        case -ENOKEY:
                return g_strdup_printf(
                                "%s is missing, but there are networks that were joined with it: put "
                                "a copy of it back, or move the whole directory away to begin anew",
                                path);
        default:
                return g_strdup_printf("cannot use %s: %s", path, g_strerror(-r));
        }
}

/* A new key would make this machine a stranger in its own networks. */
static int make_key(Store *s, uint8_t ret[static IDENTITY_SEED_SIZE]) {
        sqlite3_stmt *st = store_statement(s, STATEMENT_COUNT_NETWORKS);
        int r = store_step(s, st);
        bool is_lost;

        if (r < 0)
                return r;
        is_lost = r > 0 && sqlite3_column_int(st, 0) > 0;
        sqlite3_reset(st);
        if (is_lost)
                return -ENOKEY;
        randombytes_buf(ret, IDENTITY_SEED_SIZE);
        return store_write_key(s->dir_fd, MACHINE_KEY, ret);
}

int store_load_identity(Store *s, Identity **ret, char **ret_error) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        g_autofree char *path = NULL, *error = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE];
        const char *dir = credentials;
        int r = -ENOENT;

        if (credentials)
                r = read_credential(credentials, seed, &error);
        if (r == -ENOENT) {
                dir = s->dir;
                r = store_read_key(s->dir, s->dir_fd, MACHINE_KEY, true, seed, &error);
                if (r == -ENOENT)
                        r = make_key(s, seed);
        }
        if (r >= 0)
                r = identity_new(seed, ret);
        sodium_memzero(seed, sizeof seed);
        path = g_build_filename(dir, MACHINE_KEY, NULL);
        if (r < 0 && ret_error)
                *ret_error = error ? TAKE_PTR(error) : explain(path, r);
        return r;
}

/* --- one for each network that was joined --- */

static sqlite3_stmt *of_network(Store *s, Statement which, const NetworkId *network) {
        sqlite3_stmt *st = store_statement(s, which);

        if (st)
                sqlite3_bind_blob(st, 1, network->bytes, sizeof network->bytes, SQLITE_STATIC);
        return st;
}

int store_load_membership_key(Store *s, const NetworkId *network, Identity **ret) {
        sqlite3_stmt *st = of_network(s, STATEMENT_GET_MEMBERSHIP_KEY, network);
        uint8_t seed[IDENTITY_SEED_SIZE];
        bool is_whole;
        int r;

        r = store_step(s, st);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        is_whole = store_column_bytes(st, 0, seed, sizeof seed);
        sqlite3_reset(st);
        r = is_whole ? identity_new(seed, ret) : -EUCLEAN;
        sodium_memzero(seed, sizeof seed);
        return r;
}

static int
put_membership_key(Store *s, const NetworkId *network, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        sqlite3_stmt *st = of_network(s, STATEMENT_PUT_MEMBERSHIP_KEY, network);
        int r;

        if (st) {
                sqlite3_bind_blob(st, 2, seed, IDENTITY_SEED_SIZE, SQLITE_STATIC);
                sqlite3_bind_int64(st, 3, (sqlite3_int64) now_usec(CLOCK_REALTIME));
        }
        r = store_run(s, st);
        if (r < 0)
                return r;
        st = store_statement(s, STATEMENT_TRIM_MEMBERSHIP_KEYS);
        if (st)
                sqlite3_bind_int(st, 1, (int) JOIN_KEYS_MAX);
        return store_run(s, st);
}

int store_make_membership_key(Store *s, const NetworkId *network, Identity **ret) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        int r;

        r = store_load_membership_key(s, network, ret);
        if (r != -ENOENT)
                return r;
        randombytes_buf(seed, sizeof seed);
        r = put_membership_key(s, network, seed);
        if (r >= 0)
                r = identity_new(seed, ret);
        sodium_memzero(seed, sizeof seed);
        return r;
}

int store_delete_membership_key(Store *s, const NetworkId *network) {
        int r = store_run(s, of_network(s, STATEMENT_DELETE_MEMBERSHIP_KEY, network));

        if (r >= 0)
                store_wipe_log(s);
        return r;
}

/* --- roots --- */

bool store_is_key(const char *name) {
        g_autofree char *id = NULL;
        MachineId network;

        if (strcmp(name, MACHINE_KEY) == 0)
                return true;
        if (!g_str_has_prefix(name, "root-") || !g_str_has_suffix(name, ".key"))
                return false;
        id = g_strndup(name + strlen("root-"), strlen(name) - strlen("root-.key"));
        return machine_id_parse(id, &network) >= 0;
}

static char *root_name(const NetworkId *network) {
        return g_strdup_printf("root-%s.key", machine_id_format(network).text);
}

int store_save_root(Store *s, const NetworkId *network, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        g_autofree char *name = root_name(network);

        return store_write_key(s->dir_fd, name, seed);
}

int store_load_root(Store *s, const NetworkId *network, Identity **ret, char **ret_error) {
        _cleanup_(identity_freep) Identity *root = NULL;
        g_autofree char *name = root_name(network), *error = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE];
        int r = store_read_key(s->dir, s->dir_fd, name, true, seed, &error);

        if (r >= 0)
                r = identity_new(seed, &root);
        sodium_memzero(seed, sizeof seed);
        if (r >= 0 && !machine_id_equal(&root->id, network))
                r = store_fail(&error, -EUCLEAN,
                               "%s/%s is the key of another network: put a copy of "
                               "the right one there",
                               s->dir, name);
        if (r >= 0)
                *ret = TAKE_PTR(root);
        else if (ret_error)
                *ret_error = error ? TAKE_PTR(error)
                                   : g_strdup_printf("cannot use %s/%s: %s", s->dir, name,
                                                     r == -EPERM ? "others may read it: 'chmod 600' it"
                                                     : r == -EUCLEAN ? "it is damaged: it must hold "
                                                                       "exactly 32 bytes"
                                                                     : g_strerror(-r));
        return r;
}

int store_forget_root(Store *s, const NetworkId *network) {
        g_autofree char *name = root_name(network);

        if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}
