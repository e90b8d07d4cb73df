/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a file NAME.omerta says, without libnm. Either an invite as people pass it on, nothing but
 * an omerta:// link with white space around it (as "omerta network join FILE" takes); or settings
 * without secrets, a key file:
 *
 *   [omerta]
 *   network=home
 *   host-name=laptop
 */

#include "nm-plugin/fields.h"

#define VPN_FILE_SUFFIX ".omerta"
/* Bytes. A link has 1024 at most, the other fields less; room for comments. */
#define VPN_FILE_MAX 4096U

/* @data: @len bytes, anything, not terminated. @ret: the caller clears. Return: 0, or -EINVAL and @ret_error. */
int vpn_file_parse(const char *data, size_t len, VpnSettings *ret, char **ret_error);
/* Reads it; only a regular file. Return: 0, or negative errno and @ret_error. */
int vpn_file_read(const char *path, VpnSettings *ret, char **ret_error);

/* Without secrets. Return: new; NULL and @ret_error: nothing would be left that names a network. */
char *vpn_file_format(const VpnSettings *s, char **ret_error);
