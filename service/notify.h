/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What "systemctl status" shows of us (STATUS= of sd_notify(3)): port, networks and how they are,
 * at all times. Nothing without a service manager. Control thread only. */

#include "manager/manager.h"

typedef struct Notify Notify;

/* Says it once, and again after a turn of the loop that changed it. */
int notify_new(sd_event *event, Manager *m, Notify **ret);
Notify *notify_free(Notify *n);
