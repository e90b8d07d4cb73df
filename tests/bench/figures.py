# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures of the table "lan" of tests/bench/run."""

import contextlib
import json
import os
import pathlib
import subprocess
import time

from common import Unavailable, inside, running, sh, words

LOSS_MAX = 0.01
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def peak_mib(pids):
    peak = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) / 1024)
    return peak


class Measure:
    def __init__(self, options, address, pids):
        self.options, self.address, self.pids = options, address, pids
        self.tool = options.build / "tests/bench/bench-net"

    @contextlib.contextmanager
    def iperf_server(self):
        """For one client, ready when given out."""
        args = inside("b", "iperf3", "-s", "-1", "--forceflush", "-B", self.address["b"])
        with running(args, stdout=subprocess.PIPE) as server:
            while "listening" not in (line := server.stdout.readline()):
                if not line:
                    raise Unavailable("iperf3 does not start")
            yield server

    def iperf(self, streams, reverse=False):
        """One transfer from a to b, or back. Return: bytes received, seconds."""
        args = ["iperf3", "-c", self.address["b"], "-C", "cubic", "-t", self.options.seconds,
                "-P", streams, "-J"] + (["-R"] if reverse else [])
        with self.iperf_server() as server:
            end = json.loads(sh(*inside("a", *args)))["end"]["sum_received"]
            server.wait(5)
        return end["bytes"], end["seconds"]

    def tcp(self):
        out, cpu, total = {}, cpu_seconds(self.pids), 0
        for reverse in (False, True):
            size, seconds = self.iperf(1, reverse)
            out["tcp1_" + ("ba" if reverse else "ab")] = size * 8 / seconds / 1e9
            total += size
        if self.pids:
            out["cpu_s_per_gb"] = (cpu_seconds(self.pids) - cpu) / (total / 1e9)
        for reverse in (False, True):
            size, seconds = self.iperf(4, reverse)
            out["tcp4_" + ("ba" if reverse else "ab")] = size * 8 / seconds / 1e9
        return out

    def ping(self, count, usec):
        return words(sh(*inside("a", self.tool, "ping", self.address["b"], count, usec)))

    def rtt(self):
        with running([self.tool, "awake"]):
            self.ping(200, 1000)
            idle = self.ping(1000, 1000)
        load = inside("a", "iperf3", "-c", self.address["b"], "-C", "cubic", "-t", self.options.seconds + 1)
        with self.iperf_server(), running(load):
            time.sleep(0.5)  # past slow start
            loaded = self.ping(int(self.options.seconds * 500), 2000)
        return {"rtt_idle_p50_us": idle["p50_us"], "rtt_idle_p99_us": idle["p99_us"],
                "rtt_load_p50_ms": loaded["p50_us"] / 1e3, "rtt_load_p99_ms": loaded["p99_us"] / 1e3,
                "rtt_load_lost": loaded["sent"] - loaded["received"]}

    def flood(self, size, rate):
        """Return: packets a second that were sent and those that arrived."""
        with running(inside("b", self.tool, "recv", self.address["b"], 9), stdout=subprocess.PIPE) as receiver:
            receiver.stdout.readline()
            sent = words(sh(*inside("a", self.tool, "send", self.address["b"], 9, size, rate, self.options.flood_ms)))
            got = words(receiver.stdout.readline())
        seconds = sent["nsec"] / 1e9
        return sent["sent"] / seconds, got["received"] / seconds

    def udp(self, size):
        """The highest rate with no more than LOSS_MAX lost: doubling until one fails, then halving
        the interval. A sender that cannot go faster ends it as well."""
        good, bad, rate = 0.0, None, 32000.0
        for _ in range(14):
            sent, got = self.flood(size, rate)
            # One lost batch is not an overload: the second try decides.
            if got < sent * (1 - LOSS_MAX):
                sent, got = self.flood(size, rate)
            if got >= sent * (1 - LOSS_MAX):
                good = max(good, got)
                if sent < rate * 0.9:
                    break
                low = rate
            else:
                bad = rate
                low = good
            if bad and (bad - low) / bad < 0.06:
                break
            rate = (low + bad) / 2 if bad else rate * 2
        return good / 1e3

    def all(self):
        out = self.tcp()
        out |= self.rtt()
        out["udp64_kpps"] = self.udp(64)
        out["udp1200_kpps"] = self.udp(1200)
        if self.pids:
            out["rss_mib"] = peak_mib(self.pids)
        return out
