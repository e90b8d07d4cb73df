/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "core/mesh/directory/wall-clock.h"
#include "memory-store.h"
#include "mock-channel.h"

#define NOW MOCK_START_REALTIME
#define DAY USEC_PER_DAY

typedef struct Fixture {
        MockMesh *mesh;
        MeshEnv env;
        MemoryStore *store;
        WallClock *clock;
        bool synchronised;
        unsigned n_changed;
} Fixture;

static Fixture *current;

static bool is_synchronised(void *userdata) {
        return current->synchronised;
}

static void on_changed(void *userdata) {
        ((Fixture *) userdata)->n_changed++;
}

static void start(Fixture *f) {
        assert_int_equal(wall_clock_new(&f->env, memory_store_mesh(f->store), &f->clock), 0);
        wall_clock_set_alone(f->clock, false);
        wall_clock_on_changed(f->clock, on_changed, f);
}

static void restart(Fixture *f) {
        f->clock = wall_clock_free(f->clock);
        start(f);
}

static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        current = f;
        f->mesh = mock_mesh_new(1);
        f->env = *mock_mesh_env(f->mesh);
        f->env.is_synchronised = is_synchronised;
        f->store = memory_store_new();
        start(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        wall_clock_free(f->clock);
        memory_store_free(f->store);
        mock_mesh_free(f->mesh);
        g_free(f);
        return 0;
}

static void set(Fixture *f, usec_t realtime) {
        mock_mesh_set_realtime(f->mesh, realtime);
        wall_clock_look(f->clock);
}

static usec_t own(const Fixture *f) {
        return env_realtime(&f->env);
}

/* Member @n says it is @ahead later than we think. */
static void hear(Fixture *f, uint8_t n, int64_t ahead) {
        MachineId id = { .bytes = { n } };

        wall_clock_hear(f->clock, &id, (usec_t) ((int64_t) own(f) + ahead));
}

static void assert_state(Fixture *f, WallClockState state) {
        g_autofree char *text = wall_clock_explain(f->clock);

        assert_int_equal(wall_clock_state(f->clock), state);
        assert_non_null(text);
}

/* A clock of one's own is believed, whatever others signed. */
static void test_own_clock(void **state) {
        Fixture *f = *state;

        assert_state(f, WALL_CLOCK_FINE);
        wall_clock_hear_signed(f->clock, NOW + 400 * DAY);
        assert_int_equal(wall_clock_now(f->clock), own(f));
        hear(f, 1, (int64_t) (40 * DAY));
        hear(f, 2, (int64_t) (40 * DAY));
        assert_int_equal(wall_clock_now(f->clock), own(f));
        assert_state(f, WALL_CLOCK_DISPUTED);
}

static void test_behind(void **state) {
        Fixture *f = *state;

        set(f, 5 * DAY);
        assert_state(f, WALL_CLOCK_BEHIND);
        wall_clock_hear_signed(f->clock, NOW);
        wall_clock_hear_signed(f->clock, NOW - DAY);
        assert_int_equal(wall_clock_now(f->clock), NOW);
        /* What members say is better than what was signed once, and time goes on. */
        hear(f, 1, (int64_t) (NOW + 9 * DAY - own(f)));
        assert_int_equal(wall_clock_now(f->clock), NOW + 9 * DAY);
        mock_mesh_run(f->mesh, USEC_PER_MINUTE);
        assert_int_equal(wall_clock_now(f->clock), NOW + 9 * DAY + USEC_PER_MINUTE);
        /* The median, so that one liar moves nothing; who starts in 1970 like us does not count. */
        hear(f, 2, (int64_t) (NOW + 9 * DAY + 7 - own(f)));
        hear(f, 3, (int64_t) (NOW + 4000 * DAY - own(f)));
        hear(f, 4, 0);
        assert_in_range(wall_clock_now(f->clock), NOW + 9 * DAY, NOW + 10 * DAY);
        /* Nobody confirms 1970. */
        assert_state(f, WALL_CLOCK_BEHIND);
        set(f, NOW + 9 * DAY);
        assert_state(f, WALL_CLOCK_FINE);
}

/* Only a time that somebody confirmed is held against a clock later, and only until somebody
 * confirms the clock. */
static void test_kept_over_a_restart(void **state) {
        Fixture *f = *state;

        set(f, NOW + 300 * DAY); /* ahead, and nobody there */
        mock_mesh_run(f->mesh, DAY);
        restart(f);
        set(f, NOW);
        assert_int_equal(wall_clock_trusted(f->clock), 0);
        restart(f);
        assert_state(f, WALL_CLOCK_FINE);

        hear(f, 1, 0);
        mock_mesh_run(f->mesh, 7 * USEC_PER_HOUR);
        restart(f);
        assert_in_range(wall_clock_trusted(f->clock), NOW, NOW + DAY);
        set(f, NOW - 2 * DAY);
        restart(f);
        assert_state(f, WALL_CLOCK_BEHIND);
        assert_in_range(wall_clock_now(f->clock), NOW, NOW + DAY);
        hear(f, 1, 0);
        assert_state(f, WALL_CLOCK_FINE);
        assert_int_equal(wall_clock_now(f->clock), own(f));
}

static void test_set_while_we_run(void **state) {
        Fixture *f = *state;
        const usec_t before = own(f);

        mock_mesh_run(f->mesh, 5 * USEC_PER_MINUTE);
        f->n_changed = 0;
        set(f, own(f) + USEC_PER_SEC / 2);
        assert_int_equal(f->n_changed, 0);
        set(f, own(f) + DAY - USEC_PER_MINUTE);
        assert_int_equal(f->n_changed, 1); /* told, and nobody minds */
        assert_state(f, WALL_CLOCK_FINE);
        set(f, own(f) + 40 * DAY);
        assert_state(f, WALL_CLOCK_JUMPED);
        set(f, before);
        assert_state(f, WALL_CLOCK_FINE);
        set(f, before + 40 * DAY);
        assert_state(f, WALL_CLOCK_JUMPED);
        hear(f, 1, -(int64_t) (40 * DAY));
        assert_state(f, WALL_CLOCK_JUMPED);
        hear(f, 2, USEC_PER_HOUR); /* as many for as against: a word is a word */
        assert_state(f, WALL_CLOCK_FINE);
        /* From now on that is what it is compared with. */
        set(f, before);
        assert_state(f, WALL_CLOCK_FINE);
        set(f, before - 3 * DAY);
        assert_state(f, WALL_CLOCK_BEHIND);
        assert_in_range(wall_clock_now(f->clock), before, before + 40 * DAY);
}

static void test_what_members_said_stays_true(void **state) {
        Fixture *f = *state;

        hear(f, 1, 0);
        hear(f, 2, 0);
        assert_state(f, WALL_CLOCK_FINE);
        set(f, own(f) + 400 * DAY);
        assert_state(f, WALL_CLOCK_DISPUTED);
        set(f, own(f) - 400 * DAY);
        assert_state(f, WALL_CLOCK_FINE);
        /* For a while. */
        set(f, own(f) + 400 * DAY);
        mock_mesh_run(f->mesh, 11 * USEC_PER_MINUTE);
        assert_state(f, WALL_CLOCK_JUMPED);
}

static void test_forgotten(void **state) {
        Fixture *f = *state;
        MachineId id = { .bytes = { 1 } };

        hear(f, 1, (int64_t) (3 * DAY));
        hear(f, 2, (int64_t) (3 * DAY));
        assert_state(f, WALL_CLOCK_DISPUTED);
        wall_clock_forget(f->clock, &id);
        assert_state(f, WALL_CLOCK_FINE);
        /* However many speak: memory is bounded, and the last count. */
        for (unsigned i = 0; i < 1000; i++)
                hear(f, (uint8_t) i, 0);
        assert_state(f, WALL_CLOCK_FINE);
}

static void assert_says(Fixture *f, const char *words) {
        g_autofree char *text = wall_clock_explain(f->clock);

        if (!strstr(text, words))
                fail_msg("\"%s\" does not say \"%s\"", text, words);
}

/* One machine, one word, however often it speaks; and forgotten is who is meant. */
static void test_a_word_each(void **state) {
        Fixture *f = *state;
        MachineId id = { .bytes = { 2 } };

        hear(f, 1, (int64_t) (3 * DAY));
        hear(f, 1, (int64_t) (3 * DAY));
        assert_state(f, WALL_CLOCK_FINE);
        hear(f, 1, 0);
        hear(f, 2, (int64_t) (3 * DAY));
        hear(f, 3, (int64_t) (3 * DAY));
        assert_state(f, WALL_CLOCK_DISPUTED);
        assert_says(f, "clocks of 2 of 3 members");
        wall_clock_forget(f->clock, &id);
        assert_state(f, WALL_CLOCK_FINE);
        wall_clock_forget(f->clock, &id);
        hear(f, 4, (int64_t) (3 * DAY));
        assert_says(f, "clocks of 2 of 3 members");
}

/* Of 64 who speak half are for us and half against; who speaks then takes the place of the one
 * that spoke least lately, in their order. */
static void test_the_oldest_makes_room(void **state) {
        Fixture *f = *state;

        for (uint8_t i = 1; i <= 64; i++) {
                hear(f, i, i % 2 ? 0 : (int64_t) (3 * DAY));
                mock_mesh_run(f->mesh, USEC_PER_SEC);
        }
        assert_state(f, WALL_CLOCK_FINE);
        hear(f, 65, (int64_t) (3 * DAY)); /* for 1, who was for us */
        assert_says(f, "clocks of 33 of 64 members");
        mock_mesh_run(f->mesh, USEC_PER_SEC);
        hear(f, 66, 0); /* for 2, who was not */
        assert_state(f, WALL_CLOCK_FINE);
        mock_mesh_run(f->mesh, USEC_PER_SEC);
        /* 3 speaks again, so it is 4's turn. */
        hear(f, 3, 0);
        hear(f, 67, (int64_t) (3 * DAY));
        assert_state(f, WALL_CLOCK_FINE);
        hear(f, 68, (int64_t) (3 * DAY)); /* for 5 */
        assert_says(f, "clocks of 33 of 64 members");
}

/* In whatever order they speak. */
static void test_median(void **state) {
        static const uint64_t ahead[] = { 4000 * DAY, 9 * DAY + 5, 9 * DAY + 3, 9 * DAY + 4 };
        Fixture *f = *state;

        set(f, 5 * DAY);
        for (unsigned i = 0; i < ELEMENTSOF(ahead); i++)
                hear(f, (uint8_t) (i + 1), (int64_t) (NOW + ahead[i] - own(f)));
        assert_int_equal(wall_clock_now(f->clock), NOW + 9 * DAY + 4);
}

/* What a person reads of it. */
static void test_explained(void **state) {
        Fixture *f = *state;

        hear(f, 1, 0);
        restart(f);
        set(f, own(f) + 40 * DAY);
        assert_state(f, WALL_CLOCK_JUMPED);
        assert_says(f, "set by 40 days");
        set(f, own(f) - 10 * DAY);
        assert_says(f, "set by 30 days");
        set(f, own(f) + 970 * DAY);
        restart(f);
        assert_state(f, WALL_CLOCK_DOUBTFUL);
        assert_says(f, "is 1000 days later");
}

static void test_long_stop(void **state) {
        Fixture *f = *state;

        hear(f, 1, 0);
        restart(f);
        set(f, own(f) + 3 * 365 * DAY);
        restart(f);
        assert_state(f, WALL_CLOCK_DOUBTFUL);
        hear(f, 1, 0);
        assert_state(f, WALL_CLOCK_FINE);
}

static void test_confirmed_otherwise(void **state) {
        Fixture *f = *state;

        set(f, own(f) + 40 * DAY);
        assert_state(f, WALL_CLOCK_JUMPED);
        f->synchronised = true;
        assert_state(f, WALL_CLOCK_FINE);
        f->synchronised = false;
        /* A person; until it is set again. */
        wall_clock_trust(f->clock);
        assert_state(f, WALL_CLOCK_FINE);
        mock_mesh_run(f->mesh, DAY);
        assert_state(f, WALL_CLOCK_FINE);
        restart(f);
        assert_state(f, WALL_CLOCK_FINE);
        wall_clock_trust(f->clock);
        set(f, own(f) + 40 * DAY);
        assert_state(f, WALL_CLOCK_JUMPED);
        /* Nobody else is there to be harmed. */
        wall_clock_set_alone(f->clock, true);
        assert_state(f, WALL_CLOCK_FINE);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_own_clock),
                T(test_behind),
                T(test_kept_over_a_restart),
                T(test_set_while_we_run),
                T(test_what_members_said_stays_true),
                T(test_forgotten),
                T(test_a_word_each),
                T(test_the_oldest_makes_room),
                T(test_median),
                T(test_explained),
                T(test_long_stop),
                T(test_confirmed_otherwise),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
