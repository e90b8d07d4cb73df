#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""omerta doctor against a fake omertad, a fake systemd and a machine made of files: everything is
well, then one thing after the other is not. Arguments: as test_cli.py."""

import json
import os
import pathlib
import tempfile
import unittest

import fake
import test_cli  # its names only: its tests are run there
from fake import Error, Fake, Systemd
from test_cli import API, HOUR, NOW

U16, U32, U64 = fake.dbus.UInt16, fake.dbus.UInt32, fake.dbus.UInt64
BOOL = fake.dbus.Boolean

ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 0102A8C0 0003 0 0 100 00000000 0 0 0
eth0 0002A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
omerta0 0000000A 00000000 0001 0 0 0 0000FFFF 0 0 0
"""
ADDRESSES6 = "fd000000000000000000000000000064 05 40 00 80  omerta0\n"
UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  101: 00000000:4652 00000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 1 2 0 0
"""
OPEN = "table inet filter {\n chain input {\n  type filter hook input priority 0; policy accept;\n }\n}\n"


def trains_lost(*addresses):
    return fake.dbus.Array([fake.dbus.Struct((a, U32(n))) for a, n in addresses], signature='(su)')


class DoctorTest(unittest.TestCase):
    maxDiff = None
    home, daemon, get_network, omerta = (
        test_cli.CliTest.home, test_cli.CliTest.daemon, test_cli.CliTest.get_network,
        test_cli.CliTest.omerta)

    @classmethod
    def setUpClass(cls):
        cls.bus = cls.enterClassContext(fake.Bus())
        cls.fake = Fake(cls.bus, API)
        cls.systemd = Systemd(cls.bus)
        cls.polkit = fake.dbus.bus.BusConnection(cls.bus.address)

    @classmethod
    def tearDownClass(cls):
        cls.systemd.close()
        cls.polkit.close()

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.root = pathlib.Path(self.directory) / 'root'
        self.fake.reset()
        self.fake.answers['Manager.GetNetwork'] = self.get_network
        self.home()
        self.systemd.unit = dict(LoadState='loaded', ActiveState='active', UnitFileState='enabled')
        self.polkit.request_name('org.freedesktop.PolicyKit1')
        self.health = {
            'state-directory': '/var/lib/omerta', 'state-trouble': '', 'clock-trouble': '',
            'clock-synchronised': BOOL(True), 'ipv6': BOOL(True), 'receive-buffer': U32(163840),
            'receive-buffer-wanted': U32(163840), 'started': U64(NOW + HOUR),
            'trains-lost': trains_lost()}
        self.fake.answers['Manager.GetHealth'] = lambda path: (
            fake.dbus.Dictionary(self.health, signature='sv'),)
        for name, text in {
                'proc/net/route': ROUTES, 'proc/net/if_inet6': ADDRESSES6, 'proc/net/udp': UDP,
                'proc/cpuinfo': 'flags : sse aes avx \n',
                'proc/sys/net/ipv4/conf/all/rp_filter': '0\n',
                'proc/sys/net/ipv6/conf/all/disable_ipv6': '0\n',
                'sys/class/net/omerta0/flags': '0x1091\n',
                'sys/class/net/omerta0/tun_flags': '0x5001\n',
                'usr/sbin/omertad': '', 'usr/local/sbin/omertad': ''}.items():
            self.write(name, text)
        self.status(os.getuid(), 990)
        self.write('etc/passwd', f'root:x:0:0::/:/bin/sh\nkim:x:{os.getuid() or 7}:7::/:/bin/sh\n'
                                 'omerta:x:61234:990::/:/bin/sh\n')
        self.write('etc/group', 'root:x:0:\nomerta:x:990:\ndocker:x:991:omerta\nodd:x:y:\n')
        (self.root / 'var/lib/omerta').mkdir(parents=True)
        (self.root / 'var/lib/omerta').chmod(0o700)
        self.programs = {'nft': OPEN, 'iptables': None, 'firewall-cmd': None}
        properties = self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']
        properties['Cipher'] = 'AES-256-GCM (libipsec-mb)'
        properties['TcpPort'] = U16(0)

    def status(self, uid, gid, *groups):
        """Whose process the daemon is, as the kernel has it."""
        self.write(f'proc/{os.getpid()}/status', f'Name:\tomertad\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n'
                   f'Gid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t{" ".join(map(str, groups))} \n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def install(self):
        """Programs that print what they are to, or may not see it."""
        bin = pathlib.Path(self.directory) / 'bin'
        bin.mkdir(exist_ok=True)
        for name, text in self.programs.items():
            program = bin / name
            (bin / f'{name}.out').write_text(text or '')
            program.write_text(f'#!/bin/sh\n/bin/cat {bin}/{name}.out\nexit {0 if text else 1}\n')
            program.chmod(0o755)
        return f'{bin}:{os.environ["PATH"]}'

    def run_doctor(self, *words, **environment):
        return self.omerta('doctor', *words, environment={
            'OMERTA_DOCTOR_ROOT': str(self.root), 'PATH': self.install(), **environment})

    def doctor(self, code, check=None, verdict=None, fix=None):
        """Runs it; that check alone has something to say, and says how it is mended."""
        r = self.run_doctor('--json')
        answer = json.loads(r.out)
        bad = {c['check']: c for c in answer['checks'] if c['verdict'] != 'fine'}
        self.assertEqual((r.code, sorted(bad), r.err), (code, [check] if check else [], ''), r.out)
        if check:
            self.assertEqual(bad[check]['verdict'], verdict)
            self.assertEqual(answer['verdict'], verdict)
            if fix:
                self.assertIn(fix, bad[check]['fix'])
        return answer

    def test_all_is_well(self):
        answer = self.doctor(0)
        self.assertEqual(answer['verdict'], 'fine')
        self.assertEqual({c['check'] for c in answer['checks']}, {
            'unit', 'daemon', 'polkit', 'network', 'certificate', 'clock', 'state', 'buffer', 'trains',
            'interface', 'conflict', 'rp_filter', 'ipv6', 'port', 'cipher', 'firewall',
            *(['groups'] if os.getuid() else [])})
        out = self.run_doctor().out
        self.assertRegex(out, r'(?m)^ok +interface +omerta0 is up')
        self.assertNotIn('->', out)

    def test_text(self):
        self.write('sys/class/net/omerta0/flags', '0x1090\n')
        r = self.run_doctor()
        self.assertEqual(r.code, 1)
        self.assertRegex(r.out, r'(?m)^broken +interface +omerta0 is switched off\n'
                                r' +-> sudo ip link set omerta0 up$')

    def test_unit(self):
        for unit, verdict, fix in (
                ({'LoadState': 'not-found'}, 'broken', 'daemon-reload'),
                ({'LoadState': 'masked'}, 'broken', 'unmask omertad'),
                ({'ActiveState': 'failed', 'Result': 'exit-code'}, 'broken', 'journalctl -u omertad'),
                ({'ActiveState': 'inactive'}, 'broken', 'enable --now omertad'),
                ({'UnitFileState': 'disabled'}, 'warning', 'systemctl enable omertad')):
            with self.subTest(unit):
                self.systemd.unit = dict(
                    LoadState='loaded', ActiveState='active', UnitFileState='enabled') | unit
                self.doctor(1 if verdict == 'broken' else 7, 'unit', verdict, fix)

    def test_daemon(self):
        self.health['started'] = U64(NOW - 24 * HOUR)
        self.doctor(7, 'daemon', 'warning', 'systemctl restart omertad')
        self.health['started'] = U64(NOW + HOUR)
        self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']['Version'] = '0.0.9'
        self.doctor(7, 'daemon', 'warning', 'systemctl restart omertad')

    def test_no_daemon(self):
        """What can be seen without it is still seen."""
        with fake.Bus() as empty:
            r = self.run_doctor('--json', DBUS_SYSTEM_BUS_ADDRESS=empty.address)
            checks = {c['check']: c for c in json.loads(r.out)['checks']}
        self.assertEqual(r.code, 1)
        self.assertEqual(checks['daemon']['verdict'], 'broken')
        self.assertEqual(checks['unit']['verdict'], 'unseen')
        self.assertEqual(checks['port']['verdict'], 'warning')
        self.assertIn('user 998', checks['port']['text'])
        self.assertIn('firewall', checks)
        r = self.run_doctor('--json', DBUS_SYSTEM_BUS_ADDRESS='unix:path=/nonexistent')
        self.assertEqual(r.code, 1)
        self.assertTrue(json.loads(r.out))

    def test_older_daemon(self):
        """It does not know GetHealth: what it would say is left out."""
        self.fake.answers['Manager.GetHealth'] = Error('org.freedesktop.DBus.Error.UnknownMethod')
        answer = self.doctor(0)
        self.assertNotIn('clock', {c['check'] for c in answer['checks']})

    def test_polkit(self):
        self.polkit.release_name('org.freedesktop.PolicyKit1')
        self.doctor(7, 'polkit', 'warning', 'polkit')

    def test_network(self):
        for state, verdict, fix in (
                ('offline', 'warning', 'mesh status'), ('down', 'warning', 'omerta up'),
                ('failed', 'broken', 'restart omertad'), ('revoked', 'broken', 'network leave'),
                ('conflict', 'broken', None)):
            with self.subTest(state):
                self.home(State=state, StateReason='because')
                self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']['Cipher'] = 'x (libipsec-mb)'
                answer = self.doctor(1 if verdict == 'broken' else 7, 'network', verdict, fix)
                self.assertIn('because', str(answer))

    def test_names(self):
        for name, code, verdict in (('localhost', 0, None), ('nosuch.invalid', 7, 'warning')):
            self.home(Endpoints=[f'{name}:18002'])
            self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']['Cipher'] = 'x (libipsec-mb)'
            answer = self.doctor(code, 'names' if verdict else None, verdict)
            self.assertIn(name, str([c for c in answer['checks'] if c['check'] == 'names']))

    def test_certificate(self):
        for end, verdict in ((NOW - HOUR, 'broken'), (NOW + 24 * HOUR, 'warning')):
            self.home(CertificateExpires=end)
            self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']['Cipher'] = 'x (libipsec-mb)'
            self.doctor(1 if verdict == 'broken' else 7, 'certificate', verdict, 'omerta ping')

    def test_health(self):
        for values, code, check, verdict, fix in (
                ({'clock-trouble': 'it is 1970'}, 1, 'clock', 'broken', 'repair-time'),
                ({'clock-synchronised': BOOL(False)}, 7, 'clock', 'warning', 'set-ntp'),
                ({'state-trouble': 'no space left'}, 1, 'state', 'broken', 'df'),
                ({'receive-buffer': U32(4096)}, 7, 'buffer', 'warning', 'net.core.rmem_max=163840'),
                ({'trains-lost': trains_lost(('127.0.0.1', 2))}, 7, 'trains', 'warning', 'driver'),
                ({'later': U32(1)}, 0, None, None, None)):
            with self.subTest(values):
                before = dict(self.health)
                self.health.update(values)
                self.doctor(code, check, verdict, fix)
                self.health = before

    def test_trains(self):
        """The interface, where there is one; what one machine says is no trouble of this one."""
        self.health['trains-lost'] = trains_lost(('127.0.0.1', 2), ('203.0.113.77', 5), ('', 3))
        texts = [c['text'] for c in self.doctor(7, 'trains', 'warning')['checks']
                 if c['check'] == 'trains']
        self.assertEqual(texts, [f'trains of datagrams are lost on {place}; sending singly'
                                 for place in ('lo', '203.0.113.77', 'an interface')])
        self.health['trains-lost'] = trains_lost(('127.0.0.1', 1))
        checks = [c for c in self.doctor(0)['checks'] if c['check'] == 'trains']
        self.assertEqual([(c['verdict'], c['fix']) for c in checks], [('fine', None)])
        self.assertIn('to one machine are lost on lo', checks[0]['text'])
        del self.health['trains-lost']
        self.assertNotIn('trains', {c['check'] for c in self.doctor(0)['checks']})

    def test_state_directory(self):
        (self.root / 'var/lib/omerta').chmod(0o755)
        self.doctor(1, 'state', 'broken', 'chmod 0700 /var/lib/omerta')
        (self.root / 'var/lib/omerta').rmdir()
        self.doctor(0, 'state', 'unseen')

    def test_owner(self):
        state = self.root / 'var/lib/omerta'
        (state / 'omerta.db').write_text('')
        self.status(os.getuid(), 990)
        self.doctor(0)
        # What the daemon says itself is not all: it cannot know why.
        self.status(61234, 990)
        self.health['state-trouble'] = 'Permission denied'
        answer = self.doctor(1, 'state', 'broken', 'sudo chown -R omerta: /var/lib/omerta')
        text, = (c['text'] for c in answer['checks'] if c['check'] == 'state')
        self.assertIn('omertad runs as omerta', text)
        self.status(61235, 990)
        self.doctor(1, 'state', 'broken', 'sudo chown -R 61235: /var/lib/omerta')
        self.health['state-trouble'] = ''
        if os.getuid() == 0:  # only one file, brought back by somebody
            self.status(0, 0)
            os.chown(state / 'omerta.db', 61234, 990)
            answer = self.doctor(1, 'state', 'broken', 'sudo chown -R root: /var/lib/omerta')
            text, = (c['text'] for c in answer['checks'] if c['check'] == 'state')
            self.assertIn('/var/lib/omerta/omerta.db belongs to omerta', text)
        # A machine that does not say, or says nonsense.
        for text in '', 'Uid:\n', 'Uid:\tx\nGid:\t\nGroups:\t990 a -1 99999999999\n':
            self.write(f'proc/{os.getpid()}/status', text)
            self.doctor(0)

    def test_groups(self):
        self.status(61234, 990, 990)
        self.health['state-directory'] = ''
        answer = self.doctor(0)
        self.assertIn('groups', {c['check'] for c in answer['checks']})
        self.status(61234, 990, 990, 991, 4)
        answer = self.doctor(
            7, 'groups', 'warning',
            'sudo gpasswd --delete omerta docker; sudo gpasswd --delete omerta 4; '
            'sudo systemctl restart omertad')
        text, = (c['text'] for c in answer['checks'] if c['check'] == 'groups')
        self.assertIn('docker, 4', text)
        self.status(0, 0, 0, 991)  # has all rights anyway
        self.doctor(0)

    def test_lan(self):
        manager = self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']
        manager['LanInterfaces'] = fake.dbus.Array([], signature='s')
        manager['LanReason'] = "UDP port 18003 is another program's: Address already in use"
        self.doctor(7, 'lan', 'warning', 'ss -lunp')
        manager['LanReason'] = 'switched off'
        self.doctor(0)

    def test_interface(self):
        for name, text, code, fix in (
                ('sys/class/net/omerta0/flags', None, 1, 'restart omertad'),
                ('sys/class/net/omerta0/tun_flags', None, 1, 'restart omertad'),
                ('sys/class/net/omerta0/flags', '0x1090\n', 1, 'ip link set omerta0 up'),
                ('proc/net/if_inet6', '', 1, 'restart omertad'),
                ('sys/class/net/omerta0/tun_flags', '0x1001\n', 7, 'restart omertad'),
                ('proc/net/route', '\n'.join(ROUTES.splitlines()[:3]), 1, 'restart omertad')):
            with self.subTest((name, text)):
                before = (self.root / name).read_text()
                if text is None:
                    (self.root / name).unlink()
                else:
                    self.write(name, text)
                self.doctor(code, 'interface', 'broken' if code == 1 else 'warning', fix)
                self.write(name, before)

    def test_conflict(self):
        self.write('proc/net/route', ROUTES + 'wlan0 0005000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n')
        self.doctor(1, 'conflict', 'broken', 'IPv6 addresses')

    def test_default_route_in_disguise(self):
        self.write('proc/net/route', ROUTES + 'tun0 00000000 00000000 0001 0 0 0 00000080 0 0 0\n')
        self.doctor(0)

    def test_rp_filter(self):
        self.write('proc/sys/net/ipv4/conf/omerta0/rp_filter', '1\n')
        self.doctor(7, 'rp_filter', 'warning', 'net.ipv4.conf.omerta0.rp_filter=2')
        self.write('proc/sys/net/ipv4/conf/omerta0/rp_filter', '2\n')
        self.write('proc/sys/net/ipv4/conf/all/rp_filter', '1\n')
        self.doctor(0)  # the larger one counts, and eth0 is the only way out
        self.write('proc/net/route', ROUTES + 'eth1 00000000 0103A8C0 0003 0 0 200 00000000 0 0 0\n')
        self.doctor(7, 'rp_filter', 'warning', 'net.ipv4.conf.eth')

    def test_ipv6(self):
        self.write('proc/sys/net/ipv6/conf/all/disable_ipv6', '1\n')
        self.doctor(7, 'ipv6', 'warning', 'disable_ipv6=0')
        (self.root / 'proc/sys/net/ipv6/conf/all/disable_ipv6').unlink()
        self.doctor(7, 'ipv6', 'warning')

    def test_port(self):
        self.write('proc/net/udp', UDP.splitlines()[0] + '\n')
        self.doctor(1, 'port', 'broken', 'restart omertad')
        self.write('proc/net/udp6', UDP)
        self.doctor(0)

    def test_cipher(self):
        manager = self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']
        manager['Cipher'] = 'ChaCha20-Poly1305 (libsodium)'
        self.doctor(7, 'cipher', 'warning', 'libipsec-mb')
        self.write('proc/cpuinfo', 'flags : sse \n')
        self.doctor(0)

    def test_firewall(self):
        closed = OPEN.replace('policy accept', 'policy drop')
        ending = OPEN.replace('accept;\n', 'accept;\n  tcp dport 22 accept\n  drop\n')
        for rules, code in (
                (closed, 7), (ending, 7), (ending.replace('drop', 'reject with icmpx'), 7),
                (closed.replace('drop;\n', 'drop;\n  udp dport 18002 accept\n'), 0),
                (closed.replace('hook input', 'hook forward'), 0)):
            with self.subTest(rules):
                self.programs['nft'] = rules
                self.doctor(code, *(('firewall', 'warning', 'nft insert rule inet filter input')
                                    if code else ()))
        self.programs['nft'] = None
        self.doctor(0, 'firewall', 'unseen', 'sudo omerta doctor')
        self.programs['iptables'] = '-P INPUT DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT\n'
        self.doctor(7, 'firewall', 'warning', 'iptables -I INPUT -p udp --dport 18002')
        self.programs['iptables'] = '-P INPUT ACCEPT\n'
        self.doctor(0)

    def test_tcp_port(self):
        manager = self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']
        manager['TcpPort'] = U16(443)
        self.doctor(0)
        self.programs['nft'] = OPEN.replace('policy accept', 'policy drop').replace(
            'drop;\n', 'drop;\n  udp dport 18002 accept\n')
        self.doctor(7, 'firewall', 'warning', 'nft insert rule inet filter input tcp dport 443 accept')
        self.programs['nft'] = OPEN
        manager['TcpReason'] = 'TCP port 443 is taken by another program'
        self.doctor(7, 'port', 'warning', "ss -lntp 'sport = :443'")

    def test_firewalld(self):
        other = fake.dbus.bus.BusConnection(self.bus.address)
        other.request_name('org.fedoraproject.FirewallD1')
        try:
            self.doctor(7, 'firewall', 'warning', 'firewall-cmd --permanent --add-port=18002/udp')
            self.programs['firewall-cmd'] = 'yes\n'
            self.doctor(0)
        finally:
            other.close()

    def test_hostile_words(self):
        """What others have said is shown, and does nothing."""
        self.home(State='failed', StateReason='a\x1b[2Jb\nc')
        self.fake.objects[fake.ROOT]['org.omerta.Mesh1.Manager']['Cipher'] = 'x (libipsec-mb)'
        out = self.run_doctor().out
        self.assertNotIn('\x1b', out)
        self.assertNotIn('b\nc', out)


if __name__ == '__main__':
    unittest.main(argv=['test_doctor.py', '-v'])
