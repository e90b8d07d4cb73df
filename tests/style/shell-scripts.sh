#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks every script of ours that names a shell in its first line.
set -eu
cd "$(dirname "$0")/../.."
scripts=$(find tools tests .ci -type f ! -name '*.corpus' -exec awk 'FNR == 1 && /^#!.*sh$/ { print FILENAME }' {} +)
# shellcheck disable=SC2086 # no blanks in our file names
shellcheck -S warning -x -P SCRIPTDIR $scripts
