/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * Aborts every TCP connection of this network namespace, whoever holds it: reading and writing then
 * fail at once, instead of after the quarter of an hour TCP hopes for an answer.
 *
 * Needs CAP_NET_ADMIN there, and a kernel built with CONFIG_INET_DIAG_DESTROY.
 *
 * Return: 0, or negative errno.
 */
int sock_diag_abort_tcp(void);
