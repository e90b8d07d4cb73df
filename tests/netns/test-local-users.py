#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What users of a machine can make its daemon do: polkit is asked, about the right action, before
anything else; nobody takes the places of others; what they type is read before it is believed."""

import pathlib
import pwd
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

from machines import OMERTA, main, wait_for

TOP = pathlib.Path(sys.argv[0]).resolve().parent.parent.parent
NOBODY, OTHER = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("daemon").pw_uid
MANAGER = "org.omerta.Mesh1.Manager"


class Polkit:
    """@answer: no, yes, password, hold"""

    def __init__(self, m, answer):
        self.out = m.dir / "polkit"
        self.process = m.lab.spawn(["/usr/bin/python3", TOP / "tests/netns/polkit.py", m.bus_address,
                                    answer], stdout=open(self.out, "wb"),
                                   stderr=open(m.dir / "polkit-errors", "wb"))
        wait_for("polkit", lambda: "ready" in self.out.read_text())

    def lines(self, word):
        return [line.split()[1:] for line in self.out.read_text().splitlines()
                if line.split()[0] == word]


def as_user(m, uid, *args):
    return m.command("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *args)


def call(m, uid, path, method, *args):
    interface, member = method.rsplit(".", 1)
    return subprocess.run(
        as_user(m, uid, "busctl", f"--address={m.bus_address}", "call", "org.omerta.Mesh1", path,
                interface, member, *args), env=m.env, capture_output=True, text=True, timeout=60)


def rows():
    """{"Manager.Join": "manage-networks", ...} of docs/security.md; None: everybody."""
    out = {}
    for line in (TOP / "docs/security.md").read_text().splitlines():
        m = re.fullmatch(r"\| ((?:`\w+\.\w+`(?:, )?)+) \| (?:`([a-z-]+)`|everybody) \|.*", line)
        if m:
            out.update({name: m[2] for name in re.findall(r"`(\w+\.\w+)`", m[1])})
    return out


# What is read before polkit is asked has to be possible.
ARGUMENTS = {"Network.DeleteInvite": ["s", "00" * 16], "Network.Refuse": ["s", "x"],
             "Manager.Dial": ["sqa{sv}", "10.0.0.100", "1", "0"]}
EMPTY = {"s": [""], "q": ["0"], "u": ["0"], "t": ["0"], "b": ["false"], "a{sv}": ["0"]}


def test_every_method_asks_what_is_written(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    gw.omerta("forward", "0:10.0.0.100:22")
    polkit = Polkit(gw, "no")
    tree = gw.busctl("tree", "--list", "org.omerta.Mesh1").stdout.split()
    paths = {"Manager": "/org/omerta/Mesh1", "Network": next(p for p in tree if p.count("/") == 5)}
    paths["Gateway"] = paths["Network"]
    for name in ("Machine", "Session", "Lease", "Forward"):
        paths[name] = next(p for p in tree if f"/{name.lower()}/" in p)
    written, seen = rows(), set()
    for file in (TOP / "dbus").glob("*.xml"):
        interface = ET.parse(file).getroot().find("interface").get("name")
        for method in ET.parse(file).getroot().iter("method"):
            name = f"{interface.rsplit('.', 1)[1]}.{method.get('name')}"
            assert name in written, f"docs/security.md has no row for {name}"
            seen.add(name)
            types = [a.get("type") for a in method.findall("arg") if a.get("direction") == "in"]
            args = ARGUMENTS.get(name) or ["".join(types)] + [v for t in types for v in EMPTY[t]]
            before = len(polkit.lines("ask"))
            r = call(gw, NOBODY, paths[name.split(".")[0]], f"{interface}.{method.get('name')}",
                     *(args if types else []))
            asked = [line[1] for line in polkit.lines("ask")[before:]]
            want = written[name] and f"org.omerta.Mesh1.{written[name]}"
            assert asked == ([want] if want else []), f"{name} asks {asked}, not {want}: {r.stderr}"
            assert not want or r.returncode != 0, f"{name} was done though polkit said no"
    assert seen == set(written), f"rows of methods that are not there: {set(written) - seen}"


# Asks @argv[2] questions at once and stays on the bus; says what was answered.
FLOOD = """
import sys, dbus, dbus.bus, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
for i in range(int(sys.argv[2])):
    bus.call_async("org.omerta.Mesh1", "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager",
                   "CreateNetwork", "sa{sv}", ("x", {}), lambda *a: print("done", flush=True),
                   lambda e: print(e.get_dbus_name(), flush=True), timeout=600)
bus.flush()
GLib.MainLoop().run()
"""


def test_questions_of_one_user(lab):
    gw = lab.gateway()
    polkit = Polkit(gw, "hold")
    out = gw.dir / "flood"
    flood = lab.spawn(as_user(gw, NOBODY, "/usr/bin/python3", "-c", FLOOD, gw.bus_address, "100"),
                      env=gw.env, stdout=open(out, "wb"))
    wait_for("refusals", lambda: out.read_text().count("LimitReached") == 84)
    assert len(polkit.lines("ask")) == 16, polkit.lines("ask")
    # Another connection of theirs has no other share; another user has.
    r = call(gw, NOBODY, "/org/omerta/Mesh1", f"{MANAGER}.CreateNetwork", "sa{sv}", "x", "0")
    assert r.returncode != 0 and "too many calls" in r.stderr, r
    other = lab.spawn(as_user(gw, OTHER, "/usr/bin/python3", "-c", FLOOD, gw.bus_address, "1"),
                      env=gw.env)
    wait_for("the question of another user", lambda: len(polkit.lines("ask")) == 17)
    # root is not asked and not held up.
    gw.omerta("network", "create", "another", "--subnet", "10.9.0.0/16")
    # Who leaves takes the questions along, and has the places again.
    flood.kill()
    flood.wait()
    wait_for("the questions to be called off", lambda: len(polkit.lines("cancel")) == 16)
    assert {q[0] for q in polkit.lines("cancel")} == {q[0] for q in polkit.lines("ask")[:16]}
    lab.spawn(as_user(gw, NOBODY, "/usr/bin/python3", "-c", FLOOD, gw.bus_address, "16"), env=gw.env)
    wait_for("new questions", lambda: len(polkit.lines("ask")) == 33)
    assert other.poll() is None


def test_a_refusal_says_whether_a_password_helps(lab):
    gw = lab.gateway()
    for answer, words in (("no", "not allowed by polkit"), ("password", "pkttyagent")):
        polkit = Polkit(gw, answer)
        r = subprocess.run(as_user(gw, NOBODY, OMERTA, "network", "create", "x"), env=gw.env,
                           capture_output=True, text=True, timeout=60)
        assert r.returncode == 5 and words in r.stderr, (answer, r)
        polkit.process.kill()
        polkit.process.wait()


def test_names_are_read(lab):
    gw = lab.gateway()
    for name in ("a b", "a\tb", "\u202eabc", "a\u00a0b", "a\u200bb"):
        r = gw.omerta("network", "create", name, check=False)
        assert r.returncode != 0 and "name" in r.stderr and "control characters" in r.stderr, (name, r)
        r = gw.omerta("network", "create", "other", "--owner", name, check=False)
        assert r.returncode != 0 and "owner" in r.stderr, (name, r)
        r = gw.omerta("network", "join", "omerta://join/x", "--host-name", name, check=False)
        assert r.returncode != 0, (name, r)
    assert len(gw.json("network", "list")["networks"]) == 1
    gw.omerta("network", "create", "zwölf-日本", "--owner", "zoë", "--subnet", "10.9.0.0/16")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv")
