/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/upnp-sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/macros.h"

/* A description of a router takes some kilobytes. */
#define MEMORY_MAX (64U * 1024U * 1024U)

#if defined(__x86_64__)
#        define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#        define ARCH AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#        define ARCH AUDIT_ARCH_I386
#elif defined(__riscv) && __riscv_xlen == 64
#        define ARCH AUDIT_ARCH_RISCV64
#endif

static int filter_calls(void) {
#ifdef ARCH
#        define DENY(call)                                                                         \
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1),                                 \
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#        ifdef __x86_64__
                /* The same calls under other numbers (x32). */
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#        endif
#        ifdef SYS_open
                DENY(SYS_open),
                DENY(SYS_creat),
                DENY(SYS_unlink),
                DENY(SYS_rename),
                DENY(SYS_link),
                DENY(SYS_symlink),
                DENY(SYS_mkdir),
                DENY(SYS_rmdir),
                DENY(SYS_chmod),
                DENY(SYS_chown),
#        endif
#        ifdef SYS_fork
                DENY(SYS_fork),
                DENY(SYS_vfork),
#        endif
#        ifdef SYS_socketcall
                DENY(SYS_socketcall),
#        endif
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
                DENY(SYS_mkdirat),
                DENY(SYS_fchmodat),
                DENY(SYS_fchownat),
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
#        undef DENY
        const struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
#else
        return 0;
#endif
}

int upnp_sandbox_enter(void) {
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
