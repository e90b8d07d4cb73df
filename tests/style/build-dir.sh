#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# When tools/build-dir configures, with a meson and a ninja that only say what they were asked for.
set -euo pipefail
tools=$(realpath "$(dirname "$0")/../../tools")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{bin,tree/tools,tree/subprojects}
cp "$tools/build-dir" "$tmp/tree/tools/"
cat >"$tmp/bin/meson" <<'SH'
#!/bin/bash
echo "meson $*" >>"$LOG"
case " $* " in *" --reconfigure "*) [ -z "${OTHER_MESON:-}" ] || exit 1 ;; esac
for a; do [ "$a" != build ] || { mkdir -p build; touch build/build.ninja; }; done
SH
printf '#!/bin/sh\necho ninja >>"$LOG"\n' >"$tmp/bin/ninja"
chmod +x "$tmp"/bin/*
export LOG=$tmp/log PATH=$tmp/bin:$PATH
failed=0

wants() { # WHAT EXPECTED OPTION...: what is done for a script that wants these
        local what=$1 expected=$2 got
        shift 2
        : >"$LOG"
        "$tmp/tree/tools/build-dir" build "$@"
        got=$(sed 's/meson setup //' "$LOG" | paste -sd ';')
        if [ "$got" = "$expected" ]; then
                echo "ok - $what"
        else
                printf 'not ok - %s\n#   wanted: %s\n#   got:    %s\n' "$what" "$expected" "$got"
                failed=1
        fi
}

wants "new" "build --prefix=/usr;ninja" --prefix=/usr
wants "again" "ninja" --prefix=/usr
wants "another script wants more" \
        "--reconfigure build --prefix=/usr -Dtests=enabled;ninja" --prefix=/usr -Dtests=enabled
wants "the first one is content with that" "ninja" --prefix=/usr
mkdir "$tmp/tree/subprojects/lwip-2.1.3"
touch "$tmp/tree/subprojects/lwip-2.1.3/meson.build"
wants "lwIP has come" "--reconfigure build --prefix=/usr;ninja" --prefix=/usr
wants "which stays known, with the options of before" "ninja" --prefix=/usr -Dtests=enabled
wants "another value" "--reconfigure build -Dtests=disabled;ninja" -Dtests=disabled
wants "and back" "--reconfigure build -Dtests=enabled;ninja" -Dtests=enabled
rm "$tmp/tree/build/.configured"
wants "a directory somebody made by hand" "--reconfigure build --prefix=/usr;ninja" --prefix=/usr
rm -r "$tmp/tree/subprojects/lwip-2.1.3"
OTHER_MESON=1 wants "a directory of another meson" \
        "--reconfigure build --prefix=/usr;--wipe build --prefix=/usr;ninja" --prefix=/usr
exit $failed
