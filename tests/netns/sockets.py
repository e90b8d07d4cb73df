# SPDX-License-Identifier: LGPL-2.1-or-later
"""The UDP sockets of a daemon, taken hold of from outside, and those that systemd would pass."""

import ctypes
import os
import socket
import subprocess
import sys

PIDFD_GETFD = 438  # on every architecture

# Opens the sockets of omertad.socket and omertad6.socket as systemd does, and keeps them.
HOLDER = """
import socket, sys, time
kept = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 18002))
    kept.append(s)
print(*(s.fileno() for s in kept), flush=True)
sys.stdin.read()
"""

# Becomes omertad with them: PID FD FD PROGRAM ARGUMENTS...
STARTER = """
import ctypes, os, sys
def take(pid, fd):
    return ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(pid), fd, 0)
pid, fds = int(sys.argv[1]), [int(a) for a in sys.argv[2:4]]
taken = [take(pid, fd) for fd in fds]
for at, fd in zip((20, 21), taken):
    os.dup2(fd, at)
for at in (0, 1):
    os.dup2(20 + at, 3 + at, inheritable=True)
os.closerange(5, 64)
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="mesh4:mesh6", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[4], sys.argv[4:])
"""


def of(pid, family):
    """The daemon's own, a copy of its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            continue
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
        s = socket.socket(fileno=fd)
        if s.family == family and s.type & socket.SOCK_DGRAM and s.proto == socket.IPPROTO_UDP:
            os.close(pidfd)
            return s
        s.close()
    os.close(pidfd)
    return None


def inode(pid, family):
    s = of(pid, family)
    if not s:
        return None
    with s:
        return os.fstat(s.fileno()).st_ino


def shut(pid, family):
    """Nothing comes in or goes out any more; to be seen as a broken one is."""
    with of(pid, family) as s:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is not connected, which changes nothing of it


def hold(m, lab):
    """What systemd has: a process in the machine's namespace. Return: it, and its descriptors."""
    p = lab.spawn(m.command(sys.executable, "-c", HOLDER), stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline().split()
