#!/bin/sh
# Installs the library into a temporary directory, builds the examples against it, and
# routes three keys of a simulated cluster.
#
#   bindings/c/examples/run.sh
#
# TENDMAP is the command line's binary; without it, cargo builds and runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
segments=$(mktemp -d /dev/shm/tendmap-example-XXXXXX)
simulator=
finish() {
    [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
    rm -rf "$work" "$segments"
}
trap finish EXIT
trap 'exit 1' INT TERM

"$here/../install.sh" --prefix "$work/prefix" ${TENDMAP_LIBRARIES:+--from "$TENDMAP_LIBRARIES"}
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
flags="$(pkg-config --cflags --libs tendmap) -Wl,-rpath,$work/prefix/lib"
eval "cc -o '$work/route' '$here/route.c' $flags"

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
TENDMAP_SHM_DIRECTORY=$segments "$work/route" "$hosts" test users alice bob carol
