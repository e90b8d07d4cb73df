/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Golden bytes of records, written by hand from docs/protocol.md, that several tests put into
 * messages. Signatures are filler: whether they hold is core/crypto's business.
 */

#include "cbor-mangle.h"
#include "core/wire/record.h"

/* [kind, body, signer 22.., signature 33..]; the bodies carry machine id 11.. */
#define SAMPLE_FRAME_END "5820" HEX32("22") "5840" HEX64("33")

#define SAMPLE_CERTIFICATE_BODY                                                                    \
        "a8"                                                                                       \
        "01 5820" HEX32("11")                          /* machine */                               \
                        "02 64 616e6e61"               /* name: anna */                            \
                        "03 65 416e6e6120"             /* owner: "Anna " */                        \
                        "04 09"                        /* roles: member, relay */                  \
                        "05 1b 0006000000000001"       /* not before */                            \
                        "06 1b 0006000000000002"       /* not after */                             \
                        "07 1b 0006000000000003"       /* version */                               \
                        "08 82 64 636f7265 63 c3a4 62" /* groups: core, ab (with umlaut) */
#define SAMPLE_CERTIFICATE "84 01 585c" SAMPLE_CERTIFICATE_BODY SAMPLE_FRAME_END

#define SAMPLE_LEASE_BODY                                                                          \
        "a7"                                                                                       \
        "01 5820" HEX32("11")                    /* machine */                                     \
                        "02 44 0a000064"         /* 10.0.0.100 */                                  \
                        "03 10"                  /* /16 */                                         \
                        "05 1b 0006000000000001" /* not before */                                  \
                        "06 1b 0006000000000001" /* not after: released */                         \
                        "07 18 64"               /* version */                                     \
                        "08 64 616e6e61"         /* name: anna */
#define SAMPLE_LEASE "84 02 5849" SAMPLE_LEASE_BODY SAMPLE_FRAME_END

#define SAMPLE_REVOCATION_BODY                                                                     \
        "a3"                                                                                       \
        "01 5820" HEX32("11")        /* machine */                                                 \
                        "02 02"      /* reason: key lost */                                        \
                        "07 19 03e8" /* version */
#define SAMPLE_REVOCATION "84 03 582a" SAMPLE_REVOCATION_BODY SAMPLE_FRAME_END

#define SAMPLE_PRESENCE_BODY                                                                       \
        "a7"                                                                                       \
        "01 5820" HEX32("11") /* machine */                                                        \
                        "02 82 47 04cb0071054652 53 0620010db80000000000000000000000014652" /* two endpoints */                                                                                      \
                        "06 1a 3b9aca00"                            /* not after */                \
                        "07 01"                                     /* version */                  \
                        "08 65 302e312e30"                          /* software: 0.1.0 */          \
                        "09 01"                                     /* flags: relays */            \
                        "0a 82 5820" HEX32("44") "5820" HEX32("55") /* two relays */
#define SAMPLE_PRESENCE "84 04 5899" SAMPLE_PRESENCE_BODY SAMPLE_FRAME_END

/* Return: a reference to the record of these digits. */
static inline Record *sample_record(const char *hex) {
        g_autoptr(GBytes) bytes = unhex(hex);
        Record *record = NULL;

        record_decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &record);
        return record;
}
