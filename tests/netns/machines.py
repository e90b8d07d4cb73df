# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines for tests, without systemd: each a network namespace on one bridge, with a message bus
of its own and omertad in the foreground.

    gw 192.0.2.1   m1 192.0.2.2   m2 192.0.2.3 ...
        |              |              |
    ====+==============+==============+====  bridge, in a namespace of its own

Everything is made below one prefix and removed again, also when the test is interrupted. Waits
are for conditions with a bound; nothing sleeps for a fixed time and hopes.
"""

import atexit
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("OMERTA_BUILD", "build")).resolve()
TOP = pathlib.Path(__file__).resolve().parent.parent.parent
OMERTAD = BUILD / "service" / "omertad"
OMERTA = BUILD / "cli" / "omerta"
WAIT = 20  # seconds any condition may take on a slow, busy machine


class Failure(Exception):
    pass


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(77)


def require(*programs):
    if os.geteuid() != 0:
        skip("needs root to make network namespaces")
    if not os.path.exists("/dev/net/tun"):
        skip("needs /dev/net/tun (modprobe tun)")
    for program in programs:
        if not shutil.which(program):
            skip(f"needs {program}")


def run(*args, check=True, **kwargs):
    r = subprocess.run(args, capture_output=True, text=True, timeout=60, **kwargs)
    if check and r.returncode != 0:
        raise Failure(f"{' '.join(map(str, args))}: exit {r.returncode}: {r.stdout}{r.stderr}")
    return r


def wait_for(what, condition, seconds=WAIT):
    """Polls until condition() is true. The pause only keeps the CPU free."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for: {what}")
        time.sleep(0.05)


BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"""


class Machine:
    def __init__(self, lab, name, number):
        self.lab, self.name = lab, name
        self.ns = f"{lab.prefix}-{name}"
        self.address = f"192.0.2.{number}"
        self.dir = lab.dir / name
        self.dir.mkdir()
        os.chmod(self.dir, 0o755)
        self.state = self.dir / "state"
        self.bus_address = f"unix:path={self.dir}/bus"
        self.daemon = None
        self.program = OMERTAD
        self.log = self.dir / "log"
        self.env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.bus_address, LC_ALL="C.UTF-8")
        for key in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "STATE_DIRECTORY", "LISTEN_FDS"):
            self.env.pop(key, None)
        run("ip", "netns", "add", self.ns)
        run("ip", "link", "add", "eth0", "netns", self.ns, "type", "veth",
            "peer", "name", name, "netns", lab.hub)
        lab.hub_run("ip", "link", "set", name, "master", "br0", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        (self.dir / "bus.conf").write_text(BUS_CONFIG.format(path=self.dir / "bus"))
        self.start_bus()

    def start_bus(self):
        self.bus = self.lab.spawn(["dbus-daemon", f"--config-file={self.dir}/bus.conf", "--nofork",
                                   "--nopidfile"])
        wait_for("the bus", (self.dir / "bus").exists)
        os.chmod(self.dir / "bus", 0o666)

    def end_bus(self):
        """As when it crashes; its address is free then."""
        self.bus.kill()
        self.bus.wait()
        (self.dir / "bus").unlink()

    def command(self, *args):
        return ["ip", "netns", "exec", self.ns, *map(str, args)]

    def run(self, *args, check=True, **kwargs):
        kwargs.setdefault("env", self.env)
        return run(*self.command(*args), check=check, **kwargs)

    def start(self, *args, wait=True):
        """omertad in the foreground; returns when it owns its name."""
        out = open(self.log, "ab")
        self.daemon = self.lab.spawn(
            self.command(self.program, "start", "--state-dir", self.state, *args),
            env=self.env, stdout=out, stderr=out)
        if wait:
            wait_for(f"{self.name}'s daemon", self.is_ready)

    def is_ready(self):
        if self.daemon.poll() is not None:
            raise Failure(f"{self.name}: omertad ended with {self.daemon.returncode}:\n"
                          + self.log.read_text(errors="replace")[-4000:])
        return run("busctl", f"--address={self.bus_address}", "status", "org.omerta.Mesh1",
                   check=False).returncode == 0

    def stop(self, how=signal.SIGTERM):
        self.daemon.send_signal(how)
        code = self.daemon.wait(timeout=WAIT)
        self.daemon = None
        return code

    def omerta(self, *args, check=True, **kwargs):
        r = self.run(OMERTA, *args, check=False, **kwargs)
        if check and r.returncode != 0:
            raise Failure(f"{self.name}: omerta {' '.join(args)}: exit {r.returncode}: {r.stderr}")
        return r.stdout.strip() if check else r

    def json(self, *args):
        return json.loads(self.omerta(*args, "--json"))

    def busctl(self, *args, check=True):
        return run("busctl", f"--address={self.bus_address}", *args, check=check)

    def ping(self, address, check=True, count=1):
        return self.run("ping", "-n", "-c", count, "-W", 2, address, check=check).returncode == 0

    def wait_ping(self, address, seconds=WAIT):
        wait_for(f"{self.name} to reach {address}", lambda: self.ping(address, check=False),
                 seconds)


class Lab:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="omerta-test."))
        os.chmod(self.dir, 0o755)
        self.prefix = "omt" + self.dir.name[-6:].replace("_", "x").lower()
        self.hub = f"{self.prefix}-hub"
        self.processes, self.machines = [], []
        atexit.register(self.close)
        for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(s, lambda *_: sys.exit(1))
        run("ip", "netns", "add", self.hub)
        self.hub_run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.hub_run("ip", "link", "set", "br0", "up")

    def hub_run(self, *args):
        return run("ip", "netns", "exec", self.hub, *args)

    def machine(self, name):
        m = Machine(self, name, len(self.machines) + 1)
        self.machines.append(m)
        return m

    def spawn(self, args, **kwargs):
        kwargs.setdefault("stdout", subprocess.DEVNULL)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        p = subprocess.Popen(args, **{"stdin": subprocess.DEVNULL, **kwargs})
        self.processes.append(p)
        return p

    def close(self):
        if not self.dir.exists():
            return
        for p in reversed(self.processes):
            if p.poll() is None:
                p.terminate()
        for p in reversed(self.processes):
            try:
                p.wait(timeout=5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        # By name: a machine that was only half made is in no list.
        for line in run("ip", "netns", "list").stdout.splitlines():
            if line.startswith(self.prefix + "-"):
                run("ip", "netns", "del", line.split()[0], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- the usual beginning --

    def gateway(self, *args):
        gw = self.machine("gw")
        gw.start("--gateway", "--vpn", *args)
        wait_for("the gateway's address", lambda: gw.omerta("network", "address", check=False).stdout)
        return gw

    def member(self, gw, name, *invite):
        m = self.machine(name)
        m.start("--vpn")
        m.omerta("network", "join", gw.omerta("network", "invite", *invite))
        return m


def main(tests, *programs):
    """Runs the functions in order on one Lab each; TAP on standard output."""
    require("ip", "dbus-daemon", "busctl", "ping", *programs)
    failed = 0
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    for i, test in enumerate(chosen, 1):
        lab = Lab()
        try:
            test(lab)
            print(f"ok {i} - {test.__name__}", flush=True)
        except (Failure, AssertionError, subprocess.TimeoutExpired) as e:
            failed += 1
            print(f"not ok {i} - {test.__name__}", flush=True)
            print("\n".join("# " + line for line in f"{type(e).__name__}: {e}".splitlines()))
            import traceback
            frame = traceback.extract_tb(e.__traceback__)[-1]
            for f in traceback.extract_tb(e.__traceback__):
                if f.filename == sys.argv[0] or f.filename.endswith(pathlib.Path(sys.argv[0]).name):
                    frame = f
            print(f"# at {frame.name}:{frame.lineno}: {frame.line}")
            for m in lab.machines:
                if m.log.exists():
                    print(f"# --- log of {m.name}")
                    for line in m.log.read_text(errors="replace").splitlines()[-30:]:
                        print("#   " + line)
            sys.stdout.flush()
        finally:
            with contextlib.suppress(Failure):
                lab.close()
    sys.exit(1 if failed else 0)
