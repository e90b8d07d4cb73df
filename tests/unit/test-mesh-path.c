/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/link/endpoint-book.h"
#include "core/mesh/link/path.h"
#include "memory-store.h"
#include "mock-records.h"

static Endpoint at(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 18002, &e), 0);
        return e;
}

static void add(PathSet *set, PathOrigin origin, const char *text) {
        Endpoint e = at(text);

        path_set_add(set, origin, &e, 1);
}

static bool arrived(PathSet *set, const char *text, usec_t now) {
        Endpoint e = at(text);

        return path_set_activate(set, path_set_prove(set, &e, now));
}

static void assert_candidates(const PathSet *set, unsigned rotate, const char *list) {
        g_autoptr(GString) s = g_string_new(NULL);
        Endpoint c[PATHS_MAX];
        unsigned n = path_set_candidates(set, rotate, c);

        for (unsigned i = 0; i < n; i++)
                g_string_append_printf(s, "%s%u", i ? " " : "", ntohl(c[i].in.sin_addr.s_addr) & 0xff);
        assert_string_equal(s->str, list);
}

static void test_order(void **state) {
        PathSet set = PATH_SET_EMPTY;

        assert_null(path_set_active(&set));
        assert_candidates(&set, 0, "");
        add(&set, PATH_STORED, "10.0.0.1");
        add(&set, PATH_PRESENCE, "10.0.0.2");
        add(&set, PATH_HINT, "10.0.0.3");
        add(&set, PATH_PRESENCE, "10.0.0.2");
        assert_candidates(&set, 0, "3 2 1");
        assert_candidates(&set, 1, "2 1 3");
        assert_candidates(&set, 5, "1 3 2");
        /* Known better now. */
        add(&set, PATH_HINT, "10.0.0.1");
        assert_candidates(&set, 0, "1 3 2");
        assert_true(arrived(&set, "10.0.0.2", 5));
        assert_false(arrived(&set, "10.0.0.2", 6));
        assert_candidates(&set, 0, "2 1 3");
        assert_true(arrived(&set, "10.0.0.9", 7));
        assert_candidates(&set, 0, "9 2 1 3");
        /* Nowhere is no place. */
        add(&set, PATH_HINT, "224.0.0.1");
        assert_candidates(&set, 0, "9 2 1 3");
}

static bool arrived_at(PathSet *set, const char *text, const char *local, usec_t now) {
        Endpoint e = at(text);
        IpAddr before = path_set_endpoint(set).local, after;
        bool moved;

        if (local)
                assert_int_equal(ip_parse(local, &e.local), 0);
        moved = path_set_activate(set, path_set_prove(set, &e, now));
        after = path_set_endpoint(set).local;
        return moved || !ip_equal(&before, &after);
}

static void assert_local(const PathSet *set, const char *local) {
        const Path *p = path_set_active(set);

        assert_string_equal(
                        ip_is_set(&p->endpoint.local) ? ip_format(&p->endpoint.local).text : "",
                        local);
}

static void test_local_address(void **state) {
        PathSet set = PATH_SET_EMPTY;
        IpAddr x;

        assert_int_equal(ip_parse("192.0.2.1", &x), 0);
        assert_false(path_set_forget_local(&set, &x));
        assert_true(arrived_at(&set, "10.0.0.1", NULL, 1));
        assert_local(&set, "");
        assert_true(arrived_at(&set, "10.0.0.1", "192.0.2.1", 2));
        assert_local(&set, "192.0.2.1");
        assert_false(arrived_at(&set, "10.0.0.1", "192.0.2.1", 3));
        /* Not known is no news. */
        assert_false(arrived_at(&set, "10.0.0.1", NULL, 4));
        assert_local(&set, "192.0.2.1");
        assert_true(arrived_at(&set, "10.0.0.1", "192.0.2.2", 5));
        assert_local(&set, "192.0.2.2");
        assert_true(arrived_at(&set, "10.0.0.2", "192.0.2.1", 6));
        assert_local(&set, "192.0.2.1");
        /* Each path has its own. */
        assert_true(arrived_at(&set, "10.0.0.1", NULL, 7));
        assert_local(&set, "192.0.2.2");
        assert_false(path_set_forget_local(&set, &x));
        assert_local(&set, "192.0.2.2");
        assert_true(arrived_at(&set, "10.0.0.2", NULL, 8));
        assert_local(&set, "");
        assert_int_equal(ip_parse("192.0.2.2", &x), 0);
        assert_true(arrived_at(&set, "10.0.0.1", NULL, 9));
        assert_true(path_set_forget_local(&set, &x));
        assert_local(&set, "");
        assert_false(path_set_forget_local(&set, &(IpAddr){}));
        assert_int_equal(set.n, 2);
}

static void test_full(void **state) {
        PathSet set = PATH_SET_EMPTY;

        for (unsigned i = 1; i <= PATHS_MAX + 4; i++) {
                char text[20];

                snprintf(text, sizeof text, "10.0.0.%u", i);
                add(&set, PATH_PRESENCE, text);
        }
        assert_int_equal(set.n, PATHS_MAX);
        /* A better one finds room, the active one is never thrown out. */
        add(&set, PATH_HINT, "10.0.0.50");
        assert_int_equal(set.n, PATHS_MAX);
        assert_candidates(&set, 0, "50 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
        for (unsigned i = 100; i < 130; i++) {
                char text[20];

                snprintf(text, sizeof text, "10.0.0.%u", i);
                assert_true(arrived(&set, text, i));
                assert_int_equal(ntohl(path_set_endpoint(&set).in.sin_addr.s_addr) & 0xff, i);
        }
        assert_candidates(&set, 0, "129 128 127 126 125 124 123 122 121 120 119 118 117 116 115 114");
}

static bool is_odd(const void *userdata, const Endpoint *e) {
        return ntohl(e->in.sin_addr.s_addr) & 1;
}

static void test_purge(void **state) {
        PathSet set = PATH_SET_EMPTY;

        assert_false(path_set_purge(&set, is_odd, NULL));
        add(&set, PATH_HINT, "10.0.0.1");
        add(&set, PATH_HINT, "10.0.0.2");
        add(&set, PATH_HINT, "10.0.0.3");
        assert_true(arrived(&set, "10.0.0.4", 5));
        assert_false(path_set_purge(&set, is_odd, NULL));
        assert_candidates(&set, 0, "4 2");
        assert_true(arrived(&set, "10.0.0.5", 6));
        assert_true(path_set_purge(&set, is_odd, NULL));
        assert_null(path_set_active(&set));
        assert_candidates(&set, 0, "4 2");
}

static void replace(PathSet *set, const char *old, const char *new, bool moves) {
        Endpoint a = at(old), b = at(new);

        assert_true(path_set_replace(set, &a, &b) == moves);
}

static const Path *find(PathSet *set, const char *text) {
        Endpoint e = at(text);

        return path_set_find(set, &e);
}

/* What is known of a path goes with it, wherever in the set both are. */
static void test_replace(void **state) {
        PathSet set = PATH_SET_EMPTY;

        add(&set, PATH_RELAY, "10.0.0.1");
        add(&set, PATH_HINT, "10.0.0.2");
        replace(&set, "10.0.0.9", "10.0.0.3", false);
        assert_int_equal(set.n, 2);
        replace(&set, "10.0.0.1", "10.0.0.3", false);
        assert_int_equal(find(&set, "10.0.0.3")->origin, PATH_RELAY);
        assert_null(find(&set, "10.0.0.1"));
        replace(&set, "10.0.0.3", "10.0.0.3", false);
        assert_int_equal(set.n, 2);
        /* The active one, to one that is known too. */
        assert_true(arrived(&set, "10.0.0.3", 5));
        add(&set, PATH_HINT, "10.0.0.4");
        replace(&set, "10.0.0.3", "10.0.0.2", true);
        assert_candidates(&set, 0, "2 4");
        assert_int_equal(path_set_active(&set)->last_received, 5);
        replace(&set, "10.0.0.2", "10.0.0.4", true);
        assert_candidates(&set, 0, "4");
        /* Another takes the name of the active one. */
        add(&set, PATH_HINT, "10.0.0.5");
        replace(&set, "10.0.0.5", "10.0.0.4", false);
        assert_candidates(&set, 0, "4");
        assert_non_null(path_set_active(&set));
}

static void test_rtt(void **state) {
        Path p = {};

        path_sample_rtt(&p, 100);
        assert_int_equal(p.srtt, 100);
        assert_int_equal(p.rttvar, 50);
        path_sample_rtt(&p, 180);
        assert_int_equal(p.srtt, 110);
        assert_int_equal(p.rttvar, 57);
        assert_int_equal(p.rtt_min, 100);
        path_sample_rtt(&p, 0);
        assert_int_equal(p.rtt_min, 1);
}

/* --- endpoint book --- */

typedef struct BookWorld {
        usec_t now;
        MeshEnv env;
        MockNetwork net;
        Directory *members;
        MemoryStore *store;
} BookWorld;

static usec_t book_now(void *userdata) {
        return ((BookWorld *) userdata)->now;
}

static usec_t book_realtime(void *userdata) {
        return MOCK_NOW;
}

static void book_world_init(BookWorld *w) {
        *w = (BookWorld){ .now = USEC_PER_SEC, .store = memory_store_new() };
        w->env = (MeshEnv){
                .userdata = w, .timers = timer_queue_new(), .now = book_now, .realtime = book_realtime
        };
        mock_network_init(&w->net);
        assert_int_equal(directory_new(&w->net.id, &w->env, NULL, &w->members), 0);
        directory_offer(w->members, w->net.issuer_certificate, false, NULL);
}

static void book_world_done(BookWorld *w) {
        directory_free(w->members);
        mock_network_done(&w->net);
        memory_store_free(w->store);
        timer_queue_free(w->env.timers);
}

static EndpointBook *book_new(BookWorld *w) {
        return endpoint_book_new(&w->env, memory_store_mesh(w->store), w->members);
}

static void a_minute_later(BookWorld *w) {
        w->now += USEC_PER_MINUTE;
        timer_queue_run(w->env.timers, w->now);
}

static MachineId new_member(BookWorld *w, unsigned n) {
        Identity *who = mock_identity(n);
        MachineId id = who->id;
        g_autoptr(Record) certificate = mock_certificate(
                        &w->net, w->net.issuer, &id, n == 1 ? "anna" : "bob", ROLE_MEMBER, MOCK_NOW);

        assert_int_equal(directory_offer(w->members, certificate, false, NULL), DIRECTORY_NEWS);
        identity_free(who);
        return id;
}

static void revoke_member(BookWorld *w, const MachineId *machine) {
        g_autoptr(Record) r = mock_revocation(&w->net, w->net.issuer, machine, MOCK_NOW + 1);

        assert_int_equal(directory_offer(w->members, r, false, NULL), DIRECTORY_NEWS);
}

static void test_book(void **state) {
        BookWorld w;
        EndpointBook *b;
        MachineId anna, bob;
        Endpoint e1 = at("10.0.0.1"), e2 = at("10.0.0.2");
        PathSet set = PATH_SET_EMPTY;

        book_world_init(&w);
        b = book_new(&w);
        anna = new_member(&w, 1);
        bob = new_member(&w, 2);
        assert_false(endpoint_book_knows(b, &anna));
        endpoint_book_add_hint(b, &anna, &e1);
        endpoint_book_add_hint(b, &anna, &e1);
        assert_true(endpoint_book_knows(b, &anna));
        assert_true(endpoint_book_has_hint(b, &anna));
        endpoint_book_reached(b, &anna, &e2);
        endpoint_book_reached(b, &bob, &e1);
        endpoint_book_fill(b, &anna, true, &set, 1);
        assert_candidates(&set, 0, "1 2");
        /* Written once, later, in one commit. */
        assert_int_equal(memory_store_commits(w.store), 0);
        endpoint_book_reached(b, &bob, &e2);
        a_minute_later(&w);
        assert_int_equal(memory_store_commits(w.store), 1);
        endpoint_book_reached(b, &bob, &e2);
        a_minute_later(&w);
        assert_int_equal(memory_store_commits(w.store), 1);
        endpoint_book_reached(b, &bob, &e1);
        endpoint_book_free(b);
        assert_int_equal(memory_store_commits(w.store), 2);
        b = book_new(&w);
        set = PATH_SET_EMPTY;
        endpoint_book_fill(b, &bob, true, &set, 1);
        assert_candidates(&set, 0, "1");
        assert_false(endpoint_book_has_hint(b, &anna));
        assert_true(endpoint_book_knows(b, &anna));
        /* A broken disk is no reason to stop. */
        memory_store_fail_after(w.store, 0, -EIO);
        endpoint_book_reached(b, &bob, &e2);
        a_minute_later(&w);
        memory_store_fail_after(w.store, 0, 0);
        endpoint_book_free(b);
        book_world_done(&w);
}

/* There is no end of strangers: nothing of them stays, here or on disk. */
static void test_members_only(void **state) {
        BookWorld w;
        EndpointBook *b;
        MachineId anna, bob, stranger = { .bytes = { 3 } };
        Endpoint e1 = at("10.0.0.1"), e2 = at("10.0.0.2");
        const MeshStore *store;

        book_world_init(&w);
        store = memory_store_mesh(w.store);
        b = book_new(&w);
        anna = new_member(&w, 1);
        bob = new_member(&w, 2);
        endpoint_book_reached(b, &stranger, &e1);
        assert_false(endpoint_book_knows(b, &stranger));
        a_minute_later(&w);
        assert_int_equal(memory_store_commits(w.store), 0);
        endpoint_book_reached(b, &anna, &e1);
        endpoint_book_reached(b, &bob, &e1);
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 2);
        /* Who was one is forgotten, with what waits to be written and what people said. */
        endpoint_book_add_hint(b, &anna, &e2);
        endpoint_book_reached(b, &anna, &e2);
        endpoint_book_forget(b, &anna);
        endpoint_book_forget(b, &anna);
        assert_false(endpoint_book_knows(b, &anna));
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 1);
        /* Forgotten and found again within the minute. */
        endpoint_book_forget(b, &bob);
        endpoint_book_reached(b, &bob, &e2);
        endpoint_book_free(b);
        assert_int_equal(memory_store_size(w.store), 1);
        /* A book that an older version wrote, and a member that was revoked while we were away. */
        assert_int_equal(store->ops->put_endpoint(store->self, &stranger, &e1), 0);
        revoke_member(&w, &bob);
        b = book_new(&w);
        assert_false(endpoint_book_knows(b, &stranger));
        assert_false(endpoint_book_knows(b, &bob));
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 0);
        endpoint_book_free(b);
        book_world_done(&w);
}

/* Deleted by itself, and once: who is back stays when somebody else is written down. */
static void test_forgotten_and_back(void **state) {
        BookWorld w;
        EndpointBook *b;
        MachineId anna, bob;
        Endpoint e1 = at("10.0.0.1"), e2 = at("10.0.0.2");

        book_world_init(&w);
        b = book_new(&w);
        anna = new_member(&w, 1);
        bob = new_member(&w, 2);
        endpoint_book_reached(b, &anna, &e1);
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 1);
        endpoint_book_forget(b, &anna);
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 0);
        endpoint_book_reached(b, &anna, &e2);
        a_minute_later(&w);
        endpoint_book_reached(b, &bob, &e1);
        a_minute_later(&w);
        assert_int_equal(memory_store_size(w.store), 2);
        endpoint_book_free(b);
        book_world_done(&w);
}

static void test_hints_are_bounded(void **state) {
        BookWorld w;
        EndpointBook *b;
        MachineId id = {};
        Endpoint e = at("10.0.0.1");
        PathSet set = PATH_SET_EMPTY;

        book_world_init(&w);
        b = endpoint_book_new(&w.env, NULL, w.members);
        for (unsigned i = 0; i < HINTED_MACHINES_MAX; i++) {
                write_le32(id.bytes, i);
                endpoint_book_add_hint(b, &id, &e);
                assert_true(endpoint_book_has_hint(b, &id));
        }
        write_le32(id.bytes, HINTED_MACHINES_MAX);
        endpoint_book_add_hint(b, &id, &e);
        assert_false(endpoint_book_has_hint(b, &id));
        write_le32(id.bytes, 5);
        for (unsigned i = 2; i < 30; i++) {
                char text[20];

                snprintf(text, sizeof text, "10.0.0.%u", i);
                e = at(text);
                endpoint_book_add_hint(b, &id, &e);
        }
        endpoint_book_fill(b, &id, true, &set, 1);
        assert_candidates(&set, 0, "29 28 27 26 25 24 23 22 21 20 19 18");
        endpoint_book_free(b);
        book_world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_local_address),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_purge),
                cmocka_unit_test(test_replace),
                cmocka_unit_test(test_rtt),
                cmocka_unit_test(test_book),
                cmocka_unit_test(test_members_only),
                cmocka_unit_test(test_forgotten_and_back),
                cmocka_unit_test(test_hints_are_bounded),
        };

        return cmocka_run_group_tests_name("mesh-path", tests, NULL, NULL);
}
