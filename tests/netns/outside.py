# SPDX-License-Identifier: LGPL-2.1-or-later
"""An internet behind the gateway, and a LAN beside it.

    m1 ===== mesh ===== gw ---- eth1  198.51.100.1 --- 198.51.100.254  internet
                         |            2a00:1::1/64     2a00:1::254      203.0.113.9, 2a00:2::9
                         +----- eth2  192.168.7.1 ---- 192.168.7.2     somebody in its LAN
                                      2a00:3::1/64     2a00:3::2

The web servers answer with the address they see.
"""

import ipaddress

from machines import run, wait_for

WEB4, WEB6 = "203.0.113.9", "2a00:2::9"
GW4, GW6 = "198.51.100.1", "2a00:1::1"
LAN4, LAN6 = "192.168.7.2", "2a00:3::2"

SERVER = """
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = int(self.path[1:] or 0)
        seen = self.client_address[0].removeprefix("::ffff:")
        body = (seen + "\\n").encode() if n == 0 else b"x" * n
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128
Server(("::", 80), Handler).serve_forever()
"""


class Host:
    """A namespace without omertad, on a cable to an interface of @machine's."""

    def __init__(self, lab, machine, name, interface, ours, theirs):
        self.ns = f"{lab.prefix}-{name}"
        self.lab = lab
        run("ip", "netns", "add", self.ns)
        run("ip", "link", "add", interface, "netns", machine.ns, "type", "veth", "peer", "name",
            "eth0", "netns", self.ns)
        for address in theirs:
            machine.run("ip", "addr", "add", address, "dev", interface, "nodad")
        machine.run("ip", "link", "set", interface, "up")
        self.run("ip", "link", "set", "lo", "up")
        for address in ours:
            self.run("ip", "addr", "add", address, "dev", "eth0", "nodad")
        self.run("ip", "link", "set", "eth0", "up")

    def run(self, *args, check=True):
        return run("ip", "netns", "exec", self.ns, *map(str, args), check=check)

    def serve(self):
        self.lab.spawn(["ip", "netns", "exec", self.ns, "/usr/bin/python3", "-c", SERVER])
        wait_for("the web server", lambda: ":80 " in self.run("ss", "-Htln").stdout)


def internet(lab, gw):
    """The gateway's way out, and a server there."""
    net = Host(lab, gw, "inet", "eth1", ("198.51.100.254/24", "2a00:1::254/64"),
               (f"{GW4}/24", f"{GW6}/64"))
    net.run("ip", "addr", "add", f"{WEB4}/32", "dev", "lo")
    net.run("ip", "addr", "add", f"{WEB6}/128", "dev", "lo", "nodad")
    net.serve()
    gw.run("ip", "route", "add", "default", "via", "198.51.100.254", "dev", "eth1")
    gw.run("ip", "route", "add", "default", "via", "2a00:1::254", "dev", "eth1")
    return net


def lan(lab, gw):
    """Somebody beside the gateway, who would answer."""
    host = Host(lab, gw, "lan", "eth2", (f"{LAN4}/24", f"{LAN6}/64"),
                ("192.168.7.1/24", "2a00:3::1/64"))
    host.run("ip", "route", "add", "default", "via", "192.168.7.1")
    host.run("ip", "route", "add", "default", "via", "2a00:3::1")
    host.serve()
    return host


def disguises(address):
    """Ways to write an IPv4 address as an IPv6 one."""
    a = int(ipaddress.IPv4Address(address))
    flipped = a ^ 0xFFFFFFFF
    return {
        "mapped": str(ipaddress.IPv6Address((0xFFFF << 32) | a)),
        "compatible": str(ipaddress.IPv6Address(a)),
        "nat64": str(ipaddress.IPv6Address((0x64FF9B << 96) | a)),
        "local nat64": str(ipaddress.IPv6Address((0x64FF9B0001 << 80) | a)),
        "6to4": str(ipaddress.IPv6Address((0x2002 << 112) | (a << 80) | 1)),
        "teredo": str(ipaddress.IPv6Address((0x20010000 << 96) | flipped)),
        "isatap": str(ipaddress.IPv6Address((0xFE80 << 112) | (0x5EFE << 32) | a)),
    }


def fetch(m, address, path="", seconds=5):
    """What the web server said, or None."""
    host = f"[{address}]" if ":" in address else address
    r = m.run("curl", "-sS", "--noproxy", "*", "--max-time", seconds, f"http://{host}/{path}",
              check=False)
    return r.stdout.strip() if r.returncode == 0 else None


def refused(m, address, port=80):
    """Whether an attempt to connect ends by an answer, at once; not by silence."""
    host = f"[{address}]" if ":" in address else address
    r = m.run("curl", "-sS", "--noproxy", "*", "--max-time", 5, f"http://{host}:{port}/", check=False)
    assert r.returncode != 0, (address, r.stdout)
    return r.returncode == 7
