#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The message bus goes away under the daemon and comes back: packets are carried meanwhile, and
then everything is on the bus that was."""

import pwd
import socket

from machines import TOP, main, wait_for
from users import User

NOBODY = pwd.getpwnam("nobody").pw_uid
NAME, ROOT = "org.omerta.Mesh1", "/org/omerta/Mesh1"


def said(m, text):
    return text in m.log.read_text(errors="replace")


def test_the_bus_is_restarted(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    for _ in range(2):
        gw.end_bus()
        wait_for("the daemon to see it", lambda: gw.daemon.poll() is not None or said(gw, "bus has gone"))
        assert gw.daemon.poll() is None, gw.daemon.returncode
        assert m1.ping("10.0.0.1"), "no packets without a bus"
        gw.start_bus()
        wait_for("the daemon on the new bus", gw.is_ready)
        gw.log.write_text("")
    # All that was there is there, and goes on.
    assert len(gw.json("network", "peers")["machines"]) == 2
    gw.busctl("get-property", NAME, "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1",
              "LogLevel")
    with open(lab.dir / "signals", "wb") as out:
        monitor = lab.spawn(["busctl", f"--address={gw.bus_address}", "monitor", "--json=short",
                             f"--match=type='signal',sender='{NAME}'"], stdout=out,
                            stderr=open(lab.dir / "monitor", "wb"))
    wait_for("the monitor", lambda: monitor.poll() is None
             and "Monitoring" in (lab.dir / "monitor").read_text())
    m2 = lab.member(gw, "m2")
    m2.wait_ping("10.0.0.1")
    wait_for("signals", lambda: "/lease/10_0_0_101" in (lab.dir / "signals").read_text())


def test_a_bus_that_does_not_answer(lab):
    """Who listens at its address and says nothing holds nobody up, and is given up for the next."""
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    gw.end_bus()
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(gw.dir / "bus"))
    mute.listen(16)
    mute.settimeout(60)
    first, _ = mute.accept()  # the daemon tries again
    for _ in range(3):
        assert m1.ping("10.0.0.1"), "the daemon waits for the bus"
    (gw.dir / "bus").unlink()
    mute.close()
    first.close()
    gw.start_bus()
    wait_for("the daemon on the new bus", gw.is_ready)
    assert gw.stop() == 0


def test_it_ends_without_a_bus(lab):
    gw = lab.gateway()
    gw.end_bus()
    wait_for("the daemon to see it", lambda: said(gw, "bus has gone"))
    assert gw.stop() == 0
    # And while one does not answer.
    gw.start_bus()
    gw.start("--vpn")
    gw.end_bus()
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(gw.dir / "bus"))
    mute.listen(16)
    mute.settimeout(60)
    held = mute.accept()
    assert gw.stop() == 0
    held[0].close()


def test_calls_under_way_are_dropped(lab):
    """One that polkit is asked about, one that waits for another machine, a list of all objects."""
    gw = lab.gateway()
    link = gw.omerta("network", "invite")
    gw.stop()
    gw.start("--vpn")
    held = lab.dir / "held"

    def polkit():
        p = lab.spawn(["/usr/bin/python3", TOP / "tests/netns/polkit.py", gw.bus_address, "hold"],
                      stdout=open(held, "wb"), stderr=open(lab.dir / "polkit-errors", "wb"))
        wait_for("polkit", lambda: "ready" in held.read_text())
        return p

    def caller(*args):
        return lab.spawn(gw.command("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                                    "--clear-groups", "busctl", f"--address={gw.bus_address}", *args))

    for _ in range(2):
        p = polkit()
        callers = [caller("call", NAME, ROOT, f"{NAME}.Manager", "CreateNetwork", "sa{sv}", f"n{i}", "0")
                   for i in range(16)]
        wait_for("the questions", lambda: held.read_text().count("ask") == 16)
        gw.end_bus()
        wait_for("the daemon to see it", lambda: said(gw, "bus has gone"))
        p.terminate()
        for c in [*callers, p]:
            c.wait(timeout=20)
        gw.start_bus()
        # Their places are free: as many are asked about again.
        wait_for("the daemon on the new bus", gw.is_ready)
        gw.log.write_text("")
    m1 = lab.machine("m1")
    m1.start("--vpn")
    gw.stop()
    joining = lab.spawn(m1.command("busctl", f"--address={m1.bus_address}", "call", NAME, ROOT,
                                   f"{NAME}.Manager", "Join", "sa{sv}", link, "0"))
    wait_for("the attempt", lambda: "joining" in m1.omerta("network", "list", check=False).stdout)
    m1.end_bus()
    joining.wait(timeout=20)
    wait_for("the daemon to see it", lambda: said(m1, "bus has gone"))
    wait_for("the attempt to fail", lambda: said(m1, "not joined"))
    m1.start_bus()
    wait_for("the daemon on the new bus", m1.is_ready)
    assert m1.json("network", "list")["networks"] == []


def test_a_users_daemon(lab):
    """Its session bus goes: the daemon goes on without, and is found on the next at the address."""
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    u.start("--netstack=lwip", "--socks-proxy", "0")
    u.omerta("network", "join", gw.omerta("network", "invite"))
    u.end_bus()
    wait_for("the daemon to see it", lambda: said(u, "bus has gone"))
    assert u.daemon.poll() is None
    u.start_bus()
    wait_for("the daemon on the new bus", u.is_ready)
    assert "10.0.0.1" in u.omerta("ping", "--count", "1", "10.0.0.1")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv")
