/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/answers.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/wire/messages.h"

/* As long as copies may be on the way: the other side repeats them for a few seconds. */
#define ANSWER_USEC (10 * USEC_PER_SEC)

typedef struct Entry {
        uint8_t mac1[MAC_SIZE]; /* of the initiation: over all of it but mac2, which may differ */
        usec_t until;           /* monotonic */
        HandshakeAnswer answer;
} Entry;

struct Answers {
        Entry entry[ANSWERS_MAX];
        unsigned n;
        unsigned next; /* the oldest, once all are in use */
};

Answers *answers_new(void) {
        return NEW(Answers);
}

Answers *answers_free(Answers *a) {
        if (!a)
                return NULL;
        for (unsigned i = 0; i < a->n; i++)
                g_bytes_unref(a->entry[i].answer.message);
        g_free(a);
        return NULL;
}

/* Where an answer to @machine goes: in place of the one before, or of the oldest. */
static Entry *place_for(Answers *a, const MachineId *machine) {
        Entry *e;

        for (unsigned i = 0; i < a->n; i++)
                if (machine_id_equal(&a->entry[i].answer.machine, machine))
                        return &a->entry[i];
        if (a->n < ANSWERS_MAX)
                return &a->entry[a->n++];
        e = &a->entry[a->next];
        a->next = (a->next + 1) % ANSWERS_MAX;
        return e;
}

void answers_add(
                Answers *a,
                const uint8_t *initiation,
                size_t initiation_len,
                const MachineId *machine,
                uint32_t index,
                const uint8_t *message,
                size_t len,
                usec_t now) {
        Entry *e = place_for(a, machine);

        g_clear_pointer(&e->answer.message, g_bytes_unref);
        *e = (Entry){
                .until = usec_add(now, ANSWER_USEC),
                .answer = {
                        .machine = *machine,
                        .index = index,
                        .message = g_bytes_new(message, len),
                },
        };
        memcpy(e->mac1, initiation + initiation_len - 2 * MAC_SIZE, MAC_SIZE);
}

HandshakeAnswer *answers_find(Answers *a, const uint8_t *initiation, size_t len, usec_t now) {
        for (unsigned i = 0; i < a->n; i++) {
                Entry *e = &a->entry[i];

                if (now < e->until && memcmp(e->mac1, initiation + len - 2 * MAC_SIZE, MAC_SIZE) == 0)
                        return &e->answer;
        }
        return NULL;
}
