#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# systemd starts the daemon: by the first datagram, by a call on the bus; what it may do then.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw m1

datagram() { # ADDRESS: from m1, something nobody asked for
        on m1 python3 -c '
import socket, sys
a = socket.getaddrinfo(sys.argv[1], 18002, type=socket.SOCK_DGRAM)[0]
s = socket.socket(a[0], a[1])
s.settimeout(1)
s.sendto(b"\x01\x01\0\0" + bytes(1000), a[4])
try:
        print(len(s.recv(2000)), "bytes")
except TimeoutError:
        print("silence")' "$1"
}

# Nothing is sent from a link-local address while the kernel looks whether somebody else has it, nor
# received (RFC 4862, 5.4), which takes a second or two from the start of the machine.
has_link_local() { [ -n "$(net "$1" ip -6 -o address show dev eth0 scope link -tentative)" ]; }

stop() {
        on gw systemctl stop --quiet omertad.service 2>/dev/null
        wait_for 10 "the daemon to stop" \
                on gw sh -c '[ "$(systemctl is-active omertad.service)" = inactive ]'
}

check "the service can be enabled" on gw systemctl enable omertad.service
check "its sockets are enabled with it" on gw systemctl is-enabled omertad.socket omertad6.socket
check "the socket can be started" on gw systemctl start omertad.socket
check "the IPv6 socket comes with it" on gw systemctl is-active omertad6.socket
same "nothing runs yet" inactive "$(on gw systemctl is-active omertad.service)"
same "both have a receive buffer of 320 KiB" 2 "$(on gw ss -Hulmn sport = :18002 | grep -c rb327680)"
sockets() { on gw ss -Hulne sport = :18002 | grep -o 'ino:[0-9]*'; }
held=$(sockets)

same "a stranger gets no answer" silence "$(datagram 192.0.2.10)"
wait_for 10 "the first datagram to start the daemon" active gw
ok "the first datagram starts the daemon"

same "it runs as its own user" omerta \
        "$(on gw stat -c %U "/proc/$(main_pid gw)")"
same "its only capability is CAP_NET_ADMIN" 0000000000001000 \
        "$(on gw sed -n 's/^CapEff:\t//p' "/proc/$(main_pid gw)/status")"
same "its state belongs to it alone" "700 omerta" "$(on gw stat -c '%a %U' /var/lib/omerta)"
same "it uses the sockets systemd holds" "$held" "$(sockets)"
check "systemd's watchdog watches it" \
        on gw sh -c '[ "$(systemctl show -P WatchdogUSec omertad.service)" != infinity ]'
check "reload" on gw systemctl reload omertad.service

stop
same "a stop closes the port, or the next datagram would undo it" 0 "$(on gw ss -Huln sport = :18002 | wc -l)"
check "a call on the bus starts it" on gw busctl --timeout=15 get-property "${MESH_BUS[@]}" Version
check "and it owns its name" on gw busctl status org.omerta.Mesh1
stop
on gw systemctl start omertad.socket
for machine in gw m1; do
        wait_for 10 "the link-local address of $machine" has_link_local $machine
done
ll=$(net gw ip -j address show dev eth0 scope link | pick "next(a['local'] for l in d for a in l.get('addr_info', []) if 'local' in a)")
datagram "$ll%eth0" >/dev/null
wait_for 10 "a datagram over IPv6 to start the daemon" active gw
ok "a datagram over IPv6 starts it"
stop
refuse "looking does not start it" on gw omerta status
check "who asks for a change starts it" on gw omerta network create home
lab_done
