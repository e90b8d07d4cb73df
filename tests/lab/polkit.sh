#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may do what: polkit decides, for users who are not root. Reading is for everybody.
. "$(dirname "$0")/mesh.sh"
need_omerta
lab_start gw

# busctl replaces the text of every AccessDenied: gdbus shows what the daemon says.
call() { # USER OBJECT METHOD ARGS...
        local user=$1 object=$2
        shift 2
        as "$user" gw gdbus call --system --dest org.omerta.Mesh1 --object-path "$object" --method "$@" 2>&1
}
manager=org.omerta.Mesh1.Manager
denied() { # WHAT OUTPUT
        case $2 in
        *org.freedesktop.DBus.Error.AccessDenied* | *InteractiveAuthorizationRequired*) ok "$1" ;;
        *) not_ok "$1" "$2" ;;
        esac
}
allow() { # ACTION USER
        printf 'polkit.addRule(function(a, s) { if (a.id == "org.omerta.Mesh1.%s" && s.user == "%s") return polkit.Result.YES; });\n' \
                "$1" "$2" | on gw sh -c "cat >/etc/polkit-1/rules.d/50-$1-$2.rules"
}

enable_omerta gw
contains "alice may look" "0." "$(call alice /org/omerta/Mesh1 org.freedesktop.DBus.Properties.Get $manager Version)"
denied "alice may not create a network" "$(call alice /org/omerta/Mesh1 $manager.CreateNetwork home '{}')"
denied "nor join one" "$(call alice /org/omerta/Mesh1 $manager.Join omerta://join/x '{}')"

allow manage-networks alice
created() { [[ $(call alice /org/omerta/Mesh1 $manager.CreateNetwork home "{}") == *network/* ]]; }
wait_for 10 "polkit to read the rule, and let alice create a network" created
ok "a rule lets alice create a network"
home=$(on gw busctl --json=short call "${MESH_BUS[@]}" GetNetwork s home | pick "d['data'][0]")
denied "bob may still not" "$(call bob /org/omerta/Mesh1 $manager.CreateNetwork other '{}')"
denied "alice may not invite: that is another action" "$(call alice "$home" org.omerta.Mesh1.Network.Invite '{}')"
denied "nor see the invites" "$(call alice "$home" org.omerta.Mesh1.Network.ListInvites)"
denied "nor switch the network off" "$(call alice "$home" org.omerta.Mesh1.Network.Down)"
denied "bob may not end it" "$(call bob "$home" org.omerta.Mesh1.Network.Leave "{'force': <true>}")"
contains "bob may see it" "'home'" "$(call bob "$home" org.freedesktop.DBus.Properties.Get org.omerta.Mesh1.Network Name)"
allow manage-gateway bob
invited() { [[ $(call bob "$home" org.omerta.Mesh1.Network.Invite "{}") == *omerta://join/* ]]; }
wait_for 10 "polkit to read the rule, and let bob invite" invited
ok "a rule lets bob invite"
denied "but bob may not forward" \
        "$(call bob "$home" org.omerta.Mesh1.Network.AddForward local 2222 nas:22 '{}')"
allow forward bob
forwarded() { [[ $(call bob "$home" org.omerta.Mesh1.Network.AddForward local 2222 nas:22 '{}') == */forward/1* ]]; }
wait_for 10 "polkit to read the rule, and let bob forward" forwarded
ok "a rule lets bob forward"
denied "alice may not end it" "$(call alice "$home/forward/1" org.omerta.Mesh1.Forward.Remove)"
denied "the bus lets nobody else own the name" \
        "$(as alice gw gdbus call --system --dest org.freedesktop.DBus --object-path / \
                --method org.freedesktop.DBus.RequestName org.omerta.Mesh1 4 2>&1)"
refuse "nobody else reads the state" as alice gw ls /var/lib/omerta
lab_done
