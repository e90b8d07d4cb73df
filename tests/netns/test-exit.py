#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A member's internet traffic through another one, with real kernels.

    m1 192.0.2.2, 2001:db8:2::2          gw 192.0.2.1, x1 192.0.2.3 ...    router 192.0.2.254
        |                                    |                                 |
    ====+====================================+=================================+====  LAN
                                                                               |
                        web 203.0.113.10, 2001:db8:113::10 (answers with the address it sees)

Every machine has a default route by the router; so what the web sees says which way was taken. The
exits masquerade by rules of the test's own.
"""

import json
import signal

from machines import BUILD, main, wait_for
from users import User

EXIT = BUILD / "tests" / "netns" / "omertad-exit"
WEB4, WEB6 = "203.0.113.10", "2001:db8:113::10"
# Answers each connection with the address it comes from, on both families.
WEB = """
import socket, threading
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 80)); s.listen(64)
while True:
    c, a = s.accept()
    def answer(c=c, a=a):
        try:
            c.recv(4096)
            body = (a[0].removeprefix("::ffff:") + "\\n").encode()
            c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        finally:
            c.close()
    threading.Thread(target=answer, daemon=True).start()
"""
MASQUERADE = """
table inet test {
  chain post {
    type nat hook postrouting priority srcnat;
    iifname "omerta0" oifname "eth0" masquerade
  }
}
"""


def address6(m):
    return f"2001:db8:2::{m.address.split('.')[-1]}"


def world(lab):
    """The router, and the web behind it."""
    r, web = lab.machine("router"), lab.machine("web")
    lab.hub_run("ip", "link", "set", "web", "nomaster")
    for m in (r, web):
        m.run("ip", "addr", "flush", "dev", "eth0")
    r.run("ip", "addr", "add", "192.0.2.254/24", "dev", "eth0")
    r.run("ip", "-6", "addr", "add", "2001:db8:2::fe/64", "dev", "eth0", "nodad")
    r.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", web.ns)
    for m, a4, a6 in ((r, "203.0.113.1", "2001:db8:113::1"), (web, WEB4, WEB6)):
        m.run("ip", "addr", "add", f"{a4}/24", "dev", "eth1")
        m.run("ip", "-6", "addr", "add", f"{a6}/64", "dev", "eth1", "nodad")
        m.run("ip", "link", "set", "eth1", "up")
    r.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    web.run("ip", "route", "add", "default", "via", "203.0.113.1")
    web.run("ip", "-6", "route", "add", "default", "via", "2001:db8:113::1")
    lab.spawn(web.command("/usr/bin/python3", "-c", WEB))
    wait_for("the web", lambda: ask(r, WEB4) == "203.0.113.1")
    return r


def uplink(m):
    m.run("ip", "-6", "addr", "add", f"{address6(m)}/64", "dev", "eth0", "nodad")
    m.run("ip", "route", "add", "default", "via", "192.0.2.254")
    m.run("ip", "-6", "route", "add", "default", "via", "2001:db8:2::fe")


def ask(m, address, *options, seconds=5):
    """What the web says whence it was asked; "": nothing."""
    host = f"[{address}]" if ":" in address else address
    r = m.run("curl", "-s", "-m", seconds, *options, f"http://{host}/", check=False)
    return r.stdout.strip()


def make_exit(m, families="46"):
    m.env["OMERTA_TEST_EXIT"] = families
    m.program = EXIT
    m.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    m.run("nft", "-f", "-", input=MASQUERADE)


def join(gw, m):
    m.start("--vpn")
    m.omerta("network", "join", gw.omerta("network", "invite"), "--host-name", m.name)


def found(gw, m):
    if not gw.daemon:
        gw.start("--vpn")
    gw.omerta("network", "create", "home", "--subnet", "10.0.0.0/16", "--host-name", "gw")
    join(gw, m)
    wait_for("the exit to be known", lambda: exits(m))


def begin(lab, families="46"):
    """The network: a gateway that is an exit, and a member."""
    world(lab)
    gw, m = lab.machine("gw"), lab.machine("m1")
    for x in (gw, m):
        uplink(x)
    make_exit(gw, families)
    found(gw, m)
    return gw, m


def more_exit(lab, gw, name):
    x = lab.machine(name)
    uplink(x)
    make_exit(x)
    join(gw, x)
    gw.omerta("gateway", "appoint", name)
    return x


def exits(m):
    return [e["host_name"] for e in m.json("gateway", "exits")["exits"]]


def use(m):
    return m.json("gateway", "exits")["uses"][0]


def routing(m):
    """Rules and routes of both families; those the kernel makes and forgets by itself left out."""
    rules = [json.loads(m.run("ip", "-j", f, "rule").stdout) for f in ("-4", "-6")]
    routes = [[r for r in json.loads(m.run("ip", "-j", f, "route", "show", "table", "all").stdout)
               if not r["dst"].startswith(("fe80", "ff00"))] for f in ("-4", "-6")]
    for r in routes[1]:
        r.pop("expires", None)
    return rules, routes


def test_out_and_back(lab):
    gw, m = begin(lab)
    before = routing(m)
    assert ask(m, WEB4) == m.address and ask(m, WEB6) == address6(m)
    m.omerta("gateway", "use", "gw")
    assert ask(m, WEB4) == gw.address, ask(m, WEB4)
    assert ask(m, WEB6) == address6(gw), ask(m, WEB6)
    u = use(m)
    assert (u["state"], u["host_name"], u["lan"]) == ("up", "gw", True), u
    # The LAN is reached as before, and so is the network.
    assert m.ping("192.0.2.254") and m.ping("10.0.0.1")
    # Nothing of the main table is touched.
    assert [r for r in routing(m)[1][0] if "table" not in r] == \
        [r for r in before[1][0] if "table" not in r]
    m.omerta("gateway", "use", "none")
    assert routing(m) == before, f"{routing(m)}\n{before}"
    assert ask(m, WEB4) == m.address and ask(m, WEB6) == address6(m)


def rx_of(m, interface):
    s = json.loads(m.run("ip", "-j", "-s", "link", "show", interface).stdout)[0]["stats64"]
    return s["rx"]["packets"] + s["tx"]["packets"]


def far_gateway(lab):
    """A gateway behind the router, and a member; neither is on the other's link."""
    world(lab)
    gw, m = lab.machine("gw"), lab.machine("m1")
    uplink(m)
    lab.hub_run("ip", "link", "set", "gw", "nomaster")
    gw.run("ip", "addr", "flush", "dev", "eth0")
    gw.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2",
           "netns", lab.machines[0].ns)
    lab.machines[0].run("ip", "addr", "add", "198.51.100.1/24", "dev", "eth2")
    lab.machines[0].run("ip", "link", "set", "eth2", "up")
    gw.run("ip", "addr", "add", "198.51.100.2/24", "dev", "eth1")
    gw.run("ip", "link", "set", "eth1", "up")
    gw.run("ip", "route", "add", "default", "via", "198.51.100.1")
    make_exit(gw, "4")
    gw.run("nft", "add", "rule", "inet", "test", "post", "oifname", "eth1", "masquerade")
    return gw, m


def test_own_datagrams_do_not_loop(lab):
    """Also with strict reverse path filters, and when the peer is not in the LAN."""
    gw, m = far_gateway(lab)
    for key in ("all", "eth0"):
        m.run("sysctl", "-qw", f"net.ipv4.conf.{key}.rp_filter=1")
    found(gw, m)
    m.omerta("gateway", "use", "gw")
    assert ask(m, WEB4) == "198.51.100.2", ask(m, WEB4)
    # New links too are made by the uplink: a restart of the daemon has none.
    m.stop()
    assert ask(m, WEB4) == m.address
    m.start("--vpn")
    wait_for("the exit again", lambda: ask(m, WEB4, seconds=2) == "198.51.100.2")
    assert m.ping("10.0.0.1", count=3)
    before = rx_of(m, "omerta0")
    m.ping("10.0.0.1", count=5)
    # Five requests, five answers, and few others: a loop would be thousands.
    assert rx_of(m, "omerta0") - before < 100, rx_of(m, "omerta0") - before


def test_own_connections_do_not_loop(lab):
    """UDP is blocked, so what carries the others goes by TCP; the exit listens, and calls back by it."""
    gw, m = far_gateway(lab)
    gw.start("--vpn")
    gw.omerta("set", "tcp-port", "443")
    found(gw, m)
    lab.machines[0].run("nft", "-f", "-", input="""
table ip blocked {
  chain forward { type filter hook forward priority filter; meta l4proto udp drop; }
}
""")
    def kind():
        m.run("ping", "-n", "-c", "1", "-W", "1", "10.0.0.1", check=False)
        return m.json("path", "10.0.0.1")["path"]

    wait_for("TCP to the gateway", lambda: kind() == "tcp", 60)
    m.omerta("gateway", "use", "gw")
    wait_for("the exit", lambda: ask(m, WEB4, seconds=2) == "198.51.100.2")
    # Connections are made by the uplink, too.
    m.stop()
    m.start("--vpn")
    wait_for("the exit again", lambda: ask(m, WEB4, seconds=2) == "198.51.100.2", 60)
    assert kind() == "tcp"


def test_no_ipv6_leaks(lab):
    gw, m = begin(lab, families="4")
    assert ask(m, WEB6) == address6(m)
    m.omerta("gateway", "use", "auto")
    assert ask(m, WEB4) == gw.address
    r = m.run("curl", "-s", "-m", "5", f"http://[{WEB6}]/", check=False)
    # Refused at once, not lost: 7 is "could not connect", 28 would be the time-out.
    assert r.returncode == 7 and r.stdout == "", (r.returncode, r.stdout)
    assert m.ping("2001:db8:2::fe"), "the LAN by IPv6"
    m.omerta("gateway", "use", "none")
    assert ask(m, WEB6) == address6(m)


def test_without_the_lan(lab):
    gw, m = begin(lab)
    m.omerta("gateway", "use", "auto", "--no-lan")
    assert not use(m)["lan"]
    assert ask(m, WEB4) == gw.address
    assert m.ping("10.0.0.1"), "the network"
    # What is on the link is asked through the exit, which here happens to reach it.
    out = m.run("ip", "route", "get", "192.0.2.254").stdout
    assert "omerta0" in out, out
    m.omerta("gateway", "use", "auto")
    out = m.run("ip", "route", "get", "192.0.2.254").stdout
    assert "eth0" in out, out


def test_killed(lab):
    gw, m = begin(lab)
    m.omerta("gateway", "use", "gw")
    assert ask(m, WEB4) == gw.address
    m.stop(signal.SIGKILL)
    # The interface went with the process; what is left of the rules leads nowhere.
    wait_for("the uplink", lambda: ask(m, WEB4, seconds=2) == m.address)
    assert ask(m, WEB6) == address6(m)
    left = m.run("ip", "route", "show", "table", "18002", check=False).stdout
    assert left.strip() == "", left
    # The next life takes it up again.
    m.start("--vpn")
    wait_for("the exit again", lambda: ask(m, WEB4, seconds=2) == gw.address)
    # And one that is to use none tidies up.
    m.stop(signal.SIGKILL)
    m.start()
    rules = m.run("ip", "rule").stdout
    assert "18002" not in rules, rules


def test_somebody_takes_the_rules_away(lab):
    gw, m = begin(lab)
    m.omerta("gateway", "use", "gw")
    rules = m.run("ip", "rule").stdout
    m.run("ip", "rule", "del", "pref", "18002")
    wait_for("the rule", lambda: m.run("ip", "rule").stdout == rules)
    m.run("ip", "-6", "route", "flush", "table", "18002")
    wait_for("the route", lambda: "omerta0" in
             m.run("ip", "-6", "route", "show", "table", "18002", check=False).stdout)
    assert ask(m, WEB4) == gw.address and ask(m, WEB6) == address6(gw)


def test_other_takes_over(lab):
    gw, m = begin(lab)
    x1 = more_exit(lab, gw, "x1")
    wait_for("both exits", lambda: len(exits(m)) == 2)
    m.omerta("gateway", "use", "x1,gw")
    assert ask(m, WEB4) == x1.address
    x1.stop(signal.SIGKILL)
    # Under traffic; the bound is that of the sim test, this is a busy machine.
    wait_for("the gateway", lambda: ask(m, WEB4, seconds=1) == gw.address)
    u = use(m)
    assert (u["state"], u["host_name"]) == ("up", "gw"), u
    assert "the exit is gw" in m.log.read_text(), m.log.read_text()
    # Back to none, then there is none: nothing goes out by the machine's own way.
    m.omerta("gateway", "use", "x1", check=False)
    r = m.omerta("gateway", "use", "x1", check=False)
    assert r.returncode == 3 and "no way out" in r.stderr, (r.returncode, r.stderr)
    assert ask(m, WEB4, seconds=2) == ""
    u = use(m)
    assert u["state"] == "unavailable" and "x1" in u["state_reason"], u
    m.omerta("gateway", "use", "none")
    assert ask(m, WEB4) == m.address


def test_exit_that_was_dismissed(lab):
    gw, m = begin(lab)
    x1 = more_exit(lab, gw, "x1")
    wait_for("both exits", lambda: len(exits(m)) == 2)
    m.omerta("gateway", "use", "x1")
    assert ask(m, WEB4) == x1.address
    gw.omerta("gateway", "dismiss", "x1")
    wait_for("it to be none", lambda: use(m)["state"] == "unavailable")
    r = m.run("curl", "-s", "-m", "5", f"http://{WEB4}/", check=False)
    assert r.returncode == 7 and r.stdout == "", (r.returncode, r.stdout)
    # Who never was one is refused, and so are nonsense and oneself.
    for bad in ("nobody", "m1", "x1,x1,x1,x1,x1", ""):
        assert m.omerta("gateway", "use", bad, check=False).returncode != 0, bad
    assert use(m)["wanted"] != "none"


def test_stop_leaves_nothing(lab):
    gw, m = begin(lab)
    m.stop()
    before = routing(m)
    m.start("--vpn")
    m.omerta("gateway", "use", "auto")
    assert ask(m, WEB4) == gw.address
    m.stop()
    wait_for("it to be as before", lambda: routing(m) == before)
    assert ask(m, WEB4) == m.address
    # It was remembered; a network that is down has no exit.
    m.start("--vpn")
    wait_for("the exit again", lambda: ask(m, WEB4, seconds=2) == gw.address)
    m.omerta("down")
    assert ask(m, WEB4) == m.address
    assert use(m)["state"] == "unavailable"
    m.omerta("up", "--gateway", "gw")
    assert ask(m, WEB4) == gw.address
    m.omerta("network", "leave")
    wait_for("it to be as before", lambda: routing(m) == before)


def test_route_made_by_hand(lab):
    """As anybody would do it who has heard of no command for it; the gateway is on the link."""
    gw, m = begin(lab)
    m.run("ip", "route", "del", "default")
    assert ask(m, WEB4, seconds=1) == ""
    m.run("ip", "route", "add", "default", "via", "10.0.0.1", "dev", "omerta0")
    wait_for("the gateway", lambda: ask(m, WEB4, seconds=2) == gw.address)
    u = use(m)
    assert (u["wanted"], u["state"], u["host_name"]) == ("none", "up", "gw"), u
    # The rest of the machine's routing is nobody's business; what is asked for goes before.
    assert "182" not in m.run("ip", "rule").stdout
    m.omerta("gateway", "use", "gw")
    assert ask(m, WEB4) == gw.address and ask(m, WEB6) == address6(gw)
    m.omerta("gateway", "use", "none")
    wait_for("the route to count again", lambda: ask(m, WEB4, seconds=2) == gw.address)
    m.run("ip", "route", "del", "default")
    wait_for("it to be off", lambda: use(m)["state"] == "off")


def test_users_daemon(lab):
    """Without any privilege: programs in its namespace, and its proxy; nothing of the machine's."""
    gw, m = begin(lab)
    u = User(lab, m, "u")
    u.start("--netstack", "kernel", "--socks-proxy", "1080")
    r = u.omerta("network", "join", gw.omerta("network", "invite"), "--host-name", "u", check=False)
    if r.returncode != 0 and "user namespaces" in r.stderr:
        print(f"# skipped: {r.stderr.splitlines()[0]}")
        return
    assert r.returncode == 0, r
    wait_for("the exit to be known", lambda: json.loads(
        u.omerta("gateway", "exits", "--json"))["exits"])
    before = routing(m)

    def inside(address):
        host = f"[{address}]" if ":" in address else address
        return u.omerta("exec", "curl", "-s", "-m", "5", f"http://{host}/", check=False)

    def by_proxy(address):
        return u.run("curl", "-s", "-m", "5", "-x", "socks5://127.0.0.1:1080",
                     f"http://[{address}]/" if ":" in address else f"http://{address}/", check=False)

    for way in (inside, by_proxy):
        for address in (WEB4, WEB6):
            r = way(address)
            assert r.returncode != 0 and r.returncode != 28 and not r.stdout, (address, r)
    u.omerta("gateway", "use", "gw")
    for way in (inside, by_proxy):
        r = way(WEB4)
        assert r.stdout.strip() == gw.address, r
        r = way(WEB6)
        assert r.stdout.strip() == address6(gw), r
    assert routing(m) == before and ask(m, WEB4) == m.address
    u.omerta("gateway", "use", "none")
    for way in (inside, by_proxy):
        r = way(WEB4)
        assert r.returncode not in (0, 28) and not r.stdout, r


if __name__ == "__main__":
    main([test_out_and_back, test_own_datagrams_do_not_loop, test_own_connections_do_not_loop,
          test_no_ipv6_leaks,
          test_without_the_lan, test_killed, test_somebody_takes_the_rules_away,
          test_other_takes_over, test_exit_that_was_dismissed, test_stop_leaves_nothing, test_route_made_by_hand,
          test_users_daemon],
         "nft", "curl")
