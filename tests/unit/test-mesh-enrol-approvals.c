/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "enrol-world.h"

/* Each of its joiners comes from an address of its own, unless the test says otherwise. */
static void set_source(Joiner *j, const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 18002, &e), 0);
        mock_mesh_set_endpoint(j->mock, &e);
}

static Joiner *add_applicant(Fixture *f) {
        Joiner *j = add_joiner(f);
        g_autofree char *at = g_strdup_printf("198.51.100.%u", f->n_joiners);

        set_source(j, at);
        return j;
}

static void count_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        (*(unsigned *) userdata)++;
}

static unsigned n_pending(Fixture *f) {
        unsigned n = 0;

        enrol_service_foreach_pending(f->service, count_pending, &n);
        return n;
}

static void find_approval_invite(void *userdata, const StoredInvite *i) {
        if (i->needs_approval)
                *(StoredInvite *) userdata = *i;
}

static StoredInvite approval_invite(Fixture *f) {
        StoredInvite found = {};

        enrol_service_foreach_invite(f->service, find_approval_invite, &found);
        return found;
}

static void test_approval(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        Joiner *a = add_joiner(f), *b = add_joiner(f);

        start(f, a, link, "anna", 10 * USEC_PER_SEC);
        start(f, b, link, "bert", 10 * USEC_PER_SEC);
        /* Longer than the link is good for: they have asked in time. */
        mock_mesh_run(f->mesh, 25 * USEC_PER_HOUR);
        expect(a->log, "pending;");
        expect(f->log, "+pending anna;+pending bert;");
        assert_int_equal(enrol_service_approve(f->service, &f->net.root->id), -ENOENT);
        assert_int_equal(enrol_service_refuse(f->service, &b->identity->id), 0);
        assert_int_equal(enrol_service_refuse(f->service, &b->identity->id), -ENOENT);
        assert_int_equal(enrol_service_approve(f->service, &a->identity->id), 0);
        assert_int_equal(enrol_service_approve(f->service, &a->identity->id), -ENOENT);
        expect(f->log, "-pending bert;-pending anna;enrolled anna;");
        power_cycle(f);
        assert_non_null(directory_certificate(f->directory, &a->identity->id));
        assert_null(directory_certificate(f->directory, &b->identity->id));
        assert_int_equal(approval_invite(f).uses, 1);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        expect(a->log, "welcome anna;");
}

/* A member that shows such a link takes nobody's place: it is no secret that lets in. */
static void test_shown_by_a_member(void **state) {
        Fixture *f = *state;
        g_autofree char *first = invite(f, &(InviteOptions){});
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        Joiner *a = add_joiner(f), *b = add_joiner(f);

        assert_string_equal(join(f, a, first, "anna"), "welcome anna;");
        assert_string_equal(join(f, a, link, "anna"), "welcome anna;");
        assert_int_equal(n_pending(f), 0);
        assert_int_equal(approval_invite(f).uses, 0);
        assert_string_equal(join(f, b, link, "bert"), "pending;");
        assert_int_equal(enrol_service_approve(f->service, &b->identity->id), 0);
}

static void test_refused(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        Joiner *a = add_joiner(f), *b = add_joiner(f);

        start(f, a, link, "anna", 10 * USEC_PER_SEC);
        mock_mesh_run(f->mesh, 7 * USEC_PER_SEC);
        assert_int_equal(enrol_service_refuse(f->service, &a->identity->id), 0);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        expect(a->log, "pending;error NotPermitted;");
        assert_string_equal(join(f, a, link, "anna"), "error NotPermitted;");
        assert_int_equal(n_pending(f), 0);
        /* The link is as good as before, and a while later it may ask again. */
        assert_string_equal(join(f, b, link, "bert"), "pending;");
        mock_mesh_run(f->mesh, 11 * USEC_PER_MINUTE);
        assert_string_equal(join(f, a, link, "anna"), "pending;");
}

/* What is stored of such a link is what is stored of any, and that it needs an approval. */
static void test_approval_link_is_an_invite(void **state) {
        Fixture *f = *state;
        g_autofree char *link =
                        invite(f, &(InviteOptions){ .needs_approval = true, .name = "printer" });
        Joiner *a = add_applicant(f), *b = add_applicant(f), *late = add_applicant(f);
        StoredInvite stored;
        _cleanup_(secret_unrefp) Secret *wrong = secret_new((const uint8_t[SECRET_SIZE]){ 1 });

        power_cycle(f);
        stored = approval_invite(f);
        assert_int_equal(stored.uses_max, 1);
        /* Nobody gets that far without the token. */
        assert_int_equal(
                        mesh_connect_to_enrol(
                                        mock_mesh_of(a->mock), &f->net.issuer->id, stored.id, wrong),
                        0);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        assert_int_equal(n_pending(f), 0);
        start(f, a, link, "anna", 10 * USEC_PER_SEC);
        start(f, b, link, "bert", 10 * USEC_PER_SEC);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        assert_int_equal(n_pending(f), 2);
        /* An approval is a use, and gives the name that the invite says. */
        assert_int_equal(enrol_service_approve(f->service, &a->identity->id), 0);
        assert_int_equal(enrol_service_approve(f->service, &b->identity->id), -EDQUOT);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        expect(a->log, "pending;welcome printer;");
        expect(b->log, "pending;error InviteUsed;");
        assert_int_equal(n_pending(f), 0);
        assert_string_equal(join(f, b, link, "bert"), "error InviteUsed;");
        mock_mesh_run(f->mesh, 2 * USEC_PER_DAY);
        assert_string_equal(join(f, late, link, "late"), "error InviteExpired;");
}

static void test_approval_link_withdrawn(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        g_autofree char *other = invite(f, &(InviteOptions){ .uses = 5 });
        Joiner *a = add_applicant(f), *b = add_applicant(f);
        StoredInvite stored = approval_invite(f);

        start(f, a, link, "anna", 10 * USEC_PER_SEC);
        mock_mesh_run(f->mesh, 7 * USEC_PER_SEC);
        expect(f->log, "+pending anna;");
        assert_int_equal(enrol_service_delete_invite(f->service, stored.id), 0);
        expect(f->log, "-pending anna;");
        assert_int_equal(enrol_service_approve(f->service, &a->identity->id), -ENOENT);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        expect(a->log, "pending;error InviteInvalid;");
        assert_string_equal(join(f, b, other, "bert"), "welcome bert;");
}

/* Who waits by one link is not let in by another that has expired. */
static void test_wait_opens_no_other_link(void **state) {
        Fixture *f = *state;
        g_autofree char *old = invite(f, &(InviteOptions){ .lifetime = USEC_PER_MINUTE });
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        Joiner *a = add_applicant(f);

        mock_mesh_run(f->mesh, 5 * USEC_PER_MINUTE);
        assert_string_equal(join(f, a, link, "anna"), "pending;");
        assert_string_equal(join(f, a, old, "anna"), "error InviteExpired;");
        assert_null(directory_certificate(f->directory, &a->identity->id));
}

/* A waiting machine whose gateway says nothing any more gives up when the link has run out. */
static void test_wait_ends(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        Joiner *a = add_applicant(f);

        start(f, a, link, "anna", 10 * USEC_PER_SEC);
        mock_mesh_run(f->mesh, 10 * USEC_PER_SEC);
        f->swallow_answers = true;
        mock_mesh_run(f->mesh, USEC_PER_DAY);
        expect(a->log, "pending;");
        mock_mesh_run(f->mesh, USEC_PER_DAY + USEC_PER_HOUR);
        expect(a->log, "error InviteExpired;");
}

/* One link that is passed around, and all of them. */
static void test_applicants_are_bounded(void **state) {
        Fixture *f = *state;
        const unsigned n_links = APPROVALS_PENDING_MAX / APPROVALS_PER_INVITE_MAX;
        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func(g_free);
        Joiner *late = add_applicant(f), *first = NULL;

        for (unsigned i = 0; i <= n_links; i++)
                g_ptr_array_add(links, invite(f, &(InviteOptions){ .needs_approval = true }));
        for (unsigned i = 0; i < APPROVALS_PENDING_MAX; i++) {
                Joiner *j = add_applicant(f);

                first = first ?: j;
                start(f, j, links->pdata[i / APPROVALS_PER_INVITE_MAX], "x", USEC_PER_MINUTE);
                if (i == APPROVALS_PER_INVITE_MAX - 1) {
                        /* The first link is full; the others are not. */
                        mock_mesh_run(f->mesh, USEC_PER_SEC);
                        assert_string_equal(join(f, late, links->pdata[0], "late"), "error Full;");
                }
        }
        mock_mesh_run(f->mesh, USEC_PER_SEC);
        assert_int_equal(n_pending(f), APPROVALS_PENDING_MAX);
        assert_string_equal(join(f, late, links->pdata[n_links], "late"), "error Full;");
        /* A refusal makes room at once, and the refused one takes nobody's place. */
        assert_int_equal(enrol_service_refuse(f->service, &first->identity->id), 0);
        assert_string_equal(join(f, late, links->pdata[n_links], "late"), "pending;");
        assert_string_equal(join(f, first, links->pdata[0], "x"), "error NotPermitted;");
        assert_int_equal(n_pending(f), APPROVALS_PENDING_MAX);
        /* Who does not ask any more has gone. */
        for (unsigned i = 0; i < f->n_joiners; i++)
                f->joiner[i].client = enrol_client_free(f->joiner[i].client);
        mock_mesh_run(f->mesh, 12 * USEC_PER_MINUTE);
        assert_int_equal(n_pending(f), 0);
        assert_int_equal(f->service->refusals.length, 0);
}

static void test_applicants_of_one_address(void **state) {
        static const char *const same[][APPROVALS_PER_SOURCE_MAX + 1] = {
                { "203.0.113.5:1", "203.0.113.5:2", "203.0.113.5:3", "203.0.113.5:4", "203.0.113.5" },
                { "[2001:db8:1:2::1]:1", "[2001:db8:1:2::2]:1", "[2001:db8:1:2::3]:1",
                  "[2001:db8:1:2::4]:1", "[2001:db8:1:2:ffff::]:1" },
        };
        static const char *const other[] = { "203.0.113.6:1", "[2001:db8:1:3::1]:1" };
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(other); i++) {
                g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
                unsigned before = n_pending(f);
                Joiner *j;

                for (unsigned k = 0; k < APPROVALS_PER_SOURCE_MAX + 1; k++) {
                        j = add_joiner(f);
                        set_source(j, same[i][k]);
                        assert_string_equal(
                                        join(f, j, link, "x"),
                                        k < APPROVALS_PER_SOURCE_MAX ? "pending;" : "error Full;");
                }
                set_source(j, other[i]);
                assert_string_equal(join(f, j, link, "x"), "pending;");
                assert_int_equal(n_pending(f), before + APPROVALS_PER_SOURCE_MAX + 1);
        }
}

/* However many are refused, only so many are remembered: the last ones. */
static void test_refusals_are_bounded(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .needs_approval = true });
        StoredInvite stored = approval_invite(f);
        EnrolRequest request = { .name = "x" };
        Endpoint nowhere = {};
        MachineId id = {};

        for (unsigned i = 0; i < 2 * APPROVALS_REFUSED_MAX; i++) {
                write_le32(id.bytes, i);
                assert_int_equal(enrol_apply(f->service, stored.id, &id, &nowhere, &request), 0);
                assert_int_equal(enrol_service_refuse(f->service, &id), 0);
                assert_int_equal(enrol_apply(f->service, stored.id, &id, &nowhere, &request), -EPERM);
                assert_true(f->service->refusals.length <= APPROVALS_REFUSED_MAX);
        }
        assert_int_equal(n_pending(f), 0);
        write_le32(id.bytes, APPROVALS_REFUSED_MAX - 1);
        assert_int_equal(enrol_apply(f->service, stored.id, &id, &nowhere, &request), 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_approval),
                T(test_applicants_are_bounded),
                T(test_shown_by_a_member),
                T(test_refused),
                T(test_approval_link_is_an_invite),
                T(test_approval_link_withdrawn),
                T(test_wait_ends),
                T(test_wait_opens_no_other_link),
                T(test_applicants_of_one_address),
                T(test_refusals_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
