/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * 'omerta doctor': what can be wrong with this machine, and the command that mends it. Each check
 * says something, also that it is fine or that it cannot be seen; none changes anything.
 */

#include "cli/bus.h"

typedef enum DoctorVerdict {
        DOCTOR_FINE,
        DOCTOR_UNSEEN,  /* it takes root, or a program that is not there, to see */
        DOCTOR_WARNING, /* works, but not as well as it could, or not for long */
        DOCTOR_BROKEN,
        _DOCTOR_VERDICT_MAX,
} DoctorVerdict;

/* What the daemon says of itself: org.omerta.Mesh1.Manager.GetHealth. */
typedef struct DoctorHealth {
        char *state_directory, *state_trouble, *clock_trouble;
        bool clock_synchronised, ipv6;
        uint32_t receive_buffer, receive_buffer_wanted;
        uint64_t started;       /* realtime; 0: it does not say */
        GPtrArray *trains_lost; /* doctor-trains.c's; NULL: it does not say */
} DoctorHealth;

typedef struct Doctor {
        Cli *cli;
        const char *root;     /* before /proc, /sys and whatever else is read: "" but for tests */
        ClientSnapshot *all;  /* NULL: the daemon is not there */
        DoctorHealth *health; /* NULL: it does not say */
        GPtrArray *findings;
} Doctor;

/* @fix: a command or a sentence; NULL: nothing is to be done. @text and @fix are taken. */
void doctor_take(Doctor *d, const char *check, DoctorVerdict verdict, char *text, char *fix);
/* Contents of a file below the root, or NULL. */
char *doctor_read(const Doctor *d, const char *format, ...) _printf_(2, 3);

/* doctor-daemon.c: by what daemon and systemd say */
void doctor_check_daemon(Doctor *d);
/* doctor-trains.c: what the daemon found out by probes. Return: 0 or negative errno. */
int doctor_read_trains(sd_bus_message *m, DoctorHealth *h);
void doctor_check_trains(Doctor *d);
/* doctor-state.c: whose the state is, and what the daemon may */
void doctor_check_state(Doctor *d);
/* doctor-host.c: by what everybody can read of the machine */
void doctor_check_host(Doctor *d);
/* doctor-names.c: by what the DNS says */
void doctor_check_names(Doctor *d);
/* doctor-firewall.c */
void doctor_check_firewall(Doctor *d);
/* "nft list ruleset"; NULL: there is no nft, or no right to see. */
char *doctor_ruleset(void);
/* The first chain of a hook that drops or rejects by default and has not @word in it, in nft's words
 * ("inet filter input"), or NULL. */
char *doctor_closed_chain(const char *ruleset, const char *hook, const char *word);
/* doctor-exit.c */
void doctor_check_exit(Doctor *d);
