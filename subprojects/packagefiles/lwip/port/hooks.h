/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Called by lwIP where lwipopts.h says so. */

#include "lwip/err.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"

/* Whether one more connection may begin from where the packet at hand came. Those that are not
 * accepted yet are counted, by the listener and in all: no address may have more of them than are
 * left for everybody, so that who sends SYNs without end leaves half to the others. Addresses are
 * authentic here. What is refused is not answered, as with a full backlog: it comes again. */
static inline int lwip_port_may_open(const struct tcp_pcb_listen *l) {
        unsigned all = 0, own = 0, own_here = 0;

        for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
                if (!(pcb->flags & TF_BACKLOGPEND))
                        continue;
                all++;
                if (!ip_addr_cmp(&pcb->remote_ip, ip_current_src_addr()))
                        continue;
                own++;
                own_here += pcb->listener == l;
        }
        return l->accepts_pending + own_here < l->backlog && all + own < LWIP_PORT_PENDING_MAX;
}

/* lwIP 2.1.3 reads options past the header's end when an option's length, or its missing length,
 * says so (tcp_parseopt). RFC 9293, 3.2: kinds 0 and 1 are single bytes, the others have a length
 * that counts kind and length. */
static inline err_t
lwip_port_check_options(const struct tcp_hdr *header, unsigned len, unsigned len_here) {
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

/* Of the packet at hand; @pcb may be a listener. */
static inline err_t lwip_port_check_packet(
                struct tcp_pcb *pcb,
                const struct tcp_hdr *header,
                unsigned len,
                unsigned len_here,
                const unsigned char *rest,
                struct pbuf *p) {
        if (lwip_port_check_options(header, len, len_here) != ERR_OK)
                return ERR_VAL;
        if (pcb->state == LISTEN && (TCPH_FLAGS(header) & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
            !lwip_port_may_open((const struct tcp_pcb_listen *) pcb))
                return ERR_MEM;
        return ERR_OK;
}
