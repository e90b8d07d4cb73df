#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon serves is what dbus/*.xml says: every member with its signature, argument
names, access and annotations, on an object of each interface."""

import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

from machines import main, wait_for

TOP = pathlib.Path(sys.argv[0]).resolve().parent.parent.parent
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def members(interface):
    """{(kind, name): what matters}"""
    default = next((a.get("value") for a in interface.findall("annotation")
                    if a.get("name") == EMITS), "true")
    out = {}
    for e in interface:
        if e.tag == "annotation":
            continue
        args = tuple((a.get("name"), a.get("type"),
                      a.get("direction", "in" if e.tag == "method" else "out"))
                     for a in e.findall("arg"))
        if e.tag == "property":
            emits = next((a.get("value") for a in e.findall("annotation")
                          if a.get("name") == EMITS), default)
            args = (e.get("type"), e.get("access"), emits)
        out[e.tag, e.get("name")] = args
    return out


def test_served_is_described(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    tree = gw.busctl("tree", "--list", "org.omerta.Mesh1").stdout.split()
    objects = {
        "Manager": "/org/omerta/Mesh1",
        "Network": next(p for p in tree if p.count("/") == 5),
        "Gateway": next(p for p in tree if p.count("/") == 5),
        "Machine": next(p for p in tree if "/machine/" in p),
        "Session": next(p for p in tree if "/session/" in p),
        "Lease": next(p for p in tree if "/lease/" in p),
    }
    for name, path in objects.items():
        described = ET.parse(TOP / "dbus" / f"org.omerta.Mesh1.{name}.xml").getroot()
        served = ET.fromstring(gw.busctl("introspect", "--xml-interface", "org.omerta.Mesh1",
                                         path).stdout)
        want = members(described.find("interface"))
        have = next((members(i) for i in served.findall("interface")
                     if i.get("name") == f"org.omerta.Mesh1.{name}"), None)
        assert have is not None, f"{path} does not have the interface {name}"
        for key in sorted(want.keys() | have.keys()):
            assert want.get(key) == have.get(key), f"{name}.{key}: {want.get(key)} {have.get(key)}"


def test_no_ghost_objects(lab):
    gw = lab.gateway()
    tree = gw.busctl("tree", "--list", "org.omerta.Mesh1").stdout.split()
    network = next(p for p in tree if p.count("/") == 5)
    for path in ("/org/omerta/Mesh1/network", "/org/omerta/Mesh1/network/x", network + "/machine",
                 network + "/machine/x", network + "/machine/" + "a" * 52,
                 network + "/lease/10_0_0_99", network + "/lease/10_0_0_1/x",
                 network + "/session/x", network + "x"):
        r = gw.busctl("call", "org.omerta.Mesh1", path, "org.freedesktop.DBus.Properties",
                      "GetAll", "s", "org.omerta.Mesh1.Machine", check=False)
        assert r.returncode != 0, f"{path} answers: {r.stdout}"


def test_busctl_alone_does_all(lab):
    gw, m1 = lab.machine("gw"), lab.machine("m1")
    gw.start("--vpn")
    m1.start("--vpn")

    def call(m, path, interface, *args):
        return m.busctl("call", "org.omerta.Mesh1", path, f"org.omerta.Mesh1.{interface}",
                        *args).stdout.strip()

    root = "/org/omerta/Mesh1"
    network = call(gw, root, "Manager", "CreateNetwork", "sa{sv}", "home", "1", "subnet", "s",
                   "10.0.0.0/16").split('"')[1]
    link = call(gw, network, "Network", "Invite", "a{sv}", "0").split('"')[1]
    assert call(m1, root, "Manager", "Join", "sa{sv}", link, "0").split('"')[1] == network
    address = m1.busctl("get-property", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network",
                        "Address").stdout.strip()
    assert address == 's "10.0.0.100"', address
    managed = gw.busctl("call", "org.omerta.Mesh1", root, "org.freedesktop.DBus.ObjectManager",
                        "GetManagedObjects").stdout
    assert managed.count("/machine/") >= 2 and "10.0.0.100" in managed, managed
    m1_id = m1.busctl("get-property", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network",
                      "MachineId").stdout.split('"')[1]
    call(gw, network, "Network", "Revoke", "sa{sv}", m1_id, "0")
    wait_for("the revocation", lambda: "revoked" in m1.busctl(
        "get-property", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network", "State").stdout, 5)
    r = gw.busctl("call", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network", "Revoke", "sa{sv}",
                  "nobody", "0", check=False)
    assert r.returncode != 0 and "nobody" in r.stderr, r
    r = gw.busctl("call", "org.omerta.Mesh1", root, "org.omerta.Mesh1.Manager", "CreateNetwork",
                  "sa{sv}", "x", "1", "colour", "s", "red", check=False)
    assert r.returncode != 0 and "colour" in r.stderr, r


def test_changes_are_signalled(lab):
    gw = lab.gateway()
    monitor = lab.spawn(["busctl", f"--address={gw.bus_address}", "monitor", "--json=short",
                         "--match=type='signal',sender='org.omerta.Mesh1'"],
                        stdout=open(lab.dir / "signals", "wb"),
                        stderr=open(lab.dir / "monitor", "wb"))
    wait_for("the monitor", lambda: monitor.poll() is None
             and "Monitoring" in (lab.dir / "monitor").read_text())
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")

    def seen(*words):
        return any(all(w in line for w in words)
                   for line in (lab.dir / "signals").read_text().splitlines())

    wait_for("InterfacesAdded for the machine", lambda: seen("InterfacesAdded", "/machine/"))
    wait_for("InterfacesAdded for its lease", lambda: seen("InterfacesAdded", "/lease/10_0_0_100"))
    wait_for("its link", lambda: seen("PropertiesChanged", "LinkState"))
    wait_for("its session", lambda: seen("InterfacesAdded", "/session/"))
    m1_id = m1.json("network", "show")["machine"]
    gw.omerta("network", "revoke", m1_id)
    wait_for("InterfacesRemoved", lambda: seen("InterfacesRemoved", m1_id))


def test_log_level(lab):
    gw = lab.gateway()
    where = ("org.omerta.Mesh1", "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1")
    assert gw.busctl("get-property", *where, "LogLevel").stdout.strip() == 's "info"'
    gw.busctl("set-property", *where, "LogLevel", "s", "debug")
    assert gw.busctl("get-property", *where, "LogLevel").stdout.strip() == 's "debug"'
    assert gw.busctl("set-property", *where, "LogLevel", "s", "loud", check=False).returncode != 0
    r = subprocess.run(gw.command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  "busctl", "set-property", *where, "LogLevel", "s", "err"),
                       env=gw.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0, r


def test_ordinary_user_is_refused(lab):
    """No polkit on this bus: everybody but root and the daemon's user is refused, with words."""
    gw = lab.gateway()
    r = subprocess.run(gw.command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  "gdbus", "call", "--system", "-d", "org.omerta.Mesh1", "-o",
                                  "/org/omerta/Mesh1", "-m",
                                  "org.omerta.Mesh1.Manager.CreateNetwork", "x", "{}"),
                       env=gw.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and "AccessDenied" in r.stderr and "polkit" in r.stderr, r
    r = subprocess.run(gw.command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  "gdbus", "call", "--system", "-d", "org.omerta.Mesh1", "-o",
                                  "/org/omerta/Mesh1", "-m",
                                  "org.omerta.Mesh1.Manager.GetNetwork", ""),
                       env=gw.env, capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, r


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "gdbus", "setpriv")
