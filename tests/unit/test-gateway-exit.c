/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <string.h>

#include "base/macros.h"
#include "gateway/exit-policy.h"
#include "gateway/exit.h"
#include "nft-model.h"

#define STATE(s) (1U << ((s) + 1))

static IpAddr ip(const char *text) {
        IpAddr a = {};

        assert_int_equal(ip_parse(text, &a), 0);
        return a;
}

static IpPrefix prefix(const char *text) {
        IpPrefix p = {};

        assert_int_equal(ip_prefix_parse(text, &p), 0);
        return p;
}

/* --- the twins, which know what is meant and not how it is done --- */

static bool in(const IpAddr *a, const char *text) {
        IpPrefix p = prefix(text);

        return p.addr.family == a->family && ip_prefix_contains(&p, a);
}

static bool in_links(const GArray *links, const IpAddr *a) {
        for (unsigned i = 0; i < links->len; i++) {
                const IpPrefix *p = &g_array_index(links, IpPrefix, i);

                if (p->addr.family == a->family && ip_prefix_contains(p, a))
                        return true;
        }
        return false;
}

static IpAddr embedded(const IpAddr *a, unsigned at) {
        IpAddr v4 = { .family = AF_INET };

        memcpy(v4.bytes, a->bytes + at, 4);
        return v4;
}

static bool is_internet(const GArray *links, const IpAddr *a) {
        static const char *const not [] = {
                "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10", "127.0.0.0/8",
                "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",  "192.168.0.0/16",
                "198.18.0.0/15",  "224.0.0.0/4",   "240.0.0.0/4",   "2001::/32",
        };
        IpAddr v4;

        if (in_links(links, a))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(not ); i++)
                if (in(a, not [i]))
                        return false;
        if (a->family == AF_INET)
                return true;
        if (in(a, "2002::/16")) {
                v4 = embedded(a, 2);
                return is_internet(links, &v4);
        }
        if (in(a, "64:ff9b::/96")) {
                v4 = embedded(a, 12);
                return is_internet(links, &v4);
        }
        return in(a, "2000::/3");
}

/* --- addresses worth trying --- */

static const char *const corners[] = {
        "0.0.0.0",
        "9.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "127.0.0.1",
        "128.0.0.0",
        "169.253.255.255",
        "169.254.169.254",
        "169.255.0.0",
        "172.15.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.1.0",
        "192.167.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.20.0.0",
        "203.0.113.0",
        "203.0.113.255",
        "203.0.114.0",
        "223.255.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "8.8.8.8",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::10.0.0.1",
        "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b::",
        "64:ff9b::a00:1",
        "64:ff9b::808:808",
        "64:ff9b::ffff:ffff",
        "64:ff9b::1:0:0",
        "64:ff9b:1::a00:1",
        "100::1",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2000::",
        "2001::1",
        "2001:0:a00:1::",
        "2001:1::",
        "2001:db8::1",
        "2001:ffff:ffff:ffff::1",
        "2002::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "2002:c0a8:101::",
        "2002:ffff:ffff::",
        "2003::",
        "2a00:1::",
        "2a00:1::ffff",
        "2a00:1:0:1::",
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "4000::",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "fe80::5efe:a00:1",
        "fec0::1",
        "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

/* A corner, or near one, or anything. */
static IpAddr draw(GRand *rand, int family) {
        for (;;) {
                IpAddr a = ip(corners[g_rand_int_range(rand, 0, ELEMENTSOF(corners))]);

                if (a.family != family)
                        continue;
                for (int n = g_rand_int_range(rand, 0, 3); n > 0; n--)
                        a.bytes[g_rand_int_range(rand, 0, (int) ip_size(&a))] =
                                        (uint8_t) g_rand_int(rand);
                return a;
        }
}

static GArray *some_links(void) {
        static const char *const texts[] = { "203.0.113.0/24", "192.168.7.0/24", "2a00:1::/64",
                                             "fe80::/64", "203.0.113.128/25" };
        GArray *links = g_array_new(FALSE, FALSE, sizeof(IpPrefix));

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                IpPrefix p = prefix(texts[i]);

                g_array_append_val(links, p);
        }
        return links;
}

/* --- ranges --- */

static bool in_ranges(const GArray *ranges, const IpAddr *a) {
        for (unsigned i = 0; i < ranges->len; i++) {
                const ExitRange *r = &g_array_index(ranges, ExitRange, i);

                if (memcmp(r->first.bytes, a->bytes, 16) <= 0 &&
                    memcmp(a->bytes, r->last.bytes, 16) <= 0)
                        return true;
        }
        return false;
}

static void test_ranges(void **state) {
        static const int families[] = { AF_INET, AF_INET6 };
        unsigned seed = g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(GArray) links = some_links();

        print_message("seed %u\n", seed);
        for (size_t f = 0; f < ELEMENTSOF(families); f++) {
                g_autoptr(GArray) ranges = exit_ranges(families[f], links);

                for (unsigned i = 1; i < ranges->len; i++)
                        assert_true(memcmp(g_array_index(ranges, ExitRange, i - 1).last.bytes,
                                           g_array_index(ranges, ExitRange, i).first.bytes, 16) < 0);
                for (unsigned i = 0; i < 100000; i++) {
                        IpAddr a = draw(rand, families[f]);

                        if (in_ranges(ranges, &a) == is_internet(links, &a))
                                fail_msg("%s", ip_format(&a).text);
                }
        }
}

/* --- policy --- */

static MachineId machine(unsigned n) {
        MachineId id = { .bytes = { (uint8_t) n } };

        return id;
}

static ExitSubject subject(ExitSubjectKind kind, unsigned n, const char *owner) {
        ExitSubject s = { .kind = kind };

        if (kind == EXIT_MACHINE)
                s.machine = machine(n);
        if (kind == EXIT_OWNER)
                g_strlcpy(s.owner, owner, sizeof s.owner);
        return s;
}

static void test_policy(void **state) {
        static const char *const owners[] = { "anna", "anna b", "", "*" };
        unsigned seed = g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        print_message("seed %u\n", seed);
        for (unsigned round = 0; round < 200; round++) {
                /* 0: nothing was said, 1: allowed, 2: denied */
                int all = 0, of_owner[ELEMENTSOF(owners)] = {}, of_machine[4] = {};
                ExitPolicy *p = exit_policy_new(), *again;
                g_autofree char *text = NULL;

                for (int n = g_rand_int_range(rand, 0, 10); n > 0; n--) {
                        unsigned kind = (unsigned) g_rand_int_range(rand, 0, 3);
                        unsigned k = (unsigned) g_rand_int_range(rand, 0, 4);
                        bool allowed = g_rand_boolean(rand);
                        ExitSubject s = subject((ExitSubjectKind) kind, k, owners[k]);

                        if (kind == EXIT_OWNER && owners[k][0] == '\0')
                                continue;
                        assert_int_equal(exit_policy_set_access(p, &s, allowed), 0);
                        *(kind == EXIT_ALL     ? &all
                          : kind == EXIT_OWNER ? &of_owner[k]
                                               : &of_machine[k]) = allowed ? 1 : 2;
                }
                text = exit_policy_format(p);
                assert_int_equal(exit_policy_parse(text, &again), 0);
                for (unsigned k = 0; k < 4; k++)
                        for (unsigned o = 0; o < ELEMENTSOF(owners); o++) {
                                MachineId id = machine(k);
                                int said = of_machine[k] ?: of_owner[o] ?: all;

                                assert_int_equal(exit_policy_allows(p, &id, owners[o]), said != 2);
                                assert_int_equal(exit_policy_allows(again, &id, owners[o]), said != 2);
                        }
                exit_policy_free(p);
                exit_policy_free(again);
        }
}

static void test_policy_hostile(void **state) {
        static const char *const bad[] = {
                "allow",
                "allow ",
                "allow owner:",
                "deny machine:x",
                "lan 10.0.0.1/8 *",
                "lan 10.0.0.0/8",
                "permit *",
                "lan  *",
                "allow owner:a\x01",
                "allow owner:\xff",
                "lan ::/129 *",
                "allow **",
                "lan 10.0.0.0/8 machine:",
        };
        ExitSubject s = subject(EXIT_ALL, 0, NULL);
        g_autoptr(GString) text = g_string_new(NULL);
        ExitPolicy *p;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (exit_policy_parse(bad[i], &p) != -EINVAL)
                        fail_msg("taken: %s", bad[i]);
        g_string_append_printf(text, "allow owner:%0*d", OWNER_MAX_LEN + 1, 0);
        assert_int_equal(exit_policy_parse(text->str, &p), -EINVAL);
        /* No more words than there is room for, whoever wrote them. */
        p = exit_policy_new();
        for (unsigned i = 0; i < EXIT_WORDS_MAX; i++) {
                IpPrefix lan = { .addr = ip_from_v4(i << 8), .len = 24 };

                assert_int_equal(exit_policy_set_lan(p, &lan, &s, true), 0);
                assert_int_equal(exit_policy_set_lan(p, &lan, &s, true), 0);
        }
        assert_int_equal(exit_policy_set_access(p, &s, false), -ENOSPC);
        exit_policy_free(p);
}

/* What is granted to one machine never overlaps, in whatever order it was said. */
static void test_granted(void **state) {
        static const char *const texts[] = { "192.168.7.0/24", "192.168.0.0/16", "192.168.7.2/32",
                                             "192.168.8.0/24", "fd00::/8",       "fd00:1::/64" };
        unsigned seed = g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        MachineId id = machine(1);

        print_message("seed %u\n", seed);
        for (unsigned round = 0; round < 200; round++) {
                g_autoptr(GArray) granted = g_array_new(FALSE, FALSE, sizeof(IpPrefix));
                ExitPolicy *p = exit_policy_new();
                bool said[ELEMENTSOF(texts)] = {};

                for (unsigned n = 0; n < 5; n++) {
                        unsigned i = (unsigned) g_rand_int_range(rand, 0, ELEMENTSOF(texts));
                        ExitSubject s = subject(
                                        g_rand_boolean(rand) ? EXIT_OWNER : EXIT_MACHINE, 1, "anna");
                        IpPrefix lan = prefix(texts[i]);

                        assert_int_equal(exit_policy_set_lan(p, &lan, &s, true), 0);
                        said[i] = true;
                }
                exit_policy_granted(p, &id, "anna", granted);
                for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                        IpPrefix lan = prefix(texts[i]);
                        unsigned covering = 0;

                        for (unsigned k = 0; k < granted->len; k++)
                                covering += ip_prefix_contains(
                                                &g_array_index(granted, IpPrefix, k), &lan.addr);
                        if (said[i])
                                assert_int_equal(covering, 1);
                }
                exit_policy_free(p);
        }
}

/* --- the table --- */

typedef struct World {
        NftModel *model;
        Exit *exit;
        ExitRules rules;
} World;

static void add_member(World *w, const char *text) {
        IpAddr a = ip(text);

        g_array_append_val(w->rules.members, a);
}

static void grant(World *w, const char *member, const char *text) {
        ExitGrant g = { .prefix = prefix(text) };

        if (member)
                g.member = ip(member);
        g_array_append_val(w->rules.grants, g);
}

static void world_begin(World *w) {
        w->model = nft_model_new("omerta-omerta0");
        w->exit = exit_new(&w->model->nft);
        exit_rules_init(&w->rules);
        g_strlcpy(w->rules.interface, "omerta0", sizeof w->rules.interface);
        w->rules.subnet[0] = prefix("10.0.0.0/16");
        w->rules.subnet[1] = prefix("fd00:1:2:3::/64");
        g_array_unref(w->rules.links);
        w->rules.links = some_links();
        add_member(w, "10.0.0.100");
        add_member(w, "fd00:1:2:3::100");
}

static void world_end(World *w) {
        exit_free(w->exit);
        exit_rules_clear(&w->rules);
}

static ModelPacket packet(const char *source, const char *destination) {
        return (ModelPacket){
                .iif = "omerta0",
                .oif = "eth0",
                .family = ip(source).family,
                .source = ip(source),
                .destination = ip(destination),
                .original = ip(destination),
                .protocol = IPPROTO_UDP,
                .ct_state = STATE(IP_CT_NEW),
        };
}

static bool grants_it(const World *w, const ModelPacket *p, bool to_all) {
        for (unsigned i = 0; i < w->rules.grants->len; i++) {
                const ExitGrant *g = &g_array_index(w->rules.grants, ExitGrant, i);

                if (g->prefix.addr.family != p->family ||
                    !ip_prefix_contains(&g->prefix, &p->destination))
                        continue;
                if (to_all ? !ip_is_set(&g->member) : ip_equal(&g->member, &p->source))
                        return true;
        }
        return false;
}

static bool may(const World *w, const ModelPacket *p) {
        bool is_member = false;

        for (unsigned i = 0; i < w->rules.members->len; i++)
                is_member = is_member ||
                            ip_equal(&g_array_index(w->rules.members, IpAddr, i), &p->source);
        if (!ip_prefix_contains(&w->rules.subnet[p->family == AF_INET ? 0 : 1], &p->source))
                return false;
        if (grants_it(w, p, false))
                return true;
        return is_member && (grants_it(w, p, true) || is_internet(w->rules.links, &p->destination));
}

static void test_table(void **state) {
        static const char *const sources[] = {
                "10.0.0.100",      "10.0.0.101",      "10.1.0.100",      "192.168.7.9", "8.8.8.8",
                "fd00:1:2:3::100", "fd00:1:2:3::101", "fd00:1:2:4::100", "2a00:1::9",
        };
        unsigned seed = g_random_int(), allowed = 0;
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        World w = {};

        print_message("seed %u\n", seed);
        world_begin(&w);
        grant(&w, NULL, "192.168.7.0/24");
        grant(&w, NULL, "192.168.7.128/25");
        grant(&w, "10.0.0.101", "192.168.0.0/17");
        grant(&w, "10.0.0.100", "172.16.0.0/12");
        grant(&w, "fd00:1:2:3::101", "fd00:ec2::/32");
        grant(&w, NULL, "2a00:1::/64");
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        for (unsigned i = 0; i < 100000; i++) {
                ModelPacket p = packet(
                                sources[g_rand_int_range(rand, 0, ELEMENTSOF(sources))], "8.8.8.8");
                ModelVerdict v;

                p.destination = p.original = draw(rand, p.family);
                if (p.family == AF_INET && ip_prefix_contains(&w.rules.subnet[0], &p.destination))
                        continue;
                v = nft_model_run(w.model, "forward", &p);
                if ((v.what == MODEL_ACCEPT) != may(&w, &p))
                        fail_msg("%s to %s", ip_format(&p.source).text,
                                 ip_format(&p.destination).text);
                allowed += v.what == MODEL_ACCEPT;
                assert_true(v.what == MODEL_ACCEPT || v.what == MODEL_UNREACHABLE);
        }
        assert_true(allowed > 1000);
        world_end(&w);
}

static ModelVerdict forward(World *w, ModelPacket p) {
        return nft_model_run(w->model, "forward", &p);
}

/* The rest of the rules, one packet each. */
static void test_rules(void **state) {
        ModelPacket out = packet("10.0.0.100", "8.8.8.8"), in_, p;
        World w = {};

        world_begin(&w);
        g_strlcpy(w.rules.guarded[0], "eth0", sizeof w.rules.guarded[0]);
        w.rules.n_guarded = 1;
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(forward(&w, out).what, MODEL_ACCEPT);
        assert_false(forward(&w, out).clamped);
        p = out;
        p.protocol = IPPROTO_TCP;
        p.tcp_flags = 0x02;
        assert_true(forward(&w, p).clamped);
        p.destination = ip("192.168.1.1");
        assert_int_equal(forward(&w, p).what, MODEL_RESET);
        p = out;
        p.too_many = true;
        assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);
        p.ct_state = STATE(IP_CT_ESTABLISHED);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        p = out;
        p.ct_state = 1; /* invalid */
        assert_int_equal(forward(&w, p).what, MODEL_DROP);
        p = out;
        p.oif = "omerta0";
        assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);
        /* Somebody leads our address in the network elsewhere: Docker's ports. */
        p = packet("10.0.0.100", "172.17.0.2");
        p.ct_status = IPS_DST_NAT;
        p.original = ip("10.0.0.1");
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        p.original = ip("203.0.114.1");
        assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);

        in_ = packet("8.8.8.8", "10.0.0.100");
        in_.iif = "eth0";
        in_.oif = "omerta0";
        assert_int_equal(forward(&w, in_).what, MODEL_DROP);
        in_.ct_state = STATE(IP_CT_ESTABLISHED);
        assert_int_equal(forward(&w, in_).what, MODEL_ACCEPT);
        in_.protocol = IPPROTO_TCP;
        in_.tcp_flags = 0x12;
        assert_true(forward(&w, in_).clamped);
        in_.ct_state = STATE(IP_CT_NEW);
        in_.ct_status = IPS_DST_NAT;
        assert_int_equal(forward(&w, in_).what, MODEL_ACCEPT);

        /* No router for others by an interface that was none; but by its own. */
        p = packet("8.8.8.8", "172.17.0.2");
        p.iif = "eth0";
        p.oif = "docker0";
        assert_int_equal(forward(&w, p).what, MODEL_DROP);
        p.ct_state = STATE(IP_CT_ESTABLISHED);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        p.ct_state = STATE(IP_CT_NEW);
        p.oif = "omerta1";
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        p.iif = "docker0";
        p.oif = "eth0";
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        world_end(&w);
}

static void test_input_and_masquerade(void **state) {
        ModelPacket p = packet("10.0.0.100", "10.0.0.1");
        World w = {};

        world_begin(&w);
        grant(&w, "10.0.0.100", "192.168.7.1/32");
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(nft_model_run(w.model, "input", &p).what, MODEL_ACCEPT);
        p.destination = ip("192.168.7.1");
        assert_int_equal(nft_model_run(w.model, "input", &p).what, MODEL_ACCEPT);
        p.destination = ip("192.168.8.1");
        assert_int_equal(nft_model_run(w.model, "input", &p).what, MODEL_UNREACHABLE);
        p.iif = "eth0";
        assert_int_equal(nft_model_run(w.model, "input", &p).what, MODEL_ACCEPT);
        p = packet("fd00:1:2:3::100", "2a00:1::1");
        assert_int_equal(nft_model_run(w.model, "input", &p).what, MODEL_UNREACHABLE);

        p = packet("10.0.0.100", "8.8.8.8");
        assert_true(nft_model_run(w.model, "postrouting", &p).masqueraded);
        p.oif = "omerta0";
        assert_false(nft_model_run(w.model, "postrouting", &p).masqueraded);
        p = packet("10.1.0.100", "8.8.8.8");
        assert_false(nft_model_run(w.model, "postrouting", &p).masqueraded);
        p = packet("fd00:1:2:3::100", "2a00:2::1");
        assert_true(nft_model_run(w.model, "postrouting", &p).masqueraded);
        p.iif = "eth1";
        assert_false(nft_model_run(w.model, "postrouting", &p).masqueraded);
        world_end(&w);
}

/* --- what changes --- */

/* Members come and go without the table being made anew, and many at once. */
static void test_members_change(void **state) {
        ModelPacket p = packet("10.0.0.100", "8.8.8.8");
        unsigned commits;
        World w = {};

        world_begin(&w);
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        for (uint32_t i = 0; i < 10000; i++) {
                IpAddr a = ip_from_v4(0x0a000200 + i);

                g_array_append_val(w.rules.members, a);
        }
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(nft_model_set_size(w.model, "members4"), 10001);
        assert_int_equal(nft_model_set_size(w.model, "back4"), 10001);
        commits = w.model->commits;
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(w.model->commits, commits);
        /* Denied. */
        g_array_remove_index(w.rules.members, 5000);
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(w.model->commits, commits + 1);
        assert_int_equal(nft_model_set_size(w.model, "members4"), 10000);
        /* The table is another one: members and what they had stay. */
        grant(&w, NULL, "192.168.7.0/24");
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(nft_model_set_size(w.model, "members4"), 10000);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        assert_int_equal(exit_read_usage(w.exit), 0);
        assert_int_equal(exit_usage(w.exit, &p.source).packets_out, 4);
        assert_int_equal(exit_usage(w.exit, &p.source).bytes_out, 400);
        /* And so does what was refused. */
        p.destination = ip("192.168.8.1");
        assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);
        grant(&w, NULL, "192.168.9.0/24");
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);
        assert_int_equal(exit_read_refused(w.exit), 0);
        assert_int_equal(exit_refused(w.exit), 2);
        assert_int_equal(exit_too_many(w.exit), 0);
        world_end(&w);
}

/* Where something fails nothing is thought to be there that is not. */
static void test_failures(void **state) {
        ModelPacket p = packet("10.0.0.100", "8.8.8.8"), denied = packet("10.0.0.101", "8.8.8.8");
        World w = {};

        world_begin(&w);
        add_member(&w, "10.0.0.101");
        w.model->fail = -EPERM;
        assert_int_equal(exit_apply(w.exit, &w.rules), -EPERM);
        assert_false(w.model->is_there);
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        assert_int_equal(forward(&w, denied).what, MODEL_ACCEPT);
        /* Whom a delete did not reach is out all the same. */
        g_array_set_size(w.rules.members, 2);
        w.model->fail = -ENOMEM;
        assert_int_equal(exit_apply(w.exit, &w.rules), 0);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        assert_int_equal(forward(&w, denied).what, MODEL_UNREACHABLE);
        /* Gone, and made anew. */
        w.model->is_there = false;
        g_hash_table_remove_all(w.model->sets);
        g_hash_table_remove_all(w.model->chains);
        assert_int_equal(exit_check(w.exit), 0);
        assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
        assert_int_equal(forward(&w, denied).what, MODEL_UNREACHABLE);
        world_end(&w);
}

/* Names of interfaces are anybody's. */
static void test_names(void **state) {
        static const char *const names[] = { "a",  "fifteen-chars-x", "\"; drop", "omerta",
                                             "..", "ünicode" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                ModelPacket p = packet("10.0.0.100", "8.8.8.8");
                World w = {};

                world_begin(&w);
                g_strlcpy(w.rules.interface, names[i], sizeof w.rules.interface);
                assert_int_equal(exit_apply(w.exit, &w.rules), 0);
                p.iif = names[i];
                assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
                assert_true(nft_model_run(w.model, "postrouting", &p).masqueraded);
                p.destination = ip("10.9.9.9");
                assert_int_equal(forward(&w, p).what, MODEL_UNREACHABLE);
                p.iif = "fifteen-chars-y";
                assert_int_equal(forward(&w, p).what, MODEL_ACCEPT);
                world_end(&w);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_policy),
                cmocka_unit_test(test_policy_hostile),
                cmocka_unit_test(test_granted),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_rules),
                cmocka_unit_test(test_input_and_masquerade),
                cmocka_unit_test(test_members_change),
                cmocka_unit_test(test_failures),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
