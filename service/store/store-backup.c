/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A backup is one SQLite file: the database as it is at that instant, and beside its tables one
 * more, backup_file, that holds the key files. So there is one thing to keep and nothing to forget.
 * Behind it stands its hash (BLAKE2b, 32 bytes), so that what is cut, or has changed by a bit, is
 * found before anything is made of it.
 *
 * It is put together in memory and handed out as a sealed memfd: nothing of it lies in the state
 * directory, and whoever writes it to a slow disk does so in his own time.
 *
 * A restore makes a state directory where there is none. The database is the last file to get its
 * name: without it, what is there beside keys is refused at a start (store.c).
 */

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/wiped.h"
#include "store/store-internal.h"

#define HALF_DATABASE ".restore.db"
/* Of the file format: which journal it is written with, 1: none that would be needed beside it
 * (sqlite.org/fileformat2.html, 1.3.3). */
#define FORMAT_OFFSET 18U
#define HASH_SIZE 32U

static const char backup_schema[] =
                "CREATE TABLE backup_file (name TEXT PRIMARY KEY NOT NULL,"
                "  bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;";

static int copy_database(sqlite3 *to, sqlite3 *from) {
        sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
        int code;

        if (!b)
                return store_errno(sqlite3_errcode(to));
        code = sqlite3_backup_step(b, -1);
        sqlite3_backup_finish(b);
        return code == SQLITE_DONE ? 0 : store_errno(code);
}

/* --- making one --- */

static int add_key(Store *s, sqlite3_stmt *st, const char *name) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        g_autofree char *error = NULL;
        int r, code;

        r = store_read_key(s->dir, s->dir_fd, name, true, seed, &error);
        if (r < 0)
                return r;
        sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_blob(st, 2, seed, sizeof seed, SQLITE_STATIC);
        code = sqlite3_step(st);
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        sodium_memzero(seed, sizeof seed);
        return code == SQLITE_DONE ? 0 : store_errno(code);
}

static int add_keys(Store *s, sqlite3 *copy) {
        g_autoptr(GPtrArray) names = store_find_files(s->dir_fd, store_is_key);
        sqlite3_stmt *st = NULL;
        int r;

        r = store_errno(sqlite3_exec(copy, backup_schema, NULL, NULL, NULL));
        if (r >= 0)
                r = store_errno(sqlite3_prepare_v2(
                                copy, "INSERT INTO backup_file VALUES (?1, ?2)", -1, &st, NULL));
        for (unsigned i = 0; r >= 0 && i < names->len; i++)
                r = add_key(s, st, names->pdata[i]);
        sqlite3_finalize(st);
        return r;
}

static int write_all(int fd, const uint8_t *data, size_t size) {
        ssize_t n;

        for (; size > 0; data += n, size -= (size_t) n) {
                n = write(fd, data, size);
                if (n < 0)
                        return -errno;
        }
        return 0;
}

/* Return: an fd, or negative errno. */
static int seal_image(const uint8_t *image, size_t size) {
        _cleanup_close_ int fd = memfd_create("omerta-backup", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        uint8_t hash[HASH_SIZE];
        int r;

        if (fd < 0)
                return -errno;
        crypto_generichash(hash, sizeof hash, image, size, NULL, 0);
        r = write_all(fd, image, size);
        if (r >= 0)
                r = write_all(fd, hash, sizeof hash);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int store_backup(Store *s, int *ret_fd) {
        sqlite3 *copy = NULL;
        unsigned char *image = NULL;
        sqlite3_int64 size = 0;
        int r;

        r = store_errno(sqlite3_open(":memory:", &copy));
        if (r >= 0)
                r = copy_database(copy, s->db);
        if (r >= 0)
                r = add_keys(s, copy);
        if (r >= 0) {
                image = sqlite3_serialize(copy, "main", &size, 0);
                r = !image ? -ENOMEM : (uint64_t) size > BACKUP_SIZE_MAX - HASH_SIZE ? -EFBIG : 0;
        }
        if (r >= 0) {
                image[FORMAT_OFFSET] = image[FORMAT_OFFSET + 1] = 1;
                r = seal_image(image, (size_t) size);
        }
        /* Wiped with it: store-memory.c. */
        sqlite3_free(image);
        sqlite3_close(copy);
        (void) sqlite3_db_release_memory(s->db);
        if (r < 0)
                return r;
        *ret_fd = r;
        return 0;
}

/* --- making a state directory of one --- */

static int read_image(int fd, GByteArray **image, char **ret_error) {
        uint8_t buf[65536];
        ssize_t n;
        int r = 0;

        while (r >= 0 && (n = read(fd, buf, sizeof buf)) != 0) {
                if (n < 0)
                        r = store_fail(ret_error, -errno, "cannot read the backup: %s",
                                       g_strerror(errno));
                else if ((*image)->len + (size_t) n > BACKUP_SIZE_MAX)
                        r = store_fail(ret_error, -EFBIG,
                                       "it is larger than a backup of omerta can be");
                else
                        wiped_append(image, buf, (size_t) n);
        }
        sodium_memzero(buf, sizeof buf);
        return r;
}

static bool is_whole(const GByteArray *image) {
        uint8_t hash[HASH_SIZE];

        if (image->len < HASH_SIZE)
                return false;
        crypto_generichash(hash, sizeof hash, image->data, image->len - HASH_SIZE, NULL, 0);
        return memcmp(hash, image->data + image->len - HASH_SIZE, HASH_SIZE) == 0;
}

/* Borrows @image, read only. */
static int open_image(const GByteArray *image, sqlite3 **db, char **ret_error) {
        g_autofree char *what = NULL;
        size_t size = image->len - HASH_SIZE;
        int r, version = 0;

        if (!is_whole(image))
                return store_fail(
                                ret_error, -EUCLEAN,
                                "it is damaged, or no backup made by 'omerta backup'");
        r = store_errno(sqlite3_open(":memory:", db));
        if (r >= 0)
                r = store_errno(sqlite3_deserialize(
                                *db, "main", image->data, (sqlite3_int64) size,
                                (sqlite3_int64) size, SQLITE_DESERIALIZE_READONLY));
        if (r >= 0)
                r = store_errno(sqlite3_exec(
                                *db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
                                NULL, NULL, NULL));
        if (r >= 0)
                r = store_identify_database(*db, &version, &what);
        if (r == -EPROTO)
                return store_fail(
                                ret_error, r,
                                "the backup was made by a later version of omerta: install that one");
        /* First of all: views, triggers, columns and constraints that compute are run by whoever
         * looks at a row, and the check of the pages looks at all of them. */
        if (r >= 0 && (version == 0 || !store_has_schema(*db, version, backup_schema)))
                r = store_fail(&what, -EUCLEAN, "its tables are not those of one");
        if (r >= 0)
                r = store_check_pages(*db, &what);
        if (r >= 0)
                return 0;
        /* It is in memory: whatever SQLite cannot read is the file's fault. */
        return store_fail(
                        ret_error, r == -ENOMEM ? r : -EUCLEAN,
                        "it is no backup made by 'omerta backup' (%s)", what ?: g_strerror(-r));
}

static bool is_in_the_way(const char *name) {
        return store_is_state(name) && strcmp(name, "lock") != 0;
}

static int check_is_empty(Store *s, char **ret_error) {
        g_autoptr(GPtrArray) names = store_find_files(s->dir_fd, is_in_the_way);

        if (names->len == 0)
                return 0;
        return store_fail(
                        ret_error, -EEXIST,
                        "there is a %s in %s already: nothing is written over; move the files away, or "
                        "choose another directory with --state-dir",
                        (const char *) names->pdata[0], s->dir);
}

static int write_keys(Store *s, sqlite3 *db, char **ret_error) {
        sqlite3_stmt *st = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE];
        char name[128];
        int r, code;

        code = sqlite3_prepare_v2(db, "SELECT name, bytes FROM backup_file", -1, &st, NULL);
        if (code != SQLITE_OK)
                return store_fail(
                                ret_error, -EUCLEAN,
                                "it is a database of omerta, but no backup made by 'omerta backup'");
        r = 0;
        while (r >= 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
                if (!store_column_text(st, 0, name, sizeof name) || !store_is_key(name) ||
                    !store_column_bytes(st, 1, seed, sizeof seed)) {
                        r = store_fail(ret_error, -EUCLEAN,
                                       "the backup holds what is no key of omerta");
                        break;
                }
                r = store_write_key(s->dir_fd, name, seed);
                if (r < 0)
                        (void) store_fail(
                                        ret_error, r, "cannot write %s/%s: %s", s->dir, name,
                                        g_strerror(-r));
        }
        if (r >= 0 && code != SQLITE_DONE)
                r = store_fail(ret_error, store_errno(code), "cannot read the backup: %s",
                               sqlite3_errmsg(db));
        sqlite3_finalize(st);
        sodium_memzero(seed, sizeof seed);
        return r;
}

static int write_database(Store *s, sqlite3 *db, char **ret_error) {
        g_autofree char *path = g_build_filename(s->dir, HALF_DATABASE, NULL);
        int fd, r;

        (void) unlinkat(s->dir_fd, HALF_DATABASE, 0); /* of an attempt that ended half way */
        fd = openat(s->dir_fd, HALF_DATABASE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    0600);
        r = fd < 0 ? -errno : 0;
        closep(&fd);
        if (r >= 0)
                r = store_errno(sqlite3_open_v2(
                                path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
        if (r >= 0)
                r = copy_database(s->db, db);
        if (r >= 0)
                r = store_errno(sqlite3_exec(
                                s->db, "PRAGMA secure_delete = ON; DROP TABLE backup_file;", NULL,
                                NULL, NULL));
        if (sqlite3_close(s->db) != SQLITE_OK && r >= 0)
                r = -EIO;
        s->db = NULL;
        if (r >= 0 && (renameat(s->dir_fd, HALF_DATABASE, s->dir_fd, STORE_DATABASE) < 0 ||
                       fsync(s->dir_fd) < 0))
                r = -errno;
        if (r < 0)
                return store_fail(
                                ret_error, r, "cannot write %s/" STORE_DATABASE ": %s", s->dir,
                                g_strerror(-r));
        return 0;
}

/* There was nothing before. */
static void undo(Store *s) {
        g_autoptr(GPtrArray) names = store_find_files(s->dir_fd, is_in_the_way);

        (void) unlinkat(s->dir_fd, HALF_DATABASE, 0);
        for (unsigned i = 0; i < names->len; i++)
                (void) unlinkat(s->dir_fd, names->pdata[i], 0);
}

int store_restore(const char *dir, int fd, char **ret_error) {
        GByteArray *image = wiped_new();
        sqlite3 *db = NULL;
        Store *s = NULL;
        int r;

        store_guard_memory();
        r = read_image(fd, &image, ret_error);
        if (r >= 0)
                r = open_image(image, &db, ret_error);
        if (r >= 0)
                r = store_take(dir, &s, ret_error);
        if (r >= 0)
                r = check_is_empty(s, ret_error);
        if (r >= 0) {
                r = write_keys(s, db, ret_error);
                if (r >= 0)
                        r = write_database(s, db, ret_error);
                if (r < 0)
                        undo(s);
        }
        store_close(s);
        sqlite3_close(db);
        wiped_free(image);
        return r;
}
