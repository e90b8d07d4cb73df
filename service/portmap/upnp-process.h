/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Runs omerta-upnp-helper, one at a time, and hears what it says. A process of its own, made by
 * exec: what a stranger in the LAN writes as XML is read where none of our keys is, by a program
 * that can open no file (portmap/upnp-helper.c), and that is ended when it takes too long. Control
 * thread only.
 */

#include <systemd/sd-event.h>

#include "base/time.h"
#include "portmap/upnp.h"

typedef struct UpnpProcess UpnpProcess;

/* A second for routers to be found, then a handful of requests to one that may be slow. */
#define UPNP_LIFE_USEC (15 * USEC_PER_SEC)

/* @life: how long a helper may take. @answered: of UPNP_ADD, once; NULL: the helper failed. Not
 * from within a call of ours. */
UpnpProcess *upnp_process_new(
                sd_event *event,
                usec_t life,
                void (*answered)(void *userdata, const UpnpAnswer *answer),
                void *userdata);
/* Gives a removal that is under way up to three seconds. */
UpnpProcess *upnp_process_free(UpnpProcess *p);

/* What is under way ends without an answer. Return: 0, or negative errno. */
int upnp_process_start(UpnpProcess *p, const UpnpRequest *q);
/* A removal goes on. */
void upnp_process_cancel(UpnpProcess *p);
