#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two members that no third one can tell of each other: they have lines to pass on."""

import base64

from machines import main, wait_for


def inside(m):
    return m.omerta("network", "address")


def offer(m, address):
    """Its line, as soon as that says @address."""
    r = m.omerta("connect", "--offer", check=False)
    if r.returncode != 0:
        return None
    text = r.stdout.strip().removeprefix("omerta://path/").upper()
    data = base64.b32decode(text + "=" * (-len(text) % 8))
    return r.stdout.strip() if bytes(map(int, address.split("."))) in data else None


def test_two_without_a_third(lab):
    gw = lab.gateway()
    a, b = lab.member(gw, "m1"), lab.member(gw, "m2")
    ours = {m: wait_for("an address", lambda m=m: m.omerta("network", "address", check=False).stdout.strip())
            for m in (a, b)}
    a.wait_ping(ours[b])
    for m in (a, b):
        m.omerta("network", "set", "lan-discovery", "off")
    gw.stop()
    for m, address in ((a, "192.0.2.50"), (b, "192.0.2.51")):
        m.stop()
        m.run("ip", "addr", "del", f"{m.address}/24", "dev", "eth0")
        m.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        m.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    for m in (a, b):
        m.start("--vpn")
        wait_for("its address", lambda m=m: m.omerta("network", "address", check=False).stdout.strip())
    assert not a.ping(ours[b], check=False)
    line = wait_for("a line with the new address", lambda: offer(a, "192.0.2.50"))
    out = b.json("connect", "--answer", line)
    assert out["connected"] and out["address"] == ours[a], out
    assert a.json("connect", out["line"])["connected"]
    assert a.ping(ours[b])


def test_refused(lab):
    gw = lab.gateway()
    line = wait_for("a line", lambda: offer(gw, "192.0.2.1"))
    for words, says in (([line], "own line"), ([line[:-3]], "no whole line"), (["x"], "no whole line")):
        r = gw.omerta("connect", *words, check=False)
        assert r.returncode != 0 and says in r.stderr, r.stderr


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
