/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/json.h"
#include "cli/table.h"
#include "dbus/names.h"

/* Below it a test has a machine of its own making. */
#define ROOT_VARIABLE "OMERTA_DOCTOR_ROOT"

typedef struct Finding {
        const char *check;
        DoctorVerdict verdict;
        char *text, *fix;
} Finding;

/* For programs. */
static const char *const verdicts[] = {
        [DOCTOR_FINE] = "fine",
        [DOCTOR_UNSEEN] = "unseen",
        [DOCTOR_WARNING] = "warning",
        [DOCTOR_BROKEN] = "broken",
};
static_assert(ELEMENTSOF(verdicts) == _DOCTOR_VERDICT_MAX, "a name for every verdict");

static void finding_free(void *p) {
        Finding *f = p;

        g_free(f->text);
        g_free(f->fix);
        g_free(f);
}

void doctor_take(Doctor *d, const char *check, DoctorVerdict verdict, char *text, char *fix) {
        Finding *f = NEW(Finding);

        *f = (Finding){ .check = check, .verdict = verdict, .text = text, .fix = fix };
        g_ptr_array_add(d->findings, f);
}

char *doctor_read(const Doctor *d, const char *format, ...) {
        g_autofree char *name = NULL, *path = NULL;
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        name = g_strdup_vprintf(format, ap);
        va_end(ap);
        path = g_strconcat(d->root, name, NULL);
        return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* --- what the daemon says --- */

static void health_free(DoctorHealth *h) {
        if (!h)
                return;
        g_free(h->state_directory);
        g_free(h->state_trouble);
        g_free(h->clock_trouble);
        g_clear_pointer(&h->trains_lost, g_ptr_array_unref);
        g_free(h);
}

static int read_value(sd_bus_message *m, const char *key, DoctorHealth *h) {
        const struct {
                const char *key, *type;
                void *to;
        } table[] = {
                { "state-directory", "s", &h->state_directory },
                { "state-trouble", "s", &h->state_trouble },
                { "clock-trouble", "s", &h->clock_trouble },
                { "clock-synchronised", "b", &h->clock_synchronised },
                { "ipv6", "b", &h->ipv6 },
                { "receive-buffer", "u", &h->receive_buffer },
                { "receive-buffer-wanted", "u", &h->receive_buffer_wanted },
                { "started", "t", &h->started },
        };
        const char *text;
        int on, r;

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                if (strcmp(table[i].key, key) != 0)
                        continue;
                if (*table[i].type == 's') {
                        r = sd_bus_message_read(m, "v", "s", &text);
                        if (r >= 0)
                                *(char **) table[i].to = g_strdup(text);
                        return r;
                }
                if (*table[i].type == 'b') {
                        r = sd_bus_message_read(m, "v", "b", &on);
                        *(bool *) table[i].to = r >= 0 && on;
                        return r;
                }
                return sd_bus_message_read(m, "v", table[i].type, table[i].to);
        }
        if (strcmp(key, "trains-lost") == 0)
                return doctor_read_trains(m, h);
        return sd_bus_message_skip(m, "v"); /* of a later daemon */
}

/* NULL: a daemon that does not know it, or says something else. */
static DoctorHealth *get_health(Cli *cli) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        DoctorHealth *h = NEW(DoctorHealth);
        const char *key;
        int r;

        r = sd_bus_call_method(
                        cli->bus, OMERTA_BUS_NAME, OMERTA_PATH, OMERTA_IFACE_MANAGER, "GetHealth",
                        NULL, &reply, NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0)
                        r = read_value(reply, key, h);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r >= 0)
                return h;
        health_free(h);
        return NULL;
}

/* Nothing is started for it, and a daemon that is not there is a finding. */
static void ask_daemon(Doctor *d) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Cli *cli = d->cli;
        int owned = 0;

        if (cli_bus_open_quietly(cli) < 0)
                return;
        if (sd_bus_call_method(
                            cli->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                            "org.freedesktop.DBus", "NameHasOwner", NULL, &reply, "s",
                            OMERTA_BUS_NAME) < 0 ||
            sd_bus_message_read_basic(reply, 'b', &owned) < 0 || !owned)
                return;
        if (cli_bus_networks(cli, &d->all) != CLI_OK)
                d->all = NULL;
        d->health = d->all ? get_health(cli) : NULL;
}

/* --- what is said --- */

static DoctorVerdict worst(const Doctor *d) {
        DoctorVerdict w = DOCTOR_FINE;

        for (unsigned i = 0; i < d->findings->len; i++)
                w = MAX(w, ((const Finding *) d->findings->pdata[i])->verdict);
        return w;
}

static void print_json(const Doctor *d) {
        g_autoptr(JsonBuilder) b = cli_json_new();

        cli_json_string(b, "verdict", verdicts[worst(d)]);
        cli_json_begin_array(b, "checks");
        for (unsigned i = 0; i < d->findings->len; i++) {
                const Finding *f = d->findings->pdata[i];

                json_builder_begin_object(b);
                cli_json_string(b, "check", f->check);
                cli_json_string(b, "verdict", verdicts[f->verdict]);
                cli_json_string(b, "text", f->text);
                cli_json_string(b, "fix", f->fix);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
        cli_json_print(b);
}

static void print(const Doctor *d) {
        const char *const marks[] = {
                [DOCTOR_FINE] = _("ok"),
                [DOCTOR_UNSEEN] = "?",
                [DOCTOR_WARNING] = _("warning"),
                [DOCTOR_BROKEN] = _("broken"),
        };

        for (unsigned i = 0; i < d->findings->len; i++) {
                const Finding *f = d->findings->pdata[i];
                g_autofree char *text = cli_escape(f->text);

                printf("%-8s %-12s %s\n", marks[f->verdict], f->check, text);
                if (f->fix) {
                        g_autofree char *fix = cli_escape(f->fix);

                        printf("%-21s -> %s\n", "", fix);
                }
        }
}

CliExit cli_doctor(Cli *cli, char **args) {
        Doctor d = {
                .cli = cli,
                .root = getenv(ROOT_VARIABLE) ?: "",
                .findings = g_ptr_array_new_with_free_func(finding_free),
        };
        DoctorVerdict verdict;

        ask_daemon(&d);
        doctor_check_daemon(&d);
        doctor_check_host(&d);
        doctor_check_firewall(&d);
        doctor_check_exit(&d);
        doctor_check_names(&d);
        verdict = worst(&d);
        if (cli->options.json)
                print_json(&d);
        else
                print(&d);
        g_ptr_array_unref(d.findings);
        health_free(d.health);
        g_clear_pointer(&d.all, client_snapshot_free);
        return verdict == DOCTOR_BROKEN    ? CLI_FAILED
               : verdict == DOCTOR_WARNING ? CLI_WARNED
                                           : CLI_OK;
}
