/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The load of socksload and userload: a service, and clients that come to it some way: straight,
 * through a SOCKS5 proxy, or through a daemon. For measuring programs: what fails ends the program
 * with a message.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/endpoint.h"

/* How a client comes to the service. */
typedef struct LoadWay {
        Endpoint service;
        const Endpoint *proxy; /* NULL: none */
        /* A connected socket by other means; NULL: connect(2). */
        int (*open)(void *userdata, const Endpoint *service);
        void *userdata;
} LoadWay;

void load_die(const char *what) __attribute__((noreturn));
/* A process that ends with this one. */
pid_t load_child(void);
/* Congestion control is the kernel's default else, and bbr paces even loopback. */
void load_tune(int fd);

/* Echoes a byte, swallows a stream, or is the source of one. Does not return. */
void load_serve(int listen_fd) __attribute__((noreturn));

int load_open(const LoadWay *w);
/* Connect, one byte there and back, close: @connections by @clients processes at once. */
double load_connections_per_second(const LoadWay *w, unsigned connections, unsigned clients);
/* One stream, as its receiver sees it: for @seconds, after the first @omit. */
double load_gbit_per_second(const LoadWay *w, bool back, unsigned omit, unsigned seconds);
/* @n connections that are open and echoed a byte. Return: their sockets; the caller frees. */
int *load_idle(const LoadWay *w, unsigned n);

/* Of a process. 0: not known. */
long load_resident_kib(pid_t pid);
double load_cpu_seconds(pid_t pid);
