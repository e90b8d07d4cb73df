/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "cli/format.h"
#include "cli/json.h"

JsonBuilder *cli_json_new(void) {
        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        return b;
}

char *cli_json_text(JsonNode *root) {
        g_autofree char *text = json_to_string(root, TRUE);
        GString *safe = g_string_new(NULL);

        /* json-glib escapes what the standard demands. C1 controls and what reorders text may
         * stand in JSON, but not on a terminal. They occur in strings only, where the escape
         * means the same. */
        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);
                GUnicodeType type = g_unichar_type(c);

                if (c >= 0x7f && c < 0x10000 &&
                    (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT))
                        g_string_append_printf(safe, "\\u%04x", c);
                else
                        g_string_append_unichar(safe, c);
        }
        return g_string_free(safe, FALSE);
}

void cli_json_print(JsonBuilder *b) {
        g_autoptr(JsonNode) root = NULL;
        g_autofree char *text = NULL;

        json_builder_end_object(b);
        root = json_builder_get_root(b);
        text = cli_json_text(root);
        printf("%s\n", text);
}

void cli_json_string(JsonBuilder *b, const char *key, const char *value) {
        json_builder_set_member_name(b, key);
        if (value && *value)
                json_builder_add_string_value(b, value);
        else
                json_builder_add_null_value(b);
}

void cli_json_begin_array(JsonBuilder *b, const char *key) {
        json_builder_set_member_name(b, key);
        json_builder_begin_array(b);
}

void cli_json_strings(JsonBuilder *b, const char *key, char *const *values) {
        cli_json_begin_array(b, key);
        for (; *values; values++)
                json_builder_add_string_value(b, *values);
        json_builder_end_array(b);
}

void cli_json_bool(JsonBuilder *b, const char *key, bool value) {
        json_builder_set_member_name(b, key);
        json_builder_add_boolean_value(b, value);
}

void cli_json_count(JsonBuilder *b, const char *key, uint64_t value) {
        json_builder_set_member_name(b, key);
        json_builder_add_int_value(b, (int64_t) MIN(value, (uint64_t) INT64_MAX));
}

void cli_json_usec(JsonBuilder *b, const char *key, usec_t value) {
        json_builder_set_member_name(b, key);
        if (value > 0 && value <= INT64_MAX)
                json_builder_add_int_value(b, (int64_t) value);
        else
                json_builder_add_null_value(b);
}

void cli_json_time(JsonBuilder *b, const char *key, usec_t t) {
        g_autofree char *text = cli_format_iso(t), *key_usec = g_strconcat(key, "_usec", NULL);

        cli_json_string(b, key, text);
        cli_json_usec(b, key_usec, t);
}

void cli_json_network(JsonBuilder *b, const ClientNetwork *n) {
        cli_json_string(b, "name", n->name);
        cli_json_string(b, "id", n->id);
        cli_json_string(b, "machine", n->machine_id);
        cli_json_string(b, "state", n->state);
        cli_json_string(b, "state_reason", n->state_reason);
        cli_json_string(b, "interface", n->interface);
        cli_json_string(b, "address", n->address);
        cli_json_string(b, "address6", n->address6);
        cli_json_string(b, "subnet", n->subnet);
        cli_json_string(b, "gateway", n->gateway);
        cli_json_string(b, "gateway_address", n->gateway_address);
        cli_json_bool(b, "is_gateway", n->is_gateway);
        cli_json_string(b, "host_name", n->host_name);
        cli_json_count(b, "mtu", n->mtu);
        cli_json_bool(b, "addresses_held", n->addresses_held);
        cli_json_bool(b, "lan_discovery", n->lan_discovery);
        cli_json_strings(b, "endpoints", n->endpoints);
        cli_json_count(b, "lan_machines", n->lan_machines);
        cli_json_string(b, "exit_wanted", n->exit_wanted);
        cli_json_string(b, "exit", n->exit);
        cli_json_string(b, "exit_state", n->exit_state);
        cli_json_string(b, "exit_reason", n->exit_reason);
        cli_json_bool(b, "exit_lan", n->exit_lan);
        cli_json_count(b, "members", n->members);
        cli_json_count(b, "pending", n->pending);
        cli_json_count(b, "invites", n->invites);
        cli_json_time(b, "certificate_expires", n->certificate_expires);
}

void cli_json_machine(JsonBuilder *b, const ClientNetwork *n, const ClientMachine *m) {
        cli_json_string(b, "network", n->name);
        cli_json_string(b, "id", m->id);
        cli_json_string(b, "host_name", m->host_name);
        cli_json_string(b, "owner", m->owner);
        cli_json_strings(b, "roles", m->roles);
        cli_json_strings(b, "groups", m->groups);
        cli_json_string(b, "address", m->address);
        cli_json_string(b, "address6", m->address6);
        cli_json_bool(b, "is_self", m->is_self);
        cli_json_string(b, "link", m->link_state);
        cli_json_string(b, "path", m->via);
        cli_json_string(b, "relay", m->relay);
        cli_json_string(b, "endpoint", m->endpoint);
        cli_json_strings(b, "endpoints", m->endpoints);
        cli_json_strings(b, "exit", m->exit);
        cli_json_string(b, "software", m->software);
        cli_json_string(b, "cipher", m->cipher);
        cli_json_time(b, "certificate_expires", m->certificate_expires);
        cli_json_usec(b, "rtt_usec", m->rtt);
        cli_json_time(b, "last_received", m->last_received);
        cli_json_time(b, "last_handshake", m->last_handshake);
        cli_json_count(b, "packets_sent", m->packets_sent);
        cli_json_count(b, "packets_received", m->packets_received);
        cli_json_count(b, "bytes_sent", m->bytes_sent);
        cli_json_count(b, "bytes_received", m->bytes_received);
}

void cli_json_session(JsonBuilder *b, const ClientNetwork *n, const ClientSession *s) {
        const ClientMachine *m = client_network_find_machine(n, s->machine);

        cli_json_string(b, "network", n->name);
        cli_json_string(b, "machine", s->machine);
        cli_json_string(b, "host_name", m ? m->host_name : "");
        cli_json_string(b, "address", m ? m->address : "");
        cli_json_string(b, "channel", s->channel);
        cli_json_string(b, "state", s->state);
        cli_json_string(b, "path", s->via);
        cli_json_string(b, "relay", m ? m->relay : "");
        cli_json_usec(b, "rtt_usec", s->rtt);
        cli_json_time(b, "established", s->established);
        cli_json_time(b, "last_activity", s->last_activity);
        cli_json_count(b, "packets_sent", s->packets_sent);
        cli_json_count(b, "packets_received", s->packets_received);
        cli_json_count(b, "bytes_sent", s->bytes_sent);
        cli_json_count(b, "bytes_received", s->bytes_received);
}

void cli_json_lease(JsonBuilder *b, const ClientNetwork *n, const ClientLease *l) {
        cli_json_string(b, "network", n->name);
        cli_json_string(b, "address", l->address);
        cli_json_string(b, "machine", l->machine);
        cli_json_string(b, "host_name", l->host_name);
        cli_json_string(b, "state", l->state);
        cli_json_time(b, "granted", l->granted);
        cli_json_time(b, "expires", l->expires);
}

void cli_json_forward(JsonBuilder *b, const ClientForward *f) {
        cli_json_count(b, "id", f->id);
        cli_json_string(b, "direction", f->direction);
        cli_json_string(b, "listen", f->listen);
        cli_json_string(b, "target", f->target);
        cli_json_bool(b, "persistent", f->persistent);
        cli_json_string(b, "state", f->state);
        cli_json_string(b, "state_reason", f->state_reason);
        cli_json_count(b, "active", f->active);
        cli_json_count(b, "accepted", f->accepted);
        cli_json_count(b, "failed", f->failed);
        cli_json_count(b, "turned_away", f->turned_away);
        cli_json_count(b, "bytes_to_target", f->bytes_to_target);
        cli_json_count(b, "bytes_from_target", f->bytes_from_target);
}
