/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Texts for people, also in a program whose own domain is another. */

#include <libintl.h>

#define GETTEXT_PACKAGE "omerta"
#define _(text) dgettext(GETTEXT_PACKAGE, text)
