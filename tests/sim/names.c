/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include "base/ip.h"
#include "base/macros.h"

#define ADDRESSES_MAX 32U

typedef struct Waiting {
        SimNames *names;
        Timer timer;
        char *name;
        ResolverDone done;
        void *userdata;
} Waiting;

struct SimNames {
        SimNode *node;
        Resolver resolver;
        usec_t takes;
        bool silent;
        GHashTable *addresses;
        GPtrArray *waiting;
        unsigned asked;
};

static void waiting_free(gpointer p) {
        Waiting *w = p;

        timer_clear(&w->timer);
        g_free(w->name);
        g_free(w);
}

static void on_time(void *userdata) {
        Waiting *w = userdata;
        SimNames *s = w->names;
        const char *text = g_hash_table_lookup(s->addresses, w->name);
        g_auto(GStrv) parts = g_strsplit(text ?: "", " ", -1);
        ResolverDone done = w->done;
        void *whose = w->userdata;
        IpAddr found[ADDRESSES_MAX];
        unsigned n = 0;

        for (char **p = parts; *p; p++)
                if (**p) {
                        g_assert_cmpuint(n, <, ADDRESSES_MAX);
                        g_assert_cmpint(ip_parse(*p, &found[n++]), ==, 0);
                }
        g_ptr_array_remove(s->waiting, w);
        done(whose, s->silent ? -EAGAIN : n > 0 ? 0 : -ENOENT, found, s->silent ? 0 : n);
}

static int op_start(void *self, const char *name, ResolverDone done, void *userdata) {
        SimNames *s = self;
        const MeshEnv *env = sim_node_env(s->node);
        Waiting *w = NEW(Waiting);

        w->names = s;
        w->name = g_strdup(name);
        w->done = done;
        w->userdata = userdata;
        g_ptr_array_add(s->waiting, w);
        timer_set(env->timers, &w->timer, env_now(env) + s->takes, on_time, w);
        s->asked++;
        return 0;
}

static void op_cancel(void *self, const void *userdata) {
        SimNames *s = self;

        for (unsigned i = s->waiting->len; i > 0; i--)
                if (((Waiting *) s->waiting->pdata[i - 1])->userdata == userdata)
                        g_ptr_array_remove_index(s->waiting, i - 1);
}

static const ResolverOps ops = { .start = op_start, .cancel = op_cancel };

SimNames *sim_names_new(SimNode *n, usec_t takes) {
        SimNames *s = NEW(SimNames);

        s->node = n;
        s->takes = takes;
        s->resolver = (Resolver){ .ops = &ops, .self = s };
        s->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        s->waiting = g_ptr_array_new_with_free_func(waiting_free);
        sim_node_set_resolver(n, &s->resolver);
        return s;
}

SimNames *sim_names_free(SimNames *s) {
        g_ptr_array_unref(s->waiting);
        g_hash_table_unref(s->addresses);
        g_free(s);
        return NULL;
}

void sim_names_set(SimNames *s, const char *name, const char *addresses) {
        if (addresses)
                g_hash_table_replace(s->addresses, g_strdup(name), g_strdup(addresses));
        else
                g_hash_table_remove(s->addresses, name);
}

void sim_names_silence(SimNames *s, bool silent) {
        s->silent = silent;
}

unsigned sim_names_asked(const SimNames *s) {
        return s->asked;
}

unsigned sim_names_waiting(const SimNames *s) {
        return s->waiting->len;
}
