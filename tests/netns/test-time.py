#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real daemons and the calendar: the settings of a network, and a gateway whose clock is in doubt.
What takes days is in tests/sim/test-sim-calendar.c."""

import ctypes
import sqlite3
import time

from machines import main, wait_for

DAY = 24 * 3600 * 1000000  # µs


def test_settings(lab):
    gw = lab.gateway()
    assert gw.omerta("network", "get", "max-absence") == "none", gw.omerta("network", "get")
    assert gw.omerta("network", "get", "grace") == "180 d"
    gw.omerta("network", "set", "max-absence", "90d")
    gw.omerta("network", "set", "grace", "10d")
    for setting, value in ("max-absence", "29d"), ("grace", "-1d"), ("grace", "for ever"), ("age", "1d"):
        r = gw.omerta("network", "set", setting, value, check=False)
        assert r.returncode != 0 and r.stderr, (setting, value, r)
    # Kept.
    gw.stop()
    gw.start("--gateway", "--vpn")
    assert gw.omerta("network", "get", "max-absence") == "90 d"
    assert gw.omerta("network", "get", "grace") == "10 d"
    m1 = lab.member(gw, "m1")
    for args in ("set", "grace", "20d"), ("get", "grace"):
        r = m1.omerta("network", *args, check=False)
        assert r.returncode != 0 and "gateway" in r.stderr and not r.stdout, r
    gw.omerta("network", "set", "max-absence", "none")
    assert gw.omerta("network", "get", "max-absence") == "none", gw.omerta("network", "get")


def is_synchronised():
    """Whether the kernel says that something keeps its clock: adjtimex(2), TIME_ERROR."""
    timex = ctypes.create_string_buffer(512)
    return ctypes.CDLL(None).adjtimex(timex) != 5


def set_last_known_right(machine, days):
    """As when nobody saw those days pass: a machine wakes up with a clock that is far ahead."""
    db = sqlite3.connect(machine.state / "omerta.db")
    db.execute("INSERT OR REPLACE INTO trusted_time SELECT id, ? FROM network",
               (int(time.time() * 1000000) - days * DAY,))
    db.commit()
    db.close()


def test_clock_in_doubt(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.stop()
    m2 = lab.machine("m2")
    m2.start("--vpn")
    m3 = lab.machine("m3")
    m3.start("--vpn")
    link = gw.omerta("network", "invite", "--uses", "2")
    gw.stop()
    set_last_known_right(gw, 730)
    gw.start("--gateway", "--vpn")
    if is_synchronised():
        print("# this kernel says that something keeps its clock: nobody doubts it")
        m2.omerta("network", "join", link)
        return
    wait_for("the doubt", lambda: "repair-time" in gw.omerta("status"))
    assert "730 days later" in gw.omerta("status"), gw.omerta("status")
    # Nothing new is signed, and everybody who asks is told why.
    r = gw.omerta("network", "invite", check=False)
    assert r.returncode != 0 and "730 days later" in r.stderr and "repair-time" in r.stderr, r
    r = m2.omerta("network", "join", link, check=False)
    assert r.returncode != 0 and "clock" in r.stderr, r
    # A person's word is enough.
    gw.omerta("network", "repair-time")
    wait_for("no doubt", lambda: "repair-time" not in gw.omerta("status"))
    m2.omerta("network", "join", link)
    m2.wait_ping("10.0.0.1")
    # It is kept: the next start does not doubt again.
    gw.stop()
    gw.start("--gateway", "--vpn")
    m3.omerta("network", "join", link)


def test_a_member_confirms(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m2 = lab.member(gw, "m2")
    gw.stop()
    set_last_known_right(gw, 730)
    gw.start("--gateway", "--vpn")
    # Members that say the same time are enough: nobody has to do anything.
    m1.wait_ping("10.0.0.1")
    m2.wait_ping("10.0.0.1")
    wait_for("no doubt", lambda: "repair-time" not in gw.omerta("status"))
    lab.member(gw, "m3")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
