# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Ordinary users of the machines of lab.sh with daemons of their own; sourced instead of mesh.sh.

. "$(dirname "${BASH_SOURCE[0]}")/mesh.sh"

MAN_OMERTA=$(dirname "${BASH_SOURCE[0]}")/../../docs/man/omerta.1

# As a service of the user's own systemd: no capability, no seat, and that user's session bus.
# systemd-run expands $WORD in arguments.
user() { # USER MACHINE CMD...
        local user=$1 m=$2
        shift 2
        on "$m" systemd-run --quiet --user --machine="$user@.host" --wait --pipe --collect -- "$@"
}

# The user's systemd runs from now on, logged in or not.
user_linger() { # USER MACHINE
        on "$2" loginctl enable-linger "$1"
        wait_for 15 "the systemd of $1 on $2" user "$1" "$2" true
}

user_network() { # USER MACHINE WHAT: as network of mesh.sh
        user "$1" "$2" omerta network list --user --json | pick "d['networks'][0]['$3']"
}

# Ends the test where that fails.
user_join() { # USER MACHINE
        local link out
        link=$(on gw omerta network invite) || { not_ok "gw makes an invite"; lab_done; }
        out=$(user "$1" "$2" omerta network join --user "$link" 2>&1) ||
                { not_ok "$1 on $2 joins" "$out"; lab_done; }
        wait_for 15 "$1 on $2 to be online" user_online "$1" "$2"
}

user_pid() { user "$1" "$2" systemctl --user show -P MainPID omertad.service; }

user_active() { user "$1" "$2" systemctl --user is-active --quiet omertad.service; }

# To ask a daemon that does not run would start it.
user_online() {
        user_active "$1" "$2" && [ "$(user_network "$1" "$2" state 2>/dev/null)" = online ]
}

# Running again, as another process than before, and online.
user_restarted() { # USER MACHINE OLD-PID
        local pid
        pid=$(user_pid "$1" "$2")
        [ "$pid" != 0 ] && [ "$pid" != "$3" ] && user_online "$1" "$2"
}

# What "systemctl --user edit UNIT" makes; standard input is the text.
user_edit() { # USER MACHINE UNIT
        local dir=/home/$1/.config/systemd/user/$3.d
        user "$1" "$2" mkdir -p "$dir"
        user "$1" "$2" tee "$dir/override.conf" >"$LAB_STATE/tee"
        user "$1" "$2" systemctl --user daemon-reload
}

user_engine() { # USER MACHINE kernel|lwip: its daemon with that stack, online
        local pid
        pid=$(user_pid "$1" "$2")
        user_edit "$1" "$2" omertad.service <<EOF
[Service]
ExecStart=
ExecStart=/usr/sbin/omertad start --user --netstack $3
EOF
        user "$1" "$2" systemctl --user restart omertad.service
        wait_for 15 "$1 on $2 to be online with $3" user_restarted "$1" "$2" "$pid"
}

# ---- ssh ----------------------------------------------------------------------------------------

# A key of the user, made now, that lets in as user TO on the machines.
user_key() { # USER MACHINE TO MACHINE...
        local key m to=$3
        user "$1" "$2" mkdir -p -m 700 "/home/$1/.ssh"
        user "$1" "$2" ssh-keygen -q -t ed25519 -N '' -f "/home/$1/.ssh/id_ed25519"
        key=$(user "$1" "$2" cat "/home/$1/.ssh/id_ed25519.pub")
        for m in "${@:4}"; do
                on "$m" install -d -m 700 -o "$to" -g "$to" "/home/$to/.ssh"
                on "$m" tee -a "/home/$to/.ssh/authorized_keys" <<<"$key" >"$LAB_STATE/tee"
        done
}

# A line of known_hosts for the machine's sshd under that name.
host_key() { # MACHINE NAME
        echo "$2 $(on "$1" cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
}

user_knows() { # USER MACHINE: standard input is all of known_hosts
        user "$1" "$2" tee "/home/$1/.ssh/known_hosts" >"$LAB_STATE/tee"
}

# What omerta(1) tells to put into ~/.ssh/config, read from there.
user_ssh_config() { # USER MACHINE
        sed -n '/^Host \*\.omerta$/,/^\.Ed$/{/^\.Ed$/!p}' "$MAN_OMERTA" |
                user "$1" "$2" tee "/home/$1/.ssh/config" >"$LAB_STATE/tee"
}

# ---- something to fetch -------------------------------------------------------------------------

# Serves the file as any path at port 8080 of all addresses.
serve_file() { # MACHINE FILE
        on "$1" systemd-run --quiet --collect --unit=page python3 -c '
import socket, sys, threading
body = open(sys.argv[1], "rb").read()
head = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
def serve(c):
        with c:
                request = b""
                while b"\r\n\r\n" not in request:
                        data = c.recv(65536)
                        if not data:
                                return
                        request += data
                c.sendall(head + body)
s = socket.create_server(("", 8080))
while True:
        threading.Thread(target=serve, args=[s.accept()[0]], daemon=True).start()
' "$2"
        wait_for 10 "the page of $1" on "$1" sh -c 'ss -Htln sport = :8080 | grep -q .'
}

# Prints its hash.
random_file() { # MACHINE FILE MEGABYTES
        on "$1" sh -c 'head -c "$2M" /dev/urandom >"$1"; chmod 644 "$1"' - "$2" "$3"
        hash_of "$1" "$2"
}

hash_of() { on "$1" sha256sum "$2" | cut -d ' ' -f 1; } # MACHINE FILE
