#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A gateway at a name whose address changes: a member that knows nothing but the name finds it."""

import contextlib
import pathlib
import shutil
import signal

from machines import main, wait_for

NAME = "gw.example.org"
# The longest that a look-up may be away: 5, 10 and 20 s, and what an attempt takes besides.
BACK_OFF = 60


@contextlib.contextmanager
def resolv_conf(m):
    """What ip-netns(8) puts in place of /etc/resolv.conf for @m: a name server of its own."""
    etc = pathlib.Path("/etc/netns") / m.ns
    had_parent = etc.parent.exists()
    etc.mkdir(parents=True)
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    try:
        yield
    finally:
        shutil.rmtree(etc)
        if not had_parent:
            with contextlib.suppress(OSError):
                etc.parent.rmdir()


class Zone:
    """The name server of @m, which knows what the file says."""

    def __init__(self, lab, m):
        self.file = m.dir / "zone"
        self.file.write_text("")
        self.log = m.dir / "questions"
        server = pathlib.Path(__file__).with_name("dns.py")
        self.out = open(self.log, "ab")
        lab.spawn(m.command("/usr/bin/python3", server, "zone", 53, self.file), stdout=self.out)

    def lead(self, address):
        new = self.file.with_suffix(".new")
        new.write_text(f"{NAME} {address}\n")
        new.rename(self.file)

    def asked(self):
        return self.log.read_text().count(NAME)


def state(m):
    return m.json("status")["networks"][0]["state"]


def move(m, address):
    m.run("ip", "addr", "flush", "dev", "eth0")
    m.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    m.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")


def test_address_changes(lab):
    gw = lab.gateway()
    gw.omerta("network", "set", "endpoints", NAME)
    assert gw.omerta("network", "get", "endpoints") == f"{NAME}:18002"
    m = lab.member(gw, "m1")
    assert m.json("network", "get")["endpoints"] == [f"{NAME}:18002"]
    wait_for("an address", lambda: m.omerta("network", "address", check=False).stdout.strip())
    for one in (gw, m):
        one.omerta("network", "set", "lan-discovery", "off")
    # Away, while the gateway moves; and it comes back elsewhere, so that the gateway cannot call.
    m.stop()
    move(gw, "192.0.2.50")
    move(m, "192.0.2.51")
    with resolv_conf(m):
        m.start("--vpn")
        assert m.json("network", "get")["endpoints"] == [f"{NAME}:18002"]
        wait_for("the state", lambda: state(m) == "offline")
        # No name server at all, then one that does not know the name.
        assert "leads nowhere" in m.omerta("doctor", check=False).stdout
        zone = Zone(lab, m)
        wait_for("a question", zone.asked, BACK_OFF)
        assert state(m) == "offline"
        zone.lead("192.0.2.50")
        wait_for("the gateway, by its name", lambda: state(m) == "online", BACK_OFF)
        assert "leads somewhere" in m.omerta("doctor", check=False).stdout
        # Once more, while the member runs.
        gw.stop(signal.SIGKILL)
        move(gw, "192.0.2.60")
        move(m, "192.0.2.61")
        wait_for("the state", lambda: state(m) == "offline", BACK_OFF)
        zone.lead("192.0.2.60")
        gw.start("--vpn")
        wait_for("the gateway at its new address", lambda: state(m) == "online", BACK_OFF)


def test_set(lab):
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    assert m.omerta("network", "get", "endpoints") == "none"
    for bad in ("192.0.2.1:5", "a_b.example", "a.example:0", "a.example,b.example,c.example", "-a.example"):
        r = m.omerta("network", "set", "endpoints", bad, check=False)
        assert r.returncode != 0, bad
    m.omerta("network", "set", "endpoints", "a.example:5,b.example")
    assert m.json("network", "get", "endpoints") == {"endpoints": ["a.example:5", "b.example:18002"]}
    m.omerta("network", "set", "endpoints", "none")
    assert m.omerta("network", "get", "endpoints") == "none"


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
