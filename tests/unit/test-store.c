/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "memory-store.h"
#include "store-world.h"

/* --- against the twin in memory --- */

#define MACHINES 6
#define NETWORKS 2

static void dump_record(void *userdata, Record *record) {
        g_autofree char *hex = g_base64_encode(
                        g_bytes_get_data(record->bytes, NULL), g_bytes_get_size(record->bytes));

        g_ptr_array_add(userdata, g_strdup_printf("record %s", hex));
}

static void dump_invite(void *userdata, const StoredInvite *i) {
        g_autofree char *id = g_base64_encode(i->id, sizeof(i->id));
        g_autofree char *psk = g_base64_encode(i->psk, sizeof(i->psk));

        g_ptr_array_add(userdata, g_strdup_printf("invite %s %s %" G_GUINT64_FORMAT
                                                  " %" G_GUINT64_FORMAT " %u %u %s %d",
                                                  id, psk, i->created, i->not_after, i->uses_max,
                                                  i->uses, i->name, i->needs_approval));
}

static void dump_endpoint(void *userdata, const MachineId *machine, const Endpoint *e) {
        g_ptr_array_add(userdata, g_strdup_printf("endpoint %s %s", machine_id_format(machine).text,
                                                  endpoint_format(e).text));
}

static int compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void fake_invite_id(unsigned n, uint8_t ret[static INVITE_ID_SIZE]) {
        memset(ret, 0, INVITE_ID_SIZE);
        ret[0] = (uint8_t) n;
}

/* Everything there is, as one text. */
static char *dump(const MeshStore *s, Identity *const who[static MACHINES]) {
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
        usec_t floor = 1;

        assert_int_equal(s->ops->foreach_record(s->self, dump_record, lines), 0);
        assert_int_equal(s->ops->foreach_invite(s->self, dump_invite, lines), 0);
        assert_int_equal(s->ops->foreach_endpoint(s->self, dump_endpoint, lines), 0);
        assert_int_equal(s->ops->get_trusted_time(s->self, &floor), 0);
        for (unsigned i = 0; i < MACHINES; i++)
                for (unsigned j = 0; j < 4; j++) {
                        uint8_t id[INVITE_ID_SIZE];
                        int r;

                        fake_invite_id(j, id);
                        r = s->ops->invite_used_by(s->self, id, &who[i]->id);
                        assert_in_range(r, 0, 1);
                        if (r > 0)
                                g_ptr_array_add(lines, g_strdup_printf("use %u %u", j, i));
                }
        g_ptr_array_add(lines, g_strdup_printf("floor %" G_GUINT64_FORMAT, floor));
        g_ptr_array_sort(lines, compare_lines);
        g_ptr_array_add(lines, NULL);
        return g_strjoinv("\n", (char **) lines->pdata);
}

static Record *random_record(Fixture *f, GRand *rand, const Identity *who) {
        usec_t version = MOCK_NOW + (usec_t) g_rand_int_range(rand, 0, 1000);

        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
                return mock_certificate(&f->net, f->net.issuer, &who->id, "x", ROLE_MEMBER, version);
        case 1:
                return mock_lease(&f->net, f->net.issuer, &who->id, "10.0.0.100", version);
        case 2:
                return mock_presence(&f->net, who, "[2001:db8::1]:1", version);
        default:
                return mock_revocation(&f->net, f->net.issuer, &who->id, version);
        }
}

/* One random operation, the same on both. */
static void
random_step(Fixture *f,
            GRand *rand,
            Identity *const who[static MACHINES],
            const MeshStore *s[static 2]) {
        const Identity *i = who[g_rand_int_range(rand, 0, MACHINES)];
        g_autoptr(Record) record = random_record(f, rand, i);
        RecordKind kind = (RecordKind) g_rand_int_range(rand, 1, _RECORD_KIND_MAX);
        int what = g_rand_int_range(rand, 0, 10);
        usec_t time = (usec_t) g_rand_int_range(rand, 0, 1000) << 40;
        StoredInvite invite = {
                .created = time,
                .not_after = time * 2,
                .uses_max = (uint32_t) g_rand_int(rand),
                .uses = (uint32_t) g_rand_int(rand),
                .needs_approval = g_rand_boolean(rand),
                .name = "printer",
        };
        Endpoint endpoint;
        int r[2];

        fake_invite_id((unsigned) g_rand_int_range(rand, 0, 4), invite.id);
        memset(invite.psk, (int) (time >> 40), sizeof(invite.psk));
        endpoint_parse(time & (USEC_PER_SEC << 20) ? "192.0.2.1:1" : "[2001:db8::1]:65535", 1,
                       &endpoint);
        for (unsigned k = 0; k < 2; k++) {
                const MeshStoreOps *o = s[k]->ops;
                void *self = s[k]->self;

                switch (what) {
                case 0 ... 2:
                        r[k] = o->put_record(self, record);
                        break;
                case 3:
                        r[k] = o->delete_record(self, kind, &i->id);
                        break;
                case 4:
                        r[k] = o->put_invite(self, &invite);
                        break;
                case 5:
                        r[k] = o->delete_invite(self, invite.id);
                        break;
                case 6:
                        r[k] = o->put_invite_use(self, invite.id, &i->id);
                        break;
                case 7:
                        r[k] = o->put_endpoint(self, &i->id, &endpoint);
                        break;
                case 8:
                        r[k] = o->delete_endpoint(self, &i->id);
                        break;
                default:
                        r[k] = o->put_trusted_time(self, time);
                }
        }
        assert_int_equal(r[0], r[1]);
}

static void random_transaction(
                Fixture *f,
                GRand *rand,
                Identity *const who[static MACHINES],
                const MeshStore *s[static 2]) {
        bool keep = g_rand_boolean(rand);

        for (unsigned k = 0; k < 2; k++)
                assert_int_equal(s[k]->ops->begin(s[k]->self), 0);
        for (unsigned i = 0; i < 8; i++)
                random_step(f, rand, who, s);
        for (unsigned k = 0; k < 2; k++)
                if (keep)
                        assert_int_equal(s[k]->ops->commit(s[k]->self), 0);
                else
                        s[k]->ops->rollback(s[k]->self);
}

static void
compare_all(MeshStore real[static NETWORKS],
            MemoryStore *memory[static NETWORKS],
            Identity *const who[static MACHINES]) {
        for (unsigned n = 0; n < NETWORKS; n++) {
                g_autofree char *a = dump(&real[n], who);
                g_autofree char *b = dump(memory_store_mesh(memory[n]), who);

                assert_string_equal(a, b);
        }
}

static void test_twin(void **state) {
        Fixture *f = *state;
        const char *given = g_getenv("SEED");
        uint32_t seed = given ? (uint32_t) strtoul(given, NULL, 0) : g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        MemoryStore *memory[NETWORKS];
        MeshStore real[NETWORKS];
        Identity *who[MACHINES];

        print_message("SEED=%u\n", seed);
        for (unsigned i = 0; i < MACHINES; i++)
                who[i] = mock_identity(i);
        for (unsigned n = 0; n < NETWORKS; n++) {
                StoredNetwork network = fake_network(n);

                assert_int_equal(store_put_network(f->store, &network), 0);
                memory[n] = memory_store_new();
                real[n] = store_mesh(f->store, &network.membership.id);
        }
        for (unsigned step = 0; step < 400; step++) {
                unsigned n = (unsigned) g_rand_int_range(rand, 0, NETWORKS);
                const MeshStore *both[2] = { &real[n], memory_store_mesh(memory[n]) };

                switch (g_rand_int_range(rand, 0, 12)) {
                case 0:
                        for (unsigned i = 0; i < NETWORKS; i++)
                                store_mesh_done(&real[i]);
                        reopen(f);
                        for (unsigned i = 0; i < NETWORKS; i++) {
                                StoredNetwork network = fake_network(i);

                                real[i] = store_mesh(f->store, &network.membership.id);
                        }
                        compare_all(real, memory, who);
                        break;
                case 1 ... 3:
                        random_step(f, rand, who, both);
                        break;
                default:
                        random_transaction(f, rand, who, both);
                }
        }
        compare_all(real, memory, who);
        for (unsigned n = 0; n < NETWORKS; n++) {
                store_mesh_done(&real[n]);
                memory_store_free(memory[n]);
        }
        for (unsigned i = 0; i < MACHINES; i++)
                identity_free(who[i]);
}

/* --- durability --- */

/* Commits one record and one invite use after the other and says so, until it is killed. */
static void commit_for_ever(const Fixture *f, int fd, unsigned first) {
        g_autofree char *error = NULL;
        MeshStore mesh;
        Store *s;

        if (store_open(f->dir, &s, &error) < 0)
                _exit(1);
        mesh = store_mesh(s, &f->net.id);
        for (unsigned i = first;; i++) {
                MachineId id = { .bytes = { (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i } };
                g_autoptr(Record) record = mock_revocation(&f->net, f->net.issuer, &id, MOCK_NOW);
                const uint8_t invite[INVITE_ID_SIZE] = { 1 };

                if (mesh.ops->begin(mesh.self) < 0 || mesh.ops->put_record(mesh.self, record) < 0 ||
                    mesh.ops->put_invite_use(mesh.self, invite, &id) < 0 ||
                    mesh.ops->commit(mesh.self) < 0 || write(fd, &i, sizeof(i)) != sizeof(i))
                        _exit(1);
        }
}

typedef struct Found {
        const MeshStore *mesh;
        unsigned n, last;
} Found;

static void check_whole(void *userdata, Record *record) {
        const uint8_t *b = record->body.machine.bytes, invite[INVITE_ID_SIZE] = { 1 };
        Found *found = userdata;

        found->n++;
        found->last = MAX(found->last, (unsigned) b[0] << 16 | (unsigned) b[1] << 8 | b[2]);
        /* Both of a transaction or none. */
        assert_int_equal(
                        found->mesh->ops->invite_used_by(
                                        found->mesh->self, invite, &record->body.machine),
                        1);
}

static unsigned kill_after(const Fixture *f, unsigned first, unsigned n) {
        unsigned acknowledged = 0, last = 0;
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                commit_for_ever(f, fds[1], first);
        close(fds[1]);
        while (acknowledged < n && read(fds[0], &last, sizeof(last)) == sizeof(last))
                acknowledged++;
        assert_int_equal(acknowledged, n);
        kill(pid, SIGKILL);
        /* Also what it said while the signal was on its way. */
        while (read(fds[0], &last, sizeof(last)) == sizeof(last))
                acknowledged++;
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        return last;
}

static void test_killed(void **state) {
        Fixture *f = *state;
        StoredNetwork network = fake_network(0);
        unsigned next = 1;

        network.membership.id = f->net.id;
        assert_int_equal(store_put_network(f->store, &network), 0);
        for (unsigned round = 0; round < 20; round++) {
                MeshStore mesh;
                Found found;
                unsigned last;

                f->store = store_close(f->store);
                last = kill_after(f, next, 1 + (unsigned) g_random_int_range(0, 30));
                open_store(f); /* the lock went with the process */
                mesh = store_mesh(f->store, &f->net.id);
                found = (Found){ .mesh = &mesh };
                assert_int_equal(mesh.ops->foreach_record(mesh.self, check_whole, &found), 0);
                /* All that was acknowledged, and at most the one that was being committed. */
                assert_in_range(found.last, last, last + 1);
                assert_int_equal(found.n, found.last);
                next = found.last + 1;
                store_mesh_done(&mesh);
        }
}

/* A disk without room: files may not become longer than they are. */
static void note_error(void *userdata, int error) {
        g_string_append_printf(userdata, "%s;", error == 0 ? "works" : "fails");
}

static void test_full_disk(void **state) {
        Fixture *f = *state;
        g_autoptr(GString) told = g_string_new(NULL);
        StoredNetwork network = fake_network(0);
        struct rlimit old, limit;
        g_autofree char *wal = path_of(f, "omerta.db-wal");
        Identity *who[MACHINES];
        g_autofree char *before = NULL, *during = NULL, *after = NULL;
        MeshStore mesh;
        struct stat st;
        int failures = 0;

        network.membership.id = f->net.id;
        assert_int_equal(store_put_network(f->store, &network), 0);
        for (unsigned i = 0; i < MACHINES; i++)
                who[i] = mock_identity(i);
        mesh = store_mesh(f->store, &f->net.id);
        before = dump(&mesh, who);
        assert_int_equal(stat(wal, &st), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = (struct rlimit){ .rlim_cur = (rlim_t) st.st_size, .rlim_max = old.rlim_max };
        signal(SIGXFSZ, SIG_IGN);
        store_on_write_error(f->store, note_error, told);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        for (unsigned i = 0; i < 5; i++) {
                g_autoptr(Record) record =
                                mock_revocation(&f->net, f->net.issuer, &who[i]->id, MOCK_NOW);
                StoredNetwork another = fake_network(i + 5);
                int r = mesh.ops->begin(mesh.self);

                if (r >= 0)
                        r = mesh.ops->put_record(mesh.self, record);
                if (r >= 0)
                        r = mesh.ops->commit(mesh.self);
                else
                        mesh.ops->rollback(mesh.self);
                failures += r < 0;
                failures += store_put_network(f->store, &another) < 0;
        }
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        signal(SIGXFSZ, SIG_DFL);
        assert_int_equal(failures, 10);
        assert_string_equal(told->str, "fails;");
        assert_true(store_write_error(f->store) < 0);
        during = dump(&mesh, who);
        assert_string_equal(before, during);
        /* To look is not to write, and to give up is no success. */
        mesh.ops->rollback(mesh.self);
        assert_string_equal(told->str, "fails;");
        assert_int_equal(store_probe(f->store), 0);
        assert_string_equal(told->str, "fails;works;");
        store_on_write_error(f->store, NULL, NULL);

        /* There is room again: nothing has been lost, and it works. */
        {
                g_autoptr(Record) record =
                                mock_revocation(&f->net, f->net.issuer, &who[0]->id, MOCK_NOW);

                assert_int_equal(mesh.ops->begin(mesh.self), 0);
                assert_int_equal(mesh.ops->put_record(mesh.self, record), 0);
                assert_int_equal(mesh.ops->commit(mesh.self), 0);
        }
        store_mesh_done(&mesh);
        reopen(f);
        mesh = store_mesh(f->store, &f->net.id);
        after = dump(&mesh, who);
        assert_non_null(strstr(after, "record "));
        store_mesh_done(&mesh);
        for (unsigned i = 0; i < MACHINES; i++)
                identity_free(who[i]);
}

/* --- damage --- */

static void write_at(const char *path, off_t at, const void *data, size_t n) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, n, at), n);
        close(fd);
}

/* Refused, left alone, and good again when the copy is put back. */
static void
expect_damage(Fixture *f, const char *copy, size_t copy_len, void (*harm)(const char *path)) {
        g_autofree char *path = path_of(f, "omerta.db"), *before = NULL, *after = NULL;
        size_t before_len = 0, after_len = 0;

        harm(path);
        (void) g_file_get_contents(path, &before, &before_len, NULL);
        expect_refusal(f, -EUCLEAN, "omerta.db");
        (void) g_file_get_contents(path, &after, &after_len, NULL);
        assert_int_equal(before_len, after_len);
        if (before_len > 0)
                assert_memory_equal(before, after, before_len);
        assert_true(g_file_set_contents(path, copy, (gssize) copy_len, NULL));
        chmod(path, 0600);
        open_store(f);
        f->store = store_close(f->store);
}

static void harm_header(const char *path) {
        write_at(path, 0, "not a database!!", 16);
}
static void harm_page(const char *path) {
        uint8_t junk[4096];

        memset(junk, 0x5a, sizeof(junk));
        write_at(path, 4096, junk, sizeof(junk));
}
static void harm_length(const char *path) {
        assert_int_equal(truncate(path, 4096 + 100), 0);
}
static void harm_all(const char *path) {
        assert_int_equal(truncate(path, 0), 0);
}
static void harm_name(const char *path) {
        assert_int_equal(unlink(path), 0);
}

static void exec_sql(Fixture *f, const char *sql) {
        g_autofree char *path = path_of(f, "omerta.db");
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static void test_damage(void **state) {
        Fixture *f = *state;
        g_autofree char *path = path_of(f, "omerta.db"), *copy = NULL, *error = NULL;
        Identity *identity = NULL;
        size_t len;

        /* Without a key nothing has been there yet: an empty file is a new one. */
        f->store = store_close(f->store);
        harm_all(path);
        open_store(f);
        harm_name(path);
        reopen(f);
        assert_int_equal(store_load_identity(f->store, &identity, &error), 0);
        identity_free(identity);
        for (unsigned i = 0; i < 60; i++) {
                StoredNetwork network = fake_network(i);

                assert_int_equal(store_put_network(f->store, &network), 0);
        }
        f->store = store_close(f->store);
        assert_true(g_file_get_contents(path, &copy, &len, NULL));
        assert_true(len > 3 * 4096);

        expect_damage(f, copy, len, harm_header);
        expect_damage(f, copy, len, harm_page);
        expect_damage(f, copy, len, harm_length);
        expect_damage(f, copy, len, harm_all);
        expect_damage(f, copy, len, harm_name);

        exec_sql(f, "PRAGMA user_version = 99");
        expect_refusal(f, -EPROTO, "later version");
        exec_sql(f, "PRAGMA user_version = 1; PRAGMA application_id = 7");
        expect_refusal(f, -EUCLEAN, "omerta.db");
        assert_true(g_file_set_contents(path, copy, (gssize) len, NULL));
        chmod(path, 0600);
        open_store(f);
}

static void ignore_record(void *userdata, Record *record) {
}

/* A bit that has changed in a record is not something to sign for. */
static void test_damaged_record(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) record = mock_revocation(&f->net, f->net.issuer, &f->net.id, MOCK_NOW);
        StoredNetwork network = fake_network(0);
        MeshStore mesh;

        network.membership.id = f->net.id;
        assert_int_equal(store_put_network(f->store, &network), 0);
        mesh = store_mesh(f->store, &f->net.id);
        assert_int_equal(mesh.ops->put_record(mesh.self, record), 0);
        assert_int_equal(mesh.ops->foreach_record(mesh.self, ignore_record, NULL), 0);
        store_mesh_done(&mesh);
        f->store = store_close(f->store);
        /* The last byte of the signature: it still decodes. */
        exec_sql(f,
                 "UPDATE record SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || x'ff' AS BLOB)");
        open_store(f);
        mesh = store_mesh(f->store, &f->net.id);
        assert_int_equal(mesh.ops->foreach_record(mesh.self, ignore_record, NULL), -EUCLEAN);
        store_mesh_done(&mesh);
}

/* --- networks --- */

static void collect_network(void *userdata, const StoredNetwork *n) {
        StoredNetwork copy = *n;

        copy.membership.secret = fake_secret(secret_bytes(n->membership.secret)[0]);
        assert_memory_equal(
                        secret_bytes(copy.membership.secret), secret_bytes(n->membership.secret),
                        SECRET_SIZE);
        g_array_append_val((GArray *) userdata, copy);
}

static GArray *list(Fixture *f) {
        GArray *a = g_array_new(FALSE, FALSE, sizeof(StoredNetwork));

        assert_int_equal(store_foreach_network(f->store, collect_network, a), 0);
        return a;
}

static void assert_network(const StoredNetwork *a, const StoredNetwork *b) {
        const Membership *x = &a->membership, *y = &b->membership;

        assert_true(machine_id_equal(&x->id, &y->id));
        assert_true(machine_id_equal(&x->gateway, &y->gateway));
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->host_name, y->host_name);
        assert_string_equal(x->owner, y->owner);
        assert_memory_equal(secret_bytes(x->secret), secret_bytes(y->secret), SECRET_SIZE);
        assert_true(ip_equal(&x->subnet.addr, &y->subnet.addr) && x->subnet.len == y->subnet.len);
        assert_int_equal(x->is_gateway, y->is_gateway);
        assert_string_equal(a->interface, b->interface);
        assert_int_equal(a->up, b->up);
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->mtu, b->mtu);
        assert_int_equal(a->lan_off, b->lan_off);
        assert_int_equal(x->n_names, y->n_names);
        for (unsigned i = 0; i < x->n_names; i++)
                assert_true(host_port_equal(&x->names[i], &y->names[i]));
}

static void test_networks(void **state) {
        Fixture *f = *state;
        StoredNetwork n[3] = { fake_network(2), fake_network(0), fake_network(1) };
        const uint8_t seed[IDENTITY_SEED_SIZE] = { 1 };
        g_autofree char *root = NULL;
        g_autoptr(GArray) first = NULL, second = NULL, third = NULL;

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(store_put_network(f->store, &n[i]), 0);
        reopen(f);
        first = list(f);
        assert_int_equal(first->len, 3);
        /* In order of creation. */
        assert_network(&g_array_index(first, StoredNetwork, 0), &n[1]);
        assert_network(&g_array_index(first, StoredNetwork, 1), &n[2]);
        assert_network(&g_array_index(first, StoredNetwork, 2), &n[0]);

        n[1].up = !n[1].up;
        n[1].mtu = 1280;
        n[1].lan_off = true;
        n[1].membership.n_names = GATEWAY_NAMES_MAX;
        for (unsigned i = 0; i < GATEWAY_NAMES_MAX; i++)
                n[1].membership.names[i] =
                                (HostPort){ .host = "gw.example.org", .port = (uint16_t) (443 + i) };
        n[1].membership.is_gateway = true;
        g_strlcpy(n[1].interface, "", sizeof(n[1].interface));
        assert_int_equal(store_put_network(f->store, &n[1]), 0);
        second = list(f);
        assert_int_equal(second->len, 3);
        assert_network(&g_array_index(second, StoredNetwork, 0), &n[1]);

        assert_int_equal(store_save_root(f->store, &n[0].membership.id, seed), 0);
        root = g_strdup_printf("%s/root-%s.key", f->dir, machine_id_format(&n[0].membership.id).text);
        assert_true(g_file_test(root, G_FILE_TEST_EXISTS));
        assert_int_equal(store_delete_network(f->store, &n[0].membership.id), 0);
        assert_int_equal(store_delete_network(f->store, &n[0].membership.id), 0);
        assert_false(g_file_test(root, G_FILE_TEST_EXISTS));
        reopen(f);
        third = list(f);
        assert_int_equal(third->len, 2);
}

static void count_record(void *userdata, Record *record) {
        (*(unsigned *) userdata)++;
}

static unsigned count_records(Fixture *f, const NetworkId *id) {
        MeshStore mesh = store_mesh(f->store, id);
        unsigned n = 0;

        assert_int_equal(mesh.ops->foreach_record(mesh.self, count_record, &n), 0);
        store_mesh_done(&mesh);
        return n;
}

static void put_some(Fixture *f, const NetworkId *id) {
        g_autoptr(Record) record = mock_revocation(&f->net, f->net.issuer, &f->net.id, MOCK_NOW);
        StoredInvite invite = { .id = { 3 }, .uses_max = 1 };
        MeshStore mesh = store_mesh(f->store, id);

        assert_int_equal(mesh.ops->put_record(mesh.self, record), 0);
        assert_int_equal(mesh.ops->put_invite(mesh.self, &invite), 0);
        assert_int_equal(mesh.ops->put_invite_use(mesh.self, invite.id, &f->net.id), 0);
        assert_int_equal(mesh.ops->put_trusted_time(mesh.self, 5), 0);
        store_mesh_done(&mesh);
}

static void test_rows_of_networks(void **state) {
        Fixture *f = *state;
        StoredNetwork a = fake_network(0), b = fake_network(1);
        MachineId half = { .bytes = { 77 } };
        usec_t floor;
        MeshStore mesh;

        assert_int_equal(store_put_network(f->store, &a), 0);
        assert_int_equal(store_put_network(f->store, &b), 0);
        put_some(f, &a.membership.id);
        put_some(f, &b.membership.id);
        put_some(f, &half); /* a join that was cut short */
        reopen(f);
        assert_int_equal(count_records(f, &half), 0);
        assert_int_equal(count_records(f, &a.membership.id), 1);
        assert_int_equal(store_delete_network(f->store, &a.membership.id), 0);
        assert_int_equal(count_records(f, &a.membership.id), 0);
        assert_int_equal(count_records(f, &b.membership.id), 1);
        mesh = store_mesh(f->store, &a.membership.id);
        assert_int_equal(mesh.ops->get_trusted_time(mesh.self, &floor), 0);
        assert_int_equal(floor, 0);
        assert_int_equal(mesh.ops->invite_used_by(mesh.self, (const uint8_t[16]){ 3 }, &f->net.id), 0);
        store_mesh_done(&mesh);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_twin),           T(test_killed),   T(test_full_disk),        T(test_damage),
                T(test_damaged_record), T(test_networks), T(test_rows_of_networks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
