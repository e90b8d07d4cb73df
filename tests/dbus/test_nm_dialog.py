#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What nm-omerta-auth-dialog says to NetworkManager's secret agents.

Arguments: the program."""

import configparser
import os
import subprocess
import sys
import unittest

DIALOG = os.path.abspath(sys.argv[1])
LINK = 'omerta://join/veaqcasyealuhqqihly6'
SERVICE = 'org.freedesktop.NetworkManager.omerta'


def run(*options, data=(), secrets=(), stdin=None, service=SERVICE):
    text = ''.join(f'DATA_KEY={k}\nDATA_VAL={v}\n\n' for k, v in data)
    text += ''.join(f'SECRET_KEY={k}\nSECRET_VAL={v}\n\n' for k, v in secrets)
    return subprocess.run([DIALOG, '-u', 'a-b', '-n', 'mesh', '-s', service, *options],
                          input=text + 'DONE\n\nQUIT\n\n' if stdin is None else stdin,
                          capture_output=True, text=True, timeout=60,
                          env={'LC_ALL': 'C.UTF-8', 'ASAN_OPTIONS': 'detect_leaks=0'})


class DialogTest(unittest.TestCase):
    def asked(self, *options, **what):
        """ShouldAsk and Value of the description."""
        r = run('--external-ui-mode', *options, **what)
        self.assertEqual((r.returncode, r.stderr), (0, ''))
        self.assertTrue(r.stdout.startswith('[VPN Plugin UI]\nVersion=2\n'), r.stdout)
        file = configparser.ConfigParser()
        file.optionxform = str
        file.read_string(r.stdout)
        self.assertEqual(file.sections(), ['VPN Plugin UI', 'invite'])
        self.assertIn('mesh', file['VPN Plugin UI']['Description'])
        self.assertTrue(file['VPN Plugin UI']['Title'])
        self.assertEqual(file['invite']['IsSecret'], 'true')
        return file['invite']['ShouldAsk'] == 'true', file['invite']['Value']

    def test_asked_where_there_is_none(self):
        self.assertEqual(self.asked('-i'), (True, ''))
        self.assertEqual(self.asked('-i', data=[('invite-flags', '2')]), (True, ''))
        self.assertEqual(self.asked('-i', data=[('network', '')]), (True, ''))

    def test_not_asked(self):
        self.assertEqual(self.asked('-i', secrets=[('invite', LINK)]), (False, LINK))
        self.assertEqual(self.asked('-i', data=[('network', 'home')]), (False, ''))
        self.assertEqual(self.asked('-i', data=[('invite-flags', '4')]), (False, ''))
        self.assertEqual(self.asked(), (False, ''), 'nobody is there')

    def test_asked_again(self):
        self.assertEqual(self.asked('-i', '-r', secrets=[('invite', LINK)]), (True, LINK))
        self.assertEqual(self.asked('-i', '-t', 'invite', data=[('network', 'home')]), (True, ''))
        self.assertEqual(self.asked('-i', '-t', 'other', data=[('network', 'home')]), (False, ''))

    def test_without_a_description(self):
        r = run('-i', secrets=[('invite', LINK)])
        self.assertEqual((r.returncode, r.stdout), (0, f'invite\n{LINK}\n\n\n'))
        self.assertEqual(run('-i', data=[('network', 'home')]).stdout, '\n\n')
        r = run('-i')
        self.assertEqual((r.returncode, r.stdout), (1, ''))
        self.assertIn('external', r.stderr)

    def test_strange_input(self):
        for text in ('', 'hello\n', 'DATA_VAL=x\nDONE\n', 'DATA_KEY=' + 'a' * 100000, '\0' * 100):
            self.assertEqual(self.asked('-i', stdin=text), (True, ''))

    def test_refused(self):
        for r in (run(service='org.example'), run('--colour'), run(service='')):
            self.assertEqual((r.returncode, r.stdout), (1, ''))
            self.assertTrue(r.stderr.startswith('nm-omerta-auth-dialog: '), r.stderr)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
