#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two machines that a firewall keeps apart reach each other through a member."""

import hashlib
import signal
import subprocess

from machines import main, wait_for

RECEIVE = """
import socket, hashlib, sys
s = socket.create_server((sys.argv[1], 7000)); print('up', flush=True)
c, _ = s.accept(); h = hashlib.sha256()
while (b := c.recv(65536)): h.update(b)
print(h.hexdigest())
"""
SEND = """
import socket, sys
c = socket.create_connection((sys.argv[1], 7000)); c.sendall(bytes(range(256)) * 40000)
"""


def part(a, b):
    """Nothing passes between them, in either direction."""
    for m, other in ((a, b), (b, a)):
        m.run("nft", f"table inet apart {{"
                     f" chain in {{ type filter hook input priority 0;"
                     f" ip saddr {other.address} drop; iifname eth0 meta nfproto ipv6 drop; }};"
                     f" chain out {{ type filter hook output priority 0;"
                     f" ip daddr {other.address} drop; oifname eth0 meta nfproto ipv6 drop; }}; }}")


def apart(lab):
    gw = lab.gateway()
    a, b = lab.machine("m1"), lab.machine("m2")
    part(a, b)
    for m in (a, b):
        m.start("--vpn")
        m.omerta("network", "join", gw.omerta("network", "invite"))
    return gw, a, b


def peer(m, other):
    who = other.json("network", "show")["machine"]
    return next(p for p in m.json("network", "peers")["machines"] if p["id"] == who)


def transfer(a, b, address):
    server = subprocess.Popen(b.command("python3", "-c", RECEIVE, address),
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "up\n"
        a.run("python3", "-c", SEND, address)
        assert server.stdout.readline().strip() == \
            hashlib.sha256(bytes(range(256)) * 40000).hexdigest()
    finally:
        server.kill()
        server.wait()


def test_relayed(lab):
    gw, a, b = apart(lab)
    wait_for("the gateway to relay", lambda: gw.json("mesh", "status")["daemon"]["is_relay"])
    address = b.omerta("network", "address")
    a.wait_ping(address)
    transfer(a, b, address)
    # Larger than fits with the relay's header: the kernel is told, and cuts.
    a.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", "20000", address)
    link = peer(a, b)
    assert link["path"] == "relay", link
    assert link["relay"] == peer(a, gw)["id"], link
    way = f'relayed by {peer(a, gw)["host_name"]}'
    for words in (("network", "peers"), ("mesh", "status"), ("tunnel", "sessions")):
        assert way in a.omerta(*words), a.omerta(*words)
    daemon = gw.json("mesh", "status")["daemon"]
    assert daemon["relay"] == "auto", daemon
    assert daemon["relay_pairs"] == 1, daemon
    assert daemon["relayed_bytes"] > 40000 * 256, daemon
    # What it passed on it could not read, and did not take for its own.
    drops = {d["reason"]: d["count"] for d in gw.json("mesh", "status")["drops"]}
    assert "not-authentic" not in drops, drops


def test_relay_killed_and_back(lab):
    gw, a, b = apart(lab)
    address = b.omerta("network", "address")
    a.wait_ping(address)
    gw.stop(signal.SIGKILL)
    assert not a.ping(address, check=False)
    gw.start("--gateway", "--vpn")
    a.wait_ping(address, 60)
    b.wait_ping(a.omerta("network", "address"))
    transfer(a, b, address)


def test_setting(lab):
    gw, a, b = apart(lab)
    address = b.omerta("network", "address")
    a.wait_ping(address)
    assert gw.omerta("get", "relay") == "auto"
    gw.omerta("set", "relay", "off")
    assert gw.omerta("get", "relay") == "off"
    assert gw.json("mesh", "status")["daemon"]["relay_pairs"] == 0
    assert not a.ping(address, check=False)
    r = gw.omerta("set", "relay", "perhaps", check=False)
    assert r.returncode == 2 and "auto, on, off" in r.stderr, r
    r = gw.busctl("call", "org.omerta.Mesh1", "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager",
                  "SetOptions", "a{sv}", "1", "relay", "s", "perhaps", check=False)
    assert r.returncode != 0 and "auto, on or off" in r.stderr, r
    # It is remembered.
    gw.stop()
    gw.start("--gateway", "--vpn")
    assert gw.json("get", "relay") == {"relay": "off"}
    assert not gw.json("mesh", "status")["daemon"]["is_relay"]
    gw.omerta("set", "relay", "on")
    a.wait_ping(address, 60)


main([test_relayed, test_relay_killed_and_back, test_setting], "nft", "python3")
