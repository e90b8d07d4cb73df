/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/error.h"

#include <assert.h>
#include <string.h>

#include "base/macros.h"

/* The other machine is the gateway or any member: who asked knows, and who reads it sees where. */
static const struct {
        const char *name, *text;
} table[] = {
        [WIRE_ERROR_NONE] = { "None", "it worked" },
        [WIRE_ERROR_FAILED] = { "Failed", "the other machine could not do it; see its journal" },
        [WIRE_ERROR_MALFORMED] = { "Malformed",
                                   "the two machines do not understand each other; are "
                                   "both versions of omerta the same?" },
        [WIRE_ERROR_FULL] = { "Full", "the other machine can take no more" },
        [WIRE_ERROR_NO_SUCH_CHANNEL] = { "NoSuchChannel", "the other machine does not offer this" },
        [WIRE_ERROR_NOT_PERMITTED] = { "NotPermitted", "the other machine does not permit it" },
        [WIRE_ERROR_NAME_TAKEN] = { "NameTaken",
                                    "another machine of the network has this host name; "
                                    "choose one" },
        [WIRE_ERROR_POOL_EMPTY] = { "PoolEmpty", "the gateway has no free address left" },
        [WIRE_ERROR_INVITE_INVALID] = { "InviteInvalid",
                                        "the gateway does not know this invite; ask "
                                        "for a new one" },
        [WIRE_ERROR_INVITE_EXPIRED] = { "InviteExpired", "the invite has expired; ask for a new one" },
        [WIRE_ERROR_INVITE_USED] = { "InviteUsed",
                                     "the invite has been used already; ask for a new "
                                     "one" },
        [WIRE_ERROR_CLOCK] = { "ClockWrong",
                               "the clocks of this machine and the gateway are days apart, or the "
                               "gateway's cannot be right: set the wrong one right, and try again" },
        [WIRE_ERROR_ABSENT] = { "AbsentTooLong",
                                "this machine was away for longer than the network allows; leave "
                                "it and join again with a new invite" },
        [WIRE_ERROR_NOT_LINKED] = { "NotLinked",
                                    "the relay has no connection with the other machine" },
        [WIRE_ERROR_TIMEOUT] = { "Timeout",
                                 "the other machine does not answer; is it running, and "
                                 "does UDP reach it?" },
        [WIRE_ERROR_UNREACHABLE] = { "Unreachable",
                                     "the other machine cannot be reached at any "
                                     "address known of it" },
        [WIRE_ERROR_CANCELLED] = { "Cancelled", "it was called off" },
        [WIRE_ERROR_NO_GATEWAY] = { "NoGateway", "no gateway is known" },
        [WIRE_ERROR_ADDRESS_IN_USE] = { "AddressInUse", "the address given is another machine's" },
        [WIRE_ERROR_ADDRESS_LOST] = { "AddressLost", "the address went to another machine" },
        [WIRE_ERROR_REVOKED] = { "Revoked", "this machine was removed from the network" },
        [WIRE_ERROR_WAITING] = { "Waiting", "waiting until somebody on the gateway approves" },
        [WIRE_ERROR_SUBNET] = { "SubnetRefused",
                                "the addresses of the network cannot be used on this machine" },
};
static_assert(ELEMENTSOF(table) == _WIRE_ERROR_MAX, "a name and a sentence for every error");

bool wire_error_is_foreign(WireError e) {
        return e >= WIRE_ERROR_FAILED && e <= WIRE_ERROR_NOT_LINKED;
}

bool wire_error_is_silence(WireError e) {
        return e == WIRE_ERROR_TIMEOUT || e == WIRE_ERROR_UNREACHABLE || e == WIRE_ERROR_CANCELLED;
}

const char *wire_error_name(WireError e) {
        assert((unsigned) e < _WIRE_ERROR_MAX);
        return table[e].name;
}

const char *wire_error_text(WireError e) {
        assert((unsigned) e < _WIRE_ERROR_MAX);
        return table[e].text;
}

WireError wire_error_from_name(const void *bytes, size_t len) {
        for (WireError e = WIRE_ERROR_FAILED; wire_error_is_foreign(e); e++)
                if (strlen(table[e].name) == len && memcmp(table[e].name, bytes, len) == 0)
                        return e;
        return WIRE_ERROR_FAILED;
}
