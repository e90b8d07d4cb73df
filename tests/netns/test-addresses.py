#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Addresses of the underlay: a gateway with several is answered from where it was asked; one goes.

    gw  192.0.2.1 and 192.0.2.101 on eth0      m1  takes only what answers (nftables)
        fd00:2::1 and fd00:2::101
        198.51.100.1 on eth1, which m1 reaches over eth0
"""

from machines import main, wait_for

FIREWALL = """
table inet only_answers {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname "eth0" ct state established accept
        iifname "eth0" meta l4proto udp drop
    }
    chain output {
        type filter hook output priority 0; policy accept;
        oifname "eth0" udp dport 18002 %s daddr != %s drop
        oifname "eth0" udp dport 18002 meta nfproto %s drop
    }
}
"""


def only_answers(m, address):
    """And nothing leaves to another address of the gateway: they lead nowhere."""
    rules = m.dir / "rules"
    rules.write_text(FIREWALL % (("ip6", address, "ipv4") if ":" in address else
                                 ("ip", address, "ipv6")))
    m.run("nft", "-f", rules)


def pair(lab, address):
    """A gateway that is asked at @address, whose second it is, by a machine with a firewall."""
    gw, m = lab.machine("gw"), lab.machine("m1")
    six = ":" in address
    gw.run("ip", "addr", "add", "fd00:2::1/64", "dev", "eth0", "nodad")
    m.run("ip", "addr", "add", "fd00:2::2/64", "dev", "eth0", "nodad")
    if address.startswith("198."):
        gw.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "other")
        gw.run("ip", "link", "set", "other", "up")
        gw.run("ip", "addr", "add", f"{address}/24", "dev", "eth1")
        gw.run("ip", "link", "set", "eth1", "up")
        m.run("ip", "route", "add", "198.51.100.0/24", "via", gw.address)
    else:
        gw.run("ip", "addr", "add", address + ("/64" if six else "/24"), "dev", "eth0",
               *(["nodad", "preferred_lft", "0"] if six else []))
    gw.start("--gateway", "--vpn")
    wait_for("the gateway's address", lambda: gw.omerta("network", "address", check=False).stdout)
    only_answers(m, address)
    m.start("--vpn")
    at = f"[{address}]:18002" if six else f"{address}:18002"
    m.omerta("network", "join", gw.omerta("network", "invite", "--endpoint", at))
    return gw, m


def inside(gw):
    return gw.json("network", "address")["address"].split("/")[0]


def asked_at(lab, address):
    gw, m = pair(lab, address)
    there = inside(gw)
    m.wait_ping(there)
    gw.ping(inside(m), count=3)
    return gw, m


def test_second_on_the_interface(lab):
    asked_at(lab, "192.0.2.101")


def test_second_interface(lab):
    asked_at(lab, "198.51.100.1")


def test_second_of_ipv6(lab):
    asked_at(lab, "fd00:2::101")


def test_address_goes(lab):
    gw, m = asked_at(lab, "192.0.2.101")
    m.run("nft", "delete", "table", "inet", "only_answers")
    gw.run("ip", "addr", "del", "192.0.2.101/24", "dev", "eth0")
    # The machine follows to where it hears the gateway from; what it answers first may still go
    # to where that was.
    gw.ping(inside(m), check=False)
    r = gw.run("ping", "-n", "-c", 5, "-i", "0.2", "-W", 2, inside(m))
    assert " 0% packet loss" in r.stdout, r.stdout
    m.ping(inside(gw))
    peer = m.json("network", "peers")["machines"][0]
    # There is a way by IPv6 besides, which is as good or better.
    assert peer["endpoint"] in ("192.0.2.1:18002", "[fd00:2::1]:18002"), peer


TESTS = [test_second_on_the_interface, test_second_interface, test_second_of_ipv6,
         test_address_goes]

if __name__ == "__main__":
    main(TESTS, "nft")
