/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of gossip share: gossip.c receives and knows the links, gossip-send.c has
 * digests, answers and rumours, gossip-want.c what is asked of whom, gossip-account.c what each
 * machine may cost us. */

#include "core/mesh/gossip/gossip.h"
#include "core/wire/control.h"

#define GOSSIP_CHANNEL "gossip"
/* A portion: at most 512 KiB, half of what a link queues (CONTROL_QUEUE_MAX). */
#define WANT_MAX 512U
/* A message of records or hashes, with room for headers below CONTROL_PAYLOAD_MAX. */
#define BATCH_MAX (60U * 1024U)
#define HAVE_MAX ((BATCH_MAX - 64U) / RECORD_HASH_SIZE)

/* Token buckets: what a machine can make us do as often as it likes. */
typedef enum Budget {
        BUDGET_ANSWERS,  /* KiB sent because it asked */
        BUDGET_WASTE,    /* KiB received that were no use */
        BUDGET_CHECKS,   /* signatures checked of what was not asked for, or no news */
        BUDGET_PRESENCE, /* records taken of its presence, whoever brought them */
        _BUDGET_MAX,
} Budget;

/* What a machine may still cost us. It is kept beyond a link's life, or a new link would be a new
 * account. */
typedef struct Account {
        MachineId id;
        usec_t full_at[_BUDGET_MAX]; /* when the bucket will be full again */
        unsigned forgeries;
        usec_t deaf_until; /* we do not listen to it */
        unsigned silences; /* portions in a row it announced and did not send */
        usec_t ask_after;  /* it is not asked for anything before */
        /* Its presence record: when we passed one on, and whether another waits for its turn. */
        usec_t passed_on;
        bool is_held, is_held_pulled;
} Account;

typedef struct Peer {
        Gossip *gossip;
        MachineId id;
        Account *account;

        Timer digest_timer;
        usec_t digest_sent, last_tick, last_heard;
        bool differs;    /* since our last digest it showed that it knows something else */
        unsigned agreed; /* ticks since it last did */

        GArray *wanted; /* of uint64_t: to be asked for; NULL: nothing */
        bool wanted_overflow;
        GArray *asked; /* of uint64_t: the portion under way; NULL: none */
        unsigned asked_open;
        bool asked_progress;
        usec_t asked_at, asked_heard; /* when it was asked, when the last of it came */
        Timer asked_timer;

        Record *held; /* its own presence, the newest it sent while it had sent too many; or NULL */
        Timer held_timer;
} Peer;

typedef struct News {
        Record *record;
        bool has_source; /* it came from a link, just now: this one's */
        MachineId source;
        bool pulled; /* we had asked for it */
} News;

struct Gossip {
        const ChannelProvider *provider;
        const MeshEnv *env;
        Directory *directory;
        MachineId self;

        GTree *peers;         /* MachineId -> Peer: links that are up; ordered: reproducible */
        GHashTable *accounts; /* MachineId -> Account */
        Timer accounts_timer;
        GHashTable *asked; /* hash -> Peer it was asked of */
        GHashTable *useless;
        usec_t useless_since;

        GArray *news; /* of News, not passed on yet */
        bool urgent;  /* something in there is more than a presence */
        Timer news_timer;
        GPtrArray *held; /* of Account whose presence waits to be passed on */
        Timer held_timer;
        /* While a message of records is read. */
        bool reading;
        bool pulled;
        MachineId source; /* its sender */
};

/* gossip.c */
/* A link that only enrols knows nothing of gossip: its machine has no certificate yet. */
bool gossip_may_talk(const Gossip *g, const MachineId *machine);

/* gossip-account.c */
/* Finds or makes. Goes by itself when there is nothing to remember and no link. */
Account *gossip_account(Gossip *g, const MachineId *machine);
void gossip_free_accounts(Gossip *g);
/* Whether anything is left; what is charged may be more than that. */
bool gossip_can_pay(const Gossip *g, const Account *a, Budget b);
void gossip_charge(const Gossip *g, Account *a, Budget b, size_t n);
/* When it can pay again. */
usec_t gossip_can_pay_at(const Gossip *g, const Account *a, Budget b);
static inline size_t gossip_kib(size_t bytes) {
        return (bytes + 1023) / 1024;
}

/* gossip-send.c */
void gossip_send(Peer *p, const GossipMessage *m);
void gossip_send_digest(Peer *p);
/* Answers a digest that differs: revocations, then hashes. Return: bytes sent. */
size_t gossip_send_difference(Peer *p, const GossipMessage *digest);
/* @records: of Record; sorts it. Return: bytes sent. */
size_t gossip_send_records(Peer *p, GPtrArray *records);
/* A message of records begins, of @source; and ends: what is urgent of it is passed on. */
void gossip_begin_reading(Gossip *g, const MachineId *source);
void gossip_end_reading(Gossip *g);
/* For directory_on_taken(). */
void gossip_note_news(void *userdata, Record *record);
void gossip_free_news(Gossip *g);

/* gossip-want.c */
/* Return: how many of the hashes were noted. */
unsigned gossip_note_have(Peer *p, const GossipMessage *m);
/* Before a record is judged. Return: whether it had been asked of @p. */
bool gossip_note_answer(Peer *p, uint64_t hash);
/* After a message of records: the next portion if this one is complete. */
void gossip_go_on_wanting(Peer *p);
void gossip_forget_wanted(Peer *p);
/* A record that was no use to us is not asked for again, for a while. */
void gossip_note_useless(Gossip *g, uint64_t hash);
