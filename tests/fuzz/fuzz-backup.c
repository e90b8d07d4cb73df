/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image of a backup, without the hash behind it, which is no secret and is added here. What is
 * refused leaves nothing; what is restored is opened, and all of it read, as a daemon does. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "fuzz.h"
#include "store/store.h"

#define HASH_SIZE 32U

static char *top, *dir;

static void remove_files(void) {
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *path = g_build_filename(dir, name, NULL);

                g_unlink(path);
        }
        g_rmdir(dir);
}

static void at_end(void) {
        g_rmdir(top);
        g_free(top);
        g_free(dir);
}

/* On a file system in memory where there is one: a restore is durable, which takes time. */
static void begin(void) {
        g_autofree char *template = g_build_filename(
                        g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir(),
                        "omerta-fuzz-XXXXXX", NULL);

        FUZZ_ASSERT(sodium_init() >= 0);
        top = g_strdup(g_mkdtemp(template));
        FUZZ_ASSERT(top);
        dir = g_build_filename(top, "state", NULL);
        atexit(at_end);
}

static int image_fd(const uint8_t *data, size_t size, bool has_hash) {
        uint8_t hash[HASH_SIZE];
        int fd = memfd_create("backup", MFD_CLOEXEC);

        FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t) size);
        crypto_generichash(hash, sizeof hash, data, size, NULL, 0);
        if (has_hash)
                FUZZ_ASSERT(write(fd, hash, sizeof hash) == sizeof hash);
        FUZZ_ASSERT(lseek(fd, 0, SEEK_SET) == 0);
        return fd;
}

static void on_record(void *userdata, Record *record) {
}
static void on_invite(void *userdata, const StoredInvite *invite) {
        FUZZ_ASSERT(strlen(invite->name) < sizeof invite->name);
}
static void on_endpoint(void *userdata, const MachineId *machine, const Endpoint *endpoint) {
}
static void on_forward(void *userdata, const StoredForward *forward) {
        FUZZ_ASSERT(forward->direction && forward->listen && forward->target);
}

static void on_network(void *userdata, const StoredNetwork *n) {
        FUZZ_ASSERT(strlen(n->membership.name) < sizeof n->membership.name);
        FUZZ_ASSERT(strlen(n->interface) < sizeof n->interface);
        g_array_append_val((GArray *) userdata, n->membership.id);
}

static void read_network(Store *s, const NetworkId *id) {
        MeshStore mesh = store_mesh(s, id);
        Identity *identity = NULL;
        usec_t time;

        (void) mesh.ops->foreach_record(mesh.self, on_record, NULL);
        (void) mesh.ops->foreach_invite(mesh.self, on_invite, NULL);
        (void) mesh.ops->foreach_endpoint(mesh.self, on_endpoint, NULL);
        (void) mesh.ops->get_trusted_time(mesh.self, &time);
        store_mesh_done(&mesh);
        (void) store_foreach_forward(s, id, on_forward, NULL);
        if (store_load_membership_key(s, id, &identity) >= 0)
                identity = identity_free(identity);
        if (store_load_root(s, id, &identity, NULL) >= 0)
                identity_free(identity);
}

static void read_all(void) {
        g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(NetworkId));
        g_autofree char *error = NULL;
        Identity *identity = NULL;
        Store *s = NULL;

        /* What no daemon starts with is no backup. */
        if (store_open(dir, &s, &error) < 0)
                FUZZ_FAIL("%s", error);
        (void) store_foreach_network(s, on_network, ids);
        for (unsigned i = 0; i < ids->len; i++)
                read_network(s, &g_array_index(ids, NetworkId, i));
        if (store_load_identity(s, &identity, NULL) >= 0)
                identity_free(identity);
        store_close(s);
}

static void check_nothing_is_left(void) {
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d)))
                FUZZ_ASSERT(strcmp(name, "lock") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* Out of memory: SQLite allocates no 2 GiB at once, whatever a file says. */
        static const int refusals[] = { 0, -EUCLEAN, -EPROTO, -ENOMEM };
        bool known = false;
        int r = 0;

        if (!top)
                begin();
        /* As it came: hardly ever is the end of it its hash. */
        for (unsigned has_hash = 0; has_hash < 2; has_hash++) {
                _cleanup_close_ int fd = image_fd(data, size, has_hash);
                g_autofree char *error = NULL;

                r = store_restore(dir, fd, &error);
                known = false;
                for (unsigned i = 0; i < ELEMENTSOF(refusals); i++)
                        known = known || r == refusals[i];
                if (!known)
                        FUZZ_FAIL("%d: %s", r, error);
                FUZZ_ASSERT((r < 0) == (error != NULL));
                if (r < 0)
                        check_nothing_is_left();
                else
                        read_all();
                remove_files();
        }
        return 0;
}
