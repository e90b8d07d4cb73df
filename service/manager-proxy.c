/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The proxy (proxy/server.h) on the networks of this daemon. */

#include <string.h>

#include "base/log.h"
#include "manager-internal.h"

/* Sockets of this name are systemd's for it; the file of user and password, a credential. */
#define SOCKET_NAME "socks"
#define CREDENTIAL_NAME "socks-auth"

/* --- the networks as the proxy sees them --- */

/* Whether manager_resolve() found no network at all: none is up, or we are in none. */
static bool is_down(int r) {
        return r == -ENETUNREACH || r == -ENOTCONN;
}

static int
proxy_dial(void *userdata,
           const IpAddr *address,
           uint16_t port,
           usec_t timeout,
           ProxyDialed done,
           void *done_userdata,
           ProxyCall **ret) {
        ManagerCall *c = NULL;
        ManagedNetwork *n;
        MachineId machine;
        IpAddr a;
        int r;

        r = manager_resolve(userdata, NULL, ip_format(address).text, &n, &machine, &a, NULL);
        if (r < 0)
                return is_down(r) ? -ENETUNREACH : -EHOSTUNREACH;
        r = managed_network_dial(n, &a, port, timeout, done, done_userdata, &c);
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

/* Only forwards do this. */
static int
proxy_listen(void *userdata,
             uint16_t port,
             unsigned backlog,
             ProxyAccepted accepted,
             void *accepted_userdata,
             uint16_t *ret_port,
             ProxyCall **ret) {
        return -EOPNOTSUPP;
}

static const void *proxy_network(void *userdata, const IpAddr *address) {
        Manager *m = userdata;
        ManagedNetwork *n;
        MachineId machine;
        IpAddr a;

        if (address)
                return manager_resolve(m, NULL, ip_format(address).text, &n, &machine, &a, NULL) < 0
                                       ? NULL
                                       : n;
        for (unsigned i = 0; i < m->networks->len; i++) {
                n = m->networks->pdata[i];
                if (n->netstack)
                        return n;
        }
        return NULL;
}

static int
proxy_udp(void *userdata, const void *network, ProxyDialed done, void *done_userdata, ProxyCall **ret) {
        Manager *m = userdata;
        ManagerCall *c = NULL;
        unsigned i;
        int r;

        if (!g_ptr_array_find(m->networks, network, &i))
                return -ENETUNREACH;
        r = managed_network_udp(m->networks->pdata[i], done, done_userdata, &c);
        if (r >= 0)
                *ret = (ProxyCall *) c;
        return r;
}

static int proxy_lookup(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        ManagedNetwork *n;
        MachineId machine;
        int r;

        r = manager_resolve(userdata, NULL, name, &n, &machine, &ret[0], NULL);
        if (r < 0)
                return is_down(r) ? -ENETUNREACH : -ENXIO;
        return 1;
}

static void proxy_cancel(void *userdata, ProxyCall *call) {
        manager_call_cancel((ManagerCall *) call);
}

/* --- life --- */

/* "USER:PASSWORD", one line. */
static int read_secret(Manager *m, char **ret_user, char **ret_password) {
        const char *path = m->options.socks_auth, *credentials = getenv("CREDENTIALS_DIRECTORY");
        g_autofree char *credential = NULL, *text = NULL;
        g_autoptr(GError) error = NULL;
        char *colon;

        if (!path && credentials) {
                credential = g_build_filename(credentials, CREDENTIAL_NAME, NULL);
                if (access(credential, F_OK) >= 0)
                        path = credential;
        }
        if (!path)
                return 0;
        if (!g_file_get_contents(path, &text, NULL, &error)) {
                log_error("cannot read the proxy's password: %s", error->message);
                return -EIO;
        }
        g_strchomp(text);
        colon = strchr(text, ':');
        if (!colon || strchr(text, '\n')) {
                log_error("%s: one line, USER:PASSWORD, is wanted", path);
                return -EINVAL;
        }
        *ret_user = g_strndup(text, (size_t) (colon - text));
        *ret_password = g_strdup(colon + 1);
        return 0;
}

static int make_server(Manager *m) {
        g_autofree char *user = NULL, *password = NULL;
        ProxyServerOptions options = {};
        int r;

        if (m->proxy)
                return 0;
        r = read_secret(m, &user, &password);
        if (r < 0)
                return r;
        m->proxy_dialer = (ProxyDialer){
                .dial = proxy_dial,
                .listen = proxy_listen,
                .network = proxy_network,
                .udp = proxy_udp,
                .resolve = proxy_lookup,
                .cancel = proxy_cancel,
                .userdata = m,
        };
        options.user = user;
        options.password = password;
        r = proxy_server_new(m->event, &m->proxy_dialer, &options, &m->proxy);
        return r < 0 ? log_error_errno(r, "cannot make the proxy: %m") : 0;
}

int manager_open_proxy(Manager *m) {
        uint16_t port;
        int fd, r;

        while ((fd = manager_claim_fd(m, SOCKET_NAME)) >= 0) {
                r = make_server(m);
                if (r >= 0)
                        r = proxy_server_add_fd(m->proxy, fd);
                else
                        close(fd);
                if (r < 0)
                        return log_error_errno(
                                        r, r == -EPERM ? "the proxy's socket can be reached from other "
                                                         "machines, and there is no password: see "
                                                         "--socks-auth"
                                                       : "cannot use the proxy's socket: %m");
        }
        if (!m->options.socks)
                return 0;
        r = make_server(m);
        if (r < 0)
                return r;
        r = proxy_server_listen(m->proxy, m->options.socks_port, &port);
        if (r < 0)
                return log_error_errno(
                                r, "cannot take TCP port %u for the proxy: %m",
                                m->options.socks_port);
        log_info("SOCKS5 and HTTP CONNECT proxy on 127.0.0.1 port %u", port);
        return 0;
}
