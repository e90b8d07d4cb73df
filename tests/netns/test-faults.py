#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be taken away while a daemon runs, or before it starts, comes back by itself; and while
it does not, the state says so."""

import json
import signal
import subprocess
import sys

from machines import OMERTAD, main, wait_for

SOON = 10  # seconds until it is noticed and repaired, on a slow machine


def two_machines(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.ping("10.0.0.1")
    return gw, m1


def state(m):
    return m.json("network", "show")["state"]


def reason(m):
    return m.json("network", "show")["state_reason"]


def addresses(m, interface="omerta0"):
    show = m.run("ip", "-j", "addr", "show", interface, check=False)
    if show.returncode != 0:
        return []
    return sorted(a["local"] for a in json.loads(show.stdout)[0]["addr_info"])


def lines(m, words):
    return [line for line in m.log.read_text(errors="replace").splitlines() if words in line]


def six_of(m):
    six, = [a for a in addresses(m) if a.startswith("fd")]
    return six


def check_whole(gw, m1, was):
    """All is there again, and both families go through."""
    wait_for("the addresses", lambda: addresses(m1) == was, SOON)
    m1.wait_ping("10.0.0.1", SOON)
    m1.wait_ping(six_of(gw), SOON)
    gw.wait_ping("10.0.0.100", SOON)
    assert state(m1) == "online", m1.json("network", "show")


def test_interface_deleted(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.run("ip", "link", "del", "omerta0")
    check_whole(gw, m1, was)
    assert len(lines(m1, "omerta0 is gone: repaired")) == 1, m1.log.read_text()
    # Another time, and it is not forgotten either.
    m1.run("ip", "link", "del", "omerta0")
    check_whole(gw, m1, was)


def test_interface_renamed(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.run("sh", "-c", "ip link set omerta0 down; ip link set omerta0 name other")
    check_whole(gw, m1, was)
    assert m1.json("network", "show")["interface"] == "omerta0"
    assert m1.run("ip", "link", "show", "other", check=False).returncode != 0


SERVE = """
import socket
s = socket.create_server(("127.0.0.1", 7001)); print("up", flush=True)
while True:
    c, _ = s.accept(); c.sendall(b"hello"); c.close()
"""
FETCH = "import socket; print(socket.create_connection(('10.0.0.100', 80), 5).recv(9).decode())"


def test_forwards_stand_on_it(lab):
    """What is bound to the interface is bound to the new one."""
    gw, m1 = two_machines(lab)
    server = subprocess.Popen(m1.command(sys.executable, "-c", SERVE), stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"up\n"
        m1.omerta("expose", "80:127.0.0.1:7001")
        assert gw.run(sys.executable, "-c", FETCH).stdout == "hello\n"
        m1.run("ip", "link", "del", "omerta0")
        gw.wait_ping("10.0.0.100", SOON)
        assert gw.run(sys.executable, "-c", FETCH).stdout == "hello\n"
    finally:
        server.kill()
        server.wait()


def test_interface_switched_off(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.run("ip", "link", "set", "omerta0", "down")
    check_whole(gw, m1, was)
    assert len(lines(m1, "omerta0 was switched off: repaired")) == 1, m1.log.read_text()
    m1.run("sh", "-c", "ip link set omerta0 down; ip link set omerta0 up")
    check_whole(gw, m1, was)


def test_addresses_and_routes_flushed(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    six = six_of(m1)
    net6 = six_of(gw)
    for command in (("addr", "flush"), ("-6", "addr", "flush"), ("-4", "addr", "flush"),
                    ("route", "flush"), ("-6", "route", "flush")):
        m1.run("ip", *command, "dev", "omerta0")
        check_whole(gw, m1, was)
        assert six_of(m1) == six
        for address in ("10.0.0.1", net6):
            route = m1.run("ip", "route", "get", address).stdout
            assert "dev omerta0" in route, (command, route)


def test_interface_cannot_be_made(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    inside = ("nsenter", "-t", str(m1.daemon.pid), "-m", "-n", "sh", "-c")
    m1.run(*inside, "mount --bind /dev/null /dev/net/tun && ip link del omerta0")
    wait_for("it to say so", lambda: state(m1) == "failed", SOON)
    assert "omerta0" in reason(m1), reason(m1)
    assert m1.json("network", "show")["interface"] in ("", None), m1.json("network", "show")
    wait_for("the journal", lambda: lines(m1, "it is tried again"))
    m1.run(*inside, "umount /dev/net/tun")
    wait_for("it to come back", lambda: addresses(m1) == was, 70)
    check_whole(gw, m1, was)


def test_no_tun_at_the_start(lab):
    """As at a boot whose modules come late: the network waits for it."""
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.stop()
    out = open(m1.log, "ab")
    m1.daemon = lab.spawn(
        m1.command("unshare", "-m", "sh", "-c", "mount --bind /dev/null /dev/net/tun && exec \"$@\"",
                   "sh", OMERTAD, "start", "--state-dir", m1.state, "--vpn"),
        env=m1.env, stdout=out, stderr=out)
    wait_for("m1's daemon", m1.is_ready)
    assert state(m1) == "failed", m1.json("network", "show")
    assert "/dev/net/tun" in reason(m1) or "omerta0" in reason(m1), reason(m1)
    m1.run("nsenter", "-t", str(m1.daemon.pid), "-m", "umount", "/dev/net/tun")
    # Something changes on the machine, which is when it is looked at soon.
    m1.run("ip", "link", "add", "dummy7", "type", "bridge")
    check_whole(gw, m1, was)


def test_name_taken_at_the_start(lab):
    """By a name that was asked for; it is ours when it is free."""
    gw = lab.gateway()
    m1 = lab.machine("m1")
    m1.start("--vpn", "--interface", "vpn0")
    m1.omerta("network", "join", gw.omerta("network", "invite"))
    was = addresses(m1, "vpn0")
    m1.stop()
    m1.run("ip", "link", "del", "vpn0", check=False)
    m1.run("ip", "link", "add", "vpn0", "type", "bridge")
    m1.start("--vpn", "--interface", "vpn0")
    assert state(m1) == "failed" and "vpn0" in reason(m1), m1.json("network", "show")
    m1.run("ip", "link", "del", "vpn0")
    wait_for("the interface", lambda: addresses(m1, "vpn0") == was, SOON)
    m1.wait_ping("10.0.0.1", SOON)
    assert state(m1) == "online", m1.json("network", "show")


def test_gateway_alone(lab):
    gw, m1 = two_machines(lab)
    assert not reason(gw), reason(gw)
    m1.stop()
    wait_for("it to be noticed", lambda: "no other member" in (reason(gw) or ""), 90)
    assert state(gw) == "online"
    m1.start("--vpn")
    wait_for("it to be noticed", lambda: not reason(gw), SOON)


def test_ipv6_switched_off(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.run("sysctl", "-qw", "net.ipv6.conf.omerta0.disable_ipv6=1")
    wait_for("it to say so", lambda: "IPv6" in (reason(m1) or ""), SOON)
    assert state(m1) == "online"
    assert not m1.json("network", "show").get("address6"), m1.json("network", "show")
    m1.ping("10.0.0.1")
    m1.run("sysctl", "-qw", "net.ipv6.conf.omerta0.disable_ipv6=0")
    check_whole(gw, m1, was)
    assert not reason(m1), reason(m1)


def test_name_taken(lab):
    gw = lab.gateway()
    m1 = lab.machine("m1")
    m1.run("ip", "link", "add", "omerta0", "type", "bridge")
    m1.start("--vpn")
    m1.omerta("network", "join", gw.omerta("network", "invite"))
    assert m1.json("network", "show")["interface"] == "omerta1"
    m1.ping("10.0.0.1")
    # Asked for: no other is taken, and what to do is said.
    m2 = lab.machine("m2")
    m2.run("ip", "link", "add", "vpn0", "type", "bridge")
    m2.start("--vpn", "--interface", "vpn0")
    r = m2.omerta("network", "join", gw.omerta("network", "invite"), check=False)
    assert r.returncode != 0 and "vpn0" in r.stderr and "--interface" in r.stderr, r


def test_name_taken_meanwhile(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    # Else the daemon is faster.
    m1.daemon.send_signal(signal.SIGSTOP)
    m1.run("sh", "-c", "ip link del omerta0; ip link add omerta0 type bridge")
    m1.daemon.send_signal(signal.SIGCONT)
    wait_for("another name", lambda: addresses(m1, "omerta1") == was, SOON)
    m1.wait_ping("10.0.0.1", SOON)
    assert m1.json("network", "show")["interface"] == "omerta1"
    assert len(lines(m1, "somebody else's")) == 1
    # It is kept, whatever was free at the time of the start.
    m1.stop()
    m1.run("ip", "link", "del", "omerta0")
    m1.start("--vpn")
    m1.wait_ping("10.0.0.1")
    assert m1.json("network", "show")["interface"] == "omerta1"


# As systemd does after a restart, with an interface that was deleted meanwhile.
DEAD_TUN = """
import fcntl, os, struct, subprocess, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"omerta0", 0x0001 | 0x1000 | 0x4000 | 0x0100))
subprocess.run(["ip", "link", "del", "omerta0"], check=True)
os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="tun-omerta0", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_dead_fd_of_systemd(lab):
    gw, m1 = two_machines(lab)
    was = addresses(m1)
    m1.stop()
    out = open(m1.log, "ab")
    m1.daemon = lab.spawn(
        m1.command(sys.executable, "-c", DEAD_TUN, OMERTAD, "start", "--state-dir", m1.state, "--vpn"),
        env=m1.env, stdout=out, stderr=out)
    wait_for("m1's daemon", m1.is_ready)
    check_whole(gw, m1, was)


def link_states(m):
    return {p["link"] for p in m.json("network", "peers")["machines"]}


def test_cable_pulled(lab):
    """Without a word: the far end of the line is cut, and there is traffic."""
    gw, m1 = two_machines(lab)
    lab.hub_run("ip", "link", "set", "gw", "nomaster")

    def noticed():
        m1.ping("10.0.0.1", check=False)
        return state(m1) == "offline"

    wait_for("it to be noticed", noticed, 15)
    assert "up" not in link_states(m1), link_states(m1)
    lab.hub_run("ip", "link", "set", "gw", "master", "br0")
    wait_for("it to be back", lambda: state(m1) == "online", 15)
    m1.wait_ping("10.0.0.1")


def test_addresses_of_the_machine_gone(lab):
    """The kernel says so, and there is no traffic; also where the machine is the gateway."""
    gw, m1 = two_machines(lab)
    for m in (m1, gw):
        m.run("ip", "addr", "flush", "dev", "eth0")
        wait_for("it to be noticed", lambda m=m: state(m) == "offline", SOON)
        assert "up" not in link_states(m), link_states(m)
        assert "no address" in reason(m), reason(m)
        m.run("ip", "addr", "add", f"{m.address}/24", "dev", "eth0")
        wait_for("it to be back", lambda m=m: state(m) == "online", SOON)
        m1.wait_ping("10.0.0.1")


def test_own_cable_pulled(lab):
    gw, m1 = two_machines(lab)
    for m in (m1, gw):
        lab.hub_run("ip", "link", "set", m.name, "down")
        wait_for("it to be noticed", lambda m=m: state(m) == "offline", SOON)
        lab.hub_run("ip", "link", "set", m.name, "up")
        wait_for("it to be back", lambda m=m: state(m) == "online", SOON)
        m1.wait_ping("10.0.0.1")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "nsenter", "sysctl")
