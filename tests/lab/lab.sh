# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# A small private LAN of real systemd machines. Sourced by the tests beside it; needs root.
#
#        gw 192.0.2.10       m1 192.0.2.11       m2 192.0.2.12        eth0 of each
#             |                   |                   |
#   ==========+===================+===================+==========      bridge "br0", in a netns
#
# Every machine is a systemd-nspawn container with systemd as PID 1, made of three layers: a clean
# Debian root (made once, kept in the cache directory), what "meson install" of the build directory
# gives, and a directory of its own. Nothing is installed into or left on the host: network
# namespaces, mounts, cgroups and processes belong to one run and end with it.
#
#   lab_start MACHINE...         boot gw, m1, m2 or some of them
#   on MACHINE CMD...            as root inside; stdin works
#   as USER MACHINE CMD...       as a user (alice, bob), in a login session
#   net MACHINE CMD...           in the machine's network, with the host's files and programs
#   wait_for SECONDS WHAT CMD... until CMD succeeds; there is no sleep in a test
#   check WHAT CMD...            one case: "ok" if CMD succeeds
#   refuse WHAT CMD...           one case: "ok" if CMD fails
#   same WHAT WANTED GOT         one case
#   lab_reboot MACHINE           returns when it is up again
#   lab_done                     the end of every test
#
# OMERTA_BUILD_DIR names the build directory (meson test sets it). LAB_KEEP=1 stops before the end,
# to look around: the machines live until Enter is pressed.

set -uo pipefail

LAB_CACHE=${OMERTA_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/omerta-lab}
LAB_PREFIX=omlab-$$ # of network namespaces and cgroups; the pid tells who owns them
LAB_MACHINES=()
LAB_ROUTERS=() # network namespaces without a machine, besides "lan"
LAB_CASES=0
LAB_FAILED=0
LAB_STATE=
LAB_UP=

# What the machines are made of. Changing the list makes a new root.
LAB_PACKAGES=(
        systemd-sysv dbus libpam-systemd libnss-systemd dbus-user-session polkitd udev kmod
        iproute2 iputils-ping nftables openssh-server openssh-client rsync iperf3 curl python3-minimal
        libglib2.0-0 libglib2.0-bin libsodium23 libsqlite3-0 libmnl0 libcbor0.8
        libjson-glib-1.0-0 libqrencode4 libasan8 libubsan1
)

declare -A LAB_ADDRESS=([gw]=192.0.2.10 [m1]=192.0.2.11 [m2]=192.0.2.12)

# ---- saying what happened -----------------------------------------------------------------------

note() { printf '# %s\n' "$*"; }

lab_skip() {
        echo "skipped: $*"
        exit 77
}

ok() {
        LAB_CASES=$((LAB_CASES + 1))
        echo "ok $LAB_CASES - $1"
}

not_ok() { # WHAT [DETAIL]
        LAB_CASES=$((LAB_CASES + 1))
        LAB_FAILED=$((LAB_FAILED + 1))
        echo "not ok $LAB_CASES - $1"
        [ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/#   /'
}

check() {
        local what=$1 out
        shift
        if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "$*: status $?"$'\n'"$out"; fi
}

refuse() {
        local what=$1 out
        shift
        if out=$("$@" 2>&1); then not_ok "$what" "$* succeeded"$'\n'"$out"; else ok "$what"; fi
}

same() {
        if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $2"$'\n'"got:    $3"; fi
}

contains() { # WHAT PART TEXT
        case $3 in *"$2"*) ok "$1" ;; *) not_ok "$1" "no '$2' in: $3" ;; esac
}

# Not a case itself: a condition the test needs to go on. Says so and ends the test if it never comes.
wait_for() {
        local seconds=$1 what=$2 end out
        shift 2
        end=$((SECONDS + seconds))
        until out=$("$@" 2>&1); do
                if [ $SECONDS -ge $end ]; then
                        not_ok "waited $seconds s for: $what" "$*"$'\n'"$out"
                        lab_done
                fi
                sleep 0.1
        done
}

# ---- the clean root -----------------------------------------------------------------------------

lab_suite() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

# Prints the path of the root, after making it where it is not there yet.
lab_root() {
        local key root suite packages sources=() tmp proxy
        suite=$(lab_suite)
        packages=("${LAB_PACKAGES[@]}")
        [ "$(dpkg --print-architecture)" != amd64 ] || packages+=(libipsec-mb1)
        key=$(printf '%s\n' 2 "$suite" "${packages[@]}" | sha256sum | cut -c1-12)
        root=$LAB_CACHE/root-$suite-$key
        mkdir -p "$LAB_CACHE" || return 1
        exec 9>"$LAB_CACHE/lock"
        flock 9
        if [ ! -d "$root" ]; then
                tmp=$(mktemp -d "$root.XXXXXX")
                # The machine's own sources, if they are Debian's: they name its mirror.
                [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
                        sources=(/etc/apt/sources.list.d/debian.sources)
                proxy=$(apt-config --format '%v' dump Acquire::http::Proxy)
                note "making the root of the machines, once: $root" >&2
                # shellcheck disable=SC2016 # $1 is mmdebstrap's
                if ! mmdebstrap --mode=root --variant=minbase --quiet \
                        ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
                        --include="$(IFS=,; echo "${packages[*]}")" \
                        --customize-hook='chroot "$1" useradd -m -s /bin/bash alice' \
                        --customize-hook='chroot "$1" useradd -m -s /bin/bash bob' \
                        --customize-hook='rm -rf "$1"/var/cache/apt "$1"/var/lib/apt/lists "$1"/usr/share/doc' \
                        "$suite" "$tmp/root" "${sources[@]}" >"$LAB_CACHE/mmdebstrap.log" 2>&1; then
                        tail -20 "$LAB_CACHE/mmdebstrap.log" >&2
                        rm -rf --one-file-system "$tmp"
                        return 1
                fi
                mv "$tmp/root" "$root"
                rmdir "$tmp"
        fi
        flock -u 9
        exec 9>&-
        echo "$root"
}

# ---- networks -----------------------------------------------------------------------------------

net() {
        local ns=$1
        shift
        ip netns exec "$LAB_PREFIX-$ns" "$@"
}

# A build with sanitizers: the leak checker traces the process, which the system's service may not do.
lab_sanitizers() {
        local kind d leaks
        ldd "$OMERTA_BUILD_DIR/service/omertad" 2>/dev/null | grep -q libasan || return 0
        for kind in system user; do
                leaks=0
                [ $kind = system ] || leaks=1
                d=$LAB_STATE/image/etc/systemd/$kind/omertad.service.d
                mkdir -p "$d"
                printf '[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=%s UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1\n' \
                        $leaks >"$d/sanitizers.conf"
        done
}

lab_topology() {
        local m
        ip netns add "$LAB_PREFIX-lan" || return 1
        net lan ip link set lo up
        net lan ip link add br0 type bridge forward_delay 0 mcast_snooping 0
        net lan ip address add 192.0.2.1/24 dev br0
        net lan ip link set br0 up
        for m in "${LAB_MACHINES[@]}"; do
                ip netns add "$LAB_PREFIX-$m" || return 1
                ip link add eth0 netns "$LAB_PREFIX-$m" type veth peer name "$m" \
                        netns "$LAB_PREFIX-lan" || return 1
                net lan ip link set "$m" master br0 up
                net "$m" ip link set lo up
                net "$m" ip address add "${LAB_ADDRESS[$m]}/24" dev eth0
                net "$m" ip link set eth0 up
        done
        # Networks of a test, in which machines stand before they boot (nat.sh).
        if declare -F lab_topology_hook >/dev/null; then lab_topology_hook; fi
}

# ---- machines -----------------------------------------------------------------------------------

# Where this shell is in a cgroup hierarchy, as directories: below these the machines get theirs, so
# that limits of whoever started the test hold for them too. Two machines in one cgroup would share
# systemd's; the controllers of cgroup v1 do not matter, machines see cgroup v2 only.
lab_cgroups() {
        local names path dir
        while IFS=: read -r _ names path; do
                case $names in
                '') dir=/sys/fs/cgroup/unified; [ -d $dir ] || dir=/sys/fs/cgroup ;;
                name=systemd) dir=/sys/fs/cgroup/systemd ;;
                *) continue ;;
                esac
                [ ! -e "$dir$path/cgroup.procs" ] || echo "${dir}${path%/}"
        done </proc/self/cgroup
}

# A killed nspawn stays a zombie for a while, and kill -0 finds zombies too.
lab_alive() {
        case $(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) in
        '' | Z | X) return 1 ;;
        esac
}

lab_prepare() { # MACHINE: what it has of its own
        local m=$1 up=$LAB_STATE/$1/up u
        mkdir -p "$LAB_STATE/$m"/{up,work,mnt} "$up/etc/systemd/system"
        # ldconfig, hwdb: nothing of ours; the rest would touch what nspawn does not give
        for u in ldconfig systemd-hwdb-update console-getty getty@tty1 systemd-firstboot \
                apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_reap fstrim; do
                ln -s /dev/null "$up/etc/systemd/system/$u.service"
        done
        for u in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
                ln -s /dev/null "$up/etc/systemd/system/$u.timer"
        done
        echo "$m" >"$up/etc/hostname"
        printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$m" >"$up/etc/hosts"
        : >"$up/etc/resolv.conf"
        tr -d - </proc/sys/kernel/random/uuid >"$up/etc/machine-id"
        # An extra hook of a test: files it wants to be there at boot.
        if declare -F lab_prepare_hook >/dev/null; then lab_prepare_hook "$m" "$up"; fi
}

lab_boot() { # MACHINE
        local m=$1 d=$LAB_STATE/$1 g lower=$LAB_ROOT
        [ ! -d "$LAB_STATE/image" ] || lower=$LAB_STATE/image:$LAB_ROOT
        while read -r g; do mkdir -p "$g/$LAB_PREFIX-$m"; done <"$LAB_STATE/cgroups"
        # The mount namespace is the machine's own: nothing is left mounted, even after SIGKILL.
        # pdeathsig: if this script is killed nspawn goes as well; lab_sweep of the next run ends the rest.
        # --network-namespace-path gives neither CAP_NET_ADMIN nor a writable /proc/sys/net by itself;
        # cgroup v2 and bpf() make DeviceAllow= effective.
        # shellcheck disable=SC2016 # expanded by the inner shell
        setsid setpriv --pdeathsig KILL unshare --mount --propagation private -- bash -euc '
                d=$1 m=$2 prefix=$3 lower=$4
                while read -r g; do echo $$ >"$g/$prefix-$m/cgroup.procs"; done <"$d/../cgroups"
                mount -t overlay overlay -o "lowerdir=$lower,upperdir=$d/up,workdir=$d/work" "$d/mnt"
                export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
                exec systemd-nspawn -q -D "$d/mnt" --machine="$prefix-$m" --hostname="$m" \
                        --register=no --keep-unit --boot --kill-signal=SIGRTMIN+4 \
                        --network-namespace-path="/run/netns/$prefix-$m" \
                        --capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON --system-call-filter=bpf \
                        --bind="$d/../tun:/dev/net/tun" --resolv-conf=off --timezone=off --link-journal=no \
                        --console=pipe systemd.unit=multi-user.target systemd.show_status=no
        ' - "$d" "$m" "$LAB_PREFIX" "$lower" </dev/null >"$d/console.log" 2>&1 &
        echo $! >"$d/nspawn"
        disown
}

lab_children() { cat "/proc/$1/task"/*/children 2>/dev/null; }

lab_find_leader() { # MACHINE: its PID 1 as the host sees it
        local d=$LAB_STATE/$1 p q
        for p in $(lab_children "$(cat "$d/nspawn")"); do
                for q in $p $(lab_children "$p"); do
                        if [ "$(sed -n 's/^NSpid:.*\t//p' "/proc/$q/status" 2>/dev/null)" = 1 ]; then
                                echo "$q" >"$d/leader"
                                return
                        fi
                done
        done
        return 1
}

on() {
        local m=$1
        shift
        nsenter -t "$(cat "$LAB_STATE/$m/leader")" -m -u -i -n -p -C -r -w -- env -i \
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                HOME=/root LANG=C.UTF-8 TERM=dumb "$@"
}

as() {
        local user=$1 m=$2
        shift 2
        on "$m" systemd-run --quiet --wait --pipe --collect --uid="$user" -p PAMName=login -- "$@"
}

lab_is_up() { # "degraded" is up as well: a unit that cannot run in a container
        case $(on "$1" systemctl is-system-running 2>/dev/null) in
        running | degraded) ;;
        *) return 1 ;;
        esac
}

lab_is_down() { ! lab_alive "$(cat "$LAB_STATE/$1/nspawn")"; }

# With --keep-unit nspawn ends where it would start the machine again.
lab_reboot() { # MACHINE
        on "$1" systemctl reboot
        wait_for 30 "$1 to go down" lab_is_down "$1"
        rm "$LAB_STATE/$1/leader"
        lab_boot "$1"
        wait_for 30 "$1 has a PID 1" lab_find_leader "$1"
        wait_for 60 "$1 is up" lab_is_up "$1"
}

# Root directory of a machine, seen from the host.
lab_path() { echo "/proc/$(cat "$LAB_STATE/$1/leader")/root"; }

# ---- from start to end --------------------------------------------------------------------------

lab_need() {
        local c prefix
        [ "$(id -u)" = 0 ] || lab_skip "needs root, to boot machines"
        for c in systemd-nspawn mmdebstrap ip setpriv nsenter unshare; do
                command -v $c >/dev/null || lab_skip "$c is not installed (tools/install-deps --tests)"
        done
        [ -c /dev/net/tun ] || lab_skip "no /dev/net/tun"
        if [ -n "${OMERTA_BUILD_DIR:-}" ]; then
                prefix=$(meson introspect "$OMERTA_BUILD_DIR" --buildoptions |
                        python3 -c 'import json,sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
                [ "$prefix" = /usr ] ||
                        lab_skip "the build directory has prefix $prefix; polkit and the bus look below /usr"
        fi
}

# What a killed run may have left: its shell is gone, the pid in the name says so.
lab_sweep() {
        local ns pid g dir
        for dir in $(lab_cgroups); do
                for g in "$dir"/omlab-*; do
                        pid=${g##*/omlab-}
                        [ ! -d "$g" ] || lab_alive "${pid%%-*}" || lab_rmdir "$g"
                done
        done
        for ns in $(ip netns list | sed -n 's/^\(omlab-[0-9]*-[a-z0-9]*\).*/\1/p'); do
                pid=${ns#omlab-}
                lab_alive "${pid%%-*}" || ip netns delete "$ns"
        done
        for g in /var/tmp/omlab-*; do
                pid=${g##*/omlab-}
                [ ! -d "$g" ] || lab_alive "${pid%%.*}" || rm -rf --one-file-system "$g"
        done
}

lab_rmdir() { # CGROUP and those below, with whatever still runs in them
        local i
        for ((i = 0; i < 100; i++)); do
                find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -KILL 2>/dev/null
                find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null
                [ -d "$1" ] || return 0
                sleep 0.05
        done
}

lab_end() {
        local m d g p i
        trap '' INT TERM HUP
        [ -n "$LAB_UP" ] || return 0
        LAB_UP=
        for m in "${LAB_MACHINES[@]}"; do
                d=$LAB_STATE/$m
                for p in leader nspawn; do
                        [ ! -e "$d/$p" ] || kill -KILL "$(cat "$d/$p")" 2>/dev/null
                done
        done
        for m in "${LAB_MACHINES[@]}"; do
                for p in leader nspawn; do
                        [ -e "$LAB_STATE/$m/$p" ] || continue
                        for ((i = 0; i < 100; i++)); do
                                lab_alive "$(cat "$LAB_STATE/$m/$p")" || break
                                sleep 0.05
                        done
                done
        done
        for m in lan "${LAB_ROUTERS[@]}" "${LAB_MACHINES[@]}"; do
                while read -r g; do
                        [ ! -d "$g/$LAB_PREFIX-$m" ] || lab_rmdir "$g/$LAB_PREFIX-$m"
                done <"$LAB_STATE/cgroups"
                ip netns delete "$LAB_PREFIX-$m" 2>/dev/null
        done
        rm -rf --one-file-system "$LAB_STATE"
}

lab_start() {
        local m
        lab_need
        LAB_MACHINES=("$@")
        lab_sweep
        LAB_ROOT=$(lab_root) || lab_skip "the root of the machines cannot be made (no network?)"
        LAB_STATE=$(mktemp -d "/var/tmp/omlab-$$.XXXXXX")
        LAB_UP=1
        trap lab_end EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        lab_cgroups >"$LAB_STATE/cgroups"
        # A node of our own: the machines' systemd-tmpfiles sets its mode.
        mknod "$LAB_STATE/tun" c 10 200
        if [ -n "${OMERTA_BUILD_DIR:-}" ]; then
                lab_sanitizers
                # A layer newer than the root: systemd-sysusers and the journal catalog notice at boot,
                # as after the update of a distribution.
                meson install -C "$OMERTA_BUILD_DIR" --no-rebuild --quiet \
                        --destdir "$LAB_STATE/image" || exit 1
        fi
        lab_topology || { echo "lab: the networks cannot be made"; exit 1; }
        for m in "${LAB_MACHINES[@]}"; do lab_prepare "$m"; done
        for m in "${LAB_MACHINES[@]}"; do lab_boot "$m"; done
        for m in "${LAB_MACHINES[@]}"; do wait_for 30 "$m has a PID 1" lab_find_leader "$m"; done
        for m in "${LAB_MACHINES[@]}"; do wait_for 60 "$m is up" lab_is_up "$m"; done
}

lab_done() {
        local m
        if [ $LAB_FAILED != 0 ]; then
                for m in "${LAB_MACHINES[@]}"; do
                        [ -e "$LAB_STATE/$m/leader" ] || { sed 's/^/# /' "$LAB_STATE/$m/console.log"; continue; }
                        note "journal of $m:"
                        on "$m" journalctl -q --no-pager -o short-precise -n 40 -u 'omertad*' -u polkit \
                                2>&1 | sed 's/^/#   /'
                        on "$m" journalctl -q --no-pager -o short-precise -n 40 \
                                _SYSTEMD_USER_UNIT=omertad.service + USER_UNIT=omertad.service 2>&1 | sed 's/^/#   /'
                done
        fi
        echo "1..$LAB_CASES"
        if [ -n "${LAB_KEEP:-}" ]; then
                for m in "${LAB_MACHINES[@]}"; do
                        note "nsenter -t $(cat "$LAB_STATE/$m/leader") -a -r -w bash   # $m"
                done
                read -rp "Enter ends the machines: " _ </dev/tty
        fi
        exit $((LAB_FAILED != 0))
}
