/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/membership.h"

void membership_copy(Membership *to, const Membership *from) {
        Secret *secret = from->secret ? secret_ref(from->secret) : NULL;

        secret_unref(to->secret);
        *to = *from;
        to->secret = secret;
}

void membership_clear(Membership *m) {
        secret_unref(m->secret);
        *m = (Membership){};
}
