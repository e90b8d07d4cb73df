#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets in a running daemon's memory: each in one place, which is locked, and in no core file."""

import hashlib
import os
import re
import shutil
import sqlite3

from machines import OMERTAD, main, run, wait_for


def stored(m):
    """The rows of its database, read from a copy: the file is locked as long as the daemon runs."""
    copy = m.dir / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(m.state, copy)
    db = sqlite3.connect(copy / "omerta.db")
    secret, = db.execute("SELECT secret FROM network").fetchone()
    psks = [row[0] for row in db.execute("SELECT psk FROM invite")]
    db.close()
    return secret, psks


def machine_secrets(m):
    seed = (m.state / "machine.key").read_bytes()
    x = bytearray(hashlib.sha512(seed).digest()[:32])
    x[0] &= 248
    x[31] = x[31] & 127 | 64
    return seed, bytes(x)


def pid_of(m):
    # "ip netns exec" becomes the program.
    return m.daemon.pid


def copies(pid, needles):
    """How often each is in memory, and how often in such that is not locked."""
    count, loose = [0] * len(needles), [0] * len(needles)
    begin = None
    with open(f"/proc/{pid}/mem", "rb", 0) as mem, open(f"/proc/{pid}/smaps") as maps:
        for line in maps:
            r = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if r:
                begin, end = int(r[1], 16), int(r[2], 16)
            elif line.startswith("VmFlags:") and begin is not None:
                try:
                    mem.seek(begin)
                    data = mem.read(end - begin)
                except (OSError, OverflowError, ValueError):
                    data = b""
                for i, needle in enumerate(needles):
                    n = data.count(needle)
                    count[i] += n
                    loose[i] += 0 if " lo" in line else n
                begin = None
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                begin = None
    return count, loose


def test_copies_in_memory(lab):
    gw = lab.gateway()
    members = [lab.member(gw, f"m{i}") for i in range(1, 5)]
    for _ in range(5):
        gw.omerta("network", "invite")
    for m in members:
        m.wait_ping("10.0.0.1")
        gw.wait_ping(m.omerta("network", "address"))
    for i, a in enumerate(members):
        for b in members[i + 1:]:
            a.wait_ping(b.omerta("network", "address"))
    # What is copied for a backup is wiped.
    gw.omerta("backup", str(gw.dir / "backup"))
    for m in [gw] + members:
        secret, psks = stored(m)
        seed, x25519 = machine_secrets(m)
        names = ["the network's secret", "the seed", "the X25519 key"] + ["an invite's psk"] * len(psks)
        count, loose = copies(pid_of(m), [secret, seed, x25519] + psks)
        print(f"# {m.name}: {count} copies, not locked: {loose}", flush=True)
        for name, n, free in zip(names, count, loose):
            # SQLite has the page that was read or written last, and where invites come and go what it
            # moved from one page to another.
            allowed = {"the network's secret": 2, "an invite's psk": 6}.get(name, 0)
            assert free <= allowed and n <= 1 + allowed, f"{m.name} has {name} {n} times, {free} loose"


def test_no_core_file(lab):
    gw = lab.gateway()
    limits = open(f"/proc/{pid_of(gw)}/limits").read()
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    # What belongs to root though the process is another user's is not dumpable (proc(5)).
    m = lab.machine("m1")
    m.state.mkdir(mode=0o700)
    run("chown", "-R", "nobody", m.state)
    out = open(m.log, "ab")
    m.daemon = lab.spawn(m.command("setpriv", "--reuid=nobody", "--clear-groups", OMERTAD, "start",
                                   "--state-dir", m.state), env=m.env, stdout=out, stderr=out)
    wait_for("the daemon", m.is_ready)
    assert os.stat(f"/proc/{m.daemon.pid}/mem").st_uid == 0


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv")
