#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A way out on which trains of datagrams (UDP_SEGMENT) are lost and single ones pass: found out
while it is used, and TCP flows."""

import hashlib
import json
import subprocess

from machines import main, wait_for
from routers import Router

BLOB = "bytes(range(256)) * 16384"  # 4 MiB
RECEIVE = """
import socket, hashlib, sys
s = socket.create_server((sys.argv[1], 7000)); print('up', flush=True)
c, _ = s.accept(); h = hashlib.sha256()
while (b := c.recv(65536)): h.update(b)
print(h.hexdigest())
"""
SEND = f"""
import socket, sys
socket.create_connection((sys.argv[1], 7000)).sendall({BLOB})
"""


def transfer(a, b):
    """By TCP, in super-packets."""
    address = b.omerta("network", "address")
    server = subprocess.Popen(b.command("python3", "-c", RECEIVE, address),
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "up\n"
        a.run("python3", "-c", SEND, address)
        assert server.communicate(timeout=60)[0].strip() == hashlib.sha256(eval(BLOB)).hexdigest()
    finally:
        server.kill()
        server.wait()


def trains(m, other):
    """Of the active path, while it is used."""
    m.ping(other.omerta("network", "address"), check=False)
    name = other.json("network", "show")["machine"]
    return next((p["trains"] for p in m.json("path", name)["paths"] if p["active"]), None)


def begin(lab, lose):
    gw = lab.gateway()
    router = Router(lab, "home", 101)
    router.lose_trains(lose)
    m = lab.machine("m1")
    router.take(m, 11)
    m.start("--vpn")
    m.omerta("network", "join", gw.omerta("network", "invite"))
    m.wait_ping(gw.omerta("network", "address"))
    return gw, router, m


def test_pass(lab):
    gw, router, m = begin(lab, False)
    for one, other in ((m, gw), (gw, m)):
        wait_for(f"{one.name} to know", lambda: trains(one, other) == "pass", 30)
        transfer(one, other)


def test_lost(lab):
    gw, router, m = begin(lab, True)
    for one, other in ((m, gw), (gw, m)):
        wait_for(f"{one.name} to find out", lambda: trains(one, other) == "lost", 30)
    assert router.lost_trains() >= 4
    before = router.lost_trains()
    transfer(m, gw)
    transfer(gw, m)
    # Not one train was sent, so none was lost.
    assert router.lost_trains() == before
    assert "one by one" in m.omerta("path", gw.json("network", "show")["machine"])
    # One machine says so: that may be its own fault.
    doctor = json.loads(m.omerta("doctor", "--json", check=False).stdout)
    found = [c for c in doctor["checks"] if c["check"] == "trains"]
    assert [c["verdict"] for c in found] == ["fine"], found
    assert "to one machine are lost on eth0" in found[0]["text"], found


def test_switched_off(lab):
    """Where none are sent nobody asks."""
    gw, router, m = begin(lab, True)
    m.stop()
    m.start("--vpn", "--offload", "none")
    m.wait_ping(gw.omerta("network", "address"))
    wait_for("the gateway to find out", lambda: trains(gw, m) == "lost", 30)
    before = router.lost_trains()
    assert trains(m, gw) == "unknown"
    transfer(m, gw)
    assert router.lost_trains() == before


TESTS = [test_pass, test_lost, test_switched_off]

if __name__ == "__main__":
    main(TESTS, "nft", "python3")
