/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of host/ that ask rtnetlink share. */

#include <libmnl/libmnl.h>

#include "host/rtnl.h"

/* Asks for all of @type (RTM_GETLINK, ...). @reset is called before each attempt, so that what an
 * interrupted one found is forgotten. Return: 0 or negative errno. */
int rtnl_dump(Rtnl *r,
              uint16_t type,
              unsigned family,
              mnl_cb_t callback,
              void (*reset)(void *userdata),
              void *userdata);

/* Sends a request and feeds every answer to @callback (may be NULL) until the acknowledgement.
 * Return: 0 or negative errno. */
int rtnl_request(Rtnl *r, struct nlmsghdr *nlh, mnl_cb_t callback, void *userdata);
