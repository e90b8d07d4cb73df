#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients are told of changes is what there is: one that keeps what signals say has, after
each step, what GetManagedObjects lists, and is told nothing twice."""

from machines import Failure, main, skip, wait_for

try:
    import dbus
    import dbus.bus
    import dbus.mainloop.glib
    import dbus.types
    from gi.repository import GLib
except ImportError as e:
    skip(f"needs python3-dbus and python3-gi: {e}")

import xml.etree.ElementTree as ET

from machines import TOP

NAME, ROOT = "org.omerta.Mesh1", "/org/omerta/Mesh1"
MANAGER = "org.freedesktop.DBus.ObjectManager"
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def signalled():
    """{interface: names of properties whose changes are signalled}, {interface: constant ones}"""
    changes, constant = {}, {}
    for file in (TOP / "dbus").glob("*.xml"):
        for interface in ET.parse(file).getroot().iter("interface"):
            name = interface.get("name")
            changes[name], constant[name] = set(), set()
            for p in interface.iter("property"):
                emits = next((a.get("value") for a in p.findall("annotation")
                              if a.get("name") == EMITS), "true")
                if emits == "true":
                    changes[name].add(p.get("name"))
                elif emits == "const":
                    constant[name].add(p.get("name"))
    return changes, constant


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return int(value) if isinstance(value, int) else str(value)


class Cache:
    """A client that lists once and believes signals from then on."""

    def __init__(self, machine):
        dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
        self.name = machine.name
        self.changes, self.constant = signalled()
        self.bus = dbus.bus.BusConnection(machine.bus_address)
        self.objects, self.superfluous, self.log = {}, [], []
        receive = self.bus.add_signal_receiver
        receive(self.on_added, "InterfacesAdded", MANAGER, NAME)
        receive(self.on_removed, "InterfacesRemoved", MANAGER, NAME)
        receive(self.on_changed, "PropertiesChanged", "org.freedesktop.DBus.Properties", NAME,
                path_keyword="path")
        receive(lambda *a, path, member: self.log.append((member, path)),
                dbus_interface=f"{NAME}.Network", bus_name=NAME, path_keyword="path",
                member_keyword="member")
        self.objects = self.truth()

    def kept(self, interface, properties):
        return {k: plain(v) for k, v in properties.items()
                if k in self.changes[interface] | self.constant[interface]}

    def truth(self):
        objects = self.bus.call_blocking(NAME, ROOT, MANAGER, "GetManagedObjects", "", ())
        out = {(str(path), str(i)): self.kept(i, p) for path, all in objects.items()
               for i, p in all.items()}
        manager = self.bus.call_blocking(NAME, ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s",
                                         (f"{NAME}.Manager",))
        out[ROOT, f"{NAME}.Manager"] = self.kept(f"{NAME}.Manager", manager)
        return out

    def on_added(self, path, interfaces):
        for i, properties in interfaces.items():
            if (path, i) in self.objects:
                self.superfluous.append(f"{path} is added twice")
            self.objects[str(path), str(i)] = self.kept(i, properties)

    def on_removed(self, path, interfaces):
        for i in interfaces:
            if self.objects.pop((str(path), str(i)), None) is None:
                self.superfluous.append(f"{path} is removed though it was not there")

    def on_changed(self, interface, changed, invalidated, path):
        self.log.append(("PropertiesChanged", path, sorted(map(str, changed))))
        object = self.objects.get((path, interface))
        if object is None:
            self.superfluous.append(f"{path} changes though it is not there")
            return
        if invalidated:
            self.superfluous.append(f"{path}: {invalidated} without values")
        for name, value in self.kept(interface, changed).items():
            if object.get(name) == value:
                self.superfluous.append(f"{path}: {name} 'changes' to {value}, which it was")
            if name in self.constant[interface]:
                self.superfluous.append(f"{path}: {name} is constant, and changes")
            object[name] = value

    def take(self):
        context = GLib.MainContext.default()
        while context.iteration(False):
            pass

    def network(self, name):
        """A property of the only network."""
        return next(o for (_, i), o in self.objects.items() if i == f"{NAME}.Network")[name]

    def invites_changed(self):
        """How often since it was asked last."""
        n = sum(e[0] == "InvitesChanged" for e in self.log)
        self.log.clear()
        return n

    def paths(self):
        """Every object path that a property names that says when it is gone; "/" is none."""
        return {o[k] for (_, i), o in self.objects.items()
                for k in ("MachinePath", "GatewayPath") if k in self.changes[i] and o[k] != "/"}

    def difference(self):
        # The answer comes after all signals that were sent before it.
        truth = self.truth()
        self.take()
        out = []
        for key in sorted(truth.keys() | self.objects.keys()):
            have, want = self.objects.get(key), truth.get(key)
            if have is None:
                out.append(f"{key[0]} was not announced")
            elif want is None:
                out.append(f"{key[0]} is a ghost")
            else:
                out += [f"{key[0]}: {k} is {want[k]}, told was {have.get(k)}"
                        for k in want if have.get(k) != want[k]]
        return out


def check(step, *caches):
    for c in caches:
        # What changes between the list and the signals is seen the next time.
        last = []

        def same():
            last[:] = c.difference()
            return not last
        try:
            wait_for("the cache to be what there is", same, 5)
        except Failure:
            raise Failure(f"{c.name} after {step}:\n" + "\n".join(last))
        dangling = c.paths() - {path for path, _ in c.objects}
        if dangling:
            raise Failure(f"{c.name} after {step}: there is no {dangling}")
        if c.superfluous:
            raise Failure(f"{c.name} after {step}:\n" + "\n".join(c.superfluous))


def test_a_cache_is_the_truth(lab):
    gw, m1 = lab.machine("gw"), lab.machine("m1")
    gw.start("--vpn")
    m1.start("--vpn")
    g, c = Cache(gw), Cache(m1)
    check("the start", g, c)
    gw.omerta("network", "create", "home", "--subnet", "10.0.0.0/16")
    check("create", g)
    link = gw.omerta("network", "invite")
    check("invite", g)
    m1.omerta("network", "join", link)
    check("join", g, c)
    m1.wait_ping("10.0.0.1")
    check("a session", g, c)
    assert len(c.paths()) == 2, c.paths()  # its own lease, the gateway and all of its
    sessions = [p for p, i in c.objects if i.endswith(".Session")]
    assert sessions, "no session"
    m1.busctl("call", NAME, sessions[0], f"{NAME}.Session", "Close")
    check("Close", g, c)
    m1.wait_ping("10.0.0.1")
    check("a session again", g, c)
    m1.omerta("forward", "2222:10.0.0.1:22")
    check("a forward", c)
    m1.omerta("expose", "2223")
    check("an exposed port", c)
    m1.omerta("down")
    check("Down", g, c)
    m1.omerta("up")
    check("Up", g, c)
    m1.wait_ping("10.0.0.1")
    check("Up and a session", g, c)
    gw.omerta("down")
    check("Down of the gateway", g, c)
    gw.omerta("up")
    m1.wait_ping("10.0.0.1")
    check("Up of the gateway", g, c)
    forward = next(p for p, i in c.objects if i.endswith(".Forward"))
    m1.busctl("call", NAME, forward, f"{NAME}.Forward", "Remove")
    check("a forward removed", c)
    m2 = lab.member(gw, "m2")
    m2.wait_ping("10.0.0.1")
    m1.wait_ping("10.0.0.101")
    check("another machine", g, c)
    d = Cache(m2)
    gw.omerta("network", "revoke", m2.json("network", "show")["machine"], "--yes")
    wait_for("it to know", lambda: m2.json("network", "show")["state"] == "revoked")
    check("revoke", g, c, d)
    gw.omerta("network", "revoke", m1.json("network", "show")["machine"], "--yes")
    wait_for("it to know", lambda: m1.json("network", "show")["state"] == "revoked")
    check("revoked", g, c)
    m1.omerta("network", "leave")
    check("leave", g, c)
    m1.omerta("network", "join", gw.omerta("network", "invite"))
    m1.wait_ping("10.0.0.1")
    check("join again", g, c)
    m1.omerta("network", "leave")
    check("leave again", g, c)
    gw.omerta("network", "leave", "--force")
    check("the end", g)


def test_approvals_and_invites(lab):
    gw = lab.gateway()
    g = Cache(gw)
    assert g.network("Pending") == 0 and g.network("Invites") == 0
    link = gw.omerta("network", "invite", "--approval", "--uses", "3")
    check("invite", g)
    assert g.network("Invites") == 1 and g.invites_changed() == 1
    m1, m2 = lab.machine("m1"), lab.machine("m2")
    for m in (m1, m2):
        m.start("--vpn")
    c = Cache(m1)
    m1.omerta("network", "join", link)
    check("waiting", g, c)
    m2.omerta("network", "join", link)
    check("two waiting", g)
    assert g.network("Pending") == 2 and g.invites_changed() == 0
    shown = gw.json("network", "show")
    assert shown["pending"] == 2 and shown["invites"] == 1, shown
    gw.omerta("network", "approve", m1.json("network", "show")["machine"])
    m1.wait_ping("10.0.0.1")
    check("approve", g, c)
    assert g.network("Pending") == 1 and g.network("Invites") == 1 and g.invites_changed() == 1
    gw.omerta("network", "refuse", m2.json("network", "show")["machine"])
    check("refuse", g)
    assert g.network("Pending") == 0 and g.invites_changed() == 0
    gw.omerta("network", "uninvite", gw.json("network", "invites")["invites"][0]["id"])
    check("uninvite", g)
    assert g.network("Invites") == 0 and g.invites_changed() == 1


def test_a_failed_join(lab):
    gw, m1 = lab.gateway(), lab.machine("m1")
    link = gw.omerta("network", "invite")
    m1.start("--vpn")
    c = Cache(m1)
    gw.stop()
    assert m1.omerta("network", "join", link, check=False).returncode != 0
    check("a join that failed", c)
    assert [key for key in c.objects if key[0] != ROOT] == [], c.objects


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
