/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Texts for people. Words of the API, column values and keys of --json are not translated. */

#include <libintl.h>

#define _(text) gettext(text)
#define N_(text) text
