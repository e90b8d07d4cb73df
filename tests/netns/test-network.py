#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network of real daemons on one LAN: made, joined, used, restarted, and what refuses."""

import hashlib
import json
import signal
import subprocess

from machines import OMERTA, OMERTAD, main, run, wait_for


def two_machines(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    return gw, m1


def test_create_invite_join_ping(lab):
    gw, m1 = two_machines(lab)
    assert gw.omerta("network", "address") == "10.0.0.1"
    assert m1.omerta("network", "address") == "10.0.0.100"
    show = m1.run("ip", "-j", "addr", "show", "omerta0").stdout
    addresses = {a["local"]: a["prefixlen"] for a in json.loads(show)[0]["addr_info"]}
    assert addresses.get("10.0.0.100") == 16, addresses
    m1.ping("10.0.0.1")
    gw.ping("10.0.0.100")
    # The computed IPv6 addresses work without anybody having leased them.
    six = [a for a in addresses if a.startswith("fd")]
    assert len(six) == 1, addresses
    gw.ping(six[0])


def test_large_packets_and_tcp(lab):
    gw, m1 = two_machines(lab)
    m1.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1392", "10.0.0.1")
    m1.run("ping", "-n", "-c", "1", "-W", "2", "-s", "20000", "10.0.0.1")
    payload = bytes(range(256)) * 40000
    server = subprocess.Popen(
        gw.command("python3", "-c",
                   "import socket,hashlib,sys\n"
                   "s=socket.create_server(('10.0.0.1',7000)); print('up',flush=True)\n"
                   "c,_=s.accept(); h=hashlib.sha256()\n"
                   "while (b:=c.recv(65536)): h.update(b)\n"
                   "print(h.hexdigest())"), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "up\n"
        m1.run("python3", "-c",
               "import socket\n"
               "c=socket.create_connection(('10.0.0.1',7000)); c.sendall(bytes(range(256))*40000)\n")
        assert server.stdout.readline().strip() == hashlib.sha256(payload).hexdigest()
    finally:
        server.kill()
        server.wait()


def test_members_talk_directly(lab):
    gw, m1 = two_machines(lab)
    m2 = lab.member(gw, "m2")
    assert m2.omerta("network", "address") == "10.0.0.101"
    m1.wait_ping("10.0.0.101")
    before = hub_bytes(lab, "gw")
    m1.run("ping", "-n", "-c", "20", "-i", "0.01", "-s", "1200", "10.0.0.101")
    passed = hub_bytes(lab, "gw") - before
    assert passed < 10000, f"{passed} bytes passed the gateway"
    sessions = m1.json("tunnel", "sessions")
    assert any(s.get("path") == "direct" for s in as_list(sessions)), sessions


def hub_bytes(lab, port):
    out = lab.hub_run("ip", "-j", "-s", "link", "show", port).stdout
    stats = json.loads(out)[0]["stats64"]
    return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def as_list(v):
    if isinstance(v, list):
        return v
    return next(x for x in v.values() if isinstance(x, list))


def test_gateway_killed_keeps_leases(lab):
    gw, m1 = two_machines(lab)
    m2 = lab.member(gw, "m2")
    leases = {l["machine"]: l["address"] for l in as_list(gw.json("dhcp", "leases"))}
    assert len(leases) == 3, leases
    m1.wait_ping("10.0.0.101")
    gw.stop(signal.SIGKILL)
    # The members go on without it.
    m1.wait_ping("10.0.0.101")
    gw.start("--gateway", "--vpn")
    after = {l["machine"]: l["address"] for l in as_list(gw.json("dhcp", "leases"))}
    assert after == leases, (leases, after)
    gw.wait_ping("10.0.0.100")
    m2.wait_ping("10.0.0.1")
    m3 = lab.member(gw, "m3")
    assert m3.omerta("network", "address") == "10.0.0.102"


def test_member_restart_keeps_address(lab):
    gw, m1 = two_machines(lab)
    m1.stop()
    m1.start("--vpn")
    wait_for("the address", lambda: m1.omerta("network", "address", check=False).stdout.strip()
             == "10.0.0.100")
    gw.wait_ping("10.0.0.100")


def test_switched_off_unheard(lab):
    """Nobody hears that a machine switches its network off; it is back before anybody misses it."""
    gw, m1 = two_machines(lab)
    m1.wait_ping("10.0.0.1")
    for _ in range(3):
        m1.run("ip", "link", "set", "eth0", "down")
        m1.run("ip", "addr", "flush", "dev", "eth0")
        m1.omerta("down")
        m1.run("ip", "addr", "add", f"{m1.address}/24", "dev", "eth0")
        m1.run("ip", "link", "set", "eth0", "up")
        m1.omerta("up")
        m1.wait_ping("10.0.0.1")
    for m in gw, m1:
        drops = [d["reason"] for d in m.json("mesh", "status")["drops"]]
        assert "frame-malformed" not in drops, drops


def test_rename(lab):
    gw, m1 = two_machines(lab)
    other = lab.member(gw, "m2")
    old = m1.json("network", "show")["host_name"]
    r = gw.json("network", "rename", old, "nas")
    assert (r["host_name"], r["old_name"]) == ("nas", old), r
    for m in (gw, m1, other):
        wait_for("the name", lambda m=m: "nas" in [x["host_name"] for x in m.json("dhcp", "leases")["leases"]])
        who, = m.json("whois", "nas.omerta")["machines"]
        assert who["address"] == "10.0.0.100" and who["lease"] == "bound", who
        assert m.omerta("whois", old, check=False).returncode == 4
    assert m1.json("network", "show")["host_name"] == "nas"
    gateway = gw.json("network", "show")["host_name"]
    for machine, name, code in (("nas", gateway, 1), ("nas", "No Name", 2), (gateway, "x", 5), ("nobody", "x", 4)):
        r = gw.omerta("network", "rename", machine, name, check=False)
        assert r.returncode == code, (machine, name, r)
    assert other.omerta("network", "rename", "nas", "x", check=False).returncode != 0
    m1.stop()
    m1.start("--vpn")
    assert m1.json("network", "show")["host_name"] == "nas"


def test_revoked_machine_is_cut(lab):
    gw, m1 = two_machines(lab)
    m2 = lab.member(gw, "m2")
    m1.wait_ping("10.0.0.101")
    m1_id = next(l["machine"] for l in as_list(gw.json("dhcp", "leases"))
                 if l["address"] == "10.0.0.100")
    gw.omerta("network", "revoke", m1_id)
    wait_for("m2 to refuse m1", lambda: not m1.ping("10.0.0.101", check=False), 5)
    wait_for("gw to refuse m1", lambda: not m1.ping("10.0.0.1", check=False), 5)
    gw.wait_ping("10.0.0.101")
    # It is remembered, and its old invite does not help.
    m2.stop()
    m2.start("--vpn")
    m2.wait_ping("10.0.0.1")
    assert not m1.ping("10.0.0.101", check=False)


def test_leave_and_come_back(lab):
    gw, m1 = two_machines(lab)
    m1.omerta("network", "leave")
    assert m1.omerta("network", "address", check=False).returncode != 0
    assert m1.run("ip", "link", "show", "omerta0", check=False).returncode != 0
    m1.omerta("network", "join", gw.omerta("network", "invite"))
    assert m1.omerta("network", "address") == "10.0.0.100"
    m1.ping("10.0.0.1")


def test_revoked_machine_comes_back(lab):
    """A revocation is for good, and for one key: with a new invite the same machine is a new one,
    and its other networks never noticed."""
    gw, m1 = two_machines(lab)
    other = lab.machine("other")
    other.start("--vpn")
    other.omerta("network", "create", "second", "--subnet", "10.9.0.0/16")
    m1.omerta("network", "join", other.omerta("network", "invite", "--network", "second"))
    ids = {n["name"]: n["machine"] for n in as_list(m1.json("network", "list"))}
    assert len(set(ids.values())) == 2 and len(ids) == 2, ids
    assert m1.json("status")["daemon"]["machine"] not in ids.values(), ids
    home = next(name for name in ids if name != "second")
    gw.omerta("network", "revoke", ids[home])
    state = lambda: m1.json("network", "show", "--network", home)["state"]
    wait_for("m1 to know", lambda: state() == "revoked")
    m1.ping("10.9.0.1")
    m1.omerta("network", "leave", "--network", home)
    m1.omerta("network", "join", gw.omerta("network", "invite"))
    again = m1.json("network", "show", "--network", home)
    assert again["machine"] != ids[home] and again["state"] == "online", again
    gw.wait_ping(again["address"])
    m1.ping("10.9.0.1")


def test_revoked_is_remembered(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1", "--uses", "3")
    before = m1.json("network", "show")
    assert gw.omerta("network", "revoke", before["machine"][:3], check=False).returncode != 0
    said = gw.omerta("network", "revoke", "--json", before["machine"][:12], check=False)
    assert said.returncode == 0 and "2 more" in said.stderr, said
    said = json.loads(said.stdout)
    assert said["host_name"] == before["host_name"] and said["uses_left"] == 2, said
    log = gw.log.read_text()
    assert f"user 0 revoked {before['host_name']} ({before['machine']})" in log, log
    wait_for("m1 to know", lambda: m1.json("network", "show")["state"] == "revoked")
    m1.stop(signal.SIGKILL)
    m1.start("--vpn")
    assert m1.json("network", "show")["state"] == "revoked"
    for command in (("up",), ("network", "join", gw.omerta("network", "invite"))):
        r = m1.omerta(*command, check=False)
        assert r.returncode != 0 and "network leave" in r.stderr, (command, r)
    ended = gw.json("network", "revoked")["revoked"]
    assert [(e["machine"], e["reason"]) for e in ended] == [(before["machine"], "removed")], ended
    gw.omerta("network", "uninvite", said["invite"])
    m1.omerta("network", "leave")
    assert as_list(m1.json("network", "list")) == []


def test_leaving_is_told(lab):
    gw, m1 = two_machines(lab)
    m2 = lab.member(gw, "m2")
    was = m1.json("network", "show")["machine"]
    assert m1.json("network", "leave") == {
        "told": True, "listed_until": None, "listed_until_usec": None}
    for m in (gw, m2):
        wait_for("it to be gone", lambda: was not in [
            p["id"] for p in m.json("network", "peers")["machines"]], 5)
        assert [e["reason"] for e in as_list(m.json("network", "revoked"))] == ["left"]
    # One that is switched off says so as well.
    m3 = lab.member(gw, "m3")
    m3.omerta("down")
    assert m3.json("network", "leave")["told"]
    # Nobody is there: it goes all the same, and says what that means.
    gw.stop(signal.SIGKILL)
    r = m2.omerta("network", "leave", check=False)
    assert r.returncode == 0 and "Nobody was reachable" in r.stderr, r
    assert as_list(m2.json("network", "list")) == []


def test_while_leaving(lab):
    """Nobody answers, so it takes seconds; whoever wants something else meanwhile is told."""
    gw, m1 = two_machines(lab)
    gw.stop(signal.SIGKILL)
    leaving = subprocess.Popen(m1.command(OMERTA, "network", "leave"), env=m1.env,
                               stderr=subprocess.PIPE, text=True)
    wait_for("being left", lambda: "being left" in m1.omerta("down", check=False).stderr)
    r = m1.omerta("network", "leave", check=False)
    assert r.returncode != 0 and "already" in r.stderr, r
    says = leaving.communicate()[1]
    assert leaving.returncode == 0 and "Nobody was reachable" in says, says
    assert as_list(m1.json("network", "list")) == []


def test_invites_that_refuse(lab):
    gw, m1 = two_machines(lab)
    used = gw.omerta("network", "invite")
    m2 = lab.member(gw, "m2")
    m3 = lab.machine("m3")
    m3.start("--vpn")
    m2_link = gw.omerta("network", "invite")
    m2.omerta("network", "leave")
    m2.omerta("network", "join", m2_link)
    for link, words in ((m2_link, "used"), ("omerta://join/garbage", "link"),
                        (used[:-1], "link"), ("", "link")):
        r = m3.omerta("network", "join", link, check=False)
        assert r.returncode not in (0, None) and words in r.stderr, (link, r)
    # Nothing of the attempts is left, and a good one still works.
    assert as_list(m3.json("network", "list")) == []
    m3.omerta("network", "join", used)
    m3.ping("10.0.0.1")
    # Nobody there: an answer within 10 s, with the reason.
    link = gw.omerta("network", "invite")
    m4 = lab.machine("m4")
    m4.start("--vpn")
    gw.stop(signal.SIGKILL)
    r = m4.omerta("network", "join", link, check=False)
    assert r.returncode != 0 and "answer" in r.stderr, r


def test_approval(lab):
    gw = lab.gateway()
    m1 = lab.machine("m1")
    m1.start("--vpn")
    link = gw.omerta("network", "invite", "--approval", "--uses", "2")
    m1.omerta("network", "join", link, check=False)
    wait_for("the request", lambda: as_list(gw.json("network", "pending")))
    m2 = lab.machine("m2")
    m2.start("--vpn")
    m2.omerta("network", "join", link, check=False)
    wait_for("another", lambda: len(as_list(gw.json("network", "pending"))) == 2)
    m2_id = next(m["machine"] for m in as_list(gw.json("network", "pending"))
                 if m["machine"] in m2.omerta("version", "--json") + m2.omerta("status", "--json"))
    gw.omerta("network", "refuse", m2_id)
    assert len(as_list(gw.json("network", "pending"))) == 1
    wait_for("the refusal", lambda: "not let in" in m2.omerta("network", "show", "--json"))
    assert m1.omerta("network", "address", check=False).returncode != 0
    gw.omerta("network", "approve", as_list(gw.json("network", "pending"))[0]["machine"])
    wait_for("the address", lambda: m1.omerta("network", "address", check=False).stdout.strip()
             == "10.0.0.100")
    m1.ping("10.0.0.1")
    # It is an invite like any other: listed, counted, and withdrawn.
    invite, = as_list(gw.json("network", "invites"))
    assert invite["approval"] and (invite["uses"], invite["uses_max"]) == (1, 2), invite
    gw.omerta("network", "uninvite", invite["id"])
    m3 = lab.machine("m3")
    m3.start("--vpn")
    r = m3.omerta("network", "join", link, check=False)
    assert r.returncode != 0 and not as_list(gw.json("network", "pending")), r


def test_strangers_get_silence(lab):
    gw, m1 = two_machines(lab)
    code = ("import os,socket\n"
            "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect(('192.0.2.1',18002))\n"
            "for t in range(6):\n"
            "  for n in (0,1,4,31,32,64,136,960,1232,1400):\n"
            "    s.send((bytes([t,1,0,0])+os.urandom(n))[:max(n,0)])\n"
            "s.settimeout(1)\n"
            "try: print('answer', len(s.recv(2000)))\n"
            "except TimeoutError: print('silence')\n")
    assert m1.run("python3", "-c", code).stdout == "silence\n"
    drops = run("busctl", f"--address={gw.bus_address}", "call", "org.omerta.Mesh1",
                "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager", "GetDrops").stdout
    assert "mac1" in drops and "malformed" in drops, drops
    m1.ping("10.0.0.1")


FLOOD = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('192.0.2.1', 18002))
def send(n, data):
    for _ in range(n):
        s.send(data() if callable(data) else data)
if sys.argv[1] == 'kinds':
    send(7, b'')                                          # malformed: nothing in it
    send(5, bytes([9]) + bytes(60))                       # malformed: no such type
    send(11, lambda: bytes([1, 0, 0, 0]) + os.urandom(956))   # mac1
    send(13, lambda: bytes([4, 0, 0, 0]) + b'\\xff' * 4 + os.urandom(40))  # unknown-index
    send(3, lambda: bytes([3, 0, 0, 0]) + b'\\xff' * 4 + os.urandom(56))   # handshake-unexpected
else:
    send(int(sys.argv[2]), b'x')                          # malformed, or socket-full
"""


def drops_of(machine):
    status = machine.json("mesh", "status")
    drops = {d["reason"]: d["count"] for d in status["drops"]}
    assert all(d["text"] for d in status["drops"]), status
    assert status["dropped"] == sum(drops.values()), status
    assert status["daemon"]["drops"] == drops, status
    return drops


def test_all_drops_are_counted(lab):
    gw, m1 = two_machines(lab)
    m1.ping("10.0.0.1")
    before = drops_of(gw)

    def more():
        return {k: v - before.get(k, 0) for k, v in drops_of(gw).items() if v != before.get(k, 0)}

    m1.run("python3", "-c", FLOOD, "kinds")
    wanted = {"malformed": 12, "mac1": 11, "unknown-index": 13, "handshake-unexpected": 3}
    wait_for("the last of them", lambda: more() == wanted)
    # What belongs to the network is in the sum, too, and stays there when it is down.
    gw.run("ping", "-n", "-c", "4", "-i", "0.05", "-W", "1", "10.0.0.99", check=False)
    wanted["unknown-destination"] = 4
    wait_for("the packets to nobody", lambda: more() == wanted)
    network = gw.busctl("call", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                        "org.omerta.Mesh1.Manager", "GetNetwork", "s", "").stdout.split('"')[1]
    gw.busctl("call", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network", "Down")
    assert all(more().get(k, 0) >= v for k, v in wanted.items()), more()
    m1.stop()  # so that nobody else sends anything
    # A daemon that does not come to read: the kernel drops, and each one is counted once.
    before = drops_of(gw)
    gw.daemon.send_signal(signal.SIGSTOP)
    try:
        m1.run("python3", "-c", FLOOD, "many", "5000")
    finally:
        gw.daemon.send_signal(signal.SIGCONT)
    wait_for("all of them", lambda: sum(
        more().get(k, 0) for k in ("malformed", "socket-full")) == 5000)
    assert more()["socket-full"] > 1000 and more()["malformed"] > 50, more()


def test_spoofed_source(lab):
    gw, m1 = two_machines(lab)
    m2 = lab.member(gw, "m2")
    m1.wait_ping("10.0.0.101")
    # m1 takes an address that is m2's: its own daemon will not carry that out.
    m1.run("ip", "addr", "add", "10.0.0.101/32", "dev", "omerta0")
    assert not m1.run("ping", "-n", "-c", "1", "-W", "1", "-I", "10.0.0.101", "10.0.0.1",
                      check=False).returncode == 0
    network = m1.busctl("call", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                        "org.omerta.Mesh1.Manager", "GetNetwork", "s", "").stdout.split('"')[1]
    drops = m1.busctl("call", "org.omerta.Mesh1", network, "org.omerta.Mesh1.Network",
                      "GetDrops").stdout
    assert "wrong-source" in drops, drops


def endpoints_of(machine):
    links = machine.json("mesh", "status")["links"]
    return [x["endpoint"] for x in links if x.get("endpoint")]


def test_path_through_itself(lab):
    """What a member sends from its virtual address to our port does not make us send there: the
    path would lead through itself."""
    gw, m1 = two_machines(lab)
    m1.wait_ping("10.0.0.1")
    gw.wait_ping("10.0.0.100")
    for where in "all", "eth0":  # else the kernel would not let in what we want to be asked about
        gw.run("sysctl", "-qw", f"net.ipv4.conf.{where}.rp_filter=0")
    # Whatever m1's daemon sends to gw, it sends from 10.0.0.100.
    m1.run("nft", "add table ip inside; add chain ip inside out { type filter hook postrouting "
           "priority 0; }; add rule ip inside out ip daddr 192.0.2.1 udp dport 18002 "
           "ip saddr set 10.0.0.100")
    wait_for("a message from inside", lambda: m1.ping("10.0.0.1", check=False)
             and "from-inside" in drops_of(gw))
    assert endpoints_of(gw) == ["192.0.2.2:18002"], endpoints_of(gw)
    gw.ping("10.0.0.100")
    m1.run("nft", "delete table ip inside")
    # Nor does the gateway offer such places itself, of this network or of another daemon's.
    r = gw.omerta("network", "invite", "--endpoint", "10.0.3.4:18002", check=False)
    assert r.returncode != 0 and "inside" in r.stderr, r
    gw.run("ip", "link", "add", "omerta9", "type", "veth", "peer", "name", "end9")
    gw.run("ip", "link", "set", "omerta9", "up")
    gw.run("ip", "addr", "add", "172.30.0.1/16", "dev", "omerta9")
    wait_for("the other daemon's network to be known", lambda: gw.omerta(
        "network", "invite", "--endpoint", "172.30.7.7:18002", check=False).returncode != 0)
    r = gw.omerta("network", "invite", "--endpoint", "172.31.0.1:18002", check=False)
    assert r.returncode == 0, r


def test_gateway_is_no_way_out(lab):
    """A member that routes what is not of the network into it reaches nothing of the gateway's:
    neither its other addresses, nor what its kernel would forward to. Nothing even leaves."""
    gw, m1 = two_machines(lab)
    gw.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    gw.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
    m1.run("ip", "route", "add", "198.51.100.0/24", "dev", "omerta0")
    m1.wait_ping("10.0.0.1")
    assert not m1.ping("198.51.100.1", check=False)
    drops = drops_of(m1)
    assert drops.get("no-route", 0) > 0, drops
    assert "not-for-us" not in drops_of(gw), drops_of(gw)


def test_second_daemon_and_taken_port(lab):
    gw = lab.gateway()
    r = gw.run(OMERTAD, "start", "--state-dir", str(gw.state),
               "--port", "0", check=False)
    assert r.returncode != 0 and str(gw.state) in r.stderr, r
    r = gw.run(OMERTAD, "start", "--state-dir",
               str(gw.dir / "other"), check=False)
    assert r.returncode != 0 and "18002" in r.stderr, r


def test_damaged_state(lab):
    gw = lab.gateway()
    gw.stop()
    db = gw.state / "omerta.db"
    data = bytearray(db.read_bytes())
    for i in range(0, len(data), 7):
        data[i] ^= 0x5a
    db.write_bytes(data)
    for extra in ("omerta.db-wal", "omerta.db-shm"):
        (gw.state / extra).unlink(missing_ok=True)
    r = gw.run(OMERTAD, "start", "--state-dir", str(gw.state),
               "--gateway", check=False)
    assert r.returncode != 0 and "omerta.db" in r.stderr, r
    assert db.read_bytes() == bytes(data), "a damaged database must not be touched"


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")])
