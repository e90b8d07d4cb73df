#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user's own daemon under programs that misbehave: what they leave behind, what they are told,
and what becomes of everybody else when there are no descriptors left.

    test-user-load.py slow_peer_vanishes       is not among those that run by themselves
"""

import json
import pathlib
import sys
import time

from hostile import request
from load import Watched, ask, children, fds_of_all_kinds, program, start
from machines import main, wait_for
from users import User, both_engines, join_engine

# What the second half may leave behind the first: lwIP's TIME-WAIT (2048 of 300 bytes,
# tests/unit/test-netif-netstack-stream.c), and for each of it what the allocator keeps of pages it
# has used once. A connection that leaked would be more, and shows by its descriptor as well.
TIME_WAIT_KIB = 600
KIB_MORE_EACH = 0.5
USER_HZ = 100


def serve(m):
    m.lab.spawn(m.command(*program(m.lab, "hostile.py"), "serve", "7001"), env=m.env)
    wait_for("the server", lambda: ":7001 " in m.run("ss", "-Hltn").stdout)


def gone_member(lab, gw, *users):
    """The address of a machine that had one and is not there any more, as the users know."""
    if not hasattr(lab, "gone"):
        m = lab.member(gw, "gone")
        wait_for("its address", lambda: m.omerta("network", "address", check=False).stdout)
        lab.gone = m.omerta("network", "address")
        m.stop(9)
    for u in users:
        wait_for("the lease", lambda: lab.gone in u.omerta("dhcp", "leases"))
    return lab.gone


def private_dirty(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])


def compare_memory(u, dirty, half):
    """After the first @half things and after as many more."""
    if "libasan" in pathlib.Path(f"/proc/{u.daemon.pid}/maps").read_text():
        print("# the sanitizer keeps what was freed, and looks for leaks itself")
        return
    print(f"# {u.name}: {dirty[0]} KiB private and dirty after one half, {dirty[1]} KiB after both",
          flush=True)
    assert dirty[1] <= dirty[0] + TIME_WAIT_KIB + half * KIB_MORE_EACH, dirty


def load_twice(lab, gw, u, program, half, parallel):
    if u.name == "kernel":
        serve(gw)
    gone = gone_member(lab, gw, u)
    watched = Watched(u)
    dirty = []
    for _ in range(2):
        r = ask(u, program, "load", gone, str(half), str(parallel))
        assert r["wrong"] == 0, r
        assert sum(r["done"].values()) == half and len(r["done"]) == r["kinds"], r
        watched.wait_back(f"{half} of {program}")
        dirty.append(private_dirty(u.daemon.pid))
    compare_memory(u, dirty, half)


@both_engines
def test_ten_thousand_connections(lab, gw, u):
    load_twice(lab, gw, u, "hostile.py", 5000, 100)


@both_engines
def test_two_thousand_dials(lab, gw, u):
    load_twice(lab, gw, u, "dials.py", 1000, 50)


def limit_of(pid):
    """The soft and the hard one."""
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            return tuple(int(n) for n in line.split()[3:5])


def cpu(pid):
    """Seconds the process has used."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / USER_HZ


def test_limit_is_raised(lab):
    gw = lab.gateway()
    u = User(lab, gw, "u")
    u.start("--netstack", "kernel", prefix=["prlimit", "--nofile=128:4000"])
    u.join(gw)
    assert limit_of(u.daemon.pid) == (4000, 4000), limit_of(u.daemon.pid)
    for helper in children(u.daemon.pid):
        assert limit_of(helper) == (64, 4000), limit_of(helper)


def test_no_descriptors_left(lab):
    gw, host = lab.gateway(), lab.machine("m1")
    serve(gw)
    for engine in ("kernel", "lwip"):
        u = join_engine(lab, gw, host, engine, prefix=["prlimit", "--nofile=64:64"])
        if u:
            starve(gw, u, gone_member(lab, gw, u))
            u.daemon.terminate()
            assert u.daemon.wait(timeout=20) == 0, "omertad did not end well"


def starve(gw, u, gone):
    watched = Watched(u)
    address = u.omerta("network", "address")
    for _ in range(2):
        holder = start(u, "hostile.py", "hold", "200")
        met = json.loads(holder.stdout.readline())
        assert sum(met.values()) == 200 and met.get("reply 0", 0) >= 5, met
        assert set(met) <= {"reply 0", "reply 1", "closed"}, met
        # What is taken ends before the reserve (FDS_RESERVED), and a connection's three before that.
        assert 64 - 16 - 3 <= sum(fds_of_all_kinds(u.daemon.pid)) <= 64 - 16, met
        begin, used = time.monotonic(), cpu(u.daemon.pid)
        # The network goes on, and so does the bus.
        gw.ping(address, count=3)
        u.omerta("status")
        if u.name == "kernel":
            # It can even join another one: that is what the reserve is for.
            u.omerta("network", "create", "second", "--subnet", "10.9.0.0/16")
            u.omerta("network", "leave", "--network", "second", "--force")
        # While they are being made (kernel), or kept (lwip), they take one each.
        told = ask(u, "dials.py", "ask", *[f"{i}={gone},7001,timeout:500000" for i in range(5)],
                   *[f"{i}=10.0.0.1,7001," for i in range(5, 10)])
        errors = {error for error, _ in told.values()}
        assert {"LimitReached", "Timeout"} <= errors <= {"LimitReached", "Timeout", None}, told
        assert cpu(u.daemon.pid) - used < (time.monotonic() - begin) / 2
        print(f"# {u.name}: {met}; {cpu(u.daemon.pid) - used:.2f} s of CPU in "
              f"{time.monotonic() - begin:.1f} s", flush=True)
        holder.kill()
        watched.wait_back("too many connections")
        good = ask(u, "hostile.py", "ask", "good=" + request("10.0.0.1", 7001).hex())["good"]
        assert good[0] == 0 and good[1] < 5, good


# -- what callers are told --

def socks_cases(lab, gw):
    """name: request, reply (RFC 1928 section 6), seconds at most. PROXY_DIAL_USEC is 30 s."""
    ula = next(m["address6"] for m in gw.json("network", "peers")["machines"] if m["is_self"])
    nobody = ula[:-1] + ("1" if ula[-1] != "1" else "2")
    bad_type = request("10.0.0.1", 7001)
    return {
        "good": (request("10.0.0.1", 7001), 0, 5),
        "good by ULA": (request(ula, 7001), 0, 5),
        "good by a number as name": (b"\x05\x01\x00\x05\x01\x00\x03\x0810.0.0.1\x1b\x59", 0, 5),
        "nobody's address": (request("10.0.77.77", 7001), 4, 5),
        "nobody's ULA": (request(nobody, 7001), 4, 5),
        "outside": (request("192.0.2.1", 80), 4, 5),
        "nobody serves": (request("10.0.0.1", 7), 5, 5),
        "nobody serves, ULA": (request(ula, 7), 5, 5),
        "nobody's name": (request("nobody.omerta", 7001), 4, 5),
        "no name": (request("", 7001), 4, 5),
        "port 0": (request("10.0.0.1", 0), 5, 5),
        "BIND": (request("10.0.0.1", 7001, command=2), 7, 5),
        "command 9": (request("10.0.0.1", 7001, command=9), 7, 5),
        "address type 8": (bad_type[:6] + b"\x08" + bad_type[7:], 8, 5),
        # The packet path gives up before TCP does (PENDING_USEC).
        "gone": (request(lab.gone, 7001), 4, 20),
        "full": (request("10.0.0.1", 7003), 6, 45),
    }


def dial_cases(lab):
    """name: what "dials.py ask" wants, the error's name, seconds at most."""
    return {
        "good": ("10.0.0.1,7001,", None, 5),
        "nobody's address": ("10.0.77.77,7001,", "NoSuchMachine", 5),
        "nobody serves": ("10.0.0.1,7,", "Refused", 5),
        "nobody's name": ("nobody.omerta,7001,", "NoSuchMachine", 5),
        "no name": (",7001,", "NoSuchMachine", 5),
        "port 0": ("10.0.0.1,0,", "InvalidArgument", 5),
        "no time": ("10.0.0.1,7001,timeout:0", "InvalidArgument", 5),
        "gone": (f"{lab.gone},7001,timeout:1500000", "Timeout", 5),
        "full": ("10.0.0.1,7003,timeout:1500000", "Timeout", 5),
        "no such network": ("10.0.0.1,7001,network:other", "NoSuchNetwork", 5),
    }


def compare(u, cases, told):
    assert told.keys() == cases.keys()
    for name, (answer, seconds) in told.items():
        _, wanted, at_most = cases[name]
        assert answer == wanted and seconds < at_most, (u.name, name, answer, wanted, seconds)


def finish(process, seconds):
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def fill(u):
    """The queue of port 7003 takes one, and nobody takes it from there."""
    first = start(u, "hostile.py", "wait", "7003")
    assert first.stdout.readline() == "connected\n"
    return first


def test_what_callers_are_told(lab):
    gw = lab.gateway()
    engines = [join_engine(lab, gw, lab.machine(f"m{i}"), engine)
               for i, engine in enumerate(("kernel", "lwip"), 1)]
    engines = [u for u in engines if u]
    assert engines
    serve(gw)
    full = gw.lab.spawn(gw.command(*program(lab, "hostile.py"), "full", "7003"), env=gw.env)
    wait_for("the full server", lambda: ":7003 " in gw.run("ss", "-Hltn").stdout)
    gone_member(lab, gw, *engines)
    watched = [Watched(u) for u in engines]

    # All that has to be waited for is waited for at once.
    filler = fill(engines[0])
    wait_for("the queue to be full", lambda: gw.run("ss", "-Hltn", "sport = 7003").stdout.split()[1] == "1")
    socks = socks_cases(lab, gw)
    silent = [start(u, "hostile.py", "silent") for u in engines]
    asking = [start(u, "hostile.py", "ask", *[f"{k}={v[0].hex()}" for k, v in socks.items()])
              for u in engines]
    dials = dial_cases(lab)
    for u in engines:
        compare(u, dials, ask(u, "dials.py", "ask", *[f"{k}={v[0]}" for k, v in dials.items()]))
    for u, s, a in zip(engines, silent, asking):
        # PROXY_HANDSHAKE_USEC
        assert 9 < finish(s, 30) < 20
        compare(u, socks, finish(a, 60))
    # A client's end alone may be a half close, as far as anybody can see.
    filler.kill()
    full.kill()
    for w in watched:
        w.wait_back("the questions")

    # While the network is down.
    for u in engines:
        u.omerta("down")
        down = {"address": (request("10.0.0.1", 7001), 3, 5),
                "name": (request("nobody.omerta", 7001), 3, 5),
                "datagrams": (request("0.0.0.0", 0, command=3), 3, 5)}
        compare(u, down, ask(u, "hostile.py", "ask", *[f"{k}={v[0].hex()}" for k, v in down.items()]))
        compare(u, {"down": (None, "Unreachable", 5)}, ask(u, "dials.py", "ask", "down=10.0.0.1,7001,"))
        u.omerta("up")
        u.omerta("network", "leave")
        compare(u, down, ask(u, "hostile.py", "ask", *[f"{k}={v[0].hex()}" for k, v in down.items()]))
        compare(u, {"left": (None, "NotJoined", 5)}, ask(u, "dials.py", "ask", "left=10.0.0.1,7001,"))


def slow_peer_vanishes(lab):
    """NETSTACK_UNANSWERED_USEC, for real: 10 MB were taken and more is on the way when the machine
    loses its power. The unit tests see that sockets have that limit."""
    gw = lab.gateway()
    m = lab.member(gw, "m9")
    serve(m)
    engines = [join_engine(lab, gw, lab.machine(f"m{i}"), engine)
               for i, engine in enumerate(("kernel", "lwip"), 1)]
    engines = [u for u in engines if u]
    address = m.omerta("network", "address")
    watched = [Watched(u) for u in engines]
    sending = [start(u, "hostile.py", "send", address) for u in engines]
    for s in sending:
        assert s.stdout.readline() == ".\n"
    m.stop(9)
    m.run("ip", "link", "set", "eth0", "down")
    for u, s in zip(engines, sending):
        end, seconds = finish(s, 240)
        print(f"# {u.name}: {end} after {seconds:.0f} s", flush=True)
        # lwIP: the sum of TCP_MAXRTX timeouts. The kernel: after 120 s, at its next timer.
        assert 30 < seconds < 200
    for w in watched:
        w.wait_back("the loss")


if __name__ == "__main__":
    tests = [v for k, v in list(globals().items()) if k.startswith("test_")]
    # Takes two minutes: only when it is asked for.
    main(tests + [slow_peer_vanishes] * (slow_peer_vanishes.__name__ in sys.argv), "setpriv", "dbus-daemon")
