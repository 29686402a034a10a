#!/usr/bin/env bash
# Writes the manual pages and what shells complete into a folder, by a program that runs here.
#
#   packaging/pages.sh PROGRAM OUT
set -euo pipefail
readonly PROGRAM=${1:?program} OUT=${2:?folder}
mkdir -p "$OUT/completions"
"$PROGRAM" man --out "$OUT/man" >/dev/null
"$PROGRAM" completions bash >"$OUT/completions/lifeboat.bash"
"$PROGRAM" completions zsh >"$OUT/completions/_lifeboat"
"$PROGRAM" completions fish >"$OUT/completions/lifeboat.fish"
