#!/bin/sh
# Installs the library into a temporary directory, builds the examples against it, and runs
# them against a simulated cluster that another process tends.
#
#   bindings/c/examples/run.sh
#
# TENDMAP is the command line's binary; without it, cargo builds and runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
segments=$(mktemp -d /dev/shm/tendmap-example-XXXXXX)
simulator='' tender=''
finish() {
    # shellcheck disable=SC2086 # none, one or two numbers
    [ -z "$simulator" ] || kill $tender $simulator 2>/dev/null || true
    wait
    rm -rf "$work" "$segments"
}
trap finish EXIT
trap 'exit 1' INT TERM

"$here/../install.sh" --prefix "$work/prefix" ${TENDMAP_LIBRARIES:+--from "$TENDMAP_LIBRARIES"}
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
flags="$(pkg-config --cflags --libs tendmap) -Wl,-rpath,$work/prefix/lib"
eval "cc -std=c99 -o '$work/route' '$here/route.c' $flags"
eval "cc -o '$work/event_loop' '$here/event_loop.c' $flags"
eval "c++ -std=c++17 -o '$work/route_cpp' '$here/route.cpp' $flags"

if [ -z "${TENDMAP:-}" ]; then
    target=${CARGO_TARGET_DIR:-$here/../../../target}
    cargo build --release --package tendmap-cli --manifest-path "$here/../../../Cargo.toml" \
        --target-dir "$target"
    TENDMAP=$target/release/tendmap
fi
mkfifo "$work/answers"
"$TENDMAP" sim --nodes 3 --namespace test:2 --cluster-name example </dev/null >"$work/answers" &
simulator=$!
# Its first line names the nodes.
read -r first <"$work/answers"
hosts=$(echo "$first" | grep -oE '127\.0\.0\.1:[0-9]+' | head -n 1)
export TENDMAP_SHM_DIRECTORY="$segments"
"$TENDMAP" tend --hosts "$hosts" </dev/null >"$work/log" 2>&1 &
tender=$!
# A reader needs a segment, which the other process is making.
tries=0
until "$work/event_loop" 0 2>"$work/why"; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { cat "$work/why" "$work/log" >&2; exit 1; }
    sleep 0.1
done
"$work/route" "$hosts" test users alice bob carol
"$work/route_cpp" "$hosts" test users alice bob alice
