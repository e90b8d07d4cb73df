#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Ordinary programs over omerta0: ping and ssh both ways; members talk to each other, not through
# the gateway; what the commands show.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw m1 m2
mesh_up m1 m2

gw=$(address_of gw)
m1=$(address_of m1)
m2=$(address_of m2)
same "addresses are given from the start of the range" "10.77.0.1 10.77.0.100 10.77.0.101" "$gw $m1 $m2"
for m in gw m1 m2; do
        contains "omerta0 of $m has its address" "inet $(address_of $m)/16" \
                "$(net $m ip address show dev omerta0)"
done
for from in gw m1 m2; do
        for to in $gw $m1 $m2; do
                check "$from pings $to" on $from ping -q -c 3 -i 0.2 -W 3 "$to"
        done
done
check "packets of the full size pass" on m1 ping -q -c 2 -i 0.2 -W 3 -M "do" \
        -s "$(($(network m1 mtu) - 28))" "$m2"
check "packets of every size pass" on m1 ping -q -c 3 -i 0.2 -W 3 -s 20000 "$m2"

# Between members: 20 MB, none of it through the gateway.
bytes_at_gw() { net lan ip -j -s link show dev gw | pick "sum(d[0]['stats64'][k]['bytes'] for k in ('rx', 'tx'))"; }
iperf_server m2 "$m2"
before=$(bytes_at_gw)
check "20 MB from m1 to m2" on m1 iperf3 --client "$m2" --bytes 20M -C cubic
through=$(($(bytes_at_gw) - before))
check "the gateway saw none of it ($through bytes in all)" [ $through -lt 1000000 ]
sessions=$(on m1 omerta tunnel sessions --json)
same "the session between them is direct and active" "direct active" \
        "$(pick "' '.join(next((s['path'], s['state']) for s in d['sessions'] if s['address'] == '$m2' and s['channel'] == 'packets'))" <<<"$sessions")"
# iperf3 ends when it has written: what is still in the socket then may never be sent.
check "and has counted the bytes" [ "$(pick "next(s['bytes_sent'] for s in d['sessions'] if s['address'] == '$m2' and s['channel'] == 'packets')" <<<"$sessions")" -gt 15000000 ]

ssh_pair() { # FROM TO ADDRESS
        on "$1" sh -c 'test -e /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519'
        on "$1" cat /root/.ssh/id_ed25519.pub | on "$2" sh -c 'mkdir -p -m 700 /root/.ssh; cat >>/root/.ssh/authorized_keys'
        same "ssh from $1 to $2" "$2" "$(on "$1" ssh -n -o BatchMode=yes -o ConnectTimeout=10 \
                -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR "root@$3" uname -n 2>&1)"
}
ssh_pair m1 m2 "$m2"
ssh_pair m2 m1 "$m1"
ssh_pair gw m2 "$m2"
ssh_pair m1 gw "$gw"

# A port only loopback has, offered to the network by the service in its sandbox, and to nobody else.
on m1 systemd-run --quiet --collect --unit=inner python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 8080))
while True:
        s.accept()[0].sendall(b"inner\n")
'
wait_for 10 "the inner server" on m1 sh -c 'ss -Htln sport = :8080 | grep -q .'
same "expose" 8007 "$(on m1 omerta expose --keep 8007:8080)"
answer_at() { on "$1" python3 -c 'import socket, sys; print(socket.create_connection((sys.argv[1], 8007), 5).makefile().readline().strip())' "$2"; }
for m in gw m2; do
        same "$m reaches the exposed port" inner "$(answer_at $m "$m1" 2>&1)"
        refuse "but not from outside the network" answer_at $m "${LAB_ADDRESS[m1]}"
done
contains "a privileged port is not the service's to take" privilege "$(on m1 omerta expose 7:8080 2>&1)"
same "forward" 127.0.0.1:2222 "$(on m2 omerta forward 2222:m1:22)"
same "ssh through it" m1 "$(on m2 ssh -n -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR \
        -p 2222 127.0.0.1 uname -n 2>&1)"
pid=$(main_pid m1)
on m1 systemctl restart omertad.service
wait_for 15 "m1 to be back" restarted m1 "$pid"
wait_for 15 "m1 to be online" state_is m1 online
wait_for 15 "m1 to reach the gateway" pings m1 "$gw"
same "a kept one is there after a restart" inner "$(answer_at gw "$m1" 2>&1)"

same "the leases" "$gw $m1 $m2" \
        "$(on m2 omerta dhcp leases --json | pick "' '.join(l['address'] for l in sorted(d['leases'], key=lambda l: [int(x) for x in l['address'].split('.')]))")"
same "the peers" "gw m1 m2" \
        "$(on m1 omerta network peers --json | pick "' '.join(sorted(m['host_name'] for m in next(iter(v for v in d.values() if isinstance(v, list)))))")"
same "the address" "$m1" "$(on m1 omerta network address)"
for command in status 'network list' 'network peers' 'mesh status' 'dhcp leases' 'tunnel sessions'; do
        # shellcheck disable=SC2086 # two words
        check "omerta $command" on m1 omerta $command
        # shellcheck disable=SC2086
        check "omerta $command --json is JSON" pick d < <(on m1 omerta $command --json)
done
lab_done
