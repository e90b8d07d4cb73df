#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members in one LAN find each other while the gateway is away and their addresses are new; a
stranger in the same LAN learns nothing and changes nothing.

    gw 192.0.2.1   m1 192.0.2.2   m2 192.0.2.3   m3 192.0.2.4     (machines.py)
      | cut off      | 10.77.0.1    | 10.77.0.2    | 10.77.0.3
"""

import json
import subprocess
import sys

from machines import main, wait_for

PORT, GROUP = 18003, "239.255.70.82"

# Records what comes to the group, sends it all again and 50 beacons of its own making, and says
# whether anything came to where a beacon says its sender is.
STRANGER = f"""
import json, os, socket, struct, sys
group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
group.bind(("{GROUP}", {PORT}))
group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                 struct.pack("=4s4s", socket.inet_aton("{GROUP}"), socket.inet_aton(sys.argv[1])))
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind((sys.argv[1], 18002))
own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
print("ready", flush=True)
seen = []
for line in sys.stdin:
    what = line.strip()
    if what == "record":
        group.settimeout(60)
        while len(seen) < 3:
            seen.append(group.recvfrom(2000))
    elif what == "replay":
        for data, _ in seen:
            own.sendto(data, ("{GROUP}", {PORT}))
            for _, source in seen:
                own.sendto(data, (source[0], 18002))
    elif what == "forge":
        for _ in range(50):
            own.sendto(b"\\6\\0\\0\\0" + os.urandom(104), ("{GROUP}", {PORT}))
    own.settimeout(0)
    try:
        got = len(own.recv(2000))
    except BlockingIOError:
        got = 0
    print(json.dumps({{"sizes": [len(d) for d, _ in seen], "got": got,
                       "sources": [s[0] for _, s in seen],
                       "same": max((sum(a == b for a, b in zip(x[4:], y[4:]))
                                    for x, _ in seen for y, _ in seen if x is not y), default=0)}}),
          flush=True)
"""


def network(lab, n):
    gw = lab.gateway()
    members = [lab.member(gw, f"m{i + 1}") for i in range(n)]
    inside = [m.json("network", "address")["address"] for m in members]
    # All know all: what is to be found is where they are.
    for m in members:
        wait_for("all members", lambda m=m: len(m.json("network", "peers")["machines"]) == n + 1)
    return gw, members, inside


def cut_off(lab, gw):
    lab.hub_run("ip", "link", "set", gw.name, "down")


def carry_away(members, v4=True):
    for i, m in enumerate(members):
        m.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
        if v4:
            m.run("ip", "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")


def all_reach(members, inside):
    for m in members:
        for a in inside:
            m.wait_ping(a)


def test_found(lab):
    gw, members, inside = network(lab, 3)
    cut_off(lab, gw)
    carry_away(members)
    all_reach(members, inside)
    status = members[0].json("mesh", "status")
    assert status["daemon"]["lan_interfaces"] == ["eth0"], status
    assert members[0].json("status")["networks"][0]["lan_machines"] >= 2
    assert "eth0" in members[0].omerta("mesh", "status")


def test_without_addresses(lab):
    """There is nobody who hands out addresses either: IPv6 has those of the link."""
    gw, members, inside = network(lab, 2)
    cut_off(lab, gw)
    carry_away(members, v4=False)
    all_reach(members, inside)
    peers = members[0].json("network", "peers")["machines"]
    assert [p for p in peers if (p["endpoint"] or "").startswith("[fe80::")], peers


def test_switched_off(lab):
    gw, members, inside = network(lab, 2)
    for m in members:
        m.omerta("set", "lan-discovery", "off")
        assert m.omerta("network", "get", "lan-discovery") == "off"
        assert m.json("mesh", "status")["daemon"]["lan_interfaces"] == []
    members[1].stop()
    members[1].start("--vpn")  # it is remembered
    assert members[1].omerta("network", "get", "lan-discovery") == "off"
    cut_off(lab, gw)
    carry_away(members)
    assert not members[0].ping(inside[1], check=False, count=3)
    for m in members:
        m.omerta("set", "lan-discovery", "on")
    all_reach(members, inside)


def test_restart(lab):
    """The place is new, and so are the daemons."""
    gw, members, inside = network(lab, 2)
    for m in members:
        m.stop()
    cut_off(lab, gw)
    carry_away(members)
    for m in members:
        m.start("--vpn")
    all_reach(members, inside)


def test_interface_comes(lab):
    """A cable that was not plugged in, and one that is another interface than before."""
    gw, members, inside = network(lab, 2)
    cut_off(lab, gw)
    m = members[1]
    m.run("ip", "link", "del", "eth0")
    carry_away(members[:1])
    m.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "m2b")
    m.run("ip", "link", "set", "m2b", "netns", lab.hub)
    lab.hub_run("ip", "link", "set", "m2b", "master", "br0", "up")
    m.run("ip", "addr", "add", "10.77.0.2/24", "dev", "eth7")
    m.run("ip", "link", "set", "eth7", "up")
    all_reach(members, inside)
    assert m.json("mesh", "status")["daemon"]["lan_interfaces"] == ["eth7"]


def drops(m, reason):
    return m.json("mesh", "status")["daemon"]["drops"].get(reason, 0)


def test_stranger(lab):
    gw, members, inside = network(lab, 2)
    x = lab.machine("x")
    p = lab.spawn(x.command(sys.executable, "-c", STRANGER, x.address), stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)

    def say(what):
        p.stdin.write(what + "\n")
        p.stdin.flush()
        return json.loads(p.stdout.readline())

    assert p.stdout.readline() == "ready\n"
    for m in members:  # somebody has reason to speak
        m.omerta("set", "lan-discovery", "off")
        m.omerta("set", "lan-discovery", "on")
    seen = say("record")
    # Three or more, all of one length; of 104 random bytes some are the same by chance.
    assert set(seen["sizes"]) == {108} and seen["same"] < 10, seen
    before = [drops(m, "replayed") for m in members]
    assert say("replay")["got"] == 0
    for i, m in enumerate(members):
        wait_for("the replay to be dropped", lambda m=m, i=i: drops(m, "replayed") > before[i])
    say("forge")
    for m in members:
        wait_for("forged beacons to be dropped", lambda m=m: drops(m, "beacon-foreign") >= 50)
    assert say("look")["got"] == 0
    for m in members:
        for peer in m.json("network", "peers")["machines"]:
            assert x.address not in (peer["endpoint"] or ""), peer
    all_reach(members, inside)


TESTS = [test_found, test_without_addresses, test_switched_off, test_restart, test_interface_comes,
         test_stranger]

if __name__ == "__main__":
    main(TESTS)
