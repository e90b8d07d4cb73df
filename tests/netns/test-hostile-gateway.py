#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A gateway that wishes its members ill: what it says where it should name an error."""

import os

import machines
from machines import main, run, wait_for

HOSTILE = machines.BUILD / "tests" / "netns" / "omertad-hostile"


def join_with_used_invite(lab, text):
    """A member's second join by an invite that is used up, refused by a gateway that says @text."""
    os.environ["OMERTA_TEST_ERROR"] = text
    real, machines.OMERTAD = machines.OMERTAD, HOSTILE
    try:
        gw = lab.gateway()
    finally:
        machines.OMERTAD = real
        del os.environ["OMERTA_TEST_ERROR"]
    link = gw.omerta("network", "invite")
    first, victim = lab.machine("m1"), lab.machine("m2")
    first.start("--vpn")
    first.omerta("network", "join", link)
    victim.start("--vpn")
    r = victim.omerta("network", "join", link, check=False)
    assert r.returncode != 0, r
    # One sentence for people, of ours; nothing of what the gateway wrote.
    assert "could not do it" in r.stderr, r
    assert text.strip() not in r.stderr and "\x1b" not in r.stderr, r
    # The daemon is still on the bus, and of use: an honest invite works.
    assert victim.is_ready()
    assert victim.omerta("version")
    assert text.strip() not in victim.log.read_text(errors="replace")
    victim.omerta("network", "join", gw.omerta("network", "invite"))
    victim.wait_ping("10.0.0.1")


def test_no_name(lab):
    join_with_used_invite(lab, "a b\n")


def test_space(lab):
    join_with_used_invite(lab, "a b")


def test_long(lab):
    join_with_used_invite(lab, "a" * 200)


def test_too_long_for_a_bus(lab):
    join_with_used_invite(lab, "a" * 62)


def test_terminal(lab):
    join_with_used_invite(lab, "\x1b[31mred\x07")


main([test_no_name, test_space, test_long, test_too_long_for_a_bus, test_terminal])
