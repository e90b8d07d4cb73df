#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon of an ordinary user: started by hand, by its proxy's socket and by the session bus;
# without privilege, for that user alone, beside the system's.
. "$(dirname "$0")/user-mesh.sh"
need_omerta
lab_start gw m1
mesh_up
user_linger alice m1
user_linger bob m1
alice() { user alice m1 "$@"; }
bob() { user bob m1 "$@"; }
runtime=/run/user/$(on m1 id -u alice)
state_of() { alice systemctl --user is-active "$1"; }
stopped() { [ "$(state_of omertad.service)" = inactive ]; }
stop() {
        alice systemctl --user stop --quiet omertad.service 2>/dev/null
        wait_for 10 "alice's daemon to stop" stopped
        # systemd starts nothing more often than 5 times in 10 seconds; this test does.
        alice systemctl --user reset-failed omertad.service
}

# ---- with nothing configured --------------------------------------------------------------------

check "systemd finds no fault with the units" \
        alice systemd-analyze --user verify --man=no omertad.service omertad-socks.socket
same "nothing runs yet" inactive "$(state_of omertad.service)"
check "systemctl --user start" alice systemctl --user start omertad
same "it is a user's" user "$(alice omerta status --json | pick "d['daemon']['mode']")"
user_join alice m1
address=$(alice omerta network address)
same "it has an address" 10.77.0.100 "$address"
contains "it pings by name" "gw (10.77.0.1)" "$(alice omerta ping --count 1 gw)"
check "it pings by address" alice omerta ping --count 1 10.77.0.1
contains "omerta status says that it is online" "home: online" "$(alice omerta status)"
same "the kernel's TCP serves it" kernel "$(alice omerta status --json | pick "d['daemon']['netstack']")"

pid=$(user_pid alice m1)
field() { on m1 sed -n "s/^$1:\t//p" "/proc/$pid/status"; }
same "it runs as alice" alice "$(on m1 stat -c %U "/proc/$pid")"
same "it has no capability" "0000000000000000 0000000000000000" "$(field CapEff) $(field CapPrm)"
same "and gets none by exec" 1 "$(field NoNewPrivs)"
refuse "there is no interface" on m1 ip link show omerta0
state=$(on m1 sh -c 'tr "\0" "\n" <"$1" | sed -n "s/^STATE_DIRECTORY=//p"' - "/proc/$pid/environ")
contains "its state is below alice's home" /home/alice/ "$state"
same "and belongs to her alone" "700 alice" "$(on m1 stat -c '%a %U' "$state")"

# ---- restarts -----------------------------------------------------------------------------------

id=$(alice omerta status --json | pick "d['daemon']['machine']")
again() { # HOW COMMAND...
        local how=$1 old
        shift
        old=$(user_pid alice m1)
        alice "$@"
        wait_for 15 "alice's daemon to be back after $how" user_restarted alice m1 "$old"
        same "it is the same machine at the same address after $how" "$id $address" \
                "$(alice omerta status --json | pick "d['daemon']['machine'] + ' ' + d['networks'][0]['address']")"
}
again "a restart" systemctl --user restart omertad
again "kill -9" systemctl --user kill -s KILL omertad
check "reload" alice systemctl --user reload omertad

# ---- activation ---------------------------------------------------------------------------------

page=$(random_file gw /var/tmp/page 1)
serve_file gw /var/tmp/page
socks() { # USER: by alice's socket
        user "$1" m1 curl -sS -m 20 --proxy "socks5h://localhost$runtime/omerta/socks" \
                http://gw.omerta:8080/ | sha256sum | cut -d ' ' -f 1
}
stop
same "the proxy's socket stays" "$runtime/omerta/socks" \
        "$(on m1 ss -Hlx src "$runtime/omerta/socks" | tr -s ' ' | cut -d ' ' -f 5)"
same "it belongs to alice alone" "600 alice" "$(on m1 stat -c '%a %U' "$runtime/omerta/socks")"
same "a connection to it starts the daemon, and is served" "$page" "$(socks alice)"
check "which runs now" user_active alice m1
stop
alice systemctl --user restart omertad-socks.socket
same "the socket alone" inactive "$(state_of omertad.service)"
same "starts the daemon as well" "$page" "$(socks alice)"
stop
same "a call on the session bus starts it" "$address" "$(alice omerta --user network address)"
check "which runs now as well" user_active alice m1

# ---- for alice alone ----------------------------------------------------------------------------

refuse "bob cannot use her proxy" bob curl -sS -m 5 -o /dev/null \
        --proxy "socks5h://localhost$runtime/omerta/socks" http://gw.omerta:8080/
bob env DBUS_SESSION_BUS_ADDRESS=unix:path="$runtime/bus" omerta --user status >"$LAB_STATE/bob" 2>&1
same "nor her bus" 3 $?
refuse "nor read her state" bob ls "$state"
bob omerta --user network address >"$LAB_STATE/bob" 2>&1
same "his own daemon is in no network" 4 $?
check "and another machine" [ "$(bob omerta --user status --json | pick "d['daemon']['machine']")" != "$id" ]
bob systemctl --user stop --quiet omertad.service omertad-socks.socket

# As the comments of the socket unit have it, for programs that know TCP only.
user_edit alice m1 omertad-socks.socket <<<$'[Socket]\nListenStream=127.0.0.1:1080'
user_edit alice m1 omertad.service <<<$'[Service]\nSetCredential=socks-auth:alice:secret'
stop
alice systemctl --user restart omertad-socks.socket
tcp() { user "$1" m1 curl -sS -m 20 -o /dev/null "${@:2}" --socks5-hostname 127.0.0.1:1080 http://gw.omerta:8080/; }
check "the proxy has a TCP port" tcp alice -U alice:secret
refuse "bob does not know its password" tcp bob
refuse "and cannot guess it" tcp bob -U alice:guess

# The unit's comment on RestrictNamespaces=.
user_edit alice m1 omertad.service <<<$'[Service]\nRestrictNamespaces=yes'
stop
alice systemctl --user start omertad.service
wait_for 15 "alice's daemon to be online without namespaces" user_online alice m1
contains "without namespaces lwIP serves it, and says why" "Stack: lwip: user namespaces are forbidden" \
        "$(alice omerta status)"
check "and pings as well" alice omerta ping --count 1 gw

# ---- beside the system's ------------------------------------------------------------------------

enable_omerta m1
check "the machine joins as well" on m1 omerta network join "$(on gw omerta network invite)"
wait_for 15 "the machine to be online" state_is m1 online
system=$(address_of m1)
same "with an address of its own" 10.77.0.101 "$system"
same "alice is asked about hers" "$address" "$(alice omerta network address)"
same "or about the machine's" "$system" "$(alice omerta --system network address)"
wait_for 15 "the machine to reach the gateway" pings m1 10.77.0.1
wait_for 15 "the machine to reach alice" pings m1 "$address"
ok "the machine reaches the gateway and alice"
check "alice reaches the machine" alice omerta ping --count 1 "$system"
stop
same "when hers has stopped the machine's is asked" "$system" "$(alice omerta network address)"

# ---- every time she logs in ---------------------------------------------------------------------

check "enable" alice systemctl --user enable --quiet omertad
on m1 systemctl restart "user@$(on m1 id -u alice).service"
wait_for 15 "alice's daemon to be online after a login" user_online alice m1
same "an enabled one is there after the login" "$address" "$(user_network alice m1 address)"

# ---- what the journal says ----------------------------------------------------------------------

log=$(alice journalctl --user -q --no-pager -o cat -u omertad.service)
for line in "omertad 0" "home: joined as m1" "home: address $address" "home: stack kernel: " "home: online"; do
        contains "alice's journal says '$line'" "$line" "$log"
done
same "there was nothing to warn of" "" \
        "$(on m1 journalctl -q --no-pager -o cat -p warning _SYSTEMD_USER_UNIT=omertad.service)"
lab_done
