# SPDX-License-Identifier: LGPL-2.1-or-later
"""A logind made up for a test, on the bus of a machine: gives out delay inhibitors, says that the
machine falls asleep and wakes up, and tells on standard output what happens.

    inhibit WHAT MODE       somebody wants to be waited for
    released                nobody does any more

logind.py BUS-ADDRESS: standard input says "sleep" or "wake".
"""

import os
import sys

import dbus
import dbus.bus
import dbus.lowlevel
import dbus.mainloop.glib
from gi.repository import GLib

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"


def say(*words):
    print(*words, flush=True)


def on_message(connection, message):
    if message.get_interface() != NAME + ".Manager" or message.get_member() != "Inhibit":
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
    what, _, _, mode = message.get_args_list()
    ours, theirs = os.pipe()
    answer = dbus.lowlevel.MethodReturnMessage(message)
    answer.append(dbus.types.UnixFd(theirs), signature="h")
    connection.send_message(answer)
    os.close(theirs)
    say("inhibit", what, mode)
    GLib.io_add_watch(ours, GLib.IO_HUP, lambda *_: (say("released"), os.close(ours)) and False)
    return dbus.lowlevel.HANDLER_RESULT_HANDLED


def on_line(*_):
    line = sys.stdin.readline().strip()
    if not line:
        loop.quit()
        return False
    signal = dbus.lowlevel.SignalMessage(PATH, NAME + ".Manager", "PrepareForSleep")
    signal.append(line == "sleep", signature="b")
    bus.send_message(signal)
    return True


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
loop = GLib.MainLoop()
bus = dbus.bus.BusConnection(sys.argv[1])
bus.add_message_filter(on_message)
bus.request_name(NAME)
GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, on_line)
say("ready")
loop.run()
