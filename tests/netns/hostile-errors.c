/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes an omertad that says nothing but $OMERTA_TEST_ERROR where it should name an error:
 * linked in front of the real encoder (-Wl,--wrap), and tested against by test-hostile-gateway.py.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/wire/control.h"

GBytes *__real_control_message_encode(const ControlMessage *m);
GBytes *__wrap_control_message_encode(const ControlMessage *m);

GBytes *__wrap_control_message_encode(const ControlMessage *m) {
        g_autoptr(GBytes) honest = __real_control_message_encode(m);
        const char *text = getenv("OMERTA_TEST_ERROR");
        GByteArray *a;

        if (!honest || !text || m->kind != CONTROL_ERROR)
                return TAKE_PTR(honest);
        /* Not by the encoder, which may refuse what is no name. */
        a = g_byte_array_new();
        g_byte_array_append(
                        a, g_bytes_get_data(honest, NULL),
                        (guint) (g_bytes_get_size(honest) - m->payload_len));
        g_byte_array_append(a, (const guint8 *) text, (guint) strlen(text));
        return g_byte_array_free_to_bytes(a);
}
