/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An invite, as text if it begins like one, else the bytes inside the link. */
#include <errno.h>
#include <string.h>

#include "base/base32.h"
#include "core/wire/invite.h"
#include "fuzz.h"

static void check(const char *link) {
        g_autofree char *once = NULL, *twice = NULL;
        Invite v, w;
        int r = invite_parse(link, &v);

        FUZZ_ASSERT(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
        if (r < 0)
                return;
        once = invite_format(&v);
        FUZZ_ASSERT(once && strlen(once) <= INVITE_LINK_MAX);
        FUZZ_ASSERT(invite_parse(once, &w) == 0);
        twice = invite_format(&w);
        FUZZ_ASSERT(twice && strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *link = NULL;

        if (size > INVITE_LINK_MAX)
                return 0;
        if (size > 0 && g_ascii_tolower((char) data[0]) == 'o')
                link = g_strndup((const char *) data, size);
        else {
                g_autofree char *text = g_malloc(BASE32_LEN(size) + 1);

                base32_encode(data, size, text);
                link = g_strconcat(INVITE_SCHEME, text, NULL);
        }
        check(link);
        return 0;
}
