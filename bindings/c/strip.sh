#!/bin/sh
# Makes a library small, in its place.
#
#   bindings/c/strip.sh LIBRARY [DEBUG]
#
# A shared library loses its debug information, which goes to the file DEBUG and is
# named in the library. Of a static library only the code that the functions of
# tendmap.h need remains, as one object whose other symbols are local.
set -eu
library=$1
case $library in
*.a)
    objects=$(mktemp -d)
    trap 'rm -rf "$objects"' EXIT
    header=$(dirname "$0")/include/tendmap.h
    grep -oE '\<tendmap_[a-z_]+\(' "$header" | tr -d '(' | sort -u >"$objects/names"
    # shellcheck disable=SC2046 # one argument for each name
    ld -r --gc-sections $(sed 's/^/-u /' "$objects/names") --whole-archive "$library" \
        -o "$objects/tendmap.o"
    objcopy --keep-global-symbols="$objects/names" --strip-debug "$objects/tendmap.o"
    strip --strip-unneeded "$objects/tendmap.o"
    rm -f "$library"
    ar -rcsD "$library" "$objects/tendmap.o"
    ;;
*)
    objcopy --only-keep-debug "$library" "$2"
    chmod 644 "$2"
    strip --strip-unneeded "$library"
    objcopy --add-gnu-debuglink="$2" "$library"
    ;;
esac
