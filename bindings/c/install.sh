#!/bin/sh
# Installs libtendmap, tendmap.h and tendmap.pc.
#
#   bindings/c/install.sh [--prefix DIR] [--from DIR]
#
# --prefix DIR  where to (default /usr/local); DESTDIR is put before it
# --from DIR    where the built libraries are; without it they are built now
#
# They are built in CARGO_TARGET_DIR, if that is set, else beside the sources.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local from=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix) prefix=${2:?wanted a directory after --prefix}; shift 2 ;;
    --from) from=${2:?wanted a directory after --from}; shift 2 ;;
    *) echo "unknown argument $1; wanted --prefix DIR or --from DIR" >&2; exit 2 ;;
    esac
done
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
if [ -z "$from" ]; then
    target=${CARGO_TARGET_DIR:-$here/../../target}
    cargo build --release --manifest-path "$here/Cargo.toml" --target-dir "$target"
    from=$target/release
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)
to=${DESTDIR:-}$prefix
install -d "$to/include" "$to/lib/pkgconfig"
install -m 644 "$here/include/tendmap.h" "$to/include/tendmap.h"
install -m 644 "$from/libtendmap.a" "$to/lib/libtendmap.a"
install -m 755 "$from/libtendmap.so" "$to/lib/libtendmap.so.$version"
# Programs are linked against the first name and load the second.
ln -sf "libtendmap.so.$version" "$to/lib/libtendmap.so.0"
ln -sf libtendmap.so.0 "$to/lib/libtendmap.so"
# What sed would take for its own.
escaped=$(printf '%s\n' "$prefix" | sed 's/[\\&|]/\\&/g')
sed -e "s|@prefix@|$escaped|" -e "s|@version@|$version|" "$here/tendmap.pc.in" \
    > "$to/lib/pkgconfig/tendmap.pc"
chmod 644 "$to/lib/pkgconfig/tendmap.pc"
echo "installed libtendmap $version in $to"
