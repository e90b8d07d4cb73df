#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A member that floods its gateway at full speed: the others are served, newcomers are let in, and
the gateway does no more for it than docs/protocol.md ("Frames") says, and counts what it did not
read."""

import subprocess
import time

from machines import BUILD, main

HOSTILE = BUILD / "tests" / "netns" / "hostile-member"
# Of a budget of half a second, and a tenth of the time: 100 us a request.
REQUESTS_AT_ONCE, REQUESTS_PER_SECOND = 5000, 1000


def be_flooded(lab, way):
    """Returns what the hostile one sent, what was answered, seconds, and the gateway's drops."""
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    evil = lab.machine("evil")
    flood = subprocess.Popen(
        evil.command(str(HOSTILE), gw.omerta("network", "invite"), way),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        start = time.monotonic()
        assert flood.stdout.readline() == "joined\n"
        # Packets of a session that is there, sessions that are made, handshakes, enrolment, leases.
        m1.run("ping", "-n", "-c", "200", "-i", "0.005", "10.0.0.1")
        for name in ("m2", "m3"):
            lab.member(gw, name).wait_ping("10.0.0.1")
        drops = gw.json("network", "show")["drops"]
    finally:
        out, _ = flood.communicate(input="")
        took = time.monotonic() - start
    assert flood.returncode == 0
    print(f"# {took:.1f} s: {out.strip()}; {drops}")
    requests, frames, answers = (int(part.split()[0]) for part in out.split(", "))
    return requests, frames, answers, took, drops


def test_requests(lab):
    requests, _, answers, took, drops = be_flooded(lab, "requests")
    assert requests > 256
    assert answers <= REQUESTS_AT_ONCE + REQUESTS_PER_SECOND * took, answers
    assert drops["over-budget"] > 0


def test_frames(lab):
    _, frames, _, _, drops = be_flooded(lab, "frames")
    assert frames > 0
    assert drops.get("over-budget", 0) + drops.get("control-share", 0) > 0


if __name__ == "__main__":
    main([test_requests, test_frames])
