/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Called by lwIP where lwipopts.h says so. */

#include "lwip/err.h"
#include "lwip/prot/tcp.h"

struct tcp_pcb;
struct pbuf;

/* lwIP 2.1.3 reads options past the header's end when an option's length, or its missing length,
 * says so (tcp_parseopt). RFC 9293, 3.2: kinds 0 and 1 are single bytes, the others have a length
 * that counts kind and length. */
static inline err_t lwip_port_check_options(
                struct tcp_pcb *pcb,
                const struct tcp_hdr *header,
                unsigned len,
                unsigned len_here,
                const unsigned char *rest,
                struct pbuf *p) {
        const unsigned char *o = (const unsigned char *) header + TCP_HLEN;

        if (len != len_here)
                return ERR_VAL; /* in two pieces: nobody sends that */
        for (unsigned i = 0; i < len && o[i] != 0;) {
                if (o[i] == 1) {
                        i++;
                        continue;
                }
                if (len - i < 2 || o[i + 1] < 2 || o[i + 1] > len - i)
                        return ERR_VAL;
                i += o[i + 1];
        }
        return ERR_OK;
}
