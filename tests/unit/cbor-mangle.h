/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Every way to spoil a CBOR map that docs/protocol.md says is refused, tried on a valid one
 * against its decoder. Walks the map with code of its own, so that a mistake of the reader is
 * not shared by its test.
 */

#include <glib.h>
#include <stdint.h>

/* Hexadecimal digits, spaces ignored. Return: bytes (caller owns). */
GBytes *unhex(const char *text);
/* Fails the test unless @bytes are exactly those of @hex; shows both. */
void assert_hex(GBytes *bytes, const char *hex);

/* Repeats a byte in a hexadecimal literal. */
#define HEX4(x) x x x x
#define HEX8(x) HEX4(x) HEX4(x)
#define HEX16(x) HEX8(x) HEX8(x)
#define HEX32(x) HEX16(x) HEX16(x)
#define HEX64(x) HEX32(x) HEX32(x)

typedef struct MapCodec {
        const char *name;
        /* Decodes and clears. Return: of the decoder. */
        int (*decode)(const uint8_t *buf, size_t len);
        uint64_t optional; /* bit i: the entry with key i may be missing */
} MapCodec;

/* Runs @codec on an exact copy of the bytes, so that AddressSanitizer sees a read too far. */
int mangle_decode(const MapCodec *codec, const uint8_t *buf, size_t len);
/* @valid decodes; everything made of it that must be refused is refused, and what must be
 * ignored is ignored. */
void mangle_check(const MapCodec *codec, GBytes *valid);
/* The part of it for what is no map: @valid truncated anywhere, or with one byte more. */
void mangle_check_length(const MapCodec *codec, GBytes *valid);
