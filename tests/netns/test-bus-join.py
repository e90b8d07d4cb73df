#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Joining takes up to ten seconds: one sees how far it is, and can call it off."""

import os
import pty
import signal
import subprocess

from machines import OMERTA, WAIT, main, skip, wait_for

try:
    import dbus
    import dbus.bus
    import dbus.lowlevel
except ImportError as e:
    skip(f"needs python3-dbus: {e}")

NAME, ROOT = "org.omerta.Mesh1", "/org/omerta/Mesh1"
FAILED = 1


def networks(m):
    return m.json("network", "list")["networks"]


def silent_gateway(lab):
    """An invite of a gateway that does not answer now, and a machine that would join by it."""
    gw, m1 = lab.gateway(), lab.machine("m1")
    link = gw.omerta("network", "invite")
    gw.stop(signal.SIGKILL)
    m1.start("--vpn")
    return gw, m1, link


def joins_after_all(gw, m1, link):
    """The invite was not used up, and nothing is left of the attempt."""
    wait_for("the attempt to be gone", lambda: networks(m1) == [])
    assert "asked for it has gone" in m1.log.read_text() or "was left" in m1.log.read_text()
    assert "does not answer" not in m1.log.read_text(), "it went on to its end"
    gw.start("--vpn")
    m1.omerta("network", "join", link)
    m1.wait_ping("10.0.0.1")


def test_interrupted(lab):
    gw, m1, link = silent_gateway(lab)
    err = lab.dir / "err"
    with open(err, "wb") as f:
        p = lab.spawn(m1.command(OMERTA, "network", "join", link), env=m1.env, stderr=f)
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=WAIT) == FAILED
    assert "Not joined" in err.read_text(), err.read_text()
    joins_after_all(gw, m1, link)


def test_the_caller_leaves(lab):
    gw, m1, link = silent_gateway(lab)
    p = lab.spawn(m1.command("busctl", f"--address={m1.bus_address}", "call", NAME, ROOT,
                             f"{NAME}.Manager", "Join", "sa{sv}", link, "0"))
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    p.kill()
    joins_after_all(gw, m1, link)


def test_left_while_joining(lab):
    gw, m1, link = silent_gateway(lab)
    out = lab.dir / "out"
    with open(out, "wb") as f:
        p = lab.spawn(m1.command(OMERTA, "network", "join", link), env=m1.env, stderr=f)
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    m1.omerta("network", "leave")
    assert p.wait(timeout=WAIT) == FAILED
    assert "was left" in out.read_text(), out.read_text()
    joins_after_all(gw, m1, link)


def test_who_wants_no_answer_may_leave(lab):
    """A call without a reply goes on when its caller has gone."""
    gw, m1, link = silent_gateway(lab)
    bus = dbus.bus.BusConnection(m1.bus_address)
    call = dbus.lowlevel.MethodCallMessage(NAME, ROOT, f"{NAME}.Manager", "Join")
    call.append(link, {}, signature="sa{sv}")
    call.set_no_reply(True)
    bus.send_message(call)
    bus.flush()
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    bus.close()
    gw.start("--vpn")
    m1.wait_ping("10.0.0.1")


def test_the_bus_goes_meanwhile(lab):
    """Nobody has called it off."""
    gw, m1, link = silent_gateway(lab)
    lab.spawn(m1.command("busctl", f"--address={m1.bus_address}", "call", NAME, ROOT,
                         f"{NAME}.Manager", "Join", "sa{sv}", link, "0"))
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    m1.end_bus()
    gw.start("--vpn")
    wait_for("it to join", lambda: "joined as" in m1.log.read_text())
    m1.start_bus()
    wait_for("the daemon on the new bus", m1.is_ready)
    m1.wait_ping("10.0.0.1")


def test_progress(lab):
    """A person at a terminal sees it, a script does not."""
    gw, m1, link = silent_gateway(lab)
    mine, its = pty.openpty()
    p = subprocess.Popen(m1.command(OMERTA, "network", "join", link), env=m1.env, stderr=its,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    lab.processes.append(p)
    os.close(its)
    wait_for("the attempt", lambda: [n["state"] for n in networks(m1)] == ["joining"])
    gw.start("--vpn")
    text = b""
    try:
        while chunk := os.read(mine, 4096):
            text += chunk
    except OSError:  # EIO: the other side is closed
        pass
    os.close(mine)
    assert p.wait(timeout=WAIT) == 0, text
    lines = text.decode().split("\r\n")
    assert lines[0].startswith("joining, "), lines
    assert "connecting, waiting for an address from the gateway" in lines, lines
    assert any(line.startswith("Joined omerta as 10.0.0.") for line in lines), lines
    m2 = lab.machine("m2")
    m2.start("--vpn")
    r = m2.omerta("network", "join", gw.omerta("network", "invite"), check=False)
    assert (r.returncode, r.stdout, r.stderr) == (0, "", ""), r


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
