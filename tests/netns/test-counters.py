#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counters by a signal that a client asks for, to it alone; the name of a network; who was refused."""

import json
import subprocess

from machines import OMERTA, main, skip, wait_for

try:
    import dbus
    import dbus.bus
    import dbus.mainloop.glib
    from gi.repository import GLib
except ImportError as e:
    skip(f"needs python3-dbus and python3-gi: {e}")

NAME, ROOT = "org.omerta.Mesh1", "/org/omerta/Mesh1"
NETWORK = f"{NAME}.Network"


class Client:
    """Somebody on the machine's bus, and what is sent to it."""

    def __init__(self, m, network=None):
        dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
        self.bus = dbus.bus.BusConnection(m.bus_address)
        self.network = network or str(self.bus.get_object(NAME, ROOT).Get(
            f"{NAME}.Manager", "Networks", dbus_interface="org.freedesktop.DBus.Properties")[0])
        self.received = []
        self.bus.add_message_filter(self.on_message)

    def on_message(self, bus, message):
        if message.get_member() == "Counters":
            self.received.append(([[str(m[0]), *map(int, m[1:])] for m in message.get_args_list()[0]],
                                  message.get_destination()))

    def call(self, member, signature, *args):
        return self.bus.call_blocking(NAME, self.network, NETWORK, member, signature, args)

    def fails(self, member, signature, *args):
        try:
            self.call(member, signature, *args)
        except dbus.DBusException as e:
            return e.get_dbus_name().rsplit(".", 1)[1]
        return None

    def close(self):
        self.bus.close()


def turn():
    context = GLib.MainContext.default()
    while context.iteration(False):
        pass


def wait_more(client, n):
    def there():
        turn()
        return len(client.received) >= n
    wait_for(f"{n} signals", there)


def test_counters(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    a, b = Client(m1), Client(m1)
    assert a.fails("WatchCounters", "u", 499) == "InvalidArgument"
    assert a.fails("WatchCounters", "u", 1) == "InvalidArgument"
    a.call("WatchCounters", "u", 500)
    wait_more(a, 2)
    machine, = {m["id"] for m in m1.json("network", "peers")["machines"] if not m["is_self"]}
    before = {m[0]: m for m in a.received[-1][0]}[machine]
    assert a.received[-1][1] == a.bus.get_unique_name(), a.received[-1]
    m1.ping("10.0.0.1", count=3)
    def latest():
        turn()
        return {m[0]: m for m in a.received[-1][0]}[machine]

    wait_for("three packets", lambda: latest()[1] >= before[1] + 3 and latest()[3] >= before[3] + 3)
    after = latest()
    assert after[2] > before[2] and after[4] > before[4] and after[5] > 0, (before, after)
    # Nobody else is told.
    turn()
    assert b.received == []
    # Another one may ask beside it, less often; the first asks for no more.
    b.call("WatchCounters", "u", 600)
    a.call("WatchCounters", "u", 0)
    turn()
    n = len(a.received)
    wait_more(b, 3)
    assert len(a.received) == n
    # Who goes is forgotten; root alone may have any number.
    b.close()
    many = [Client(m1, a.network) for _ in range(12)]
    for c in many:
        c.call("WatchCounters", "u", 100000)
        wait_more(c, 1)
    for c in many:
        c.close()
    # The network goes, and its name on the bus; the daemon goes on.
    a.call("WatchCounters", "u", 500)
    m1.omerta("network", "leave")
    assert m1.json("network", "list")["networks"] == []


def test_watched_by_omerta(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    p = subprocess.Popen(m1.command(OMERTA, "network", "peers", "--watch", "--json"), env=m1.env,
                         stdout=subprocess.PIPE, text=True)

    def one():
        text = ""
        for line in p.stdout:
            text += line
            if line == "}\n":
                break
        machine, = [m for m in json.loads(text)["machines"] if not m["is_self"]]
        return machine["packets_sent"]

    try:
        first = one()
        m1.ping("10.0.0.1", count=4)
        while one() < first + 4:
            pass
    finally:
        p.kill()
        p.wait()


def test_many_users(lab):
    """One user cannot have all places."""
    gw = lab.gateway()
    script = ("import dbus, dbus.bus, os, sys\n"
              "os.setuid(65534)\n"
              "kept = []\n"
              "for i in range(9):\n"
              "    b = dbus.bus.BusConnection(sys.argv[1]); kept.append(b)\n"
              "    try:\n"
              "        b.call_blocking('org.omerta.Mesh1', sys.argv[2], 'org.omerta.Mesh1.Network',\n"
              "                        'WatchCounters', 'u', (60000,))\n"
              "    except dbus.DBusException as e:\n"
              "        print(i, e.get_dbus_name())\n")
    network = Client(gw).network
    out = gw.run("/usr/bin/python3", "-c", script, gw.bus_address, network).stdout
    assert out == "8 org.omerta.Mesh1.Error.LimitReached\n", out
    # They have gone with it.
    out = gw.run("/usr/bin/python3", "-c", script, gw.bus_address, network).stdout
    assert out == "8 org.omerta.Mesh1.Error.LimitReached\n", out


def test_name(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    was, = [n["name"] for n in m1.json("network", "list")["networks"]]
    m1.omerta("network", "set", "name", "home")
    assert m1.json("network", "get", "name") == {"name": "home"}
    assert m1.omerta("get", "name") == "home"
    assert m1.omerta("-n", "home", "network", "address") == "10.0.0.100"
    assert m1.omerta("-n", was, "network", "address", check=False).returncode == 4
    # Nobody else's business.
    assert gw.json("network", "list")["networks"][0]["name"] == was
    assert "it was called" in m1.log.read_text()
    m1.omerta("network", "create", "other", "--subnet", "10.77.0.0/16")
    for name, says in (("other", "already"), ("", "1 to"), ("x" * 64, "1 to"), ("a\x1bb", "control"),
                       ("a b", "spaces"), ("home\n", "control")):
        r = m1.omerta("-n", "home", "network", "set", "name", name, check=False)
        assert r.returncode != 0 and says in r.stderr, (name, r)
    assert {n["name"] for n in m1.json("network", "list")["networks"]} == {"home", "other"}
    # The same again is no error, and it is kept.
    m1.omerta("-n", "home", "set", "name", "home")
    m1.stop()
    m1.start("--vpn")
    assert {n["name"] for n in m1.json("network", "list")["networks"]} == {"home", "other"}
    # Switched off and on, and a member's own word for it stays.
    m1.omerta("-n", "home", "down")
    m1.omerta("-n", "home", "network", "set", "name", "house")
    m1.omerta("-n", "house", "up")
    m1.wait_ping("10.0.0.1")
    # A gateway's is in the invites it makes.
    gw.omerta("network", "set", "name", "club")
    m2 = lab.member(gw, "m2")
    assert m2.json("network", "list")["networks"][0]["name"] == "club"
    r = gw.busctl("call", NAME, Client(gw).network, NETWORK, "SetOptions", "a{sv}", "2", "mtu", "u",
                  "1300", "name", "s", "x", check=False)
    assert r.returncode != 0 and "alone" in r.stderr, r


def test_refused(lab):
    gw = lab.gateway()
    link = gw.omerta("network", "invite", "--approval")
    m1 = lab.machine("m1")
    m1.start("--vpn")
    m1.omerta("network", "join", link, check=False)
    pending, = wait_for("it to ask", lambda: gw.json("network", "pending")["pending"])
    assert gw.json("network", "refused")["refused"] == []
    gw.omerta("network", "refuse", pending["machine"])
    refused, = gw.json("network", "refused")["refused"]
    assert (refused["machine"], refused["host_name"]) == (pending["machine"], pending["host_name"])
    assert refused["until_usec"] - refused["when_usec"] == 600 * 1000000, refused
    assert pending["machine"] in gw.omerta("network", "refused")
    m2 = lab.member(gw, "m2")
    r = m2.omerta("network", "refused", check=False)
    assert r.returncode != 0 and "gateway" in r.stderr, r


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
