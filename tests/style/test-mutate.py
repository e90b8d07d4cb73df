#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tools/mutate takes for a mistake, and that it puts back what it changed."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("mutate", str(TOP / "tools" / "mutate"))
mutate = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
loader.exec_module(mutate)

SOURCE = """/* if (a < 1) nothing(); */
#define TWO 2
static int table[3];

static int f(int a, const char *p) {
        const char *text = "a < 1 && b == 2";

        assert(a > 7);
        if (a < 10 && *p != 'x')
                g(-1, a + 0x10U);
        (void) h->ops->call(text);
        return a;
}
"""
WANTED = {
    (9, "<", "<="), (9, "&&", "||"), (9, "!=", "=="), (9, "10", "11"), (9, "10", "9"),
    (9, "(a < 10 && *p != 'x')", "(!(a < 10 && *p != 'x'))"),
    (10, "1", "2"), (10, "1", "0"), (10, "+", "-"), (10, "0x10U", "17U"), (10, "0x10U", "15U"),
    (10, "g(-1, a + 0x10U)", "(void) 0"), (11, "(void) h->ops->call(text)", "(void) 0"),
}


class Passes:
    name = "passes"

    def __init__(self, file, sees):
        self.file, self.sees = file, sees

    def run(self):
        return self.sees(self.file.read_text())


with tempfile.TemporaryDirectory() as directory:
    file = pathlib.Path(directory) / "a.c"
    file.write_text(SOURCE)
    mutate.ROOT = pathlib.Path(directory)
    mistakes = mutate.mutants(file)
    got = {(m.line, m.old, m.new) for m in mistakes}
    assert got == WANTED, got ^ WANTED
    # Put back when it is noticed, when it is not, and when it is interrupted.
    for answer, result in ((False, "passes"), (True, "")):
        mutate.build = lambda tests: True
        seen = []
        test = Passes(file, lambda text: seen.append(text) or answer)
        assert mutate.try_mutant(mistakes[0], [test]) == result
        assert seen[0] != SOURCE and file.read_text() == SOURCE

    def interrupted(tests):
        raise KeyboardInterrupt
    mutate.build = interrupted
    try:
        mutate.try_mutant(mistakes[-1], [])
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        assert file.read_text() == SOURCE
