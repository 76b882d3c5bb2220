#!/bin/sh
# Put the Kaitai compiler into the user's cache, for the test that compiles
# specs/boot_params.ksy with it. Prints the folder; --folder does no more than that.
# Never fails the build: where it cannot be had the test says so, and in CI that is a
# failure.
set -u
# The compiler as JavaScript, and the reader of YAML that its interface wants.
packages='kaitai-struct-compiler@0.11.0 js-yaml@4.1.0'
folder=${XDG_CACHE_HOME:-$HOME/.cache}/e820pool/kaitai-0.11.0
echo "$folder"
[ "${1:-}" != --folder ] || exit 0
[ ! -e "$folder/node_modules/js-yaml/package.json" ] ||
    [ ! -e "$folder/node_modules/kaitai-struct-compiler/package.json" ] || exit 0
command -v node >/dev/null && command -v npm >/dev/null || {
    echo "missing: the Kaitai compiler; install Node.js with npm to get it" >&2
    exit 0
}
echo "installing: $packages" >&2
mkdir -p "$folder" &&
    npm install --prefix "$folder" --no-audit --no-fund --no-package-lock --ignore-scripts \
        --silent $packages >/dev/null ||
    echo "could not install: $packages" >&2
exit 0
