/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys are files of 32 bytes, the seed of an Ed25519 key. They are written whole under another
 * name, synced, and renamed: there is never half a key. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "store/store-internal.h"

int store_check_file(Store *s, const char *name, size_t *ret_size, char **ret_error) {
        struct stat st;
        int r;

        if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno == ENOENT)
                        return 0;
                r = -errno;
                *ret_error = g_strdup_printf("cannot look at %s/%s: %s", s->dir, name, g_strerror(-r));
                return r;
        }
        if (!S_ISREG(st.st_mode)) {
                *ret_error = g_strdup_printf("%s/%s is not a regular file", s->dir, name);
                return -EACCES;
        }
        if (st.st_mode & 077) {
                *ret_error = g_strdup_printf(
                                "others can read %s/%s (mode %04o), which holds secrets: run 'chmod "
                                "600 %s/%s'; if somebody may have read it, revoke this machine and "
                                "join again with a new key",
                                s->dir, name, st.st_mode & 07777, s->dir, name);
                return -EACCES;
        }
        *ret_size = (size_t) st.st_size;
        return 1;
}

/* Return: 0, or negative errno; a file of another length is -EUCLEAN. */
static int read_key(int dir_fd, const char *name, uint8_t ret[static IDENTITY_SEED_SIZE]) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        uint8_t buf[IDENTITY_SEED_SIZE + 1];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buf, sizeof(buf));
        if (n < 0)
                return -errno;
        if (n == IDENTITY_SEED_SIZE)
                memcpy(ret, buf, IDENTITY_SEED_SIZE);
        sodium_memzero(buf, sizeof(buf));
        return n == IDENTITY_SEED_SIZE ? 0 : -EUCLEAN;
}

static int write_all(int fd, const uint8_t *data, size_t n) {
        while (n > 0) {
                ssize_t k = write(fd, data, n);

                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k > 0) {
                        data += k;
                        n -= (size_t) k;
                }
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int write_key(Store *s, const char *name, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        g_autofree char *temporary = g_strdup_printf("%s.new", name);
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* Left over from a power loss. */
        if (unlinkat(s->dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(s->dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, seed, IDENTITY_SEED_SIZE);
        if (r >= 0 && renameat(s->dir_fd, temporary, s->dir_fd, name) < 0)
                r = -errno;
        if (r >= 0 && fsync(s->dir_fd) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(s->dir_fd, temporary, 0);
        return r;
}

/* Given by the service manager (systemd's LoadCredential=). Return: 1 it was, 0 it was not. */
static int read_credential(uint8_t ret[static IDENTITY_SEED_SIZE], char **ret_error) {
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        g_autofree char *path = dir ? g_build_filename(dir, STORE_MACHINE_KEY, NULL) : NULL;
        int r;

        if (!path)
                return 0;
        r = read_key(AT_FDCWD, path, ret);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                *ret_error = g_strdup_printf(
                                "the credential %s cannot be used: %s", path,
                                r == -EUCLEAN ? "it is not 32 bytes long" : g_strerror(-r));
                return r;
        }
        return 1;
}

static int make_machine_key(Store *s, uint8_t ret[static IDENTITY_SEED_SIZE], char **ret_error) {
        int r;

        if (s->n_networks > 0) {
                *ret_error = g_strdup_printf(
                                "%s/%s is missing, though %s has networks that were joined with it: "
                                "restore the key from a backup, or move both away to start anew",
                                s->dir, STORE_MACHINE_KEY, STORE_DATABASE);
                return -EUCLEAN;
        }
        randombytes_buf(ret, IDENTITY_SEED_SIZE);
        r = write_key(s, STORE_MACHINE_KEY, ret);
        if (r < 0)
                *ret_error = g_strdup_printf(
                                "cannot write %s/%s: %s", s->dir, STORE_MACHINE_KEY, g_strerror(-r));
        return r;
}

static int read_machine_key(Store *s, uint8_t ret[static IDENTITY_SEED_SIZE], char **ret_error) {
        size_t size;
        int r;

        r = read_credential(ret, ret_error);
        if (r != 0)
                return r;
        r = store_check_file(s, STORE_MACHINE_KEY, &size, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return make_machine_key(s, ret, ret_error);
        r = read_key(s->dir_fd, STORE_MACHINE_KEY, ret);
        if (r < 0)
                *ret_error = g_strdup_printf(
                                "cannot use %s/%s: %s; restore it from a backup", s->dir,
                                STORE_MACHINE_KEY,
                                r == -EUCLEAN ? "it is not 32 bytes long" : g_strerror(-r));
        return r;
}

int store_load_identity(Store *s, Identity **ret, char **ret_error) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        int r;

        *ret_error = NULL;
        r = read_machine_key(s, seed, ret_error);
        if (r >= 0)
                r = identity_new(seed, ret);
        sodium_memzero(seed, sizeof(seed));
        return r < 0 ? r : 0;
}

static char *root_name(const NetworkId *network) {
        return g_strdup_printf("root-%s.key", machine_id_format(network).text);
}

int store_save_root(Store *s, const NetworkId *network, const uint8_t seed[static IDENTITY_SEED_SIZE]) {
        g_autofree char *name = root_name(network);

        return write_key(s, name, seed);
}

int store_forget_root(Store *s, const NetworkId *network) {
        g_autofree char *name = root_name(network);

        if (unlinkat(s->dir_fd, name, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return fsync(s->dir_fd) < 0 ? -errno : 0;
}
