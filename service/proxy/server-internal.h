/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a client sees of its server, and the server of its clients. */

#include <glib.h>

#include "base/endpoint.h"
#include "proxy/server.h"

/* A secret and what is compared with it have one length, so that comparing takes one time. */
#define PROXY_SECRET_SIZE 256U
typedef struct ProxySecret {
        uint8_t user[PROXY_SECRET_SIZE], password[PROXY_SECRET_SIZE];
} ProxySecret;

typedef struct ProxyClient ProxyClient;

struct ProxyServer {
        sd_event *event;
        const ProxyDialer *dialer;
        RelayLoop *relays;
        ProxySecret *secret; /* NULL: none is asked */
        unsigned connections_max;
        usec_t handshake_usec, dial_usec;

        GPtrArray *listeners;
        bool has_unix;  /* one of them is a unix socket */
        GQueue clients; /* ProxyClient.link */
        /* Of these, who may still need descriptors for what they ask for. */
        unsigned n_asking;
        /* Those with a deadline (ProxyClient.waiting): all have the same time, so the first to come
         * is the first to go, and one timer does for all. */
        GQueue waiting;
        sd_event_source *deadline;

        uint8_t *datagram; /* UDP_ASSOCIATION_BUFFER_SIZE, once somebody needs it */
        ProxyServerStats stats;
};

/* @fd: the client's from now on. It frees itself. */
void proxy_client_new(ProxyServer *s, int fd);
ProxyClient *proxy_client_free(ProxyClient *c);

/* When the first of server->waiting has to go; to be called with the first one that comes. */
void proxy_server_arm(ProxyServer *s);
usec_t proxy_client_deadline(const ProxyClient *c);

/* Only programs of this machine reach such an address. */
bool proxy_is_loopback(const Endpoint *e);
bool proxy_server_check(
                const ProxyServer *s,
                const uint8_t *user,
                size_t user_len,
                const uint8_t *password,
                size_t password_len);
