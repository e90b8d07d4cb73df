#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""UDP ASSOCIATE through whole daemons: DNS from a tun member, several networks at once."""

from load import Watched, ask, start
from machines import main, wait_for
from users import User, both_engines, join_engine

DNS = 5353


def serve_dns(m, answer):
    """Its process: what it says is what it should not have heard."""
    server = start(m, "dns.py", "serve", str(DNS), answer)
    wait_for("the DNS server", lambda: f":{DNS} " in m.run("ss", "-Hlun").stdout)
    return server


def self_of(m):
    return next(x for x in m.json("network", "peers")["machines"] if x["is_self"])


@both_engines
def test_dns(lab, gw, u):
    if u.name == "kernel":
        lab.server = serve_dns(gw, "198.51.100.7")
    me = self_of(gw)
    watched = Watched(u)
    ula = me["address6"]
    told = ask(u, "dns.py", "ask", *[word for server in ("10.0.0.1", ula, me["host_name"], me["host_name"] + ".omerta")
                                     for word in (server, str(DNS), f"host.{u.name}.example")])
    assert told == [["10.0.0.1", DNS, "198.51.100.7"], [ula, DNS, "198.51.100.7"],
                    ["10.0.0.1", DNS, "198.51.100.7"], ["10.0.0.1", DNS, "198.51.100.7"]], told
    watched.wait_back("an association")
    # Nothing of this arrives, and it does no harm.
    told = ask(u, "dns.py", "hostile", "10.0.0.1", str(DNS))
    assert told == [["10.0.0.1", DNS, "198.51.100.7"]] * 2, told
    # The association is as long as its connection.
    kept = [start(u, "dns.py", "keep") for _ in range(20)]
    for k in kept:
        assert k.stdout.readline() == "up\n"
    assert watched.count()[0] >= watched.before[0] + 3 * len(kept)
    for k in kept:
        k.kill()
    watched.wait_back("twenty associations")
    if u.name == "lwip":
        lab.server.terminate()
        assert lab.server.stdout.read() == "", "the server heard something it should not have"


def two_networks(lab):
    gw = lab.gateway()
    other = lab.machine("other")
    other.start("--gateway", "--vpn", "--network", "other", "--subnet", "10.9.0.0/16")
    wait_for("the other's address", lambda: other.omerta("network", "address", check=False).stdout)
    return gw, other


def test_two_networks(lab):
    gw, other = two_networks(lab)
    serve_dns(gw, "198.51.100.1")
    serve_dns(other, "198.51.100.2")
    u = User(lab, lab.machine("m1"), "u")
    u.start("--socks-proxy", "1080")
    u.join(gw)
    if u.property("Netstack") != "kernel":
        print(f"# one network only: {u.property('NetstackReason')}")
        return
    u.join(other)
    watched = Watched(u)
    # The same association: each datagram goes where its address is, in either order.
    wanted = [["10.9.0.1", DNS, "198.51.100.2"], ["10.0.0.1", DNS, "198.51.100.1"]]
    for order in (1, -1):
        questions = [(answer[0], str(DNS), "a.example") for answer in wanted[::order]]
        told = ask(u, "dns.py", "ask", *[word for q in questions for word in q])
        assert told == wanted[::order], told
    watched.wait_back("associations")
    # One network goes; the association stays, for the other and for when it is back.
    u.omerta("down", "--network", "other")
    assert ask(u, "dns.py", "ask", "10.0.0.1", str(DNS), "a.example") == wanted[1:]
    u.omerta("up", "--network", "other")
    assert ask(u, "dns.py", "ask", "10.9.0.1", str(DNS), "a.example") == wanted[:1]


def test_second_network_of_lwip(lab):
    gw, other = two_networks(lab)
    serve_dns(gw, "198.51.100.1")
    u = join_engine(lab, gw, lab.machine("m1"), "lwip")
    if not u:
        return
    invite = other.omerta("network", "invite")
    r = u.omerta("network", "join", invite, check=False)
    assert r.returncode == 1 and "serves one network" in r.stderr and "--netstack" in r.stderr, r
    # The first goes on, the invite is not used up, and with the other engine there are two.
    assert "other" not in u.omerta("network", "list")
    assert ask(u, "dns.py", "ask", "10.0.0.1", str(DNS), "a.example") == [["10.0.0.1", DNS, "198.51.100.1"]]
    u.daemon.terminate()
    assert u.daemon.wait(timeout=20) == 0
    u.start()
    if u.property("Netstack") == "kernel":
        u.omerta("network", "join", invite)
        assert "other" in u.omerta("network", "list")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv", "dbus-daemon")
