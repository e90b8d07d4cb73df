#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manual pages and completions say what the program and the API are.

Arguments: the program, the root of the source.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

OMERTA, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COMPLETIONS = ('omerta.bash', '_omerta', 'omerta.fish')
GLOBAL = {'help', 'version', 'json', 'network', 'system', 'user'}
XML = ('Manager', 'Network', 'Machine', 'Session', 'Lease')


def read(path):
    with open(f'{SOURCE}/{path}') as f:
        return f.read()


def omerta_help(*words):
    return subprocess.run(
        [OMERTA, *words, '--help'], check=True, capture_output=True, text=True,
        env={'LC_ALL': 'C.UTF-8'}).stdout


def commands():
    """['network', 'join'], ... as the program's own table has them."""
    lines = omerta_help().split('Commands:\n')[1].split('\n\n')[0].splitlines()
    return [[w for w in line[2:34].split() if w.islower()] for line in lines]


def options(command):
    return set(re.findall(r'^ +(?:-., )?--([a-z-]+)', omerta_help(*command), re.M))


class DocsTest(unittest.TestCase):
    def test_manual_of_omerta(self):
        page = read('docs/man/omerta.1')
        for command in commands():
            words = ' '.join(command)
            entry = re.search(rf'^\.It Cm {words}( |$).*?(?=^\.It Cm|^\.El\n\.S)', page, re.M | re.S)
            self.assertTrue(entry, f'{words} is not in omerta(1)')
            for option in options(command) - GLOBAL:
                self.assertIn(f'Fl -{option}', entry[0], f'--{option} of {words}')
        for option in GLOBAL:
            self.assertRegex(page, rf'(?m)^\.It Fl .*-{option}\b')

    def test_json_keys(self):
        page = read('docs/man/omerta.1').split('.Sh JSON')[1].split('.Sh ')[0]
        keys = set(re.findall(
            r'cli_json_(?:string|strings|bool|count|usec|begin_array)\(b, "([a-z0-9_]+)"',
            ''.join(read(f'cli/{f}') for f in os.listdir(f'{SOURCE}/cli') if f.endswith('.c'))))
        times = set(re.findall(r'cli_json_time\(b, "([a-z_]+)"', read('cli/json.c')))
        self.assertGreater(len(keys), 40)
        for key in keys | times | {f'{t}_usec' for t in times}:
            self.assertRegex(page, rf'\b{key}\b')

    def test_manual_of_omertad(self):
        page = read('docs/man/omertad.8')
        try:
            main = read('service/main.c')
        except FileNotFoundError:
            self.skipTest('there is no service/main.c')
        found = re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument', main)
        self.assertGreater(len(found), 5)
        for option in found:
            self.assertRegex(page, rf'(?m)^\.It Fl .*-{option}\b')

    def test_who_may_do_what(self):
        rows = {}
        for line in read('docs/security.md').splitlines():
            m = re.fullmatch(r'\| ((?:`\w+\.\w+`(?:, )?)+) \| (?:`([a-z-]+)`|everybody) \| (.*) \|', line)
            for name in re.findall(r'`(\w+\.\w+)`', m[1]) if m else ():
                self.assertNotIn(name, rows)
                rows[name] = m[2], m[3]
        policy = ElementTree.parse(f'{SOURCE}/data/org.omerta.Mesh1.policy').getroot()
        defaults = {a.get('id').rsplit('.', 1)[1]: [d.text for d in a.find('defaults')]
                    for a in policy.iter('action')}
        page = read('docs/man/org.omerta.Mesh1.5')
        for file in os.listdir(f'{SOURCE}/dbus'):
            for method in re.finditer(r'((?:<!--(?:(?!-->).)*-->\s*)?)<method name="(\w+)"',
                                      read(f'dbus/{file}') if file.endswith('.xml') else '', re.S):
                name = f'{file.split(".")[-2]}.{method[2]}'
                self.assertIn(name, rows, 'in docs/security.md')
                action, default = rows.pop(name)
                said = re.findall(r'polkit: ([a-z-]+)', method[1])
                if method[2] != 'Down':  # described with Up
                    self.assertEqual(said, [action] if action else [], name)
                section = page.split(f'.Ss org.omerta.Mesh1.{name.split(".")[0]}\n')[1].split('\n.Ss')[0]
                entry = re.search(rf'^\.It Fn {method[2]}\b.*\n((?:.*\n)*?)(?=\.(?:It|El))', section, re.M)
                if method[2] != 'Up':  # described with Down
                    self.assertEqual(re.findall(r'^polkit: ([a-z-]+)', entry[1], re.M),
                                     [action] if action else [], f'{name} in org.omerta.Mesh1(5)')
                if action:
                    # of anybody, of who is logged in, of who sits at the machine
                    self.assertEqual(defaults[action], {
                        'an administrator\'s password': ['auth_admin', 'auth_admin', 'auth_admin_keep'],
                        'who sits at the machine': ['auth_admin', 'auth_admin', 'yes'],
                        'every user': ['yes', 'yes', 'yes']}[default], name)
        self.assertEqual(rows, {})

    def test_manual_of_the_api(self):
        page = read('docs/man/org.omerta.Mesh1.5')
        for name in XML:
            root = ElementTree.parse(f'{SOURCE}/dbus/org.omerta.Mesh1.{name}.xml').getroot()
            section = page.split(f'.Ss org.omerta.Mesh1.{name}\n')[1].split('\n.S')[0]
            members = set()
            for method in root.iter('method'):
                arguments = [f'{a.get("direction")} {a.get("type")} {a.get("name")}'
                             for a in method.iter('arg')]
                members.add((method.get('name'), ''.join(f' "{a}"' for a in arguments)))
            for signal in root.iter('signal'):
                members.add((signal.get('name'), ''.join(
                    f' "{a.get("type")} {a.get("name")}"' for a in signal.iter('arg'))))
            self.assertEqual(
                set(re.findall(r'^\.It Fn (\w+)(.*)$', section, re.M)), members, name)

            properties = set()
            for p in root.iter('property'):
                emits = [a.get('value') for a in p.iter('annotation')
                         if a.get('name').endswith('EmitsChangedSignal')]
                mark = {'const': ', const', 'false': ', read'}.get(*emits or [''], '')
                properties.add((p.get('name'), p.get('type') + mark))
            self.assertEqual(
                set(re.findall(r'^\.It Va (\w+) No (.*)$', section, re.M)), properties, name)

    def test_errors(self):
        names = re.findall(r'define (OMERTA_ERROR_\w+) OMERTA_ERROR_PREFIX "(\w+)"',
                           read('dbus/names.h'))
        self.assertGreater(len(names), 15)
        section = read('docs/man/org.omerta.Mesh1.5').split('.Ss Errors')[1].split('\n.S')[0]
        self.assertEqual(set(re.findall(r'^\.It (\w+)$', section, re.M)), {n for _, n in names})
        texts = read('dbus/error.c')
        for macro, _ in names:
            self.assertIn(f'{{ {macro}, ', texts)

    def test_completions(self):
        for file in COMPLETIONS:
            text = read(f'data/completions/{file}')
            for command in commands():
                for word in command:
                    self.assertRegex(text, rf'(?m)(^|[ \'"]){word}\b', file)
                for option in options(command):
                    self.assertRegex(text, rf'-l {option}\b|--{option}\b', file)

    @unittest.skipUnless(shutil.which('bash'), 'there is no bash')
    def test_bash(self):
        """What bash really offers, against the program's tables."""
        def complete(*words):
            script = (f'source {SOURCE}/data/completions/omerta.bash; compopt() {{ :; }}; '
                      'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _omerta; '
                      'printf "%s\\n" "${COMPREPLY[@]}"')
            r = subprocess.run(
                ['bash', '--norc', '-c', script, 'bash', 'omerta', *words], check=True,
                capture_output=True, text=True)
            self.assertEqual(r.stderr, '')
            return set(r.stdout.split())

        self.assertEqual(complete(''), {c[0] for c in commands()})
        self.assertEqual(complete('--json', 'net'), {'netcheck', 'network'})
        for noun in ('network', 'mesh', 'dhcp', 'tunnel'):
            verbs = {c[1] for c in commands() if c[0] == noun}
            self.assertEqual(complete(noun, ''), verbs)
            self.assertEqual(complete('-n', 'home', noun, ''), verbs)
        for command in commands():
            self.assertEqual(complete(*command, '--'), {f'--{o}' for o in options(command)})
        self.assertEqual(complete('network', 'invite', '--expires', '2'), {'24h'})
        self.assertEqual(complete('network', 'invite', '--expires', '=', '2'), {'24h'})
        self.assertEqual(complete('network', 'list', ''), set())
        # Before there is a command, and after the end of the options.
        self.assertIn('--json', complete('--'))
        self.assertIn('--json', complete('--json', '--'))
        self.assertEqual(complete('--', 'net'), {'netcheck', 'network'})

    @unittest.skipUnless(shutil.which('mandoc'), 'there is no mandoc')
    def test_lint(self):
        for page in os.listdir(f'{SOURCE}/docs/man'):
            r = subprocess.run(
                ['mandoc', '-Tlint', '-W', 'warning', f'{SOURCE}/docs/man/{page}'],
                capture_output=True, text=True)
            # What it cannot find here are the pages of other packages.
            self.assertEqual(r.stdout, '', page)

    @unittest.skipUnless(shutil.which('zsh'), 'there is no zsh')
    def test_zsh_syntax(self):
        subprocess.run(['zsh', '-n', f'{SOURCE}/data/completions/_omerta'], check=True)

    @unittest.skipUnless(shutil.which('fish'), 'there is no fish')
    def test_fish_syntax(self):
        subprocess.run(['fish', '-n', f'{SOURCE}/data/completions/omerta.fish'], check=True)

    def test_translations(self):
        listed = set(read('po/POTFILES.in').split())
        for directory in ('cli', 'dbus'):
            for file in os.listdir(f'{SOURCE}/{directory}'):
                text = read(f'{directory}/{file}') if file.endswith('.c') else ''
                if re.search(r'\bN?_\("', text):
                    self.assertIn(f'{directory}/{file}', listed)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
