/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What one end of a TCP flow says of the segments it takes (RFC 9293 3.7.1) is lowered to what the
 * path carries, in its SYN or SYN-ACK on the way. So flows begin with the size that fits, also
 * those of machines that never hear of a packet that was too big.
 */

#include "dataplane/packet.h"

static inline bool mss_is_syn(const uint8_t *p, const PacketView *v) {
        return v->protocol == IPPROTO_TCP && v->is_plain && v->length >= v->l4 + TCP_HEADER_MIN &&
               (p[v->l4 + TCP_FLAGS_OFFSET] & TCP_FLAG_SYN);
}

/**
 * mss_clamp() - lowers the MSS option, where there is one
 * @p: a packet of which mss_is_syn() is true; its checksum stays as right or wrong as it was
 * @partial: its checksum is of the pseudo header alone
 * @mtu: the largest IP packet that fits
 * Return: whether the packet was changed.
 */
bool mss_clamp(uint8_t *p, const PacketView *v, bool partial, uint16_t mtu);
