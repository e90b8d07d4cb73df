#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another program sets the addresses of the interface, as NetworkManager's plugin has it done."""

import json

from machines import main, skip, wait_for

try:
    import dbus
    import dbus.bus
except ImportError as e:
    skip(f"needs python3-dbus: {e}")

NAME, ROOT = "org.omerta.Mesh1", "/org/omerta/Mesh1"
NETWORK = f"{NAME}.Network"


class Program:
    """Somebody on the machine's bus."""

    def __init__(self, m):
        self.bus = dbus.bus.BusConnection(m.bus_address)
        self.network = str(self.bus.get_object(NAME, ROOT).Get(
            f"{NAME}.Manager", "Networks", dbus_interface="org.freedesktop.DBus.Properties")[0])

    def hold(self, on=True):
        """The name of the error, or None."""
        try:
            self.bus.call_blocking(NAME, self.network, NETWORK, "HoldAddresses", "b", (on,))
        except dbus.DBusException as e:
            return e.get_dbus_name().rsplit(".", 1)[1]
        return None

    def close(self):
        self.bus.close()


def is_held(m):
    return json.loads(m.busctl("--json=short", "get-property", NAME, Program(m).network, NETWORK,
                               "AddressesHeld").stdout)["data"]


def addresses(m):
    link, = json.loads(m.run("ip", "-j", "addr", "show", "dev", "omerta0").stdout)
    return sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"])


def settled(m):
    """The daemon has seen what was changed before: it has set an MTU since."""
    mtu = json.loads(m.run("ip", "-j", "link", "show", "omerta0").stdout)[0]["mtu"]
    m.omerta("network", "set", "mtu", str(1300 if mtu == 1420 else 1420))


def mend(m, wanted):
    wait_for(f"the addresses {wanted}", lambda: addresses(m) == wanted)


def test_hold(lab):
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    m.wait_ping("10.0.0.1")
    ours = addresses(m)
    assert "10.0.0.100/16" in ours and not is_held(m)
    # Without one the daemon puts back what somebody takes away.
    m.run("ip", "addr", "flush", "dev", "omerta0")
    mend(m, ours)
    a, b = Program(m), Program(m)
    # What is there stays: connections do not notice.
    assert a.hold() is None and a.hold() is None and is_held(m)
    assert addresses(m) == ours
    assert b.hold() == "NotPermitted" and b.hold(False) == "NotPermitted"
    m.ping("10.0.0.1")
    m.run("ip", "addr", "flush", "dev", "omerta0")
    m.run("ip", "addr", "add", "10.0.0.100/32", "dev", "omerta0")
    m.run("ip", "addr", "add", "192.0.2.77/32", "dev", "omerta0")
    settled(m)
    assert addresses(m) == ["10.0.0.100/32", "192.0.2.77/32"]
    # Nor is it trouble of the daemon's.
    assert m.json("network", "show")["state"] == "online"
    # It holds while the network is down and up again.
    m.omerta("down")
    m.omerta("up")
    settled(m)
    assert addresses(m) == [] and is_held(m)
    # Let go: everything is as the daemon has it.
    m.run("ip", "addr", "add", "10.0.0.100/16", "dev", "omerta0", "noprefixroute")
    m.run("ip", "addr", "add", "192.0.2.77/32", "dev", "omerta0")
    assert a.hold(False) is None and not is_held(m)
    mend(m, ours)
    m.wait_ping("10.0.0.1")
    assert "10.0.0.0/16" in m.run("ip", "route", "show", "dev", "omerta0").stdout
    assert b.hold() is None
    # Who holds it dies.
    m.run("ip", "addr", "flush", "dev", "omerta0")
    settled(m)
    assert addresses(m) == []
    b.close()
    mend(m, ours)
    m.wait_ping("10.0.0.1")
    assert not is_held(m)
    # The bus's end is the holder's.
    assert a.hold() is None
    m.run("ip", "addr", "flush", "dev", "omerta0")
    m.end_bus()
    mend(m, ours)


def test_hold_left(lab):
    """The network goes, and comes again, under a hold."""
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    a, b = Program(m), Program(m)
    assert a.hold() is None
    m.omerta("network", "leave")
    m.omerta("network", "join", gw.omerta("network", "invite"))
    assert not is_held(m)
    assert b.hold() == "NotPermitted"
    assert a.hold() is None and is_held(m)
    a.close()
    wait_for("the end of the hold", lambda: not is_held(m))
    assert b.hold() is None


def test_who(lab):
    """As Up and Down: without polkit root alone."""
    gw = lab.gateway()
    script = ("import dbus, dbus.bus, os, sys\n"
              "os.setuid(65534)\n"
              "try:\n"
              "    dbus.bus.BusConnection(sys.argv[1]).call_blocking('org.omerta.Mesh1', sys.argv[2],\n"
              "        'org.omerta.Mesh1.Network', 'HoldAddresses', 'b', (True,))\n"
              "except dbus.DBusException as e:\n"
              "    print(e.get_dbus_name())\n")
    out = gw.run("/usr/bin/python3", "-c", script, gw.bus_address, Program(gw).network).stdout
    assert out == "org.freedesktop.DBus.Error.AccessDenied\n", out
    assert not is_held(gw)


def test_member_ok(lab):
    """An invite of a network this machine is in already."""
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    link = gw.omerta("network", "invite")

    def join(options):
        return m.busctl("call", NAME, ROOT, f"{NAME}.Manager", "Join", "sa{sv}", link, *options,
                        check=False)

    def used():
        return sum(i["uses"] for i in gw.json("network", "invites")["invites"])

    r = join(["0"])
    assert r.returncode != 0 and "already" in r.stderr, r
    r = join(["1", "member-ok", "b", "true"])
    assert Program(m).network in r.stdout, r
    # It was not used, and the network stays as it is.
    m.omerta("down")
    assert Program(m).network in join(["1", "member-ok", "b", "true"]).stdout
    assert m.json("network", "list")["networks"][0]["state"] == "down"
    assert used() == 1
    m.omerta("network", "leave")
    assert join(["1", "member-ok", "b", "true"]).returncode == 0
    assert used() == 2


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
