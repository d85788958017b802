#!/bin/sh
# Builds every program in src/ to a WASI preview1 command in wasm/ (or in the folder named as argument).
# The same compiler and C library give the same bytes; which they were stands in wasm/toolchain.txt.
#   apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32      (Debian 12)
set -eu
cd "$(dirname "$0")"
out=${1:-wasm}
mkdir -p "$out"
for source in src/*.c; do
  name=$(basename "$source" .c)
  # The stack lies below the data, so that overflowing it traps instead of overwriting; 128 KiB of it.
  clang --target=wasm32-wasi -std=gnu11 -O2 -Wall -Wextra -Werror -ffile-prefix-map="$PWD"=. \
    -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=131072 \
    "$source" -o "$out/$name.wasm"
done
{
  clang --version | head -n 1
  dpkg-query --show wasi-libc libclang-rt-14-dev-wasm32 2>/dev/null || true
} >"$out/toolchain.txt"
chmod 644 "$out"/*.wasm
