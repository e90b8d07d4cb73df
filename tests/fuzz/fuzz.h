/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() not to be switched off: what must hold for every input. abort() and not
 * g_error(), which may raise SIGTRAP: of that libFuzzer keeps no input. */
#define FUZZ_ASSERT(condition)                                                                     \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        FUZZ_FAIL("%s", #condition);                                               \
        } while (0)
#define FUZZ_FAIL(format, ...)                                                                     \
        do {                                                                                       \
                fprintf(stderr, "FUZZ_ASSERT: %s:%d: " format "\n", __FILE__, __LINE__,            \
                        ##__VA_ARGS__);                                                            \
                abort();                                                                           \
        } while (0)
