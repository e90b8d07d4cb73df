#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab itself: three machines boot, see each other, have what "meson install" gives, and two
# labs do not get in each other's way.
. "$(dirname "$0")/lab.sh"

begin=$EPOCHREALTIME
lab_start gw m1 m2
note "three machines up in $(python3 -c "print(round($EPOCHREALTIME - $begin, 1))") s"

for m in gw m1 m2; do
        check "$m runs systemd" on $m systemctl is-active --quiet dbus.service
        same "$m has no failed units" "" "$(on $m systemctl list-units --failed --plain --no-legend)"
        for other in gw m1 m2; do
                [ $m = $other ] || check "$m reaches $other" \
                        on $m ping -q -c 1 -W 5 "${LAB_ADDRESS[$other]}"
        done
done
same "machines have names of their own" m2 "$(on m2 uname -n)"
check "a user gets a login session" as alice m1 test -d /run/user/1000
same "a user is the user" alice "$(as alice m1 id -un)"
check "polkit can be asked" on m1 busctl --timeout=10 introspect org.freedesktop.PolicyKit1 \
        /org/freedesktop/PolicyKit1/Authority org.freedesktop.PolicyKit1.Authority

if [ -n "${OMERTA_BUILD_DIR:-}" ]; then
        check "the daemon's user was created" on m1 getent passwd omerta
        check "the units are known" on m1 systemctl cat omertad.service omertad.socket omertad6.socket
        check "systemd finds no fault with the units" on m1 systemd-analyze verify --man=no omertad.socket
        check "polkit knows the actions" \
                on m1 pkaction --action-id org.omerta.Mesh1.manage-networks
        # As a package does it; Debian has no unit for it.
        check "the catalog can be compiled" on m1 journalctl --update-catalog
        contains "the journal knows the catalog" "has been created" \
                "$(on m1 journalctl --dump-catalog 36f835949f374ddd9f087901fbdf2799 2>&1)"
        same "the bus accepted the policy" "" \
                "$(on m1 journalctl -q -u dbus --no-pager | grep -i 'unknown username')"
fi
lab_done
