/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* RFC 4648 base32, lower case, no padding: what people copy by hand and double-click on. */

#include <stddef.h>
#include <stdint.h>

/* Length of the text of n bytes, without the final NUL. */
#define BASE32_LEN(n) (((n) *8 + 4) / 5)

/**
 * base32_encode() - write @n bytes as text
 * @text: at least BASE32_LEN(n) + 1 bytes; gets a final NUL
 */
void base32_encode(const void *bytes, size_t n, char *text);

/**
 * base32_decode() - read text of either case
 * @len: length of @text; characters beyond it are not looked at
 * @bytes: at least @max bytes
 *
 * Return: number of bytes, or -EINVAL for a foreign character, a length no encoder writes or set
 * bits in the padding (one text has one meaning), -ENOBUFS if they are more than @max.
 */
int base32_decode(const char *text, size_t len, void *bytes, size_t max);
