#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A backup of a gateway that works, made while it works, and the network after a restore."""

import os
import pwd
import shutil

from machines import OMERTA, OMERTAD, main, run, wait_for


def restore(m, backup, *args, check=True):
    return run(OMERTAD, "restore", backup, "--state-dir", m.state, *args, check=check)


def test_backup_under_traffic(lab):
    gw = lab.gateway()
    a = lab.member(gw, "m1")
    b = lab.member(gw, "m2")
    b.wait_ping(a.omerta("network", "address"))
    invite = gw.omerta("network", "invite")
    backup = gw.dir / "backup"

    traffic = lab.spawn(a.command("ping", "-n", "-i", "0.002", "-c", "2000", "10.0.0.1"))
    for i in range(5):
        said = gw.json("backup", str(backup))
        assert said["bytes"] == backup.stat().st_size, said
        if i < 4:
            backup.unlink()
    assert traffic.wait(timeout=60) == 0, "packets were lost"
    assert backup.stat().st_mode & 0o777 == 0o600
    # Nothing is written over.
    r = gw.omerta("backup", str(backup), check=False)
    assert r.returncode == 1 and "exists" in r.stderr, r

    # Not while it runs, nor over what is there.
    r = restore(gw, backup, check=False)
    assert r.returncode == 1 and "another omertad" in r.stderr, r
    gw.stop()
    r = restore(gw, backup, check=False)
    assert r.returncode == 1 and "move the files away" in r.stderr, r

    # What is meant for a daemon is not taken for it.
    r = restore(gw, backup, "--gateway", check=False)
    assert r.returncode == 64 and "--state-dir alone" in r.stderr, r

    # The disk is lost.
    shutil.rmtree(gw.state)
    out = restore(gw, backup).stdout
    assert "one machine only" in out, out
    gw.start("--vpn", "--gateway")
    assert len(gw.json("network", "list")["networks"]) == 1
    a.wait_ping("10.0.0.1")
    gw.wait_ping(b.omerta("network", "address"))
    c = lab.machine("m3")
    c.start("--vpn")
    c.omerta("network", "join", invite)
    c.wait_ping("10.0.0.1")
    c.wait_ping(a.omerta("network", "address"))


def test_standard_output_and_input(lab):
    gw = lab.gateway()
    backup = gw.dir / "backup"
    with open(backup, "wb") as f:
        lab.spawn(gw.command(OMERTA, "backup", "-"),
                  env=gw.env, stdout=f).wait()
    gw.stop()
    shutil.rmtree(gw.state)
    # As root for the user whose directory it is.
    user = pwd.getpwnam("nobody")
    gw.state.mkdir(mode=0o700)
    os.chown(gw.state, user.pw_uid, user.pw_gid)
    with open(backup, "rb") as f:
        run(OMERTAD, "restore", "-", "--state-dir", gw.state, stdin=f)
    for path in gw.state.iterdir():
        assert path.stat().st_uid == user.pw_uid, path
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_a_copy_without_its_log(lab):
    gw = lab.gateway()
    copy = gw.dir / "copy"
    copy.mkdir(mode=0o700)
    for name in ("omerta.db", "machine.key"):
        shutil.copy2(gw.state / name, copy / name)
    gw.stop()
    shutil.rmtree(gw.state)
    copy.rename(gw.state)
    gw.start("--vpn", "--gateway", wait=False)
    assert gw.daemon.wait(timeout=20) == 1
    wait_for("the sentence", lambda: "omerta.db-wal" in gw.log.read_text())


if __name__ == "__main__":
    main([test_backup_under_traffic, test_standard_output_and_input, test_a_copy_without_its_log])
