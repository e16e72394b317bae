#!/usr/bin/env bash
# Builds the native extension for the PHP of this machine and installs it.
#
#   bindings/php/ext/install.sh [--only-build]
#
# Prints the path of the extension. Needs Rust, a PHP with php-config, and libclang.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
php_config=${PHP_CONFIG:-php-config}
give_up() { echo "install.sh: $1" >&2; exit 1; }
[ -f "$root/bindings/php/ext/Cargo.toml" ] ||
    give_up "no sources of the library here; run bindings/php/ext/install.sh of a checkout of tendmap"
command -v cargo >/dev/null || give_up "cargo is not installed; install Rust (https://rustup.rs)"
command -v "$php_config" >/dev/null ||
    give_up "$php_config is not installed; install it (Debian: php-dev), or name it by PHP_CONFIG"
target=${CARGO_TARGET_DIR:-$root/target/bindings}
CARGO_TARGET_DIR=$target cargo build --release --quiet --manifest-path "$root/bindings/php/ext/Cargo.toml"
built=$target/release/libtendmap_php.so
if [ "${1:-}" = --only-build ]; then
    echo "$built"
    exit
fi
place=$("$php_config" --extension-dir)/tendmap.so
install -m 0644 "$built" "$place"
if command -v phpenmod >/dev/null; then
    ini=/etc/php/$("$php_config" --version | cut -d. -f1,2)/mods-available/tendmap.ini
    echo "extension=tendmap.so" >"$ini"
    phpenmod tendmap
fi
echo "$place"
