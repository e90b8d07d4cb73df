#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A home whose router carries less than 1500 bytes and says nothing of what it swallows."""

import hashlib
import subprocess

from machines import main, wait_for
from routers import Router

BLOB = "bytes(range(256)) * 8192"  # 2 MiB
RECEIVE = """
import socket, hashlib, sys
s = socket.create_server((sys.argv[1], 7000)); print('up', flush=True)
c, _ = s.accept(); h = hashlib.sha256()
while (b := c.recv(65536)): h.update(b)
print(h.hexdigest())
"""
# The first half, and the other one when a line comes.
SEND = f"""
import socket, sys
blob = {BLOB}
c = socket.create_connection((sys.argv[1], 7000)); c.sendall(blob[:len(blob) // 2])
print('half', flush=True); sys.stdin.readline(); c.sendall(blob[len(blob) // 2:])
"""


def transfer(a, b, midway=lambda: None):
    """2 MiB from @a to @b by TCP, with something that happens in the middle of it."""
    address = b.omerta("network", "address")
    server = subprocess.Popen(b.command("python3", "-c", RECEIVE, address),
                              stdout=subprocess.PIPE, text=True)
    client = None
    try:
        assert server.stdout.readline() == "up\n"
        client = subprocess.Popen(a.command("python3", "-c", SEND, address), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert client.stdout.readline() == "half\n"
        midway()
        client.communicate("go\n", timeout=60)
        assert client.returncode == 0
        assert server.communicate(timeout=60)[0].strip() == hashlib.sha256(eval(BLOB)).hexdigest()
    finally:
        for p in filter(None, (server, client)):
            p.kill()
            p.wait()


def active(m, other):
    name = other.json("network", "show")["machine"]
    return next((p for p in m.json("path", name)["paths"] if p["active"]), {})


def large(m, other, size=1280):
    """A packet that is as long, with DF. What ping itself is told it prints."""
    return m.run("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", size - 28,
                 other.omerta("network", "address"), check=False)


def settled(m, other, mtu):
    """While it is used."""
    large(m, other)
    p = active(m, other)
    return (p.get("mtu"), p.get("mtu_state")) == (mtu, "search-complete")


def forget(m):
    """What the kernel was told before: it remembers it for ten minutes."""
    m.run("ip", "route", "flush", "cache")


def begin(lab, mtu):
    gw = lab.gateway()
    router = Router(lab, "home", 101)
    m = lab.machine("m1")
    router.take(m, 11)
    router.set_mtu(mtu)
    m.start("--vpn")
    m.omerta("network", "join", gw.omerta("network", "invite"))
    m.wait_ping(gw.omerta("network", "address"))
    return gw, router, m


def ends_agree(gw, m, mtu):
    # The answer to a ping is as long as the question: both have to know.
    for one, other in ((gw, m), (m, gw)):
        wait_for(f"{one.name} to find {mtu}", lambda: settled(one, other, mtu), 60)
    for one, other in ((gw, m), (m, gw)):
        forget(one)
        forget(other)
        assert large(one, other, mtu).returncode == 0
        r = large(one, other, mtu + 1)
        assert r.returncode != 0, r
        assert "too long" in r.stdout + r.stderr or str(mtu) in r.stdout + r.stderr, r


def test_silent_router(lab):
    gw, router, m = begin(lab, 1400)
    # From the first byte on, before anything is found out.
    transfer(m, gw)
    transfer(gw, m)
    ends_agree(gw, m, 1340)
    transfer(m, gw)
    transfer(gw, m)
    shown = m.omerta("path", gw.json("network", "show")["machine"])
    assert "1340" in shown, shown


def test_changes(lab):
    """Under a session: shrinks, and shrinks again seen from the other end. That it grows takes a
    minute to be seen, and is shown on the virtual clock (test-sim-path-mtu.c)."""
    gw, router, m = begin(lab, 1500)
    ends_agree(gw, m, 1420)
    transfer(m, gw, lambda: router.set_mtu(1400))
    ends_agree(gw, m, 1340)
    transfer(gw, m, lambda: router.set_mtu(1340))
    ends_agree(gw, m, 1280)


main([test_silent_router, test_changes], "nft", "python3")
