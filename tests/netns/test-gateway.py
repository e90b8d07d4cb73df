#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gateway leads its members to the internet, and nowhere else."""

import json
import signal

from machines import OMERTAD, main, wait_for
from outside import GW4, GW6, LAN4, LAN6, WEB4, WEB6, disguises, fetch, internet, lan, refused


def exit_of(m):
    return m.json("gateway", "show")


def is_up(m):
    return exit_of(m)["state"] == "up"


def begin(lab):
    """A gateway with a way out, and a member that uses it."""
    gw = lab.machine("gw")
    net = internet(lab, gw)
    gw.before = gw.run("nft", "list", "ruleset").stdout
    gw.settings = settings(gw)
    gw.start("--gateway", "--vpn")
    wait_for("the exit", lambda: is_up(gw))
    m = lab.member(gw, "m1")
    use(m)
    return gw, m, net


def use(m):
    m.omerta("gateway", "use", "auto")
    wait_for("the exit to be used", lambda: fetch(m, WEB4) == GW4)


def settings(m):
    """What the kernel forwards."""
    return m.run("sh", "-c", "grep -H . /proc/sys/net/ipv[46]/conf/*/*forwarding "
                 "/proc/sys/net/ipv6/conf/*/accept_ra | grep -v omerta").stdout


def test_out(lab):
    gw, m, net = begin(lab)
    assert fetch(m, WEB4) == GW4
    assert fetch(m, WEB6) == GW6
    m.ping(WEB4)
    m.ping(WEB6)
    assert len(fetch(m, WEB4, "1000000")) == 1000000
    assert len(fetch(m, WEB6, "1000000")) == 1000000
    # Who is not there says so, through all of it.
    assert refused(m, WEB4, 81) and refused(m, WEB6, 81)
    # The machine is no router for others.
    net.run("ip", "route", "add", "10.0.0.0/16", "via", GW4)
    net.run("ip", "route", "add", "192.0.2.0/24", "via", GW4)
    for target in (m.omerta("network", "address"), "192.0.2.2"):
        assert net.run("ping", "-c1", "-W1", target, check=False).returncode != 0, target
    members = exit_of(gw)["members"]
    assert [x["host_name"] for x in members] == [m.json("status")["networks"][0]["host_name"]]
    assert members[0]["allowed"] and members[0]["bytes_in"] > 2000000 > members[0]["bytes_out"] > 0


def test_by_hand(lab):
    """A default route made by hand, by a member that was told nothing else."""
    gw = lab.machine("gw")
    internet(lab, gw)
    gw.start("--port", "18002", "--gateway", "--vpn")
    m = lab.member(gw, "m1")
    m.run("ip", "route", "add", "default", "via", "10.0.0.1", "dev", "omerta0")
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    m.ping(WEB4)


def test_nothing_stays(lab):
    gw, m, _ = begin(lab)
    assert gw.run("nft", "list", "ruleset").stdout != gw.before
    gw.omerta("gateway", "off")
    assert gw.run("nft", "list", "ruleset").stdout == gw.before
    assert settings(gw) == gw.settings
    assert fetch(m, WEB4, seconds=2) is None
    gw.omerta("gateway", "on")
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    # What was said last goes before --gateway.
    gw.omerta("gateway", "off")
    gw.stop()
    gw.start("--gateway", "--vpn")
    assert exit_of(gw)["state"] == "off"
    gw.omerta("gateway", "on")
    assert gw.stop() == 0
    assert gw.run("nft", "list", "ruleset").stdout == gw.before
    assert settings(gw) == gw.settings


def test_killed(lab):
    gw, m, _ = begin(lab)
    gw.stop(signal.SIGKILL)
    wait_for("the table to go", lambda: gw.run("nft", "list", "ruleset").stdout == gw.before)
    assert settings(gw) != gw.settings
    gw.run(OMERTAD, "tidy", "--state-dir", gw.state)
    assert settings(gw) == gw.settings
    gw.start("--gateway", "--vpn")
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    gw.stop(signal.SIGKILL)
    gw.start("--vpn")
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    gw.omerta("gateway", "off")
    assert settings(gw) == gw.settings


def test_flushed(lab):
    """Others flush all rules, and make some; ours stay."""
    gw, m, _ = begin(lab)
    gw.run("nft", "flush", "ruleset")
    assert fetch(m, WEB4) == GW4
    assert gw.run("nft", "delete", "table", "inet", "omerta-omerta0", check=False).returncode != 0
    assert fetch(m, WEB6) == GW6


def test_uplink_goes(lab):
    gw, m, _ = begin(lab)
    gw.run("ip", "link", "set", "eth1", "down")
    wait_for("the exit to notice", lambda: exit_of(gw)["state"] == "waiting")
    assert "default route" in exit_of(gw)["reason"]
    assert settings(gw) == gw.settings
    gw.run("ip", "link", "set", "eth1", "up")
    gw.run("ip", "addr", "replace", f"{GW6}/64", "dev", "eth1", "nodad")
    gw.run("ip", "route", "add", "default", "via", "198.51.100.254", "dev", "eth1")
    wait_for("the exit", lambda: is_up(gw))
    assert exit_of(gw)["families"] == ["ipv4"]
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    gw.run("ip", "route", "add", "default", "via", "2a00:1::254", "dev", "eth1")
    wait_for("IPv6", lambda: exit_of(gw)["families"] == ["ipv4", "ipv6"])
    wait_for("the way out", lambda: fetch(m, WEB6) == GW6)


def test_lan_is_not_reached(lab):
    gw, m, net = begin(lab)
    lan(lab, gw)
    # Its addresses, and that of the LAN by which it is connected, are known when the exit has heard.
    assert fetch(gw, LAN4) and fetch(gw, LAN6)
    wait_for("the LAN to be known",
             lambda: "2a00:3::/64" in gw.run("nft", "list", "table", "inet", "omerta-omerta0").stdout)
    # Were there nothing but routing, these would be answered.
    targets = [LAN4, LAN6, "192.168.7.1", "2a00:3::1", GW4, GW6, "198.51.100.254", "2a00:1::254",
               "169.254.169.254", "fd00:ec2::254", *disguises(LAN4).values()]
    for target in targets:
        family = "-6" if ":" in target else "-4"
        m.run("ip", family, "route", "replace", target, "dev", "omerta0", check=False)
        assert fetch(m, target, seconds=2) is None, target
        assert not m.ping(target, check=False), target
    # With an answer.
    for target in (LAN4, LAN6, "192.168.7.1", GW4, GW6, "10.99.0.1"):
        assert refused(m, target), target
    # The gateway's own address in the network is a member's as ever.
    m.ping("10.0.0.1")
    assert fetch(m, WEB4) == GW4


def test_denied(lab):
    """What an administrator says counts at once, and after a restart."""
    gw, m, _ = begin(lab)
    name = exit_of(gw)["members"][0]["host_name"]
    gw.omerta("gateway", "deny", name)
    assert refused(m, WEB4) and refused(m, WEB6)
    assert not exit_of(gw)["members"][0]["allowed"] and exit_of(gw)["refused"] > 0
    gw.omerta("gateway", "deny", "*")
    gw.omerta("gateway", "allow", name)
    assert fetch(m, WEB4) == GW4 and fetch(m, WEB6) == GW6
    gw.stop()
    gw.start("--vpn")
    wait_for("the way out", lambda: fetch(m, WEB4) == GW4)
    gw.omerta("gateway", "deny", name)
    assert refused(m, WEB4)
    assert gw.omerta("gateway", "allow", "nobody-of-that-name", check=False).returncode == 4
    assert gw.omerta("gateway", "allow", "owner:", check=False).returncode != 0


def test_granted(lab):
    gw, m, _ = begin(lab)
    lan(lab, gw)
    name = exit_of(gw)["members"][0]["host_name"]
    for target in (LAN4, LAN6):
        assert fetch(m, target, seconds=2) is None
    gw.omerta("gateway", "allow", name, "192.168.7.0/24")
    assert fetch(m, LAN4) == "192.168.7.1" and fetch(m, LAN6, seconds=2) is None
    gw.omerta("gateway", "allow", "*", "2a00:3::/64")
    assert fetch(m, LAN6) == "2a00:3::1"
    # What lies in it, in the other order, and for all.
    gw.omerta("gateway", "allow", name, "192.168.7.2/32")
    gw.omerta("gateway", "allow", "*", "192.168.0.0/16")
    assert fetch(m, LAN4) == "192.168.7.1"
    for prefix in ("192.168.7.0/24", "192.168.7.2/32"):
        gw.omerta("gateway", "deny", name, prefix)
    assert fetch(m, LAN4) == "192.168.7.1"
    gw.omerta("gateway", "deny", "*", "192.168.0.0/16")
    assert refused(m, LAN4)
    # Who may not use the exit may reach what is granted to it by name.
    gw.omerta("gateway", "deny", name)
    gw.omerta("gateway", "allow", name, f"{LAN4}/32")
    assert fetch(m, LAN4) == "192.168.7.1" and refused(m, WEB4) and refused(m, LAN6)
    for wrong in ("192.168.7.1/24", "192.168.7", "::/200"):
        assert gw.omerta("gateway", "allow", "*", wrong, check=False).returncode != 0


def test_flows(lab):
    gw, m, _ = begin(lab)
    assert fetch(m, WEB4, "100000") and fetch(m, WEB6, "100000")
    flows = gw.json("gateway", "flows")
    places = {(f["machine"], f["protocol"], f["destination"], f["destination_port"])
              for f in flows["flows"]}
    name = exit_of(gw)["members"][0]["host_name"]
    assert {(name, "tcp", WEB4, 80), (name, "tcp", WEB6, 80)} <= places, places
    assert flows["total"] >= len(flows["flows"]) and all(f["answered"] for f in flows["flows"])
    assert WEB4 in gw.omerta("gateway", "flows")


FIREWALLS = {
    "inet mine": ("""table inet mine {
    chain forward { type filter hook forward priority 0; policy drop; ct state established accept; }
}""", "nft insert rule inet mine forward"),
    "ip filter": ("""table ip filter {
    chain DOCKER-USER { }
    chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
}""", "iptables -I DOCKER-USER"),
}


def test_firewalls(lab):
    """Another table drops: the doctor names it, and what it says mends it."""
    gw, m, _ = begin(lab)

    def found():
        r = gw.omerta("doctor", "--json", check=False)
        return [c for c in json.loads(r.stdout)["checks"] if c["check"] == "exit"]

    assert [c["verdict"] for c in found()] == ["fine", "fine"]
    for name, (rules, fix) in FIREWALLS.items():
        (gw.dir / "rules").write_text(rules)
        gw.run("nft", "-f", gw.dir / "rules")
        assert fetch(m, WEB4, seconds=2) is None
        bad = [c for c in found() if c["verdict"] == "warning"]
        assert len(bad) == 1 and fix in bad[0]["fix"], found()
        if "iptables" in fix:
            for way in ("iifname", "oifname"):
                gw.run("nft", "add", "rule", "ip", "filter", "DOCKER-USER", way, "omerta0", "accept")
        else:
            gw.run("sh", "-c", bad[0]["fix"].replace("sudo ", ""))
        assert fetch(m, WEB4) == GW4
        assert [c["verdict"] for c in found()] == ["fine", "fine"]
        gw.run("nft", "delete", "table", *name.split())


TESTS = [test_out, test_by_hand, test_nothing_stays, test_killed, test_flushed, test_uplink_goes,
         test_lan_is_not_reached, test_denied, test_granted, test_flows, test_firewalls]

if __name__ == "__main__":
    main(TESTS, "nft", "curl")
