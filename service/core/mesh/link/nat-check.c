/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/nat-check.h"

#include <stdlib.h>

#include "base/macros.h"
#include "core/mesh/link/path.h"

/* Between two mappings made one after the other; more is no pattern (EasyTier: 20). */
#define STEP_MAX 20
/* Below are ports of well-known services, which no translator gives away (RFC 4787, 4.2.2). */
#define MAPPED_PORT_MIN 1024

static const char *const mapping_names[] = {
        [NAT_MAPPING_UNKNOWN] = "unknown",
        [NAT_MAPPING_NONE] = "none",
        [NAT_MAPPING_INDEPENDENT] = "endpoint-independent",
        [NAT_MAPPING_BY_ADDRESS] = "address-dependent",
        [NAT_MAPPING_BY_PORT] = "address-and-port-dependent",
        [NAT_MAPPING_DEPENDENT] = "destination-dependent",
};
static_assert(ELEMENTSOF(mapping_names) == _NAT_MAPPING_MAX, "a mapping has no name");

static const char *const ports_names[] = {
        [NAT_PORTS_UNKNOWN] = "unknown", [NAT_PORTS_PRESERVED] = "preserved",
        [NAT_PORTS_CHANGED] = "changed", [NAT_PORTS_STEADY] = "predictable",
        [NAT_PORTS_RANDOM] = "random",
};
static_assert(ELEMENTSOF(ports_names) == _NAT_PORTS_MAX, "an allocation of ports has no name");

static const char *const trouble_texts[] = {
        [NAT_TROUBLE_NONE] = "",
        [NAT_TROUBLE_NOBODY] = "no member with a public address has answered lately",
        [NAT_TROUBLE_ONE] = "only members at one public address have answered; it needs two",
        [NAT_TROUBLE_CONFLICT] = "members disagree about the address they see this machine at",
};
static_assert(ELEMENTSOF(trouble_texts) == _NAT_TROUBLE_MAX, "a trouble has no text");

static const char *const translation_names[] = {
        [PATH_TRANSLATION_UNKNOWN] = "unknown", [PATH_TRANSLATION_NONE] = "none",
        [PATH_TRANSLATION_EASY] = "easy",       [PATH_TRANSLATION_PREDICTABLE] = "predictable",
        [PATH_TRANSLATION_RANDOM] = "random",
};
static_assert(ELEMENTSOF(translation_names) == _PATH_TRANSLATION_MAX, "a translation has no name");

const char *nat_mapping_to_string(NatMapping mapping) {
        return mapping_names[mapping];
}
const char *nat_ports_to_string(NatPorts ports) {
        return ports_names[ports];
}
const char *nat_trouble_to_string(NatTrouble trouble) {
        return trouble_texts[trouble];
}
const char *path_translation_to_string(PathTranslation translation) {
        return translation_names[translation];
}

/* --- what is said --- */

/* Where to put what @machine says of @to: over what it said before, or what counts least. */
static NatView *find_place(NatCheck *c, const MachineId *machine, const Endpoint *to) {
        NatView *oldest = NULL, *oldest_of_machine = NULL;
        unsigned n_of_machine = 0;

        for (unsigned i = 0; i < c->n; i++) {
                NatView *v = &c->view[i];

                if (!oldest || v->last < oldest->last)
                        oldest = v;
                if (!machine_id_equal(&v->machine, machine))
                        continue;
                if (endpoint_equal(&v->to, to))
                        return v;
                n_of_machine++;
                if (!oldest_of_machine || v->last < oldest_of_machine->last)
                        oldest_of_machine = v;
        }
        if (n_of_machine >= NAT_VIEWS_PER_MEMBER_MAX)
                return oldest_of_machine;
        return c->n < NAT_VIEWS_MAX ? &c->view[c->n++] : oldest;
}

/* Before a carrier's translator (RFC 6598). */
static bool is_of_carrier(const Endpoint *e) {
        IpAddr a = endpoint_address(e);

        return a.family == AF_INET && a.bytes[0] == 100 && (a.bytes[1] & 0xc0) == 64;
}

void nat_check_note(
                NatCheck *c,
                const MachineId *machine,
                const Endpoint *to,
                const Endpoint *seen,
                usec_t now) {
        NatView *v;

        if (endpoint_is_relayed(to) || path_is_local_address(to) || is_of_carrier(to) ||
            !endpoint_is_usable(seen) || seen->sa.sa_family != to->sa.sa_family)
                return;
        v = find_place(c, machine, to);
        if (v->since == 0 || !machine_id_equal(&v->machine, machine) ||
            !endpoint_equal(&v->to, to) || !endpoint_equal(&v->seen, seen))
                *v = (NatView){ .machine = *machine, .seen = *seen, .since = now };
        v->to = *to;
        v->last = now;
}

void nat_check_forget(NatCheck *c) {
        *c = (NatCheck){};
}

/* --- what to think of it --- */

/* Views that count, in the order in which their mappings were made. */
typedef struct Views {
        const NatView *view[NAT_VIEWS_MAX];
        unsigned n;
} Views;

static int by_age(const void *a, const void *b) {
        const NatView *const *x = a, *const *y = b;

        if ((*x)->since != (*y)->since)
                return (*x)->since < (*y)->since ? -1 : 1;
        /* In one turn: as they were put there. */
        return *x < *y ? -1 : *x > *y;
}

/* What left from another address of ours may have gone through another router. */
static bool is_same_local(const NatView *a, const NatView *b) {
        return !ip_is_set(&a->to.local) || !ip_is_set(&b->to.local) ||
               ip_equal(&a->to.local, &b->to.local);
}

static Views collect(const NatCheck *c, int family, usec_t now) {
        const NatView *newest = NULL;
        Views all = {};

        for (unsigned i = 0; i < c->n; i++) {
                const NatView *v = &c->view[i];

                if (v->to.sa.sa_family == family && now <= usec_add(v->last, NAT_VIEW_USEC) &&
                    (!newest || v->last > newest->last))
                        newest = v;
        }
        for (unsigned i = 0; newest && i < c->n; i++) {
                const NatView *v = &c->view[i];

                if (v->to.sa.sa_family == family && now <= usec_add(v->last, NAT_VIEW_USEC) &&
                    is_same_local(v, newest))
                        all.view[all.n++] = v;
        }
        qsort(all.view, all.n, sizeof all.view[0], by_age);
        return all;
}

typedef bool (*SameSeen)(const Endpoint *a, const Endpoint *b);

/* How many members see us at @seen, as far as @same tells; NULL: anywhere. */
static unsigned count_members(const Views *all, const Endpoint *seen, SameSeen same) {
        unsigned n = 0;

        for (unsigned i = 0; i < all->n; i++) {
                bool is_first = true;

                if (seen && !same(&all->view[i]->seen, seen))
                        continue;
                for (unsigned k = 0; k < i && is_first; k++)
                        is_first = !machine_id_equal(&all->view[k]->machine, &all->view[i]->machine) ||
                                   (seen && !same(&all->view[k]->seen, seen));
                n += is_first;
        }
        return n;
}

/* Where most members see us. @ret_n: how many. NULL: nobody does. */
static const Endpoint *most_seen(const Views *all, SameSeen same, unsigned *ret_n) {
        const Endpoint *best = NULL;
        unsigned n_best = 0;

        for (unsigned i = 0; i < all->n; i++) {
                unsigned n = count_members(all, &all->view[i]->seen, same);

                /* Of two that are alike the newer one. */
                if (n >= n_best) {
                        best = &all->view[i]->seen;
                        n_best = n;
                }
        }
        *ret_n = n_best;
        return best;
}

static bool has_two_addresses(const Views *all) {
        for (unsigned i = 1; i < all->n; i++)
                if (!endpoint_same_address(&all->view[i]->to, &all->view[0]->to))
                        return true;
        return false;
}

/* Two ports of one member tell on what a mapping depends. */
static NatMapping judge_dependence(const Views *all) {
        for (unsigned i = 0; i < all->n; i++)
                for (unsigned k = 0; k < i; k++) {
                        const NatView *a = all->view[i], *b = all->view[k];

                        if (machine_id_equal(&a->machine, &b->machine) &&
                            endpoint_same_address(&a->to, &b->to))
                                return endpoint_equal(&a->seen, &b->seen) ? NAT_MAPPING_BY_ADDRESS
                                                                          : NAT_MAPPING_BY_PORT;
                }
        return NAT_MAPPING_DEPENDENT;
}

static int greatest_divisor(int a, int b) {
        while (b != 0) {
                int rest = a % b;

                a = b;
                b = rest;
        }
        return abs(a);
}

/* The differences from one mapping to the next: small, and all up or all down. Others' mappings may
 * lie in between, so one difference says no more than which way it goes. */
static NatPorts judge_ports(const Views *all, int *ret_step) {
        int step = 0, last = 0;
        unsigned n = 0;

        for (unsigned i = 0; i < all->n; i++) {
                int port = endpoint_port(&all->view[i]->seen), d = port - last;

                last = port;
                if (i == 0 || d == 0)
                        continue;
                if (abs(d) > STEP_MAX || (n > 0 && (d > 0) != (step > 0)))
                        return NAT_PORTS_RANDOM;
                step = (d > 0 ? 1 : -1) * greatest_divisor(d, step);
                n++;
        }
        *ret_step = n > 1 ? step : step > 0 ? 1 : -1;
        return NAT_PORTS_STEADY;
}

static void leave_out_others(Views *all, const Endpoint *seen) {
        unsigned n = 0;

        for (unsigned i = 0; i < all->n; i++)
                if (endpoint_same_address(&all->view[i]->seen, seen))
                        all->view[n++] = all->view[i];
        all->n = n;
}

static bool is_port_of(const Endpoint *e, const Endpoint *list, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (list[i].sa.sa_family == e->sa.sa_family &&
                    endpoint_port(&list[i]) == endpoint_port(e))
                        return true;
        return false;
}

NatVerdict
nat_check_judge(const NatCheck *c, int family, const Endpoint *local, unsigned n_local, usec_t now) {
        Views all = collect(c, family, now);
        NatVerdict v = { .n_members = count_members(&all, NULL, NULL) };
        const Endpoint *seen;
        unsigned n;

        if (v.n_members == 0) {
                v.trouble = NAT_TROUBLE_NOBODY;
                return v;
        }
        seen = most_seen(&all, endpoint_same_address, &n);
        v.n_dissenters = v.n_members - n;
        if (2 * n <= v.n_members) {
                v.trouble = NAT_TROUBLE_CONFLICT;
                return v;
        }
        leave_out_others(&all, seen);
        v.seen = *most_seen(&all, endpoint_equal, &n);
        v.ports = is_port_of(&v.seen, local, n_local) ? NAT_PORTS_PRESERVED : NAT_PORTS_CHANGED;
        if (2 * n > v.n_members && endpoint_is_among(&v.seen, local, n_local))
                v.mapping = NAT_MAPPING_NONE;
        else if (!has_two_addresses(&all) || count_members(&all, NULL, NULL) < 2)
                v.trouble = NAT_TROUBLE_ONE;
        else if (2 * n > v.n_members)
                v.mapping = NAT_MAPPING_INDEPENDENT;
        else {
                v.mapping = judge_dependence(&all);
                v.ports = judge_ports(&all, &v.step);
                v.seen = all.view[all.n - 1]->seen;
                return v;
        }
        v.n_dissenters = v.n_members - n;
        return v;
}

/* --- what follows --- */

PathTranslation nat_verdict_translation(const NatVerdict *v) {
        switch (v->mapping) {
        case NAT_MAPPING_NONE:
                return PATH_TRANSLATION_NONE;
        case NAT_MAPPING_INDEPENDENT:
                return PATH_TRANSLATION_EASY;
        case NAT_MAPPING_BY_ADDRESS:
        case NAT_MAPPING_BY_PORT:
        case NAT_MAPPING_DEPENDENT:
                return v->ports == NAT_PORTS_STEADY ? PATH_TRANSLATION_PREDICTABLE
                                                    : PATH_TRANSLATION_RANDOM;
        case NAT_MAPPING_UNKNOWN:
        case _NAT_MAPPING_MAX:
                break;
        }
        return PATH_TRANSLATION_UNKNOWN;
}

bool nat_verdict_is_guessable(const NatVerdict *v, int *ret_step) {
        bool alone = v->trouble == NAT_TROUBLE_ONE && v->ports == NAT_PORTS_CHANGED;

        if (!alone && nat_verdict_translation(v) != PATH_TRANSLATION_PREDICTABLE)
                return false;
        *ret_step = alone ? 1 : v->step;
        return true;
}

unsigned
nat_guess_ports(const Endpoint *last, int step, bool every_other, Endpoint ret[static NAT_GUESSES_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < NAT_GUESSES_MAX; i++) {
                int port = endpoint_port(last) + step * (int) (every_other ? 1 + 2 * i : 1 + i);

                if (port < MAPPED_PORT_MIN || port > UINT16_MAX)
                        continue;
                ret[n] = *last;
                endpoint_set_port(&ret[n++], (uint16_t) port);
        }
        return n;
}
