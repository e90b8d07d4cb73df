# SPDX-License-Identifier: LGPL-2.1-or-later
"""A polkit made up for a test, on the bus of a machine: says no, yes, that a password is needed,
or nothing at all, and tells on standard output what it was asked.

    ask ID ACTION NAME      NAME: on the bus, who the question is about
    cancel ID

polkit.py BUS-ADDRESS no|yes|password|hold
"""

import sys

import dbus
import dbus.bus
import dbus.lowlevel
import dbus.mainloop.glib
from gi.repository import GLib

NAME = "org.freedesktop.PolicyKit1"
held = {}


def reply(connection, message, *args, signature=""):
    answer = dbus.lowlevel.MethodReturnMessage(message)
    answer.append(*args, signature=signature)
    connection.send_message(answer)


def on_message(connection, message):
    if message.get_interface() != NAME + ".Authority":
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
    args = message.get_args_list()
    if message.get_member() == "CheckAuthorization":
        (_, subject), action, _, _, question = args
        print("ask", question, action, subject["name"], flush=True)
        if sys.argv[2] == "hold":
            held[question] = message
        else:
            reply(connection, message, (sys.argv[2] == "yes", sys.argv[2] == "password", {}),
                  signature="(bba{ss})")
    elif message.get_member() == "CancelCheckAuthorization":
        print("cancel", args[0], flush=True)
        question = held.pop(args[0], None)
        if question:
            connection.send_message(dbus.lowlevel.ErrorMessage(
                question, NAME + ".Error.Cancelled", "cancelled"))
    return dbus.lowlevel.HANDLER_RESULT_HANDLED


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
bus.add_message_filter(on_message)
bus.request_name(NAME)
print("ready", flush=True)
GLib.MainLoop().run()
