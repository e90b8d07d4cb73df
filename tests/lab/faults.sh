#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What goes wrong outside: a second daemon on the same state, a taken port, no tun, a damaged state.
# It must fail at once and say why, and harm nothing.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw m1
mesh_up m1

# A bus of its own, so that it is the state that stands in its way and not the name.
foreground() { # ARGS of omertad start
        # shellcheck disable=SC2016 # expanded inside
        on gw timeout 20 dbus-run-session -- sh -c \
                'DBUS_SYSTEM_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS exec omertad start "$@"' - "$@" 2>&1
}
before=$(main_pid gw)
out=$(foreground --state-dir /var/lib/omerta --port 18003)
status=$?
check "a second daemon on the same state does not start (status $status)" \
        [ $status -ne 0 -a $status -ne 124 ]
check "and says so" grep -qiE 'another|already|in use|lock' <<<"$out"
same "the first one does not care" "$before" "$(main_pid gw)"
check "nor do the members" pings m1 10.77.0.1

out=$(foreground --state-dir /tmp/other --port 18002)
status=$?
check "a taken port in the foreground (status $status)" [ $status -ne 0 -a $status -ne 124 ]
contains "is named" 18002 "$out"

# The service, with the port taken by another program.
on gw systemctl stop omertad.socket omertad6.socket omertad.service
on gw systemd-run --quiet --unit=squatter python3 -c '
import socket, signal
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 18002))
signal.pause()'
squats() { [ -n "$(on gw ss -Huln4 sport = :18002)" ]; }
wait_for 10 "the other program to have the port" squats
begin=$SECONDS
refuse "the service does not start while the port is taken" on gw systemctl start omertad.service
check "it does not take long to fail" [ $((SECONDS - begin)) -lt 15 ]
check "the journal says why" on gw sh -c \
        'journalctl -q -u omertad MESSAGE_ID=a2dfca245b5e4cb3b81b665cb73fb4ff | grep 18002'
on gw systemctl stop squatter.service
on gw systemctl reset-failed
check "it starts when the port is free" on gw systemctl start omertad.socket omertad.service
wait_for 15 "m1 to reach the gateway" pings m1 10.77.0.1
ok "and serves its members"

# State that is not what was written.
on m1 systemctl stop omertad.socket omertad6.socket omertad.service
on m1 cp -a /var/lib/omerta /var/lib/omerta.good
on m1 sh -c 'for f in /var/lib/omerta/*.db /var/lib/omerta/*.sqlite*; do
        [ ! -f "$f" ] || head -c 4096 /dev/urandom | dd of="$f" conv=notrunc status=none; done'
refuse "damaged state: it does not start" on m1 systemctl start omertad.service
check "the journal says why" on m1 sh -c \
        '[ -n "$(journalctl -q -u omertad MESSAGE_ID=cc02463053334786b6c11f13ac461841)" ]'
on m1 sh -c 'rm -rf /var/lib/omerta; mv /var/lib/omerta.good /var/lib/omerta; systemctl reset-failed'
check "with the state restored it starts" on m1 systemctl start omertad.socket omertad.service
wait_for 15 "m1 to be back" pings m1 10.77.0.1
ok "and is a member as before"
lab_done
