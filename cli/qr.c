/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <stdbool.h>

#if HAVE_QRENCODE
#        include <qrencode.h>
#endif

#include "cli/qr.h"

#if HAVE_QRENCODE

/* ISO/IEC 18004 wants four light modules around the code; scanners do with two. */
#        define QUIET 2

static bool is_dark(const QRcode *code, int x, int y) {
        return x >= 0 && y >= 0 && x < code->width && y < code->width &&
               (code->data[y * code->width + x] & 1);
}

int cli_qr_print(const char *text, FILE *out, bool colour) {
        /* By whether the upper and the lower half are drawn. With colours what is dark is drawn,
         * black on white; without, what is light, for a terminal that is light on dark. */
        static const char *const blocks[2][2] = { { " ", "\u2584" }, { "\u2580", "\u2588" } };
        QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);

        if (!code)
                return -EMSGSIZE;
        for (int y = -QUIET; y < code->width + QUIET; y += 2) {
                if (colour)
                        fputs("\x1b[30;107m", out);
                for (int x = -QUIET; x < code->width + QUIET; x++) {
                        bool upper = is_dark(code, x, y), lower = is_dark(code, x, y + 1);

                        fputs(blocks[upper == colour][lower == colour], out);
                }
                fputs(colour ? "\x1b[0m\n" : "\n", out);
        }
        QRcode_free(code);
        return 0;
}

#else

int cli_qr_print(const char *text, FILE *out, bool colour) {
        return -EOPNOTSUPP;
}

#endif
