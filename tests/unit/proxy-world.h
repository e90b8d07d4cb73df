/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The world of tests of the whole proxy: clients in the same process, over loopback. */

#include "base/endpoint.h"
#include "plain-dialer.h"
#include "proxy/listener.h"
#include "proxy/server.h"

/* A proxy, and a service in "the network" that says back what it hears. */
typedef struct World {
        sd_event *event;
        PlainDialer *dialer;
        ProxyServer *server;
        Listener *service;
        uint16_t port, service_port, closed_port;
} World;

int world_setup(void **state);
int world_teardown(void **state);
/* Starts the proxy. */
void world_serve(World *w, const ProxyServerOptions *options);
/* A connection to the proxy. */
int world_client(World *w);
void say(int fd, const void *data, size_t len);
void say_text(int fd, const char *text);
/* Return: as recv(2), once there is something to return. */
ssize_t world_hear(World *w, int fd, void *buf, size_t size);
/* Exactly this. */
void world_hears(World *w, int fd, const void *data, size_t len);
void world_hears_end(World *w, int fd);
void world_turn(World *w);
/* Until nothing is left to do. */
void world_settle(World *w);
/* Until the proxy has nothing left of anybody. */
void world_all_gone(World *w);
/* Greeting and CONNECT to 127.0.0.1. Return: how many bytes. */
size_t connect_request(uint8_t *buf, uint16_t port);
/* The greeting's answer, and a success with the address the connection comes from. */
void world_hears_connected(World *w, int fd);
Endpoint loopback(uint16_t port);
/* Of this process. */
unsigned count_fds(void);
