#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restarts and crashes: leases stay, addresses stay, connections stay.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw m1 m2
mesh_up m1 m2

m1=$(address_of m1)
m2=$(address_of m2)
leases() { on "$1" omerta dhcp leases --json | pick "sorted((l['address'], l['machine']) for l in d['leases'])"; }
ifindex() { net "$1" ip -j link show dev omerta0 | pick "d[0]['ifindex']"; }
kept=$(leases gw)

again() { # HOW MACHINE COMMAND...: do it, wait until another process serves
        local how=$1 m=$2 pid index
        shift 2
        pid=$(main_pid "$m")
        index=$(ifindex "$m")
        on "$m" "$@"
        wait_for 20 "$m to be back after $how" restarted "$m" "$pid"
        same "$m keeps omerta0 over $how" "$index" "$(ifindex "$m")"
}

again "systemctl restart" gw systemctl restart omertad.service
same "the gateway has its leases after a restart" "$kept" "$(leases gw)"
wait_for 15 "m1 to reach the gateway again" pings m1 10.77.0.1
ok "m1 reaches the restarted gateway"
again "kill -9" gw systemctl kill -s KILL omertad.service
same "the gateway has its leases after kill -9" "$kept" "$(leases gw)"
wait_for 15 "m1 to reach the gateway again" pings m1 10.77.0.1
ok "m1 reaches the killed gateway"
check "members reach each other" pings m1 "$m2"

# A TCP connection under load, and an idle ssh session, over restarts at both ends.
on m1 sh -c 'mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519'
on m1 cat /root/.ssh/id_ed25519.pub | on m2 sh -c 'mkdir -p -m 700 /root/.ssh; cat >/root/.ssh/authorized_keys'
mkfifo "$LAB_STATE/ssh.in"
exec 7<>"$LAB_STATE/ssh.in"
on m1 ssh -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new \
        -o LogLevel=ERROR "root@$m2" cat <&7 >"$LAB_STATE/ssh.out" 2>&1 &
echo before >&7
wait_for 15 "an ssh session" grep -qx before "$LAB_STATE/ssh.out"

iperf_server m2 "$m2"
on m1 iperf3 --client "$m2" --time 8 -C cubic --json >"$LAB_STATE/iperf3.json" 2>"$LAB_STATE/iperf3.err" &
iperf=$!
flowing() { [ "$(net m1 ip -j -s link show dev omerta0 | pick "d[0]['stats64']['tx']['bytes']")" -gt "$1" ]; }
wait_for 10 "the transfer to flow" flowing 1000000
again "systemctl restart under load" m1 systemctl restart omertad.service
again "kill -9 under load" m2 systemctl kill -s KILL omertad.service
if wait $iperf; then ok "iperf3 comes to its end"; else not_ok "iperf3 failed" "$(cat "$LAB_STATE/iperf3.err")"; fi
same "the connection is flowing at the end" True \
        "$(pick "d['intervals'][-1]['sum']['bytes'] > 0" <"$LAB_STATE/iperf3.json")"
echo after >&7
wait_for 15 "the ssh session to answer" grep -qx after "$LAB_STATE/ssh.out"
ok "the ssh session lives on"

same "the members have their addresses" "$m1 $m2" "$(address_of m1) $(address_of m2)"
wait_for 15 "m2 to reach the gateway" pings m2 10.77.0.1

# A stop takes the interface away; a start brings the member back with the same address.
on m1 systemctl stop omertad.service omertad.socket omertad6.socket
refuse "a stopped daemon leaves no interface" on m1 ip link show omerta0
on m1 systemctl start omertad.socket omertad.service
wait_for 15 "m1 to be back" pings m1 "$m2"
same "with the same address" "$m1" "$(address_of m1)"
lab_done
