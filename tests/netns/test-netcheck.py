#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is before a machine, behind routers of the kernel's, and what is said of those who are relayed."""

from machines import main, wait_for
from routers import Router


def network(lab, *kinds):
    """Two members in the open, and one behind a router of each kind."""
    gw, away = lab.gateway(), lab.machine("away")
    homes = []
    for i, kind in enumerate(kinds):
        router, m = Router(lab, f"r{i}", 101 + i, kind), lab.machine(f"m{i}")
        router.take(m, 11)
        homes.append((router, m))
    for m in (away, *(m for _, m in homes)):
        m.start("--vpn")
        m.omerta("network", "join", gw.omerta("network", "invite"))
    return gw, away, homes


def wait_check(m, **wanted):
    """Asks until the answer has all that."""
    def look():
        found = m.json("netcheck")
        flat = {**found, **{k: v for k, v in found["ipv4"].items()}}
        return found if all(flat[k] == v for k, v in wanted.items()) else None
    try:
        return wait_for(f"{wanted}", look, 180)
    except Exception as e:
        raise AssertionError(f"{e}: {m.json('netcheck')}") from e


def test_nobody(lab):
    gw = lab.gateway()
    found = gw.json("netcheck")
    assert found["udp"] == "nobody", found
    assert found["ipv4"]["trouble"], found
    assert "there is no other member to ask" in gw.omerta("netcheck")
    gw.omerta("down")
    r = gw.omerta("netcheck", check=False)
    assert r.returncode == 4 and "the network is down" in r.stderr, r


def test_one_member(lab):
    """It is not believed alone."""
    gw, home = lab.gateway(), lab.machine("home")
    Router(lab, "r0", 101).take(home, 11)
    home.start("--vpn")
    home.omerta("network", "join", gw.omerta("network", "invite"))
    found = wait_check(home, members=1)
    assert found["ipv4"]["translation"] == "unknown", found
    assert "it needs two" in found["ipv4"]["trouble"], found
    assert found["hairpin"] == "unknown", found


def test_open(lab):
    _, away, _ = network(lab)
    found = wait_check(away, translation="none", udp="works")
    assert found["ipv4"]["seen"] == f"{away.address}:18002", found
    assert "not translated" in away.omerta("netcheck")


def test_easy(lab):
    gw, away, [(router, home)] = network(lab, "easy")
    found = wait_check(home, translation="easy", hairpin="no", mtu=1420)
    nat = found["ipv4"]
    assert (nat["mapping"], nat["ports"]) == ("endpoint-independent", "preserved"), nat
    assert (nat["seen"], nat["members"]) == (f"{router.address}:18002", 2), nat
    assert found["udp"] == "works" and found["filtering"] == "unknown", found
    assert set(found["relays"]) == {m.json("network", "show")["host_name"] for m in (gw, away)}, found
    text = home.omerta("netcheck")
    assert f"{home.address}:18002" in text and "endpoint-independent, ports preserved" in text, text


def test_random(lab):
    _, _, [(_, a), (_, b)] = network(lab, "random", "random")
    for m in (a, b):
        nat = wait_check(m, translation="random")["ipv4"]
        assert (nat["mapping"], nat["ports"]) == ("destination-dependent", "random"), nat
    name = b.json("network", "show")["host_name"]
    a.wait_ping(b.omerta("network", "address"))
    why = "both are behind routers that give each connection a random port"
    wait_for(why, lambda: why in (a.json("path", name)["why_relayed"] or ""))
    text = a.omerta("path", name)
    assert "translated: random" in text and f"relayed because {why}" in text, text


main([test_nobody, test_one_member, test_open, test_easy, test_random], "nft")
