#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many calls of Dial on the session bus, good ones and all others. Prints one line of JSON.

    dials.py load GONE COUNT PARALLEL
    dials.py ask NAME=HOST,PORT,OPTIONS...     at once: errors' names, and seconds;
                                               OPTIONS: key:value;...
"""

import collections
import json
import os
import socket
import sys
import time

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

HOST, PORT = "10.0.0.1", 7001
ERROR = "org.omerta.Mesh1.Error."
MS = 1000  # microseconds


def connect():
    return Gio.DBusConnection.new_for_address_sync(
        os.environ["DBUS_SESSION_BUS_ADDRESS"],
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION)


def dial(bus, host, port, options, done):
    """done(fd, error name)"""

    def on_reply(bus, result):
        try:
            _, fds = bus.call_with_unix_fd_list_finish(result)
            done(fds.steal_fds()[0], None)
        except GLib.Error as e:
            done(None, Gio.DBusError.get_remote_error(e) or e.message)

    bus.call_with_unix_fd_list(
        "org.omerta.Mesh1", "/org/omerta/Mesh1", "org.omerta.Mesh1.Manager", "Dial",
        GLib.Variant("(sqa{sv})", (host, port, options)), None, Gio.DBusCallFlags.NONE, -1, None,
        None, on_reply)


def exchange(fd):
    with socket.socket(fileno=fd) as s:
        assert s.getblocking()
        s.sendall(b"finish 1000\n")
        n = 0
        while part := s.recv(4096):
            n += len(part)
        assert n == 1000, n


def timeout(ms):
    return {"timeout": GLib.Variant("t", ms * MS)}


class Load:
    def __init__(self, gone, count, parallel):
        self.kinds = [
            ("good", HOST, PORT, {}, None),
            ("refused", HOST, 7, {}, "Refused"),
            ("good again", HOST, PORT, timeout(5000), None),
            ("silent", gone, PORT, timeout(100), "Timeout"),
            ("unknown", "10.0.77.77", PORT, {}, "NoSuchMachine"),
            ("leaves", gone, PORT, timeout(1000), None),
            ("closes unread", HOST, PORT, {}, None),
        ]
        self.bus, self.loop = connect(), GLib.MainLoop()
        self.count, self.parallel, self.running, self.started = count, parallel, 0, 0
        self.done, self.wrong = collections.Counter(), []

    def run(self):
        self.more()
        self.loop.run()
        return {"done": self.done, "kinds": len(self.kinds), "wrong": len(self.wrong), "first": self.wrong[:5]}

    def more(self):
        while self.running < self.parallel and self.started < self.count:
            kind = self.kinds[self.started % len(self.kinds)]
            self.started += 1
            if kind[0] == "leaves":
                self.leave(kind)
            else:
                self.running += 1
                dial(self.bus, *kind[1:4], lambda fd, error, kind=kind: self.over(kind, fd, error))
        if self.running == 0:
            self.loop.quit()

    def leave(self, kind):
        """A caller that is gone before it is answered."""
        bus = connect()
        dial(bus, *kind[1:4], lambda fd, error: None)
        bus.flush_sync(None)
        bus.close_sync(None)
        self.done[kind[0]] += 1

    def over(self, kind, fd, error):
        name, wanted = kind[0], kind[4] and ERROR + kind[4]
        self.running -= 1
        try:
            assert error == wanted, error
            if name.startswith("good"):
                exchange(fd)
            elif fd is not None:
                os.close(fd)
            self.done[name] += 1
        except (AssertionError, OSError) as e:
            self.wrong.append(f"{name}: {type(e).__name__}: {e}")
        self.more()


def ask(cases):
    bus, loop, results, good = connect(), GLib.MainLoop(), {}, []
    start = time.monotonic()
    for case in cases:
        name, text = case.split("=", 1)
        host, port, options = text.split(",")
        options = dict(o.split(":") for o in options.split(";") if o)
        values = {k: GLib.Variant("t", int(v)) if k == "timeout" else GLib.Variant("s", v)
                  for k, v in options.items()}

        def over(fd, error, name=name):
            if fd is not None:
                good.append(fd)
            results[name] = (error and error.removeprefix(ERROR), time.monotonic() - start)
            if len(results) == len(cases):
                loop.quit()

        dial(bus, host, int(port), values, over)
    loop.run()
    for fd in good:
        exchange(fd)
    return results


if __name__ == "__main__":
    if sys.argv[1] == "load":
        result = Load(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])).run()
    else:
        result = ask(sys.argv[2:])
    print(json.dumps(result), flush=True)
