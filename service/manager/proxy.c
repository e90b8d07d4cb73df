/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The proxy (proxy/server.h) on the networks of this daemon. */

#include <string.h>

#include "base/log.h"
#include "manager/manager-internal.h"

/* Sockets of this name are systemd's for it; the file of user and password, a credential. */
#define SOCKET_NAME "socks"
#define CREDENTIAL_NAME "socks-auth"

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
        manager_dialer_init(&m->proxy_dialer, m, NULL);
        options.user = user;
        options.password = password;
        r = proxy_server_new(m->event, &m->proxy_dialer.ops, &options, &m->proxy);
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
        log_info("SOCKS5 and HTTP proxy on 127.0.0.1 port %u", port);
        return 0;
}
