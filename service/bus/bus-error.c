/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The only place that names an error on the bus. A name that is none (a space is enough), or one
 * that is too long, makes the message bus drop our connection for good; so names are constants of
 * dbus/names.h, looked up and never put together.
 */

#include <string.h>

#include "bus/bus-internal.h"

/* What another machine said, or that it said nothing. NULL: not for the bus, OMERTA_ERROR_FAILED. */
static const char *const of_wire[] = {
        [WIRE_ERROR_NONE] = NULL,
        [WIRE_ERROR_FAILED] = OMERTA_ERROR_FAILED,
        [WIRE_ERROR_MALFORMED] = OMERTA_ERROR_FAILED,
        [WIRE_ERROR_FULL] = OMERTA_ERROR_LIMIT_REACHED,
        [WIRE_ERROR_NO_SUCH_CHANNEL] = OMERTA_ERROR_NOT_SUPPORTED,
        [WIRE_ERROR_NOT_PERMITTED] = OMERTA_ERROR_NOT_PERMITTED,
        [WIRE_ERROR_NAME_TAKEN] = OMERTA_ERROR_NAME_TAKEN,
        [WIRE_ERROR_POOL_EMPTY] = OMERTA_ERROR_POOL_EMPTY,
        [WIRE_ERROR_INVITE_INVALID] = OMERTA_ERROR_INVITE_INVALID,
        [WIRE_ERROR_INVITE_EXPIRED] = OMERTA_ERROR_INVITE_EXPIRED,
        [WIRE_ERROR_INVITE_USED] = OMERTA_ERROR_INVITE_USED,
        [WIRE_ERROR_CLOCK] = OMERTA_ERROR_CLOCK_WRONG,
        [WIRE_ERROR_ABSENT] = OMERTA_ERROR_ABSENT_TOO_LONG,
        [WIRE_ERROR_NOT_LINKED] = OMERTA_ERROR_UNREACHABLE,
        [WIRE_ERROR_TIMEOUT] = OMERTA_ERROR_TIMEOUT,
        [WIRE_ERROR_UNREACHABLE] = OMERTA_ERROR_UNREACHABLE,
        [WIRE_ERROR_CANCELLED] = OMERTA_ERROR_FAILED,
        [WIRE_ERROR_NO_GATEWAY] = OMERTA_ERROR_UNREACHABLE,
        [WIRE_ERROR_ADDRESS_IN_USE] = OMERTA_ERROR_NO_ADDRESS,
        [WIRE_ERROR_ADDRESS_LOST] = OMERTA_ERROR_NO_ADDRESS,
        [WIRE_ERROR_REVOKED] = OMERTA_ERROR_NOT_PERMITTED,
        [WIRE_ERROR_WAITING] = NULL,
        [WIRE_ERROR_SUBNET] = OMERTA_ERROR_SUBNET_REFUSED,
};
static_assert(ELEMENTSOF(of_wire) == _WIRE_ERROR_MAX, "a name on the bus for every error");

/* What the manager says itself, by manager_fail(). */
static const char *const of_manager[] = {
        OMERTA_ERROR_NOT_JOINED,       OMERTA_ERROR_NO_SUCH_NETWORK,
        OMERTA_ERROR_NO_SUCH_MACHINE,  OMERTA_ERROR_AMBIGUOUS,
        OMERTA_ERROR_ALREADY_MEMBER,   OMERTA_ERROR_NAME_TAKEN,
        OMERTA_ERROR_INVALID_ARGUMENT, OMERTA_ERROR_INVITE_INVALID,
        OMERTA_ERROR_INVITE_EXPIRED,   OMERTA_ERROR_INVITE_USED,
        OMERTA_ERROR_NO_SUCH_INVITE,   OMERTA_ERROR_CLOCK_WRONG,
        OMERTA_ERROR_NOT_GATEWAY,      OMERTA_ERROR_POOL_EMPTY,
        OMERTA_ERROR_NO_ADDRESS,       OMERTA_ERROR_TIMEOUT,
        OMERTA_ERROR_UNREACHABLE,      OMERTA_ERROR_REFUSED,
        OMERTA_ERROR_PORT_IN_USE,      OMERTA_ERROR_NOT_PERMITTED,
        OMERTA_ERROR_NOT_SUPPORTED,    OMERTA_ERROR_INTERFACE_UNAVAILABLE,
        OMERTA_ERROR_LIMIT_REACHED,    OMERTA_ERROR_STATE_DAMAGED,
        OMERTA_ERROR_SUBNET_REFUSED,
};

const char *bus_error_name(const ManagerError *e) {
        if (e->wire)
                return of_wire[e->wire] ?: OMERTA_ERROR_FAILED;
        for (size_t i = 0; e->name && i < ELEMENTSOF(of_manager); i++)
                if (strcmp(of_manager[i] + strlen(OMERTA_ERROR_PREFIX), e->name) == 0)
                        return of_manager[i];
        return OMERTA_ERROR_FAILED;
}

int bus_set_error(sd_bus_error *error, ManagerError *e) {
        int r = sd_bus_error_set(error, bus_error_name(e), e->message);

        manager_error_clear(e);
        return r;
}
