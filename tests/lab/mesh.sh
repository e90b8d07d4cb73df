# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What tests do with omerta on the machines of lab.sh; sourced after it.

. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

MESH_BUS=(org.omerta.Mesh1 /org/omerta/Mesh1 org.omerta.Mesh1.Manager)

# JSON on standard input; EXPRESSION in Python, in which d is what was read.
pick() { python3 -c 'import json,sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# What the machine's only network says of itself: state, address, interface, ...
network() { on "$1" omerta network list --json | pick "d['networks'][0]['$2']"; }

address_of() { network "$1" address; }

state_is() { [ "$(network "$1" state 2>/dev/null)" = "$2" ]; }

main_pid() { on "$1" systemctl show -P MainPID omertad.service; }

active() { on "$1" systemctl is-active --quiet omertad.service; }

# Running again, as another process than before.
restarted() { # MACHINE OLD-PID
        local pid
        pid=$(main_pid "$1")
        active "$1" && [ "$pid" != 0 ] && [ "$pid" != "$2" ]
}

pings() { on "$1" ping -q -c 1 -W 1 "$2"; } # MACHINE ADDRESS

# For one client; returns when it listens.
iperf_server() { # MACHINE ADDRESS
        on "$1" iperf3 --server --one-off --daemon --bind "$2"
        wait_for 10 "iperf3 to listen on $1" \
                on "$1" sh -c 'ss -Htln sport = :5201 | grep -q .'
}

# As after the installation of a package: enabled, and waiting for somebody to need it.
enable_omerta() { # MACHINE
        on "$1" systemctl enable --quiet omertad.service
        on "$1" systemctl start omertad.socket
}

need_omerta() {
        [ -n "${OMERTA_BUILD_DIR:-}" ] || lab_skip "OMERTA_BUILD_DIR names no build directory"
        [ -x "$OMERTA_BUILD_DIR/service/omertad" ] || lab_skip "omertad is not built"
        [ -n "$(find "$OMERTA_BUILD_DIR/cli" -maxdepth 1 -name omerta -type f 2>/dev/null)" ] ||
                lab_skip "omerta is not built"
}

# The network "home": gw makes it, the others join by an invite each. Ends the test where that fails.
mesh_up() { # MACHINE... besides gw
        local m link out
        for m in gw "$@"; do
                enable_omerta "$m"
        done
        out=$(on gw omerta network create home --subnet 10.77.0.0/16 2>&1) ||
                { not_ok "gw creates a network" "$out"; lab_done; }
        for m; do
                link=$(on gw omerta network invite) || { not_ok "gw makes an invite"; lab_done; }
                out=$(on "$m" omerta network join "$link" 2>&1) ||
                        { not_ok "$m joins" "$out"; lab_done; }
        done
        for m; do
                wait_for 15 "$m to be online" state_is "$m" online
                wait_for 15 "$m to reach the gateway" pings "$m" "$(address_of gw)"
        done
}
