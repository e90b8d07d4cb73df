#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network of ten thousand machines on the bus: whoever lists them holds nobody up, and sees what
there is, whatever changes meanwhile."""

import time

from machines import BUILD, main, run, wait_for

import dbus
import dbus.bus
import dbus.mainloop.glib
from gi.repository import GLib

ROOT = "/org/omerta/Mesh1"
MACHINES = 10000


def large(lab):
    gw = lab.gateway()
    gw.stop()
    run(BUILD / "tests" / "netns" / "fill-state", gw.state, str(MACHINES))
    gw.start("--vpn")
    return gw


def test_nobody_waits(lab):
    """Small calls are answered while all objects are listed, though they come after."""
    gw = large(lab)
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(gw.bus_address)
    small, objects = [], []

    def ask():
        bus.call_async("org.omerta.Mesh1", ROOT, "org.omerta.Mesh1.Manager", "GetNetwork", "s", ("",),
                       on_small, print, timeout=60)

    def on_small(_):
        small.append(time.monotonic())
        if not objects:
            ask()

    begin = time.monotonic()
    bus.call_async("org.omerta.Mesh1", ROOT, "org.freedesktop.DBus.ObjectManager",
                   "GetManagedObjects", "", (), objects.append, print, timeout=60)
    ask()
    while not objects and time.monotonic() < begin + 60:
        GLib.MainContext.default().iteration(True)
    assert objects and len(objects[0]) >= 2 * MACHINES, "not all objects"
    gaps = [b - a for a, b in zip([begin] + small, small)] or [0]
    print(f"# {len(objects[0])} objects in {time.monotonic() - begin:.2f} s; {len(small)} small calls "
          f"before, the longest {max(gaps) * 1000:.0f} ms", flush=True)
    # Not a time: had it been written at once, none would have been answered before.
    assert len(small) >= 20, f"{len(small)} calls were answered before the objects were listed"


def test_introspection_is_short(lab):
    gw = large(lab)
    network = gw.busctl("call", "org.omerta.Mesh1", ROOT, "org.omerta.Mesh1.Manager", "GetNetwork",
                        "s", "").stdout.split('"')[1]
    xml = gw.busctl("introspect", "--xml-interface", "org.omerta.Mesh1", network + "/machine").stdout
    assert 100 < xml.count("<node name") <= 256, xml.count("<node name")
    # The command line has them all.
    assert len(gw.json("network", "peers")["machines"]) == MACHINES + 1


def test_what_changes_meanwhile(lab):
    """A client that keeps what it was told: the list first, then the signals. Machines are revoked
    and let in all the time while it is made."""
    gw = large(lab)
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(gw.bus_address)
    network = gw.busctl("call", "org.omerta.Mesh1", ROOT, "org.omerta.Mesh1.Manager", "GetNetwork",
                        "s", "").stdout.split('"')[1]
    early, cache, answered = [], set(), []

    def apply(event):
        verb, path = event
        cache.add(path) if verb == "added" else cache.discard(path)

    def on_signal(verb):
        def on(path, *_):
            if answered:
                apply((verb, str(path)))
            else:
                early.append((verb, str(path)))
        return on

    for verb in ("added", "removed"):
        bus.add_signal_receiver(on_signal(verb), f"Interfaces{verb.capitalize()}",
                                "org.freedesktop.DBus.ObjectManager", "org.omerta.Mesh1", ROOT)

    def on_list(objects):
        # A signal before the list is of something that is older than the list.
        cache.update(map(str, objects))
        answered.append(True)
        gone = [p for v, p in early if v == "removed" and p in cache]
        assert not gone, f"ghosts: {gone[:3]}"

    bus.call_async("org.omerta.Mesh1", ROOT, "org.freedesktop.DBus.ObjectManager",
                   "GetManagedObjects", "", (), on_list, print, timeout=60)
    # In the order of ids: those looked at first and last go while the list is made.
    revoked = []
    for i in range(0, 40):
        revoked.append(f"host-{i}")
        bus.call_async("org.omerta.Mesh1", network, "org.omerta.Mesh1.Network", "Revoke", "sa{sv}",
                       (f"host-{i}", {}), lambda *_: None, print, timeout=60)
    context = GLib.MainContext.default()
    end = time.monotonic() + 60
    while not answered and time.monotonic() < end:
        context.iteration(True)
    assert answered, "no list"

    def truth():
        return set(map(str, bus.call_blocking(
            "org.omerta.Mesh1", ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
            "", (), timeout=60)))

    def settled():
        now = truth()
        while context.iteration(False):
            pass
        return cache == now
    wait_for("the cache to be what there is", settled, 60)
    assert len(cache) <= 2 * MACHINES + 3 - len(revoked), len(cache)


FLOOD = """
import sys, dbus, dbus.bus, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
for i in range(100):
    bus.call_async("org.omerta.Mesh1", "/org/omerta/Mesh1", "org.freedesktop.DBus.ObjectManager",
                   "GetManagedObjects", "", (), lambda *a: print("list", flush=True),
                   lambda e: print(e.get_dbus_name(), flush=True), timeout=600)
bus.flush()
GLib.MainLoop().run()
"""


def test_a_share_of_lists(lab):
    gw = large(lab)
    out = lab.dir / "flood"
    flood = lab.spawn(gw.command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                 "/usr/bin/python3", "-c", FLOOD, gw.bus_address), env=gw.env,
                      stdout=open(out, "wb"), stderr=open(lab.dir / "errors", "wb"))
    wait_for("refusals", lambda: out.read_text().count("LimitReached") >= 80)
    # root has its own place meanwhile.
    assert len(gw.json("network", "peers")["machines"]) == MACHINES + 1
    flood.kill()


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv")
