# SPDX-License-Identifier: LGPL-2.1-or-later
"""What contestants and figures of tests/bench/run need to run programs in network namespaces."""

import contextlib
import subprocess
import time


class Unavailable(Exception):
    """A contestant that cannot take part here, and why."""


def sh(*args, **kwargs):
    return subprocess.run([str(a) for a in args], check=True, text=True, capture_output=True,
                          timeout=60, **kwargs).stdout


def inside(ns, *args):
    return ["ip", "netns", "exec", ns, *[str(a) for a in args]]


def words(line):
    return {k: float(v) for k, v in (w.split("=") for w in line.split())}


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Unavailable(f"waited {seconds} s for {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def running(args, log=subprocess.DEVNULL, **kwargs):
    p = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stderr=log,
                         stdout=kwargs.pop("stdout", log), text=True, **kwargs)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.terminate()
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
