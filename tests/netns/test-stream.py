#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""UDP is blocked: machines reach the gateway's TCP port, and each other through it."""

import hashlib
import subprocess
import sys

from machines import OMERTAD, main, wait_for
from routers import Router

EVERYWHERE = "0.0.0.0/0"
SIZE = 2 << 20

RECEIVE = """
import socket, hashlib, sys
s = socket.create_server((sys.argv[1], 7000)); print('up', flush=True)
c, _ = s.accept(); h = hashlib.sha256()
while (b := c.recv(65536)): h.update(b)
print(h.hexdigest())
"""
SEND = f"""
import socket, sys
c = socket.create_connection((sys.argv[1], 7000)); c.sendall(bytes(range(256)) * {SIZE // 256})
"""

# Strangers at a port: 500 that say nothing, 50 that say something else, one that says it slowly;
# until the standard input ends.
CROWD = """
import socket, sys, threading
def connect():
    return socket.create_connection((sys.argv[1], int(sys.argv[2])))
kept = [connect() for _ in range(500)]
for i in range(50):
    c = connect()
    c.sendall((b'GET / HTTP/1.1\\r\\n\\r\\n', b'\\0\\0', b'\\xff' * 3000, b'SSH-2.0-x\\r\\n')[i % 4])
    kept.append(c)
slow = connect()
def drip():
    try:
        for b in b'\\x04\\x00\\x01' + bytes(1000):
            slow.send(bytes([b]))
            threading.Event().wait(0.2)
    except OSError:
        pass
threading.Thread(target=drip, daemon=True).start()
print('up', flush=True)
sys.stdin.read()
"""

# Becomes omertad with a socket for both families, as omertad-tcp.socket passes it: PORT PROGRAM...
PASSED = """
import os, socket, sys
s = socket.create_server(('', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
os.dup2(s.fileno(), 20)
os.dup2(20, 3, inheritable=True)
os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='tcp', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def peer(m, other):
    who = other.json("network", "show")["machine"]
    return next(p for p in m.json("network", "peers")["machines"] if p["id"] == who)


def daemon(m):
    return m.json("mesh", "status")["daemon"]


def transfer(a, b, address):
    server = subprocess.Popen(b.command("python3", "-c", RECEIVE, address),
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "up\n"
        a.run("python3", "-c", SEND, address)
        assert server.stdout.readline().strip() == \
            hashlib.sha256(bytes(range(256)) * (SIZE // 256)).hexdigest()
    finally:
        server.kill()
        server.wait()


def inside(lab, gw, router, name):
    m = lab.machine(name)
    router.take(m, 11)
    m.start("--vpn")
    m.omerta("network", "join", gw.omerta("network", "invite"))
    return m


def blocked(lab):
    """A gateway that listens, and two machines behind routers that drop all UDP."""
    gw = lab.gateway()
    gw.omerta("set", "tcp-port", "443")
    routers = [Router(lab, "r1", 101), Router(lab, "r2", 102)]
    for r in routers:
        r.block_udp(EVERYWHERE)
    a, b = (inside(lab, gw, r, name) for r, name in zip(routers, ("m1", "m2")))
    return gw, routers, a, b


def test_udp_blocked(lab):
    gw, routers, a, b = blocked(lab)
    address = b.omerta("network", "address")
    for m in (a, b):
        m.wait_ping(gw.omerta("network", "address"))
        assert peer(m, gw)["path"] == "tcp", peer(m, gw)
        assert peer(m, gw)["endpoint"] == "tcp:192.0.2.1:443", peer(m, gw)
        assert peer(gw, m)["path"] == "tcp", peer(gw, m)
    a.wait_ping(address)
    transfer(a, b, address)
    transfer(b, a, a.omerta("network", "address"))
    a.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", "20000", address)
    assert peer(a, b)["path"] == "relay", peer(a, b)
    paths = a.json("path", b.omerta("network", "address"))["paths"]
    active = next(p for p in paths if p["active"])
    assert active["kind"] == "relayed" and active["endpoint"].startswith("tcp:"), active
    assert daemon(gw)["tcp_connections"] == 2, daemon(gw)
    assert daemon(a)["tcp_connections"] == 1, daemon(a)
    assert "TCP port: 443, 2 connections" in gw.omerta("mesh", "status")
    # The rule goes: they find out by themselves.
    for r in routers:
        r.block_udp()
    for m in (a, b):
        wait_for("UDP to the gateway", lambda m=m: peer(m, gw)["path"] == "direct", 100)
    a.wait_ping(address)
    wait_for("no relay between them", lambda: peer(a, b)["path"] == "direct", 100)
    transfer(a, b, address)
    # And comes back under a session.
    for r in routers:
        r.block_udp(EVERYWHERE)
    a.wait_ping(address, 60)
    wait_for("TCP to the gateway", lambda: peer(a, gw)["path"] == "tcp", 60)
    transfer(a, b, address)


def test_gateway_restarts(lab):
    gw, _, a, b = blocked(lab)
    address = b.omerta("network", "address")
    a.wait_ping(address)
    gw.stop()
    gw.start("--gateway", "--vpn")
    a.wait_ping(address, 60)
    transfer(a, b, address)


def test_strangers(lab):
    gw, routers, a, b = blocked(lab)
    address = b.omerta("network", "address")
    a.wait_ping(address)
    x = lab.machine("x")
    crowd = subprocess.Popen(x.command("python3", "-c", CROWD, gw.address, 443),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert crowd.stdout.readline() == "up\n"

        def drops():
            return {d["reason"]: d["count"] for d in gw.json("mesh", "status")["drops"]}
        wait_for("garbage to be counted", lambda: drops().get("stream-malformed", 0) > 0)
        assert drops()["stream-malformed"] + drops()["stream-refused"] >= 540, drops()
        # Two members, and eight of one address that are nobody yet.
        assert daemon(gw)["tcp_connections"] <= 10, daemon(gw)
        transfer(a, b, address)
        # One more joins meanwhile.
        r = Router(lab, "r3", 103)
        r.block_udp(EVERYWHERE)
        c = inside(lab, gw, r, "m3")
        c.wait_ping(address)
        # Who brings nothing is gone after 10 s.
        wait_for("nobody but members", lambda: daemon(gw)["tcp_connections"] == 3)
    finally:
        crowd.stdin.close()
        crowd.wait()
    transfer(a, b, address)


def test_setting(lab):
    gw = lab.gateway()
    assert gw.omerta("get", "tcp-port") == "off"
    assert gw.json("get", "tcp-port") == {"tcp_port": 0}
    assert daemon(gw)["tcp_port"] == 0 and "tcp-port" in daemon(gw)["tcp_reason"]
    for bad in ("0", "65536", "https", ""):
        r = gw.omerta("set", "tcp-port", bad, check=False)
        assert r.returncode == 2 and "neither a port nor off" in r.stderr, r
    taken = lab.spawn(gw.command("python3", "-c", "import socket, sys; "
                                 "s = socket.create_server(('', 8443)); sys.stdin.read()"),
                      stdin=subprocess.PIPE)
    wait_for("somebody at the port", lambda: ":8443" in gw.run("ss", "-lnt").stdout)
    gw.omerta("set", "tcp-port", "443")
    r = gw.omerta("set", "tcp-port", "8443", check=False)
    assert r.returncode != 0 and "taken by another program" in r.stderr, r
    # As it was.
    assert gw.omerta("get", "tcp-port") == "443"
    assert daemon(gw)["tcp_reason"] is None, daemon(gw)
    gw.stop()
    gw.start("--gateway", "--vpn")
    assert gw.json("get", "tcp-port") == {"tcp_port": 443}
    listens = gw.run("ss", "-Hlnt", "sport", "=", ":443").stdout.splitlines()
    assert len(listens) == 2, listens
    gw.omerta("set", "tcp-port", "off")
    assert gw.run("ss", "-Hlnt", "sport", "=", ":443").stdout == ""
    taken.stdin.close()
    taken.wait()
    gw.omerta("set", "tcp-port", "8443")
    r = gw.busctl("call", "org.omerta.Mesh1", "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager",
                  "SetOptions", "a{sv}", "1", "tcp-port", "u", "65536", check=False)
    assert r.returncode != 0 and "1 to 65535" in r.stderr, r


def test_passed(lab):
    gw = lab.machine("gw")
    log = open(gw.log, "ab")
    gw.daemon = lab.spawn(
        gw.command(sys.executable, "-c", PASSED, 443, OMERTAD, "start", "--state-dir", gw.state,
                   "--gateway", "--vpn"), env=gw.env, stdout=log, stderr=log)
    wait_for("the gateway", gw.is_ready)
    wait_for("its address", lambda: gw.omerta("network", "address", check=False).stdout)
    assert gw.omerta("get", "tcp-port") == "443"
    r = gw.omerta("set", "tcp-port", "8443", check=False)
    assert r.returncode != 0 and "omertad-tcp.socket" in r.stderr, r
    router = Router(lab, "r1", 101)
    router.block_udp(EVERYWHERE)
    a = inside(lab, gw, router, "m1")
    a.wait_ping(gw.omerta("network", "address"))
    assert peer(a, gw)["path"] == "tcp", peer(a, gw)


main([test_udp_blocked, test_gateway_restarts, test_strangers, test_setting, test_passed],
     "nft", "python3", "ss")
