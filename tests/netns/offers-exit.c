/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An omertad that says it is an exit to the internet, by the families in $OMERTA_TEST_EXIT ("46");
 * what its kernel does with what comes is the test's business. */

#include <stdlib.h>
#include <string.h>

#include "core/network-internal.h"

void __real_network_exit_start(Network *n);
void __wrap_network_exit_start(Network *n);

void __wrap_network_exit_start(Network *n) {
        const char *families = getenv("OMERTA_TEST_EXIT") ?: "46";

        __real_network_exit_start(n);
        network_set_exit_offer(n, strchr(families, '4'), strchr(families, '6'));
}
