# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who takes part in the table "lan" of tests/bench/run: each is brought up between two machines, and
nothing of it is left afterwards."""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess

from common import Unavailable, inside, running, sh, wait_for

UNDERLAY = {"a": "192.0.2.1", "b": "192.0.2.2"}


def cache_dir():
    """Where packages are unpacked whose installation would change the machine."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "omerta-bench"


class Veth:
    """The path itself: what is left when nobody encrypts."""

    name = "bare veth"

    def __init__(self, options):
        pass

    @contextlib.contextmanager
    def up(self, work):
        yield UNDERLAY, []


class WireguardGo:
    def __init__(self, options, program="/usr/bin/wireguard-go", name="wireguard-go"):
        self.program, self.name = program, name
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed")
        if not shutil.which("wg"):
            raise Unavailable("wg is not installed (wireguard-tools)")

    @contextlib.contextmanager
    def up(self, work):
        keys = {n: sh("wg", "genkey").strip() for n in "ab"}
        address = {"a": "10.9.0.1", "b": "10.9.0.2"}
        with contextlib.ExitStack() as stack:
            pids = []
            for n, other in ("ab", "ba"):
                # Both have the same /run/wireguard: names must differ.
                link = f"wg-{n}"
                env = dict(os.environ, WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD="1", LOG_LEVEL="error")
                p = stack.enter_context(running(inside(n, self.program, "-f", link), env=env))
                pids.append(p.pid)
                wait_for(f"{self.name} to start", lambda: pathlib.Path(f"/run/wireguard/{link}.sock").exists())
                (work / link).write_text(keys[n])
                public = sh("wg", "pubkey", input=keys[other]).strip()
                sh("wg", "set", link, "listen-port", 51820, "private-key", work / link, "peer", public,
                   "allowed-ips", "10.9.0.0/24", "endpoint", f"{UNDERLAY[other]}:51820")
                sh(*inside(n, "ip", "address", "add", f"{address[n]}/24", "dev", link))
                sh(*inside(n, "ip", "link", "set", link, "mtu", 1420, "up"))
            yield address, pids


class NewWireguardGo(WireguardGo):
    """A newer one: $WIREGUARD_GO, else the one of Debian's backports, unpacked into the cache."""

    name = "wireguard-go, new"

    def __init__(self, options):
        program = os.environ.get("WIREGUARD_GO") or self.fetch(options)
        super().__init__(options, program, self.name)

    @staticmethod
    def fetch(options):
        cache = cache_dir()
        program = cache / "root/usr/bin/wireguard-go"
        if program.exists():
            return str(program)
        if options.no_fetch or not shutil.which("apt-get"):
            raise Unavailable("not in the cache; name one with WIREGUARD_GO=")
        # An apt of our own: the machine's sources, lists and state are neither read nor written.
        for d in ("etc/apt.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"):
            (cache / "apt" / d).mkdir(parents=True, exist_ok=True)
        (cache / "apt/status").touch()
        codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        # Backports lie where the release itself comes from.
        mirrors = sh("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)",
                     "Created-By: Packages").splitlines()
        mirror = next((m.split()[0] for m in mirrors if m.split()[1:] == [codename]), None)
        if not mirror:
            raise Unavailable("apt names no mirror of this release; name one with WIREGUARD_GO=")
        (cache / "apt/etc/sources.list").write_text(
            f"deb [signed-by={keyring}] {mirror} {codename}-backports main\n")
        apt = ["apt-get", "-qq"]
        for option in (f"Dir::Etc={cache}/apt/etc", "Dir::Etc::SourceList=sources.list", "Dir::Etc::SourceParts=/dev/null",
                       f"Dir::State={cache}/apt", f"Dir::State::Lists={cache}/apt/lists",
                       f"Dir::State::status={cache}/apt/status", f"Dir::Cache={cache}/apt",
                       f"Dir::Cache::Archives={cache}/apt/archives", "APT::Sandbox::User=root"):
            apt += ["-o", option]
        try:
            sh(*apt, "update")
            sh(*apt, "download", "wireguard-go", cwd=cache)
            package = max(cache.glob("wireguard-go_*.deb"))
            sh("dpkg-deb", "-x", package, cache / "root")
        except (subprocess.CalledProcessError, ValueError) as e:
            raise Unavailable("cannot be fetched: " + (getattr(e, "stderr", "") or str(e)).strip()[-200:]) from e
        return str(program)


class Omerta:
    """omertad as it is shipped, without systemd: a bus for each machine, and an invite."""

    name = "omertad"
    BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""

    def __init__(self, options):
        self.daemon = options.build / "service/omertad"
        self.client = options.build / "cli/omerta"
        for program in (self.daemon, self.client):
            if not program.exists():
                raise Unavailable(f"{program} is not built")
        build = json.loads(sh("meson", "introspect", "--buildoptions", options.build))
        if next(o["value"] for o in build if o["name"] == "b_sanitize") != "none":
            raise Unavailable(f"{options.build} is built with sanitizers")

    def omerta(self, n, work, *args):
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={work}/bus-{n}")
        return sh(*inside(n, self.client, *args), env=env).strip()

    def start(self, stack, work, n, *args):
        """A bus and a daemon on machine n. Return: the daemon's pid."""
        bus = work / f"bus-{n}"
        config = work / f"bus-{n}.conf"
        config.write_text(self.BUS.format(bus))
        stack.enter_context(running(inside(n, "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile")))
        wait_for("the bus", bus.exists)
        log = stack.enter_context(open(work / f"log-{n}", "w"))
        p = stack.enter_context(running(
            inside(n, self.daemon, "start", "--vpn", "--state-dir", work / f"state-{n}", *args), log,
            env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={bus}")))
        wait_for("omertad", lambda: self.answers(n, work))
        return p.pid

    @contextlib.contextmanager
    def up(self, work):
        with contextlib.ExitStack() as stack:
            pids = [self.start(stack, work, "a", "--gateway"), self.start(stack, work, "b")]
            self.omerta("b", work, "network", "join", self.omerta("a", work, "network", "invite"))
            address = {n: self.omerta(n, work, "network", "address") for n in "ab"}
            wait_for("the path", lambda: subprocess.run(
                inside("a", "ping", "-q", "-c", "1", "-W", "1", address["b"]), capture_output=True).returncode == 0)
            yield address, pids

    def answers(self, n, work):
        try:
            return self.omerta(n, work, "status")
        except subprocess.CalledProcessError:
            return False


CONTESTANTS = {"veth": Veth, "omertad": Omerta, "wireguard-go": WireguardGo, "wireguard-go-new": NewWireguardGo}
