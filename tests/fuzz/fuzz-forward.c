/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A forward as somebody asks for it: "local" or "reverse", where it listens and where it leads, a
 * line each. What is accepted means the same when it was kept and is read again. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "proxy/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);
        g_auto(GStrv) lines = g_strsplit(text, "\n", 3);
        g_autofree char *listen = NULL, *target = NULL, *listen_again = NULL, *target_again = NULL;
        ForwardSpec spec, again;
        ForwardDirection d;
        int r;

        if (g_strv_length(lines) < 3)
                return 0;
        d = forward_direction_from_string(lines[0]);
        if (d < 0)
                return 0;
        r = forward_spec_parse(d, lines[1], lines[2], &spec);
        FUZZ_ASSERT(r == 0 || r == -EINVAL);
        if (r < 0)
                return 0;
        FUZZ_ASSERT(spec.direction == d && spec.target.port > 0);
        FUZZ_ASSERT(memchr(spec.path, '\0', sizeof spec.path));
        FUZZ_ASSERT(d == FORWARD_LOCAL || spec.path[0] == '\0');
        listen = forward_spec_listen_format(&spec);
        target = proxy_target_format(&spec.target);
        FUZZ_ASSERT(forward_spec_parse(d, listen, target, &again) == 0);
        listen_again = forward_spec_listen_format(&again);
        target_again = proxy_target_format(&again.target);
        FUZZ_ASSERT(strcmp(listen, listen_again) == 0 && strcmp(target, target_again) == 0);
        return 0;
}
