#!/bin/sh
# Builds every program in src/ into wasm/ (or the folder named as argument); see cells/samples/build.sh for the toolchain.
set -eu
cd "$(dirname "$0")"
out=${1:-wasm}
mkdir -p "$out"
for source in src/*.c; do
  clang --target=wasm32-wasi -std=gnu11 -O2 -Wall -Wextra -Werror -Wno-unused-result -ffile-prefix-map="$PWD"=. \
    -Wl,--strip-all "$source" -o "$out/$(basename "$source" .c).wasm"
done
chmod 644 "$out"/*.wasm
