# SPDX-License-Identifier: LGPL-2.1-or-later
"""Homes behind routers that translate, for the machines of machines.py: each router a network
namespace with a bridge inside, where all of them use the same addresses.

    hub, 192.0.2.0/24 ==+=============+=============+==
                        |             |             |
                       gw .1      router .101   router .102
                                      |             |
                                  ====+====     ====+====   192.168.1.0/24
                                    m1 .11        m2 .11
"""

import json

from machines import run

RULES = """
table ip nat
delete table ip nat
table ip nat {
    chain input {
        type filter hook input priority filter; policy accept;
        iifname "wan" ct state new drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        %(blocked)s
        iifname "br0" oifname "wan" accept
        ct state established,related accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade %(ports)s
    }
}
"""


class Router:
    """@kind: "easy": one mapping for all destinations, a filter for each; "random": a mapping for
    each destination, anywhere."""

    def __init__(self, lab, name, number, kind="easy"):
        self.lab, self.name = lab, name
        self.ns = f"{lab.prefix}-{name}"
        self.address = f"192.0.2.{number}"
        self.blocked = []
        run("ip", "netns", "add", self.ns)
        run("ip", "link", "add", "wan", "netns", self.ns, "type", "veth",
            "peer", "name", name, "netns", lab.hub)
        lab.hub_run("ip", "link", "set", name, "master", "br0", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.run("ip", "address", "add", "192.168.1.1/24", "dev", "br0")
        self.run("ip", "link", "set", "br0", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "wan")
        self.run("ip", "link", "set", "wan", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # What stays inside passes a switch and no rules; there are kernels without the setting.
        run("ip", "netns", "exec", self.ns, "sysctl", "-qw",
            "net.bridge.bridge-nf-call-iptables=0", check=False)
        self.set_kind(kind)

    def run(self, *args, **kwargs):
        return run("ip", "netns", "exec", self.ns, *map(str, args), **kwargs)

    def write(self):
        drops = "\n".join(f"ip saddr {a} meta l4proto udp drop\nip daddr {a} meta l4proto udp drop"
                          for a in self.blocked)
        self.run("nft", "-f", "-", input=RULES % {
            "blocked": drops, "ports": "fully-random" if self.kind == "random" else ""})

    def set_kind(self, kind):
        self.kind = kind
        self.write()

    def block_udp(self, *addresses):
        """Between the inside and these; none: to everybody again."""
        self.blocked = list(addresses)
        self.write()

    def restart(self, number=None):
        """The kernel forgets the translations of an interface that goes down. @number: of its
        other address then."""
        self.run("ip", "link", "set", "wan", "down")
        if number:
            self.run("ip", "address", "flush", "dev", "wan")
            self.address = f"192.0.2.{number}"
            self.run("ip", "address", "add", f"{self.address}/24", "dev", "wan")
        self.run("ip", "link", "set", "wan", "up")

    def lose_trains(self, lose=True):
        """What comes as a train of datagrams, which veth hands on in one piece, is lost; single
        ones pass."""
        self.run("nft", "-f", "-", input="""
            table inet trains
            delete table inet trains
            table inet trains {
                chain forward {
                    type filter hook forward priority -10;
                    %s
                }
            }
            """ % ("meta l4proto udp meta length > 2000 counter drop" if lose else ""))

    def lost_trains(self):
        rules = json.loads(self.run("nft", "-j", "list", "table", "inet", "trains").stdout)
        return sum(e["counter"]["packets"] for r in rules["nftables"] if "rule" in r
                   for e in r["rule"]["expr"] if "counter" in e)

    def set_mtu(self, mtu):
        """Of both its sides: what is longer is lost, and it says nothing of it."""
        self.run("nft", "-f", "-", input="""
            table inet silent
            delete table inet silent
            table inet silent {
                chain output {
                    type filter hook output priority 0;
                    icmp type destination-unreachable drop
                    icmpv6 type packet-too-big drop
                }
            }
            """)
        for device in ("wan", "br0"):
            self.run("ip", "link", "set", device, "mtu", str(mtu))

    def take(self, machine, number):
        """Puts it inside, before its daemon starts."""
        self.lab.hub_run("ip", "link", "set", machine.name, "netns", self.ns)
        self.run("ip", "link", "set", machine.name, "master", "br0", "up")
        machine.address = f"192.168.1.{number}"
        machine.run("ip", "address", "flush", "dev", "eth0")
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.run("ip", "route", "add", "default", "via", "192.168.1.1")
