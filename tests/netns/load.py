# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs of this directory run on the machines of a lab, and what a daemon holds meanwhile."""

import json
import pathlib
import shutil
import subprocess

from machines import wait_for

HERE = pathlib.Path(__file__).resolve().parent
PIPES_MAX = 2 * 32  # RELAY_PIPES_MAX of service/proxy/relay.h


def program(lab, name):
    """Where everybody can read it."""
    copy = lab.dir / name
    if not copy.exists():
        shutil.copy(HERE / name, copy)
    return ["/usr/bin/python3", copy]


def ask(u, name, *args, seconds=300):
    """What the program prints."""
    r = subprocess.run(u.command(*program(u.lab, name), *args), capture_output=True, text=True,
                       timeout=seconds, env=u.env, cwd="/")
    assert r.returncode == 0, r.stderr[-2000:]
    return json.loads(r.stdout)


def start(u, name, *args):
    return u.lab.spawn(u.command(*program(u.lab, name), *args), env=u.env, cwd="/",
                       stdout=subprocess.PIPE, text=True)


def children(pid):
    return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def fds_of_all_kinds(pid):
    """How many pipes, of which the proxy keeps empty ones, and how many others."""
    kinds = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds.append(fd.readlink().name)
        except FileNotFoundError:
            pass
    pipes = sum(k.startswith("pipe:") for k in kinds)
    assert pipes <= PIPES_MAX, pipes
    return pipes, len(kinds) - pipes


def fds(pid):
    return fds_of_all_kinds(pid)[1]


class Watched:
    """The daemon and its helper: what they hold now, and that they come back to it."""

    def __init__(self, u):
        self.pids = [u.daemon.pid] + children(u.daemon.pid)
        self.before = self.count()

    def count(self):
        return [fds(pid) for pid in self.pids]

    def is_back(self):
        assert all(now >= before for now, before in zip(self.count(), self.before))
        return self.count() == self.before

    def wait_back(self, what):
        try:
            wait_for(f"the descriptors after {what}", self.is_back, seconds=60)
        finally:
            print(f"# descriptors: {self.before} before, {self.count()} after {what}", flush=True)
