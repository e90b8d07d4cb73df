#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Port forwards of ordinary users' daemons, with both stacks: into the network, out of it, between
# two users of two machines; which of them are there after a restart and a reboot.
. "$(dirname "$0")/user-mesh.sh"
need_omerta
lab_start gw m1 m2
mesh_up
alice() { user alice m1 "$@"; }
bob() { user bob m2 "$@"; }
for who in 'alice m1' 'bob m2'; do
        # shellcheck disable=SC2086 # two words
        user_linger $who
        # shellcheck disable=SC2086
        user $who systemctl --user enable --quiet --now omertad.service
        # shellcheck disable=SC2086
        user_join $who
done
m1=$(alice omerta network address)

user_key alice m1 alice gw
user_key bob m2 alice m1
on gw sh -c 'mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519'
on gw cat /root/.ssh/id_ed25519.pub | on m1 tee -a /home/alice/.ssh/authorized_keys >"$LAB_STATE/tee"
page=$(random_file gw /var/tmp/page 10)
serve_file gw /var/tmp/page
own_page=$(random_file m1 /var/tmp/page 10)
serve_file m1 /var/tmp/page

options=(-n -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR)
alice_at() { alice ssh "${options[@]}" -p "$1" 127.0.0.1 uname -n 2>&1; } # PORT of m1
gw_at() { on gw ssh "${options[@]}" -p "$1" "alice@$m1" uname -n 2>&1; } # PORT of alice's machine
# Where alice logs in her commands ask her daemon.
gw_asks() { on gw ssh "${options[@]}" "alice@$m1" omerta network address 2>&1; }
bob_at() { bob omerta ssh "${options[@]}" -p "$1" alice@m1.omerta uname -n 2>&1; }
fetched() { "$@" | sha256sum | cut -d ' ' -f 1; } # curl COMMAND
forwards() { alice omerta forwards --json | pick "' '.join(sorted(f['direction'] + '=' + f['listen'] for f in d['forwards'] if f['state'] == 'listening'))"; }
id_of() { alice omerta forwards --json | pick "next(f['id'] for f in d['forwards'] if f['listen'] == '$1')"; }
fails() { # WHAT STATUS PART CMD...
        local what=$1 wanted=$2 part=$3 out status
        shift 3
        out=$("$@" 2>&1)
        status=$?
        same "$what: status $wanted" "$wanted" $status
        contains "$what: says so" "$part" "$out"
}

# ---- everywhere to everywhere -------------------------------------------------------------------

both_ways() { # STACK
        local endpoint
        endpoint=$(alice omerta forward 0:gw:5201)
        contains "$1: a port is chosen" 127.0.0.1: "$endpoint"
        iperf_server gw 10.77.0.1
        check "$1: iperf3 through a forward" \
                alice iperf3 --client 127.0.0.1 --port "${endpoint##*:}" --time 2
        same "$1: a forward says where it is" 127.0.0.1:2222 "$(alice omerta forward 2222:10.77.0.1:22)"
        same "$1: ssh through it" gw "$(alice_at 2222)"
        refuse "$1: nothing of m1 is reached from the network" gw_at 22
        same "$1: expose says at which port" 22 "$(alice omerta expose 22)"
        same "$1: a member with an interface reaches it" m1 "$(gw_at 22)"
        same "$1: what is logged in there asks alice's daemon" "$m1" "$(gw_asks)"
        same "$1: another user's daemon as well" m1 "$(bob_at 22)"
        check "$1: it copies with rsync" bob rsync -a \
                -e 'omerta ssh -o StrictHostKeyChecking=accept-new' alice@m1:/var/tmp/page page
        same "$1: what it copied" "$own_page" "$(hash_of m2 /home/bob/page)"
        same "$1: at another port" 80 "$(alice omerta expose 80:8080)"
        same "$1: is fetched" "$own_page" "$(fetched on gw curl -sS -m 20 "http://$m1/")"
        refuse "$1: and not at the same" on gw curl -sS -m 20 -o /dev/null "http://$m1:8080/"
}

for engine in kernel lwip; do
        user_engine alice m1 $engine
        user_engine bob m2 $engine
        same "$engine: no forward is left" "" "$(forwards)"
        both_ways $engine
done
socket=/run/user/$(on m1 id -u alice)/page
same "a forward from a unix socket" "$socket" "$(alice omerta forward "$socket:gw.omerta:8080")"
same "belongs to alice alone" "600 alice" "$(on m1 stat -c '%a %U' "$socket")"
same "and leads there" "$page" \
        "$(fetched alice curl -sS -m 20 --unix-socket "$socket" http://localhost/)"
same "out with forward --reverse" 8000 "$(alice omerta forward --reverse 8000:127.0.0.1:8080)"
same "and leads there" "$own_page" "$(fetched on gw curl -sS -m 20 "http://$m1:8000/")"

# ---- what does not work -------------------------------------------------------------------------

fails "the port of another forward" 1 2222 alice omerta forward 2222:gw:22
fails "the port of another program" 1 8080 alice omerta forward 8080:gw:22
fails "the exposed port of another" 1 22 alice omerta expose 22
fails "no forward" 2 2222 alice omerta forward 2222
fails "a forward that is none" 4 99 alice omerta unforward 99

# ---- kept ---------------------------------------------------------------------------------------

same "kept" 127.0.0.1:2200 "$(alice omerta forward --keep 2200:gw.omerta:22)"
same "kept the other way" 2022 "$(alice omerta expose --keep 2022:22)"
kept="local=127.0.0.1:2200 reverse=2022"
back() { [ "$(forwards)" = "$kept" ]; }
works() {
        wait_for 15 "the kept forwards after $1" back
        ok "after $1 the kept forwards are there, and no others"
        same "into the network" gw "$(alice_at 2200)"
        same "and out of it" "m1 m1" "$(gw_at 2022) $(bob_at 2022)"
}
pid=$(user_pid alice m1)
alice systemctl --user restart omertad.service
wait_for 15 "alice to be online again" user_restarted alice m1 "$pid"
works "a restart"
lab_reboot m1
wait_for 15 "alice to be online after the reboot" user_online alice m1
works "a reboot"

check "unforward" alice omerta unforward "$(id_of 127.0.0.1:2200)"
check "the other way" alice omerta unforward "$(id_of 2022)"
same "none is left" "" "$(forwards)"
refuse "nothing listens on m1" on m1 sh -c 'ss -Htln sport = :2200 | grep .'
contains "nor in the network" "refused" "$(gw_at 2022)"
alice systemctl --user restart omertad.service
wait_for 15 "alice to be online once more" user_online alice m1
same "none comes back" "" "$(forwards)"
lab_done
