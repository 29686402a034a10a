#!/usr/bin/env bash
# Fuzzes every reader for a while: `bash shared/archive/fuzz/run.sh [SECONDS [TARGET...]]`.
#
# Stable Rust and a C++ compiler are enough: the coverage that libFuzzer steers by is a pass of LLVM.
# These are the flags of `cargo fuzz run -s none TARGET`, which works here as well; the address
# sanitizer needs a nightly compiler, and the readers have no unsafe code of their own for it to watch.
# It fails on the first panic, hang (10 s) or use of more than 512 MiB, and keeps the input in
# `artifacts`: add it to `../tests/cases/found`.
set -euo pipefail
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(read aof_set base wal)
cd "$(dirname "$0")"
# That of the whole workspace; a build for a named target has a folder of its own in it.
built=$(realpath ../../../)/target

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target named, the flags are not those of build scripts, which cannot link them.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 $coverage" CARGO_TARGET_DIR=$built \
    cargo build --locked --release --target "$host" --bins

for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" artifacts
    echo "== $target, $seconds s"
    log=$(mktemp)
    corpora=("corpus/$target" ../tests/cases/seeds ../tests/cases/parts)
    # There is none before something was found.
    [ ! -d ../tests/cases/found ] || corpora+=(../tests/cases/found)
    if ! "$built/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 \
        -max_len=32768 -artifact_prefix="artifacts/$target-" "${corpora[@]}" 2>"$log"; then
        tail -40 "$log" >&2
        exit 1
    fi
    grep -E "^Done|cov:" "$log" | tail -2
    rm -f "$log"
done
