#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of a network as its machine has it: how large packets are, and a kernel whose IPv6
was switched off."""

import json

from machines import main, wait_for


def link_mtu(m):
    return json.loads(m.run("ip", "-j", "link", "show", "omerta0").stdout)[0]["mtu"]


def inside(m, key="address"):
    return m.json("network", "address")[key].split("/")[0]


def largest(m, address, size):
    """Whether an IP packet of so many bytes, not to be cut, is answered."""
    return m.run("ping", "-n", "-c", 1, "-W", 2, "-M", "do", "-s", size - 28, address,
                 check=False).returncode == 0


def transfer(client, server, address):
    """Two MiB of TCP there, and two back."""
    s = server.lab.spawn(server.command("iperf3", "-s", "-1", "-B", address))
    for reverse in ([], ["-R"]):
        wait_for("a transfer", lambda: client.run(
            "iperf3", "-c", address, "-n", "2M", *reverse, check=False).returncode == 0)
        s.wait(timeout=20)
        s = server.lab.spawn(server.command("iperf3", "-s", "-1", "-B", address))


def test_mtu(lab):
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    there, here = inside(gw), inside(m)
    m.wait_ping(there)
    assert link_mtu(m) == 1420 and m.json("network", "show")["mtu"] == 1420
    assert largest(m, there, 1420) and not largest(m, there, 1421)
    # A member sets it, for itself, at once.
    m.omerta("network", "set", "mtu", "1300")
    assert link_mtu(m) == 1300
    assert m.json("network", "show")["mtu"] == 1300
    assert m.json("network", "get", "mtu") == {"mtu": 1300}
    assert largest(m, there, 1300) and not largest(m, there, 1301)
    assert link_mtu(gw) == 1420
    # The line takes no more than that: 1300 and 60. One end is enough.
    m.run("ip", "link", "set", "eth0", "mtu", "1360")
    transfer(m, gw, there)
    # Stored.
    m.stop()
    m.start("--vpn")
    m.wait_ping(there)
    assert link_mtu(m) == 1300 and m.json("network", "show")["mtu"] == 1300
    # Off and on.
    m.omerta("down")
    m.omerta("network", "set", "mtu", "1290")
    m.omerta("up")
    m.wait_ping(there)
    assert link_mtu(m) == 1290
    # Refused, and nothing changed.
    for value in ("1279", "1421", "0", "65535"):
        r = m.omerta("network", "set", "mtu", value, check=False)
        assert r.returncode != 0 and "1280" in r.stderr, (value, r)
    # What is the network's is the gateway's still, and not to be mixed with it.
    assert m.omerta("network", "set", "grace", "10d", check=False).returncode != 0
    r = gw.busctl("call", "org.omerta.Mesh1", network_path(gw), "org.omerta.Mesh1.Network",
                  "SetOptions", "a{sv}", "2", "mtu", "u", "1300", "grace", "t", "1000000",
                  check=False)
    assert r.returncode != 0 and "alone" in r.stderr, r
    assert link_mtu(gw) == 1420 and link_mtu(m) == 1290
    m.omerta("network", "set", "mtu", "1420")
    assert link_mtu(m) == 1420
    gw.ping(here)


def network_path(m):
    return json.loads(m.busctl("--json=short", "get-property", "org.omerta.Mesh1",
                               "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager",
                               "Networks").stdout)["data"][0]


TESTS = [test_mtu]

if __name__ == "__main__":
    main(TESTS, "iperf3")
