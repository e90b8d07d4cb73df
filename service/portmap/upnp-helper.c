/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * omerta-upnp-helper: asks a router by UPnP IGD for a mapping of a UDP port, or ends one, and says in
 * one line what became of it (portmap/upnp.h). libminiupnpc waits for answers and reads XML that
 * anybody in the LAN may have written, so it is here, in a process that omertad starts for one
 * question and ends after some seconds.
 *
 * Before the first byte of a stranger it gives up everything but sockets of IPv4: its capabilities,
 * opening files, starting programs, looking into other processes; more memory than a description
 * takes. What then takes it over has a LAN to talk to, which it had before.
 *
 * Only the router that was asked for counts: who else answers the search is passed over, and a
 * description that sends us to another address is not followed.
 */

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/macros.h"
#include "portmap/upnp.h"

#define AGAIN "--again" /* the first word of a second life, see drop_capabilities() */
#define SEARCH_MSEC 1000
/* Hops of a search; the router is one away, UPnP Device Architecture 1.1 section 1.3.2 wants 2. */
#define SEARCH_TTL 2
#define MEMORY_MAX (64U * 1024U * 1024U)
#define DESCRIPTION "omerta"
/* UPnP WANIPConnection:1, section 2.4.16. */
#define ERROR_CONFLICT 718
#define ERROR_ONLY_PERMANENT 725
/* Other ports than our own, when somebody has it. */
#define PORTS_TRIED 3U

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

/* --- with how little it can be done --- */

/* Ambient capabilities (capabilities(7)) were given to us by the exec that started us, and those we
 * then have can be dropped by one more exec alone where capset() is forbidden, as it is under the
 * daemon's SystemCallFilter=. */
static int drop_capabilities(char **argv) {
        g_autofree char **again = NULL;
        unsigned n = 0;

        if (argv[1] && strcmp(argv[1], AGAIN) == 0)
                return 0;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        while (argv[n])
                n++;
        again = g_new0(char *, n + 2);
        again[0] = argv[0];
        again[1] = (char *) AGAIN;
        memcpy(again + 2, argv + 1, (n - 1) * sizeof *again);
        execv(argv[0], again);
        return -errno;
}

static int filter_calls(void) {
#ifdef ARCH
#define DENY(call)                                                                                 \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1),                                         \
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
                /* The same calls under other numbers (x32). */
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
#ifdef SYS_open
                DENY(SYS_open),
                DENY(SYS_creat),
#endif
#ifdef SYS_fork
                DENY(SYS_fork),
                DENY(SYS_vfork),
#endif
#ifdef SYS_socketcall
                DENY(SYS_socketcall),
#endif
                DENY(SYS_openat),
                DENY(SYS_openat2),
                DENY(SYS_open_by_handle_at),
                DENY(SYS_execve),
                DENY(SYS_execveat),
                DENY(SYS_clone),
                DENY(SYS_clone3),
                DENY(SYS_ptrace),
                DENY(SYS_process_vm_readv),
                DENY(SYS_process_vm_writev),
                DENY(SYS_pidfd_open),
                DENY(SYS_pidfd_getfd),
                DENY(SYS_kill),
                DENY(SYS_tkill),
                DENY(SYS_io_uring_setup),
                DENY(SYS_bpf),
                DENY(SYS_unlinkat),
                DENY(SYS_renameat2),
                DENY(SYS_linkat),
                DENY(SYS_symlinkat),
                DENY(SYS_truncate),
                DENY(SYS_mount),
                DENY(SYS_unshare),
                DENY(SYS_setns),
                /* socket(): IPv4 alone; neither the bus nor the kernel's netlink. */
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                         offsetof(struct seccomp_data, args[0]) +
                                         (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
#undef DENY
        const struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
#else
        return 0;
#endif
}

static int shut_in(void) {
        const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };

        /* With omertad, and with nothing of it but the pipe. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        closefrom(STDERR_FILENO + 1);
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow alone is terabytes of addresses */
        if (setrlimit(RLIMIT_AS, &memory) < 0)
                return -errno;
#else
        (void) memory;
#endif
        return filter_calls();
}

/* --- the router --- */

typedef struct Igd {
        struct UPNPUrls urls;
        struct IGDdatas data;
        char url[UPNP_URL_MAX]; /* of its description */
} Igd;

static void igd_clear(Igd *igd) {
        if (igd->urls.controlURL)
                FreeUPNPUrls(&igd->urls);
        *igd = (Igd){};
}

/* Return: whether it is a gateway, at the router itself. */
static bool read_description(const UpnpRequest *q, const char *url, Igd *ret) {
        char ours[64];

        if (strlen(url) >= sizeof ret->url || !upnp_url_is_of(url, &q->router) ||
            UPNP_GetIGDFromUrl(url, &ret->urls, &ret->data, ours, sizeof ours) != 1)
                return false;
        if (ret->urls.controlURL && *ret->data.first.servicetype &&
            upnp_url_is_of(ret->urls.controlURL, &q->router)) {
                g_strlcpy(ret->url, url, sizeof ret->url);
                return true;
        }
        igd_clear(ret);
        return false;
}

static bool find_igd(const UpnpRequest *q, Igd *ret) {
        struct UPNPDev *found;
        bool is_found = false;
        int error = 0;

        if (*q->url && read_description(q, q->url, ret))
                return true;
        if (q->operation == UPNP_REMOVE)
                return false;
        /* A file that is no socket: minissdpd's list is anybody's in the LAN. */
        found = upnpDiscover(SEARCH_MSEC, ip_format(&q->source).text, "/dev/null", UPNP_LOCAL_PORT_ANY,
                             0, SEARCH_TTL, &error);
        for (struct UPNPDev *d = found; d && !is_found; d = d->pNext)
                is_found = d->descURL && read_description(q, d->descURL, ret);
        freeUPNPDevlist(found);
        return is_found;
}

/* Return: 0, or an error of UPnP or of libminiupnpc. */
static int add(const UpnpRequest *q, const Igd *igd, uint16_t port, uint32_t *lifetime) {
        char external[8], internal[8], seconds[16];
        int r;

        (void) snprintf(external, sizeof external, "%u", port);
        (void) snprintf(internal, sizeof internal, "%u", q->port);
        (void) snprintf(seconds, sizeof seconds, "%u", *lifetime);
        r = UPNP_AddPortMapping(
                        igd->urls.controlURL, igd->data.first.servicetype, external, internal,
                        ip_format(&q->source).text, DESCRIPTION, "UDP", NULL, seconds);
        if (r == ERROR_ONLY_PERMANENT && *lifetime > 0) {
                *lifetime = 0;
                return add(q, igd, port, lifetime);
        }
        return r;
}

static UpnpAnswer map_port(const UpnpRequest *q, const Igd *igd) {
        UpnpAnswer a = { .outcome = UPNP_REFUSED };
        uint32_t lifetime = q->lifetime;
        uint16_t port = q->external_port;
        char external[40] = "";
        int r;

        r = add(q, igd, port, &lifetime);
        for (unsigned i = 0; i < PORTS_TRIED && r == ERROR_CONFLICT; i++) {
                if (getrandom(&port, sizeof port, 0) != sizeof port)
                        break;
                port |= 0x8000; /* none of the well-known ones */
                r = add(q, igd, port, &lifetime);
        }
        if (r == UPNPCOMMAND_SUCCESS)
                r = UPNP_GetExternalIPAddress(
                                igd->urls.controlURL, igd->data.first.servicetype, external);
        if (r != UPNPCOMMAND_SUCCESS || ip_parse(external, &a.external) < 0 ||
            a.external.family != AF_INET) {
                a.code = r > 0 ? (uint32_t) r : 0;
                return a;
        }
        a.outcome = UPNP_MAPPED;
        a.external_port = port;
        a.lifetime = lifetime;
        g_strlcpy(a.url, igd->url, sizeof a.url);
        return a;
}

static UpnpAnswer remove_mapping(const UpnpRequest *q, const Igd *igd) {
        UpnpAnswer a = { .outcome = UPNP_REMOVED };
        char external[8];
        int r;

        (void) snprintf(external, sizeof external, "%u", q->external_port);
        r = UPNP_DeletePortMapping(
                        igd->urls.controlURL, igd->data.first.servicetype, external, "UDP", NULL);
        if (r != UPNPCOMMAND_SUCCESS) {
                a.outcome = UPNP_REFUSED;
                a.code = r > 0 ? (uint32_t) r : 0;
        }
        return a;
}

int main(int argc, char **argv) {
        UpnpAnswer answer = { .outcome = UPNP_NONE };
        char line[UPNP_LINE_MAX];
        UpnpRequest q;
        Igd igd = {};
        size_t len;
        int r;

        r = drop_capabilities(argv);
        /* AGAIN stands before the words now. */
        if (r >= 0)
                r = upnp_request_from_arguments(argv + 2, (unsigned) argc - 2, &q);
        if (r >= 0)
                r = shut_in();
        if (r < 0) {
                fprintf(stderr, "omerta-upnp-helper: %s; omertad starts it\n", strerror(-r));
                return EXIT_FAILURE;
        }
        if (find_igd(&q, &igd))
                answer = q.operation == UPNP_ADD ? map_port(&q, &igd) : remove_mapping(&q, &igd);
        igd_clear(&igd);
        len = upnp_answer_format(&answer, line);
        return write(STDOUT_FILENO, line, len) == (ssize_t) len ? EXIT_SUCCESS : EXIT_FAILURE;
}
