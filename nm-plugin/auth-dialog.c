/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * nm-omerta-auth-dialog: what NetworkManager's secret agents (nmcli, desktops) run to get the
 * invite of a profile that has none stored. It shows nothing itself: with --external-ui-mode it
 * says what is to be asked, and the agent asks. Without, it gives what is stored, or fails.
 *
 * The profile comes on standard input: nm_vpn_service_plugin_read_vpn_details().
 */

#include <NetworkManager.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "config.h"
#include "nm-plugin/fields.h"
#include "nm-plugin/i18n.h"

#define UI_GROUP "VPN Plugin UI"

typedef struct Question {
        const char *name; /* of the profile */
        const char *stored;
        bool ask;
} Question;

/* The first group is the description's: agents take no other order. */
static char *describe(const Question *q) {
        const VpnFieldInfo *invite = vpn_field_info(VPN_FIELD_INVITE);
        g_autofree char *text = g_strdup_printf(
                        _("The network of “%s” is joined with an invite link."), q->name);
        GKeyFile *file = g_key_file_new();
        char *data;

        g_key_file_set_integer(file, UI_GROUP, "Version", 2);
        g_key_file_set_string(file, UI_GROUP, "Title", _("Join a Mesh Network"));
        g_key_file_set_string(file, UI_GROUP, "Description", text);
        g_key_file_set_string(file, invite->key, "Value", q->stored);
        g_key_file_set_string(file, invite->key, "Label", _(invite->label));
        g_key_file_set_boolean(file, invite->key, "IsSecret", TRUE);
        g_key_file_set_boolean(file, invite->key, "ShouldAsk", q->ask);
        data = g_key_file_to_data(file, NULL, NULL);
        g_key_file_unref(file);
        return data;
}

/* Key and value by turns, an empty line at the end; then the agent says that it has them. */
static int give(const Question *q) {
        int c;

        if (q->ask) {
                fprintf(stderr,
                        "nm-omerta-auth-dialog: only agents with an external user interface "
                        "can ask\n");
                return EXIT_FAILURE;
        }
        if (*q->stored)
                printf("%s\n%s\n", vpn_field_info(VPN_FIELD_INVITE)->key, q->stored);
        printf("\n\n");
        fflush(stdout);
        while ((c = getchar()) != EOF && c != 'Q')
                ;
        return EXIT_SUCCESS;
}

/* Where a network is named this machine may be in it, and nobody need have an invite. */
static bool needs_link(GHashTable *data, const char *stored, const char *const *hints, bool again) {
        const char *network = g_hash_table_lookup(data, vpn_field_info(VPN_FIELD_NETWORK)->key);
        NMSettingSecretFlags flags = NM_SETTING_SECRET_FLAG_NONE;
        const char *key = vpn_field_info(VPN_FIELD_INVITE)->key;

        (void) nm_vpn_service_plugin_get_secret_flags(data, key, &flags);
        if (flags & NM_SETTING_SECRET_FLAG_NOT_REQUIRED)
                return false;
        if (again || (hints && g_strv_contains(hints, key)))
                return true;
        return !*stored && !(network && *network);
}

int main(int argc, char **argv) {
        g_autofree char *uuid = NULL, *name = NULL, *service = NULL;
        g_auto(GStrv) hints = NULL;
        gboolean again = FALSE, interactive = FALSE, external = FALSE;
        const GOptionEntry options[] = {
                { "uuid", 'u', 0, G_OPTION_ARG_STRING, &uuid, "of the profile", "UUID" },
                { "name", 'n', 0, G_OPTION_ARG_STRING, &name, "of the profile", "NAME" },
                { "service", 's', 0, G_OPTION_ARG_STRING, &service, "of the VPN", "SERVICE" },
                { "reprompt", 'r', 0, G_OPTION_ARG_NONE, &again, "the stored ones were wrong", NULL },
                { "allow-interaction", 'i', 0, G_OPTION_ARG_NONE, &interactive, "somebody is there",
                  NULL },
                { "external-ui-mode", 0, 0, G_OPTION_ARG_NONE, &external, "say what to ask", NULL },
                { "hint", 't', 0, G_OPTION_ARG_STRING_ARRAY, &hints, "what is wanted", "KEY" },
                {},
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GHashTable) data = NULL, secrets = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *description = NULL;
        Question q = {};

        setlocale(LC_ALL, "");
        bindtextdomain(GETTEXT_PACKAGE, OMERTA_LOCALEDIR);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        g_option_context_add_main_entries(context, options, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error) || !uuid || !name || !service ||
            strcmp(service, VPN_SERVICE) != 0) {
                fprintf(stderr, "nm-omerta-auth-dialog: %s\n",
                        error ? error->message : "wants a profile of the service " VPN_SERVICE);
                return EXIT_FAILURE;
        }
        /* libnm says "no" of a profile that has not one item, which is one to ask for. */
        if (!nm_vpn_service_plugin_read_vpn_details(STDIN_FILENO, &data, &secrets)) {
                data = g_hash_table_new(g_str_hash, g_str_equal);
                secrets = g_hash_table_new(g_str_hash, g_str_equal);
        }
        q.name = name;
        q.stored = g_hash_table_lookup(secrets, vpn_field_info(VPN_FIELD_INVITE)->key) ?: "";
        q.ask = interactive && needs_link(data, q.stored, (const char *const *) hints, again);
        if (!external)
                return give(&q);
        description = describe(&q);
        fputs(description, stdout);
        return EXIT_SUCCESS;
}
