/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() not to be switched off: what must hold for every input. */
#define FUZZ_ASSERT(condition)                                                                     \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        g_error("%s:%d: %s", __FILE__, __LINE__, #condition);                      \
        } while (0)
