/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>

#include "cli/cli.h"
#include "cli/i18n.h"

int main(int argc, char **argv) {
        setlocale(LC_ALL, "");
        bindtextdomain("omerta", OMERTA_LOCALEDIR);
        bind_textdomain_codeset("omerta", "UTF-8");
        textdomain("omerta");
        return (int) cli_main(argc, argv);
}
