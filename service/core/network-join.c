/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Joining a network by an invite: from nothing but the link to a member with an address. */

#include <string.h>

#include "base/macros.h"
#include "core/network-internal.h"

void network_join_finish(Network *n, WireError error, const char *detail) {
        NetworkJoinDone done = TAKE_PTR(n->join_done);

        timer_clear(&n->join_timer);
        if (done)
                done(n->join_userdata, n, error, detail);
}

static void on_join_timeout(void *userdata) {
        Network *n = userdata;
        g_autofree char *detail = NULL;

        if (!n->is_member)
                detail = g_strdup("the gateway does not answer; is it running, and does UDP reach it?");
        else
                detail = g_strdup_printf(
                                "joined, but no address came from the gateway in time%s%s",
                                n->lease_error ? ": " : "",
                                n->lease_error ? wire_error_text(n->lease_error) : "");
        network_join_finish(n, WIRE_ERROR_TIMEOUT, detail);
}

static int take_welcome(Network *n, const EnrolResponse *response) {
        Membership *m = &n->membership;
        int r;

        g_strlcpy(m->name, response->network_name, sizeof m->name);
        m->subnet = response->subnet;
        m->gateway = response->gateway;
        secret_unref(m->secret);
        m->secret = secret_new(response->secret);
        if (response->issuer_certificate) {
                r = directory_offer(n->directory, response->issuer_certificate, false, NULL);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; response->records && i < response->records->len; i++) {
                r = directory_offer(n->directory, response->records->pdata[i], false, NULL);
                if (r < 0)
                        return r;
        }
        r = directory_offer(n->directory, response->certificate, true, NULL);
        if (r < 0)
                return r;
        if (n->config.handler.joined) {
                r = n->config.handler.joined(n->config.handler.userdata, n, m);
                if (r < 0)
                        return r;
        }
        return network_start(n);
}

static char *refuse_subnet(Network *n, const IpPrefix *subnet) {
        const NetworkHandler *h = &n->config.handler;

        return h->refuse_subnet ? h->refuse_subnet(h->userdata, n, subnet) : NULL;
}

static void on_enrolled(void *userdata, WireError error, const EnrolResponse *response) {
        Network *n = userdata;
        g_autofree char *refusal = NULL;
        int r;

        if (error) {
                n->enrol_client = enrol_client_free(n->enrol_client);
                if (n->state == NETWORK_WAITING) {
                        g_autofree char *reason = g_strdup_printf(
                                        "not let in (%s): 'omerta network leave', and join anew with "
                                        "another invite",
                                        wire_error_text(error));

                        /* Who joined has had its answer. */
                        network_set_state(n, NETWORK_WAITING, reason);
                }
                network_join_finish(n, error, NULL);
                return;
        }
        if (response->status == ENROL_PENDING) {
                network_set_state(n, NETWORK_WAITING, wire_error_text(WIRE_ERROR_WAITING));
                network_join_finish(n, WIRE_ERROR_WAITING, NULL);
                return;
        }
        refusal = refuse_subnet(n, &response->subnet);
        if (refusal) {
                n->enrol_client = enrol_client_free(n->enrol_client);
                /* Who waited for an approval was told so long ago. */
                network_set_state(n, n->state, refusal);
                network_join_finish(n, WIRE_ERROR_SUBNET, refusal);
                return;
        }
        /* A link of a joining machine serves enrolment only; that of a member is made anew. */
        n->enrol_client = enrol_client_free(n->enrol_client);
        r = take_welcome(n, response);
        if (r < 0)
                network_join_finish(n, WIRE_ERROR_FAILED, g_strerror(-r));
}

int network_join(
                const NetworkConfig *config,
                const Invite *invite,
                const char *host_name,
                const char *owner,
                usec_t timeout,
                NetworkJoinDone done,
                void *userdata,
                Network **ret) {
        Membership m = { .id = invite->network, .gateway = invite->issuer };
        Network *n;
        int r;

        g_strlcpy(m.name, invite->network_name, sizeof m.name);
        g_strlcpy(m.host_name, host_name, sizeof m.host_name);
        g_strlcpy(m.owner, owner, sizeof m.owner);
        memcpy(m.names, invite->names, sizeof m.names);
        m.n_names = invite->n_names;
        r = network_alloc(config, &m, &n);
        if (r < 0)
                return r;
        n->reason = g_strdup("asking the gateway to be let in");
        n->join_done = done;
        n->join_userdata = userdata;
        r = enrol_client_start(
                        n->mesh, n->env, config->identity, invite, host_name, owner, timeout,
                        on_enrolled, n, &n->enrol_client);
        if (r < 0) {
                n->join_done = NULL;
                network_free(n);
                return r;
        }
        timer_set(n->env->timers, &n->join_timer, usec_add(env_now(n->env), timeout),
                  on_join_timeout, n);
        *ret = n;
        return 0;
}
