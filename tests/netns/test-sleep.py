#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine falls asleep and wakes up, as logind says it: the others know before it sleeps, and
afterwards it is there at once."""

import subprocess
import time

from machines import TOP, main, wait_for


class Logind:
    def __init__(self, m):
        self.out = m.dir / "logind"
        self.process = m.lab.spawn(
            ["/usr/bin/python3", TOP / "tests/netns/logind.py", m.bus_address],
            stdin=subprocess.PIPE, stdout=open(self.out, "wb"), stderr=open(m.dir / "logind-errors", "wb"))
        wait_for("logind", lambda: "ready" in self.said())

    def said(self):
        return self.out.read_text().splitlines()

    def say(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def wait_inhibited(self, times):
        wait_for("an inhibitor", lambda: self.said().count("inhibit sleep delay") == times)

    def end(self):
        self.process.kill()
        self.process.wait()


def link(m, address):
    """What m sees of its link to the machine at @address."""
    return next(x for x in m.json("network", "peers")["machines"] if x["address"] == address)


def is_up(m, address):
    return link(m, address)["link"] == "up"


def said(m, text):
    return text in m.log.read_text(errors="replace")


def test_the_others_are_told(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    logind = Logind(m1)  # it comes after the daemon
    logind.wait_inhibited(1)
    for n in range(2, 4):
        assert is_up(gw, "10.0.0.100")
        logind.say("sleep")
        wait_for("the machine to be let go", lambda: logind.said().count("released") == n - 1)
        # What it said was sent before.
        wait_for("the gateway to know it", lambda: not is_up(gw, "10.0.0.100"))
        logind.say("wake")
        logind.wait_inhibited(n)
        m1.wait_ping("10.0.0.1")
        wait_for("the link", lambda: is_up(gw, "10.0.0.100"))


def test_what_broke_meanwhile(lab):
    """After a sleep every link is looked at at once. Nobody has sent a packet, and the link is silent, so
    it would be seen by the next keepalive only, half a minute later."""
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    logind = Logind(m1)
    logind.wait_inhibited(1)
    wait_for("the link to fall silent",
             lambda: time.time() - link(m1, "10.0.0.1")["last_received_usec"] / 1e6 > 10, 60)
    lab.hub_run("ip", "link", "set", "gw", "nomaster")
    logind.say("wake")
    wait_for("it to be seen", lambda: m1.json("network", "show")["state"] == "offline", 15)


def test_nobody_else_says_so(lab):
    m1 = lab.gateway("--log-level", "debug")
    logind = Logind(m1)
    logind.wait_inhibited(1)
    for word in ("true", "false"):
        m1.busctl("emit", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                  "PrepareForSleep", "b", word)
    assert m1.json("status")  # it has heard them by now
    assert not said(m1, "asleep") and not said(m1, "woke up")
    assert logind.said()[-1] == "inhibit sleep delay"


def test_logind_and_bus_come_back(lab):
    m = lab.gateway("--log-level", "debug")
    logind = Logind(m)
    logind.wait_inhibited(1)
    logind.end()
    logind = Logind(m)
    logind.wait_inhibited(1)
    m.end_bus()
    wait_for("the daemon to see it", lambda: said(m, "bus has gone"))
    m.start_bus()
    wait_for("the daemon on the new bus", m.is_ready)
    logind.end()
    logind = Logind(m)
    logind.wait_inhibited(1)
    logind.say("wake")
    wait_for("it to be heard", lambda: said(m, "woke up"))


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
