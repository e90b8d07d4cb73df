/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names that people type: of this machine in a network, and whose it is. */

#include <string.h>

#include "manager/manager-internal.h"

static void default_host_name(char ret[static HOST_NAME_MAX_LEN + 1]) {
        char host[256] = "";

        (void) gethostname(host, sizeof host - 1);
        host_name_normalize(host, ret);
}

/* What a person types as a name and reads in a table: nothing that cannot be seen there, and
 * nothing that cannot be told from the column beside it. */
bool manager_name_is_visible(const char *text) {
        for (; *text; text = g_utf8_next_char(text))
                if (!g_unichar_isgraph(g_utf8_get_char(text)))
                        return false;
        return true;
}

int manager_choose_names(const char *host_name, const char *owner, Membership *m, ManagerError *error) {
        if (host_name && !host_name_is_valid(host_name))
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "'%s' is no host name: lower-case letters, digits and inner "
                                "hyphens, at most 63",
                                host_name);
        if (owner && (strlen(owner) > OWNER_MAX_LEN || !g_utf8_validate(owner, -1, NULL)))
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "the owner's name is longer than %u bytes or not UTF-8",
                                OWNER_MAX_LEN);
        if (owner && !manager_name_is_visible(owner))
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "the owner's name has spaces or control characters");
        if (host_name)
                g_strlcpy(m->host_name, host_name, sizeof m->host_name);
        else
                default_host_name(m->host_name);
        g_strlcpy(m->owner, owner ?: "", sizeof m->owner);
        return 0;
}

int manager_check_network_name(
                const Manager *m,
                const ManagedNetwork *self,
                const char *name,
                ManagerError *error) {
        if (!network_name_is_valid(name))
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "a network's name has 1 to %u bytes of UTF-8 and no control characters",
                                NETWORK_NAME_MAX_LEN);
        if (!manager_name_is_visible(name))
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "a network's name has no spaces and no control characters");
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *n = m->networks->pdata[i];

                if (n != self && strcmp(managed_network_membership(n)->name, name) == 0)
                        return manager_fail(
                                        error, -EEXIST, "NameTaken",
                                        "there is a network of this name already");
        }
        return 0;
}
