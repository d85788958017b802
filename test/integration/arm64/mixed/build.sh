#!/bin/sh
# Builds mixed.wasm beside its source (or in the folder named as argument); see cells/samples/build.sh for the toolchain.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-wasi -std=gnu11 -O2 -msimd128 -mnontrapping-fptoint -Wall -Wextra -Werror \
  -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=8388608 mixed.c -o "${1:-.}/mixed.wasm"
chmod 644 "${1:-.}/mixed.wasm"
