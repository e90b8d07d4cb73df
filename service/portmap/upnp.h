/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What omertad and omerta-upnp-helper say to each other: arguments, and one line of text back.
 * The helper has read what a stranger in the LAN wrote, so its line is read as if he had written it.
 *
 *     add ROUTER SOURCE PORT EXTERNAL-PORT LIFETIME [URL]     -> mapped ADDRESS PORT LIFETIME URL
 *     remove ROUTER SOURCE PORT EXTERNAL-PORT LIFETIME URL    -> removed
 *                                                             -> none | refused CODE
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

#define UPNP_URL_MAX 256U  /* of the router's description, with its end; longer ones are not used  */
#define UPNP_LINE_MAX 512U /* a line and its end */

typedef enum UpnpOperation {
        UPNP_ADD,
        UPNP_REMOVE,
} UpnpOperation;

typedef struct UpnpRequest {
        UpnpOperation operation;
        IpAddr router, source; /* IPv4: whom to ask, and our address there */
        uint16_t port;         /* ours */
        uint16_t external_port;
        uint32_t lifetime;      /* s */
        char url[UPNP_URL_MAX]; /* where the router described itself last; "": not known */
} UpnpRequest;

typedef enum UpnpOutcome {
        UPNP_MAPPED,
        UPNP_REMOVED,
        UPNP_NONE,    /* the router has no UPnP IGD */
        UPNP_REFUSED, /* it has, and does not want to */
} UpnpOutcome;

typedef struct UpnpAnswer {
        UpnpOutcome outcome;
        IpAddr external;        /* MAPPED; looked at by nobody yet */
        uint16_t external_port; /* MAPPED */
        uint32_t lifetime;      /* MAPPED; s, 0: until it is removed */
        char url[UPNP_URL_MAX]; /* MAPPED */
        uint32_t code;          /* REFUSED: of UPnP, or 0 */
} UpnpAnswer;

/* Room for the arguments of one request, and a pointer to each, NULL at the end. */
#define UPNP_ARGUMENTS 8U
typedef struct UpnpArguments {
        char text[UPNP_ARGUMENTS][UPNP_URL_MAX];
        char *argv[UPNP_ARGUMENTS + 1];
} UpnpArguments;
void upnp_request_to_arguments(const UpnpRequest *q, UpnpArguments *ret);
/* @n of them, without the program's name. Return: 0, or -EINVAL. */
int upnp_request_from_arguments(char **arguments, unsigned n, UpnpRequest *ret);

/* With its newline. Return: its length. */
size_t upnp_answer_format(const UpnpAnswer *a, char buf[static UPNP_LINE_MAX]);
/* All that the helper said. Return: 0, or -EBADMSG. */
int upnp_answer_parse(const char *text, size_t len, UpnpAnswer *ret);

/* Whether @url is "http://ADDRESS[:PORT]..." with exactly the address @router. */
bool upnp_url_is_of(const char *url, const IpAddr *router);
