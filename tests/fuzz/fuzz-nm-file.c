/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file NAME.omerta; what is taken names a network, and is the same when it is written and read. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "nm-plugin/file.h"

static void check_again(const VpnSettings *s) {
        g_autofree char *error = NULL, *text = vpn_file_format(s, &error);
        VpnSettings again = {};

        FUZZ_ASSERT(!text == !s->value[VPN_FIELD_NETWORK] && !text == (error != NULL));
        if (!text)
                return;
        FUZZ_ASSERT(vpn_file_parse(text, strlen(text), &again, &error) == 0);
        FUZZ_ASSERT(strcmp(again.value[VPN_FIELD_NETWORK], s->value[VPN_FIELD_NETWORK]) == 0);
        FUZZ_ASSERT(g_strcmp0(again.value[VPN_FIELD_HOST_NAME], s->value[VPN_FIELD_HOST_NAME]) == 0);
        FUZZ_ASSERT(!again.value[VPN_FIELD_INVITE]);
        vpn_settings_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *error = NULL;
        VpnSettings s = {};
        int r = vpn_file_parse((const char *) data, size, &s, &error);

        FUZZ_ASSERT(r == 0 || r == -EINVAL);
        FUZZ_ASSERT((r < 0) == (error != NULL));
        if (r < 0)
                return 0;
        FUZZ_ASSERT(s.value[VPN_FIELD_NETWORK] || s.value[VPN_FIELD_INVITE]);
        check_again(&s);
        vpn_settings_clear(&s);
        return 0;
}
