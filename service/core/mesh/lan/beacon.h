/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The datagram by which members in one broadcast domain find each other (docs/protocol.md,
 * "Type 6"). To who does not know the network's secret it is random bytes of one length behind a
 * type; to a member it says which machine has sent it, and at which UDP port it is.
 *
 * Every member can make one in another's name, and anybody can send it again from elsewhere: what
 * it says is a hint where to ask, no more. Who may be asked because of it is lan.h's affair.
 */

#include <stdbool.h>

#include "base/drop-reason.h"
#include "base/machine-id.h"
#include "core/crypto/secret.h"
#include "core/wire/messages.h"

typedef struct Beacon {
        MachineId machine;
        uint8_t life[BEACON_LIFE_SIZE]; /* new with each start of the sender's network */
        uint64_t stamp; /* Unix time in microseconds, but later than each before in this life */
        uint16_t port;
        bool asks;                          /* who hears it answers */
        bool answers;                       /* to one that asked; sent to its sender alone */
        uint8_t answered[BEACON_LIFE_SIZE]; /* whose life that is; else 0 */
        bool unsure; /* nobody keeps the sender's clock right: .stamp says only what came first */
} Beacon;

/* What beacons of a network are sealed with; the caller unrefs. */
Secret *beacon_derive_key(const NetworkId *network, const Secret *secret);
/* @nonce: fresh and random, or two beacons can be told to be of one network. */
void beacon_seal(
                const Secret *key,
                const uint8_t nonce[static BEACON_NONCE_SIZE],
                const Beacon *beacon,
                uint8_t ret[static BEACON_SIZE]);
/* Return: DROP_NONE, DROP_MALFORMED, or DROP_BEACON_FOREIGN: not made with @key. */
DropReason beacon_open(const Secret *key, const uint8_t *data, size_t len, Beacon *ret);
