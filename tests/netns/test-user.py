#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user's own daemon, without any privilege: its machines reach the others and are reached by
nothing but their own user."""

import os
import pathlib
import shutil
import subprocess

from load import children
from machines import OMERTAD, main, run, wait_for
from users import (ECHO_SERVER, NOT_FOUND, User, both_engines, join_engine, serve, serve_bodies,
                   serve_page)

# SOCKS5's greeting, and what comes back.
GREET = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.sendall(b"\\x05\\x01\\x00")
    print(s.recv(2))
except ConnectionError:
    print(b"")
"""

# What ECHO_SERVER says.
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"hello")
s.shutdown(socket.SHUT_WR)
print(s.recv(100).decode())
"""


@both_engines
def test_user_dials_a_tun_member(lab, gw, u):
    if u.property("Netstack") == "kernel":
        serve(gw, 7001)
    data = "x" * 3_000_000
    for host in ("10.0.0.1", gw.json("network", "peers")["machines"][0]["host_name"]):
        r = u.omerta("nc", host, "7001", check=False, input=data)
        assert r.returncode == 0 and r.stdout == "3000000 " + "x" * 20, r
    r = u.omerta("nc", "10.0.0.1", "7002", check=False)
    assert r.returncode == 1 and "7002" in r.stderr, r
    r = u.omerta("nc", "nobody-is-called-so", "7001", check=False)
    assert r.returncode == NOT_FOUND, r
    r = u.omerta("nc", "10.0.77.77", "7001", check=False)
    assert r.returncode == NOT_FOUND, r


@both_engines
def test_ping_and_ssh(lab, gw, u):
    name = gw.json("network", "peers")["machines"][0]["host_name"]
    r = u.omerta("ping", "--count", "1", name)
    assert name in r and "10.0.0.1" in r and "direct" in r, r
    r = u.omerta("ping", "10.0.0.250", check=False)
    assert r.returncode == NOT_FOUND, r
    r = u.omerta("status")
    assert f"Stack: {u.property('Netstack')}: {u.property('NetstackReason')}" in r, r
    if not shutil.which("sshd") or not shutil.which("ssh-keygen"):
        print("# no sshd")
        return
    d = lab.dir / "ssh"
    if not d.exists():
        d.mkdir()
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(d / "host"))
        os.makedirs("/run/sshd", exist_ok=True)  # of sshd's privilege separation
        (d / "config").write_text(f"HostKey {d}/host\nPidFile none\nPort 2222\n"
                                  "AuthenticationMethods none\nPasswordAuthentication no\n")
        lab.spawn(gw.command(shutil.which("sshd"), "-D", "-f", str(d / "config")), env=gw.env)
        wait_for("sshd", lambda: ":2222 " in gw.run("ss", "-Hltn").stdout)
    # Nobody is let in; that the server says so, behind its host key, shows that ssh is there.
    key = (d / "host.pub").read_text().split()[:2]
    hosts = u.home / "known_hosts"
    hosts.write_text(f"[{name}.omerta]:2222 {' '.join(key)}\n")
    ssh = ["ssh", "-p", "2222", "-F", "none", "-o", f"UserKnownHostsFile={hosts}", "-o", "BatchMode=yes",
           f"{u.name}@{name}.omerta", "true"]
    r = u.omerta(*ssh, check=False)
    assert r.returncode == 255 and "Permission denied" in r.stderr, r
    hosts.write_text("")
    r = u.omerta(*ssh, check=False)
    assert r.returncode == 255 and "Host key verification failed" in r.stderr, r


@both_engines
def test_socks(lab, gw, u):
    name = gw.json("network", "peers")["machines"][0]["host_name"]
    serve_page(gw)

    def curl(*args):
        r = u.run("curl", "-sS", "-m", "20", *args, check=False)
        return r.returncode, r.stdout, r.stderr

    for proxy in (["--socks5-hostname", "127.0.0.1:1080"], ["-p", "-x", "http://[::1]:1080"]):
        for host in ("10.0.0.1", f"{name}.omerta"):
            code, out, err = curl(*proxy, f"http://{host}:8080/page")
            assert code == 0 and out == "z" * 1_000_000, (code, err, len(out))
    # Plain http:// by the whole URL, two connections for two pages; a body goes the other way.
    page = f"http://{name}.omerta:8080/page"
    code, out, err = curl("-x", "http://127.0.0.1:1080", page, page)
    assert code == 0 and out == "z" * 2_000_000, (code, err, len(out))
    if u.name == "kernel":
        serve_bodies(gw)
    code, out, err = curl("-x", "http://127.0.0.1:1080", "--data-binary", f"@{gw.lab.dir}/www/page",
                          "http://10.0.0.1:8090/up?a=b")
    assert code == 0 and out.split("\n") == ["POST /up?a=b HTTP/1.1", "10.0.0.1:8090", "close", "None",
                                             "1000000"], (code, err, out)
    for path, status in (("http://10.0.0.1:8081/", "502"), ("http://10.0.77.77/", "502"),
                         ("http://me@10.0.0.1:8080/page", "200")):  # curl makes a field of it
        code, out, err = curl("-x", "http://127.0.0.1:1080", "-o", "/dev/null", "-w", "%{http_code}", path)
        assert code == 0 and out == status, (path, code, out, err)
    # RFC 1928's replies: 5 refused, 4 unreachable; curl's message ends with them.
    for host, port, reply in (("10.0.0.1", 8081, 5), ("10.0.77.77", 80, 4), ("nobody", 80, 4),
                              ("127.0.0.1", 22, 4)):
        code, _, err = curl("--socks5-hostname", "127.0.0.1:1080", f"http://{host}:{port}/")
        assert code == 97 and f"({reply})" in err, (host, port, code, err)


def test_socks_needs_a_password(lab):
    gw = lab.gateway()
    u = User(lab, gw, "u")
    secret = u.home / "secret"
    secret.write_text("me:open sesame\n")
    u.start("--socks-proxy", "1080", "--socks-auth", secret)
    u.join(gw)
    serve_page(gw)
    for user, code in (("me:open sesame", 0), ("me:wrong", 97), (None, 97)):
        r = u.run("curl", "-sS", "-m", "10", "-o", "/dev/null", *(["-U", user] if user else []),
                  "--socks5-hostname", "127.0.0.1:1080", "http://10.0.0.1:8080/page", check=False)
        assert r.returncode == code, (user, r)


def test_socks_on_a_passed_unix_socket(lab):
    if not shutil.which("systemd-socket-activate"):
        print("# no systemd-socket-activate")
        return
    gw = lab.gateway()
    u = User(lab, gw, "u")
    serve_page(gw)
    socket = u.home / "socks"
    u.daemon = u.spawn("systemd-socket-activate", "--fdname=socks", f"--listen={socket}",
                       *[f"--setenv={k}={u.env[k]}" for k in
                         ("HOME", "PATH", "DBUS_SESSION_BUS_ADDRESS", "OMERTA_NETNS_HELPER")],
                       u.bin / "omertad", "start", "--user")
    wait_for("the socket", socket.exists)

    def curl():
        return u.run("curl", "-sS", "-m", "10", "-o", "/dev/null", "--proxy",
                     f"socks5h://localhost{socket}", "http://10.0.0.1:8080/page", check=False)

    # The first connection starts the daemon, which is in no network yet.
    r = curl()
    assert r.returncode == 97, r
    wait_for("the daemon", u.is_ready)
    u.join(gw)
    r = curl()
    assert r.returncode == 0, r
    # Where the file's mode lets everybody in, the daemon sends all but root and its user away.
    os.chmod(socket, 0o777)
    os.chmod(u.home, 0o755)
    for uid, answer in ((1, "b''"), (u.uid, "b'\\x05\\x00'"), (0, "b'\\x05\\x00'")):
        r = run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3",
                "-c", GREET, socket)
        assert r.stdout.strip() == answer, (uid, r)


def helper_of(u):
    """The child of the daemon that makes its sockets; None: there is none."""
    for pid in children(u.daemon.pid):
        if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("omerta-netns"):
            return pid
    return None


def test_helper_is_killed(lab):
    gw = lab.gateway()
    u = join_engine(lab, gw, lab.machine("m1"), "kernel")
    if not u:
        return
    serve(gw, 7001)
    me = u.omerta("network", "address").split("/")[0]
    lab.spawn(u.command("/usr/bin/python3", "-c", ECHO_SERVER, "7010"), env=u.env)
    wait_for("the server", lambda: ":7010 " in u.machine.run("ss", "-Hltn").stdout)
    u.omerta("expose", "7010")
    # Goes on over all of it.
    kept = lab.spawn(u.command(u.bin / "omerta", "nc", "10.0.0.1", "7001"), env=u.env, cwd="/",
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    kept.stdin.write("before ")
    kept.stdin.flush()
    wait_for("the connection", lambda: ":7001 " in gw.run("ss", "-Htn", "state", "established").stdout)
    for signal in ("KILL", "STOP"):
        helper = helper_of(u)
        u.run("kill", f"-{signal}", str(helper))
        # Until it is noticed (at once), and until there is another one.
        r = u.omerta("nc", "10.0.0.1", "7001", check=False, input="x")
        assert r.returncode == 0 or "started again" in r.stderr, r
        wait_for("another helper", lambda: helper_of(u) not in (None, helper))
        assert not pathlib.Path(f"/proc/{helper}").exists(), "a zombie"
        wait_for("omerta nc", lambda: u.omerta("nc", "10.0.0.1", "7001", check=False, input="x").stdout == "1 x")
        wait_for("the reason", lambda: u.property("NetstackReason") == "user namespaces are allowed here")
    assert u.log.read_text().count("the helper of the network stack was ended by signal 9") == 2
    # Its address and what listens are what they were.
    assert u.omerta("exec", "--", "ip", "-4", "-br", "address", "show", "omerta0").split()[2].split("/")[0] == me
    r = gw.run("/usr/bin/python3", "-c", ASK, me, "7010")
    assert r.stdout.strip() == "5 hello", r
    out, _ = kept.communicate("after", timeout=60)
    assert out == "12 before after", out


def test_helper_cannot_come_back(lab):
    gw = lab.gateway()
    u = join_engine(lab, gw, lab.machine("m1"), "kernel")
    if not u:
        return
    serve(gw, 7001)
    program = u.bin / "omerta-netns-helper"
    away = program.rename(u.bin / "away")
    u.run("kill", "-KILL", str(helper_of(u)))
    wait_for("the reason", lambda: "cannot be started" in u.property("NetstackReason"))
    r = u.omerta("nc", "10.0.0.1", "7001", check=False, input="x")
    assert r.returncode == 1 and "is being started again" in r.stderr, r
    state = u.omerta("status")
    assert "cannot be started" in state, state
    # Waits, and listens when it can.
    u.omerta("expose", "7011:7010")
    assert "waiting" in u.omerta("forwards"), u.omerta("forwards")
    away.rename(program)
    wait_for("omerta nc", lambda: u.omerta("nc", "10.0.0.1", "7001", check=False, input="x").stdout == "1 x")
    wait_for("the forward", lambda: "waiting" not in u.omerta("forwards"))
    assert "cannot be started" not in u.omerta("status")
    u.daemon.terminate()
    assert u.daemon.wait(timeout=20) == 0


# The packet thread cannot use the stack's interface any more: the stack is made anew with all that is
# on it, and the network goes on.
def test_stack_is_made_anew(lab):
    gw = lab.gateway()
    u = join_engine(lab, gw, lab.machine("m1"), "kernel")
    if not u:
        return
    serve(gw, 7001)
    me = u.omerta("network", "address").split("/")[0]
    lab.spawn(u.command("/usr/bin/python3", "-c", ECHO_SERVER, "7010"), env=u.env)
    wait_for("the server", lambda: ":7010 " in u.machine.run("ss", "-Hltn").stdout)
    u.omerta("expose", "7010")
    helper = helper_of(u)
    u.machine.run("nsenter", "-t", str(helper), "-n", "ip", "link", "delete", "omerta0")
    wait_for("another stack", lambda: helper_of(u) not in (None, helper))
    wait_for("omerta nc", lambda: u.omerta("nc", "10.0.0.1", "7001", check=False, input="x").stdout == "1 x")
    assert u.omerta("exec", "--", "ip", "-4", "-br", "address", "show", "omerta0").split()[2].split("/")[0] == me
    r = gw.run("/usr/bin/python3", "-c", ASK, me, "7010")
    assert r.stdout.strip() == "5 hello", r
    assert "the network stack could not be used: repaired" in u.log.read_text()
    assert u.omerta("network", "list", "--json").count('"online"') == 1


def test_only_the_user_may_ask(lab):
    gw = lab.gateway()
    u = User(lab, gw, "u")
    # A session bus lets nobody else in; this one does.
    gw.stop()
    u.bus_address = u.env["DBUS_SESSION_BUS_ADDRESS"] = gw.bus_address
    u.start()

    def call(uid, *args):
        return run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "busctl",
                   f"--address={u.bus_address}", "call", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                   "org.omerta.Mesh1.Manager", *args, check=False).stderr

    dial = ["Dial", "sqa{sv}", "10.0.0.1", "22", "0"]
    assert "Access denied" in call(1, *dial)
    for uid in (u.uid, 0):
        assert "in no network" in call(uid, *dial), call(uid, *dial)


def test_arguments(lab):
    gw = lab.machine("gw")
    for words, says in ((["--netstack", "lwip"], "--user"),
                        (["--user", "--netstack", "tun"], "auto, kernel or lwip"),
                        (["--user", "--interface", "x"], "--user")):
        r = gw.run(OMERTAD, "start", *words, check=False)
        assert r.returncode == 64 and says in r.stderr, r


def test_network_goes_while_dialing(lab):
    gw = lab.gateway()
    u = User(lab, gw, "u")
    u.start()
    u.join(gw)
    # An address that is leased, and nobody is there.
    m1 = lab.member(gw, "m1")
    wait_for("the lease", lambda: "10.0.0.101" in u.omerta("dhcp", "leases"))
    m1.stop(9)
    dial = u.spawn(u.bin / "omerta", "nc", "10.0.0.101", "7001")
    wait_for("the dial", lambda: "connecting" in u.omerta("tunnel", "sessions"))
    u.omerta("network", "leave")
    assert dial.wait(timeout=5) == 1
    assert "cannot be reached now" in u.log.read_text()
    u.daemon.terminate()
    assert u.daemon.wait(timeout=20) == 0


def test_tun_mode_dials(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    m1.wait_ping("10.0.0.1")
    serve(gw, 7001)
    assert m1.omerta("nc", "10.0.0.1", "7001", input="12345") == "5 12345"
    r = m1.omerta("nc", "10.0.0.1", "7002", check=False)
    assert r.returncode == 1 and "7002" in r.stderr, r
    # Whether the kernel lets the daemon send echoes or not, as in every new namespace.
    for allowed in "1 0", "0 2147483647":
        m1.run("sysctl", "-qw", f"net.ipv4.ping_group_range={allowed}")
        assert "direct" in m1.omerta("ping", "--count", "1", "10.0.0.1"), allowed
        six = gw.json("network", "list")["networks"][0]["address6"]
        assert "direct" in m1.omerta("ping", "--count", "1", six), allowed
        assert " 1 received" in m1.omerta("ping", "--count", "1", "10.0.0.100"), allowed
    m1.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
    # Another program's echoes go on past ours.
    m1.ping("10.0.0.1")
    assert m1.omerta("ping", "--count", "1", "10.0.0.77", check=False).returncode != 0
    assert "Stack: tun" in m1.omerta("status")
    # Who goes away does not answer: within the time, and with the name of the reason.
    gw.run("ip", "link", "set", "eth0", "down")
    r = m1.busctl("--timeout=20", "call", "org.omerta.Mesh1", "/org/omerta/Mesh1",
                  "org.omerta.Mesh1.Manager", "Dial", "sqa{sv}", "10.0.0.1", "7001", "1", "timeout",
                  "t", "1500000", check=False)
    assert r.returncode != 0 and "does not answer" in r.stderr, r


def test_user_beside_system(lab):
    gw = lab.gateway()
    m1 = lab.member(gw, "m1")
    u = User(lab, m1, "u")
    # Without one of their own the system's is asked.
    assert u.omerta("network", "address") == "10.0.0.100"
    u.start()
    u.join(gw)
    assert u.omerta("network", "address") == "10.0.0.101"
    assert u.omerta("network", "address", "--system") == "10.0.0.100"
    # The tun member reaches the user's machine; it has no listener, so the stack refuses.
    m1.wait_ping("10.0.0.101")
    r = m1.omerta("nc", "10.0.0.101", "9", check=False)
    assert r.returncode == 1 and "takes connections" in r.stderr, r
    u.daemon.terminate()
    assert u.daemon.wait(timeout=20) == 0
    u.start()
    wait_for("the address after a restart",
             lambda: u.omerta("network", "address", check=False).stdout.strip() == "10.0.0.101")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv", "dbus-daemon")
