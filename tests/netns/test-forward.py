#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Port forwards of whole daemons: into the network and out of it, with and without an interface,
kept and not kept, and every way in which one cannot be made."""

import json
import signal

from machines import main, wait_for
from users import NOT_FOUND, User, both_engines, serve

USAGE, DENIED = 2, 5
NETWORK = "org.omerta.Mesh1.Network"

CLIENT = """
import socket, sys
family, address = (socket.AF_UNIX, sys.argv[1]) if "/" in sys.argv[1] else (
    socket.AF_INET6 if sys.argv[1].startswith("[") else socket.AF_INET,
    (sys.argv[1].rsplit(":", 1)[0].strip("[]"), int(sys.argv[1].rsplit(":", 1)[1])))
s = socket.socket(family)
s.settimeout(20)
try:
    s.connect(address)
    s.sendall(b"x" * int(sys.argv[2]))
    s.shutdown(socket.SHUT_WR)
    while part := s.recv(65536):
        sys.stdout.write(part.decode())
except OSError as e:
    print(type(e).__name__)
"""


def talk(machine, where, size=100_000):
    """What a server of serve() answers at @where, or the name of what went wrong."""
    return machine.run("/usr/bin/python3", "-c", CLIENT, where, size).stdout.strip()


def answer(size=100_000):
    return f"{size} " + "x" * 20


def forwards(who):
    return json.loads(who.omerta("forwards", "--json"))["forwards"]


def gateway_name(gw):
    return gw.json("network", "peers")["machines"][0]["host_name"]


@both_engines
def test_into_the_network(lab, gw, u):
    if u.property("Netstack") == "kernel":
        serve(gw, 7001)
    name = gateway_name(gw)
    where = u.omerta("forward", "0:10.0.0.1:7001")
    assert where.startswith("127.0.0.1:") and not where.endswith(":0"), where
    assert talk(u, where, 3_000_000) == answer(3_000_000)
    assert u.omerta("forward", f"2222:{name}.omerta:7001") == "127.0.0.1:2222"
    assert u.omerta("forward", f"[::1]:2223:{name}:7001") == "[::1]:2223"
    path = str(u.home / "gw.sock")
    assert u.omerta("forward", f"{path}:{name}:7001") == path
    for place in ("127.0.0.1:2222", "[::1]:2223", path):
        assert talk(u, place) == answer(), place
    # Another user may not, where the kernel can tell.
    assert talk(u.machine, path) == answer()  # root may
    # A target that cannot be reached resets, and is counted.
    where = u.omerta("forward", "0:10.0.0.1:7009")
    assert talk(u, where) in ("ConnectionResetError", "BrokenPipeError")
    where = u.omerta("forward", "0:nobody:7001")
    assert talk(u, where) in ("ConnectionResetError", "BrokenPipeError")
    rows = forwards(u)
    assert [f["id"] for f in rows] == [1, 2, 3, 4, 5, 6], rows
    assert [f["failed"] for f in rows] == [0, 0, 0, 0, 1, 1], rows
    assert rows[0]["bytes_to_target"] == 3_000_000 and rows[0]["accepted"] == 1, rows[0]
    assert rows[0]["bytes_from_target"] == len(answer(3_000_000)), rows[0]
    u.omerta("unforward", "2")
    assert talk(u, "127.0.0.1:2222") == "ConnectionRefusedError"
    r = u.omerta("unforward", "2", check=False)
    assert r.returncode == NOT_FOUND and "no forward 2" in r.stderr, r


@both_engines
def test_out_of_the_network(lab, gw, u):
    """What a machine without an interface serves is reached from those with one, and from others
    without."""
    if u.property("Netstack") == "kernel":
        serve(u.machine, 7001)
    address = u.omerta("network", "address")
    for words in (["expose", "7001"], ["expose", "80:7001"], ["forward", "--reverse", "81:localhost:7001"]):
        port = u.omerta(*words)
        assert port == words[-1].split(":")[0], port
        assert talk(gw, f"{address}:{port}", 3_000_000) == answer(3_000_000), port
    port = u.omerta("expose", "0:7001")
    assert int(port) > 0 and talk(gw, f"{address}:{port}") == answer()
    # Not offered is not reached.
    assert talk(gw, f"{address}:7002") == "ConnectionRefusedError"
    # Nobody listens here: reset. And not offered any more: refused.
    assert u.omerta("expose", "7009") == "7009"
    assert talk(gw, f"{address}:7009") in ("ConnectionResetError", "BrokenPipeError")
    u.omerta("unforward", "1")
    assert talk(gw, f"{address}:7001") == "ConnectionRefusedError"
    other = User(lab, gw, "other-" + u.name)
    other.start()
    other.join(gw, "--name", "other-" + u.name)
    wait_for("the other's directory", lambda: address in other.omerta("dhcp", "leases"))
    r = other.omerta("nc", address, "80", input="y" * 500_000, check=False)
    assert r.stdout == "500000 " + "y" * 20, r
    other.daemon.terminate()
    assert other.daemon.wait(timeout=20) == 0


def test_with_an_interface(lab):
    """The system's daemon: what is exposed is exposed to the network alone."""
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    serve(m1, 7001)
    assert m1.omerta("expose", "8001:7001") == "8001"
    assert talk(gw, "10.0.0.100:8001") == answer()
    assert talk(gw, f"{m1.address}:8001") == "ConnectionRefusedError"
    assert talk(m1, "127.0.0.1:8001") == "ConnectionRefusedError"
    # What every address of the machine serves, the network reaches anyway.
    r = m1.omerta("expose", "7001", check=False)
    assert r.returncode == 1 and "reaches anyway" in r.stderr, r
    assert m1.omerta("forward", "2222:gw:22", check=False).returncode == 0
    r = m1.omerta("forward", f"{lab.dir}/x.sock:gw:22", check=False)
    assert r.returncode == USAGE and "path" in r.stderr, r


def test_refusals(lab):
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    u.start()
    r = u.omerta("forward", "2222:gw:22", check=False)
    assert r.returncode == NOT_FOUND and "no network" in r.stderr, r
    u.join(gw)
    u.omerta("forward", "2222:gw:22")
    u.omerta("expose", "22")
    for words, code, says in (
            (["forward", "2222:gw:22"], 1, "2222 of this machine is in use"),
            (["forward", "22:gw:22"], DENIED, "privilege"),
            (["forward", "192.0.2.99:2223:gw:22"], USAGE, "no address 192.0.2.99"),
            (["forward", "/nowhere/x:gw:22"], USAGE, "/nowhere/x"),
            (["forward", "gw:22"], USAGE, "2222:nas:22"),
            (["forward", "2222"], USAGE, "2222:nas:22"),
            (["forward", ""], USAGE, "2222:nas:22"),
            (["forward", "2223:gw:0"], USAGE, "MACHINE:PORT"),
            (["forward", "65536:gw:22"], USAGE, "MACHINE:PORT"),
            (["expose", "22"], 1, "22 is in use"),
            (["expose", "nonsense"], USAGE, "PORT in the network"),
            (["expose", "23:somewhere:22"], USAGE, "PORT in the network"),
            (["unforward", "x"], USAGE, "number"),
            (["unforward", "9"], NOT_FOUND, "no forward 9"),
            (["unforward", "4294967297"], USAGE, "number")):
        r = u.omerta(*words, check=False)
        assert r.returncode == code and says in r.stderr, (words, r)
    assert len(forwards(u)) == 2
    path = u.busctl("tree", "--list", "org.omerta.Mesh1").stdout.split()
    network = next(p for p in path if p.count("/") == 5)
    assert f"{network}/forward/1" in path and f"{network}/forward/2" in path, path
    for name in ("0", "01", "3", "x", "1x", "-1", "+1", "4294967297"):
        r = u.busctl("introspect", "org.omerta.Mesh1", f"{network}/forward/{name}", check=False)
        assert "org.omerta.Mesh1.Forward" not in r.stdout, (name, r)
    r = u.busctl("call", "org.omerta.Mesh1", network, NETWORK, "AddForward", "sssa{sv}", "sideways", "1", "2",
                 "0", check=False)
    assert "local or reverse" in r.stderr, r


def test_kept(lab):
    """Kept forwards are there again after a restart, however the daemon ended, at the port they
    had; the others are not."""
    gw = lab.gateway()
    m1 = lab.machine("m1")
    u = User(lab, m1, "u")
    u.start()
    u.join(gw)
    serve(gw, 7001)
    serve(m1, 7002)
    address = u.omerta("network", "address")
    local = u.omerta("forward", "--keep", "0:10.0.0.1:7001")
    u.omerta("forward", "2222:10.0.0.1:7001")
    port = u.omerta("expose", "--keep", "0:7002")
    before = [(f["id"], f["listen"]) for f in forwards(u) if f["persistent"]]
    for how in (signal.SIGTERM, signal.SIGKILL):
        u.daemon.send_signal(how)
        u.daemon.wait(timeout=20)
        u.start()
        assert [(f["id"], f["listen"]) for f in forwards(u)] == before, forwards(u)
        wait_for("the address", lambda: u.omerta("network", "address", check=False).stdout.strip() == address)
        assert talk(u, local) == answer()
        assert talk(gw, f"{address}:{port}") == answer()
    assert int(u.omerta("forward", "0:10.0.0.1:7001").rsplit(":")[1]) > 0
    assert forwards(u)[-1]["id"] == 4, forwards(u)
    u.omerta("unforward", "1")
    # The port of the other one is taken when the daemon comes back: it says so, and does not give up.
    u.omerta("forward", "--keep", "7010:10.0.0.1:7001")
    u.daemon.terminate()
    u.daemon.wait(timeout=20)
    thief = lab.spawn(m1.command("/usr/bin/python3", "-c",
                                 "import socket; s = socket.create_server(('127.0.0.1', 7010)); s.accept()"))
    wait_for("the thief", lambda: ":7010 " in m1.run("ss", "-Hltn").stdout)
    u.start()
    rows = {f["listen"]: f for f in forwards(u)}
    assert set(rows) == {port, "127.0.0.1:7010"}, rows
    assert rows["127.0.0.1:7010"]["state"] == "failed" and "in use" in rows["127.0.0.1:7010"]["state_reason"], rows
    assert "7010 of this machine is in use" in u.log.read_text()
    thief.terminate()
    thief.wait(timeout=20)
    u.omerta("down")
    u.omerta("up")
    assert {f["state"] for f in forwards(u)} == {"listening"}, forwards(u)


def test_network_down_and_up(lab):
    gw = lab.gateway()
    m1 = lab.machine("m1")
    for engine in ("kernel", "lwip"):
        u = User(lab, m1, engine)
        u.start("--netstack", engine)
        r = u.omerta("network", "join", gw.omerta("network", "invite", "--name", engine), check=False)
        if r.returncode != 0:
            print(f"# {engine}: {r.stderr.splitlines()[0]}")
            continue
        if engine == "kernel":
            serve(gw, 7001)
            serve(m1, 7002)
        address = u.omerta("network", "address")
        where = u.omerta("forward", "0:10.0.0.1:7001")
        u.omerta("expose", "7002")
        # A connection that is open when the network goes is reset.
        idle = u.spawn("/usr/bin/python3", "-c", "import socket, sys\n"
                       f"s = socket.create_connection(('127.0.0.1', {where.split(':')[1]}))\n"
                       "try:\n    s.recv(1)\nexcept ConnectionResetError:\n    sys.exit(42)\n")
        wait_for("the connection", lambda: forwards(u)[0]["active"] == 1)
        u.omerta("down")
        assert idle.wait(timeout=20) == 42
        states = {f["direction"]: f["state"] for f in forwards(u)}
        assert states == {"local": "listening", "reverse": "waiting"}, states
        assert talk(u, where) in ("ConnectionResetError", "BrokenPipeError")
        u.omerta("expose", "7003:7002")
        assert forwards(u)[2]["state"] == "waiting"
        u.omerta("up")
        assert {f["state"] for f in forwards(u)} == {"listening"}, forwards(u)
        wait_for("the address", lambda: u.omerta("network", "address", check=False).stdout.strip() == address)
        wait_for("the path", lambda: u.omerta("ping", "-c", "1", "10.0.0.1", check=False).returncode == 0)
        said = talk(u, where)
        assert said == answer(), (said, forwards(u))
        for port in (7002, 7003):
            assert talk(gw, f"{address}:{port}") == answer()
        u.omerta("network", "leave")
        assert talk(u, where) == "ConnectionRefusedError"
        u.daemon.terminate()
        assert u.daemon.wait(timeout=20) == 0


def test_signals(lab):
    """Whoever watches the bus sees a forward come, change and go."""
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    u.start()
    u.join(gw)
    log = u.home / "signals"
    with open(log, "w") as out:
        lab.spawn(u.command("gdbus", "monitor", "--session", "--dest", "org.omerta.Mesh1"), env=u.env,
                  stdout=out, cwd="/")
        wait_for("the monitor", lambda: "org.omerta.Mesh1" in log.read_text())
        u.omerta("expose", "22")
        wait_for("it came", lambda: "InterfacesAdded" in log.read_text())
        assert "'Listen': <'22'>" in log.read_text(), log.read_text()
        u.omerta("down")
        wait_for("it waits", lambda: "'State': <'waiting'>" in log.read_text())
        u.omerta("up")
        wait_for("it listens", lambda: log.read_text().count("'State': <'listening'>") >= 2)
        u.omerta("unforward", "1")
        wait_for("it went", lambda: "/forward/1', ['org.omerta.Mesh1.Forward'])" in log.read_text())


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv", "dbus-daemon", "gdbus")
