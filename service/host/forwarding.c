/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/forwarding.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"

/* The service sees nothing of /proc/sys (ProcSubset=pid) but what its unit puts here: BindPaths= of
 * data/omertad.service.in. */
static const char *const roots[] = { "/proc/sys/net/ipv6", "/run/omerta-ipv6" };

typedef enum SettingKind {
        SETTING_IPV4,      /* forwarding of an interface */
        SETTING_FORCE6,    /* the same of IPv6 */
        SETTING_ACCEPT_RA, /* of an interface; before the next, which would end it */
        SETTING_ALL6,      /* forwarding of IPv6, of all interfaces */
        _SETTING_MAX,
} SettingKind;

static const char *const kind_table[] = {
        [SETTING_IPV4] = "ipv4",
        [SETTING_FORCE6] = "force_forwarding",
        [SETTING_ACCEPT_RA] = "accept_ra",
        [SETTING_ALL6] = "forwarding",
};
static_assert(ELEMENTSOF(kind_table) == _SETTING_MAX, "a name for every kind");

typedef struct Setting {
        SettingKind kind;
        char interface[16]; /* IFNAMSIZ */
        int value;          /* before */
        int machine;        /* IPv4: of the machine as a whole, before */
} Setting;

typedef struct Wish {
        RtnlUplink *links;
        unsigned n;
} Wish;

struct Forwarding {
        Rtnl *rtnl;
        char *note;
        GHashTable *wishes; /* who -> Wish */
        GArray *settings;   /* of Setting: what is otherwise than before, in the order it was set */
};

/* --- one setting --- */

static char *path_of(const Setting *s) {
        for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
                g_autofree char *path = g_strdup_printf(
                                "%s/conf/%s/%s", roots[i], s->interface, kind_table[s->kind]);

                if (g_file_test(path, G_FILE_TEST_EXISTS))
                        return TAKE_PTR(path);
        }
        return NULL;
}

static int read_file(const Setting *s) {
        g_autofree char *path = path_of(s), *text = NULL;
        int value;

        if (!path || !g_file_get_contents(path, &text, NULL, NULL) || sscanf(text, "%d", &value) != 1)
                return -ENOENT;
        return value;
}

static int write_file(const Setting *s, int value) {
        g_autofree char *path = path_of(s);
        _cleanup_close_ int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -EBADF;
        char text[16];
        int len = snprintf(text, sizeof text, "%d\n", value);

        if (!path)
                return -ENOENT;
        if (fd < 0 || write(fd, text, (size_t) len) < 0)
                return -errno;
        return 0;
}

/* Return: the value, or negative errno. */
static int setting_read(Rtnl *r, const Setting *s) {
        unsigned ifindex;
        int status;

        if (s->kind != SETTING_IPV4)
                return read_file(s);
        status = rtnl_link_index(r, s->interface, &ifindex);
        return status < 0 ? status : rtnl_forwarding(r, ifindex);
}

static int setting_write(Rtnl *r, const Setting *s, int value) {
        unsigned ifindex;
        int status;

        if (s->kind != SETTING_IPV4)
                return write_file(s, value);
        status = rtnl_link_index(r, s->interface, &ifindex);
        return status < 0 ? status : rtnl_set_forwarding(r, ifindex, value != 0);
}

/* What an exit needs. */
static int setting_wanted(const Setting *s) {
        return s->kind == SETTING_ACCEPT_RA ? 2 : 1; /* 2: also by who forwards */
}

/* An interface that is gone has taken it along. Somebody who has made a router of the machine
 * meanwhile (ip_forward) means this interface too. */
static void setting_put_back(Rtnl *r, const Setting *s) {
        int status;

        if (s->kind == SETTING_IPV4 && s->machine == 0 && rtnl_forwarding(r, 0) == 1)
                return;
        status = setting_write(r, s, s->value);
        if (status < 0 && status != -ENODEV && status != -ENOENT)
                log_warning("cannot put back %s of %s: %s", kind_table[s->kind], s->interface,
                            g_strerror(-status));
}

static bool setting_equal(const Setting *a, const Setting *b) {
        return a->kind == b->kind && strcmp(a->interface, b->interface) == 0;
}

/* --- the note --- */

static void put_all_back(Rtnl *r, const GArray *settings) {
        for (unsigned i = settings->len; i-- > 0;)
                setting_put_back(r, &g_array_index(settings, Setting, i));
}

/* Before anything is changed that it does not say yet. Return: 0, or negative errno. */
static int write_note(const Forwarding *f) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autoptr(GError) error = NULL;

        if (f->settings->len == 0) {
                if (unlink(f->note) < 0 && errno != ENOENT)
                        return -errno;
                return 0;
        }
        for (unsigned i = 0; i < f->settings->len; i++) {
                const Setting *s = &g_array_index(f->settings, Setting, i);

                g_string_append_printf(
                                text, "%s %d %d %s\n", kind_table[s->kind], s->value, s->machine,
                                s->interface);
        }
        if (g_file_set_contents(f->note, text->str, -1, &error))
                return 0;
        log_warning("cannot note what is set for an exit: %s", error->message);
        return -EIO;
}

/* A line that is not one of ours is left out. */
static bool read_line(const char *line, Setting *ret) {
        char kind[24], interface[16];
        Setting s = {};

        if (sscanf(line, "%23s %d %d %15s", kind, &s.value, &s.machine, interface) != 4 ||
            strchr(interface, '/'))
                return false;
        g_strlcpy(s.interface, interface, sizeof s.interface);
        while (s.kind < _SETTING_MAX && strcmp(kind_table[s.kind], kind) != 0)
                s.kind++;
        *ret = s;
        return s.kind < _SETTING_MAX;
}

void forwarding_restore(Rtnl *rtnl, const char *note) {
        g_autoptr(GArray) settings = g_array_new(FALSE, FALSE, sizeof(Setting));
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        Setting s;

        if (!g_file_get_contents(note, &text, NULL, NULL))
                return;
        lines = g_strsplit(text, "\n", -1);
        for (unsigned i = 0; lines[i]; i++)
                if (read_line(lines[i], &s))
                        g_array_append_val(settings, s);
        put_all_back(rtnl, settings);
        (void) unlink(note);
}

/* --- what is wanted --- */

static void want(GArray *wanted, SettingKind kind, const char *interface) {
        Setting s = { .kind = kind };

        g_strlcpy(s.interface, interface, sizeof s.interface);
        g_array_append_val(wanted, s);
}

static void want_link(GArray *wanted, const RtnlUplink *l) {
        Setting force = { .kind = SETTING_FORCE6 };
        Setting accept_ra = { .kind = SETTING_ACCEPT_RA };

        if (l->has_v4)
                want(wanted, SETTING_IPV4, l->name);
        if (!l->has_v6)
                return;
        g_strlcpy(force.interface, l->name, sizeof force.interface);
        if (read_file(&force) >= 0) {
                want(wanted, SETTING_FORCE6, l->name);
                return;
        }
        g_strlcpy(accept_ra.interface, l->name, sizeof accept_ra.interface);
        if (read_file(&accept_ra) > 0)
                want(wanted, SETTING_ACCEPT_RA, l->name);
        want(wanted, SETTING_ALL6, "all");
}

static GArray *all_wanted(const Forwarding *f) {
        GArray *wanted = g_array_new(FALSE, FALSE, sizeof(Setting));
        GHashTableIter i;
        gpointer value;

        g_hash_table_iter_init(&i, f->wishes);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                const Wish *w = value;

                for (unsigned k = 0; k < w->n; k++)
                        want_link(wanted, &w->links[k]);
        }
        return wanted;
}

static bool contains(const GArray *settings, const Setting *s) {
        for (unsigned i = 0; i < settings->len; i++)
                if (setting_equal(&g_array_index(settings, Setting, i), s))
                        return true;
        return false;
}

static void put_back_unwanted(Forwarding *f, const GArray *wanted) {
        for (unsigned i = f->settings->len; i-- > 0;) {
                Setting s = g_array_index(f->settings, Setting, i);

                if (contains(wanted, &s))
                        continue;
                setting_put_back(f->rtnl, &s);
                g_array_remove_index(f->settings, i);
        }
}

/* Return: 0, or negative errno. */
static int apply_one(Forwarding *f, Setting s) {
        int value = setting_read(f->rtnl, &s), r;

        if (value < 0)
                return value;
        if (value == setting_wanted(&s))
                return 0;
        if (!contains(f->settings, &s)) {
                s.value = value;
                s.machine = s.kind == SETTING_IPV4 ? rtnl_forwarding(f->rtnl, 0) : 0;
                g_array_append_val(f->settings, s);
                r = write_note(f);
                if (r < 0) {
                        g_array_set_size(f->settings, f->settings->len - 1);
                        return r;
                }
        }
        return setting_write(f->rtnl, &s, setting_wanted(&s));
}

static int reconcile(Forwarding *f, int *ret6) {
        g_autoptr(GArray) wanted = all_wanted(f);
        int r4 = 0, r6 = 0;

        put_back_unwanted(f, wanted);
        for (unsigned i = 0; i < wanted->len; i++) {
                const Setting *s = &g_array_index(wanted, Setting, i);
                int r = apply_one(f, *s);

                if (s->kind == SETTING_IPV4)
                        r4 = r4 ?: r;
                else
                        r6 = r6 ?: r;
        }
        (void) write_note(f);
        *ret6 = r6;
        return r4;
}

static void wish_free(void *data) {
        Wish *w = data;

        g_free(w->links);
        g_free(w);
}

int forwarding_set(Forwarding *f, const void *who, const RtnlUplink *links, unsigned n_links, int *ret6) {
        Wish *w = NEW(Wish);

        w->links = g_memdup2(links, n_links * sizeof *links);
        w->n = n_links;
        g_hash_table_insert(f->wishes, (void *) who, w);
        return reconcile(f, ret6);
}

void forwarding_clear(Forwarding *f, const void *who) {
        int r6;

        if (g_hash_table_remove(f->wishes, who))
                (void) reconcile(f, &r6);
}

/* --- looks --- */

bool forwarding_is_ours(const Forwarding *f, const char *interface) {
        for (unsigned i = 0; i < f->settings->len; i++) {
                const Setting *s = &g_array_index(f->settings, Setting, i);

                if ((s->kind == SETTING_IPV4 || s->kind == SETTING_FORCE6) && s->value == 0 &&
                    strcmp(s->interface, interface) == 0)
                        return s->kind == SETTING_FORCE6 || s->machine == 1 ||
                               rtnl_forwarding(f->rtnl, 0) != 1;
        }
        return false;
}

bool forwarding_is_ours_all6(const Forwarding *f) {
        for (unsigned i = 0; i < f->settings->len; i++)
                if (g_array_index(f->settings, Setting, i).kind == SETTING_ALL6)
                        return true;
        return false;
}

/* --- life --- */

char *forwarding_note(const char *dir) {
        return g_build_filename(dir, "forwarding", NULL);
}

Forwarding *forwarding_new(Rtnl *rtnl, const char *note) {
        Forwarding *f = NEW(Forwarding);

        f->rtnl = rtnl;
        f->note = g_strdup(note);
        f->wishes = g_hash_table_new_full(NULL, NULL, NULL, wish_free);
        f->settings = g_array_new(FALSE, FALSE, sizeof(Setting));
        forwarding_restore(rtnl, note);
        return f;
}

Forwarding *forwarding_free(Forwarding *f) {
        if (!f)
                return NULL;
        put_all_back(f->rtnl, f->settings);
        g_array_set_size(f->settings, 0);
        (void) write_note(f);
        g_hash_table_unref(f->wishes);
        g_array_unref(f->settings);
        g_free(f->note);
        g_free(f);
        return NULL;
}
