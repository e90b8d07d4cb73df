#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""omerta doctor on real machines: what it reads of the kernel is what is there."""

import json

from machines import main, wait_for

FIREWALL = """
table inet filter {
    chain input { type filter hook input priority 0; policy drop; ct state established accept; }
}
"""


def doctor(m):
    r = m.omerta("doctor", "--json", check=False)
    assert r.returncode in (0, 1, 7), r
    checks = {}
    for c in json.loads(r.stdout)["checks"]:
        checks.setdefault(c["check"], []).append(c)
    return r.returncode, checks


def verdicts(m, check):
    return [c["verdict"] for c in doctor(m)[1][check]]


def test_well(lab):
    gw = lab.gateway()
    m = lab.member(gw, "m1")
    for machine in (gw, m):
        code, checks = doctor(machine)
        for check in ("interface", "conflict", "network", "certificate", "port", "daemon", "buffer",
                      "state", "ipv6"):
            assert [c["verdict"] for c in checks[check]] == ["fine"], checks[check]
        # There is no systemd in here to say anything.
        assert checks["unit"][0]["verdict"] == "unseen"
        assert code in (0, 7), checks


def test_firewall(lab):
    gw = lab.gateway()
    assert verdicts(gw, "firewall") == ["fine"]
    rules = gw.dir / "rules"
    rules.write_text(FIREWALL)
    gw.run("nft", "-f", rules)
    found = doctor(gw)[1]["firewall"][0]
    assert found["verdict"] == "warning", found
    # What it says mends it.
    gw.run("sh", "-c", found["fix"].removeprefix("sudo "))
    assert verdicts(gw, "firewall") == ["fine"]


def test_conflict(lab):
    gw = lab.gateway()
    gw.run("ip", "route", "add", "10.0.5.0/24", "dev", "eth0")
    wait_for("the conflict", lambda: gw.json("status")["networks"][0]["state"] == "conflict")
    code, checks = doctor(gw)
    assert code == 1 and checks["conflict"][0]["verdict"] == "broken", checks


def test_no_daemon(lab):
    gw = lab.gateway()
    gw.stop()
    code, checks = doctor(gw)
    assert code == 1 and checks["daemon"][0]["verdict"] == "broken", checks
    assert checks["ipv6"][0]["verdict"] == "fine", checks


TESTS = [test_well, test_firewall, test_conflict, test_no_daemon]

if __name__ == "__main__":
    main(TESTS, "nft")
