#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disk fills up while omertad runs, or is made read-only under it."""

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


@contextlib.contextmanager
def own_file_system(lab, m):
    """ext4, which becomes read-only when it finds an error, as the disks of most machines do."""
    image = lab.dir / "disk"
    with open(image, "wb") as f:
        f.truncate(16 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    m.state.mkdir(mode=0o700)
    if run("mount", "-o", "loop,errors=remount-ro", image, m.state, check=False).returncode != 0:
        yield None
        return
    device = os.stat(m.state).st_dev
    name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    try:
        yield f"/sys/fs/ext4/{name}/trigger_fs_error"
    finally:
        if m.daemon:
            m.stop()
        run("umount", m.state)


def lock(m, how):
    """Nothing is written to them, by root neither, as long as they are immutable."""
    run("chattr", how, *sorted(m.state.glob("omerta.db*")), m.state)


def test_read_only(lab):
    gw = lab.machine("gw")
    with own_file_system(lab, gw) as error:
        if not error:
            print("# skipped: no loop devices here")
            return
        gw.start("--gateway", "--vpn")
        wait_for("an address", lambda: gw.omerta("network", "address", check=False).stdout)
        a = lab.member(gw, "m1")
        a.wait_ping("10.0.0.1")
        kept = invites(gw)
        # For a while.
        lock(gw, "+i")
        try:
            assert gw.omerta("network", "invite", check=False).returncode == 1
            wait_for("the reason", lambda: SAYS in (reason(gw) or ""))
        finally:
            lock(gw, "-i")
        check_recovery(gw, a, kept)
        # For good: it is said at the first thing that is to be kept, and packets flow.
        with open(error, "w") as f:
            f.write("a test")
        assert gw.omerta("network", "invite", check=False).returncode == 1
        wait_for("the reason", lambda: SAYS in (reason(gw) or ""))
        assert SAYS in gw.omerta("status"), gw.omerta("status")
        assert gw.json("network", "list")["networks"][0]["state"] == "online"
        a.ping("10.0.0.1")


if __name__ == "__main__":
    main([test_full, test_switched_off_and_on, test_read_only], "mkfs.ext4", "chattr")
