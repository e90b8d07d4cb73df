#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""omerta exec: a program, as an ordinary user without any capability, in the network namespace of
that user's own daemon."""

import contextlib
import errno
import functools
import json
import os
import pathlib
import pty
import select
import signal
import subprocess

from machines import WAIT, main, run, wait_for
import users
from users import NOT_FOUND, UID, UNREACHABLE, User, serve, serve_page

FAILED, USAGE, DENIED, CANNOT_EXECUTE, NO_PROGRAM = 1, 2, 5, 126, 127
FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")

# What the program sees of itself.
WHO_AM_I = """
import json, os, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "cwd": os.getcwd(), "environment": dict(os.environ), "arguments": sys.argv[1:],
    "capabilities": {k: int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")},
    "fds": sorted(os.readlink(f"/proc/self/fd/{f}").split("[")[0] for f in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{f}")),
    "signals": [status["SigBlk"], status["SigIgn"]], "session": [os.getsid(0), os.getpgrp()],
    "mask": status["Umask"],
}))
"""

# Waits for ^C in the foreground of its terminal.
AT_TERMINAL = """
import os, signal
foreground = os.tcgetpgrp(os.open("/dev/tty", os.O_RDWR)) == os.getpgrp()
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", os.isatty(0), foreground)
signal.pause()
"""

# How looking a name up, or connecting to HOST PORT, ends.
LOOK_UP = """
import socket, sys
try:
    print(sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80)}))
except socket.gaierror as e:
    print(e.errno)
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])))
    print("connected")
except OSError as e:
    print(type(e).__name__, e.errno)
"""
# A name server that says nothing and notes that it was asked.
DEAF = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
open(sys.argv[2], "w").close()
while True:
    s.recv(4096)
    open(sys.argv[2] + ".asked", "w").close()
"""


def python(u, script, *args, check=True, **kwargs):
    return u.omerta("exec", "/usr/bin/python3", "-c", script, *args, check=check, **kwargs)


def user_in_the_kernel(test):
    """@test with a user whose daemon uses the kernel's TCP."""
    @functools.wraps(test)
    def wrapper(lab):
        gw = lab.gateway()
        u = User(lab, lab.machine("m1"), "u")
        u.start("--netstack", "kernel")
        r = u.omerta("network", "join", gw.omerta("network", "invite", "--name", "me"), check=False)
        if r.returncode != 0 and "user namespaces" in r.stderr:
            print(f"# skipped: {r.stderr.splitlines()[0]}")
            return
        assert r.returncode == 0, r
        test(lab, gw, u)
    return wrapper


def child_of(pid):
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                return stat.parent.name
    return None


def host_of(gw):
    return gw.json("network", "peers")["machines"][0]["host_name"]


@user_in_the_kernel
def test_reaches_a_member(lab, gw, u):
    serve_page(gw)
    host = host_of(gw)
    for name in ("10.0.0.1", host, f"{host}.omerta", f"{host.upper()}.Omerta"):
        out = u.omerta("exec", "--", "curl", "-sS", "-m", "20", f"http://{name}:8080/page")
        assert out == "z" * 1_000_000, (name, len(out))
    for name in ("10.0.0.1", host):
        assert "1 received" in u.omerta("exec", "ping", "-n", "-c", "1", "-W", "10", name)
    assert "10.0.0.100" in python(u, LOOK_UP, "me")


@user_in_the_kernel
def test_is_reached(lab, gw, u):
    serving = u.spawn(u.bin / "omerta", "exec", "/usr/bin/python3", "-m", "http.server", "8000", "-d",
                      u.home)
    (u.home / "hello").write_text("good day")

    def listens():
        return ":8000 " in u.omerta("exec", "ss", "-Hltn")

    wait_for("the server in the namespace", listens)
    assert gw.run("curl", "-sS", "-m", "20", "http://10.0.0.100:8000/hello").stdout == "good day"
    # ^C and kill(1) of what was started are the program's: there is no process between.
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(timeout=20) == -signal.SIGTERM
    assert not listens()


@user_in_the_kernel
def test_program_is_as_it_would_be(lab, gw, u):
    directory = u.home / "a directory"
    directory.mkdir()
    os.chmod(directory, 0o777)
    env = dict(u.env, WORD="one  two\n")

    def look(*command):
        r = run(*u.command(*command, "/usr/bin/python3", "-c", WHO_AM_I, "-n", "--json", "", "-h"),
                env=env, cwd=directory)
        return json.loads(r.stdout)

    outside, inside = look(), look(u.bin / "omerta", "exec")
    assert inside == outside, (inside, outside)
    assert inside["arguments"] == ["-n", "--json", "", "-h"], inside
    assert not any(inside["capabilities"].values()), inside
    # It is where the daemon's stack is, and nowhere else.
    helper = child_of(u.daemon.pid)
    for kind in ("net", "user"):
        ns = python(u, "import os, sys; print(os.readlink('/proc/self/ns/' + sys.argv[1]))", kind)
        assert ns == os.readlink(f"/proc/{helper}/ns/{kind}"), (kind, ns)


@user_in_the_kernel
def test_terminal(lab, gw, u):
    command = u.command(u.bin / "omerta", "exec", "/usr/bin/python3", "-c", AT_TERMINAL)
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(command[0], [str(c) for c in command], u.env)
        finally:
            os._exit(NO_PROGRAM)
    out = b""
    while b"\n" not in out:
        assert select.select([terminal], [], [], WAIT)[0], out
        out += os.read(terminal, 1024)
    assert out == b"ready True True\r\n", out
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGINT
    os.close(terminal)


@user_in_the_kernel
def test_exit_status(lab, gw, u):
    for code in (0, 1, 77, 255):
        assert u.omerta("exec", "sh", "-c", f"exit {code}", check=False).returncode == code
    r = u.omerta("exec", "sh", "-c", "kill -KILL $$", check=False)
    assert r.returncode == -signal.SIGKILL, r
    r = u.omerta("exec", "no-such-program", check=False)
    assert r.returncode == NO_PROGRAM and "no-such-program" in r.stderr, r
    r = u.omerta("exec", "/", check=False)
    assert r.returncode == CANNOT_EXECUTE and "cannot run /" in r.stderr, r
    assert u.omerta("exec", "cat", input="as it came\n") == "as it came"
    r = u.omerta("--network", "other", "exec", "true", check=False)
    assert r.returncode == NOT_FOUND and "other" in r.stderr, r
    r = u.omerta("--network", json.loads(u.omerta("network", "show", "--json"))["id"], "exec", "true", check=False)
    assert r.returncode == 0, r


@user_in_the_kernel
def test_reaches_nothing_else(lab, gw, u):
    serve(gw, 7001)
    serve(u.machine, 7001)
    assert python(u, CONNECT, "10.0.0.1", "7001") == "connected"
    # They are there, for who is not in the namespace.
    for address in ("127.0.0.1", "192.0.2.1", "192.0.2.2"):
        assert u.run("/usr/bin/python3", "-c", CONNECT, address, "7001").stdout == "connected\n"
    for addresses, number in ((("127.0.0.1", "::1"), errno.ECONNREFUSED),
                              (("192.0.2.1", "192.0.2.2", "2001:db8::1"), errno.ENETUNREACH)):
        for address in addresses:
            says = python(u, CONNECT, address, "7001").split()
            assert says[-1] == str(number), (address, says)
    links = json.loads(u.omerta("exec", "ip", "-j", "link"))
    assert [i["ifname"] for i in links] == ["lo", "omerta0"], links


def with_files(u, files, more=""):
    """In front of a command: the user's machine with these files in /etc; None: not there."""
    d = u.home / "etc"
    d.mkdir(exist_ok=True)
    script = 'mount -t tmpfs none "$1"; mkdir "$1/u" "$1/w"; ' \
        'mount -t overlay none -o "lowerdir=/etc,upperdir=$1/u,workdir=$1/w" /etc; '
    for name, text in files.items():
        script += f"umount /etc/{name} 2>/dev/null || true; rm -f /etc/{name}; "
        if text is not None:
            script += f"printf %s '{text}' > /etc/{name}; "
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
            script + more + 'shift; exec "$@"', "sh", d]


@user_in_the_kernel
def test_names(lab, gw, u):
    host = host_of(gw)
    before = {f: pathlib.Path(f).read_bytes() for f in FILES}
    deaf = u.home / "deaf"
    lab.spawn(gw.command("/usr/bin/python3", "-c", DEAF, "10.0.0.1", deaf))
    wait_for("the name server", deaf.exists)

    def execute(where, *command):
        r = run(*u.machine.command(
            *where, "setpriv", f"--reuid={u.uid}", f"--regid={u.uid}", "--clear-groups",
            "--inh-caps=-all", u.bin / "omerta", "exec", *command), env=u.env, cwd="/")
        assert not r.stderr or "/etc/hosts" in r.stderr, r
        return r.stdout

    def look_up(name, where):
        return execute(where, "/usr/bin/python3", "-c", LOOK_UP, name).strip()

    # A machine whose files would answer differently, or have it wait for a name server.
    there = with_files(u, {
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {host} itself\n192.0.2.77 elsewhere {host}.omerta\n",
        "resolv.conf": "nameserver 10.0.0.1\n",
        "nsswitch.conf": "passwd: files\nhosts: files dns\n"})
    assert look_up(host, there) == "['10.0.0.1']"
    assert look_up(f"{host}.omerta", there) == "['10.0.0.1']"
    assert look_up("itself", there) == "['127.0.1.1']"
    assert "127.0.0.1" in look_up("localhost", there)
    for name in ("elsewhere", "nobody-is-called-so", "example.com"):
        assert look_up(name, there).startswith("-"), name
    # For those who do not ask the C library.
    assert "nameserver 127.0.0.1\n" in execute(there, "cat", "/etc/resolv.conf")
    # Nothing is there at all; the C library then asks a name server on loopback.
    missing = with_files(u, {"resolv.conf": None, "nsswitch.conf": None})
    assert look_up(host, missing) == "['10.0.0.1']"
    assert look_up("example.com", missing).startswith("-")
    missing = with_files(u, {"hosts": None})
    assert look_up(host, missing).startswith("-")
    # A symbolic link, as systemd-resolved has it, to somewhere and to nowhere.
    for made in ("printf %s 'nameserver 10.0.0.1' > /etc/elsewhere; ", ""):
        link = with_files(u, {"resolv.conf": None}, made + "ln -s elsewhere /etc/resolv.conf; ")
        assert look_up(host, link) == "['10.0.0.1']"
        assert look_up("example.com", link).startswith("-")
    # nscd would answer for the machine.
    nscd = with_files(u, {}, "mount -t tmpfs none /run; mkdir /run/nscd; touch /run/nscd/socket; ")
    assert execute(nscd, "ls", "/run") == "nscd\n" and execute(nscd, "ls", "/var/run/nscd") == ""
    # The machine's own are what they were, also where mounts spread.
    shared = [*with_files(u, {"hosts": "127.0.0.1 localhost\n"}), "sh", "-c",
              'mount --make-rshared /; "$@"; cat /etc/hosts', "sh"]
    inside, own = execute(shared, "cat", "/etc/hosts").rsplit("127.0.0.1 localhost\n", 1)
    assert f"10.0.0.1 {host}.omerta {host}\n" in inside and own == "", (inside, own)
    assert not os.path.exists(f"{deaf}.asked"), "the name server was asked"
    asking = lab.spawn(gw.command(*there, "/usr/bin/python3", "-c", LOOK_UP, "example.com"))
    wait_for("what is asked without exec", lambda: os.path.exists(f"{deaf}.asked"))
    asking.terminate()
    assert before == {f: pathlib.Path(f).read_bytes() for f in FILES}


def refused(who, code, *says):
    r = who.omerta("exec", "true", check=False)
    assert r.returncode == code and all(s in r.stderr for s in says), r


@user_in_the_kernel
def test_its_interface_deleted(lab, gw, u):
    """By a program that runs in there: the stack is made anew."""
    name = host_of(gw)
    assert "1 received" in u.omerta("exec", "ping", "-n", "-c", "1", "-W", "10", name)
    link, = [k["ifname"] for k in json.loads(u.omerta("exec", "ip", "-j", "link")) if k["ifname"] != "lo"]
    u.omerta("exec", "unshare", "-Ur", "true", check=False)
    pid = child_of(u.daemon.pid)
    run("nsenter", "-t", pid, "-n", "ip", "link", "del", link)
    wait_for("the stack", lambda: "1 received" in u.omerta(
        "exec", "ping", "-n", "-c", "1", "-W", "2", name, check=False).stdout)
    assert json.loads(u.omerta("network", "show", "--json"))["state"] == "online"


def test_where_it_is_not_possible(lab):
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    refused(gw, FAILED, "omerta0", "run it as it is")
    u.start("--netstack", "lwip")
    refused(u, NOT_FOUND, "no network")
    r = u.omerta("network", "join", gw.omerta("network", "invite"), check=False)
    if "no lwIP" in r.stderr:
        print("# this build has no lwIP")
    else:
        assert r.returncode == 0, r
        refused(u, FAILED, '"lwip": it was asked for')
        u.omerta("down")
        refused(u, FAILED, "the network is down")
    r = u.omerta("exec", check=False)
    assert r.returncode == USAGE, r
    r = u.omerta("exec", "--json", "true", check=False)
    assert r.returncode == USAGE and "before 'exec'" in r.stderr, r
    u.daemon.terminate()
    u.daemon.wait(timeout=20)
    r = u.omerta("--user", "exec", "true", check=False)
    assert r.returncode == UNREACHABLE, r


def test_where_namespaces_are_forbidden(lab):
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    # In a user namespace that may have no others below it.
    within = ["unshare", "--user", f"--map-user={u.uid}", f"--map-group={u.uid}", "--keep-caps", "sh",
              "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    r = u.run(*within, "true", check=False)
    if r.returncode != 0:
        print(f"# skipped: {r.stderr.strip()}")
        return
    u.daemon = u.spawn(*within, u.bin / "omertad", "start", "--user")
    wait_for("the daemon", u.is_ready)
    r = u.omerta("network", "join", gw.omerta("network", "invite"), check=False)
    says = "user namespaces are forbidden: user.max_user_namespaces = 0"
    if "no lwIP" in r.stderr:
        refused(u, FAILED, "the network is down")
        assert says in u.omerta("status")
        return
    assert r.returncode == 0, r
    refused(u, FAILED, '"lwip"', says)


@user_in_the_kernel
def test_daemon_starts_again(lab, gw, u):
    serve(gw, 7001)
    script = f"read go && exec /usr/bin/python3 -c '{CONNECT}' 10.0.0.1 7001"
    with subprocess.Popen(u.command(u.bin / "omerta", "exec", "sh", "-c", script), env=u.env, cwd="/",
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as old:
        wait_for("the program", lambda: pathlib.Path(f"/proc/{old.pid}/cmdline").read_bytes()
                 .startswith(b"sh\0-c\0read go"))
        u.daemon.terminate()
        assert u.daemon.wait(timeout=20) == 0
        u.start("--netstack", "kernel")
        wait_for("the network", lambda: python(u, CONNECT, "10.0.0.1", "7001", check=False).stdout
                 == "connected\n")
        out, _ = old.communicate("go\n", timeout=60)
    assert out.split()[-1] == str(errno.ENETUNREACH), out


def test_roots_own_daemon(lab):
    users.UID = 0
    try:
        gw = lab.gateway()
        u = User(lab, lab.machine("m1"), "root")
        u.start()
        u.join(gw)
        if u.property("Netstack") != "kernel":
            print(f"# skipped: {u.property('NetstackReason')}")
            return
        inside = json.loads(python(u, WHO_AM_I))
        assert inside["ids"][0] == [0, 0, 0] and not any(inside["capabilities"].values()), inside
    finally:
        users.UID = UID


def test_only_for_its_user(lab):
    gw = lab.gateway()
    u = User(lab, lab.machine("m1"), "u")
    # A session bus lets nobody else in; this one does.
    u.bus_address = u.env["DBUS_SESSION_BUS_ADDRESS"] = u.machine.bus_address
    u.start()
    u.join(gw)
    if u.property("Netstack") != "kernel":
        print(f"# skipped: {u.property('NetstackReason')}")
        return

    def run_as(uid, gid):
        return run(*u.machine.command("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
                                      u.bin / "omerta", "--user", "exec", "true"), check=False,
                   env=u.env, cwd="/")

    r = run_as(1, 1)
    assert r.returncode == DENIED and "not allowed" in r.stderr, r
    # The daemon lets root in; the namespace does not have such a user.
    r = run_as(0, 0)
    assert r.returncode == DENIED and "another user's" in r.stderr, r
    r = run_as(u.uid, 1)
    assert r.returncode == FAILED and "group" in r.stderr, r
    r = run_as(u.uid, u.uid)
    assert r.returncode == 0, r


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if k.startswith("test_")], "setpriv", "dbus-daemon",
         "curl", "unshare", "ss")
