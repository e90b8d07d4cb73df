#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# NetworkManager drives: the VPN type omerta, with the real NetworkManager on m1.
. "$(dirname "$0")/mesh.sh"
need_omerta
[ -x "$OMERTA_BUILD_DIR/nm-plugin/nm-omerta-service" ] || lab_skip "the plugin is not built (libnm-dev)"
LAB_PACKAGES+=(network-manager libnm0)

# m1's eth0 is NetworkManager's, with a default route: without one it starts no VPN. On gw it does not run.
lab_prepare_hook() { # MACHINE ITS-DIRECTORY
        if [ "$1" != m1 ]; then
                ln -s /dev/null "$2/etc/systemd/system/NetworkManager.service"
                return
        fi
        mkdir -p "$2/etc/NetworkManager/system-connections"
        printf '%s\n' '[connection]' id=wire type=ethernet interface-name=eth0 \
                '[ipv4]' method=manual address1=192.0.2.11/24,192.0.2.1 '[ipv6]' method=link-local \
                >"$2/etc/NetworkManager/system-connections/wire.nmconnection"
        chmod 600 "$2/etc/NetworkManager/system-connections/wire.nmconnection"
}

lab_start gw m1
mesh_up
enable_omerta m1

nm() { on m1 nmcli "$@"; }
up() { nm --wait 30 connection up "$@"; }
down() { nm --wait 30 connection down "$@"; }
is_on() { nm -t -f NAME connection show --active | grep -x "$1" >/dev/null; }
is_off() { ! is_on "$1"; }
nm_journal() { on m1 journalctl -q --no-pager -o cat -u NetworkManager; }
says() { nm_journal | grep -F "$1" >/dev/null; }
journal_says() { # TEXT
        wait_for 10 "the journal to say: $1" says "$1"
        ok "the journal says: $1"
}
plugin() { on m1 pidof nm-omerta-service; }
no_plugin() { ! plugin >/dev/null; }
no_interface() { ! on m1 ip link show "$1" >/dev/null 2>&1; }
# "True" or "False" for a network of m1.
held() { on m1 omerta -n "$1" network show --json | pick "d['addresses_held']"; }
held_is() { [ "$(held "$1")" = "$2" ]; }
state_of() { on m1 omerta -n "$1" network show --json 2>/dev/null | pick "d['state']"; }
state_becomes() { [ "$(state_of "$1")" = "$2" ]; }
addresses() { on m1 ip -4 -o address show dev "$1" | sed 's/.*inet //; s/ .*//'; }
addresses6() { on m1 ip -6 -o address show dev "$1" | sed 's/.*inet6 //; s/ .*//'; }
has_address() { [ "$(addresses omerta0)" = "$1" ]; }
route() { on m1 ip route show dev omerta0 10.77.0.0/16; }
ifindex() { on m1 cat /sys/class/net/omerta0/ifindex; }
profile() { # NAME DATA [SECRETS]
        nm connection add type vpn vpn-type omerta con-name "$1" -- vpn.data "$2" ${3:+vpn.secrets "$3"}
}
invite() { on gw omerta "$@" network invite; }
show_logs() { [ "$LAB_FAILED" = 0 ] || nm_journal | tail -60 | sed 's/^/#   /'; }
trap 'show_logs; lab_end' EXIT

# It found eth0 configured when it started, and leaves such interfaces alone until it is told.
wait_for 30 "NetworkManager to take eth0 over" nm connection up wire

# ---- a network that this machine is in ----------------------------------------------------------

check "m1 joins" on m1 omerta network join "$(invite)"
wait_for 15 "m1 to be online" state_is m1 online
before=$(addresses6 omerta0)
default=$(on m1 ip route show default)
check "a profile is added" profile mesh network=home
check "it is switched on while the network is up" up mesh
check "nmcli lists it" is_on mesh
same "as a VPN" "vpn:activated" "$(nm -t -f TYPE,STATE connection show --active | grep ^vpn)"
same "its IPv4 address" 10.77.0.100/16 "$(addresses omerta0)"
same "its IPv6 address" "$before" "$(addresses6 omerta0)"
contains "NetworkManager's own route" "metric 50" "$(route)"
same "the default route stays" "$default" "$(on m1 ip route show default)"
same "and nothing else leads to the gateway of the LAN" "" "$(on m1 ip route show 192.0.2.1)"
same "omertad leaves the addresses to it" True "$(held home)"
check "m1 reaches the gateway" pings m1 10.77.0.1
pid=$(plugin)
same "the service runs as omerta" omerta "$(on m1 stat -c %U "/proc/$pid")"
same "with no capability" "0000000000000000 0000000000000000" \
        "$(on m1 sed -n 's/^Cap\(Eff\|Prm\):\t//p' "/proc/$pid/status" | xargs)"
contains "omerta says so" "addresses set by another program" "$(on m1 omerta status)"
name=$(on m1 busctl --list --acquired 2>/dev/null | sed -n 's/^\(org.freedesktop.NetworkManager.omerta[^ ]*\).*/\1/p')
contains "its name is the connection's own" .Connection_ "$name"
refuse "and nobody but NetworkManager talks to it" as bob m1 busctl call "$name" \
        /org/freedesktop/NetworkManager/VPN/Plugin org.freedesktop.NetworkManager.VPN.Plugin Disconnect
check "omertad sets another MTU" on m1 omerta network set mtu 1300
same "which the interface has" 1300 "$(on m1 cat /sys/class/net/omerta0/mtu)"
check "and it stays on" is_on mesh
on m1 omerta network set mtu 1420
profile twin network=home >/dev/null
refuse "another profile of the same network is not switched on" up twin
journal_says "another program sets the addresses of this network already"
check "the first is not harmed" is_on mesh
check "and reaches the gateway" pings m1 10.77.0.1
nm connection delete twin >/dev/null

check "it is switched off" down mesh
wait_for 10 "the service to end" no_plugin
same "the network is down" down "$(state_of home)"
check "the interface is gone" no_interface omerta0
check "it is switched on from there" up mesh
same "with the same address" 10.77.0.100/16 "$(addresses omerta0)"
contains "and route" 10.77.0.0/16 "$(route)"
wait_for 15 "m1 to reach the gateway" pings m1 10.77.0.1

# ---- omertad comes and goes ---------------------------------------------------------------------

index=$(ifindex)
for how in "systemctl restart omertad.service" "systemctl kill -s KILL omertad.service"; do
        old=$(main_pid m1)
        # shellcheck disable=SC2086
        on m1 $how
        wait_for 20 "omertad to be there again" restarted m1 "$old"
        wait_for 15 "the service to hold the addresses again" held_is home True
        check "it is on after: $how" is_on mesh
        same "on the same interface" "$index" "$(ifindex)"
        wait_for 15 "m1 to reach the gateway after: $how" pings m1 10.77.0.1
done

on m1 sh -c 'kill -KILL $(pidof nm-omerta-service)'
wait_for 10 "the connection to end with its service" is_off mesh
wait_for 10 "omertad to set the addresses again" held_is home False
wait_for 10 "the address to be back" has_address 10.77.0.100/16
wait_for 15 "m1 to reach the gateway without the service" pings m1 10.77.0.1
ok "a service that crashes leaves the network on"
check "and the profile is switched on again" up mesh

on m1 omerta down
wait_for 10 "the connection to end with the network" is_off mesh
journal_says "the network was switched off"
ok "who switches the network off ends the connection"
wait_for 10 "the service to end" no_plugin

check "it is switched on again" up mesh
on m1 systemctl stop omertad.service omertad.socket omertad6.socket
wait_for 20 "the connection to end with omertad" is_off mesh
journal_says "omertad has ended"
refuse "and omertad is not started by the service" on m1 systemctl is-active --quiet omertad.service
check "the profile starts it again" up mesh
on m1 systemctl start omertad.socket omertad6.socket

# ---- the machine's network ----------------------------------------------------------------------

down mesh >/dev/null
uuid=$(nm -g connection.uuid connection show mesh)
nm connection modify wire +connection.secondaries "$uuid"
check "it comes with the connection it is secondary to" nm --wait 30 connection up wire
wait_for 30 "the secondary to be on" is_on mesh
down mesh >/dev/null
# NetworkManager takes a secondary that is still on for one that cannot be switched on, and the wire
# does not come back: not both.
nm connection modify wire connection.secondaries ""
nm --wait 30 connection up wire >/dev/null
nm connection modify mesh vpn.persistent yes
up mesh >/dev/null
index=$(ifindex)
net lan ip link set m1 down
wait_for 30 "the wire to be without a carrier" is_off wire
check "a persistent one stays without the wire" is_on mesh
same "on the same interface" "$index" "$(ifindex)"
net lan ip link set m1 up
wait_for 60 "the wire to be back" is_on wire
wait_for 30 "m1 to reach the gateway again" pings m1 10.77.0.1
on m1 systemctl restart NetworkManager
wait_for 30 "NetworkManager to be back" nm general status
wait_for 30 "the wire to be on" is_on wire
wait_for 10 "the service to end with NetworkManager" no_plugin
same "the network goes down with NetworkManager" down "$(state_of home)"
nm connection modify mesh vpn.persistent no

# ---- one user's profile -------------------------------------------------------------------------

printf 'polkit.addRule(function(a, s) { if (a.id.indexOf("org.freedesktop.NetworkManager.") == 0) return polkit.Result.YES; });\n' |
        on m1 sh -c 'cat >/etc/polkit-1/rules.d/50-nm.rules'
nm connection modify mesh connection.permissions user:alice
# In one login: NetworkManager ends what a user alone may have when she logs out.
# shellcheck disable=SC2016
alice_up() { as alice m1 sh -c 'nmcli --wait 30 connection up mesh >&2 && ip -4 -o address show dev omerta0'; }
wait_for 20 "alice to switch her profile on" alice_up
contains "alice's profile has its address" " 10.77.0.100/16 " "$(alice_up)"
wait_for 20 "alice's connection to end when she logs out" is_off mesh
wait_for 10 "the service to end" no_plugin
refuse "bob does not see her profile" as bob m1 nmcli connection show mesh
nm connection modify mesh connection.permissions ""
up mesh >/dev/null
on m1 nmcli networking off
wait_for 20 "the connection to end with all others" is_off mesh
wait_for 10 "the service to end" no_plugin
same "as all others are, the network is off" down "$(state_of home)"
on m1 nmcli networking on
wait_for 30 "the wire to be on" is_on wire

# ---- two networks -------------------------------------------------------------------------------

on gw omerta network create work --subnet 10.78.0.0/16 >/dev/null
check "a profile with an invite is added" profile work network=work "invite=$(invite -n work)"
check "it is switched on, and joins" up work
check "the other beside it" up mesh
check "work is on" is_on work
check "home is on" is_on mesh
wait_for 15 "m1 to reach home" pings m1 10.77.0.1
wait_for 15 "m1 to reach work" pings m1 10.78.0.1
check "home is switched off" down mesh
check "work stays" is_on work
check "and is reached" pings m1 10.78.0.1
check "deleting a profile that is on" nm connection delete work
wait_for 10 "the service to end" no_plugin
same "switches its network off" down "$(state_of work)"
on m1 omerta -n work network leave >/dev/null

# ---- invites ------------------------------------------------------------------------------------

up mesh >/dev/null
on gw omerta -n home network revoke --yes 10.77.0.100 >/dev/null
wait_for 15 "the connection of a machine that is no member to end" is_off mesh
journal_says "this machine is no member any more"
ok "a revoked machine's connection ends"
refuse "and is not switched on again" up mesh
on m1 omerta -n home network leave >/dev/null
link=$(invite -n home)
check "a profile with nothing but an invite" profile link "" "invite=$link"
check "joins" up link
wait_for 15 "the network to be online" state_becomes home online
down link >/dev/null
check "its invite names the network from then on" up link
on gw omerta -n home network revoke --yes m1 >/dev/null
wait_for 15 "the connection to end" is_off link
on m1 omerta -n home network leave >/dev/null
refuse "a used invite lets nobody in" up link
journal_says "link: the connection ends: the invite has been used already"
profile wrong "" invite=omerta://join/aaaa >/dev/null
refuse "nor one that is not whole" up wrong
journal_says "this is no whole omerta:// link"
profile none network=nowhere >/dev/null
refuse "nor none" up none
journal_says "not in the network nowhere, and there is no invite"
profile odd network=home,colour=blue >/dev/null
refuse "a profile with an unknown item is not switched on" up odd
profile empty "" >/dev/null
refuse "nor one that names no network" up empty
on m1 journalctl -q --no-pager >"$LAB_STATE/journal"
refuse "no link is in the journal" grep -F "${link#omerta://join/}" "$LAB_STATE/journal"
file=$(nm -g FILENAME,NAME connection show | sed -n 's/:link$//p')
same "the profile with the link is root's alone" "600 root" "$(on m1 stat -c '%a %U' "$file")"

# ---- files --------------------------------------------------------------------------------------

write() { on m1 sh -c 'cat >"$1"' - "$1"; } # FILE
for p in link wrong none odd empty; do nm connection delete $p >/dev/null; done
invite -n home | write /root/club.omerta
check "an invite is imported" nm connection import type omerta file /root/club.omerta
check "as a profile" nm connection show club
check "which joins" up club
same "with an address" 10.77 "$(addresses omerta0 | cut -d . -f 1,2)"
down club >/dev/null
refuse "a profile that has an invite alone is not exported" nm connection export club /root/out.omerta
nm connection modify club +vpn.data network=home
check "one that names its network is" nm connection export club /root/out.omerta
same "without its secret" $'[omerta]\nnetwork=home' "$(on m1 cat /root/out.omerta)"
nm connection delete club >/dev/null
check "what was exported is imported" nm connection import type omerta file /root/out.omerta
check "and switched on, without an invite" up out
down out >/dev/null
for text in "" "https://example.org" $'[omerta]\ncolour=blue' $'[omerta]\nnetwork=a b' "$(head -c 5000 /dev/zero | tr '\0' a)"; do
        printf '%s' "$text" | write /root/bad.omerta
        refuse "this is not imported: $(head -c 30 <<<"$text" | tr '\n' ' ')" \
                nm connection import type omerta file /root/bad.omerta
done
head -c 3000 /dev/urandom | write /root/bad.omerta
refuse "nor is what is no text" nm connection import type omerta file /root/bad.omerta

# ---- asked for the link -------------------------------------------------------------------------

on m1 omerta -n home network leave >/dev/null
profile ask "invite-flags=2" >/dev/null
refuse "without a link and nobody to ask it is not switched on" up ask
link=$(invite -n home)
# shellcheck disable=SC2016
ask() { on m1 sh -c 'printf "%s\n" "$1" | nmcli --wait 30 --ask connection up ask' - "$1"; }
check "nmcli asks for the link, and joins with it" ask "$link"
check "it is on" is_on ask
refuse "the link is not stored" on m1 grep -rqF "${link#omerta://join/}" /etc/NetworkManager
down ask >/dev/null

on m1 journalctl -q --no-pager >"$LAB_STATE/journal"
refuse "no link is in the journal" grep -F "${link#omerta://join/}" "$LAB_STATE/journal"
lab_done
