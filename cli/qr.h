/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* Draws @text with UTF-8 half blocks. @colour: @out is a terminal. Return: 0, -EOPNOTSUPP if built
 * without libqrencode, -EMSGSIZE if @text is too long for a QR code. */
int cli_qr_print(const char *text, FILE *out, bool colour);
