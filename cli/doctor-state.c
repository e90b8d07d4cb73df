/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where the keys are, whose that is, and whose process the daemon is, as the kernel has it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "cli/doctor.h"
#include "cli/i18n.h"
#include "dbus/names.h"

/* Of the daemon's process. */
typedef struct Rights {
        uid_t uid;
        gid_t gid;
        char *groups; /* numbers, with white space between */
} Rights;

static void rights_done(Rights *r) {
        g_free(r->groups);
}

/* Return: what follows "NAME:" in a status of /proc, up to the end of the line; NULL: nothing does. */
static char *find_field(const char *status, const char *name) {
        g_auto(GStrv) lines = g_strsplit(status, "\n", 0);

        for (unsigned i = 0; lines[i]; i++)
                if (g_str_has_prefix(lines[i], name) && lines[i][strlen(name)] == ':')
                        return g_strdup(lines[i] + strlen(name) + 1);
        return NULL;
}

static pid_t daemon_pid(const Doctor *d) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        pid_t pid;

        if (!d->cli->bus ||
            sd_bus_get_name_creds(d->cli->bus, OMERTA_BUS_NAME, SD_BUS_CREDS_PID, &creds) < 0 ||
            sd_bus_creds_get_pid(creds, &pid) < 0)
                return 0;
        return pid;
}

/* Return: false: it cannot be seen. */
static bool read_rights(const Doctor *d, Rights *ret) {
        pid_t pid = daemon_pid(d);
        g_autofree char *status = pid > 0 ? doctor_read(d, "/proc/%d/status", (int) pid) : NULL;
        g_autofree char *uid = status ? find_field(status, "Uid") : NULL;
        g_autofree char *gid = status ? find_field(status, "Gid") : NULL;
        unsigned u, g;

        /* The second is the effective one. */
        if (!uid || !gid || sscanf(uid, " %*u %u", &u) != 1 || sscanf(gid, " %*u %u", &g) != 1)
                return false;
        *ret = (Rights){ .uid = u, .gid = g, .groups = find_field(status, "Groups") };
        return true;
}

/* @file: /etc/passwd or /etc/group. Return: what it calls that number, or the number. */
static char *name_of(const Doctor *d, const char *file, unsigned id) {
        g_autofree char *text = doctor_read(d, "%s", file), *number = g_strdup_printf("%u", id);
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", 0);

        for (unsigned i = 0; lines[i]; i++) {
                g_auto(GStrv) fields = g_strsplit(lines[i], ":", 4);

                if (g_strv_length(fields) >= 3 && *fields[0] && strcmp(fields[2], number) == 0)
                        return g_strdup(fields[0]);
        }
        return g_steal_pointer(&number);
}

/* --- the state directory --- */

/* Return: the directory, or a file in it, if that is another's than @uid's; NULL: it is not, or it
 * takes root to see. */
static char *find_foreign(const char *path, const char *dir, uid_t uid, uid_t *ret) {
        g_autoptr(GDir) files = NULL;
        const char *name;
        struct stat st;

        if (stat(path, &st) < 0)
                return NULL;
        *ret = st.st_uid;
        if (st.st_uid != uid)
                return g_strdup(dir);
        files = g_dir_open(path, 0, NULL);
        while (files && (name = g_dir_read_name(files))) {
                g_autofree char *file = g_build_filename(path, name, NULL);

                if (lstat(file, &st) < 0 || st.st_uid == uid)
                        continue;
                *ret = st.st_uid;
                return g_build_filename(dir, name, NULL);
        }
        return NULL;
}

/* Return: whether something was found. */
static bool check_owner(Doctor *d, const char *path, const char *dir, const Rights *rights) {
        uid_t owner = 0;
        g_autofree char *foreign = find_foreign(path, dir, rights->uid, &owner);
        g_autofree char *theirs = NULL, *ours = NULL;

        if (!foreign)
                return false;
        theirs = name_of(d, "/etc/passwd", owner);
        ours = name_of(d, "/etc/passwd", rights->uid);
        doctor_take(d, "state", DOCTOR_BROKEN,
                    g_strdup_printf(_("%s belongs to %s, and omertad runs as %s"), foreign, theirs,
                                    ours),
                    g_strdup_printf("sudo chown -R %s: %s", ours, dir));
        return true;
}

static void check_directory(Doctor *d, const Rights *rights) {
        const char *dir = d->health->state_directory, *trouble = d->health->state_trouble;
        g_autofree char *path = g_strconcat(d->root, dir ?: "", NULL);
        bool is_known = dir && *dir;
        struct stat st;

        /* Why the daemon cannot write there is more than that it cannot. */
        if (is_known && rights && check_owner(d, path, dir, rights))
                return;
        if (trouble && *trouble)
                doctor_take(d, "state", DOCTOR_BROKEN, g_strdup(trouble),
                            g_strdup_printf("df -h %s; mount | grep ' ro'", dir ?: "/var"));
        else if (!is_known)
                return;
        else if (stat(path, &st) < 0)
                doctor_take(d, "state", DOCTOR_UNSEEN,
                            g_strdup_printf(_("%s cannot be seen without root"), dir), NULL);
        else if (st.st_mode & 077)
                doctor_take(d, "state", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s, where the keys are, is open to others"), dir),
                            g_strdup_printf("sudo chmod 0700 %s", dir));
        else
                doctor_take(d, "state", DOCTOR_FINE,
                            g_strdup_printf(_("%s is its owner's alone"), dir), NULL);
}

/* --- groups --- */

/* The daemon needs none but its own. Root's mean nothing, and a user's are the user's. */
static void check_groups(Doctor *d, const Rights *rights) {
        g_auto(GStrv) groups = g_strsplit_set(rights->groups ?: "", " \t", 0);
        g_autofree char *user = name_of(d, "/etc/passwd", rights->uid);
        g_autoptr(GString) names = g_string_new(NULL), fix = g_string_new(NULL);

        if (d->cli->options.user || rights->uid == 0)
                return;
        for (unsigned i = 0; groups[i]; i++) {
                g_autofree char *name = NULL;
                guint64 gid;

                if (!g_ascii_string_to_unsigned(groups[i], 10, 0, UINT32_MAX, &gid, NULL) ||
                    gid == rights->gid)
                        continue;
                name = name_of(d, "/etc/group", (unsigned) gid);
                g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", name);
                g_string_append_printf(fix, "sudo gpasswd --delete %s %s; ", user, name);
        }
        if (names->len == 0) {
                doctor_take(d, "groups", DOCTOR_FINE,
                            g_strdup(_("omertad has no other group's rights")), NULL);
                return;
        }
        g_string_append(fix, "sudo systemctl restart omertad");
        doctor_take(d, "groups", DOCTOR_WARNING,
                    g_strdup_printf(_("omertad has the rights of groups it does not need: %s"),
                                    names->str),
                    g_string_free(g_steal_pointer(&fix), FALSE));
}

void doctor_check_state(Doctor *d) {
        _cleanup_(rights_done) Rights rights = {};
        bool is_seen = read_rights(d, &rights);

        check_directory(d, is_seen ? &rights : NULL);
        if (is_seen)
                check_groups(d, &rights);
}
