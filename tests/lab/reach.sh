#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines behind real translators reach each other: how, as the commands tell it, and whether what
# they say arrives whole. docs/reach.md has the table; both change together.
. "$(dirname "$0")/mesh.sh"
. "$(dirname "$0")/nat.sh"
need_omerta
LAB_ADDRESS+=([a1]=192.0.2.21 [a2]=192.0.2.22 [b1]=192.0.2.31)
homes a1=nata:192.168.1.11 a2=nata:192.168.1.12 b1=natb:192.168.1.11
lab_start gw a1 a2 b1
mesh_up a1 a2 b1

declare -A ADDRESS SUM
for m in gw a1 a2 b1; do
        offer_blob $m
        ADDRESS[$m]=$(address_of $m)
        SUM[$m]=$(on $m sha256sum /root/blob | cut -d' ' -f1)
done

# A conflict is said where the machine stands in a network of the same addresses; it is online all the
# same.
online_anew() { # MACHINE
        { state_is "$1" online || state_is "$1" conflict; } && pings "$1" "${ADDRESS[gw]}"
}

# Nothing of the case before is remembered, neither by routers nor by links.
fresh() { # MACHINE...
        local m
        restart_router nata
        restart_router natb
        for m; do on "$m" systemctl restart omertad.service; done
        for m; do wait_for 30 "$m to be online again" online_anew "$m"; done
}

# What TO offers arrives as it is.
whole() { [ "$(fetch "$1" "${ADDRESS[$2]}")" = "${SUM[$2]}" ]; } # FROM TO

talks() { pings "$1" "${ADDRESS[$2]}" && pings "$2" "${ADDRESS[$1]}"; }

declare -A RANK=([none]=0 [tcp]=1 [relay]=2 [direct]=3 [lan]=4)

at_least() { [ "${RANK[$(kind_of_pair "$1" "$2")]}" -ge "${RANK[$3]}" ]; } # FROM TO KIND

settled() { talks "$1" "$2" && at_least "$1" "$2" "$3" && at_least "$2" "$1" "$3"; } # FROM TO KIND

# "ok" tells how it is, which may be better than KIND, and since when.
reaches() { # WHAT FROM TO KIND
        local what=$1 a=$2 b=$3 kind=$4 since=${EPOCHREALTIME/./}
        wait_for 30 "$what: $kind" settled "$a" "$b" "$kind"
        since=$(((${EPOCHREALTIME/./} - since) / 1000))
        ok "$what: $(kind_of_pair "$a" "$b") in $since ms, is to be $kind"
        check "$what: all of what $b has arrives at $a" whole "$a" "$b"
        check "$what: all of what $a has arrives at $b" whole "$b" "$a"
}

hears_of() { on "$1" omerta whois "${ADDRESS[$2]}" --json | grep -qF "$3"; } # FROM TO ENDPOINT

cut_off() { ! pings "$1" "${ADDRESS[$2]}"; } # FROM TO

knows_place() { on "$1" omerta path "${ADDRESS[$2]}" | grep -qF "[$3]"; } # FROM TO IPV6-ADDRESS

leaves() { on "$1" systemctl stop omertad.socket omertad6.socket omertad.service; } # MACHINE

comes_back() { # MACHINE
        on "$1" systemctl start omertad.socket omertad6.socket omertad.service
        wait_for 30 "$1 to be online again" online_anew "$1"
}

# One that can be reached from outside, and the same home.
reaches "behind a router, and the gateway" a1 gw direct
reaches "one home, a router without hairpin" a1 a2 lan

nat nata random
fresh a1 a2
reaches "one home, a random router" a1 a2 lan
nat nata easy

# Of two machines that send from the same port Linux leaves it to the first; the other has one port
# for everybody, as long as nobody gave it the first one for somebody else. So a2 stays away then.
leaves a1
fresh a2 b1
reaches "one home, one port: the first" a2 b1 direct
comes_back a1
reaches "one home, one port: the second" a1 b1 direct
leaves a2

# Two homes, of the same addresses throughout.
fresh a1 b1
reaches "easy and easy" a1 b1 direct
nat natb random
fresh a1 b1
reaches "easy and random" a1 b1 relay
nat nata random
fresh a1 b1
reaches "random and random" a1 b1 relay
reaches "random, and the gateway" a1 gw direct
nat nata cone
fresh a1 b1
reaches "cone and random" a1 b1 direct
nat nata easy
nat natb easy

# UDP does not pass between the two homes; it does to everybody else.
block_udp nata "${NAT_ADDRESS[natb]}"
fresh a1 b1
reaches "UDP blocked between the two" a1 b1 relay
unblock_udp nata

# It does not pass at all, and the gateway takes TCP at port 443, which systemd opens.
check "a TCP port is to be open" on gw systemctl enable omertad-tcp.socket
on gw systemctl restart omertad.service
wait_for 30 "the gateway to be online again" state_is gw online
check "and is, with the restart" test "$(on gw omerta get tcp-port)" = 443
for m in a1 b1; do wait_for 30 "$m to hear of it" hears_of "$m" gw tcp:192.0.2.10:443; done
block_udp nata 0.0.0.0/0
block_udp natb 0.0.0.0/0
fresh a1 b1
reaches "UDP blocked, and the gateway" a1 gw tcp
reaches "UDP blocked altogether" a1 b1 relay
unblock_udp nata
unblock_udp natb
wait_for 120 "UDP again" settled a1 gw direct
on gw systemctl disable --now omertad-tcp.socket
on gw systemctl restart omertad.service
wait_for 30 "the gateway to be online again" state_is gw online

# A line of PPPoE, whose router says nothing of what is too long; then one of a tunnel, under the
# session, and as it was.
line nata 1492
fresh a1 b1
reaches "a line of 1492 bytes" a1 b1 direct
line nata 1400
reaches "a line of 1400 bytes, of a sudden" a1 b1 direct
fresh a1 b1
reaches "a line of 1400 bytes, from the start" a1 b1 direct
line nata 1500

# A router that forgets, under a session; then with another address.
fresh a1 b1
reaches "before the router restarts" a1 b1 direct
restart_router nata
reaches "after the router restarted, the gateway" a1 gw direct
reaches "after the router restarted" a1 b1 direct
restart_router nata 192.0.2.111
reaches "with another address, the gateway" a1 gw direct
reaches "with another address" a1 b1 direct

# Behind two routers.
place b1 natc 192.168.7.11
fresh a1 b1
reaches "double translation, and the gateway" b1 gw direct
reaches "easy and double" a1 b1 direct

# A carrier that gives its customers addresses of the network's own range.
place b1 nate 10.77.50.11
fresh a1 b1
reaches "a carrier of the same range, and the gateway" b1 gw direct
reaches "easy, and a carrier of the same range" a1 b1 direct

# No router at all, but a filter on each machine.
place a1 lan 192.0.2.21
place b1 lan 192.0.2.31
firewall a1 on
firewall b1 on
fresh a1 b1
reaches "filters on both machines" a1 b1 direct
firewall a1 off
firewall b1 off

# One has no IPv4; then the other has IPv6 as well.
place6 gw 10
place6 a1 21
wait_for 20 "a1 to hear where the gateway is by IPv6" knows_place a1 gw 2001:db8::10
only6 a1
place b1 natb 192.168.1.11
fresh a1 b1
reaches "IPv6 alone, and the gateway" a1 gw direct
reaches "IPv6 alone, and IPv4 alone" a1 b1 relay
place b1 lan 192.0.2.31
place6 b1 31
firewall b1 on
fresh a1 b1
reaches "IPv6 alone, and both behind a filter" a1 b1 direct
firewall b1 off
for m in gw a1 b1; do net $m ip -6 address flush dev eth0 scope global; done

# Whoever relays goes: the gateway, of a sudden. a2 can be reached now, and relays as well; it says so
# when it goes.
place a1 nata 192.168.1.11
place b1 natb 192.168.1.11
place a2 lan 192.0.2.22
nat nata random
nat natb random
comes_back a2
fresh a1 b1
reaches "random, and one in the open" a1 a2 direct
reaches "random, and one in the open, the other home" b1 a2 direct
reaches "before the gateway goes" a1 b1 relay
net lan ip link set gw down
reaches "the gateway is gone" a1 b1 relay
net lan ip link set gw up
for m in a1 a2 b1; do wait_for 60 "$m to reach the gateway again" pings "$m" "${ADDRESS[gw]}"; done
leaves a2
reaches "the other relay is gone" a1 b1 relay

# A relay whose membership ends carries nothing from then on, though it would.
comes_back a2
check "the gateway relays no more" on gw omerta set relay off
reaches "the relay that is left" a1 b1 relay
check "that one is no member any more" on gw omerta network revoke a2
wait_for 10 "nothing to be carried by it" cut_off a1 b1
check "the gateway relays again" on gw omerta set relay auto
reaches "the relay is no member any more" a1 b1 relay
lab_done
