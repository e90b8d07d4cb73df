/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An offer, as text if it begins like one, else the bytes inside the line. */
#include <errno.h>
#include <string.h>

#include "base/base32.h"
#include "core/wire/link-text.h"
#include "core/wire/offer.h"
#include "fuzz.h"

static void check(const char *line) {
        g_autofree char *once = NULL, *twice = NULL;
        Offer o, p;
        int r = offer_parse(line, &o);

        FUZZ_ASSERT(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
        if (r < 0)
                return;
        once = offer_format(&o);
        FUZZ_ASSERT(once && strlen(once) <= LINK_TEXT_MAX);
        FUZZ_ASSERT(offer_parse(once, &p) == 0);
        twice = offer_format(&p);
        FUZZ_ASSERT(twice && strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *line = NULL;

        if (size > LINK_TEXT_MAX)
                return 0;
        if (size > 0 && g_ascii_tolower((char) data[0]) == 'o')
                line = g_strndup((const char *) data, size);
        else {
                g_autofree char *text = g_malloc(BASE32_LEN(size) + 1);

                base32_encode(data, size, text);
                line = g_strconcat(OFFER_SCHEME, text, NULL);
        }
        check(line);
        return 0;
}
