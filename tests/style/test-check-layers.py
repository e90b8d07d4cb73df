#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gives tools/check-layers small trees and looks at what it says about them."""

import pathlib
import subprocess
import sys
import tempfile

check = pathlib.Path(__file__).resolve().parents[2] / "tools/check-layers"

# what, file, its text, what the complaint must contain (None: there is none)
CASES = [
    ("downwards", "core/mesh/a.c", '#include "core/wire/w.h"\n', None),
    ("upwards", "core/wire/a.c", '#include "core/mesh/m.h"\n', "core/wire may not use core/mesh"),
    ("manager from core", "core/vnet/a.c", '#include "manager/m.h"\n', "core/vnet may not use manager"),
    ("bus from manager", "manager/a.c", '#include "bus/b.h"\n', "manager may not use bus"),
    ("bus from network", "network/a.c", '#include "bus/b.h"\n', "network may not use bus"),
    ("network from manager", "manager/a.c", '#include "network/n.h"\n', None),
    ("bus from main", "main.c", '#include "bus/b.h"\n', None),
    ("manager from bus", "bus/a.c", '#include "manager/m.h"\n', None),
    ("host from core", "core/mesh/a.c", '#include "host/h.h"\n', "may not use host"),
    ("not from service/", "core/mesh/a.c", '#include "m.h"\n', "not written from service/"),
    ("systemd in core", "core/mesh/a.c", "#include <systemd/sd-event.h>\n", "<systemd/sd-event.h>"),
    ("sockets in core", "core/mesh/a.h", "# include <sys/socket.h>\n", "<sys/socket.h>"),
    ("clock in core", "core/mesh/a.c", "x = clock_gettime(1, &t);\n", "clock_gettime()"),
    ("randomness in core", "core/crypto/a.c", "randombytes_buf(k, 32);\n", "randombytes_buf()"),
    ("clock in a comment", "core/mesh/a.c", "/* not\n clock_gettime() */\n", None),
    ("clock in host", "host/a.c", "clock_gettime(1, &t);\n", None),
    ("enrolment from bus", "bus/a.c", '#include "core/mesh/enrol/e.h"\n', "bus may not use core/mesh/enrol"),
    ("enrolment from bus by another", "bus/a.c", '#include "core/n.h"\n',
     "bus may not see core/mesh/enrol (core/n.h -> core/mesh/enrol/e.h)"),
    ("enrolment from network", "network/a.c", '#include "core/mesh/enrol/e.h"\n', None),
    ("links from bus", "bus/a.c", '#include "core/mesh/link/l.h"\n', "bus may not use core/mesh/link"),
    ("records from bus", "bus/a.c", '#include "core/mesh/m.h"\n', None),
    ("act of the core from bus", "bus/a.c", "r = network_rename(n, id, name);\n", "network_rename()"),
    ("act of a network from bus", "bus/a.c", "r = managed_network_rename_machine(n);\n", None),
    ("act in a comment", "bus/a.c", "/* network_rename() */\n", None),
    ("look of the core from bus", "bus/a.c", "d = network_directory(n);\n", None),
    ("act of the core from network", "network/a.c", "r = network_rename(n, id, name);\n", None),
    ("new directory", "extra/a.c", "int x;\n", "is in no layer"),
]

failed = 0
for what, name, text, complaint in CASES:
    with tempfile.TemporaryDirectory() as d:
        service = pathlib.Path(d) / "service"
        for header in ("core/wire/w.h", "core/mesh/m.h", "host/h.h", "bus/b.h", "manager/m.h",
                       "network/n.h"):
            (service / header).parent.mkdir(parents=True, exist_ok=True)
            (service / header).write_text("#pragma once\n")
        for header in ("core/mesh/enrol/e.h", "core/mesh/link/l.h"):
            (service / header).parent.mkdir(parents=True, exist_ok=True)
            (service / header).write_text("#pragma once\n")
        (service / "core/n.h").write_text('#include "core/mesh/enrol/e.h"\n')
        (service / name).parent.mkdir(parents=True, exist_ok=True)
        (service / name).write_text(text)
        r = subprocess.run([sys.executable, check, d], capture_output=True, text=True)
        good = r.returncode == 0 if complaint is None else r.returncode == 1 and complaint in r.stderr
        if not good:
            failed += 1
        print("ok" if good else "not ok", "-", what, "" if good else r.stdout + r.stderr)
sys.exit(bool(failed))
