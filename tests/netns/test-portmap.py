#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine behind a router that maps its port: by each protocol, through restarts and lies.

    home 192.168.77.2 -- 192.168.77.1 rt 192.0.2.1 ==== bridge ==== 192.0.2.2 away
"""

import contextlib
import json
import pathlib
import shutil
import signal
import sys

from machines import BUILD, Failure, main, wait_for

ROUTER = pathlib.Path(__file__).resolve().parent / "router.py"
HELPER = BUILD / "service" / "portmap" / "omerta-upnp-helper"
PORT = 18002


class Router:
    def __init__(self, lab):
        self.lab, self.ns = lab, lab.machine("rt")
        self.log, self.process = self.ns.dir / "router.log", None
        self.ns.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def connect(self, m):
        """@m is behind it from now on, and nowhere else."""
        m.run("ip", "link", "del", "eth0")
        self.ns.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0",
                    "netns", m.ns)
        for who, address in ((self.ns, "192.168.77.1/24"), (m, "192.168.77.2/24")):
            who.run("ip", "addr", "add", address, "dev", "lan0")
            who.run("ip", "link", "set", "lan0", "up")
        m.run("ip", "route", "add", "default", "via", "192.168.77.1")
        m.env["OMERTA_UPNP_HELPER"] = str(HELPER)

    def start(self, speaks, external=None, **options):
        with contextlib.suppress(FileNotFoundError):
            self.log.unlink()
        words = [f"--{k}" if v is True else f"--{k}={v}" for k, v in options.items()]
        self.process = self.lab.spawn(
            self.ns.command("/usr/bin/python3", ROUTER, "192.168.77.1", "--speaks", speaks,
                            "--external", external or self.ns.address, "--log", self.log, *words),
            stderr=sys.stderr)
        wait_for("the router", lambda: self.log.exists() and self.said())

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def said(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def asked(self, by):
        return [s for s in self.said() if s.get("by") == by]

    def mapped(self):
        return ([s["mapped"] for s in self.said() if "mapped" in s] or [0])[-1]


def daemon(m):
    return m.json("status")["daemon"]


def wait_mapped(m, endpoint, protocol):
    wait_for(f"{endpoint} by {protocol}",
             lambda: daemon(m)["mapped_endpoint"] == endpoint
             and daemon(m)["mapping_protocol"] == protocol)


def wait_reason(m, text):
    wait_for(text, lambda: text in (daemon(m)["mapping_reason"] or ""))


def behind(lab, speaks, *start, **options):
    rt = Router(lab)
    home = lab.machine("home")
    rt.connect(home)
    if speaks:
        rt.start(speaks, **options)
    home.start(*start)
    return rt, home


def joins_from_outside(lab, home, rt):
    """Somebody joins a network whose gateway is behind the router, by its invite alone."""
    wait_for("an address", lambda: home.omerta("network", "address", check=False).stdout)
    away = lab.machine("away")
    away.start("--vpn")
    away.omerta("network", "join", home.omerta("network", "invite"))
    away.wait_ping(home.json("network", "address")["address"].split("/")[0])


def released(rt, home):
    assert home.stop() == 0
    try:
        wait_for("the mapping to go", lambda: rt.mapped() == 0)
    except Failure as e:
        raise Failure(f"{e}: {rt.said()}") from e


def each(lab, protocol):
    rt, home = behind(lab, protocol, "--gateway", "--vpn")
    at = f"{rt.ns.address}:{PORT}"
    wait_mapped(home, at, protocol)
    d = daemon(home)
    assert d["port_mapping"] and d["mapping_router"] == "192.168.77.1", d
    assert d["mapping_reason"] is None, d
    text = home.omerta("mesh", "status")
    assert f"Port mapping: {at}, router 192.168.77.1 ({protocol})" in text, text
    endpoints = home.busctl("get-property", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                            "org.omerta.Mesh1.Manager", "Endpoints").stdout
    # Public ones first.
    assert endpoints.split()[2] == f'"{at}"', endpoints
    joins_from_outside(lab, home, rt)
    released(rt, home)
    assert rt.asked(protocol), rt.said()


def test_pcp(lab):
    each(lab, "pcp")


def test_nat_pmp(lab):
    each(lab, "nat-pmp")


def has_helper():
    if not HELPER.exists():
        print("# skipped: omertad is built without UPnP (libminiupnpc-dev)", flush=True)
    return HELPER.exists()


def test_upnp(lab):
    if has_helper():
        each(lab, "upnp")


def test_setting(lab):
    rt, home = behind(lab, "pcp,nat-pmp,upnp", "--vpn")
    at = f"{rt.ns.address}:{PORT}"
    wait_mapped(home, at, "pcp")
    changes = lab.spawn(home.command("busctl", f"--address={home.bus_address}", "--json=short",
                                     "monitor", "org.omerta.Mesh1"),
                        stdout=open(home.dir / "signals", "w"))
    wait_for("the monitor", lambda: (home.dir / "signals").stat().st_size >= 0)
    assert home.omerta("get", "port-mapping") == "on"
    home.omerta("set", "port-mapping", "off")
    wait_reason(home, "switched off")
    wait_for("the mapping to go", lambda: rt.mapped() == 0)
    assert home.json("get")["port_mapping"] is False
    # It is remembered.
    assert home.stop() == 0
    home.start("--vpn")
    wait_reason(home, "switched off")
    before = len(rt.said())
    home.omerta("set", "port-mapping", "on")
    wait_mapped(home, at, "pcp")
    assert len(rt.said()) > before
    wait_for("a signal", lambda: "MappedEndpoint" in (home.dir / "signals").read_text())
    changes.terminate()
    r = home.omerta("set", "port-mapping", "maybe", check=False)
    assert r.returncode == 2 and "neither on nor off" in r.stderr, r
    released(rt, home)


def test_killed(lab):
    """A daemon that was killed finds its mapping again: the router knows it by its nonce."""
    rt, home = behind(lab, "pcp", "--vpn")
    at = f"{rt.ns.address}:{PORT}"
    wait_mapped(home, at, "pcp")
    home.stop(signal.SIGKILL)
    assert rt.mapped() == 1
    home.start("--vpn")
    wait_mapped(home, at, "pcp")
    released(rt, home)


def restarts(lab, protocol):
    rt, home = behind(lab, protocol, "--vpn", age=1000)
    wait_mapped(home, f"{rt.ns.address}:{PORT}", protocol)
    rt.stop()
    rt.ns.run("ip", "addr", "add", "192.0.2.77/24", "dev", "eth0")
    rt.start(protocol, external="192.0.2.77", announce=True)
    wait_mapped(home, f"192.0.2.77:{PORT}", protocol)
    assert rt.mapped() == 1
    released(rt, home)


def test_restart_pcp(lab):
    restarts(lab, "pcp")


def test_restart_nat_pmp(lab):
    restarts(lab, "nat-pmp")


def test_nobody(lab):
    """Nothing listens at the router; then something does."""
    rt, home = behind(lab, None, "--vpn")
    wait_reason(home, "router 192.168.77.1 is asked")
    rt.start("nat-pmp")
    wait_mapped(home, f"{rt.ns.address}:{PORT}", "nat-pmp")
    # No way out, and another.
    home.run("ip", "route", "del", "default")
    wait_reason(home, "there is no default route to a router")
    wait_for("the mapping to go", lambda: rt.mapped() == 0)
    home.run("ip", "route", "add", "default", "via", "192.168.77.1")
    wait_mapped(home, f"{rt.ns.address}:{PORT}", "nat-pmp")
    released(rt, home)


def test_liar(lab):
    rt, home = behind(lab, "pcp,nat-pmp,upnp", "--vpn", claims="10.9.8.7")
    text = "router 192.168.77.1 says that it is 10.9.8.7 outside, which is private"
    wait_reason(home, text)
    wait_for("the useless mapping to go", lambda: rt.mapped() == 0)
    d = daemon(home)
    assert d["mapped_endpoint"] is None and d["drops"]["port-mapping"] >= 1, d
    assert not [e for e in home.omerta("status").splitlines() if "10.9.8.7:" in e]
    home.stop()


def test_public(lab):
    """What is on the internet itself asks nobody."""
    rt = Router(lab)
    gw = lab.machine("gw")
    gw.run("ip", "route", "add", "default", "via", rt.ns.address)
    gw.start("--vpn")
    wait_reason(gw, f"{gw.address} is a public address")


def test_strangers(lab):
    """Announcements that do not come from the router's port count for nothing."""
    rt, home = behind(lab, "pcp", "--vpn")
    wait_mapped(home, f"{rt.ns.address}:{PORT}", "pcp")
    before = len(rt.asked("pcp"))
    flood = ("import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
             "s.bind(('192.168.77.1', 0));"
             "s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton('192.168.77.1'));"
             "[s.sendto(struct.pack('>BBBBII12x', 2, 128, 0, 0, 0, 0), ('224.0.0.1', 5350))"
             " for _ in range(100)]")
    rt.ns.run("/usr/bin/python3", "-c", flood)
    wait_for("what is dropped", lambda: daemon(home)["drops"].get("port-mapping", 0) >= 1)
    assert len(rt.asked("pcp")) == before
    home.stop()


MINIUPNPD = """
ext_ifname=eth0
ext_ip=5.5.5.1
listening_ip=lan0
enable_natpmp={pmp}
enable_upnp={upnp}
secure_mode=yes
system_uptime=yes
uuid=00000000-0000-4000-8000-000000000001
lease_file={dir}/leases
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

MINIUPNPD_RULES = """
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump miniupnpd
    }
    chain prerouting {
        type nat hook prerouting priority -100;
        jump prerouting_miniupnpd
    }
    chain postrouting {
        type nat hook postrouting priority 100;
        jump postrouting_miniupnpd
    }
}
"""


def miniupnpd(lab, protocol):
    """A router's own program, with an address of the internet: it offers no other."""
    if not shutil.which("miniupnpd"):
        print("# skipped: needs miniupnpd (miniupnpd-nftables)", flush=True)
        return
    rt = Router(lab)
    home = lab.machine("home")
    rt.connect(home)
    rt.ns.run("ip", "addr", "flush", "dev", "eth0")
    rt.ns.run("ip", "addr", "add", "5.5.5.1/24", "dev", "eth0")
    config = rt.ns.dir / "miniupnpd.conf"
    yes = {True: "yes", False: "no"}
    config.write_text(MINIUPNPD.format(dir=rt.ns.dir, upnp=yes[protocol == "upnp"],
                                       pmp=yes[protocol != "upnp"]))
    (rt.ns.dir / "rules").write_text(MINIUPNPD_RULES)
    rt.ns.run("nft", "-f", rt.ns.dir / "rules")
    log = open(rt.ns.dir / "miniupnpd.log", "w")
    lab.spawn(rt.ns.command("miniupnpd", "-d", "-f", config, "-P", rt.ns.dir / "pid"), stdout=log,
              stderr=log)
    home.start("--vpn")
    try:
        wait_mapped(home, f"5.5.5.1:{PORT}", protocol)
    except Failure as e:
        raise Failure(f"{e}: {daemon(home)}: " + (rt.ns.dir / "miniupnpd.log").read_text()) from e
    assert "18002" in rt.ns.run("nft", "list", "chain", "inet", "filter",
                                "prerouting_miniupnpd").stdout
    assert home.stop() == 0
    wait_for("the mapping to go",
             lambda: "18002" not in rt.ns.run("nft", "list", "chain", "inet", "filter",
                                              "prerouting_miniupnpd").stdout)


def test_miniupnpd_pcp(lab):
    miniupnpd(lab, "pcp")


def test_miniupnpd_upnp(lab):
    if has_helper():
        miniupnpd(lab, "upnp")


if __name__ == "__main__":
    main([test_pcp, test_nat_pmp, test_upnp, test_setting, test_killed, test_restart_pcp,
          test_restart_nat_pmp, test_nobody, test_liar, test_public, test_strangers, test_miniupnpd_pcp,
          test_miniupnpd_upnp], "nft")
