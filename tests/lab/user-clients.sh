#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs of an ordinary user over her own daemon, with the kernel's TCP and with lwIP: curl over
# the proxy, ssh and what copies over it, as omerta(1) shows them. gw has an interface, alice none.
. "$(dirname "$0")/user-mesh.sh"
need_omerta
lab_start gw m1
mesh_up
user_linger alice m1
user_linger alice gw # or every login waits for a new systemd of hers
alice() { user alice m1 "$@"; }
alice systemctl --user start omertad.service
user_join alice m1

user_key alice m1 alice gw
user_edit alice m1 omertad-socks.socket <<<$'[Socket]\nListenStream=127.0.0.1:1080'
alice systemctl --user stop --quiet omertad.service omertad-socks.socket
alice systemctl --user start omertad-socks.socket omertad.service
page=$(random_file gw /var/tmp/page 50)
serve_file gw /var/tmp/page
file=$(random_file m1 /var/tmp/file 20)
# A second sshd, for -p.
on gw systemd-run --quiet --collect --unit=sshd2222 /usr/sbin/sshd -D -p 2222
wait_for 10 "sshd at port 2222" on gw sh -c 'ss -Htln sport = :2222 | grep -q .'

curl_page() { alice curl -sS -m 60 "$@" | sha256sum | cut -d ' ' -f 1; }
direct=(-o ProxyCommand='omerta nc --fdpass %h %p' -o ProxyUseFdpass=yes)
through() { alice ssh -n -o BatchMode=yes -o LogLevel=ERROR "${direct[@]}" "$@" 2>&1; }
omerta_ssh() { alice omerta ssh -n -o BatchMode=yes -o LogLevel=ERROR "$@" 2>&1; }
status() { "$@" >"$LAB_STATE/status" 2>&1; echo $?; }
arrived() { # WHAT FILE-ON-gw
        same "$1" "$file" "$(hash_of gw "/home/alice/$2")"
}

proxies() {
        same "$1: 50 MB from an address by SOCKS5" "$page" \
                "$(curl_page --socks5-hostname 127.0.0.1:1080 http://10.77.0.1:8080/)"
        same "$1: 50 MB from a name by SOCKS5" "$page" \
                "$(curl_page --socks5-hostname 127.0.0.1:1080 http://gw.omerta:8080/)"
        same "$1: 50 MB from a name by HTTP CONNECT" "$page" \
                "$(curl_page --proxytunnel --proxy http://127.0.0.1:1080 http://gw.omerta:8080/)"
        same "$1: a port nobody listens at" 97 \
                "$(status alice curl -sS -m 20 --socks5-hostname 127.0.0.1:1080 http://gw.omerta:8081/)"
}

# Nothing of omerta's decides whether a host key is believed.
host_keys() {
        : | user_knows alice m1
        contains "$1: ssh refuses an unknown host key" "Host key verification failed" "$(through gw true)"
        contains "$1: omerta ssh as well" "Host key verification failed" "$(omerta_ssh gw.omerta true)"
        echo "gw.omerta $(on m1 cut -d ' ' -f 1,2 /home/alice/.ssh/id_ed25519.pub)" | user_knows alice m1
        contains "$1: and another key than the known one" "HOST IDENTIFICATION HAS CHANGED" \
                "$(alice omerta ssh -n -o BatchMode=yes gw.omerta true 2>&1)"
        {
                host_key gw gw
                host_key gw 10.77.0.1
                host_key gw gw.omerta
                host_key gw '[gw.omerta]:2222'
        } | user_knows alice m1
}

logins() {
        local host
        same "$1: ssh with a ProxyCommand" gw "$(through gw uname -n)"
        same "$1: without --fdpass too" gw \
                "$(alice ssh -n -o BatchMode=yes -o ProxyCommand='omerta nc %h %p' gw uname -n 2>&1)"
        for host in gw gw.omerta 10.77.0.1 alice@gw.omerta; do
                same "$1: omerta ssh $host" gw "$(omerta_ssh $host uname -n)"
        done
        same "$1: ssh's option -p, and from which address" "10.77.0.100 10.77.0.1 2222" \
                "$(omerta_ssh -p 2222 gw.omerta printenv SSH_CONNECTION | cut -d ' ' -f 1,3,4)"
        contains "$1: -v" "debug1: Authenticating to gw.omerta:22" \
                "$(alice omerta ssh -v -n -o BatchMode=yes gw.omerta true 2>&1)"
        contains "$1: -o" "bob@gw.omerta: Permission denied" "$(omerta_ssh -o User=bob gw.omerta true)"
        same "$1: the command's options are its own" / "$(omerta_ssh gw.omerta ls -d --color=never /)"
        same "$1: the command's status" 7 "$(status alice omerta ssh -n gw.omerta exit 7)"
        contains "$1: a port nobody listens at says so" "nothing on gw.omerta takes connections at port 23" \
                "$(omerta_ssh -p 23 gw.omerta true)"
        same "$1: what is typed arrives" "$file" \
                "$(alice omerta ssh -o BatchMode=yes gw.omerta sha256sum <"$(lab_path m1)/var/tmp/file" | cut -d ' ' -f 1)"
}

# With ~/.ssh/config as the manual page has it.
copies() {
        local batch='-o BatchMode=yes'
        on gw sh -c 'rm -rf /home/alice/copy; install -d -o alice -g alice /home/alice/copy'
        same "$1: ssh" gw "$(alice ssh -n -o BatchMode=yes gw.omerta uname -n 2>&1)"
        # shellcheck disable=SC2086 # two words
        check "$1: scp" alice scp -q $batch /var/tmp/file gw.omerta:copy/scp
        arrived "$1: the file of scp" copy/scp
        # shellcheck disable=SC2086
        check "$1: scp back" alice scp -q $batch gw.omerta:copy/scp back
        same "$1: the file it brings" "$file" "$(hash_of m1 /home/alice/back)"
        check "$1: rsync" alice rsync -a /var/tmp/file gw.omerta:copy/rsync
        arrived "$1: the file of rsync" copy/rsync
        check "$1: rsync without ~/.ssh/config" \
                alice rsync -a -e 'omerta ssh' /var/tmp/file gw.omerta:copy/rsync-e
        arrived "$1: its file" copy/rsync-e
        check "$1: sftp" alice sftp -q -b - gw.omerta \
                <<<$'put /var/tmp/file copy/sftp\nget copy/sftp back.sftp'
        arrived "$1: the file of sftp" copy/sftp
        same "$1: the file it brings" "$file" "$(hash_of m1 /home/alice/back.sftp)"
}

# A program that holds a connection is told when the daemon goes; TCP alone would hope for long.
sessions_end() {
        local how ssh pid
        for how in 'restart' 'kill -s KILL --kill-who=main'; do
                : >"$LAB_STATE/ssh.out"
                alice omerta ssh -o BatchMode=yes gw cat <&7 >"$LAB_STATE/ssh.out" 2>&1 &
                ssh=$!
                echo hello >&7
                wait_for 15 "$1: an ssh session" grep -qx hello "$LAB_STATE/ssh.out"
                pid=$(user_pid alice m1)
                # shellcheck disable=SC2086 # words
                alice systemctl --user $how omertad.service
                wait_for 15 "$1: the session to end after $how" eval "! lab_alive $ssh"
                ok "$1: the session ends after $how"
                wait_for 15 "$1: alice to be online after $how" user_restarted alice m1 "$pid"
        done
}

mkfifo "$LAB_STATE/ssh.in"
exec 7<>"$LAB_STATE/ssh.in"
user_ssh_config alice m1
for engine in kernel lwip; do
        user_engine alice m1 $engine
        same "the stack is $engine" $engine "$(alice omerta status --json | pick "d['daemon']['netstack']")"
        proxies $engine
        host_keys $engine
        logins $engine
        copies $engine
        sessions_end $engine
done
lab_done
