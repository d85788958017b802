#!/bin/sh
# Builds probe.wasm beside its source (or in the folder named as argument); see cells/samples/build.sh for the toolchain.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-wasi -std=gnu11 -O2 -Wall -Wextra -Werror -Wl,--strip-all probe.c -o "${1:-.}/probe.wasm"
chmod 644 "${1:-.}/probe.wasm"
