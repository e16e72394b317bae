#!/usr/bin/env bash
# Builds the native extension for the PHP of this machine and installs it.
#
#   bindings/php/ext/install.sh [--only-build]
#
# Prints the path of the extension. Needs Rust, a PHP with php-config, and libclang.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target/bindings}
CARGO_TARGET_DIR=$target cargo build --release --quiet --manifest-path "$root/bindings/php/ext/Cargo.toml"
built=$target/release/libtendmap_php.so
if [ "${1:-}" = --only-build ]; then
    echo "$built"
    exit
fi
php_config=${PHP_CONFIG:-php-config}
place=$("$php_config" --extension-dir)/tendmap.so
install -m 0644 "$built" "$place"
if command -v phpenmod >/dev/null; then
    ini=/etc/php/$("$php_config" --version | cut -d. -f1,2)/mods-available/tendmap.ini
    echo "extension=tendmap.so" >"$ini"
    phpenmod tendmap
fi
echo "$place"
