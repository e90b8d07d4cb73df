/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How one network is, for people: its state, why, and what is not as it should be while packets
 * flow all the same. */

#include "base/macros.h"
#include "core/network-internal.h"

/* How often the end of our certificate is looked at, at least: clocks get set. */
#define TROUBLE_LOOK_USEC USEC_PER_HOUR

static const char *const state_table[] = {
        [NETWORK_JOINING] = "joining",       [NETWORK_WAITING] = "waiting",
        [NETWORK_CONNECTING] = "connecting", [NETWORK_ONLINE] = "online",
        [NETWORK_OFFLINE] = "offline",       [NETWORK_REVOKED] = "revoked",
};
static_assert(ELEMENTSOF(state_table) == _NETWORK_STATE_MAX, "a name for every state");

const char *network_state_to_string(NetworkState s) {
        return state_table[s];
}

void network_set_state(Network *n, NetworkState state, const char *reason) {
        if (n->state == state && g_strcmp0(n->reason, reason) == 0)
                return;
        n->state = state;
        g_free(n->reason);
        n->reason = g_strdup(reason);
        CALL(n, state_changed);
}

/* --- what is not as it should be while everything works --- */

static usec_t own_certificate_end(const Network *n) {
        const Record *c = directory_certificate(n->directory, &n->config.identity->id);

        return c ? c->body.not_after : USEC_INFINITY;
}

static NetworkTrouble find_trouble(Network *n) {
        WireError error = n->cert_client ? cert_client_error(n->cert_client) : WIRE_ERROR_NONE;

        if (wall_clock_state(directory_clock(n->directory)) != WALL_CLOCK_FINE)
                return NETWORK_TROUBLE_CLOCK;
        if (n->root_error < 0)
                return NETWORK_TROUBLE_ROOT;
        if (directory_realtime(n->directory) <= own_certificate_end(n))
                return NETWORK_TROUBLE_NONE;
        return error == WIRE_ERROR_ABSENT ? NETWORK_TROUBLE_ABSENT : NETWORK_TROUBLE_CERTIFICATE;
}

/* The gateway's certificate: the root's key is where the administrator has it. */
static char *describe_root_trouble(Network *n) {
        const Record *c = directory_certificate(n->directory, &n->config.identity->id);
        usec_t now = directory_realtime(n->directory);
        g_autofree char *what = NULL;

        if (c && c->body.not_before > now)
                what = g_strdup("was signed by a clock that was ahead, so that nobody can join");
        else if (now > own_certificate_end(n))
                what = g_strdup("has expired");
        else
                what = g_strdup_printf(
                                "ends in %u days",
                                (unsigned) (usec_sub(own_certificate_end(n), now) / USEC_PER_DAY));
        if (n->root_error == -ENOENT)
                return g_strdup_printf(
                                "the certificate of the gateway %s: put the network's key root-%s.key "
                                "back into the state directory for an hour, then it is signed anew",
                                what, machine_id_format(&n->membership.id).text);
        return g_strdup_printf(
                        "the certificate of the gateway %s, and could not be signed anew by the "
                        "network's root key: %s",
                        what, g_strerror(-n->root_error));
}

/* For people; NULL: none. */
static char *describe_trouble(Network *n) {
        WireError error = n->cert_client ? cert_client_error(n->cert_client) : WIRE_ERROR_NONE;
        usec_t ago = usec_sub(directory_realtime(n->directory), own_certificate_end(n));
        g_autofree char *clock = NULL;

        switch (n->trouble) {
        case NETWORK_TROUBLE_NONE:
                return NULL;
        case NETWORK_TROUBLE_CLOCK:
                clock = wall_clock_explain(directory_clock(n->directory));
                return g_strdup_printf(
                                "%s: set it right%s", clock,
                                n->membership.is_gateway
                                                ? "; until then nobody is let in, renewed or given an "
                                                  "address ('omerta network repair-time' if it is right)"
                                                : "");
        case NETWORK_TROUBLE_ROOT:
                return describe_root_trouble(n);
        case NETWORK_TROUBLE_CERTIFICATE:
                return g_strdup_printf(
                                "the certificate expired %u days ago, waiting for the gateway%s",
                                (unsigned) (ago / USEC_PER_DAY),
                                error == WIRE_ERROR_CLOCK ? ", whose clock cannot be right" : "");
        case NETWORK_TROUBLE_ABSENT:
                return g_strdup("this machine was away for longer than the network allows: leave it, and "
                                "join again with a new invite");
        }
        return NULL;
}

static void on_trouble_timer(void *userdata);

static void look_for_trouble(Network *n) {
        usec_t left = usec_sub(own_certificate_end(n), directory_realtime(n->directory));

        n->trouble = find_trouble(n);
        timer_set(n->env->timers, &n->trouble_timer,
                  usec_add(env_now(n->env), MIN(left, TROUBLE_LOOK_USEC) + USEC_PER_SEC),
                  on_trouble_timer, n);
}

/* A gateway is the network, with nobody else in it too; but who has members wants to know that none
 * of them is there, once they have had time to come. NULL: that is not so. */
static const char *alone_reason(const Network *n) {
        return directory_count(n->directory, RECORD_CERTIFICATE) > 1 && !timer_is_set(&n->look_timer)
                               ? "no other member is reachable"
                               : NULL;
}

/* The state of a member follows from three facts: revoked, has an address, anybody answers. Every
 * start begins without an answer, which is no fault yet. */
void network_update_state(Network *n) {
        g_autofree char *trouble = NULL;

        if (!n->is_member || n->state == NETWORK_REVOKED)
                return;
        look_for_trouble(n);
        trouble = describe_trouble(n);
        if (!ip_is_set(&n->address)) {
                g_autofree char *reason = NULL;

                if (n->lease_error)
                        reason = g_strdup_printf(
                                        "no address yet: %s", wire_error_text(n->lease_error));
                else
                        reason = g_strdup("waiting for an address from the gateway");
                network_set_state(n, NETWORK_CONNECTING, reason);
        } else if (n->links_up > 0) {
                timer_clear(&n->look_timer);
                network_set_state(n, NETWORK_ONLINE, trouble);
        } else if (n->membership.is_gateway && !n->is_cut_off) {
                network_set_state(n, NETWORK_ONLINE, trouble ?: alone_reason(n));
        } else if (timer_is_set(&n->look_timer))
                network_set_state(n, NETWORK_CONNECTING, "looking for the other machines");
        else if (n->is_cut_off)
                network_set_state(
                                n, NETWORK_OFFLINE,
                                "this machine has no address that others could reach");
        else
                network_set_state(n, NETWORK_OFFLINE, trouble ?: "no member of the network answers");
}

void network_set_mapped(Network *n, const Endpoint *endpoints, unsigned n_endpoints) {
        mesh_set_mapped_endpoints(n->mesh, endpoints, n_endpoints);
}

void network_set_stream_port(Network *n, uint16_t port) {
        mesh_set_stream_port(n->mesh, port);
}

void network_set_endpoints(Network *n, const Endpoint *endpoints, unsigned n_endpoints) {
        mesh_set_local_endpoints(n->mesh, endpoints, n_endpoints);
        n->is_cut_off = n_endpoints == 0;
        network_update_state(n);
}

static void on_trouble_timer(void *userdata) {
        network_update_state(userdata);
}

static void on_root_timer(void *userdata);

/* Again and again: a year goes by, the key may have been put back, the disk has room again. */
void network_renew_by_root(Network *n) {
        if (!n->enrol_service)
                return;
        n->root_error = enrol_service_renew_own(n->enrol_service);
        timer_set(n->env->timers, &n->root_timer, usec_add(env_now(n->env), TROUBLE_LOOK_USEC),
                  on_root_timer, n);
}

static void on_root_timer(void *userdata) {
        network_renew_by_root(userdata);
        network_update_state(userdata);
}
