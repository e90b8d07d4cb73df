# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Homes behind routers, for the machines of lab.sh; sourced after mesh.sh.
#
#   lan  ==+==========+=============+=========+===========+==   192.0.2.0/24, 2001:db8::/64,
#          |          |             |         |           |     the internet
#          gw .10     nata .101     natb .102 nate .105   natd .104
#                     |             |         |           |
#                ==+==+==+==     ==+==        |         ==+==   192.168.1.0/24, thrice the same
#                  a1    a2        b1         |           natc .50
#                 .11   .12       .11         |           |
#                                           ==+==       ==+==   192.168.7.0/24
#                                           10.77.50.0/24: of the network's own range
#
#   homes MACHINE=SITE:ADDRESS...    where the machines stand before they boot
#   place MACHINE SITE ADDRESS       goes there: lan, nata, ...
#   place6 MACHINE NUMBER            has 2001:db8::NUMBER as well, in the lan; only6 MACHINE: no IPv4
#   nat ROUTER KIND                  easy, random or cone
#   restart_router ROUTER [ADDRESS]  forgets all it translates; has another address then
#   firewall MACHINE on|off          a filter on the machine: lets in what answers
#   block_udp ROUTER ADDRESS         nothing between its inside and there; unblock_udp ROUTER
#   line ROUTER MTU                  what is longer it swallows, and says nothing of it
#   offer_blob MACHINE               bytes for fetch
#   fetch FROM ADDRESS               their checksum, as it arrived
#   kind_of_pair FROM TO             none, relay, direct or lan, as FROM tells it
#
# Linux translates so that one mapping serves all destinations while the port is free, and lets in
# who was asked (easy), or with "fully-random" makes a mapping for each destination (random). It has
# no hairpin. What comes to the router itself is dropped, as at home: else it would note who came
# first, and give another port to what goes there next; two who ask at once would never meet.

declare -A NAT_ADDRESS=([nata]=192.0.2.101 [natb]=192.0.2.102 [natd]=192.0.2.104 [natc]=192.168.1.50 [nate]=192.0.2.105)
declare -A NAT_OUTER=([nata]=lan [natb]=lan [natd]=lan [natc]=natd [nate]=lan)
declare -A NAT_INSIDE=([nata]=192.168.1 [natb]=192.168.1 [natd]=192.168.1 [natc]=192.168.7
        [nate]=10.77.50)
declare -A NAT_SITE # of a machine: where the other end of its cable is
NAT_HOMES=()

homes() { NAT_HOMES=("$@"); }

# Cone: who finds the port gets in, for as long as the inside has used it in the last two minutes.
nat() { # ROUTER KIND
        local masquerade=masquerade cone=
        case $2 in
        easy) ;;
        random) masquerade='masquerade fully-random' ;;
        cone) cone=1 ;;
        *) echo "lab: no such kind of router: $2"; exit 1 ;;
        esac
        net "$1" nft -f - <<EOF
table ip nat
delete table ip nat
table ip nat {
        map cone {
                typeof udp sport : ip saddr
                flags dynamic,timeout
                timeout 120s
                size 65535
        }
        chain forward {
                type filter hook forward priority filter; policy drop;
                ${cone:+iifname "br0" oifname "wan" meta l4proto udp update @cone { udp sport : ip saddr \}}
                iifname "br0" oifname "wan" accept
                ct state established,related accept
                ct status dnat accept
        }
        chain input {
                type filter hook input priority filter; policy accept;
                iifname "wan" ct state new drop
        }
        chain prerouting {
                type nat hook prerouting priority dstnat;
                ${cone:+iifname "wan" meta l4proto udp dnat to udp dport map @cone}
        }
        chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname "wan" $masquerade
        }
}
EOF
}

nat_router() { # ROUTER
        local r=$1 outer=${NAT_OUTER[$1]}
        ip netns add "$LAB_PREFIX-$r" || return 1
        LAB_ROUTERS+=("$r")
        net "$r" ip link set lo up
        # The lowest address of its ports, else: another one when a machine goes, and those that stay
        # send to the one before until they ask again, up to a minute later.
        net "$r" ip link add br0 address "02:00:5e:00:00:0${#LAB_ROUTERS[@]}" \
                type bridge forward_delay 0 mcast_snooping 0
        net "$r" ip address add "${NAT_INSIDE[$r]}.1/24" dev br0
        net "$r" ip link set br0 up
        ip link add wan netns "$LAB_PREFIX-$r" type veth peer name "$r" \
                netns "$LAB_PREFIX-$outer" || return 1
        net "$outer" ip link set "$r" master br0 up
        net "$r" sysctl -qw net.ipv4.ip_forward=1
        # What stays inside passes a switch and no rules; there are kernels without the setting.
        net "$r" sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null
        nat "$r" easy && nat_wan "$r" "${NAT_ADDRESS[$r]}"
}

nat_wan() { # ROUTER ADDRESS
        local outer=${NAT_OUTER[$1]}
        NAT_ADDRESS[$1]=$2
        net "$1" ip address flush dev wan
        net "$1" ip address add "$2/24" dev wan
        net "$1" ip link set wan up
        [ "$outer" = lan ] || net "$1" ip route replace default via "${NAT_INSIDE[$outer]}.1"
}

# The kernel forgets the translations of an interface that goes down.
restart_router() { # ROUTER [ADDRESS]
        net "$1" ip link set wan down
        nat_wan "$1" "${2:-${NAT_ADDRESS[$1]}}"
}

# As when a cable is pulled and put in elsewhere, by a machine that has its address at once.
place() { # MACHINE SITE ADDRESS
        local m=$1 site=$2 old=${NAT_SITE[$1]:-lan}
        net "$m" ip address flush dev eth0
        [ "$old" = "$site" ] || net "$old" ip link set "$m" netns "$LAB_PREFIX-$site"
        net "$site" ip link set "$m" master br0 up
        net "$m" ip address add "$3/24" dev eth0
        [ "$site" = lan ] || net "$m" ip route replace default via "${NAT_INSIDE[$site]}.1"
        NAT_SITE[$m]=$site
        LAB_ADDRESS[$m]=$3
}

# An address at once: nobody else has it.
place6() { net "$1" ip address add "2001:db8::$2/64" dev eth0 nodad; } # MACHINE NUMBER

only6() { net "$1" ip -4 address flush dev eth0; } # MACHINE

lab_topology_hook() {
        local r home m at
        for r in nata natb natd natc nate; do nat_router "$r" || return 1; done
        for home in "${NAT_HOMES[@]}"; do
                m=${home%%=*}
                at=${home#*=}
                place "$m" "${at%%:*}" "${at#*:}" || return 1
        done
}

firewall() { # MACHINE on|off
        if [ "$2" = off ]; then
                net "$1" nft delete table inet host
                return
        fi
        net "$1" nft -f - <<'EOF'
table inet host {
        chain input {
                type filter hook input priority filter; policy accept;
                iifname "eth0" ct state established,related accept
                iifname "eth0" meta l4proto udp drop
        }
}
EOF
}

block_udp() { # ROUTER ADDRESS
        net "$1" nft -f - <<EOF
table ip blocked {
        chain forward {
                type filter hook forward priority filter - 10;
                ip saddr $2 meta l4proto udp drop
                ip daddr $2 meta l4proto udp drop
        }
}
EOF
}

unblock_udp() { net "$1" nft delete table ip blocked; }

# Both ways: to go in it has to fit the bridge.
line() { # ROUTER MTU
        net "$1" nft -f - <<'EOF'
table ip silent
delete table ip silent
table ip silent {
        chain output {
                type filter hook output priority filter;
                icmp type destination-unreachable drop
        }
}
EOF
        net "$1" ip link set wan mtu "$2"
        net "$1" ip link set br0 mtu "$2"
}

# 2 MB that a machine offers to the network, for as long as it runs.
offer_blob() { # MACHINE
        on "$1" sh -c 'test -e /root/blob || head -c 2000000 /dev/urandom >/root/blob'
        on "$1" systemd-run --quiet --collect --unit=blob python3 -c '
import socket
s = socket.create_server(("", 9000))
blob = open("/root/blob", "rb").read()
while True:
        c = s.accept()[0]
        try:
                c.sendall(blob)
        except OSError:
                pass
        c.close()'
        wait_for 10 "$1 to offer something" on "$1" sh -c 'ss -Htln sport = :9000 | grep -q .'
}

# A line that shrinks swallows what is too long for seven seconds at most; TCP tries again a moment
# later, or after as long once more.
fetch() { # FROM ADDRESS
        on "$1" timeout 30 python3 -c '
import hashlib, socket, sys
s = socket.create_connection((sys.argv[1], 9000), 20)
h = hashlib.sha256()
while data := s.recv(65536):
        h.update(data)
print(h.hexdigest())' "$2" 2>/dev/null
}

kind_of_pair() { # FROM TO: "lan" only where they share a home
        local inside=nowhere
        [ "${NAT_SITE[$1]:-lan}" = lan ] || [ "${NAT_SITE[$1]}" != "${NAT_SITE[$2]:-lan}" ] ||
                inside=${LAB_ADDRESS[$2]}
        on "$1" omerta network peers --json | python3 -c '
import json, sys
machines = next(v for v in json.load(sys.stdin).values() if isinstance(v, list))
m = next((m for m in machines if m["host_name"] == sys.argv[1]), {})
kind = m.get("path") or "none"
inside = (m.get("endpoint") or "").startswith(sys.argv[2] + ":")
print("lan" if kind == "direct" and inside else kind)' "$2" "$inside"
}
