# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message bus of one's own, and on it an omertad made of a table.

The fake knows methods, signatures and types of properties from dbus/*.xml alone, so what works
against it fits the API; what a method answers is set by the test.
"""

import glob
import os
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ElementTree

try:
    import dbus
    import dbus.bus
    import dbus.lowlevel
    import dbus.mainloop.glib
    from gi.repository import GLib
except ImportError as e:
    print(f'skipped: {e} (python3-dbus and python3-gi are needed)')
    sys.exit(77)

NAME = 'org.omerta.Mesh1'
ROOT = '/org/omerta/Mesh1'
ERROR = 'org.omerta.Mesh1.Error.'
DBUS_ERROR = 'org.freedesktop.DBus.Error.'

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{directory}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

TYPES = {
    's': dbus.String, 'o': dbus.ObjectPath, 'b': dbus.Boolean, 'q': dbus.UInt16,
    'u': dbus.UInt32, 't': dbus.UInt64,
}


def typed(signature, value):
    if signature[0] == 'a':
        return dbus.Array([typed(signature[1:], v) for v in value], signature=signature[1:])
    return TYPES[signature](value)


class Bus:
    """A dbus-daemon for as long as the object is used as a context."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix='omerta-test-')
        self.directory = self.temporary.name
        os.mkdir(f'{self.directory}/services')
        with open(f'{self.directory}/bus.conf', 'w') as f:
            f.write(BUS_CONFIG.format(directory=self.directory))
        try:
            self.process = subprocess.Popen(
                ['dbus-daemon', f'--config-file={self.directory}/bus.conf', '--nofork',
                 '--print-address=1'], stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            print('skipped: there is no dbus-daemon')
            sys.exit(77)
        self.address = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.temporary.cleanup()

    def offer_service(self, command):
        """Makes the name activatable by a command."""
        with open(f'{self.directory}/services/{NAME}.service', 'w') as f:
            f.write(f'[D-BUS Service]\nName={NAME}\nExec={command}\n')
        subprocess.run(
            ['dbus-send', f'--bus={self.address}', '--print-reply', '--dest=org.freedesktop.DBus',
             '/', 'org.freedesktop.DBus.ReloadConfig'], check=True, stdout=subprocess.DEVNULL)


class Error(Exception):
    def __init__(self, name, message=''):
        super().__init__(name, message)
        self.name, self.message = name, message


class Silence(Exception):
    """The method never answers."""


def interfaces_read(directory):
    interfaces = {}
    for file in glob.glob(f'{directory}/*.xml'):
        for interface in ElementTree.parse(file).getroot().iter('interface'):
            methods = {}
            for method in interface.iter('method'):
                arguments = [(a.get('direction'), a.get('type')) for a in method.iter('arg')]
                methods[method.get('name')] = tuple(
                    ''.join(t for d, t in arguments if d == direction)
                    for direction in ('in', 'out'))
            properties = {p.get('name'): p.get('type') for p in interface.iter('property')}
            interfaces[interface.get('name')] = (methods, properties)
    return interfaces


class Fake:
    def __init__(self, bus, api):
        dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
        self.interfaces = interfaces_read(api)
        self.connection = dbus.bus.BusConnection(bus.address)
        self.connection.request_name(NAME)
        self.connection._register_object_path(
            ROOT, self.handle, lambda *_: None, fallback=True)
        self.reset()

    def reset(self):
        self.objects = {}  # path -> interface -> property -> value
        self.answers = {}  # "Interface.Method" -> function(path, *arguments) -> tuple, or Error
        self.calls = []    # (path, "Interface.Method", arguments, interactive)

    def add(self, path, interface, **properties):
        """An object with all the properties the XML gives it; what is not set is empty."""
        types = self.interfaces[f'{NAME}.{interface}'][1]
        empty = {'s': '', 'o': '/', 'b': False, 'q': 0, 'u': 0, 't': 0, 'as': [], 'ao': []}
        unknown = set(properties) - set(types)
        assert not unknown, f'{interface} has no {unknown}'
        self.objects.setdefault(path, {})[f'{NAME}.{interface}'] = {
            name: typed(t, properties.get(name, empty[t])) for name, t in types.items()}

    def change(self, path, interface, name, value):
        """A property changes, and the bus hears of it."""
        self.objects[path][f'{NAME}.{interface}'][name] = value
        m = dbus.lowlevel.SignalMessage(path, 'org.freedesktop.DBus.Properties', 'PropertiesChanged')
        m.append(f'{NAME}.{interface}', {name: value}, [], signature='sa{sv}as')
        self.connection.send_message(m)

    def properties(self, path, interface):
        if path not in self.objects:
            raise Error(DBUS_ERROR + 'UnknownObject', f'Unknown object {path}')
        values = self.objects[path].get(interface)
        if values is None:
            raise Error(DBUS_ERROR + 'UnknownInterface', interface)
        return values

    def call(self, message):
        path, interface = message.get_path(), message.get_interface()
        member, arguments = message.get_member(), message.get_args_list()
        if (interface, member) == ('org.freedesktop.DBus.Properties', 'GetAll'):
            return 'a{sv}', (self.properties(path, arguments[0]),)
        if (interface, member) == ('org.freedesktop.DBus.Properties', 'Get'):
            return 'v', (self.properties(path, arguments[0])[arguments[1]],)
        if (interface, member) == ('org.freedesktop.DBus.ObjectManager', 'GetManagedObjects'):
            # The root is not among what it manages.
            return 'a{oa{sa{sv}}}', ({p: o for p, o in self.objects.items() if p != ROOT},)

        methods = self.interfaces.get(interface, ({}, {}))[0]
        if member not in methods:
            raise Error(DBUS_ERROR + 'UnknownMethod', f'Unknown method {member}')
        if path not in self.objects or interface not in self.objects[path]:
            raise Error(DBUS_ERROR + 'UnknownObject', f'Unknown object {path}')
        name = f'{interface.removeprefix(NAME + ".")}.{member}'
        inward, outward = methods[member]
        assert message.get_signature() == inward, f'{name}: {message.get_signature()}'
        self.calls.append(
            (path, name, arguments, bool(message.get_allow_interactive_authorization())))
        answer = self.answers.get(name, ())
        if isinstance(answer, Exception):
            raise answer
        return outward, answer(path, *arguments) if callable(answer) else answer

    def handle(self, connection, message):
        try:
            signature, values = self.call(message)
            reply = dbus.lowlevel.MethodReturnMessage(message)
            if signature:
                reply.append(*values, signature=signature)
        except Error as e:
            reply = dbus.lowlevel.ErrorMessage(message, e.name, e.message)
        except Silence:
            return dbus.lowlevel.HANDLER_RESULT_HANDLED
        except Exception as e:  # a fault of the test: let the caller see it
            reply = dbus.lowlevel.ErrorMessage(message, 'test.Fault', repr(e))
        connection.send_message(reply)
        return dbus.lowlevel.HANDLER_RESULT_HANDLED

    def serve(self, work):
        """Answers while work() runs in another thread; returns what it returns."""
        loop, result = GLib.MainLoop(), []

        def thread():
            try:
                result.append(work())
            finally:
                GLib.idle_add(loop.quit)

        t = threading.Thread(target=thread)
        t.start()
        loop.run()
        t.join()
        return result[0]


class Systemd:
    """What the command asks systemd about omertad.service."""

    def __init__(self, bus):
        self.unit = {}
        self.connection = dbus.bus.BusConnection(
            bus.address, mainloop=dbus.mainloop.glib.DBusGMainLoop())
        self.connection.request_name('org.freedesktop.systemd1')
        self.connection._register_object_path('/', self.handle, lambda *_: None, fallback=True)

    def handle(self, connection, message):
        if not isinstance(message, dbus.lowlevel.MethodCallMessage):
            return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
        reply = dbus.lowlevel.MethodReturnMessage(message)
        if message.get_member() == 'LoadUnit':
            assert message.get_args_list() == ['omertad.service']
            reply.append('/org/freedesktop/systemd1/unit/omertad_2eservice', signature='o')
        else:
            name = message.get_args_list()[1]
            number = name == 'ExecMainStatus'
            value = self.unit.get(name, 0 if number else '')
            reply.append(dbus.Int32(value) if number else value, signature='v')
        connection.send_message(reply)
        return dbus.lowlevel.HANDLER_RESULT_HANDLED

    def close(self):
        self.connection.close()
