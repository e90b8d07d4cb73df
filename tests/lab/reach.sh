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

# What a pair gets that cannot reach each other by itself: "relay" when members relay, "direct" when
# both sides punch. Nothing is asserted of "none", only said.
RELAYED=none
PUNCHED=$RELAYED

declare -A ADDRESS SUM
for m in gw a1 a2 b1; do
        offer_blob $m
        ADDRESS[$m]=$(address_of $m)
        SUM[$m]=$(on $m sha256sum /root/blob | cut -d' ' -f1)
done

online_anew() { state_is "$1" online && pings "$1" "${ADDRESS[gw]}"; }

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

declare -A RANK=([none]=0 [relay]=1 [direct]=2 [lan]=3)

at_least() { [ "${RANK[$(kind_of_pair "$1" "$2")]}" -ge "${RANK[$3]}" ]; } # FROM TO KIND

settled() { talks "$1" "$2" && at_least "$1" "$2" "$3" && at_least "$2" "$1" "$3"; } # FROM TO KIND

# NOW is what is reached at present, and may be better.
reaches() { # WHAT FROM TO NOW GOAL
        local what=$1 a=$2 b=$3 now=$4 goal=$5 i
        if [ "$now" = none ]; then
                for i in 1 2 3; do talks "$a" "$b" >/dev/null 2>&1 && break; done
                note "$what: $(kind_of_pair "$a" "$b"), is to be $goal"
                return
        fi
        wait_for 30 "$what: $now" settled "$a" "$b" "$now"
        ok "$what: $(kind_of_pair "$a" "$b"), is to be $goal"
        check "$what: all of what $b has arrives at $a" whole "$a" "$b"
        check "$what: all of what $a has arrives at $b" whole "$b" "$a"
}

# One that can be reached from outside, and the same home.
reaches "behind a router, and the gateway" a1 gw direct direct
reaches "one home, a router without hairpin" a1 a2 lan lan

# Two homes, of the same addresses throughout.
fresh a1 b1
reaches "easy and easy" a1 b1 "$PUNCHED" direct
nat natb random
fresh a1 b1
reaches "easy and random" a1 b1 "$RELAYED" relay
nat nata random
fresh a1 b1
reaches "random and random" a1 b1 "$RELAYED" relay
reaches "random, and the gateway" a1 gw direct direct
reaches "one home, a random router" a1 a2 lan lan
nat nata cone
fresh a1 b1
reaches "cone and random" a1 b1 "$PUNCHED" direct
nat nata easy
nat natb easy

# UDP does not pass between the two homes; it does to everybody else.
block_udp nata "${NAT_ADDRESS[natb]}"
fresh a1 b1
reaches "UDP blocked between the two" a1 b1 "$RELAYED" relay
unblock_udp nata

# A router that forgets, under a session; then with another address.
fresh a1 b1
reaches "before the router restarts" a1 b1 "$PUNCHED" direct
restart_router nata
reaches "after the router restarted, the gateway" a1 gw direct direct
reaches "after the router restarted" a1 b1 "$PUNCHED" direct
restart_router nata 192.0.2.111
reaches "with another address, the gateway" a1 gw direct direct
reaches "with another address" a1 b1 "$PUNCHED" direct

# Behind two routers.
place b1 natc 192.168.7.11
fresh a1 b1
reaches "double translation, and the gateway" b1 gw direct direct
reaches "easy and double" a1 b1 "$PUNCHED" direct

# No router at all, but a filter on each machine.
place a1 lan 192.0.2.21
place b1 lan 192.0.2.31
firewall a1 on
firewall b1 on
fresh a1 b1
reaches "filters on both machines" a1 b1 "$PUNCHED" direct
firewall a1 off
firewall b1 off

# Whoever relays goes: the gateway. a2 can be reached now, and relays as well.
place a1 nata 192.168.1.11
place b1 natb 192.168.1.11
place a2 lan 192.0.2.22
nat nata random
nat natb random
fresh a1 a2 b1
reaches "before the gateway goes" a1 b1 "$RELAYED" relay
on gw systemctl stop omertad.socket omertad6.socket omertad.service
reaches "the gateway is gone" a1 b1 "$RELAYED" relay
lab_done
