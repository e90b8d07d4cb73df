#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""omerta against a fake omertad. Arguments: the program, the directory of the XML files."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import fake
from fake import DBUS_ERROR, ERROR, ROOT, Error, Fake, Silence

OMERTA, API = os.path.abspath(sys.argv[1]), sys.argv[2]

NETWORK_ID = 'n' * 50 + 'ea'
HOME = f'{ROOT}/network/{NETWORK_ID}'
WORK = f'{ROOT}/network/' + 'w' * 52
IDS = {name: (name + 'x' * 52)[:52] for name in ('gateway', 'laptop', 'phone')}
NOW = int(time.time() * 1e6)
SECOND = 1000000
HOUR = 3600 * SECOND
LINK = 'omerta://join/' + 'a' * 120
UNTIL = 1893456000 * SECOND  # 2030-01-01T00:00:00Z


def machine(name):
    return f'{HOME}/machine/{IDS[name]}'


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def rows(self):
        return [line.split() for line in self.out.splitlines()]


class CliTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.bus = cls.enterClassContext(fake.Bus())
        cls.fake = Fake(cls.bus, API)

    def setUp(self):
        self.fake.reset()
        self.fake.answers['Manager.GetNetwork'] = self.get_network
        self.fake.answers['Manager.GetDrops'] = ({'mac1': 7, 'malformed': 2},)
        self.fake.answers['Network.GetDrops'] = ({'replayed': 3, 'from-the-future': 1},)

    # What there is

    def get_network(self, path, name):
        found = [p for p, o in self.fake.objects.items() if 'org.omerta.Mesh1.Network' in o
                 and (not name or o['org.omerta.Mesh1.Network']['Name'] == name)]
        if not found:
            raise Error(ERROR + ('NoSuchNetwork' if name else 'NotJoined'))
        if len(found) > 1:
            raise Error(ERROR + 'Ambiguous', 'this machine is in several networks')
        return (found[0],)

    def daemon(self, networks=()):
        self.fake.add(
            ROOT, 'Manager', Version='0.1.0', MachineId=IDS['laptop'], Mode='system', Port=18002,
            Netstack='tun', NetstackReason='the interface belongs to the machine',
            Relay='auto', IsRelay=True, RelayPairs=2, RelayedDatagrams=7, RelayedBytes=3072,
            Cipher='AES-256-GCM', LanInterfaces=['eth0'], Networks=networks, PortMapping=True,
            MappedEndpoint='203.0.113.9:4660', MappingProtocol='nat-pmp', MappingRouter='192.168.1.1',
            MappingRouter6='fe80::1', MappingReason6='router fe80::1 does not answer PCP',
            TcpPort=443, TcpConnections=3)

    def home(self, **properties):
        """One network with three machines, this one the laptop."""
        self.daemon([HOME])
        values = dict(
            Id=NETWORK_ID, Name='home', MachineId=IDS['laptop'], State='online', Interface='omerta0',
            Address='10.0.0.100', Address6='fd00::64', Subnet='10.0.0.0/16',
            Gateway=IDS['gateway'], GatewayAddress='10.0.0.1', HostName='laptop', Mtu=1420, AddressesHeld=True,
            LanDiscovery=True, Endpoints=[],
            LanMachines=2, ExitWanted='auto', Exit=IDS['gateway'], ExitState='up', ExitLan=True,
            Members=3, CertificateExpires=UNTIL)
        self.fake.add(HOME, 'Network', **(values | properties))
        # In no order, and 10.0.0.20 before 10.0.0.100 once sorted.
        self.fake.add(
            machine('laptop'), 'Machine', Id=IDS['laptop'], Network=HOME, HostName='laptop',
            Owner='anna', Roles=['member'], Address='10.0.0.100', IsSelf=True, LinkState='self')
        self.fake.add(
            machine('phone'), 'Machine', Id=IDS['phone'], Network=HOME, HostName='phone',
            Owner='anna', Roles=['member'], Address='10.0.0.20', LinkState='up', Path='relay',
            Relay=IDS['gateway'],
            Endpoint='203.0.113.5:18002', Rtt=48200, LastReceived=NOW - 2 * HOUR,
            BytesSent=5, BytesReceived=3 * 1024 * 1024)
        self.fake.add(
            machine('gateway'), 'Machine', Id=IDS['gateway'], Network=HOME, HostName='gw',
            Roles=['gateway', 'issuer'], Groups=['all'], Address='10.0.0.1', Address6='fd00::1',
            LinkState='up', Path='direct', Endpoint='192.0.2.1:18002',
            Endpoints=['192.0.2.1:18002', '[2001:db8::1]:18002'], Software='0.1.0',
            Cipher='AES-256-GCM', CertificateExpires=UNTIL, Rtt=1300,
            LastReceived=NOW - 185 * SECOND, LastHandshake=UNTIL, PacketsSent=11,
            PacketsReceived=12, BytesSent=2048, BytesReceived=1 << 40)
        self.fake.add(
            f'{HOME}/session/{IDS["gateway"]}_packets', 'Session', Machine=IDS['gateway'],
            Channel='packets', State='active', Path='direct', Rtt=1300, Established=NOW - HOUR,
            LastActivity=UNTIL, BytesSent=1000, BytesReceived=2000)
        self.fake.add(
            f'{HOME}/session/{IDS["gateway"]}_bytes', 'Session', Machine=IDS['gateway'],
            Channel='bytes', State='connecting')
        self.fake.add(
            f'{HOME}/session/{IDS["phone"]}_packets', 'Session', Machine=IDS['phone'],
            Channel='packets', State='degraded')
        for name, address in (
                ('gateway', '10.0.1.5'), ('laptop', '10.0.0.100'), ('phone', '10.0.0.20')):
            self.fake.add(
                f'{HOME}/lease/{address.replace(".", "_")}', 'Lease', Address=address,
                Machine=IDS[name], HostName=name, State='bound', Granted=NOW - HOUR,
                Expires=UNTIL)

    def work(self):
        """A second network, in which there is nobody else yet."""
        self.daemon([HOME, WORK])
        self.fake.add(
            WORK, 'Network', Id='w' * 52, Name='work', State='waiting',
            StateReason='nobody has approved this machine yet')

    # Running it

    def omerta(self, *arguments, stdin='', environment=(), **options):
        env = {
            'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC',
            'DBUS_SYSTEM_BUS_ADDRESS': self.bus.address,
            'DBUS_SESSION_BUS_ADDRESS': 'unix:path=/nonexistent',
            'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', ''),
        }
        env.update(environment)
        p = self.fake.serve(lambda: subprocess.run(
            [OMERTA, *arguments], env=env, text=True,
            **({'stdin': stdin} if isinstance(stdin, int) else {'input': stdin}),
            stdout=options.get('stdout', subprocess.PIPE),
            stderr=options.get('stderr', subprocess.PIPE)))
        self.assertGreaterEqual(p.returncode, 0, p.stderr)
        self.assertNotIn('Sanitizer', p.stderr or '')
        return Result(p.returncode, p.stdout, p.stderr)

    def ok(self, *arguments, **options):
        r = self.omerta(*arguments, **options)
        self.assertEqual((r.code, r.err), (0, ''))
        return r

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, '--json').out)

    def fails(self, code, *arguments, says='', **options):
        r = self.omerta(*arguments, **options)
        self.assertEqual((r.code, r.out), (code, ''), r.err)
        self.assertIn(says, r.err)
        return r

    def called(self, method):
        return [c for c in self.fake.calls if c[1] == method]

    def tty(self, *arguments):
        """stderr as a person at a terminal sees it."""
        mine, its = pty.openpty()
        r = self.omerta(*arguments, stderr=its)
        os.close(its)
        text = b''
        try:
            while chunk := os.read(mine, 4096):
                text += chunk
        except OSError:  # EIO: the other side is closed
            pass
        os.close(mine)
        return Result(r.code, r.out, text.decode().replace('\r\n', '\n'))

    # Help and usage

    def verbs(self):
        lines = self.ok('--help').out.split('Commands:\n')[1].split('\n\n')[0].splitlines()
        return [[w for w in line[2:34].split() if w.islower()] for line in lines]

    def test_help_is_narrow(self):
        verbs = self.verbs()
        self.assertEqual(len(verbs), 55)
        for words in [[], ['network'], ['gateway'], ['mesh'], ['dhcp'], ['tunnel'], *verbs]:
            for help_option in ('-h', '--help'):
                out = self.ok(*words, help_option).out
                self.assertTrue(out.startswith('Usage: omerta '), out)
                self.assertLessEqual(max(map(len, out.splitlines())), 80, words)

    def test_usage(self):
        self.home()
        for words, says in (
                (['frobnicate'], "no command 'frobnicate'"),
                (['network'], 'create, invite'),
                (['network', 'frob'], "no command 'network frob'"),
                (['network', 'create'], 'NAME'),
                (['network', 'join'], 'LINK|-|FILE'),
                (['network', 'list', 'more'], "'more'"),
                (['tunnel', 'close', 'a', 'b', 'c'], "'c'"),
                (['network', 'list', '--force'], 'no option --force'),
                (['network', 'list', '--frob'], '--frob'),
                (['network', 'list', '--network'], 'network'),
                (['network', 'invite', '--uses', '0'], '--uses'),
                (['network', 'invite', '--uses', 'x'], '--uses'),
                (['network', 'invite', '--expires', '24'], '--expires'),
                (['network', 'invite', '--endpoint', ':1'], '--endpoint'),
                (['network', 'invite', '--endpoint', '192.0.2.1:0'], '--endpoint'),
                (['network', 'join', '/nonexistent'], 'neither'),
                (['exec'], 'COMMAND'),
                (['exec', '--'], 'a program'),
                (['exec', '--json', 'true'], "before 'exec'"),
                (['forward', '2222'], '2222:nas:22'),
                (['forward', '2222:22'], '2222:nas:22'),
                (['forward', ':2222:22'], '2222:nas:22'),
                (['forward', '[fd00::1]:22'], '2222:nas:22'),
                (['forward', 'x]:22'], '2222:nas:22'),
                (['unforward', 'x'], 'number'),
                (['unforward', '0'], 'number'),
                (['expose', '22', '--reverse'], 'no option --reverse'),
                (['network', 'create', b'\xff'], 'UTF-8'),
                (['network', 'list', '-n', b'\xff'], 'UTF-8')):
            with self.subTest(words):
                r = self.fails(2, *words, says=says)
                self.assertLessEqual(len(r.err.splitlines()), 2, r.err)
        self.assertEqual(self.fake.calls, [])

    # What is shown

    def test_status(self):
        self.home()
        for words in (['status'], []):
            out = self.ok(*words).out
            for text in ('yes (auto), 2 pairs now, 3.0 KiB passed on', 'omertad 0.1.0 (system)', IDS['laptop'], '18002', 'home: online',
                         '10.0.0.100', 'This machine: laptopxx\n', 'omerta0, MTU 1420, addresses set by another program',
                         '10.0.0.1, machine gatewayx',
                         'Port mapping: 203.0.113.9:4660, router 192.168.1.1 (nat-pmp)\n',
                         'TCP port: 443, 3 connections\n',
                         'IPv6: router fe80::1 does not answer PCP\n',
                         '9 (mac1 7, malformed 2)', '4 (replayed 3, from-the-future 1)'):
                self.assertIn(text, out)
        self.assertEqual(self.json('status'), {
            'daemon': {
                'version': '0.1.0', 'mode': 'system', 'machine': IDS['laptop'], 'port': 18002,
                'cipher': 'AES-256-GCM', 'netstack': 'tun',
                'netstack_reason': 'the interface belongs to the machine', **self.mapped_json,
                'tcp_port': 443, 'tcp_reason': None, 'tcp_connections': 3,
                'relay': 'auto', 'is_relay': True, 'relay_pairs': 2, 'relayed_datagrams': 7,
                'relayed_bytes': 3072, 'lan_interfaces': ['eth0'], 'lan_reason': None,
                'drops': {'mac1': 7, 'malformed': 2}},
            'networks': [{**self.home_json, 'drops': {'replayed': 3, 'from-the-future': 1}}]})

    mapped_json = {
        'port_mapping': True, 'mapped_endpoint': '203.0.113.9:4660', 'mapping_protocol': 'nat-pmp',
        'mapping_router': '192.168.1.1', 'mapping_reason': None, 'mapped_endpoint6': None,
        'mapping_router6': 'fe80::1', 'mapping_reason6': 'router fe80::1 does not answer PCP'}

    home_json = {
        'name': 'home', 'id': NETWORK_ID, 'machine': IDS['laptop'], 'state': 'online', 'state_reason': None,
        'interface': 'omerta0', 'address': '10.0.0.100', 'address6': 'fd00::64',
        'subnet': '10.0.0.0/16', 'gateway': IDS['gateway'], 'gateway_address': '10.0.0.1',
        'is_gateway': False, 'host_name': 'laptop', 'mtu': 1420, 'addresses_held': True,
        'lan_discovery': True, 'endpoints': [], 'lan_machines': 2, 'exit_wanted': 'auto', 'exit': IDS['gateway'],
        'exit_state': 'up',
        'exit_reason': None, 'exit_lan': True, 'members': 3, 'pending': 0, 'invites': 0,
        'certificate_expires': '2030-01-01T00:00:00Z', 'certificate_expires_usec': UNTIL}

    def test_set(self):
        self.home()
        self.assertEqual(self.ok('get', 'port-mapping').out, 'on\n')
        self.assertEqual(self.ok('get', 'relay').out, 'auto\n')
        self.assertEqual(self.ok('get', 'tcp-port').out, '443\n')
        self.assertEqual(self.json('get'), {'port_mapping': True, 'relay': 'auto', 'tcp_port': 443})
        self.ok('set', 'port-mapping', 'off')
        self.assertEqual(self.called('Manager.SetOptions'),
                         [(ROOT, 'Manager.SetOptions', [{'port-mapping': False}], True)])
        self.fake.calls.clear()
        self.ok('set', 'relay', 'off')
        self.assertEqual(self.called('Manager.SetOptions'),
                         [(ROOT, 'Manager.SetOptions', [{'relay': 'off'}], True)])
        for text, port in (('8443', 8443), ('off', 0)):
            self.fake.calls.clear()
            self.ok('set', 'tcp-port', text)
            self.assertEqual(self.called('Manager.SetOptions'),
                             [(ROOT, 'Manager.SetOptions', [{'tcp-port': port}], True)])
        for text in ('0', '65536', '1e3', 'on', '80 '):
            self.fails(2, 'set', 'tcp-port', text, says='neither a port nor off')
        self.fails(2, 'set', 'port-mapping', 'perhaps', says='neither on nor off')
        self.fails(2, 'set', 'relay', 'perhaps', says='none of auto, on, off')
        self.fails(2, 'set', 'speed', '1280', says='no setting')

    def test_status_without_networks(self):
        self.daemon()
        self.assertIn('Networks: none', self.ok('status').out)
        self.assertEqual(self.json('status')['networks'], [])
        self.assertEqual(self.json('network', 'list'), {'networks': []})
        self.assertIn('omerta network join', self.tty('status').err)

    def test_status_gateway(self):
        self.home(IsGateway=True)
        self.assertIn('Gateway: this machine', self.ok('status').out)

    def test_list(self):
        self.home()
        self.work()
        self.assertEqual(self.ok('network', 'list').rows(), [
            ['NETWORK', 'ID', 'STATE', 'ADDRESS', 'SUBNET', 'INTERFACE', 'GATEWAY', 'MACHINES'],
            ['home', 'nnnnnnnn', 'online', '10.0.0.100', '10.0.0.0/16', 'omerta0', '10.0.0.1', '3'],
            ['work', 'wwwwwwww', 'waiting', '-', '-', '-', '-', '0']])
        self.assertEqual(self.json('network', 'list')['networks'][0], self.home_json)
        self.assertEqual(len(self.ok('network', 'list', '--network', 'work').rows()), 2)

    def test_list_network_gone_meanwhile(self):
        self.home()
        self.daemon([WORK, HOME])
        self.assertEqual(len(self.json('network', 'list')['networks']), 1)

    def test_show(self):
        self.home()
        out = self.ok('network', 'show').out
        for text in (NETWORK_ID, IDS['gateway'], 'valid until 2030-01-01 00:00:00', 'fd00::64'):
            self.assertIn(text, out)
        rows = out.split('\n\n')[1].splitlines()
        self.assertRegex(rows[1], r'^replayed +3  \w+')
        self.assertRegex(rows[2], r'^from-the-future +1$')
        self.assertEqual(
            self.json('network', 'show')['drops'], {'replayed': 3, 'from-the-future': 1})

    def test_peers(self):
        self.home()
        self.assertEqual(self.ok('network', 'peers').out, (
            'HOST    ADDRESS     ID        OWNER  ROLE     LINK  PATH           ENDPOINT'
            '              RTT  SEEN       RECEIVED     SENT\n'
            'gw      10.0.0.1    gatewayx  -      gateway  up    direct         192.0.2.1:18002'
            '    1.3 ms  3 min ago   1.0 TiB  2.0 KiB\n'
            'phone   10.0.0.20   phonexxx  anna   member   up    relayed by gw  203.0.113.5:18002'
            '   48 ms  2 h ago     3.0 MiB      5 B\n'
            'laptop  10.0.0.100  laptopxx  anna   member   self  -              -'
            '                       -  -               0 B      0 B\n'))
        machines = self.json('network', 'peers')['machines']
        self.assertEqual([m['host_name'] for m in machines], ['gw', 'phone', 'laptop'])
        self.assertEqual(machines[0], {
            'network': 'home', 'id': IDS['gateway'], 'host_name': 'gw', 'owner': None,
            'roles': ['gateway', 'issuer'], 'groups': ['all'], 'address': '10.0.0.1',
            'address6': 'fd00::1', 'is_self': False, 'link': 'up', 'path': 'direct', 'relay': None,
            'endpoint': '192.0.2.1:18002',
            'endpoints': ['192.0.2.1:18002', '[2001:db8::1]:18002'], 'exit': [],
            'software': '0.1.0', 'cipher': 'AES-256-GCM', 'certificate_expires': '2030-01-01T00:00:00Z',
            'certificate_expires_usec': UNTIL, 'rtt_usec': 1300,
            'last_received': time.strftime(
                '%Y-%m-%dT%H:%M:%SZ', time.gmtime((NOW - 185 * SECOND) // SECOND)),
            'last_received_usec': NOW - 185 * SECOND,
            'last_handshake': '2030-01-01T00:00:00Z', 'last_handshake_usec': UNTIL,
            'packets_sent': 11, 'packets_received': 12, 'bytes_sent': 2048,
            'bytes_received': 1 << 40})
        self.assertTrue(machines[2]['is_self'])
        self.assertIsNone(machines[2]['last_received_usec'])

    def test_peers_of_several_networks(self):
        self.home()
        self.work()
        rows = self.ok('network', 'peers').rows()
        self.assertEqual((rows[0][0], rows[1][0]), ('NETWORK', 'home'))
        self.assertEqual(self.json('network', 'peers', '-n', 'work'), {'machines': []})
        self.assertEqual(len(self.json('network', 'peers', '-n', 'home')['machines']), 3)

    def test_address(self):
        self.home()
        self.assertEqual(self.ok('network', 'address').out, '10.0.0.100\n')
        self.assertEqual(self.json('network', 'address'), {
            'network': 'home', 'address': '10.0.0.100', 'address6': 'fd00::64',
            'subnet': '10.0.0.0/16', 'interface': 'omerta0'})

    def test_address_not_yet(self):
        self.work()
        self.fails(4, 'network', 'address', says='nobody has approved')

    def test_address_which_network(self):
        self.home()
        self.work()
        self.fails(4, 'network', 'address', says='--network')
        self.assertEqual(self.ok('--network=home', 'network', 'address').out, '10.0.0.100\n')

    def test_mesh_status(self):
        self.home()
        out = self.ok('mesh', 'status').out
        self.assertIn(IDS['laptop'], out)
        rows = [line.split() for line in out.split('\n\n')[1].splitlines()]
        self.assertEqual([r[0] for r in rows], ['HOST', 'gw', 'phone'])
        self.assertIn('192.0.2.1:18002', rows[1])
        self.assertIn('LAN: on eth0; home: 2 machines\n', out)
        drops = [line.split() for line in out.split('\n\n')[2].splitlines()]
        self.assertEqual([d[0] for d in drops], ['DROPPED', 'mac1', 'malformed', 'in'])
        self.assertEqual(drops[1][1:3], ['7', 'a'])
        self.assertEqual(drops[3], ['in', 'all', '9'])
        status = self.json('mesh', 'status')
        self.assertEqual(status['daemon']['drops'], {'mac1': 7, 'malformed': 2})
        self.assertEqual(status['dropped'], 9)
        self.assertEqual(status['drops'][0], {'reason': 'mac1', 'count': 7, 'text':
                         'a handshake for another network or another machine'})
        self.assertEqual([m['path'] for m in status['links']], ['direct', 'relay'])

    def test_leases(self):
        self.home()
        rows = self.ok('dhcp', 'leases').rows()
        self.assertEqual(rows[0], ['ADDRESS', 'HOST', 'MACHINE', 'STATE', 'GRANTED', 'EXPIRES'])
        self.assertEqual([r[0] for r in rows[1:]], ['10.0.0.20', '10.0.0.100', '10.0.1.5'])
        self.assertEqual(rows[2][1:4], ['laptop', 'laptopxx', 'bound'])
        lease = self.json('dhcp', 'leases')['leases'][0]
        self.assertEqual((lease['machine'], lease['state']), (IDS['phone'], 'bound'))
        self.assertEqual((lease['expires'], lease['expires_usec']), ('2030-01-01T00:00:00Z', UNTIL))

    def test_sessions(self):
        self.home()
        rows = self.ok('tunnel', 'sessions').rows()
        self.assertEqual(rows[0][:5], ['HOST', 'ADDRESS', 'ID', 'CHANNEL', 'STATE'])
        self.assertEqual([(r[0], r[3], r[4]) for r in rows[1:]], [
            ('gw', 'bytes', 'connecting'), ('gw', 'packets', 'active'),
            ('phone', 'packets', 'degraded')])
        session = self.json('tunnel', 'sessions')['sessions'][1]
        self.assertEqual(
            (session['host_name'], session['address'], session['path'], session['rtt_usec']),
            ('gw', '10.0.0.1', 'direct', 1300))

    def test_nothing_to_list(self):
        self.daemon()
        for words in (['network', 'peers'], ['mesh', 'status'], ['dhcp', 'leases'],
                      ['tunnel', 'sessions'], ['network', 'address'], ['network', 'pending']):
            self.fails(4, *words, says='omerta network join LINK')

    def test_invites(self):
        self.home()
        self.fake.answers['Network.ListInvites'] = (
            [('ab12', NOW - HOUR, UNTIL, 1, 5, 'printer', False),
             ('cd34', 0, 0, 0, 1, '', True)],)
        rows = self.ok('network', 'invites').rows()
        self.assertEqual(rows[0], ['ID', 'CREATED', 'EXPIRES', 'USED', 'HOST', 'JOINS'])
        self.assertEqual((rows[1][0], *rows[1][-3:]), ('ab12', '1/5', 'printer', 'directly'))
        self.assertEqual(rows[2][-1], 'approval')
        self.assertEqual(self.json('network', 'invites')['invites'][0], {
            'id': 'ab12', 'created': mock_iso(NOW - HOUR), 'created_usec': NOW - HOUR,
            'expires': '2030-01-01T00:00:00Z', 'expires_usec': UNTIL, 'uses': 1, 'uses_max': 5,
            'host_name': 'printer', 'approval': False})
        self.assertTrue(self.json('network', 'invites')['invites'][1]['approval'])

    def test_pending(self):
        self.home()
        self.fake.answers['Network.ListPending'] = ([(IDS['phone'], 'phone', UNTIL)],)
        self.assertEqual(self.ok('network', 'pending').rows()[1][:2], [IDS['phone'], 'phone'])
        self.assertEqual(self.json('network', 'pending')['pending'], [{
            'machine': IDS['phone'], 'host_name': 'phone', 'since': '2030-01-01T00:00:00Z',
            'since_usec': UNTIL}])

    def test_foreign_text_is_escaped(self):
        self.home(Name='ho\x1b[31mme', StateReason='a\nb\u202ec')
        self.fake.add(
            machine('phone'), 'Machine', Id=IDS['phone'], HostName='\x1b]0;owned\x07\x9b\u202e',
            Owner='zwei wörter 日本')
        for words in (['status'], ['network', 'list'], ['network', 'show'], ['network', 'peers'],
                      ['mesh', 'status'], ['network', 'peers', '--json']):
            out = self.ok(*words).out
            for c in '\x1b\x07\x9b\u202e':
                self.assertNotIn(c, out, words)
        self.assertIn(r'\x1b]0;owned\x07\u009b\u202e', self.ok('network', 'peers').out)
        owners = [m['owner'] for m in self.json('network', 'peers')['machines']]
        self.assertIn('zwei wörter 日本', owners)
        hosts = [m['host_name'] for m in self.json('network', 'peers')['machines']]
        self.assertIn('\x1b]0;owned\x07\x9b\u202e', hosts)
        self.fake.answers['Manager.GetNetwork'] = Error(ERROR + 'NoSuchNetwork', 'no \x1b[2J')
        self.assertNotIn('\x1b', self.fails(4, 'network', 'show').err)

    def test_version(self):
        self.daemon()
        out = self.ok('version').out
        self.assertRegex(out, r'^omerta [0-9.]+\nomertad 0\.1\.0\n$')
        self.assertEqual(self.ok('--version').out, out.splitlines()[0] + '\n')
        self.assertEqual(self.json('version')['omertad'], '0.1.0')

    # What is changed

    def test_create(self):
        self.home()
        self.fake.answers['Manager.CreateNetwork'] = (HOME,)
        self.assertEqual(self.ok('network', 'create', 'home').out, '')
        self.ok('network', 'create', 'home', '--subnet', '10.7.0.0/16', '--host-name=gw',
                '--owner', 'anna')
        first, second = self.called('Manager.CreateNetwork')
        self.assertEqual(first[2], ['home', {}])
        self.assertEqual(second[2], [
            'home', {'subnet': '10.7.0.0/16', 'host-name': 'gw', 'owner': 'anna'}])
        self.assertTrue(first[3], 'polkit may ask')
        self.assertEqual(self.json('network', 'create', 'home'), self.home_json)

    def test_join(self):
        self.home()
        self.fake.answers['Manager.Join'] = (HOME,)
        file = f'{self.bus.directory}/invite'
        with open(file, 'w') as f:
            f.write(f'\n  {LINK}\r\n')
        self.assertEqual(self.ok('network', 'join', LINK).out, '')
        self.ok('network', 'join', f' {LINK}\n', '--host-name', 'laptop', '--owner', 'anna')
        self.ok('network', 'join', '-', stdin=f'{LINK}\n')
        self.ok('network', 'join', file)
        calls = self.called('Manager.Join')
        self.assertEqual([c[2][0] for c in calls], [LINK] * 4)
        self.assertEqual(calls[1][2][1], {'host-name': 'laptop', 'owner': 'anna'})
        self.assertEqual(self.tty('network', 'join', LINK).err, 'Joined home as 10.0.0.100.\n')
        self.assertEqual(self.json('network', 'join', LINK)['address'], '10.0.0.100')

    def test_join_from_terminal(self):
        """One line is enough, without an end of file."""
        self.home()
        self.fake.answers['Manager.Join'] = (HOME,)
        mine, its = pty.openpty()
        os.write(mine, f'{LINK}\n'.encode())
        r = self.omerta('network', 'join', '-', stdin=its)
        os.close(its)
        os.close(mine)
        self.assertEqual((r.code, r.err), (0, ''))
        self.assertEqual(self.called('Manager.Join')[0][2][0], LINK)

    def test_join_not_a_link(self):
        self.home()
        file = f'{self.bus.directory}/not-an-invite'
        for content in ('', 'hello', 'omerta://' + 'x' * 5000):
            with open(file, 'w') as f:
                f.write(content)
            self.fails(1, 'network', 'join', file, says='no omerta:// link')
            self.fails(1, 'network', 'join', '-', stdin=content, says='no omerta:// link')
        self.fails(1, 'network', 'join', '/', says='cannot read')
        self.assertEqual(self.called('Manager.Join'), [])

    def test_join_waits(self):
        self.home(State='waiting', Address='')
        self.fake.answers['Manager.Join'] = (HOME,)
        r = self.omerta('network', 'join', LINK)
        self.assertEqual((r.code, r.out), (0, ''))
        self.assertIn('approve', r.err)

    def test_invite(self):
        self.home(IsGateway=True)
        self.fake.answers['Network.Invite'] = (LINK,)
        self.assertEqual(self.ok('network', 'invite').out, LINK + '\n')
        self.ok('network', 'invite', '--uses', '3', '--expires=1h30min', '--name', 'printer',
                '--approval', '--endpoint', '192.0.2.7:1', '--endpoint', '[2001:db8::7]:2',
                '--endpoint', 'localhost:4242', '--endpoint', '192.0.2.8')
        first, second = (c[2][0] for c in self.called('Network.Invite'))
        self.assertEqual(first, {})
        endpoints = list(second.pop('endpoints'))
        self.assertEqual(second, {
            'uses': 3, 'lifetime': 5400 * SECOND, 'host-name': 'printer', 'approval': True})
        self.assertEqual(endpoints[:2], ['192.0.2.7:1', '[2001:db8::7]:2'])
        self.assertTrue({'127.0.0.1:4242', '[::1]:4242'} & set(endpoints))
        self.assertEqual(endpoints[-1], '192.0.2.8:18002')
        # What means something here alone is no name for others.
        self.assertNotIn('names', second)
        self.assertEqual(self.json('network', 'invite'), {'link': LINK})
        r = self.tty('network', 'invite')
        self.assertEqual(r.out, LINK + '\n')
        self.assertIn('secret', r.err)

    def test_invite_to_file(self):
        self.home(IsGateway=True)
        self.fake.answers['Network.Invite'] = (LINK,)
        file = f'{self.bus.directory}/new-invite'
        with open(file, 'w') as f:
            f.write('old and readable')
        os.chmod(file, 0o644)
        self.assertEqual(self.ok('network', 'invite', '--output', file).out, '')
        with open(file) as f:
            self.assertEqual(f.read(), LINK + '\n')
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        self.assertEqual(self.ok('network', 'invite', '-o', '-').out, LINK + '\n')
        self.fails(1, 'network', 'invite', '-o', '/nonexistent/file', says='/nonexistent/file')

    def test_invite_qr(self):
        self.home(IsGateway=True)
        self.fake.answers['Network.Invite'] = (LINK,)
        r = self.omerta('network', 'invite', '--qr')
        if 'without QR codes' in r.err:
            self.assertEqual(r.out, LINK + '\n')
            self.skipTest('built without libqrencode')
        lines = r.out.splitlines()
        self.assertEqual(lines[-1], LINK)
        self.assertEqual(len({len(line) for line in lines[:-1]}), 1)
        self.assertLessEqual(set(''.join(lines[:-1])), set(' \u2580\u2584\u2588'))
        # The finder pattern in the upper left corner, light drawn: 2 quiet modules, then 7.
        self.assertEqual(lines[1][:9], '\u2588\u2588 \u2584\u2584\u2584\u2584\u2584 ')

    def test_full_disk(self):
        self.home(IsGateway=True)
        self.fake.answers['Network.Invite'] = (LINK,)
        with open('/dev/full', 'w') as full:
            r = self.omerta('network', 'invite', stdout=full)
        self.assertEqual(r.code, 1)
        self.assertIn('cannot write', r.err)

    def test_simple_changes(self):
        self.home()
        self.fake.answers['Network.Approve'] = (IDS['phone'], 'phone')
        self.fake.answers['Network.Refuse'] = (IDS['phone'], 'phone')
        self.fake.answers['Network.Leave'] = (True, 0)
        for words, method, arguments, says in (
                (['up'], 'Network.Up', [], ''),
                (['down'], 'Network.Down', [], ''),
                (['network', 'uninvite', 'ab12'], 'Network.DeleteInvite', ['ab12'],
                 'Withdrew the invite ab12: it lets nobody in any more.\n'),
                (['network', 'approve', 'phone'], 'Network.Approve', ['phone'],
                 'phone (phonexxx): let in\n'),
                (['network', 'refuse', 'phone'], 'Network.Refuse', ['phone'],
                 'phone (phonexxx): sent away\n'),
                (['network', 'leave'], 'Network.Leave', [{}], 'Left home.\n'),
                (['network', 'leave', '--force'], 'Network.Leave', [{'force': True}],
                 'Left home.\n')):
            with self.subTest(words):
                self.fake.calls.clear()
                self.assertEqual(self.ok(*words).out, '')
                self.assertEqual(self.called(method), [(HOME, method, arguments, True)])
                # A person is told what was done to whom.
                r = self.tty(*words)
                self.assertEqual((r.code, r.out, r.err), (0, '', says))

    def test_up_with_a_link(self):
        self.home()
        self.fake.answers['Manager.Join'] = (HOME,)
        self.assertEqual(self.ok('up', LINK, '--host-name', 'laptop', '--owner', 'anna').out, '')
        self.assertEqual(self.called('Manager.Join')[0][2],
                         [LINK, {'host-name': 'laptop', 'owner': 'anna'}])
        self.assertEqual(self.called('Network.Up'), [])  # what is joined is up
        self.ok('up', '-', stdin=f'{LINK}\n')
        self.assertEqual(self.json('up', LINK)['address'], '10.0.0.100')
        self.assertEqual(self.tty('up', LINK).err, 'Joined home as 10.0.0.100.\n')
        self.fake.calls.clear()
        self.fails(2, 'up', '/nonexistent', says='neither')
        self.fails(2, 'up', '--owner', 'anna', says='with a link')
        self.assertEqual(self.fake.calls, [])

    def test_rename(self):
        self.home()
        self.fake.answers['Network.Rename'] = (IDS['phone'], 'phone')
        self.assertEqual(self.ok('network', 'rename', 'phone', 'handy').out, '')
        self.assertEqual(self.called('Network.Rename'), [(HOME, 'Network.Rename', ['phone', 'handy'], True)])
        self.assertEqual(self.tty('network', 'rename', 'phone', 'handy').err,
                         'phone (phonexxx) is called handy now.\n')
        self.assertEqual(self.json('network', 'rename', 'phone', 'handy'),
                         {'machine': IDS['phone'], 'host_name': 'handy', 'old_name': 'phone'})
        self.fake.answers['Network.Rename'] = Error(ERROR + 'NameTaken', 'another machine is called so')
        self.fails(1, 'network', 'rename', 'phone', 'gw', says='another machine')

    def test_gateway_use(self):
        self.home()
        used = {'network': 'home', 'wanted': 'auto', 'exit': IDS['gateway'], 'host_name': 'gw',
                'state': 'up', 'state_reason': None, 'lan': True}
        for arguments, sent in ((['gw'], ['gw', {}]), ([], ['auto', {}]),
                                (['gw,phone', '--no-lan'], ['gw,phone', {'no-lan': True}])):
            self.fake.calls.clear()
            self.assertEqual(self.ok('gateway', 'use', *arguments).out, '')
            self.assertEqual(self.called('Network.UseExit'), [(HOME, 'Network.UseExit', sent, True)])
        self.assertEqual(self.json('gateway', 'use', 'gw'), used)
        self.assertEqual(self.tty('gateway', 'use', 'gw').err,
                         "This machine's internet traffic leaves by gw.\n")
        self.assertEqual(self.tty('gateway', 'use', 'none').err,
                         "This machine's internet traffic leaves by its own way.\n")
        self.fake.answers['Network.UseExit'] = Error(ERROR + 'NoSuchMachine', 'nobody is called so')
        self.fails(4, 'gateway', 'use', 'anna', says='nobody')

    def test_gateway_use_in_vain(self):
        self.home(ExitState='unavailable', ExitReason='phone does not answer', Exit=IDS['phone'])
        self.fails(3, 'gateway', 'use', 'phone', says='phone does not answer')
        self.assertEqual(self.ok('gateway', 'exits').out.splitlines()[-1],
                         'home: no exit is used: phone does not answer')

    def test_gateway_exits(self):
        self.home()
        self.fake.change(machine('gateway'), 'Machine', 'Exit', ['ipv4', 'ipv6'])
        self.assertEqual(self.ok('gateway', 'exits').out, (
            'HOST  ADDRESS   EXIT       LINK     RTT  USED\n'
            'gw    10.0.0.1  ipv4 ipv6  up    1.3 ms  up\n'))
        self.assertEqual(self.json('gateway', 'exits')['exits'], [{
            'network': 'home', 'id': IDS['gateway'], 'host_name': 'gw', 'exit': ['ipv4', 'ipv6'],
            'link': 'up', 'rtt_usec': 1300, 'used': True}])
        lines = self.ok('network', 'peers').out.splitlines()
        self.assertIn('ROLE     EXIT    LINK', lines[0])
        self.assertIn('gateway  ipv4+6  up', lines[1])

    def test_gateway_appoint(self):
        self.home()
        self.fake.answers['Network.AppointExit'] = (IDS['phone'], 'phone')
        for verb, may, said in (('appoint', True, 'may be an exit now'), ('dismiss', False, 'no exit')):
            self.fake.calls.clear()
            self.assertEqual(self.json('gateway', verb, 'phone'),
                             {'machine': IDS['phone'], 'host_name': 'phone', 'appointed': may})
            self.assertEqual(self.called('Network.AppointExit'),
                             [(HOME, 'Network.AppointExit', ['phone', may], True)])
            self.assertIn(said, self.tty('gateway', verb, 'phone').err)

    def test_up_by_an_exit(self):
        self.home()
        self.ok('up', '--gateway', 'auto')
        self.assertEqual(self.called('Network.UseExit'), [(HOME, 'Network.UseExit', ['auto', {}], True)])

    def test_whois(self):
        self.home()
        self.work()
        def find(path, name):
            if path == HOME and name in ('phone', '10.0.0.20'):
                return (machine('phone'),)
            if path == HOME and name == 'laptop':
                return (machine('laptop'),)
            raise Error(ERROR + ('Ambiguous' if name == 'p' else 'NoSuchMachine'), f'no {name}')
        self.fake.answers['Network.FindMachine'] = find
        r = self.ok('whois', '10.0.0.20')
        self.assertEqual(r.out.splitlines(), [
            'phone in home', f'     Machine: {IDS["phone"]}', '       Owner: anna',
            '     Address: 10.0.0.20', '       Roles: member',
            '        Link: up, relay, 203.0.113.5:18002', '        Seen: 2 h ago',
            r.out.splitlines()[7]])
        self.assertRegex(r.out.splitlines()[7], r'^       Lease: bound, signed 60 min ago, ends in ')
        self.assertIn('Link: this machine', self.ok('whois', 'laptop').out)
        self.assertEqual(self.called('Network.FindMachine')[0][2], ['10.0.0.20'])
        for name in ('phone', 'phone.omerta', 'phone.OMERTA.'):
            m, = self.json('whois', name)['machines']
            self.assertEqual((m['network'], m['id'], m['owner'], m['path'], m['lease']),
                             ('home', IDS['phone'], 'anna', 'relay', 'bound'))
            self.assertEqual(m['lease_granted_usec'], NOW - HOUR)
        self.fails(4, 'whois', '10.0.0.77', says="nobody has '10.0.0.77'")
        self.fails(4, 'whois', 'p', says='no p')

    def test_path(self):
        self.home()
        self.fake.answers['Manager.Ping'] = Error(ERROR + 'Timeout', 'no answer')
        self.fake.answers['Network.FindMachine'] = lambda path, name: (machine(name),)

        def way(**values):
            return fake.dbus.Dictionary({k.replace('_', '-'): v for k, v in values.items()},
                                        signature='sv')
        u, t = fake.dbus.UInt32, fake.dbus.UInt64
        self.fake.answers['Machine.ListPaths'] = ([
            way(endpoint='203.0.113.5:18002', kind='relayed', active=True, origin='relay',
                state='works', reason='in use', rtt=t(40200), rtt_min=t(39000), probes=u(8), lost=u(2),
                mtu=u(1412), mtu_state='search-complete', trains='lost', since=t(NOW - HOUR), last_received=t(NOW - 2 * HOUR), later='x'),
            way(endpoint='198.51.100.7:18002', kind='direct', active=False, origin='presence',
                state='silent', reason='no answer\x1b', rtt=t(0), probes=u(0)),
        ],)
        lines = self.ok('path', 'phone').out.splitlines()
        self.assertEqual(lines[0], 'phone (10.0.0.20): link up, relay')
        self.assertIn('one by one', lines.pop(1))
        self.assertEqual(lines[2].split(), ['PATH', 'ENDPOINT', 'FOUND', 'RTT', 'LOST', 'MTU', 'SEEN',
                                            'WHY'])
        self.assertRegex(lines[3], r'^\*  relayed  203.0.113.5:18002 +relay +40 ms +25% +1412 +'
                                   r'2 h ago +in use$')
        self.assertRegex(lines[4], r'^ +direct +198.51.100.7:18002 +presence +- +- +- +- +no answer'
                                   r'\\x1b$')
        # A machine nobody talked to was asked before.
        self.assertEqual([c[1] for c in self.fake.calls],
                         ['Manager.GetNetwork', 'Network.FindMachine', 'Manager.Ping', 'Machine.ListPaths'])
        o = self.json('path', 'phone')
        self.assertEqual((o['id'], o['path']), (IDS['phone'], 'relay'))
        self.assertEqual(
            {k: o['paths'][0][k] for k in ('active', 'kind', 'rtt_usec', 'probes', 'lost', 'mtu',
                                           'mtu_state', 'trains')},
            {'active': True, 'kind': 'relayed', 'rtt_usec': 40200, 'probes': 8, 'lost': 2, 'mtu': 1412,
             'mtu_state': 'search-complete', 'trains': 'lost'})
        self.assertEqual([o['paths'][1][k] for k in ('rtt_usec', 'last_received', 'mtu_state')],
                         [None] * 3)
        self.fake.answers['Machine.ListPaths'] = (fake.dbus.Array([], signature='a{sv}'),)
        self.assertIn('Nobody knows where it is', self.ok('path', 'phone').out)
        self.assertIn('is this machine', self.ok('path', 'laptop').out)
        self.assertEqual(self.json('path', 'phone')['paths'], [])
        self.fake.answers['Network.FindMachine'] = Error(ERROR + 'NoSuchMachine', 'no x')
        self.fails(4, 'path', 'x', says='no x')

    def test_path_of_a_relayed_machine(self):
        self.home()
        self.fake.answers['Manager.Ping'] = (1300, machine('phone'))
        self.fake.answers['Network.FindMachine'] = lambda path, name: (machine(name),)
        self.fake.answers['Machine.ListPaths'] = (fake.dbus.Array([], signature='a{sv}'),)
        self.fake.objects[machine('phone')]['org.omerta.Mesh1.Machine'].update(
            Translation='random', WhyRelayed='both are random\x1b')
        lines = self.ok('path', 'phone').out.splitlines()
        self.assertEqual(lines[1:3], ['translated: random', 'relayed because both are random\\x1b'])
        o = self.json('path', 'phone')
        self.assertEqual((o['translation'], o['why_relayed']), ('random', 'both are random\x1b'))
        # Of an older daemon.
        self.assertEqual(self.json('path', 'laptop')['translation'], None)

    def test_netcheck(self):
        self.home()

        def family(**values):
            return fake.dbus.Dictionary({'trouble': '', 'step': fake.dbus.Int32(0), **values},
                                        signature='sv')
        u = fake.dbus.UInt32
        found = {
            'udp': 'works', 'hairpin': 'no', 'filtering': 'unknown', 'mtu': u(1420), 'later': 'x',
            'relays': fake.dbus.Array([machine('gateway')], signature='o'),
            'ipv4': family(translation='predictable', mapping='destination-dependent',
                           ports='predictable', step=fake.dbus.Int32(-2), seen='203.0.113.9:40000',
                           members=u(3), dissenters=u(1), later='x'),
            'ipv6': family(translation='unknown', mapping='unknown', ports='unknown', seen='',
                           members=u(0), dissenters=u(0), trouble='no member\x1b'),
        }
        self.fake.answers['Network.NetCheck'] = (fake.dbus.Dictionary(found, signature='sv'),)
        out = self.ok('netcheck').out
        for line in (r'UDP +works', r'  translated +predictable: a port for each destination, in '
                     r'sequence', r'  seen at +203.0.113.9:40000',
                     r'  mapping +destination-dependent, ports predictable by -2',
                     r' +1 of 3 members say otherwise', r'  translated +not known',
                     r' +no member\\x1b', r'filtering +not known', r'hairpin +no',
                     r'largest packet +1420', r'can relay +gw'):
            self.assertRegex(out, '(?m)^' + line + '$')
        o = self.json('netcheck')
        self.assertEqual((o['network'], o['udp'], o['mtu'], o['relays']), ('home', 'works', 1420, ['gw']))
        self.assertEqual((o['ipv4']['step'], o['ipv4']['seen'], o['ipv4']['dissenters']),
                         (-2, '203.0.113.9:40000', 1))
        self.assertEqual((o['ipv6']['seen'], o['ipv6']['trouble']), (None, 'no member\x1b'))
        for udp, says in (('silent', 'UDP is blocked, or all are away'), ('nobody', 'no other member'),
                          ('unknown', 'not known yet')):
            found['udp'] = udp
            self.fake.answers['Network.NetCheck'] = (fake.dbus.Dictionary(found, signature='sv'),)
            self.assertIn(says, self.ok('netcheck').out)
        # A daemon that says nothing of all that, and one whose network is down.
        self.fake.answers['Network.NetCheck'] = (fake.dbus.Dictionary({}, signature='sv'),)
        self.assertIn('nobody', self.ok('netcheck').out)
        self.fake.answers['Network.NetCheck'] = Error(ERROR + 'NotJoined', 'the network is down')
        self.fails(4, 'netcheck', says='the network is down')

    def test_connect(self):
        self.home()
        mine, theirs = 'omerta://path/aaaa', 'omerta://path/bbbb'
        self.fake.answers['Network.Offer'] = (mine,)
        self.fake.answers['Manager.TakeOffer'] = (machine('phone'),)
        self.fake.answers['Manager.Ping'] = (1300, machine('phone'))
        self.assertEqual(self.ok('connect', '--offer').out, mine + '\n')
        self.assertEqual(self.json('connect', '--offer'), {'line': mine})
        self.assertEqual(self.called('Manager.TakeOffer'), [])
        self.assertEqual(self.ok('connect', '--answer', theirs).out, mine + '\n')
        self.assertEqual(self.called('Manager.TakeOffer')[0][2], [theirs])
        self.assertEqual(self.ok('connect', theirs).out, '')
        self.assertEqual(self.json('connect', theirs),
                         {'line': None, 'host_name': 'phone', 'address': '10.0.0.20',
                          'connected': True, 'path': 'relay'})
        for words in (['connect'], ['connect', '--offer', theirs], ['connect', '--offer', '--answer']):
            self.fails(2, *words, says='--offer')
        self.fake.answers['Manager.TakeOffer'] = Error(ERROR + 'InvalidArgument', 'no whole line')
        self.fails(2, 'connect', 'x', says='no whole line')

    def test_settings(self):
        self.home()
        for words, options in (
                (['mtu', '1300'], {'mtu': 1300}),
                (['lan-discovery', 'on'], {'lan-discovery': True}),
                (['lan-discovery', 'off'], {'lan-discovery': False}),
                (['grace', '10d'], {'grace': 10 * 24 * HOUR}),
                (['max-absence', 'none'], {'max-absence': 0}),
                (['endpoints', 'gw.example.org'], {'endpoints': ['gw.example.org']}),
                (['endpoints', 'a.example:7,b.example:8'], {'endpoints': ['a.example:7', 'b.example:8']}),
                (['endpoints', 'none'], {'endpoints': []}),
                (['endpoints', ''], {'endpoints': []}),
                (['name', 'mtu 7'], {'name': 'mtu 7'})):
            with self.subTest(words):
                self.fake.calls.clear()
                self.ok('network', 'set', *words)
                self.assertEqual(self.called('Network.SetOptions'),
                                 [(HOME, 'Network.SetOptions', [options], True)])
        self.fake.calls.clear()
        for words in (['mtu', '13OO'], ['mtu', '-1'], ['mtu', '70000'], ['mtu', 'none'],
                      ['mtu', ''], ['grace', 'none'], ['size', '1'],
                      ['lan-discovery', 'yes'], ['lan-discovery', '']):
            self.fails(2, 'network', 'set', *words)
        self.assertEqual(self.called('Network.SetOptions'), [])
        self.assertEqual(self.ok('network', 'get', 'mtu').out, '1420\n')
        self.assertRegex(self.ok('network', 'get').out, r'(?m)^mtu +1420$')
        self.assertEqual(self.json('network', 'get', 'mtu'), {'mtu': 1420})
        self.assertEqual(self.ok('network', 'get', 'lan-discovery').out, 'on\n')
        self.fake.calls.clear()
        self.ok('set', 'lan-discovery', 'off')
        self.assertEqual(self.called('Network.SetOptions'),
                         [(HOME, 'Network.SetOptions', [{'lan-discovery': False}], True)])
        # A member knows what is its own, and no more.
        self.assertEqual(self.json('network', 'get'), {'mtu': 1420, 'lan_discovery': True, 'name': 'home',
                                                         'endpoints': []})
        self.assertEqual(self.ok('get', 'endpoints').out, 'none\n')
        self.assertEqual(self.ok('get', 'name').out, 'home\n')
        self.fake.calls.clear()
        self.ok('set', 'name', 'house')
        self.assertEqual(self.called('Network.SetOptions')[0][2], [{'name': 'house'}])
        self.fails(1, 'network', 'get', 'grace', says='gateway')

    def test_leave(self):
        self.home()
        self.fake.answers['Network.Leave'] = (False, UNTIL)
        r = self.omerta('network', 'leave')
        self.assertEqual((r.code, r.out), (0, ''))
        self.assertIn('Nobody was reachable', r.err)
        self.assertIn('2030-01-01', r.err)
        r = self.omerta('network', 'leave', '--json')
        self.assertEqual(json.loads(r.out), {
            'told': False, 'listed_until': '2030-01-01T00:00:00Z', 'listed_until_usec': UNTIL})

    def test_leave_as_gateway(self):
        self.home(IsGateway=True)
        self.fake.answers['Network.Leave'] = (False, 0)
        self.fails(5, 'network', 'leave', says='--force')
        self.assertEqual(self.called('Network.Leave'), [])
        self.assertIn('30 days', self.omerta('network', 'leave', '--force').err)

    # Revoking

    INVITE = 'ab' * 16

    def revoking(self, uses_left=3):
        self.home(IsGateway=True)
        self.fake.answers['Network.FindMachine'] = (machine('phone'),)
        self.fake.answers['Network.Revoke'] = (
            IDS['phone'], 'phone', self.INVITE if uses_left else '', uses_left, UNTIL)

    def test_revoke(self):
        self.revoking(0)
        self.assertEqual(self.ok('network', 'revoke', 'phone').out, '')
        self.assertEqual(
            self.called('Network.Revoke'), [(HOME, 'Network.Revoke', ['phone', {}], True)])
        # Without a terminal the invite is told, in one line.
        self.revoking()
        r = self.omerta('network', 'revoke', 'phone')
        self.assertEqual((r.code, len(r.err.splitlines())), (0, 1), r.err)
        self.assertIn(f'omerta network uninvite {self.INVITE}', r.err)
        self.assertIn('3 more', r.err)
        self.assertEqual(self.called('Network.DeleteInvite'), [])
        self.assertEqual(
            self.tty('network', 'revoke', '--keep-invite', 'phone').err,
            'phone (phonexxx) is no member any more.\n')
        self.fake.answers['Network.Revoke'] = (IDS['phone'], 'phone', self.INVITE, 0, UNTIL)
        r = self.tty('network', 'revoke', '--withdraw-invite', 'phone')
        self.assertIn(f'{self.INVITE} lets nobody in', r.err)
        self.assertEqual(self.called('Network.Revoke')[-1][2], ['phone', {'withdraw-invite': True}])
        self.assertEqual(self.json('network', 'revoke', '--yes', 'phone'), {
            'machine': IDS['phone'], 'host_name': 'phone', 'invite': self.INVITE, 'uses_left': 0,
            'expires': '2030-01-01T00:00:00Z', 'expires_usec': UNTIL})
        self.fails(2, 'network', 'revoke', '--keep-invite', '--withdraw-invite', 'phone')

    def person(self, text, *arguments):
        """A person at a terminal, who has typed @text."""
        mine, its = pty.openpty()
        os.write(mine, text.encode())
        r = self.omerta(*arguments, stdin=its, stderr=its)
        os.close(its)
        said = b''
        try:
            while chunk := os.read(mine, 4096):
                said += chunk
        except OSError:
            pass
        os.close(mine)
        return Result(r.code, r.out, said.decode().replace('\r\n', '\n'))

    def test_revoke_asks(self):
        self.revoking()
        for text in ('n\n', '\n', '\x04', 'what\n'):
            r = self.person(text, 'network', 'revoke', 'phone')
            self.assertEqual(r.code, 5, r.err)
            self.assertIn('phone (phonexxx), for good? [y/N]', r.err)
        self.assertEqual(self.called('Network.Revoke'), [])
        for text, withdrawn in (('y\n\n', 1), ('y\ny\n', 1), ('yes\nn\n', 0), ('Y\n\x04', 0)):
            self.fake.calls.clear()
            r = self.person(text, 'network', 'revoke', 'phone')
            self.assertEqual(r.code, 0, r.err)
            self.assertIn(f'invite {self.INVITE}, which lets 3 more in until 2030', r.err)
            self.assertIn('withdraw it too? [Y/n]', r.err)
            self.assertEqual(len(self.called('Network.Revoke')), 1)
            self.assertEqual(
                [c[2] for c in self.called('Network.DeleteInvite')], [[self.INVITE]] * withdrawn)
        r = self.person('', 'network', 'revoke', '--yes', '--keep-invite', 'phone')
        self.assertEqual(r.code, 0, r.err)
        self.assertNotIn('?', r.err)

    def test_revoked(self):
        self.home()
        self.fake.answers['Network.ListRevoked'] = (
            [(IDS['phone'], 'left', NOW - HOUR), (IDS['laptop'], 'removed', NOW - 2 * HOUR)],)
        out = self.ok('network', 'revoked').out
        self.assertRegex(out, f'MACHINE +REASON +WHEN\n{IDS["phone"]} +left +60 min ago\n')
        self.assertEqual(self.json('network', 'revoked')['revoked'][1]['reason'], 'removed')

    def test_refused(self):
        self.home()
        self.fake.answers['Network.ListRefused'] = ([(IDS['phone'], 'a\x1bb', NOW - HOUR, UNTIL)],)
        out = self.ok('network', 'refused').out
        self.assertRegex(out, f'MACHINE +HOST +WHEN +UNTIL\n{IDS["phone"]} +a.*b +60 min ago +2030')
        self.assertNotIn('\x1b', out)
        refused, = self.json('network', 'refused')['refused']
        self.assertEqual((refused['host_name'], refused['until_usec']), ('a\x1bb', UNTIL))

    def test_close(self):
        self.home()
        self.fake.answers['Network.FindMachine'] = lambda path, name: (machine(
            'gateway' if name == 'gw' else 'laptop'),)
        self.ok('tunnel', 'close', 'gw')
        self.assertEqual(len(self.called('Session.Close')), 2)
        self.fake.calls.clear()
        self.ok('tunnel', 'close', 'gw', 'packets')
        self.assertEqual(
            [c[0] for c in self.called('Session.Close')],
            [f'{HOME}/session/{IDS["gateway"]}_packets'])
        self.fails(4, 'tunnel', 'close', 'gw', 'other', says="'other'")
        self.fails(4, 'tunnel', 'close', 'laptop', says='no session')
        self.fake.answers['Session.Close'] = Error(DBUS_ERROR + 'UnknownObject')
        self.ok('tunnel', 'close', 'gw')
        self.fake.answers['Network.FindMachine'] = Error(ERROR + 'NoSuchMachine')
        self.fails(4, 'tunnel', 'close', 'nobody', says='omerta network peers')

    def test_exec(self):
        self.home()
        self.fake.answers['Manager.GetNamespaces'] = Error(ERROR + 'NotSupported', 'it is lwIP')
        # What is the program's is not looked at.
        self.fails(1, 'exec', 'true', '--json', '-x', b'\xff', says='it is lwIP')
        self.fails(1, '-n', 'home', 'exec', '--', '--json', says='omerta nc')
        self.assertEqual(self.called('Manager.GetNamespaces'), [
            (ROOT, 'Manager.GetNamespaces', [{'network': NETWORK_ID}], True)] * 2)
        self.fails(4, '-n', 'other', 'exec', 'true', says='no such network')
        self.work()
        self.fails(4, 'exec', 'true', says='--network')
        # Whatever this is, it is no namespace.
        with open('/dev/null', 'rb') as f:
            self.fake.answers['Manager.GetNamespaces'] = (fake.dbus.types.UnixFd(f),) * 2
            self.fails(1, '-n', 'home', 'exec', 'true', says='cannot enter the network')
    def test_backup(self):
        self.home()
        with tempfile.TemporaryDirectory() as d:
            path, source = f'{d}/backup', f'{d}/source'
            content = bytes(range(256)) * 1000
            with open(source, 'wb') as f:
                f.write(content)
            with open(source, 'rb') as f:
                self.fake.answers['Manager.Backup'] = (fake.dbus.types.UnixFd(f),)
                self.assertEqual(self.json('backup', path), {'file': path, 'bytes': 256000})
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
                with open(path, 'rb') as written:
                    self.assertEqual(written.read(), content)
                # Nothing is written over, nor asked for then.
                self.fails(1, 'backup', path, says='exists')
                self.fails(2, 'backup', '-', '--json', says='both')
                self.assertEqual(len(self.called('Manager.Backup')), 1)
                os.unlink(path)
                self.fails(1, 'backup', '/dev/full', says='exists')
            self.fake.answers['Manager.Backup'] = Error(ERROR + 'NotPermitted', 'not you')
            self.fails(5, 'backup', path, says='not you')
            self.assertFalse(os.path.exists(path))

    def forward(self, number, **properties):
        path = f'{HOME}/forward/{number}'
        values = dict(Id=number, Direction='local', Listen='127.0.0.1:2222', Target='nas:22',
                      Persistent=False, State='listening')
        self.fake.add(path, 'Forward', **(values | properties))
        return path

    def test_forward(self):
        self.home()
        path = self.forward(3, Listen='127.0.0.1:40000')
        self.fake.answers['Network.AddForward'] = (path,)
        for text, listen, target in (
                ('2222:nas:22', '2222', 'nas:22'),
                ('0:nas.omerta:22', '0', 'nas.omerta:22'),
                ('192.0.2.1:2222:10.0.0.100:22', '192.0.2.1:2222', '10.0.0.100:22'),
                ('[::1]:2222:[fd00::1]:22', '[::1]:2222', '[fd00::1]:22'),
                ('2222:[fd00::1]:22', '2222', '[fd00::1]:22'),
                ('/run/a:b:nas:22', '/run/a:b', 'nas:22'),
                ('2222::22', '2222', ':22')):  # what is not split is the daemon's to refuse
            with self.subTest(text):
                self.fake.calls.clear()
                self.assertEqual(self.ok('forward', text).out, '127.0.0.1:40000\n')
                (_, _, arguments, _), = self.called('Network.AddForward')
                self.assertEqual(list(arguments), ['local', listen, target, {}])
        for words, listen, target in (
                (['expose', '22'], '22', '22'), (['expose', '80:8080'], '80', '8080'),
                (['expose', '80:[::1]:8080'], '80', '[::1]:8080'),
                (['forward', '-R', '80:localhost:8080'], '80', 'localhost:8080'),
                (['forward', '--reverse', '22'], '22', '22')):
            with self.subTest(words):
                self.fake.calls.clear()
                self.ok(*words)
                (_, _, arguments, _), = self.called('Network.AddForward')
                self.assertEqual(list(arguments), ['reverse', listen, target, {}])
        self.fake.calls.clear()
        self.ok('expose', '--keep', '22')
        self.assertEqual(self.called('Network.AddForward')[0][2][3], {'persistent': True})
        shown = json.loads(self.ok('forward', '0:nas:22', '--json').out)
        self.assertEqual((shown['id'], shown['listen'], shown['persistent'], shown['state_reason']),
                         (3, '127.0.0.1:40000', False, None))
        self.forward(3, Listen='22', State='waiting', StateReason='the network is down')
        r = self.omerta('expose', '22')
        self.assertEqual((r.out, r.err), ('22\n', 'It waits: the network is down.\n'))
        self.fake.answers['Network.AddForward'] = Error(ERROR + 'PortInUse', 'port 22 is taken')
        self.fails(1, 'expose', '22', says='omerta forwards')

    def test_forwards(self):
        self.home()
        self.assertEqual(json.loads(self.ok('forwards', '--json').out), {'forwards': []})
        self.forward(10, Persistent=True, State='failed', StateReason='in use', Failed=2)
        self.forward(9, Direction='reverse', Listen='22', Target='127.0.0.1:22', Active=1,
                     Accepted=5, TurnedAway=1, BytesToTarget=2048, BytesFromTarget=1)
        rows = self.ok('forwards').rows()
        self.assertEqual(rows[1][:8], ['9', 'reverse', '22', '127.0.0.1:22', 'no', 'listening', '1', '5'])
        self.assertEqual(rows[2][:6], ['10', 'local', '127.0.0.1:2222', 'nas:22', 'yes', 'failed'])
        shown = json.loads(self.ok('forwards', '--json').out)['forwards']
        self.assertEqual(shown[0], dict(
            network='home', id=9, direction='reverse', listen='22', target='127.0.0.1:22',
            persistent=False, state='listening', state_reason=None, active=1, accepted=5, failed=0,
            turned_away=1, bytes_to_target=2048, bytes_from_target=1))
        self.ok('unforward', '10')
        self.assertEqual([c[0] for c in self.called('Forward.Remove')], [f'{HOME}/forward/10'])
        self.fake.answers['Forward.Remove'] = Error(DBUS_ERROR + 'UnknownObject')
        self.fails(4, 'unforward', '10', says='no forward 10')

    # What goes wrong

    def test_errors(self):
        self.home()
        for name, code, says in (
                ('NotJoined', 4, 'omerta network join'),
                ('NoSuchNetwork', 4, 'network list'),
                ('NoSuchMachine', 4, 'network peers'),
                ('Ambiguous', 4, 'more characters'),
                ('AlreadyMember', 1, 'leave'),
                ('NameTaken', 1, 'another name'),
                ('InvalidArgument', 2, 'omerta(1)'),
                ('InviteInvalid', 1, 'new one'),
                ('InviteExpired', 1, 'new one'),
                ('InviteUsed', 1, '--uses'),
                ('NoSuchInvite', 4, 'network invites'),
                ('NotGateway', 1, 'network show'),
                ('PoolEmpty', 1, 'revoke'),
                ('NoAddress', 4, 'omerta status'),
                ('Timeout', 6, 'UDP'),
                ('Unreachable', 1, '18002'),
                ('PortInUse', 1, 'omerta forwards'),
                ('NotPermitted', 5, 'omerta(1)'),
                ('NotSupported', 1, 'omerta nc'),
                ('InterfaceUnavailable', 1, '/dev/net/tun'),
                ('LimitReached', 1, 'Remove'),
                ('StateDamaged', 1, 'backup'),
                ('Failed', 1, 'journalctl'),
                ('FromTheFuture', 1, 'journalctl')):
            with self.subTest(name):
                self.fake.answers['Manager.Join'] = Error(ERROR + name, 'the daemon says why')
                r = self.fails(code, 'network', 'join', LINK, says=says)
                self.assertTrue(r.err.startswith('omerta: the daemon says why\n'), r.err)
                self.fake.answers['Manager.Join'] = Error(ERROR + name)
                r = self.fails(code, 'network', 'join', LINK, says=says)
                self.assertRegex(r.err, r'^omerta: [A-Z].*\.')

    def test_bus_errors(self):
        self.home()
        for name, code, says in (
                ('AccessDenied', 5, 'polkit'),
                ('InteractiveAuthorizationRequired', 5, 'pkttyagent'),
                ('NoReply', 3, 'systemctl status'),
                ('Timeout', 6, 'systemctl status'),
                ('UnknownMethod', 3, 'omerta version')):
            with self.subTest(name):
                self.fake.answers['Network.Up'] = Error(DBUS_ERROR + name, 'words of the bus')
                r = self.fails(code, 'up', says=says)
                self.assertNotIn('words of the bus', r.err)

        self.fake.answers['Network.Up'] = Error(
            DBUS_ERROR + 'AccessDenied', "org.omerta.Mesh1.connect: needs a password")
        self.fails(5, 'up', says='omerta: org.omerta.Mesh1.connect: needs a password\n')
        self.fake.answers['Network.Up'] = Error(
            DBUS_ERROR + 'InteractiveAuthorizationRequired', "org.omerta.Mesh1.connect: needs it")
        self.fails(5, 'up', says="needs an administrator's password, and nobody could be asked")

    def test_older_daemon(self):
        self.home()
        methods = self.fake.interfaces['org.omerta.Mesh1.Network'][0]
        invites = methods.pop('ListInvites')
        try:
            self.fails(3, 'network', 'invites', says='another version')
        finally:
            methods['ListInvites'] = invites

    def test_properties_of_other_versions(self):
        self.home()
        values = self.fake.objects[HOME]['org.omerta.Mesh1.Network']
        del values['Subnet']
        values['Later'] = fake.dbus.Array([fake.dbus.Struct((1, 'x'))], signature='(is)')
        values['Mtu'] = fake.dbus.String('big')
        network = self.json('network', 'show')
        self.assertEqual((network['subnet'], network['mtu']), (None, 0))
        self.assertEqual(network['address'], '10.0.0.100')

    def test_no_answer(self):
        self.home()
        for answer in ('Manager.GetNetwork', 'Network.Up'):
            self.fake.answers[answer] = Silence()
            self.fails(6, 'up', environment={'SYSTEMD_BUS_TIMEOUT': '200ms'}, says='in time')

    def test_no_bus(self):
        for words in ([], ['up'], ['network', 'peers']):
            self.fails(3, *words, environment={
                'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}, says='system bus')
        self.fails(3, '--user', 'status', says='user bus')
        self.assertEqual(self.omerta('version', environment={
            'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}).code, 0)

    def test_user_bus(self):
        self.home()
        user = {'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent',
                'DBUS_SESSION_BUS_ADDRESS': self.bus.address}
        self.assertIn('home: online', self.ok('status', '--user', environment=user).out)
        self.fails(3, '--user', '--system', 'status', environment=user)
        self.assertIn('home: online', self.ok('status', environment=user).out)

    def test_daemon_absent(self):
        with fake.Bus() as empty:
            there = {'DBUS_SYSTEM_BUS_ADDRESS': empty.address}
            for words in ([], ['status', '--json'], ['up'], ['network', 'peers'],
                          ['network', 'join', LINK]):
                self.fails(3, *words, environment=there, says='systemctl start omertad')
            self.assertEqual(self.omerta('version', environment=there).out.count('\n'), 1)
            started = f'{empty.directory}/started'
            empty.offer_service(f"/bin/sh -c 'touch {started}; exit 1'")
            # Asking for versions starts nothing.
            self.assertEqual(self.omerta('version', environment=there).code, 0)
            self.assertFalse(os.path.exists(started))
            # Nor does looking: what was stopped stays stopped.
            for words in (['status'], ['network', 'peers'], ['ping', 'gw'], ['network', 'invites']):
                self.fails(3, *words, environment=there, says='not running')
            self.assertFalse(os.path.exists(started))
            self.fails(3, 'network', 'create', 'x', environment=there, says='could not be started')
            self.assertTrue(os.path.exists(started))

    def started(self, *arguments):
        """A command that goes on, on a terminal of its own: the process, and what reads it."""
        mine, its = pty.openpty()
        p = subprocess.Popen(
            [OMERTA, *arguments], stdin=subprocess.DEVNULL, stdout=its, stderr=its,
            env={'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8',
                 'DBUS_SYSTEM_BUS_ADDRESS': self.bus.address,
                 'DBUS_SESSION_BUS_ADDRESS': 'unix:path=/nonexistent',
                 'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '')})
        os.close(its)
        text = b''

        def until(part):
            nonlocal text
            while part is None or part.encode() not in text:
                try:
                    more = os.read(mine, 4096)
                except OSError:  # the other end is closed
                    more = b''
                if not more:
                    self.assertIsNone(part, text)
                    os.close(mine)
                    break
                text += more
            return text.decode()
        return p, until

    def test_ping_goes_on(self):
        self.home()
        self.fake.answers['Manager.Ping'] = (1300, machine('gateway'))

        def work():
            p, until = self.started('ping', 'gw', '-i', '10ms')
            until('(10.0.0.1): 6: 1.3 ms, direct')
            p.send_signal(signal.SIGINT)
            return until(None), p.wait()
        text, code = self.fake.serve(work)
        self.assertEqual(code, 0, text)
        self.assertIn(' 0% lost; round trip 1.3 ms to 1.3 ms', text)
        # One that is not answered yet is no reason to wait.
        self.fake.answers['Manager.Ping'] = Silence()

        def work():
            p, until = self.started('ping', 'gw')
            while not self.called('Manager.Ping'):
                time.sleep(0.01)
            p.send_signal(signal.SIGINT)
            return until(None), p.wait()
        self.fake.calls.clear()
        text, code = self.fake.serve(work)
        self.assertEqual(code, 6, text)
        self.assertIn('0 sent, 0 received', text)

    def test_status_watch(self):
        self.home()

        def work():
            p, until = self.started('status', '--watch')
            until('home: online')
            fake.GLib.idle_add(self.fake.change, HOME, 'Network', 'State', 'offline')
            until('home: offline')
            p.send_signal(signal.SIGINT)
            return until(None), p.wait()
        text, code = self.fake.serve(work)
        self.assertEqual(code, 0, text)

    def test_help(self):
        for words in (['help'], ['help', 'network'], ['help', 'network', 'join'], ['help', 'ping']):
            self.assertEqual(self.ok(*words).out, self.ok(*words[1:], '--help').out)
        self.fails(2, 'help', 'nothing')
        self.assertEqual(self.ok('-V').out, self.ok('--version').out)

    def test_invite_left_out(self):
        self.home()
        self.fake.answers['Network.Invite'] = (LINK,)
        self.fake.objects[ROOT]['org.omerta.Mesh1.Manager']['Endpoints'] = fake.typed(
            'as', [f'192.0.2.{i}:18002' for i in range(1, 9)])
        r = self.omerta('network', 'invite')
        self.assertEqual((r.out, r.err), (LINK + '\n', ''))
        r = self.omerta('network', 'invite', '--endpoint', '203.0.113.1:1')
        self.assertEqual(r.out, LINK + '\n')
        self.assertIn('not in it: 192.0.2.8:18002. ', r.err)

    def test_unit_absent(self):
        """systemd is asked how the unit is; nobody waits for what cannot come."""
        with fake.Bus() as bus:
            there = {'DBUS_SYSTEM_BUS_ADDRESS': bus.address}
            systemd = fake.Systemd(bus)
            started = f'{bus.directory}/started'
            bus.offer_service(f"/bin/sh -c 'touch {started}; exit 1'")
            fails = lambda says, *words: self.fails(
                3, *(words or ['status']), environment=there, says=says)

            systemd.unit = dict(LoadState='not-found', ActiveState='inactive')
            fails('systemctl daemon-reload')
            systemd.unit = dict(LoadState='masked', ActiveState='inactive', UnitFileState='masked')
            fails('systemctl unmask omertad')
            systemd.unit = dict(LoadState='loaded', ActiveState='inactive', UnitFileState='disabled')
            fails('sudo systemctl enable --now omertad')
            fails('sudo systemctl enable --now omertad', 'network', 'create', 'x')
            systemd.unit['UnitFileState'] = 'enabled'
            fails("has been stopped\nStart it with 'sudo systemctl start omertad'")
            systemd.unit.update(ActiveState='failed', Result='exit-code', StatusText='no luck')
            fails('omertad has failed (exit-code: no luck)')
            systemd.unit.update(ExecMainStatus=217, StatusText='')
            fails('sudo systemd-sysusers')
            systemd.unit.update(ActiveState='activating', StatusText='waits 30 s')
            fails('omertad is not on the bus (systemd: activating: waits 30 s)')
            fails('systemctl reload dbus', 'up')
            self.assertFalse(os.path.exists(started))
            # Enabled and stopped: who asks for a change starts it.
            systemd.unit.update(ActiveState='inactive', StatusText='', ExecMainStatus=0)
            fails('has been stopped', 'up')
            self.assertTrue(os.path.exists(started))
            systemd.close()


def mock_iso(usec):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(usec // SECOND))


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
