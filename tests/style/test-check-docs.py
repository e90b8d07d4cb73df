#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Breaks a copy of the documents in one place at a time and looks at what tools/check-docs says."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

source = pathlib.Path(__file__).resolve().parents[2]
check = source / "tools/check-docs"

PROTOCOL = "docs/protocol.md"
MESSAGES = "service/core/wire/messages.h"

# what, file, text to replace (None: a new file), its replacement, what the complaint must contain
# (None: there is none)
CASES = [
    ("nothing broken", PROTOCOL, "", "", None),
    ("link to a file", "a.md", None, "see [b](b.md)\n", "b.md, which does not exist"),
    ("link to a heading", "a.md", None, "# One\n\n[x](#two)\n", "no such heading"),
    ("link that leads out", "a.md", None, "[x](../../etc/passwd)\n", "does not exist"),
    ("good links", "a.md", None, "# A `b`-c, d\n\n[x](#a-b-c-d) [y](a.md) [z](https://a.example/)\n", None),
    ("no link but code", "a.md", None, "`[x](nowhere)`\n\n```\n[x](nowhere)\n```\n", None),
    ("offset", PROTOCOL, "| 40 | 48 | Noise `s`", "| 40 | 47 | Noise `s`", "Noise payload"),
    ("offset in the code", MESSAGES, "DATA_COUNTER_OFFSET 8U", "DATA_COUNTER_OFFSET 9U",
     "DATA_COUNTER_OFFSET is 9"),
    ("size", MESSAGES, "HANDSHAKE_SIZE_MAX 1224U", "HANDSHAKE_SIZE_MAX 1233U", "HANDSHAKE_SIZE_MAX is 1233"),
    ("sum", MESSAGES, "+ 2U * MAC_SIZE) /* 136 */", "+ 3U * MAC_SIZE)", "INITIATION_OVERHEAD is 152"),
    ("frame type", MESSAGES, "FRAME_PROBE = 3", "FRAME_PROBE = 33", "FRAME_PROBE is 33"),
    ("timer", PROTOCOL, "| REKEY_ATTEMPT_TIME | 90 s", "| REKEY_ATTEMPT_TIME | 60 s",
     "REKEY_ATTEMPT_TIME is 90"),
    ("power of two", PROTOCOL, "| 2^64 - 8193 |", "| 2^64 - 8192 |", "REJECT_AFTER_MESSAGES"),
    ("bit", "service/core/wire/record.h", "ROLE_RELAY = 1 << 3", "ROLE_RELAY = 1 << 4", "ROLE_RELAY is 16"),
    ("sentence gone", PROTOCOL, "A record is at most", "Records are at most", "any more"),
    ("constant gone", MESSAGES, "SEGMENT_WINDOW", "SEGMENT_WINDOWS", "no SEGMENT_WINDOW in"),
    ("link after code", "a.md", None, "    [x](nowhere)\n\n[y](nowhere2)\n", "nowhere2, which"),
    ("option not in the page", "docs/man/omertad.8", "Fl -bootstrap", "Fl -boots", "no --bootstrap here"),
    ("test gone", "tests/sim/test-sim-calendar.c", "void test_no_clock_battery(", "void test_battery(",
     "no test_no_clock_battery"),
    ("file of tests gone", "docs/security.md", "`test-subnet.py`", "`test-subnets.py`", "no file of tests"),
]


def copy(to):
    """What check-docs reads; of the rest only that it is there, since links lead to it."""
    for directory, names, files in os.walk(source):
        names[:] = [n for n in names if not n.startswith((".", "build"))]
        here = pathlib.Path(directory).relative_to(source)
        (to / here).mkdir()
        for name in files:
            if name.endswith((".md", ".h", ".8")) or name == "main.c" or "tests" in here.parts:
                shutil.copy(source / here / name, to / here / name)
            else:
                (to / here / name).touch()


failed = 0
with tempfile.TemporaryDirectory() as d:
    top = pathlib.Path(d) / "tree"
    copy(top)
    for what, name, old, new, complaint in CASES:
        path = top / name
        before = path.read_text() if path.exists() else None
        if old is not None and old not in before:
            sys.exit(f"{what}: {name} has no '{old}' any more")
        path.write_text(new if old is None else before.replace(old, new))
        r = subprocess.run([sys.executable, check, top], capture_output=True, text=True)
        good = r.returncode == 0 if complaint is None else r.returncode == 1 and complaint in r.stderr
        failed += not good
        print("ok" if good else "not ok", "-", what, "" if good else r.stdout + r.stderr)
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
sys.exit(bool(failed))
