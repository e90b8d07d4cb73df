/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The port forwards (proxy/forward.h) of a network, as a part: made on request, kept over restarts
 * where that was asked for, listening again when the network is up again. They are there while the
 * network is down too; the part is what they are while it is up. */

#include "base/log-ids.h"
#include "base/log.h"
#include "network/managed-network-internal.h"

static int open_forwards(ManagedNetwork *n) {
        if (n->forwards)
                return 0;
        manager_dialer_init(&n->dialer, n->manager, n);
        return forwards_new(n->manager->event, &n->dialer.ops, &(ForwardsOptions){}, &n->forwards);
}

static void changed(ManagedNetwork *n, const Forward *f) {
        OBSERVE(n->manager, forward_changed, n, forward_id(f));
}

/* "127.0.0.1:2222 -> nas:22" */
static char *describe(const Forward *f) {
        g_autofree char *listen = forward_spec_listen_format(forward_spec(f));
        g_autofree char *target = proxy_target_format(&forward_spec(f)->target);

        return g_strdup_printf(
                        "forward %u (%s): %s -> %s", forward_id(f),
                        forward_direction_to_string(forward_spec(f)->direction), listen, target);
}

static bool has_failed(const Forward *f) {
        return forward_error(f) < 0 && forward_error(f) != -ENETUNREACH;
}

/* What it means that @spec cannot listen, @error negative. */
static char *listen_error(const ForwardSpec *spec, int error) {
        bool reverse = spec->direction == FORWARD_REVERSE;
        unsigned port = endpoint_port(&spec->listen);

        if (error == -ENETUNREACH)
                return g_strdup("the network is down");
        if (spec->path[0] != '\0')
                return g_strdup_printf("cannot listen at %s: %s", spec->path, g_strerror(-error));
        switch (error) {
        case -EADDRINUSE:
                return g_strdup_printf(
                                reverse ? "port %u is in use already: by another forward, or by a "
                                          "program of this machine that the network reaches anyway"
                                        : "port %u of this machine is in use already",
                                port);
        case -EACCES:
                return g_strdup_printf("port %u needs a privilege omertad does not have", port);
        case -EADDRNOTAVAIL:
                return g_strdup_printf(
                                "this machine has no address %s",
                                endpoint_format(&spec->listen).text);
        default:
                return g_strdup_printf("cannot listen at port %u: %s", port, g_strerror(-error));
        }
}

/* Of the first that does not listen. Return: as of PartOps.start(). */
static int find_trouble(const ManagedNetwork *n, char **ret_reason) {
        for (unsigned i = 0; n->forwards && i < forwards_count(n->forwards); i++) {
                const Forward *f = forwards_at(n->forwards, i);
                g_autofree char *text = NULL, *reason = NULL;

                if (!has_failed(f))
                        continue;
                text = describe(f);
                reason = managed_network_forward_reason(f);
                *ret_reason = g_strdup_printf("%s: %s", text, reason);
                return 1;
        }
        return 0;
}

static void report(ManagedNetwork *n) {
        char *reason = NULL;
        int r = find_trouble(n, &reason);

        part_report(&n->forwarding, r > 0 ? PART_DEGRADED : PART_UP, reason);
}

static int add_failed(const ForwardSpec *spec, int r, ManagerError *error) {
        g_autofree char *text = NULL;

        if (r == -ENOSPC)
                return manager_fail(
                                error, r, "LimitReached",
                                "there are %u forwards already: 'omerta unforward' removes one",
                                FORWARDS_MAX);
        text = listen_error(spec, r);
        return manager_fail(
                        error, r,
                        r == -EADDRINUSE                       ? "PortInUse"
                        : r == -EACCES                         ? "NotPermitted"
                        : r == -EADDRNOTAVAIL || spec->path[0] ? "InvalidArgument"
                                                               : "Failed",
                        "%s", text);
}

static int keep(ManagedNetwork *n, const Forward *f, ManagerError *error) {
        const ForwardSpec *spec = forward_spec(f);
        g_autofree char *listen = forward_spec_listen_format(spec);
        g_autofree char *target = proxy_target_format(&spec->target);
        StoredForward stored = {
                .id = forward_id(f),
                .direction = (char *) forward_direction_to_string(spec->direction),
                .listen = listen,
                .target = target,
        };
        int r = store_put_forward(n->manager->store, &n->id, &stored);

        return r < 0 ? manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r)) : 0;
}

int managed_network_add_forward(
                ManagedNetwork *n,
                const char *direction,
                const char *listen,
                const char *target,
                bool persistent,
                Forward **ret,
                ManagerError *error) {
        ForwardDirection d = forward_direction_from_string(direction);
        g_autofree char *text = NULL;
        ForwardSpec spec;
        Forward *f;
        int r;

        if (!n->is_stored)
                return manager_fail(error, -ENOTCONN, "NotJoined", "this machine is no member yet");
        if (d < 0)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "'%s' is no direction: local or reverse", direction);
        if (forward_spec_parse(d, listen, target, &spec) < 0)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                d == FORWARD_LOCAL
                                                ? "cannot forward '%s' to '%s': wanted are PORT, "
                                                  "ADDRESS:PORT or /PATH here, and MACHINE:PORT there"
                                                : "cannot forward '%s' to '%s': wanted are PORT in the "
                                                  "network, and PORT, localhost:PORT or ADDRESS:PORT here",
                                listen, target);
        if (spec.path[0] != '\0' && !n->manager->options.user_mode)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "only a user's own omertad listens at a path: nobody else could use it");
        spec.persistent = persistent;
        r = open_forwards(n);
        if (r >= 0)
                r = forwards_add(n->forwards, &spec, &f);
        if (r < 0)
                return add_failed(&spec, r, error);
        if (persistent) {
                r = keep(n, f, error);
                if (r < 0) {
                        forward_free(f);
                        return r;
                }
        }
        text = describe(f);
        managed_network_log(n, LOG_INFO, NULL, "%s", text);
        changed(n, f);
        report(n);
        *ret = f;
        return 0;
}

int managed_network_remove_forward(ManagedNetwork *n, Forward *f, ManagerError *error) {
        g_autofree char *text = describe(f);
        uint32_t id = forward_id(f);
        int r;

        if (forward_spec(f)->persistent) {
                r = store_delete_forward(n->manager->store, &n->id, id);
                if (r < 0)
                        return manager_fail(
                                        error, r, "Failed", "cannot forget it: %s", g_strerror(-r));
        }
        forward_free(f);
        managed_network_log(n, LOG_INFO, NULL, "%s: removed", text);
        OBSERVE(n->manager, forward_changed, n, id);
        report(n);
        return 0;
}

Forwards *managed_network_forwards(const ManagedNetwork *n) {
        return n->forwards;
}

char *managed_network_forward_reason(const Forward *f) {
        return forward_error(f) < 0 ? listen_error(forward_spec(f), forward_error(f)) : g_strdup("");
}

/* --- with the network --- */

static void log_failure(ManagedNetwork *n, const Forward *f) {
        g_autofree char *text = NULL, *reason = NULL;

        if (!has_failed(f))
                return;
        text = describe(f);
        reason = managed_network_forward_reason(f);
        managed_network_log(n, LOG_WARNING, MESSAGE_ID_FORWARD_FAILED, "%s: %s", text, reason);
}

static void restore(void *userdata, const StoredForward *stored) {
        ManagedNetwork *n = userdata;
        ForwardDirection d = forward_direction_from_string(stored->direction);
        ForwardSpec spec;
        Forward *f;
        int r;

        r = d < 0 ? -EINVAL : forward_spec_parse(d, stored->listen, stored->target, &spec);
        if (r >= 0)
                r = open_forwards(n);
        if (r >= 0) {
                spec.persistent = true;
                r = forwards_restore(n->forwards, &spec, stored->id, &f);
        }
        if (r < 0)
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_FORWARD_FAILED,
                                "forward %u, %s -> %s, cannot be restored: %s", stored->id,
                                stored->listen, stored->target, g_strerror(-r));
        else
                log_failure(n, f);
}

void managed_network_load_forwards(ManagedNetwork *n) {
        int r = store_foreach_forward(n->manager->store, &n->id, restore, n);

        if (r < 0)
                managed_network_log(
                                n, LOG_ERR, MESSAGE_ID_STATE_DAMAGED,
                                "cannot read the forwards: %s", g_strerror(-r));
        report(n);
}

static void resume(ManagedNetwork *n) {
        if (!n->forwards)
                return;
        forwards_resume(n->forwards);
        for (unsigned i = 0; i < forwards_count(n->forwards); i++) {
                log_failure(n, forwards_at(n->forwards, i));
                changed(n, forwards_at(n->forwards, i));
        }
}

static int forward_start(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;

        resume(n);
        return find_trouble(n, ret_reason);
}

static void forward_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;

        if (!n->forwards)
                return;
        forwards_suspend(n->forwards);
        for (unsigned i = 0; i < forwards_count(n->forwards); i++)
                changed(n, forwards_at(n->forwards, i));
}

/* Those that could not listen while the stack below was being mended. */
static void forward_told(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;

        if (!(what & PART_CHANGED_BELOW) || !n->netstack || netstack_trouble(n->netstack))
                return;
        resume(n);
        report(n);
}

Part *managed_network_init_forwarding(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "forwards",
                .start = forward_start,
                .stop = forward_stop,
                .changed = forward_told,
        };

        part_init(&n->forwarding, &ops, n, &n->manager->env);
        return &n->forwarding;
}
