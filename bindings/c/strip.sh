#!/bin/sh
# Makes a library small, in its place.
#
#   bindings/c/strip.sh LIBRARY [DEBUG]
#
# A shared library loses its debug information, which goes to the file DEBUG and is
# named in the library. Of a static library only the code that the functions of
# tendmap.h need remains, as one object that exports them and names nothing else. Programs
# that are linked with it are the same, byte for byte. CC_FOR_BUILD is the compiler for
# programs that run here (default cc).
set -eu
library=$1
here=$(cd "$(dirname "$0")" && pwd)
case $library in
*.a)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    grep -oE '\<tendmap_[a-z_]+\(' "$here/include/tendmap.h" | tr -d '(' | sort -u >"$work/names"
    # shellcheck disable=SC2046 # one argument for each name
    ld -r --gc-sections -T "$here/merge.ld" -e tendmap_version $(sed 's/^/-u /' "$work/names") \
        "$library" -o "$work/tendmap.o"
    # The compiler's bitcode stops tools that know another version of it.
    objcopy --keep-global-symbols="$work/names" --strip-debug --remove-section .llvmbc \
        --remove-section .llvmcmd "$work/tendmap.o"
    "${CC_FOR_BUILD:-cc}" -std=c99 -O1 -D_POSIX_C_SOURCE=200809L -o "$work/resolve" "$here/resolve.c"
    "$work/resolve" "$work/tendmap.o"
    strip --strip-unneeded "$work/tendmap.o"
    rm -f "$library"
    ar -rcsD "$library" "$work/tendmap.o"
    ;;
*)
    objcopy --only-keep-debug "$library" "$2"
    chmod 644 "$2"
    strip --strip-unneeded "$library"
    objcopy --add-gnu-debuglink="$2" "$library"
    ;;
esac
