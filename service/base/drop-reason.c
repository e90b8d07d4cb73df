/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/drop-reason.h"

#include "base/macros.h"

static const struct {
        const char *name, *text;
} table[] = {
        [DROP_NONE] = { "none", "taken" },
        [DROP_MALFORMED] = { "malformed", "a datagram no omerta machine sends" },
        [DROP_MAC1] = { "mac1", "a handshake for another network or another machine" },
        [DROP_COOKIE_REQUIRED] = { "cookie-required",
                                   "too many handshakes: the sender was asked to prove its address" },
        [DROP_FROM_INSIDE] = { "from-inside", "sent to our port from inside a virtual network" },
        [DROP_RATE_LIMITED] = { "rate-limited", "too many handshakes from one address" },
        [DROP_ASLEEP] = { "asleep", "a handshake while this machine was about to sleep" },
        [DROP_HANDSHAKE_FAILED] = { "handshake-failed", "a handshake that is not authentic" },
        [DROP_HANDSHAKE_REPLAYED] = { "handshake-replayed", "a handshake seen before" },
        [DROP_HANDSHAKE_UNEXPECTED] = { "handshake-unexpected", "an answer nobody waits for" },
        [DROP_NOT_A_MEMBER] = { "not-a-member",
                                "the sender's certificate is missing, foreign or from the future" },
        [DROP_CERTIFICATE_EXPIRED] = { "certificate-expired",
                                       "the sender's certificate has ended: the gateway renews it" },
        [DROP_REVOKED] = { "revoked", "the sender was removed from the network" },
        [DROP_INVITE_REFUSED] = { "invite-refused", "an invite that is unknown, expired or used up" },
        [DROP_UNKNOWN_INDEX] = { "unknown-index", "data for keys that are gone" },
        [DROP_KEYPAIR_EXPIRED] = { "keypair-expired", "data under keys that are too old" },
        [DROP_NOT_AUTHENTIC] = { "not-authentic", "data that was changed or forged on the way" },
        [DROP_REPLAYED] = { "replayed", "data seen before" },
        [DROP_FRAME_MALFORMED] = { "frame-malformed", "a message that cannot be read" },
        [DROP_CONTROL_OVERFLOW] = { "control-overflow", "more messages than can be taken" },
        [DROP_RELAY_UNKNOWN] = { "relay-unknown",
                                 "to be relayed by an allocation this machine does not have" },
        [DROP_RELAY_SOURCE] = { "relay-source", "to be relayed, but not from where its sender is" },
        [DROP_RELAY_BUDGET] = { "relay-budget", "more to be relayed than one machine may send" },
        [DROP_RELAY_SHARE] = { "relay-share",
                               "more to be relayed than the sender's share, while there was too "
                               "much of it" },
        [DROP_BEACON_FOREIGN] = { "beacon-foreign",
                                  "a LAN beacon of another network: nothing to worry about" },
        [DROP_NO_CHANNEL] = { "no-channel", "a message on a channel nobody here serves" },
        [DROP_PORT_MAPPING] = { "port-mapping",
                                "an answer about port mappings that nobody asked for, or that lies" },
        [DROP_SOCKET_FULL] = { "socket-full", "came faster than it could be taken" },
        [DROP_STREAM_REFUSED] = { "stream-refused",
                                  "a TCP connection that brought nothing of a member in time, or "
                                  "one too many" },
        [DROP_STREAM_MALFORMED] = { "stream-malformed",
                                    "a TCP connection by which something else than datagrams came" },
        [DROP_STREAM_FULL] = { "stream-full", "not sent by TCP: the other side takes less than that" },
        [DROP_CONTROL_SHARE] = { "control-share",
                                 "more messages from one machine than its share, while it lasted" },
        [DROP_OVER_BUDGET] = { "over-budget",
                               "messages from a machine that caused more work than one may" },
        [DROP_PROBE_BUDGET] = { "probe-budget",
                                "not asked whether a machine can be reached there: too many such "
                                "places were named at once" },
        [DROP_PACKET_MALFORMED] = { "packet-malformed", "not a whole IP packet" },
        [DROP_SOURCE_SPOOFED] = { "source-spoofed",
                                  "from an address that does not belong to the sender" },
        [DROP_NOT_FOR_US] = { "not-for-us", "for an address that is not ours" },
        [DROP_TTL_EXCEEDED] = { "ttl-exceeded", "forwarded too often" },
        [DROP_NO_SESSION] = { "no-session", "the sender has no session for packets" },
        [DROP_NO_ADDRESS] = { "no-address", "this machine has no address yet" },
        [DROP_UNKNOWN_DESTINATION] = { "unknown-destination",
                                       "nobody in the network has this address" },
        [DROP_NO_ROUTE] = { "no-route", "outside the network, and there is no exit" },
        [DROP_MULTICAST] = { "multicast", "broadcast and multicast are not carried" },
        [DROP_WRONG_SOURCE] = { "wrong-source", "sent here from an address that is not ours" },
        [DROP_TOO_BIG] = { "too-big", "larger than the path allows" },
        [DROP_PENDING_FULL] = { "pending-full", "too many packets waiting for a session" },
        [DROP_PENDING_EXPIRED] = { "pending-expired", "no session to the machine in time" },
        [DROP_SEND_FAILED] = { "send-failed", "the kernel could not send it" },
        [DROP_INTERFACE_FULL] = { "interface-full", "the interface did not take it" },
};
static_assert(ELEMENTSOF(table) == _DROP_REASON_MAX, "a name for every reason");

const char *drop_reason_to_string(DropReason reason) {
        return (unsigned) reason < ELEMENTSOF(table) ? table[reason].name : "unknown";
}

const char *drop_reason_describe(DropReason reason) {
        return (unsigned) reason < ELEMENTSOF(table) ? table[reason].text : "unknown";
}

void drop_counters_add(DropCounters *sum, const DropCounters *c) {
        for (DropReason r = DROP_NONE + 1; r < _DROP_REASON_MAX; r++)
                drop_count_n(sum, r, drop_counter(c, r));
}
