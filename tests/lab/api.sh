#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# busctl can do all of it: create, invite, join, list, revoke, leave; errors have names.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw m1 m2
for m in gw m1 m2; do enable_omerta $m; done

iface=org.omerta.Mesh1.Network
call() { # MACHINE PATH INTERFACE METHOD ARGS...: the reply's first value
        local m=$1 path=$2
        shift 2
        on "$m" busctl --json=short --timeout=15 call org.omerta.Mesh1 "$path" "$@" | pick "d['data'][0]"
}
property() { # MACHINE PATH INTERFACE NAME
        on "$1" busctl --json=short get-property org.omerta.Mesh1 "$2" "$3" "$4" | pick "d['data']"
}
fails() { # WHAT ERROR MACHINE ARGS of gdbus --method: busctl does not show names
        local what=$1 error=$2 m=$3
        shift 3
        contains "$what" "org.omerta.Mesh1.Error.$error" \
                "$(on "$m" gdbus call --system --dest org.omerta.Mesh1 "$@" 2>&1)"
}
manager=(/org/omerta/Mesh1 org.omerta.Mesh1.Manager)

contains "no network yet" "[]" "$(property gw "${manager[@]}" Networks)"
fails "an invite that is none" InviteInvalid m1 --object-path "${manager[0]}" \
        --method "${manager[1]}.Join" "omerta://join/nonsense" "{}"
fails "an option nobody knows" InvalidArgument gw --object-path "${manager[0]}" \
        --method "${manager[1]}.CreateNetwork" "home" "{'colour': <'red'>}"

home=$(call gw "${manager[@]}" CreateNetwork 'sa{sv}' home 1 subnet s 10.77.0.0/16)
contains "CreateNetwork gives an object" /org/omerta/Mesh1/network/ "$home"
same "the gateway has host address 1" 10.77.0.1 "$(property gw "$home" $iface Address)"
same "it is the gateway" True "$(property gw "$home" $iface IsGateway)"
same "the interface is omerta0" omerta0 "$(property gw "$home" $iface Interface)"
fails "a name twice" NameTaken gw --object-path "${manager[0]}" \
        --method "${manager[1]}.CreateNetwork" "home" "{}"

link=$(call gw "$home" $iface Invite 'a{sv}' 0)
contains "Invite gives a link" omerta://join/ "$link"
path=$(call m1 "${manager[@]}" Join 'sa{sv}' "$link" 0)
same "the network has the same path everywhere" "$home" "$path"
same "the first member has address .0.100" 10.77.0.100 "$(property m1 "$home" $iface Address)"
fails "an invite is for one" InviteUsed m2 --object-path "${manager[0]}" \
        --method "${manager[1]}.Join" "$link" "{}"
fails "a member cannot invite" NotGateway m1 --object-path "$home" --method $iface.Invite "{}"
link=$(call gw "$home" $iface Invite 'a{sv}' 0)
check "the second joins" call m2 "${manager[@]}" Join 'sa{sv}' "$link" 0
same "and has the next address" 10.77.0.101 "$(property m2 "$home" $iface Address)"

members() { [ "$(property "$1" "$home" $iface Members)" = "$2" ]; }
for m in gw m1 m2; do
        wait_for 15 "$m to know all three" members $m 3
        ok "$m knows all three"
done
objects=$(on m1 busctl --json=short call org.omerta.Mesh1 /org/omerta/Mesh1 \
        org.freedesktop.DBus.ObjectManager GetManagedObjects)
same "the object manager lists the machines" 3 \
        "$(pick "sum('org.omerta.Mesh1.Machine' in o for o in d['data'][0].values())" <<<"$objects")"
same "and the leases" "10.77.0.1 10.77.0.100 10.77.0.101" \
        "$(pick "' '.join(sorted(o['org.omerta.Mesh1.Lease']['Address']['data'] for o in d['data'][0].values() if 'org.omerta.Mesh1.Lease' in o))" <<<"$objects")"

m2_path=$(call gw "$home" $iface FindMachine s m2)
contains "a machine is found by its name" "$home/machine/" "$m2_path"
same "and by its address" "$m2_path" "$(call gw "$home" $iface FindMachine s 10.77.0.101)"
fails "but not if it is none" NoSuchMachine gw --object-path "$home" --method $iface.FindMachine m9

wait_for 15 "m1 to reach m2" pings m1 10.77.0.101
check "Revoke" on gw busctl call org.omerta.Mesh1 "$home" $iface Revoke 'sa{sv}' m2 0
gone() { ! pings "$1" 10.77.0.101; }
for m in gw m1; do
        wait_for 10 "$m to cut m2 off" gone $m
        ok "$m has cut off the revoked machine"
done
fails "a member cannot revoke" NotGateway m1 --object-path "$home" --method $iface.Revoke gw "{}"

check "Leave" on m1 busctl call org.omerta.Mesh1 "$home" $iface Leave 'a{sv}' 0
contains "nothing is left" "[]" "$(property m1 "${manager[@]}" Networks)"
refuse "the interface is gone" on m1 ip link show omerta0
fails "a gateway does not leave by accident" NotPermitted gw --object-path "$home" \
        --method $iface.Leave "{}"
lab_done
