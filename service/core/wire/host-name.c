/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "core/wire/record.h"

static bool is_letter_or_digit(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool host_name_is_valid(const char *name) {
        size_t n = strnlen(name, HOST_NAME_MAX_LEN + 1);

        if (n == 0 || n > HOST_NAME_MAX_LEN)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_letter_or_digit(name[i]) && name[i] != '-')
                        return false;
        return name[0] != '-' && name[n - 1] != '-';
}

void host_name_normalize(const char *text, char ret[static HOST_NAME_MAX_LEN + 1]) {
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        /* The "C" rules, so that a name does not depend on who computes it. */
        g_autofree char *ascii = g_str_to_ascii(valid, "C");
        size_t n = 0;

        /* The first label of what may be a qualified name. */
        for (const char *p = ascii + strspn(ascii, ". \t\n"); *p != '\0' && *p != '.'; p++) {
                char c = g_ascii_tolower(*p);

                if (c == '\'' || n == HOST_NAME_MAX_LEN)
                        continue;
                if (is_letter_or_digit(c) || (c == '-' && n > 0))
                        ret[n++] = c;
                else if (n > 0 && ret[n - 1] != '-')
                        ret[n++] = '-';
        }
        while (n > 0 && ret[n - 1] == '-')
                n--;
        ret[n] = '\0';
        if (n == 0)
                strcpy(ret, "machine");
}
