#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disk fills up while omertad runs."""

import contextlib
import os

from machines import main, run, wait_for

SAYS = "cannot write the state directory"


@contextlib.contextmanager
def small_disk(m):
    """A disk of its own for the state, 2 MB."""
    m.state.mkdir(mode=0o700)
    run("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", m.state)
    try:
        yield
    finally:
        if m.daemon:
            m.stop()
        run("umount", "--lazy", m.state)


def fill(m):
    with open(m.state / "filler", "wb", 0) as f:
        with contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 4096)


def reason(m):
    return m.json("network", "list")["networks"][0]["state_reason"]


def until_it_fails(gw):
    """Until the room within the files is used up as well."""
    for _ in range(2000):
        r = gw.omerta("network", "invite", check=False)
        if r.returncode != 0:
            return r
    raise AssertionError("the disk does not get full")


def invites(m):
    return sorted(i["id"] for i in m.json("network", "invites")["invites"])


def check_recovery(gw, a, kept):
    wait_for("the reason to go", lambda: not reason(gw))
    log = gw.log.read_text()
    assert log.count(SAYS) == 1, log
    assert "can be written again" in log, log
    assert invites(gw) == kept
    gw.omerta("network", "invite")
    # Once more, without anything in between.
    gw.stop()
    gw.start("--vpn")
    assert len(invites(gw)) == len(kept) + 1
    a.wait_ping("10.0.0.1")


def test_full(lab):
    gw = lab.machine("gw")
    with small_disk(gw):
        gw.start("--gateway", "--vpn")
        wait_for("an address", lambda: gw.omerta("network", "address", check=False).stdout)
        a = lab.member(gw, "m1")
        link = gw.omerta("network", "invite")
        fill(gw)
        failed = until_it_fails(gw)
        assert "space" in failed.stderr, failed
        wait_for("the reason", lambda: SAYS in reason(gw))
        assert SAYS in gw.omerta("status"), gw.omerta("status")
        kept = invites(gw)
        # What cannot be kept is not promised.
        b = lab.machine("m2")
        b.start("--vpn")
        r = b.omerta("network", "join", link, check=False)
        assert r.returncode == 1, r
        assert gw.omerta("down", check=False).returncode == 1
        a.wait_ping("10.0.0.1")
        os.unlink(gw.state / "filler")
        check_recovery(gw, a, kept)
        # The invite was not used up.
        b.omerta("network", "join", link)
        b.wait_ping("10.0.0.1")


def test_switched_off_and_on(lab):
    """What is not remembered was not done."""
    gw = lab.machine("gw")
    with small_disk(gw):
        gw.start("--gateway", "--vpn")
        wait_for("an address", lambda: gw.omerta("network", "address", check=False).stdout)
        gw.omerta("down")
        fill(gw)
        failed = gw.omerta("up", check=False)
        assert failed.returncode == 1 and "space" in failed.stderr, failed
        assert gw.json("network", "list")["networks"][0]["state"] == "down"
        os.unlink(gw.state / "filler")
        gw.omerta("up")
        wait_for("the gateway", lambda: gw.json("network", "list")["networks"][0]["state"] == "online")
        fill(gw)
        until_it_fails(gw)
        failed = gw.omerta("down", check=False)
        assert failed.returncode == 1 and "space" in failed.stderr, failed
        assert gw.json("network", "list")["networks"][0]["state"] == "online"
        os.unlink(gw.state / "filler")
        # Another change of the same row does not bring it after all.
        gw.omerta("network", "set", "grace", "100d")
        gw.stop()
        gw.start("--vpn")
        assert gw.json("network", "list")["networks"][0]["state"] == "online"


if __name__ == "__main__":
    main([test_full, test_switched_off_and_on])
