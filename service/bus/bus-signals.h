/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What clients are told of changes, so that one that keeps what it was told has what there is.
 *
 * Whoever changes something touches the objects that may show it. Touches are gathered during a
 * turn of the event loop; then each touched object is looked at once: it came, it went, or some
 * of its properties have other values than clients were told last. Only that is signalled.
 */

#include "bus/object.h"

int bus_signals_new(Bus *b, BusSignals **ret);
BusSignals *bus_signals_free(BusSignals *s);

/* Clients come now, who know nothing yet: they list what there is. */
void bus_signals_start(BusSignals *s);
/* Nobody listens any more. */
void bus_signals_stop(BusSignals *s);

/* Something of the object at @path may have changed; it may have come or gone. */
void bus_signals_touch(BusSignals *s, const char *path);
/* The same for a network and all that is or was shown below it. @gone: they are not what they were,
 * though there may be others at their paths: a client must not mix them. */
void bus_signals_touch_network(BusSignals *s, ManagedNetwork *n, bool gone);

/* What has gathered, now; not while an answer is written that it follows. */
void bus_signals_send(BusSignals *s);

/* What the manager reports, turned into touches. */
ManagerObserver bus_signals_observer(BusSignals *s);
