# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table "userspace" of tests/bench/run: who takes part, and the figures.

Machine a (far: fa) is the program's, b (fb) the service's. What is behind slirp4netns and pasta
lives in a namespace "behind" of its own."""

import contextlib
import os
import pathlib
import pwd
import shutil
import stat
import subprocess

from common import Unavailable, inside, running, sh, wait_for, words
from contestants import UNDERLAY, Omerta, cache_dir
from figures import cpu_seconds, peak_mib

NEAR, FAR = ("a", "b"), ("fa", "fb")
SERVICE = UNDERLAY["b"]
PORT, SOCKS_PORT = 7001, 1080
CLIENTS, CONNECTIONS, IDLE = 32, 5000, 1000
# Until windows are open at 50 ms.
FAR_OMIT = 3
NOBODY = pwd.getpwnam("nobody").pw_uid  # dbus-daemon wants one that has a name


def family(pid):
    """The process and its descendants."""
    pids = [pid]
    for p in pids:
        with contextlib.suppress(OSError):
            pids += map(int, pathlib.Path(f"/proc/{p}/task/{p}/children").read_text().split())
    return pids


def resident_kib(pids):
    pages = sum(int(pathlib.Path(f"/proc/{p}/statm").read_text().split()[1]) for p in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def use_cubic(*inside_it):
    """The default of a network namespace. Where the machine's is another and cubic is not among those
    anybody may use (tcp_allowed_congestion_control), reno, which always is: bbr hides losses."""
    for name in ("cubic", "reno"):
        with contextlib.suppress(subprocess.CalledProcessError):
            sh(*inside_it, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={name}")
            return


class Way:
    """How a program on one side comes to the service on the other."""

    def __init__(self, machines, client, daemon=0, others=(), dial=None, proxy=None, service=SERVICE):
        self.machines, self.client = machines, client  # client: the command that runs its arguments there
        self.daemon, self.others = daemon, list(others)
        self.dial, self.proxy = dial, proxy  # userload's arguments; None: there is no such way
        self.service = service

    def pids(self):
        return (family(self.daemon) if self.daemon else []) + self.others


class Direct:
    """The path itself."""

    def __init__(self, options):
        pass

    @contextlib.contextmanager
    def up(self, work, machines):
        yield Way(machines, inside(machines[0]), dial=[])


class UserOmerta(Omerta):
    """A person's own daemon, and a gateway with an interface."""

    def __init__(self, options, engine):
        super().__init__(options)
        self.engine = engine
        self.helper = options.build / "service/netif/omerta-netns-helper"

    def command(self, machine, *args):
        return inside(machine, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                      "--no-new-privs", "--inh-caps=-all", *args)

    @contextlib.contextmanager
    def up(self, work, machines):
        left, right = machines
        work.chmod(0o755)
        home = work / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        # The build may be where nobody can look.
        for program in (self.daemon, self.client, self.helper):
            shutil.copy(program, work)
        bus = f"unix:path={home}/bus"
        env = {"HOME": str(home), "PATH": os.environ["PATH"], "DBUS_SESSION_BUS_ADDRESS": bus,
               "OMERTA_NETNS_HELPER": str(work / self.helper.name)}
        with contextlib.ExitStack() as stack:
            gateway = self.start(stack, work, right, "--gateway")
            wait_for("the gateway's address", lambda: self.address(right, work))
            (home / "bus.conf").write_text(self.BUS.format(home / "bus"))
            stack.enter_context(running(self.command(left, "dbus-daemon", f"--config-file={home}/bus.conf", "--nofork",
                                                     "--nopidfile", "--nosyslog"), env=env))
            wait_for("the session bus", (home / "bus").exists)
            log = stack.enter_context(open(work / "log-user", "w"))
            daemon = stack.enter_context(running(
                self.command(left, work / "omertad", "start", "--user", "--netstack", self.engine,
                             "--socks-proxy", SOCKS_PORT), log, env=env))
            wait_for("the user's omertad", lambda: subprocess.run(
                self.command(left, work / "omerta", "status"), env=env, capture_output=True).returncode == 0)
            invite = self.omerta(right, work, "network", "invite")
            joined = subprocess.run(self.command(left, work / "omerta", "network", "join", invite), env=env,
                                    capture_output=True, text=True)
            if joined.returncode != 0:
                raise Unavailable(joined.stderr.strip())
            if self.engine == "kernel":
                # Its namespace has what the machine has.
                for pid in family(daemon.pid)[1:]:
                    use_cubic("nsenter", "-t", pid, "-n")
            # As root, who may give cubic to a connection of the user's.
            yield Way(machines, inside(left, "env", f"DBUS_SESSION_BUS_ADDRESS={bus}"), daemon.pid,
                      [gateway], dial=["--dial"], proxy=["--proxy", f"127.0.0.1:{SOCKS_PORT}"],
                      service=self.address(right, work))

    def address(self, machine, work):
        try:
            return self.omerta(machine, work, "network", "address")
        except subprocess.CalledProcessError:
            return None


class Behind:
    """A namespace whose network is a program's."""

    def __init__(self, options):
        if not shutil.which(self.program):
            raise Unavailable(f"{self.program} is not installed (tools/install-deps --tests)")

    @contextlib.contextmanager
    def up(self, work, machines):
        sh("ip", "netns", "add", "behind")
        try:
            use_cubic(*inside("behind"))
            sh(*inside("behind", "ip", "link", "set", "lo", "up"))
            with open(work / "log", "w") as log, running(inside(machines[0], *self.arguments), log) as p:
                wait_for(f"{self.program} to connect", lambda: p.poll() is not None or subprocess.run(
                    inside("behind", "ip", "route", "get", SERVICE), capture_output=True).returncode == 0)
                if p.poll() is not None:
                    raise Unavailable(f"{self.program} ends: {(work / 'log').read_text().strip()[-200:]}")
                yield Way(machines, inside("behind"), p.pid, dial=[])
        finally:
            sh("ip", "netns", "del", "behind")


class Slirp4netns(Behind):
    program = "slirp4netns"
    arguments = [program, "--configure", "--mtu=65520", "--netns-type=path", "/run/netns/behind", "tap0"]


class Pasta(Behind):
    program = "pasta"
    arguments = [program, "-f", "-q", "--config-net", "--no-map-gw", "--netns-only", "--runas", "0",
                 "--netns", "/run/netns/behind"]


class Proxy:
    """A SOCKS5 proxy that goes straight to the service."""

    def __init__(self, options):
        self.program = self.find(options)

    @contextlib.contextmanager
    def up(self, work, machines):
        with open(work / "log", "w") as log, running(inside(machines[0], *self.arguments(work)), log) as p:
            wait_for(f"{self.program} to listen", lambda: p.poll() is not None or
                     f":{SOCKS_PORT} " in sh(*inside(machines[0], "ss", "-Hltn")))
            if p.poll() is not None:
                raise Unavailable(f"{self.program} ends: {(work / 'log').read_text().strip()[-200:]}")
            yield Way(machines, inside(machines[0]), p.pid, proxy=["--proxy", f"127.0.0.1:{SOCKS_PORT}"])


class Microsocks(Proxy):
    def find(self, options):
        if not shutil.which("microsocks"):
            raise Unavailable("microsocks is not installed (tools/install-deps --tests)")
        return "microsocks"

    def arguments(self, work):
        return [self.program, "-i", "127.0.0.1", "-p", SOCKS_PORT]


class Dante(Proxy):
    """Debian's package starts a daemon at its installation: unpacked into the cache."""

    CONFIG = """logoutput: stderr
errorlog: stderr
internal: 127.0.0.1 port = {}
external: u0
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""

    def find(self, options):
        cache = cache_dir()
        program = cache / "root/usr/sbin/danted"
        if not program.exists():
            if options.no_fetch or not shutil.which("apt-get"):
                raise Unavailable("danted is not in the cache")
            cache.mkdir(parents=True, exist_ok=True)
            try:
                for package in ("dante-server", "libwrap0"):
                    sh("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=cache)
                    sh("dpkg-deb", "-x", max(cache.glob(f"{package}_*.deb")), cache / "root")
            except (subprocess.CalledProcessError, ValueError) as e:
                raise Unavailable("cannot be fetched: " + (getattr(e, "stderr", "") or str(e)).strip()[-200:]) from e
        self.libraries = ":".join(map(str, {p.parent for p in (cache / "root").rglob("*.so.*")}))
        return program

    def arguments(self, work):
        (work / "danted.conf").write_text(self.CONFIG.format(SOCKS_PORT))
        return ["env", f"LD_LIBRARY_PATH={self.libraries}", self.program, "-f", work / "danted.conf"]


CONTESTANTS = {
    "bare path": Direct,
    "omertad kernel": lambda options: UserOmerta(options, "kernel"),
    "omertad lwip": lambda options: UserOmerta(options, "lwip"),
    "slirp4netns": Slirp4netns,
    "pasta": Pasta,
    "microsocks": Microsocks,
    "dante": Dante,
}

COLUMNS = [
    ("TCP >", "dial_ab", "{:.2f}"), ("<", "dial_ba", "{:.2f}"),
    ("proxy >", "proxy_ab", "{:.2f}"), ("<", "proxy_ba", "{:.2f}"),
    ("50 ms >", "far_ab", "{:.3f}"), ("<", "far_ba", "{:.3f}"),
    ("conn/s", "connections", "{:.0f}"), ("KiB/conn", "idle_kib", "{:.1f}"),
    ("s/GB", "cpu_s_per_gb", "{:.2f}"), ("MiB", "rss_mib", "{:.0f}"),
]


# ---- figures ------------------------------------------------------------------------------------


class Measure:
    def __init__(self, options, way):
        self.options, self.way = options, way
        self.tool = options.build / "tests/bench/userload"
        self.to = f"{way.service}:{PORT}"

    @contextlib.contextmanager
    def service(self):
        args = inside(self.way.machines[1], self.tool, "serve", self.to)
        with running(args, stdout=subprocess.PIPE) as p:
            if p.stdout.readline() != "ready\n":
                raise Unavailable("the service does not start")
            yield

    def load(self, way, verb, *args):
        return words(sh(*self.way.client, *self.command(way, verb, *args)))

    def command(self, way, verb, *args):
        return [self.reachable, *way, verb, self.to, *args]

    def both_ways(self, way, name, omit):
        """Figures by their names; without one where the stream stands still."""
        out = {}
        for verb, suffix in (("stream", "ab"), ("back", "ba")):
            try:
                out[f"{name}_{suffix}"] = self.load(way, verb, omit, self.options.seconds)["gbit"]
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
                print(f"no {name}_{suffix}: {e} {(e.stderr or '').strip()[-200:]}")
        return out

    def idle(self, way):
        before = resident_kib(self.way.pids())
        args = [*self.way.client, *self.command(way, "idle", IDLE)]
        with running(args, stdout=subprocess.PIPE) as p:
            if p.stdout.readline() != "ready\n":
                raise Unavailable(f"{IDLE} connections cannot be made")
            return (resident_kib(self.way.pids()) - before) / IDLE

    def near(self):
        out, way = {}, self.way
        pids, cpu = way.pids(), cpu_seconds(way.pids())
        for name, args in (("dial", way.dial), ("proxy", way.proxy)):
            if args is None:
                continue
            both = self.both_ways(args, name, 1)
            out |= both
            if len(both) == 2 and pids and "cpu_s_per_gb" not in out:
                # The second left out is as fast as the others.
                size = sum(both.values()) / 8 * (self.options.seconds + 1)
                out["cpu_s_per_gb"] = (cpu_seconds(way.pids()) - cpu) / size
        through = way.dial if way.proxy is None else way.proxy
        out["connections"] = self.load(through, "connections", CONNECTIONS, CLIENTS)["per_second"]
        if pids:
            out["idle_kib"] = self.idle(through)
            out["rss_mib"] = peak_mib(way.pids())
        return out

    def far(self):
        way = self.way.proxy if self.way.dial is None else self.way.dial
        return self.both_ways(way, "far", FAR_OMIT)


def measure(options, contestant, work):
    out = {}
    for machines, figures in ((NEAR, Measure.near), (FAR, Measure.far)):
        place = work / machines[0]
        place.mkdir()
        work.chmod(0o755)
        with contestant.up(place, machines) as way:
            m = Measure(options, way)
            m.reachable = shutil.copy(m.tool, place)
            with m.service():
                out |= figures(m)
    return out


# ---- machines -----------------------------------------------------------------------------------


@contextlib.contextmanager
def topology(options, work):
    """The table's second pair of machines, joined by a cable with a delay."""
    node = work / "tun"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
    node.chmod(0o666)
    # As systemd-udevd makes it; on a machine without it may be root's alone.
    sh("mount", "--bind", node, "/dev/net/tun")
    for n in FAR:
        sh("ip", "netns", "add", n)
    box = [options.build / "tests/bench/delay-box", "--delay-ms", options.delay_ms, "--rate-mbit",
           options.rate_mbit, *FAR, "u0"]
    with running(box, stdout=subprocess.PIPE) as p:
        if p.stdout.readline() != "ready\n":
            raise Unavailable("the cable cannot be made")
        for n, address in zip(FAR, UNDERLAY.values()):
            sh(*inside(n, "ip", "address", "add", f"{address}/24", "dev", "u0"))
            for link in ("lo", "u0"):
                sh(*inside(n, "ip", "link", "set", link, "up"))
        for n in NEAR + FAR:
            use_cubic(*inside(n))
        for n in NEAR[:1] + FAR[:1]:
            # What pasta takes its configuration from.
            sh(*inside(n, "ip", "route", "add", "default", "via", SERVICE))
        yield
        p.terminate()
        print("cable:", p.stdout.readline().strip())
