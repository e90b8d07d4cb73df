#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The UDP sockets of a daemon are taken away while it runs, one family or both, its own or those
that systemd passed: they come back, and meanwhile the state says what is wrong."""

import socket
import subprocess
import sys

import sockets
from machines import OMERTAD, main, wait_for

SOON = 15  # seconds until it is noticed and repaired, on a slow machine
V4, V6 = socket.AF_INET, socket.AF_INET6


def two_machines(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    return gw, m1


def show(m):
    return m.json("network", "show")


def lines(m, words):
    return [line for line in m.log.read_text(errors="replace").splitlines() if words in line]


def check_anew(m, family, was):
    wait_for("another socket", lambda: sockets.inode(m.daemon.pid, family) not in (was, None), SOON)
    wait_for("online", lambda: show(m)["state"] == "online", SOON)
    wait_for("nothing to say", lambda: not show(m)["state_reason"], SOON)


def test_shut_down(lab):
    gw, m1 = two_machines(lab)
    for m in (m1, gw):
        for family in (V4, V6):
            was, other = (sockets.inode(m.daemon.pid, f) for f in (family, V4 + V6 - family))
            sockets.shut(m.daemon.pid, family)
            check_anew(m, family, was)
            m1.wait_ping("10.0.0.1", SOON)
            gw.wait_ping("10.0.0.100", SOON)
            # The other did not notice.
            assert sockets.inode(m.daemon.pid, V4 + V6 - family) == other
    assert len(lines(m1, "it was opened anew")) == 2, m1.log.read_text()


def test_ended_by_the_kernel(lab):
    """ss -K; one that was bound to any port loses it."""
    gw, m1 = two_machines(lab)
    m1.run("ss", "-K", "-u", "-a", "sport", "=", ":18002")
    m1.wait_ping("10.0.0.1", SOON)
    gw.wait_ping("10.0.0.100", SOON)
    m1.stop()
    m1.start("--vpn", "--port", "0")
    m1.wait_ping("10.0.0.1", SOON)
    with sockets.of(m1.daemon.pid, V4) as s:
        port = s.getsockname()[1]
    m1.run("ss", "-K", "-u", "-a", "sport", "=", f":{port}")
    wait_for("the port", lambda: f":{port} " in m1.run("ss", "-lun4").stdout, SOON)
    m1.wait_ping("10.0.0.1", SOON)
    gw.wait_ping("10.0.0.100", SOON)


SQUAT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 18002))
print("bound", flush=True)
sys.stdin.read()
"""


def squat(lab, m):
    """Somebody has the port when the daemon wants it again."""
    with sockets.of(m.daemon.pid, V4) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p = lab.spawn(m.command(sys.executable, "-c", SQUAT), stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "bound\n"
    sockets.shut(m.daemon.pid, V4)
    return p


def test_port_taken_meanwhile(lab):
    """Not by force: it says so, IPv6 goes on, and it takes the port when it is free again."""
    gw, m1 = two_machines(lab)
    p = squat(lab, m1)
    wait_for("a reason", lambda: "another program" in (show(m1)["state_reason"] or ""), SOON)
    assert show(m1)["state"] != "failed"
    wait_for("the journal", lambda: lines(m1, "it is tried again"))
    assert "another program" in m1.omerta("status"), m1.omerta("status")
    p.kill()
    p.wait()
    wait_for("the port", lambda: not show(m1)["state_reason"], 70)
    m1.wait_ping("10.0.0.1", SOON)


def start_as_systemd(lab, m, holder, fds):
    out = open(m.log, "ab")
    m.daemon = lab.spawn(
        m.command(sys.executable, "-c", sockets.STARTER, holder.pid, *fds, OMERTAD, "start",
                  "--state-dir", m.state, "--vpn"),
        env=m.env, stdout=out, stderr=out)
    wait_for(f"{m.name}'s daemon", m.is_ready)


def may_share(m):
    """Whether somebody else gets a socket on the port who asks to share it."""
    r = m.run(sys.executable, "-c", "import socket\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
              "s.bind(('0.0.0.0', 18002))", check=False)
    return r.returncode == 0


def test_sockets_of_systemd(lab):
    gw, m1 = two_machines(lab)
    m1.stop()
    holder, fds = sockets.hold(m1, lab)
    assert may_share(m1)
    start_as_systemd(lab, m1, holder, fds)
    m1.wait_ping("10.0.0.1", SOON)
    assert not may_share(m1)
    for family in (V4, V6):
        was = sockets.inode(m1.daemon.pid, family)
        sockets.shut(m1.daemon.pid, family)
        check_anew(m1, family, was)
        m1.wait_ping("10.0.0.1", SOON)
        gw.wait_ping("10.0.0.100", SOON)
    assert not may_share(m1)
    assert lines(m1, "systemctl restart omertad.socket"), m1.log.read_text()
    # They are passed again, and not taken.
    m1.stop()
    start_as_systemd(lab, m1, holder, fds)
    m1.wait_ping("10.0.0.1", SOON)
    gw.wait_ping("10.0.0.100", SOON)
    assert show(m1)["state"] == "online" and not show(m1)["state_reason"], show(m1)
    assert not may_share(m1)


def test_loopback_and_ipv6_off(lab):
    """Neither is a reason to lose the other."""
    gw, m1 = two_machines(lab)
    for m in (m1, gw):
        m.run("ip", "link", "set", "lo", "down")
        m.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    m1.wait_ping("10.0.0.1", SOON)
    assert show(m1)["state"] == "online"
    for m in (m1, gw):
        m.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
        m.run("ip", "link", "set", "lo", "up")
    m1.wait_ping("10.0.0.1", SOON)
    wait_for("nothing to say", lambda: not show(m1)["state_reason"], SOON)


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "sysctl", "ss")
