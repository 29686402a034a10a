#!/usr/bin/env bash
# Makes a release in target/dist: static `lifeboat` programs for x86-64 and arm64, as archives and as Debian
# packages, with a bill of materials and checksums. `make dist` calls it.
#
#   packaging/dist.sh [x86_64] [arm64]        without a name: both
#
# The programs are linked with musl by zig, which compiles for both on either. PROFILE=dev makes them quickly,
# to try this out. The same commit gives the same programs, whatever folder they are built in.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly OUT=target/dist PROFILE=${PROFILE:-release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
die() { printf 'dist: %s\n' "$@" >&2; exit 1; }

[ "$#" -gt 0 ] || set -- x86_64 arm64
targets=()
for architecture in "$@"; do
    case $architecture in
        x86_64) targets+=(x86_64-unknown-linux-musl) ;;
        arm64) targets+=(aarch64-unknown-linux-musl) ;;
        *) die "no architecture $architecture: x86_64 or arm64" ;;
    esac
done
missing=()
for target in "${targets[@]}"; do
    # What rustup gives is there, and so is what a distribution's own Rust brings.
    [ -n "$(find "$(rustc --print sysroot)/lib/rustlib/$target/lib" -name 'libstd-*.rlib' 2>/dev/null)" ] ||
        missing+=("$target")
done
[ "${#missing[@]}" = 0 ] ||
    die "Rust's standard library is missing for ${missing[*]}" \
        "get it with: rustup target add ${missing[*]}"
for tool in cargo-zigbuild dpkg-deb python3; do
    command -v "$tool" >/dev/null || die "$tool is missing; make dist installs cargo-zigbuild, apt-get dpkg"
done

if commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
    git diff --quiet HEAD || commit+=-changed
    export LIFEBOAT_COMMIT=$commit
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
# No path of this machine is in what is built.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/lifeboat --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/lifeboat -ffile-prefix-map=$cargo_home=/cargo"
# Apart from the workspace's own build, whose flags are others.
export CARGO_TARGET_DIR=target/dist-build

rm -rf "$OUT"
mkdir -p "$OUT"
for target in "${targets[@]}"; do
    cargo zigbuild --locked --profile "$PROFILE" --target "$target" -p lifeboat --bin lifeboat
done
folder=$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
built() { echo "target/dist-build/$1/$folder/lifeboat"; }

# By the one that runs here.
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
for target in "${targets[@]}"; do
    if "$(built "$target")" --version >/dev/null 2>&1; then
        bash packaging/pages.sh "$(built "$target")" "$pages"
        break
    fi
done
[ -d "$pages/man" ] || die "none of the programs runs on this machine, and one has to write the pages"

for target in "${targets[@]}"; do
    case $target in
        x86_64-*) name=linux-x86_64 debian=amd64 ;;
        *) name=linux-arm64 debian=arm64 ;;
    esac
    tree=$(mktemp -d)
    install -D -m755 "$(built "$target")" "$tree/lifeboat"
    install -m644 LICENSE CHANGELOG.md "$tree"
    cp -r "$pages/man" "$pages/completions" "$tree"
    tar --create --directory "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --mtime="@$SOURCE_DATE_EPOCH" --transform "s|^\.|lifeboat-$version|" . |
        gzip -9n >"$OUT/lifeboat-$version-$name.tar.gz"
    rm -rf "$tree"
    bash packaging/deb.sh "$(built "$target")" "$debian" "$pages" "$OUT" >/dev/null
done
python3 packaging/sbom.py "${targets[@]}" >"$OUT/lifeboat-$version.cdx.json"
(cd "$OUT" && sha256sum -- * >SHA256SUMS)
echo "$OUT:"
(cd "$OUT" && cat SHA256SUMS)
