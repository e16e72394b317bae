#!/bin/sh
# Installs libtendmap, its headers, what pkg-config, CMake and man need, the licences and
# the changelog.
#
#   bindings/c/install.sh [--prefix DIR] [--libdir DIR] [--from DIR] [--no-strip]
#   bindings/c/install.sh [--prefix DIR] [--libdir DIR] --uninstall
#
# --prefix DIR  where to (default /usr/local); DESTDIR is put before it
# --libdir DIR  the directory of the libraries: below the prefix (lib64,
#               lib/x86_64-linux-gnu), or an absolute path (default lib)
# --from DIR    where the built libraries are; without it they are built now
# --no-strip    installs the libraries as they were built, for tools that make packages
#               of debug information themselves
# --uninstall   removes what an installation with the same --prefix, --libdir and
#               DESTDIR has put there, and nothing else; also the directories that it
#               had to make, if nothing else is in them
#
# They are built in CARGO_TARGET_DIR, if that is set, else beside the sources. The
# libraries are stripped. The debug information of the shared one lies in .debug beside
# it, where debuggers look for it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local libdir=lib from= strip=yes uninstall=
usage="wanted --prefix DIR, --libdir DIR, --from DIR, --no-strip or --uninstall"
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --libdir | --from)
        [ -n "${2:-}" ] || { echo "wanted a directory after $1" >&2; exit 2; }
        case $1 in
        --prefix) prefix=$2 ;;
        --libdir) libdir=$2 ;;
        --from) from=$2 ;;
        esac
        shift 2
        ;;
    --no-strip) strip=; shift ;;
    --uninstall) uninstall=yes; shift ;;
    *) echo "unknown argument $1; $usage" >&2; exit 2 ;;
    esac
done
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
case $libdir in
/*) lib=$libdir ;;
*) lib=$prefix/$libdir libdir=\${prefix}/$libdir ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)
# Without a slash at its end: parents of directories are compared with it.
stage=${DESTDIR:-}
while [ "$stage" != "${stage%/}" ]; do
    stage=${stage%/}
done
include=$stage$prefix/include
pages=$stage$prefix/share/man/man3
texts=$stage$prefix/share/doc/libtendmap
to=$stage$lib
package=$to/cmake/tendmap
debug=$to/.debug/libtendmap.so.$version.debug
# Names the directories that had to be made. (Below DESTDIR all of them count as made.)
record=$package/made-directories

if [ -n "$uninstall" ]; then
    [ -e "$to/libtendmap.so.$version" ] || {
        echo "no libtendmap $version in $to; wanted the --prefix, --libdir and DESTDIR of an installation" >&2
        exit 1
    }
    if [ -n "$stage" ]; then
        made=$(for at in "$include" "$pages" "$texts" "$package" "$to/pkgconfig" "$to/.debug"; do
            while [ "$at" != "$stage" ] && [ "$at" != / ] && [ "$at" != . ]; do
                echo "$at"
                at=$(dirname "$at")
            done
        done)
    else
        made=$(cat "$record" 2>/dev/null || true)
    fi
    rm -f "$pages"/tendmap.3 "$pages"/tendmap_*.3
    rm -f "$texts/LICENSE-MIT" "$texts/LICENSE-APACHE" "$texts/CHANGELOG.md"
    rm -f "$include/tendmap.h" "$include/tendmap.hpp" "$to/libtendmap.a" "$to/libtendmap.so" \
        "$to/libtendmap.so.0" "$to/libtendmap.so.$version" "$debug" "$to/pkgconfig/tendmap.pc" \
        "$package/tendmap-config.cmake" "$package/tendmap-config-version.cmake" \
        "$record"
    # Only directories that nobody else uses, the inner ones first.
    printf '%s\n' "$made" "$package" "$texts" "$to/.debug" | LC_ALL=C sort -ru | while IFS= read -r at; do
        rmdir "$at" 2>/dev/null || true
    done
    echo "removed libtendmap $version from $to"
    exit
fi

if [ -z "$from" ]; then
    target=${CARGO_TARGET_DIR:-$here/../../target}
    cargo build --profile small --manifest-path "$here/Cargo.toml" --target-dir "$target"
    from=$target/small
fi
made=
directory() {
    at=$1
    while [ ! -d "$at" ]; do
        made="$made$at
"
        at=$(dirname "$at")
    done
    install -d "$1"
}
for at in "$include" "$to/pkgconfig" "$package" "$pages" "$texts"; do
    directory "$at"
done
for header in tendmap.h tendmap.hpp; do
    install -m 644 "$here/include/$header" "$include/$header"
done
for text in LICENSE-MIT LICENSE-APACHE CHANGELOG.md; do
    install -m 644 "$here/../../$text" "$texts/$text"
done
install -m 755 "$from/libtendmap.so" "$to/libtendmap.so.$version"
install -m 644 "$from/libtendmap.a" "$to/libtendmap.a"
if [ -n "$strip" ]; then
    directory "$to/.debug"
    "$here/strip.sh" "$to/libtendmap.so.$version" "$debug"
    "$here/strip.sh" "$to/libtendmap.a"
fi
# Programs are linked against the first name and load the second.
ln -sf "libtendmap.so.$version" "$to/libtendmap.so.0"
ln -sf libtendmap.so.0 "$to/libtendmap.so"

# A template with its values; sed would take some characters of a path for its own.
escaped() { printf '%s\n' "$1" | sed 's/[\\&|]/\\&/g'; }
fill() {
    sed -e "s|@prefix@|$(escaped "$prefix")|" -e "s|@libdir@|$(escaped "$2")|" \
        -e "s|@includedir@|$(escaped "$prefix/include")|" -e "s|@version@|$version|g" \
        -e "s|@major@|${version%%.*}|" -e "s|@minor@|$(echo "$version" | cut -d. -f2)|" \
        "$here/$1.in" > "$3/$1"
    chmod 644 "$3/$1"
}
fill tendmap.pc "$libdir" "$to/pkgconfig"
fill tendmap-config.cmake "$lib" "$package"
fill tendmap-config-version.cmake "$lib" "$package"
if [ -z "$stage" ] && [ -n "$made" ]; then
    printf '%s' "$made" >>"$record"
    chmod 644 "$record"
fi
awk -v version="$version" -v to="$pages" -f "$here/man.awk" "$here/include/tendmap.h"
echo "installed libtendmap $version in $to"
