#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The service as an administrator meets it: fresh, stopped, crashing, wrongly configured, with another
# port; and asked for a password on a terminal.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw

says() { # WHAT PART COMMAND...: fails within a second, for a person that means at once
        local what=$1 part=$2 begin out
        shift 2
        begin=${EPOCHREALTIME/./}
        if out=$(on gw "$@" 2>&1); then
                not_ok "$what" "it succeeded: $out"
                return
        fi
        contains "$what" "$part" "$out"
        note "$(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
}
units() { # the states of service and sockets, as words
        on gw systemctl is-active omertad.service omertad.socket omertad6.socket | paste -sd ' '
}
units_are() { [ "$(units)" = "$1" ]; }
inodes() { on gw ss -Hulne sport = ":${1:-18002}" | grep -o 'ino:[0-9]*' | sort | paste -sd ' '; }
status_text() { on gw systemctl show -P StatusText omertad.service; }
status_is() { [ "$(status_text)" = "$1" ]; }
datagram() { # PORT
        on gw bash -c "head -c 200 /dev/zero >/dev/udp/192.0.2.10/$1" || true
}

# ---- fresh --------------------------------------------------------------------------------------

says "fresh, looking says what to do" "sudo systemctl enable --now omertad" omerta status
says "so does a change" "sudo systemctl enable --now omertad" omerta network create home
same "and neither starts anything" "inactive inactive inactive" "$(units)"
on gw mv /usr/lib/systemd/system/omertad.service /root/
on gw systemctl daemon-reload
says "a unit systemd does not know" "daemon-reload" omerta status
on gw mv /root/omertad.service /usr/lib/systemd/system/
on gw systemctl daemon-reload
check "what it says works" on gw systemctl enable --now --quiet omertad
same "service and sockets run" "active active active" "$(units)"
same "systemctl status is true without a network" "UDP port 18002; in no network" "$(status_text)"
on gw omerta network create home --subnet 10.77.0.0/16 >/dev/null
wait_for 10 "the status to show the network" status_is "UDP port 18002; home: online"
on gw omerta down
wait_for 10 "the status to show that it is down" status_is "UDP port 18002; home: down"
on gw omerta up
wait_for 10 "the status to show that it is up" status_is "UDP port 18002; home: online"
ok "systemctl status follows the networks"

# ---- restart and stop ---------------------------------------------------------------------------

held=$(inodes)
on gw systemctl restart omertad
same "a restart keeps the sockets" "$held" "$(inodes)"
check "the daemon answers again" on gw omerta status
on gw systemctl stop omertad
same "a stop stops the sockets" "inactive inactive inactive" "$(units)"
datagram 18002
says "looking says that it was stopped" "has been stopped" omerta status
says "so does another look" "sudo systemctl start omertad" omerta network peers --json
same "neither a datagram nor a look starts it" "inactive inactive inactive" "$(units)"
check "who asks for a change starts it" on gw omerta up
same "and its sockets" "active active active" "$(units)"

# ---- crashes ------------------------------------------------------------------------------------

crash() {
        local pid
        pid=$(main_pid gw)
        on gw systemctl kill -s KILL omertad.service
        wait_for 40 "another process" restarting "$pid"
}
restarting() { # OLD-PID: another process of it, which serves or says that it waits
        local pid
        pid=$(main_pid gw)
        [ "$pid" != 0 ] && [ "$pid" != "$1" ] && [ -n "$(status_text)" ]
}
for _ in 1 2 3 4 5 6 7; do crash; done
waits() { [[ $(status_text) == *"waits "* ]]; }
wait_for 10 "the daemon to take its time" waits
ok "after seven crashes it waits before it serves: $(status_text)"
same "the sockets wait with it" "activating active active" "$(units)"
says "looking says so, and does not wait" "waits" omerta status
check "a restart by hand ends the wait" on gw timeout 20 systemctl restart omertad
same "it runs" "active active active" "$(units)"
refuse "the journal knows no last try" on gw sh -c \
        'journalctl -q | grep -E "start-limit-hit|Start request repeated|trigger-limit-hit"'

# ---- a wrong configuration ----------------------------------------------------------------------

drop_in() { # UNIT TEXT
        on gw mkdir -p "/etc/systemd/system/$1.d"
        on gw tee "/etc/systemd/system/$1.d/test.conf" <<<"$2" >/dev/null
        on gw systemctl daemon-reload
}
drop_in omertad.service $'[Service]\nExecStart=\nExecStart=/usr/sbin/omertad start --no-such-option'
refuse "a wrong command line does not start" on gw systemctl restart omertad
same "it is not tried again, and packets do not either" "failed inactive inactive" "$(units)"
same "its exit status is EX_USAGE" 64 "$(on gw systemctl show -P ExecMainStatus omertad.service)"
says "looking says where to read on" "journalctl -u omertad -x" omerta status
drop_in omertad.service $'[Service]\nExecStart=\nExecStart=/usr/sbin/omertad start --vpn --gateway --network other --subnet nonsense'
refuse "nor does a network that cannot be" on gw systemctl restart omertad
same "its exit status is EX_CONFIG" 78 "$(on gw systemctl show -P ExecMainStatus omertad.service)"

# ---- another port -------------------------------------------------------------------------------

drop_in omertad.service $'[Service]\nExecStart=\nExecStart=/usr/sbin/omertad start --vpn --port 41000'
on gw systemctl start omertad
contains "--port beside the sockets is said to be ignored" "--port 41000 is not used" \
        "$(on gw journalctl -q -u omertad MESSAGE_ID=64c5ea521ca046dcbaf372cfcb1068b7)"
on gw rm /etc/systemd/system/omertad.service.d/test.conf
drop_in omertad.socket $'[Socket]\nListenDatagram=\nListenDatagram=0.0.0.0:4242'
drop_in omertad6.socket $'[Socket]\nListenDatagram=\nListenDatagram=[::]:4242'
check "the documented way to another port" on gw systemctl restart omertad.socket omertad6.socket
wait_for 10 "the daemon to be back" units_are "active active active"
wait_for 10 "the daemon to have its network" status_is "UDP port 4242; home: online"
same "nothing is left at the old port" "" "$(inodes 18002)"
same "both families are at the new one" 2 "$(inodes 4242 | wc -w)"

# ---- a password on a terminal -------------------------------------------------------------------

# alice may answer for herself, as members of sudo may on Debian.
on gw usermod -aG sudo alice
on gw sh -c 'echo alice:secret | chpasswd'
on gw tee /tmp/terminal.py >/dev/null <<'PYTHON'
import os, select, sys
pid, fd = os.forkpty()
if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
while True:
        # The agent throws away what was typed before it switched the echo off.
        if b"Password:" in seen and not select.select([fd], [], [], 0.2)[0]:
                os.write(fd, sys.argv[1].encode() + b"\n")
                continue
        try:
                part = os.read(fd, 4096)
        except OSError:
                break
        if not part:
                break
        seen += part
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
# A login session, as over ssh: polkit asks nobody else.
terminal() { on gw runuser -l alice -c "python3 /tmp/terminal.py $*"; } # PASSWORD COMMAND...
if on gw sh -c 'command -v pkttyagent' >/dev/null; then
        out=$(terminal secret omerta network create other)
        same "a password on the terminal lets alice change something" 0 $?
        contains "she was asked for it" "Password:" "$out"
        same "the network is there" 2 "$(on gw omerta network list --json | pick "len(d['networks'])")"
        terminal wrong omerta -n other network leave --force >/dev/null
        same "a wrong one does not" 5 $?
        same "nothing of the agent is left" "" "$(on gw pgrep pkttyagent)"
fi
out=$(as alice gw omerta network create third 2>&1)
contains "without a terminal she is told what to do" "sudo" "$out"
out=$(as alice gw omerta --network home nc 10.77.0.1 9 2>&1)
contains "anybody may be connected through the daemon" "takes connections at port 9" "$out"
lab_done
