#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NetworkManager's service between a made-up omertad and a made-up NetworkManager.

Arguments: the program, the directory of the XML files."""

import os
import subprocess
import sys
import unittest

from fake import DBUS_ERROR, ERROR, NAME, ROOT, Bus, Error, Fake, GLib, dbus

SERVICE, API = os.path.abspath(sys.argv[1]), sys.argv[2]
HOME = f'{ROOT}/network/home'
LINK = 'omerta://join/veaqcasyealuhqqihly6'
PLUGIN = 'org.freedesktop.NetworkManager.VPN.Plugin'
PATH = '/org/freedesktop/NetworkManager/VPN/Plugin'
BUS_NAME = 'org.freedesktop.NetworkManager.omerta.Connection_1'
STARTED, STOPPED = 4, 6
LOGIN_FAILED, CONNECT_FAILED, BAD_IP_CONFIG = 0, 1, 2


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.fake = FAKE
        self.fake.reset()
        self.fake.add(ROOT, 'Manager', Networks=[HOME])
        # The loopback is an interface there always is.
        self.fake.add(HOME, 'Network', Name='home', State='online', Interface='lo',
                      Address='10.77.0.100', Address6='fd00::64', Subnet='10.77.0.0/16', Mtu=1420)
        self.fake.answers['Manager.GetNetwork'] = self.get_network
        self.fake.answers['Manager.Join'] = (HOME,)
        self.signals = []
        # NetworkManager, as whom the service waits for.
        self.manager = dbus.bus.BusConnection(BUS.address)
        self.manager.add_message_filter(self.on_message)
        self.manager.add_match_string(f"type='signal',interface='{PLUGIN}'")
        self.spawn()

    def spawn(self):
        self.process = subprocess.Popen(
            [SERVICE, '--keep-user', '--bus-name', BUS_NAME], stderr=subprocess.PIPE, text=True,
            env={'DBUS_SYSTEM_BUS_ADDRESS': BUS.address, 'LC_ALL': 'C.UTF-8',
                 'ASAN_OPTIONS': 'detect_leaks=0'})
        self.wait('the service', lambda: self.manager.name_has_owner(BUS_NAME))

    def tearDown(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.manager.close()

    def get_network(self, path, name):
        if name != 'home':
            raise Error(ERROR + 'NoSuchNetwork', 'this machine is in no such network')
        return (HOME,)

    def on_message(self, connection, message):
        if message.get_interface() == PLUGIN and message.get_type() == 4:
            self.signals.append((message.get_member(), message.get_args_list()))
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED

    def turn(self):
        GLib.MainContext.default().iteration(True)

    def wait(self, what, condition):
        """Bounded, for a service that hangs."""
        late = []
        timer = GLib.timeout_add_seconds(60, lambda: late.append(True))
        tick = GLib.timeout_add(20, lambda: True)  # a process that ends wakes nobody
        while not condition():
            self.assertFalse(late, f'waited for {what}: {self.signals} {self.fake.calls}')
            self.turn()
        GLib.source_remove(tick)
        if not late:
            GLib.source_remove(timer)

    def call(self, member, signature='', *arguments):
        """The name of the error, or None."""
        answer = []
        self.manager.call_async(BUS_NAME, PATH, PLUGIN, member, signature, arguments,
                                lambda *_: answer.append(None), lambda e: answer.append(e))
        self.wait(f'an answer to {member}', lambda: answer)
        return answer[0]

    def connect(self, data=(), secrets=()):
        vpn = dbus.Dictionary({'service-type': 'org.freedesktop.NetworkManager.omerta',
                               'data': dbus.Dictionary(dict(data), signature='ss'),
                               'secrets': dbus.Dictionary(dict(secrets), signature='ss')},
                              signature='sv')
        connection = dbus.Dictionary({'id': 'mesh', 'type': 'vpn',
                                      'uuid': '8451912e-b90a-4a1e-b471-603ec445e073'}, signature='sv')
        return self.call('Connect', 'a{sa{sv}}', {'connection': connection, 'vpn': vpn})

    def got(self, member):
        return [a[0] for m, a in self.signals if m == member]

    def calls(self):
        return [name for _, name, _, _ in self.fake.calls]

    def start(self, **what):
        self.assertIsNone(self.connect(**(what or {'data': {'network': 'home'}})))
        self.wait('its start', lambda: STARTED in self.got('StateChanged'))

    def end(self):
        """What it said."""
        self.wait('its end', lambda: self.process.poll() is not None)
        self.assertEqual(self.process.returncode, 0)
        return self.process.stderr.read()

    def fails(self, reason, says):
        self.wait('its stop', lambda: STOPPED in self.got('StateChanged'))
        text = self.end()
        # The last before the end is what counts.
        self.assertEqual(self.got('Failure')[-1], reason)
        self.assertEqual([m for m, _ in self.signals[-2:]], ['Failure', 'StateChanged'])
        self.assertIn(says, text)
        self.assertIn('mesh: ', text)
        self.assertNotIn(LINK, text)
        self.assertNotIn('Network.Down', self.calls())

    # What there is to tell

    def test_connect_and_disconnect(self):
        self.start()
        self.assertEqual(self.calls(), ['Manager.GetNetwork', 'Network.Up', 'Network.HoldAddresses'])
        self.assertEqual(self.fake.calls[2][2], [True])
        config, = self.got('Config')
        self.assertEqual((config['tundev'], config['mtu'], config['has-ip4'], config['has-ip6'],
                          config['can-persist']), ('lo', 1420, True, True, True))
        self.assertTrue(config['gateway'])
        ip4, = self.got('Ip4Config')
        self.assertEqual(int(ip4['address']).to_bytes(4, sys.byteorder), bytes((10, 77, 0, 100)))
        self.assertEqual((ip4['prefix'], ip4['never-default']), (16, True))
        ip6, = self.got('Ip6Config')
        self.assertEqual((ip6['prefix'], ip6['never-default']), (64, True))
        self.assertIsNone(self.call('Disconnect'))
        self.end()
        self.assertEqual(self.calls()[3:], ['Network.Down'])
        self.assertEqual(self.got('Failure'), [])
        self.assertIn(STOPPED, self.got('StateChanged'))

    def test_waits_for_an_address(self):
        self.fake.add(HOME, 'Network', Name='home', State='waiting', Subnet='10.77.0.0/16')
        self.assertIsNone(self.connect(data={'network': 'home'}))
        self.wait('a hold', lambda: 'Network.HoldAddresses' in self.calls())
        for name, value in (('Interface', 'lo'), ('State', 'connecting')):
            self.fake.change(HOME, 'Network', name, value)
        self.assertEqual(self.got('Config'), [])
        self.fake.change(HOME, 'Network', 'Address', '10.77.0.101')
        self.wait('its start', lambda: STARTED in self.got('StateChanged'))
        self.assertFalse(self.got('Config')[0]['has-ip6'])

    def test_another_address(self):
        self.start()
        self.fake.change(HOME, 'Network', 'Members', dbus.UInt32(7))
        self.fake.change(HOME, 'Network', 'Address', '10.77.0.102')
        self.wait('the new address', lambda: len(self.got('Ip4Config')) > 1)
        self.assertEqual(len(self.got('Ip4Config')), 2)
        self.assertEqual(self.got('Failure'), [])

    # Joining

    def test_join(self):
        self.start(data={'host-name': 'laptop'}, secrets={'invite': LINK})
        self.assertEqual(self.fake.calls[0][1:3], (
            'Manager.Join', [LINK, {'member-ok': True, 'host-name': 'laptop'}]))

    def test_join_what_is_not_there(self):
        self.start(data={'network': 'club', 'invite': LINK})
        self.assertEqual(self.calls()[:2], ['Manager.GetNetwork', 'Manager.Join'])

    def test_invite_that_lets_nobody_in(self):
        self.fake.answers['Manager.Join'] = Error(ERROR + 'InviteUsed', 'the invite has been used already')
        self.assertIsNone(self.connect(secrets={'invite': LINK}))
        self.fails(LOGIN_FAILED, 'the invite has been used already')

    def test_no_invite(self):
        self.assertIsNone(self.connect(data={'network': 'club'}))
        self.fails(LOGIN_FAILED, 'there is no invite')

    def test_addresses_that_collide(self):
        self.fake.answers['Manager.Join'] = Error(ERROR + 'SubnetRefused', 'eth0 has 10.77.0.0/24')
        self.assertIsNone(self.connect(secrets={'invite': LINK}))
        self.fails(BAD_IP_CONFIG, 'eth0 has')

    def test_bad_profiles(self):
        for data in ({}, {'network': 'home', 'colour': 'blue'}, {'network': 'a b'}, {'network': 'x' * 9999}):
            error = self.connect(data=data)
            self.assertIn('BadArguments', error.get_dbus_name())
            self.end()
            self.process.stderr.close()
            self.spawn()
        self.assertEqual(self.calls(), [])

    # The end

    def test_ends_by_state(self):
        self.start()
        self.fake.change(HOME, 'Network', 'State', 'down')
        self.fails(CONNECT_FAILED, 'the network was switched off')

    def test_revoked(self):
        self.start()
        self.fake.change(HOME, 'Network', 'State', 'revoked')
        self.fails(CONNECT_FAILED, 'no member any more')

    def test_conflict(self):
        self.start()
        self.fake.change(HOME, 'Network', 'StateReason', 'eth0 has 10.77.0.0/24')
        self.fake.change(HOME, 'Network', 'State', 'conflict')
        self.fails(BAD_IP_CONFIG, 'eth0 has')

    def test_address_lost(self):
        self.start()
        self.fake.change(HOME, 'Network', 'Address', '')
        self.fails(CONNECT_FAILED, 'no address')

    def test_another_interface(self):
        self.start()
        self.fake.change(HOME, 'Network', 'Interface', 'omerta-none')
        self.fails(CONNECT_FAILED, 'made anew')

    def test_left(self):
        self.start()
        m = dbus.lowlevel.SignalMessage(ROOT, 'org.freedesktop.DBus.ObjectManager', 'InterfacesRemoved')
        m.append(dbus.ObjectPath(HOME), [f'{NAME}.Network'], signature='oas')
        self.fake.connection.send_message(m)
        self.fails(CONNECT_FAILED, 'has left the network')

    def test_held_by_another(self):
        self.fake.answers['Network.HoldAddresses'] = Error(ERROR + 'NotPermitted', 'another program has')
        self.assertIsNone(self.connect(data={'network': 'home'}))
        self.fails(CONNECT_FAILED, 'another program has')

    def test_no_daemon(self):
        self.fake.answers['Manager.GetNetwork'] = Error(DBUS_ERROR + 'Spawn.ChildExited', 'exited')
        self.assertIsNone(self.connect(data={'network': 'home'}))
        self.fails(CONNECT_FAILED, 'could not be started')

    def test_signal(self):
        self.start()
        self.process.terminate()
        self.end()
        self.assertEqual(self.calls()[-1], 'Network.Down')

    # omertad comes and goes

    def restart(self):
        self.fake.connection.release_name(NAME)
        self.fake.connection.request_name(NAME)

    def test_daemon_restarted(self):
        self.start()
        self.restart()
        self.wait('a new hold', lambda: self.calls().count('Network.HoldAddresses') == 2)
        self.fake.change(HOME, 'Network', 'Address', '10.77.0.103')
        self.wait('the new address', lambda: len(self.got('Ip4Config')) > 1)
        self.assertEqual(self.got('Failure'), [])

    def test_daemon_restarted_before_there_is_an_address(self):
        self.fake.add(HOME, 'Network', Name='home', State='connecting', Subnet='10.77.0.0/16')
        self.assertIsNone(self.connect(data={'network': 'home'}))
        self.wait('a hold', lambda: 'Network.HoldAddresses' in self.calls())
        self.restart()
        self.wait('a new hold', lambda: self.calls().count('Network.HoldAddresses') == 2)
        self.fake.change(HOME, 'Network', 'Interface', 'lo')
        self.fake.change(HOME, 'Network', 'Address', '10.77.0.101')
        self.wait('its start', lambda: STARTED in self.got('StateChanged'))

    def test_daemon_ended(self):
        self.start()
        self.fake.connection.release_name(NAME)
        try:
            self.fails(CONNECT_FAILED, 'omertad has ended')
        finally:
            self.fake.connection.request_name(NAME)


if __name__ == '__main__':
    with Bus() as BUS:
        FAKE = Fake(BUS, API)
        unittest.main(argv=sys.argv[:1])
