#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The addresses of a network and those a machine reaches otherwise: a link that would divert them is
refused before it is used up, and where they collide later the link on the spot wins."""

import base64
import json
import pwd
import subprocess

from machines import OMERTA, WAIT, main, wait_for

NOBODY = pwd.getpwnam("nobody").pw_uid


def create(m, name, *options):
    """A network on a machine whose daemon runs."""
    m.omerta("network", "create", name, *options)
    return m


def without_subnet(link):
    """The same link, as one that does not say which addresses the network has: a map's last two."""
    text = link.split("/")[-1].upper()
    data = base64.b32decode(text + "=" * (-len(text) % 8))
    assert data[-8:-6] == b"\x08\x44" and data[-2] == 9 or data[-9:-7] == b"\x08\x44", data[-9:]
    cut = 8 if data[-8:-6] == b"\x08\x44" else 9
    data = bytes([data[0] - 2]) + data[1:-cut]
    return "omerta://join/" + base64.b32encode(data).decode().lower().rstrip("=")


def routes(m):
    """But for link-local IPv6: the kernel adds that of any interface when its DAD is through."""
    out = json.loads(m.run("ip", "-j", "route", "show", "table", "all").stdout)
    return [r for r in out if not r["dst"].startswith(("fe80", "ff00"))]


def refused(m, words, *args):
    before = routes(m)
    r = m.omerta("network", *args, check=False)
    assert r.returncode != 0, f"{args}: {r.stdout}"
    for word in words:
        assert word in r.stderr, f"{args}: no {word} in: {r.stderr}"
    # The network and its interface are gone a moment after the answer.
    wait_for("nothing to be left", lambda: routes(m) == before)


def uses(gw, network):
    return [i["uses"] for i in gw.json("network", "invites", "--network", network)["invites"]]


def state(m):
    n = m.json("network", "list")["networks"][0]
    return n["state"], n["state_reason"]


def lan(m, name):
    """An interface to nobody."""
    m.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}x")
    m.run("ip", "link", "set", name, "up")
    m.run("ip", "link", "set", f"{name}x", "up")


def pair(lab):
    gw, m = lab.machine("gw"), lab.machine("m1")
    gw.start("--vpn")
    m.start("--vpn")
    return gw, m


def test_addresses_of_others(lab):
    gw, m = pair(lab)
    for subnet in ("8.8.8.0/24", "172.32.0.0/16", "192.0.0.0/16", "100.128.0.0/16", "10.0.0.0/8"):
        refused(gw, ["--any-subnet"], "create", "bad", "--subnet", subnet)
    create(gw, "bad", "--subnet", "8.8.8.0/24", "--any-subnet")
    link = gw.omerta("network", "invite", "--network", "bad")
    refused(m, ["8.8.8.0/24", "--any-subnet"], "join", link)
    assert uses(gw, "bad") == [0]
    # A link that does not tell: the gateway does, and nothing comes of it.
    refused(m, ["8.8.8.0/24", "--any-subnet"], "join",
            without_subnet(gw.omerta("network", "invite", "--network", "bad")))
    # Only root may say that it is meant.
    r = subprocess.run(m.command("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                                 "--clear-groups", OMERTA, "network", "join", "--any-subnet", link),
                       env=m.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and "only root" in r.stderr, r
    m.omerta("network", "join", "--any-subnet", link)
    assert m.omerta("network", "address") == "8.8.8.100"
    m.wait_ping("8.8.8.1")


def test_whole_eights(lab):
    gw, m = pair(lab)
    create(gw, "wide", "--subnet", "10.0.0.0/8", "--any-subnet")
    link = gw.omerta("network", "invite")
    refused(m, ["10.0.0.0/8", "/16"], "join", link)
    m.omerta("network", "join", "--any-subnet", link)


def test_what_the_machine_reaches(lab):
    """LAN, own addresses, another VPN, the way to the router: whatever root says."""
    gw, m = pair(lab)
    create(gw, "home", "--subnet", "10.7.0.0/16")
    link = gw.omerta("network", "invite")
    lan(m, "lan0")
    for make in (["address", "add", "10.7.3.1/24", "dev", "lan0"],
                 ["address", "add", "10.7.3.1/32", "dev", "lan0"],
                 ["route", "add", "10.0.0.0/8", "dev", "lan0"],
                 ["route", "add", "10.7.0.0/16", "dev", "lan0", "table", "52"],
                 ["route", "add", "default", "via", "10.7.0.9", "dev", "lan0", "onlink"]):
        m.run("ip", *make)
        for more in ([], ["--any-subnet"]):
            refused(m, ["10.7.0.0/16", "lan0"], "join", *more, link)
            refused(m, ["10.7.0.0/16", "lan0"], "create", "x", "--subnet", "10.7.0.0/16", *more)
        # Said by the gateway only; the link is used up then.
        refused(m, ["10.7.0.0/16", "lan0"], "join",
                without_subnet(gw.omerta("network", "invite", "--uses", "9")))
        m.run("ip", *["del" if w == "add" else w for w in make])
    assert 0 in uses(gw, "home"), "the link was used up though it was refused"
    # Ways to everywhere are no collision: full tunnels, blackholes.
    m.run("ip", "route", "add", "0.0.0.0/1", "dev", "lan0")
    m.run("ip", "route", "add", "blackhole", "10.0.0.0/8")
    m.omerta("network", "join", link)
    m.wait_ping("10.7.0.1")
    # Nor does another network of omerta's have them, up or down.
    other = lab.machine("m2")
    other.start("--vpn")
    create(other, "other", "--subnet", "10.7.0.0/24")
    for verb in ("up", "down"):
        m.omerta(verb)
        refused(m, ["10.7.0.0/24", "network home"], "join", other.omerta("network", "invite"))
        refused(m, ["10.7.4.0/24", "network home"], "create", "x", "--subnet", "10.7.4.0/24")


def test_chosen_ones(lab):
    gw = lab.machine("gw")
    lan(gw, "lan0")
    # All but one are somebody's.
    gw.run("ip", "route", "add", "10.128.0.0/9", "dev", "lan0")
    for i in range(128):
        if i != 77:
            gw.run("ip", "route", "add", f"10.{i}.4.0/24", "dev", "lan0")
    gw.start("--vpn")
    create(gw, "a")
    assert gw.omerta("network", "address", "--network", "a") == "10.77.0.1"
    create(gw, "b")
    assert gw.omerta("network", "address", "--network", "b").startswith("172.")
    m = lab.machine("m1")
    m.start("--vpn")
    for i in range(8):
        create(m, f"n{i}")
    subnets = {n["subnet"] for n in m.json("network", "list")["networks"]}
    assert len(subnets) == 8 and all(s.startswith("10.") for s in subnets), subnets
    assert subnets != {f"10.{i}.0.0/16" for i in range(8)}, "not at random"


def test_what_is_worth_another_start(lab):
    """A LAN goes, what is no one's to have stays so: the exit status tells systemd which it is."""
    m = lab.machine("m1")
    lan(m, "lan0")
    m.run("ip", "address", "add", "10.7.3.1/24", "dev", "lan0")
    for subnet, status in (("10.7.0.0/16", 1), ("8.8.8.0/24", 78), ("10.7.0.0/30", 78)):
        m.start("--vpn", "--gateway", "--subnet", subnet, wait=False)
        assert m.daemon.wait(timeout=WAIT) == status, f"{subnet}: {m.daemon.returncode}"
    m.run("ip", "address", "del", "10.7.3.1/24", "dev", "lan0")
    m.start("--vpn", "--gateway", "--subnet", "10.7.0.0/16")
    wait_for("the network", lambda: state(m)[0] == "online")


def on_link(m, prefix):
    out = json.loads(m.run("ip", "-j", "route", "show", prefix).stdout)
    return {r["dev"] for r in out}


def test_into_a_lan_with_the_same_addresses(lab):
    gw, m = pair(lab)
    create(gw, "home", "--subnet", "10.7.0.0/16")
    m.omerta("network", "join", gw.omerta("network", "invite"))
    m.wait_ping("10.7.0.1")
    lan(m, "lan0")
    for address, route in (("10.7.0.55/16", "10.7.0.0/16"), ("10.9.0.55/8", "10.0.0.0/8")):
        m.run("ip", "address", "add", address, "dev", "lan0")
        wait_for("the conflict", lambda: state(m)[0] == "conflict")
        assert route in state(m)[1] and "lan0" in state(m)[1], state(m)
        # The LAN is not diverted: neither its range nor one address of it.
        get = json.loads(m.run("ip", "-j", "route", "get", "10.7.0.1").stdout)[0]
        assert get["dev"] == "lan0", get
        assert "omerta0" not in on_link(m, "10.7.0.0/16")
        r = m.omerta("ping", "-c", "1", "10.7.0.1", check=False)
        assert "cannot be reached" in r.stderr, f"who has the address there is taken for a member: {r}"
        # It stays so over a restart.
        m.stop()
        m.start("--vpn")
        wait_for("the conflict", lambda: state(m)[0] == "conflict")
        assert on_link(m, "10.7.0.0/16") <= {"lan0"}
        m.run("ip", "address", "del", address, "dev", "lan0")
        wait_for("the way back", lambda: state(m)[0] == "online")
        m.wait_ping("10.7.0.1")
    # A part of it: the rest goes on, and it is said which part does not.
    m.run("ip", "address", "add", "10.7.200.55/24", "dev", "lan0")
    wait_for("the conflict", lambda: state(m)[0] == "conflict")
    assert "10.7.200.0/24" in state(m)[1], state(m)
    m.wait_ping("10.7.0.1")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv")
