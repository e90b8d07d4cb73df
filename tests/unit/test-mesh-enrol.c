/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "enrol-world.h"

static void read_uses(void *userdata, const StoredInvite *i) {
        *(unsigned *) userdata += i->uses;
}

/* --- invites --- */

static void test_join(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f);
        Invite parsed;
        Record *c;

        assert_int_equal(invite_parse(link, &parsed), 0);
        assert_true(machine_id_equal(&parsed.network, &f->net.id));
        assert_true(machine_id_equal(&parsed.issuer, &f->net.issuer->id));
        assert_string_equal(parsed.network_name, "home");
        assert_int_equal(parsed.n_endpoints, 1);
        assert_string_equal(endpoint_format(&parsed.endpoints[0]).text, SELF_ENDPOINT);
        assert_int_equal(parsed.not_after, MOCK_NOW + USEC_PER_DAY);

        assert_string_equal(join(f, a, link, "Anna's Laptop.local"), "welcome annas-laptop;");
        assert_int_equal(mock_mesh_hints(a->mock), 1);
        expect(f->log, "enrolled annas-laptop;");
        power_cycle(f);
        c = directory_certificate(f->directory, &a->identity->id);
        assert_non_null(c);
        assert_true(g_bytes_equal(c->bytes, a->certificate));
        assert_string_equal(c->body.certificate.owner, "owner");
        assert_int_equal(c->body.certificate.roles, ROLE_MEMBER | ROLE_RELAY);
        assert_int_equal(c->body.not_after - c->body.not_before, 30 * USEC_PER_DAY);
        assert_int_equal(mock_mesh_open_requests(f->mesh), 0);
}

static void test_one_use(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f), *b = add_joiner(f);
        g_autoptr(GBytes) first = NULL;

        /* The answer gets lost; asked again, it is the same. */
        f->swallow_answers = true;
        assert_string_equal(join(f, a, link, "a"), "error Timeout;");
        f->swallow_answers = false;
        power_cycle(f);
        assert_string_equal(join(f, b, link, "b"), "error InviteUsed;");
        assert_string_equal(join(f, a, link, "other"), "welcome a;");
        first = g_bytes_ref(a->certificate);
        mock_mesh_run(f->mesh, USEC_PER_HOUR);
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_true(g_bytes_equal(first, a->certificate));
        expect(f->log, "enrolled a;");
        assert_int_equal(directory_count(f->directory, RECORD_CERTIFICATE), 2);

        /* Its certificate ends, its membership does not; the invite has no part in that. */
        mock_mesh_run(f->mesh, 400 * USEC_PER_DAY);
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_false(g_bytes_equal(first, a->certificate));
        assert_string_equal(join(f, b, link, "b"), "error InviteExpired;");
}

/* Who shows an invite is a member already: the token was sent about, so it is worth nothing more. */
static void test_shown_by_a_member(void **state) {
        Fixture *f = *state;
        g_autofree char *first = invite(f, &(InviteOptions){}), *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f), *b = add_joiner(f);

        assert_string_equal(join(f, a, first, "a"), "welcome a;");
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_string_equal(join(f, b, link, "b"), "error InviteUsed;");
        power_cycle(f);
        assert_string_equal(join(f, b, link, "b"), "error InviteUsed;");
        /* Shown again it is the same use, and so is that of the invite it joined by. */
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_string_equal(join(f, a, first, "a"), "welcome a;");
        assert_int_equal(directory_count(f->directory, RECORD_CERTIFICATE), 2);
}

/* One that lets several in loses one use by it, however often the member shows it. */
static void test_shown_again_by_a_member(void **state) {
        Fixture *f = *state;
        g_autofree char *first = invite(f, &(InviteOptions){});
        g_autofree char *link = invite(f, &(InviteOptions){ .uses = 3 });
        Joiner *a = add_joiner(f), *b = add_joiner(f);
        unsigned uses = 0;

        assert_string_equal(join(f, a, first, "a"), "welcome a;");
        for (unsigned i = 0; i < 4; i++)
                assert_string_equal(join(f, a, link, "a"), "welcome a;");
        enrol_service_foreach_invite(f->service, read_uses, &uses);
        assert_int_equal(uses, 1 + 1);
        for (unsigned i = 0; i < 2; i++)
                assert_string_equal(join(f, b, link, "b"), "welcome b;");
        assert_string_equal(join(f, add_joiner(f), link, "c"), "welcome c;");
        assert_string_equal(join(f, add_joiner(f), link, "d"), "error InviteUsed;");
}

/* Who is sent away is told of by an invite that would let it in again under another name: one it
 * used itself that has uses left. */
static void test_open_invite_of(void **state) {
        Fixture *f = *state;
        g_autofree char *link = NULL, *other = invite(f, &(InviteOptions){ .uses = 5 });
        Joiner *a = add_joiner(f), *b = add_joiner(f);
        StoredInvite made, found = {};

        assert_int_equal(
                        enrol_service_invite(
                                        f->service,
                                        &(InviteOptions){ .uses = 3, .lifetime = USEC_PER_HOUR },
                                        &link, &made),
                        0);
        assert_false(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_true(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
        assert_memory_equal(found.id, made.id, INVITE_ID_SIZE);
        assert_int_equal(found.uses, 1);
        assert_false(enrol_service_open_invite_of(f->service, &b->identity->id, &found));
        /* Used up, or over. */
        assert_string_equal(join(f, b, link, "b"), "welcome b;");
        assert_true(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
        assert_string_equal(join(f, add_joiner(f), link, "c"), "welcome c;");
        assert_false(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
        assert_string_equal(join(f, a, other, "a"), "welcome a;");
        assert_true(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
        mock_mesh_run(f->mesh, 2 * USEC_PER_DAY);
        assert_false(enrol_service_open_invite_of(f->service, &a->identity->id, &found));
}

/* A use is remembered as long as the invite, also when the certificate it gave has long ended. */
static void test_use_outlives_the_certificate(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .lifetime = 365 * USEC_PER_DAY });
        Joiner *a = add_joiner(f);
        unsigned uses = 0;

        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        mock_mesh_run(f->mesh, 100 * USEC_PER_DAY);
        power_cycle(f);
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_string_equal(join(f, add_joiner(f), link, "b"), "error InviteUsed;");
        enrol_service_foreach_invite(f->service, read_uses, &uses);
        assert_int_equal(uses, 1);
}

/* Where the issuer may be found: as told, then as it says itself; once each, and no more than fit. */
static void test_endpoints_of_an_invite(void **state) {
        Fixture *f = *state;
        Endpoint hints[ENDPOINTS_MAX + 2];
        g_autofree char *few = NULL, *many = NULL;
        Invite parsed;

        for (unsigned i = 0; i < ELEMENTSOF(hints); i++) {
                g_autofree char *text = g_strdup_printf("203.0.113.%u:1", i + 1);

                assert_int_equal(endpoint_parse(text, 0, &hints[i]), 0);
        }
        assert_int_equal(endpoint_parse(SELF_ENDPOINT, 0, &hints[1]), 0);
        few = invite(f, &(InviteOptions){ .endpoints = hints, .n_endpoints = 2 });
        assert_int_equal(invite_parse(few, &parsed), 0);
        assert_int_equal(parsed.n_endpoints, 2);
        assert_true(endpoint_equal(&parsed.endpoints[0], &hints[0]));
        assert_string_equal(endpoint_format(&parsed.endpoints[1]).text, SELF_ENDPOINT);
        /* Told twice. */
        g_free(few);
        hints[2] = hints[0];
        few = invite(f, &(InviteOptions){ .endpoints = hints, .n_endpoints = 3 });
        assert_int_equal(invite_parse(few, &parsed), 0);
        assert_int_equal(parsed.n_endpoints, 2);
        assert_int_equal(endpoint_parse("203.0.113.3:1", 0, &hints[2]), 0);
        many = invite(f, &(InviteOptions){ .endpoints = hints,
                                           .n_endpoints = ELEMENTSOF(hints),
                                           .lifetime = 3650 * USEC_PER_DAY });
        assert_int_equal(invite_parse(many, &parsed), 0);
        assert_int_equal(parsed.n_endpoints, ENDPOINTS_MAX);
        assert_true(endpoint_equal(&parsed.endpoints[ENDPOINTS_MAX - 1], &hints[ENDPOINTS_MAX - 1]));
}

static void test_several_uses_and_names(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){ .uses = 4 });
        g_autofree char *named = invite(f, &(InviteOptions){ .name = "printer", .uses = 2 });
        char name[80];

        assert_string_equal(join(f, add_joiner(f), link, "pc"), "welcome pc;");
        assert_string_equal(join(f, add_joiner(f), link, "PC"), "welcome pc-2;");
        assert_string_equal(join(f, add_joiner(f), link, "pc"), "welcome pc-3;");
        assert_string_equal(join(f, add_joiner(f), link, "gateway"), "welcome gateway-2;");
        assert_string_equal(join(f, add_joiner(f), link, "pc"), "error InviteUsed;");
        assert_string_equal(join(f, add_joiner(f), named, "pc"), "welcome printer;");
        assert_string_equal(join(f, add_joiner(f), named, "pc"), "welcome printer-2;");
        /* As long as a name can be, twice: both are valid names. */
        g_free(link);
        link = invite(f, &(InviteOptions){ .uses = 2 });
        memset(name, 'x', 63);
        name[63] = '\0';
        assert_non_null(strstr(join(f, add_joiner(f), link, name), name));
        assert_non_null(strstr(join(f, add_joiner(f), link, name), "xxx-2;"));
}

static void test_expired_and_unknown(void **state) {
        Fixture *f = *state;
        g_autofree char *brief = invite(f, &(InviteOptions){ .lifetime = USEC_PER_MINUTE });
        g_autofree char *link = invite(f, &(InviteOptions){});
        g_autofree char *forged = NULL;
        Joiner *a = add_joiner(f);
        StoredInvite stored;
        char *another;
        Invite parsed;

        mock_mesh_run(f->mesh, 2 * USEC_PER_MINUTE);
        assert_string_equal(join(f, a, brief, "a"), "error InviteExpired;");
        /* An invented token is answered by nobody. */
        assert_int_equal(invite_parse(link, &parsed), 0);
        parsed.token[3] ^= 1;
        forged = invite_format(&parsed);
        assert_string_equal(join(f, a, forged, "a"), "error Timeout;");
        /* Deleted. */
        assert_int_equal(enrol_service_invite(f->service, &(InviteOptions){}, &another, &stored), 0);
        assert_int_equal(enrol_service_delete_invite(f->service, stored.id), 0);
        assert_int_equal(enrol_service_delete_invite(f->service, stored.id), -ENOENT);
        assert_string_equal(join(f, a, another, "a"), "error Timeout;");
        g_free(another);
        /* Forgotten by the issuer, but the link itself says that it is old. */
        mock_mesh_run(f->mesh, 10 * USEC_PER_DAY);
        g_free(invite(f, &(InviteOptions){}));
        assert_string_equal(join(f, a, brief, "a"), "error InviteExpired;");
        assert_int_equal(directory_count(f->directory, RECORD_CERTIFICATE), 1);
}

static void count_invite(void *userdata, const StoredInvite *i) {
        (*(unsigned *) userdata)++;
}

static void test_invites_are_bounded(void **state) {
        Fixture *f = *state;
        StoredInvite stored;
        unsigned n = 0;
        char *link;

        assert_int_equal(
                        enrol_service_invite(
                                        f->service, &(InviteOptions){ .name = "no name" }, &link,
                                        &stored),
                        -EINVAL);
        memory_store_fail_after(f->store, 1, -ENOSPC);
        assert_int_equal(enrol_service_invite(f->service, &(InviteOptions){}, &link, &stored), -ENOSPC);
        memory_store_fail_after(f->store, 0, 0);
        g_free(invite(f, &(InviteOptions){ .lifetime = USEC_PER_MINUTE }));
        for (unsigned i = 1; i < INVITES_MAX; i++)
                g_free(invite(f, &(InviteOptions){}));
        assert_int_equal(enrol_service_invite(f->service, &(InviteOptions){}, &link, &stored), -EUSERS);
        /* What is of no use makes room. */
        mock_mesh_run(f->mesh, 2 * USEC_PER_MINUTE);
        g_free(invite(f, &(InviteOptions){}));
        power_cycle(f);
        enrol_service_foreach_invite(f->service, count_invite, &n);
        assert_int_equal(n, INVITES_MAX);
        /* Those that need an approval are invites like any other. */
        assert_int_equal(
                        enrol_service_invite(
                                        f->service, &(InviteOptions){ .needs_approval = true },
                                        &link, &stored),
                        -EUSERS);
}

/* Those that let nobody in any more are of no use, too, also before they end. */
static void test_used_invites_make_room(void **state) {
        Fixture *f = *state;
        g_autofree char *used = invite(f, &(InviteOptions){ .uses = 2 });
        Joiner *a = add_joiner(f);
        StoredInvite stored;
        char *link;

        assert_string_equal(join(f, a, used, "a"), "welcome a;");
        for (unsigned i = 1; i < INVITES_MAX; i++)
                g_free(invite(f, &(InviteOptions){}));
        assert_int_equal(enrol_service_invite(f->service, &(InviteOptions){}, &link, &stored), -EUSERS);
        assert_string_equal(join(f, add_joiner(f), used, "b"), "welcome b;");
        g_free(invite(f, &(InviteOptions){}));
        assert_int_equal(enrol_service_invite(f->service, &(InviteOptions){}, &link, &stored), -EUSERS);
}

/* --- the disk --- */

static void test_store_fails(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f);

        /* begin, invite, use, record, commit: whichever fails, nothing has happened. */
        for (unsigned n = 0; n < 5; n++) {
                memory_store_fail_after(f->store, n, -EIO);
                assert_string_equal(join(f, a, link, "a"), "error Failed;");
                memory_store_fail_after(f->store, 0, 0);
                assert_null(directory_certificate(f->directory, &a->identity->id));
        }
        expect(f->log, "");
        power_cycle(f);
        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        /* The answer left after the commit: a power failure in between cannot be seen. */
        power_cycle(f);
        assert_true(
                        g_bytes_equal(directory_certificate(f->directory, &a->identity->id)->bytes,
                                      a->certificate));
        assert_string_equal(join(f, add_joiner(f), link, "b"), "error InviteUsed;");
}

/* --- revocation --- */

static void test_revoke(void **state) {
        Fixture *f = *state;
        unsigned uses = 0;
        g_autofree char *fresh = invite(f, &(InviteOptions){});
        g_autofree char *link = invite(f, &(InviteOptions){ .uses = 9 });
        Joiner *a = add_joiner(f);
        MachineId stranger = mock_machine_id(1);

        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_int_equal(enrol_service_revoke(f->service, &stranger, REVOCATION_REMOVED), -ENOENT);
        assert_int_equal(enrol_service_revoke(f->service, &f->net.issuer->id, REVOCATION_LEFT), -EPERM);
        assert_int_equal(enrol_service_revoke(f->service, &f->net.id, REVOCATION_LEFT), -EPERM);
        memory_store_fail_after(f->store, 2, -EIO);
        assert_int_equal(enrol_service_revoke(f->service, &a->identity->id, REVOCATION_LEFT), -EIO);
        memory_store_fail_after(f->store, 0, 0);
        assert_int_equal(enrol_service_revoke(f->service, &a->identity->id, REVOCATION_KEY_LOST), 0);
        power_cycle(f);
        assert_true(directory_is_revoked(f->directory, &a->identity->id));
        assert_string_equal(join(f, a, link, "a"), "error NotPermitted;");
        assert_string_equal(join(f, a, fresh, "a"), "error NotPermitted;");
        /* Which cost the invite nothing. */
        enrol_service_foreach_invite(f->service, read_uses, &uses);
        assert_int_equal(uses, 1);
}

static void test_revocations_of_a_revoked_issuer(void **state) {
        Fixture *f = *state;
        Identity *second = mock_identity(50), *victim = mock_identity(51);
        RecordBody body = f->net.issuer_certificate->body;
        g_autoptr(Record) certificate = NULL, revocation = NULL;
        Record *adopted;

        body.machine = second->id;
        g_strlcpy(body.certificate.name, "second", sizeof(body.certificate.name));
        certificate = mock_record(&f->net, f->net.root, &body);
        revocation = mock_revocation(&f->net, second, &victim->id, MOCK_NOW);
        directory_offer(f->directory, certificate, false, NULL);
        directory_offer(f->directory, revocation, false, NULL);
        assert_int_equal(enrol_service_revoke(f->service, &second->id, REVOCATION_KEY_LOST), 0);
        adopted = directory_get(f->directory, RECORD_REVOCATION, &victim->id);
        assert_true(machine_id_equal(&adopted->signer, &f->net.issuer->id));
        identity_free(second);
        identity_free(victim);
}

/* --- hostile clients --- */

static void on_raw(void *userdata, WireError error, const uint8_t *data, size_t len) {
        g_string_append(userdata, error ? wire_error_name(error) : "answer");
}

static const char *ask_raw(Fixture *f, Joiner *j, const char *channel, const void *data, size_t len) {
        const ChannelProvider *p = mock_node_provider(j->mock);

        g_string_truncate(j->log, 0);
        p->ops->request(p->self, &f->net.issuer->id, channel, data, len, USEC_PER_SEC, on_raw,
                        j->log, NULL);
        mock_mesh_run(f->mesh, 2 * USEC_PER_SEC);
        return j->log->str;
}

static void test_hostile_client(void **state) {
        Fixture *f = *state;
        Joiner *a = add_joiner(f), *b = add_joiner(f);
        EnrolRequest r = { .name = "a" };
        uint8_t data[64];
        g_autoptr(GBytes) unsigned_ = enrol_request_encode(&r), others = NULL;

        mock_mesh_link_up(f->mesh, a->mock, f->gateway);
        assert_string_equal(ask_raw(f, a, "enrol", "", 0), "Malformed");
        assert_string_equal(ask_raw(f, a, "enrol", "\xff\xff", 2), "Malformed");
        assert_string_equal(
                        ask_raw(f, a, "enrol", g_bytes_get_data(unsigned_, NULL),
                                g_bytes_get_size(unsigned_)),
                        "NotPermitted");
        /* What another machine has signed. */
        memcpy(data, f->net.id.bytes, 32);
        memcpy(data + 32, b->identity->id.bytes, 32);
        identity_sign(b->identity, ENROL_CONTEXT, data, sizeof(data), r.signature);
        others = enrol_request_encode(&r);
        assert_string_equal(
                        ask_raw(f, a, "enrol", g_bytes_get_data(others, NULL),
                                g_bytes_get_size(others)),
                        "NotPermitted");
        /* A stranger has nothing to renew; what it says does not matter. */
        assert_string_equal(ask_raw(f, a, "cert", "\xa0", 1), "NotPermitted");
        assert_string_equal(ask_raw(f, a, "cert", "", 0), "NotPermitted");
        expect(f->log, "");
}

/* --- hostile issuers --- */

static void
answer_replaced(void *userdata,
                const MachineId *sender,
                ChannelRequest *request,
                const uint8_t *data,
                size_t len) {
        Fixture *f = userdata;
        const ChannelProvider *p = mock_node_provider(f->gateway);

        p->ops->reply(p->self, request, g_bytes_get_data(f->replace_answer, NULL),
                      g_bytes_get_size(f->replace_answer));
}

enum Lie {
        HONEST,
        FOR_ANOTHER,
        SIGNED_BY_NOBODY,
        FOREIGN_NETWORK,
        NO_ISSUER,
        ENDED,
        GATEWAY_NOT_CERTIFIED,
        GATEWAY_IS_NONE,
        WE_ARE_REVOKED,
        SUBNET_LOOPBACK,
        SUBNET_ALL,
        SUBNET_TINY,
        SUBNET_MULTICAST,
        N_LIES,
};

static GBytes *make_lie(Fixture *f, const Joiner *j, enum Lie lie) {
        const MachineId *whom = lie == FOR_ANOTHER ? &f->net.root->id : &j->identity->id;
        const Identity *signer = lie == SIGNED_BY_NOBODY ? j->identity : f->net.issuer;
        static const char *const subnets[N_LIES] = {
                [SUBNET_LOOPBACK] = "127.0.0.0/8",
                [SUBNET_ALL] = "0.0.0.0/1",
                [SUBNET_TINY] = "10.0.0.0/31",
                [SUBNET_MULTICAST] = "224.0.0.0/8",
        };
        EnrolResponse r = {
                .status = ENROL_WELCOME,
                .network_name = "home",
                .gateway = lie == GATEWAY_NOT_CERTIFIED ? j->identity->id
                           : lie == GATEWAY_IS_NONE     ? mock_machine_id(3)
                                                        : f->net.issuer->id,
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
        };
        MockNetwork net = f->net;
        GBytes *bytes;

        if (lie == FOREIGN_NETWORK)
                net.id = j->identity->id;
        assert_int_equal(ip_prefix_parse(subnets[lie] ?: "10.0.0.0/16", &r.subnet), 0);
        r.certificate = mock_certificate(
                        &net, signer, whom, "a", ROLE_MEMBER,
                        MOCK_NOW - (lie == ENDED ? 60 * USEC_PER_DAY : 0));
        if (lie != NO_ISSUER)
                r.issuer_certificate = record_ref(f->net.issuer_certificate);
        if (lie == WE_ARE_REVOKED) {
                /* Only believed of an authority whose certificate came before. */
                g_ptr_array_add(r.records, record_ref(f->net.issuer_certificate));
                g_ptr_array_add(r.records, mock_revocation(&f->net, f->net.issuer, whom, MOCK_NOW));
        }
        bytes = enrol_response_encode(&r);
        enrol_response_clear(&r);
        return bytes;
}

static void test_hostile_issuer(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        const ChannelProvider *p = mock_node_provider(f->gateway);
        Joiner *a = add_joiner(f);

        assert_int_equal(p->ops->off_channel(p->self, "enrol"), 0);
        assert_int_equal(p->ops->on_channel(p->self, "enrol", NULL, answer_replaced, f), 0);
        for (enum Lie lie = HONEST; lie < N_LIES; lie++) {
                f->replace_answer = make_lie(f, a, lie);
                assert_string_equal(
                                join(f, a, link, "a"), lie == HONEST  ? "welcome a;"
                                                       : lie == ENDED ? "error ClockWrong;"
                                                                      : "error Malformed;");
                g_bytes_unref(f->replace_answer);
        }
        f->replace_answer = g_bytes_new_static("\xa1\x01\x07", 3);
        assert_string_equal(join(f, a, link, "a"), "error Malformed;");
        g_bytes_unref(f->replace_answer);
}

/* --- certificates that end --- */

static void test_renewal(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f);
        const MachineId *id = &a->identity->id;
        g_autoptr(Record) first = NULL;
        Directory *d;
        CertClient *client;
        Record *now;

        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_int_equal(directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &d), 0);
        directory_offer(d, f->net.issuer_certificate, false, NULL);
        first = record_ref(directory_certificate(f->directory, id));
        directory_offer(d, first, false, NULL);
        assert_int_equal(
                        cert_client_new(mock_mesh_of(a->mock), d, mock_mesh_env(f->mesh), id, &client),
                        0);

        /* A third of 30 days is left on the 20th. */
        mock_mesh_run(f->mesh, 19 * USEC_PER_DAY + 23 * USEC_PER_HOUR);
        assert_ptr_equal(directory_certificate(d, id), first);
        assert_ptr_equal(directory_certificate(f->directory, id), first);
        /* The gateway is away for some days, and its disk is full when it is back. */
        mock_mesh_set_reachable(f->mesh, a->mock, f->gateway, false);
        mock_mesh_run(f->mesh, 3 * USEC_PER_DAY);
        mock_mesh_set_reachable(f->mesh, a->mock, f->gateway, true);
        memory_store_fail_after(f->store, 0, -ENOSPC);
        mock_mesh_run(f->mesh, 2 * USEC_PER_HOUR);
        assert_ptr_equal(directory_certificate(d, id), first);
        memory_store_fail_after(f->store, 0, 0);
        mock_mesh_run(f->mesh, 2 * USEC_PER_HOUR);
        now = directory_certificate(d, id);
        assert_ptr_not_equal(now, first);
        assert_true(now->body.not_after > first->body.not_after + 20 * USEC_PER_DAY);
        assert_string_equal(now->body.certificate.name, "a");
        assert_true(g_bytes_equal(now->bytes, directory_certificate(f->directory, id)->bytes));
        power_cycle(f);
        assert_true(g_bytes_equal(now->bytes, directory_certificate(f->directory, id)->bytes));

        /* And so on, and nothing more often than that. */
        for (unsigned i = 0; i < 10; i++)
                mock_mesh_run(f->mesh, 30 * USEC_PER_DAY);
        now = directory_certificate(d, id);
        assert_int_equal(directory_check_peer(d, now, NULL, false), DROP_NONE);
        cert_client_free(client);
        directory_free(d);
        cert_client_free(NULL);
}

static void on_cert_changed(void *userdata) {
        ++*(unsigned *) userdata;
}

/* When it asks, how often, and what it says of it. */
static void test_renewal_pace(void **state) {
        Fixture *f = *state;
        g_autofree char *link = invite(f, &(InviteOptions){});
        Joiner *a = add_joiner(f);
        const MachineId *id = &a->identity->id;
        g_autoptr(Record) first = NULL;
        unsigned n_changed = 0;
        Directory *d;
        CertClient *client;

        assert_string_equal(join(f, a, link, "a"), "welcome a;");
        assert_int_equal(directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &d), 0);
        directory_offer(d, f->net.issuer_certificate, false, NULL);
        first = record_ref(directory_certificate(f->directory, id));
        directory_offer(d, first, false, NULL);
        assert_int_equal(
                        cert_client_new(mock_mesh_of(a->mock), d, mock_mesh_env(f->mesh), id, &client),
                        0);
        cert_client_on_changed(client, on_cert_changed, &n_changed);
        mock_mesh_run(f->mesh, 20 * USEC_PER_DAY - USEC_PER_HOUR);
        assert_int_equal(f->n_asked, 0);
        /* Within the look after the third: once, and that was it. */
        mock_mesh_run(f->mesh, 7 * USEC_PER_HOUR);
        assert_int_equal(f->n_asked, 1);
        assert_ptr_not_equal(directory_certificate(d, id), first);
        mock_mesh_run(f->mesh, 19 * USEC_PER_DAY);
        assert_int_equal(f->n_asked, 1);
        assert_int_equal(n_changed, 0);
        /* Questions that are not answered: after 1, 2, 4 ... minutes, then hourly, and the reason
         * is told once. */
        f->swallow_answers = true;
        mock_mesh_run(f->mesh, 3 * USEC_PER_DAY);
        assert_in_range(f->n_asked, 1 + 40, 1 + 80);
        assert_int_equal(n_changed, 1);
        assert_int_not_equal(cert_client_error(client), WIRE_ERROR_NONE);
        f->swallow_answers = false;
        f->n_asked = 0;
        mock_mesh_run(f->mesh, 2 * USEC_PER_HOUR);
        assert_int_equal(f->n_asked, 1);
        assert_int_equal(n_changed, 2);
        assert_int_equal(cert_client_error(client), WIRE_ERROR_NONE);
        cert_client_free(client);
        directory_free(d);
}

/* A second issuer by the root's word, whose id comes before (@before) or after the gateway's. */
static Identity *second_issuer(Fixture *f, bool before, Directory *d) {
        RecordBody body = f->net.issuer_certificate->body;
        g_autoptr(Record) certificate = NULL;
        Identity *second = mock_identity(50);

        for (unsigned i = 51; (machine_id_compare(&second->id, &f->net.issuer->id) < 0) != before;
             i++) {
                identity_free(second);
                second = mock_identity(i);
        }
        body.machine = second->id;
        g_strlcpy(body.certificate.name, "second", sizeof(body.certificate.name));
        certificate = mock_record(&f->net, f->net.root, &body);
        assert_int_equal(directory_offer(d, certificate, false, NULL), DIRECTORY_NEWS);
        return second;
}

/* Of several issuers the one that signed is asked first; while it is silent the others in turn, and
 * one that cannot be asked at all keeps nobody from asking the next. */
static void renew_beside_another(Fixture *f, bool before) {
        g_autofree char *link = invite(f, &(InviteOptions){}), *name = g_strdup(before ? "a" : "b");
        Joiner *a = add_joiner(f);
        Identity *second;
        Directory *d;
        CertClient *client;

        assert_non_null(strstr(join(f, a, link, name), "welcome"));
        assert_int_equal(directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &d), 0);
        directory_offer(d, f->net.issuer_certificate, false, NULL);
        directory_offer(d, directory_certificate(f->directory, &a->identity->id), false, NULL);
        second = second_issuer(f, before, d);
        assert_int_equal(
                        cert_client_new(mock_mesh_of(a->mock), d, mock_mesh_env(f->mesh),
                                        &a->identity->id, &client),
                        0);
        /* Nobody knows where the second is: only the gateway hears anything. */
        f->n_asked = 0;
        f->swallow_answers = true;
        mock_mesh_run(f->mesh, 23 * USEC_PER_DAY);
        assert_in_range(f->n_asked, 20, 50);
        f->swallow_answers = false;
        mock_mesh_run(f->mesh, 3 * USEC_PER_HOUR);
        assert_int_equal(cert_client_error(client), WIRE_ERROR_NONE);
        /* Now it is there and issues nothing: each time it is not even asked. */
        mock_mesh_add(f->mesh, &second->id);
        f->n_asked = 0;
        for (unsigned i = 1; i <= 3; i++) {
                mock_mesh_run(f->mesh, 21 * USEC_PER_DAY);
                assert_int_equal(f->n_asked, i);
        }
        cert_client_free(client);
        directory_free(d);
        identity_free(second);
}

static void test_renewal_beside_another_issuer(void **state) {
        renew_beside_another(*state, true);
        renew_beside_another(*state, false);
}

static void test_gateway_certificate(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) c = NULL;
        Directory *d;

        assert_int_equal(
                        enrol_make_gateway_certificate(
                                        f->net.root, &f->net.issuer->id, "My Gateway", "me",
                                        MOCK_NOW, &c),
                        0);
        assert_int_equal(directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &d), 0);
        assert_int_equal(directory_offer(d, c, true, NULL), DIRECTORY_NEWS);
        assert_non_null(directory_issuer(d, &f->net.issuer->id));
        assert_true(c->body.certificate.roles & ROLE_GATEWAY);
        directory_free(d);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_join),
                T(test_one_use),
                T(test_shown_by_a_member),
                T(test_shown_again_by_a_member),
                T(test_open_invite_of),
                T(test_use_outlives_the_certificate),
                T(test_endpoints_of_an_invite),
                T(test_several_uses_and_names),
                T(test_expired_and_unknown),
                T(test_invites_are_bounded),
                T(test_used_invites_make_room),
                T(test_store_fails),
                T(test_revoke),
                T(test_revocations_of_a_revoked_issuer),
                T(test_hostile_client),
                T(test_hostile_issuer),
                T(test_renewal),
                T(test_renewal_pace),
                T(test_renewal_beside_another_issuer),
                T(test_gateway_certificate),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
