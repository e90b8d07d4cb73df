# SPDX-License-Identifier: LGPL-2.1-or-later
"""People without privileges on the machines of machines.py, each with a daemon of their own, and
what the machines serve them."""

import functools
import os
import pwd
import shutil
import stat

from machines import BUILD, OMERTA, OMERTAD, Failure, run, wait_for

UID = pwd.getpwnam("nobody").pw_uid  # dbus-daemon wants one that has a name
HELPER = BUILD / "service" / "netif" / "omerta-netns-helper"
UNREACHABLE, NOT_FOUND, TIMEOUT = 3, 4, 6


def tun_node(lab):
    """/dev/net/tun as systemd-udevd makes it; on a machine without udev it may be root's alone."""
    node = lab.dir / "tun"
    if not node.exists():
        os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
        os.chmod(node, 0o666)
    return node


class User:
    """A person on a machine: own session bus, own daemon, no capability."""

    def __init__(self, lab, machine, name):
        self.lab, self.machine, self.uid, self.name = lab, machine, UID, name
        self.ns = machine.ns  # so that the lab shows the log when a test fails
        lab.machines.append(self)
        self.home = lab.dir / self.name
        self.home.mkdir()
        os.chown(self.home, self.uid, self.uid)
        # The build may be where this user cannot look.
        self.bin = lab.dir / "bin"
        if not self.bin.exists():
            self.bin.mkdir()
            for program in (OMERTA, OMERTAD, HELPER):
                shutil.copy(program, self.bin)
        self.log = self.home / "log"
        self.bus_address = f"unix:path={self.home}/bus"
        self.env = dict(machine.env, HOME=str(self.home), DBUS_SESSION_BUS_ADDRESS=self.bus_address,
                        OMERTA_NETNS_HELPER=str(self.bin / HELPER.name),
                        PATH=f"{self.bin}:{os.environ['PATH']}")
        for key in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
            self.env.pop(key, None)
        self.start_bus()
        self.daemon = None

    def start_bus(self):
        self.bus = self.spawn("dbus-daemon", "--session", f"--address={self.bus_address}", "--nofork",
                              "--nopidfile", "--nosyslog")
        wait_for("the session bus", (self.home / "bus").exists)

    def end_bus(self):
        self.bus.kill()
        self.bus.wait()
        (self.home / "bus").unlink()

    def command(self, *args):
        # "ip netns exec" has mounts of its own: everybody may open the tun there, as udev has it.
        return self.machine.command("sh", "-c", 'mount --bind "$0" /dev/net/tun && exec "$@"', tun_node(self.lab),
                                    "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}",
                                    "--clear-groups", "--no-new-privs", "--inh-caps=-all", *args)

    def spawn(self, *args):
        out = open(self.log, "ab")
        return self.lab.spawn(self.command(*args), env=self.env, cwd="/", stdout=out, stderr=out)

    def run(self, *args, check=True, **kwargs):
        return run(*self.command(*args), check=check, env=self.env, cwd="/", **kwargs)

    def start(self, *args, prefix=()):
        self.daemon = self.spawn(*prefix, self.bin / "omertad", "start", "--user", *args)
        wait_for(f"{self.name}'s daemon", self.is_ready)

    def is_ready(self):
        if self.daemon.poll() is not None:
            raise Failure(f"{self.name}: omertad ended with {self.daemon.returncode}:\n"
                          + self.log.read_text(errors="replace")[-4000:])
        return self.busctl("get-property", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                           "org.omerta.Mesh1.Manager", "Mode", check=False).stdout.strip() == 's "user"'

    def busctl(self, *args, check=True):
        return self.run("busctl", f"--address={self.bus_address}", *args, check=check)

    def omerta(self, *args, check=True, **kwargs):
        r = self.run(self.bin / "omerta", *args, check=False, **kwargs)
        if check and r.returncode != 0:
            raise Failure(f"{self.name}: omerta {' '.join(args)}: exit {r.returncode}: {r.stderr}")
        return r.stdout.strip() if check else r

    def property(self, name):
        return self.busctl("get-property", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                           "org.omerta.Mesh1.Manager", name).stdout.split('"')[1]

    def join(self, gw, *invite):
        self.omerta("network", "join", gw.omerta("network", "invite", *invite))


ECHO_SERVER = """
import socket, sys, threading
def answer(c):
    data = b""
    while part := c.recv(65536):
        data += part
    c.sendall(b"%d " % len(data) + data[:20])
    c.close()
s = socket.create_server(("", int(sys.argv[1])), backlog=20)
while True:
    threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
"""


def serve(m, port):
    """Answers with the number of bytes after the client's half close."""
    m.lab.spawn(m.command("/usr/bin/python3", "-c", ECHO_SERVER, str(port)), env=m.env)
    wait_for("the server", lambda: f":{port} " in m.run("ss", "-Hltn").stdout)


def serve_page(m):
    """http://m:8080/page"""
    www = m.lab.dir / "www"
    if www.exists():
        return
    www.mkdir()
    (www / "page").write_text("z" * 1_000_000)
    m.lab.spawn(m.command("/usr/bin/python3", "-m", "http.server", "8080", "-d", www), env=m.env)
    wait_for("the web server", lambda: ":8080 " in m.run("ss", "-Hltn").stdout)


BODY_SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        n = len(self.rfile.read(int(self.headers["Content-Length"])))
        fields = [self.headers[name] for name in ("Host", "Connection", "Proxy-Connection")]
        text = "\\n".join(map(str, [self.requestline, *fields, n])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.ThreadingHTTPServer(("", 8090), Handler).serve_forever()
"""


def serve_bodies(m):
    """http://m:8090/ answers a POST with what it was asked, and how long the body was."""
    m.lab.spawn(m.command("/usr/bin/python3", "-c", BODY_SERVER), env=m.env)
    wait_for("the web server", lambda: ":8090 " in m.run("ss", "-Hltn").stdout)


def join_engine(lab, gw, host, engine, **kwargs):
    """A user on @host whose daemon has that engine; None where there is none, and it says why."""
    u = User(lab, host, engine)
    u.start("--netstack", engine, "--socks-proxy", "1080", **kwargs)
    r = u.omerta("network", "join", gw.omerta("network", "invite", "--name", engine), check=False)
    if r.returncode != 0 and ("user namespaces" in r.stderr or "no lwIP" in r.stderr):
        print(f"# {engine}: {r.stderr.splitlines()[0]}")
        return None
    assert r.returncode == 0, r
    assert u.property("Netstack") == engine, u.property("NetstackReason")
    return u


def both_engines(test):
    @functools.wraps(test)
    def wrapper(lab):
        for engine in ("kernel", "lwip"):
            gw = lab.machines[0] if lab.machines else lab.gateway()
            host = next((m for m in lab.machines if m.name == "m1"), None) or lab.machine("m1")
            u = join_engine(lab, gw, host, engine)
            if not u:
                continue
            test(lab, gw, u)
            u.daemon.terminate()
            assert u.daemon.wait(timeout=20) == 0, "omertad did not end well"
    return wrapper
